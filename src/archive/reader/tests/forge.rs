//! A writer of archives that can lie about everything.

use std::io::Write;

use crate::archive::fields::*;

/// What is written about a member; `None` means the truth.
#[derive(Clone)]
pub(super) struct Lie {
    pub(super) raw: Vec<u8>,
    pub(super) method: u16,
    pub(super) flags: u16,
    pub(super) local_flags: Option<u16>,
    pub(super) name: Vec<u8>,
    pub(super) local_name: Option<Vec<u8>>,
    pub(super) local_method: Option<u16>,
    pub(super) size: u64,
    pub(super) compressed_size: Option<u64>,
    pub(super) crc: u32,
    pub(super) offset: Option<u64>,
    pub(super) mode: u32,
    pub(super) zip64: bool,
    /// With or without signature.
    pub(super) descriptor: Option<bool>,
    /// Takes the offset of an earlier member and writes nothing itself.
    pub(super) share: Option<usize>,
}

#[derive(Clone, Default)]
pub(super) struct Forge {
    members: Vec<Lie>,
    pub(super) comment: Vec<u8>,
    pub(super) directory_order: Option<Vec<usize>>,
    pub(super) count: Option<u64>,
    pub(super) directory_len: Option<u64>,
    pub(super) directory_offset: Option<u64>,
    pub(super) zip64_end: bool,
    pub(super) end64_position: Option<u64>,
}

fn deflate(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A gibibyte or so of zeros, deflated, without ever having them.
pub(super) fn deflated_zeros(mebibytes: usize) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    let mebibyte = vec![0; 1 << 20];
    for _ in 0..mebibytes {
        encoder.write_all(&mebibyte).unwrap();
    }
    encoder.finish().unwrap()
}

impl Forge {
    fn member(mut self, name: &[u8], content: &[u8], method: u16, raw: Vec<u8>) -> Self {
        self.members.push(Lie {
            raw,
            method,
            flags: 0,
            local_flags: None,
            name: name.to_vec(),
            local_name: None,
            local_method: None,
            size: content.len() as u64,
            compressed_size: None,
            crc: crc32fast::hash(content),
            offset: None,
            mode: 0,
            zip64: false,
            descriptor: None,
            share: None,
        });
        self
    }

    pub(super) fn stored(self, name: impl AsRef<[u8]>, content: &[u8]) -> Self {
        self.member(name.as_ref(), content, STORED, content.to_vec())
    }

    pub(super) fn deflated(self, name: impl AsRef<[u8]>, content: &[u8]) -> Self {
        self.member(name.as_ref(), content, DEFLATED, deflate(content))
    }

    /// Changes what is written about the last member.
    pub(super) fn lie(mut self, change: impl FnOnce(&mut Lie)) -> Self {
        change(self.members.last_mut().unwrap());
        self
    }

    pub(super) fn comment(mut self, comment: &[u8]) -> Self {
        self.comment = comment.to_vec();
        self
    }

    pub(super) fn build(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut offsets = Vec::new();
        for member in &self.members {
            offsets.push(member.share.map_or(out.len() as u64, |other| offsets[other]));
            if member.share.is_none() {
                member.put_local(&mut out);
            }
        }
        let start = out.len() as u64;
        let order = self.directory_order.clone().unwrap_or_else(|| (0..self.members.len()).collect());
        for index in order {
            self.members[index].put_central(&mut out, offsets[index]);
        }
        self.put_end(&mut out, start);
        out
    }

    fn put_end(&self, out: &mut Vec<u8>, start: u64) {
        let count = self.count.unwrap_or(self.members.len() as u64);
        let len = self.directory_len.unwrap_or(out.len() as u64 - start);
        let offset = self.directory_offset.unwrap_or(start);
        if self.zip64_end {
            let position = self.end64_position.unwrap_or(out.len() as u64);
            put(out, &[(4, u64::from(END64_SIGNATURE)), (8, 44), (2, 45), (2, 45), (4, 0), (4, 0)]);
            put(out, &[(8, count), (8, count), (8, len), (8, offset)]);
            put(out, &[(4, u64::from(LOCATOR_SIGNATURE)), (4, 0), (8, position), (4, 1)]);
        }
        let (full_16, full_32) = if self.zip64_end { (FULL_16, FULL_32) } else { (u64::MAX, u64::MAX) };
        let count = count.min(full_16);
        put(out, &[(4, u64::from(END_SIGNATURE)), (2, 0), (2, 0), (2, count), (2, count)]);
        put(out, &[(4, len.min(full_32)), (4, offset.min(full_32)), (2, self.comment.len() as u64)]);
        out.extend_from_slice(&self.comment);
    }
}

impl Lie {
    fn packed(&self) -> u64 {
        self.compressed_size.unwrap_or(self.raw.len() as u64)
    }

    fn put_local(&self, out: &mut Vec<u8>) {
        let name = self.local_name.as_ref().unwrap_or(&self.name);
        let flags = self.local_flags.unwrap_or(self.flags) | if self.descriptor.is_some() { 8 } else { 0 };
        let method = self.local_method.unwrap_or(self.method);
        let known = u64::from(self.descriptor.is_none());
        let claims = [u64::from(self.crc) * known, self.packed() * known, self.size * known];
        let short = |size: u64| if self.zip64 { FULL_32 } else { size };
        put(out, &[(4, u64::from(LOCAL_SIGNATURE)), (2, 20), (2, u64::from(flags)), (2, u64::from(method)), (4, 0)]);
        put(out, &[(4, claims[0]), (4, short(claims[1])), (4, short(claims[2]))]);
        put(out, &[(2, name.len() as u64), (2, if self.zip64 { 20 } else { 0 })]);
        out.extend_from_slice(name);
        if self.zip64 {
            put(out, &[(2, u64::from(ZIP64_EXTRA)), (2, 16), (8, claims[2]), (8, claims[1])]);
        }
        out.extend_from_slice(&self.raw);
        if let Some(signature) = self.descriptor {
            if signature {
                put(out, &[(4, 0x0807_4b50)]);
            }
            put(out, &[(4, u64::from(self.crc)), (4, self.packed()), (4, self.size)]);
        }
    }

    fn put_central(&self, out: &mut Vec<u8>, offset: u64) {
        let offset = self.offset.unwrap_or(offset);
        let short = |number: u64| if self.zip64 { FULL_32 } else { number };
        let flags = self.flags | if self.descriptor.is_some() { 8 } else { 0 };
        put(out, &[(4, u64::from(CENTRAL_SIGNATURE)), (2, 0x0314), (2, 20), (2, u64::from(flags))]);
        put(out, &[(2, u64::from(self.method)), (4, 0), (4, u64::from(self.crc))]);
        put(out, &[(4, short(self.packed())), (4, short(self.size)), (2, self.name.len() as u64)]);
        put(out, &[(2, if self.zip64 { 28 } else { 0 }), (2, 0), (2, 0), (2, 0), (4, u64::from(self.mode) << 16)]);
        put(out, &[(4, short(offset))]);
        out.extend_from_slice(&self.name);
        if self.zip64 {
            put(out, &[(2, u64::from(ZIP64_EXTRA)), (2, 24), (8, self.size), (8, self.packed()), (8, offset)]);
        }
    }
}

/// Numbers of so many bytes each.
fn put(out: &mut Vec<u8>, numbers: &[(usize, u64)]) {
    for &(bytes, number) in numbers {
        out.extend_from_slice(&number.to_le_bytes()[..bytes]);
    }
}
