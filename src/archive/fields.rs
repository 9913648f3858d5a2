//! The numbers of the ZIP format that writing and reading share: signatures, fixed lengths, little-endian access.

pub(super) const LOCAL_SIGNATURE: u32 = 0x0403_4b50;
pub(super) const CENTRAL_SIGNATURE: u32 = 0x0201_4b50;
pub(super) const END_SIGNATURE: u32 = 0x0605_4b50;
pub(super) const END64_SIGNATURE: u32 = 0x0606_4b50;
pub(super) const LOCATOR_SIGNATURE: u32 = 0x0706_4b50;

pub(super) const LOCAL_LEN: usize = 30;
pub(super) const CENTRAL_LEN: usize = 46;
pub(super) const END_LEN: usize = 22;
pub(super) const END64_LEN: usize = 56;
pub(super) const LOCATOR_LEN: usize = 20;

pub(super) const ZIP64_EXTRA: u16 = 0x0001;
pub(super) const TIME_EXTRA: u16 = 0x5455;

pub(super) const STORED: u16 = 0;
pub(super) const DEFLATED: u16 = 8;

/// The flag that says a name is UTF-8.
pub(super) const UTF8_FLAG: u16 = 1 << 11;

/// The least number that a 32-bit field cannot hold, and the value that says so.
pub(super) const FULL_32: u64 = 0xFFFF_FFFF;
/// The least number that a 16-bit field cannot hold, and the value that says so.
pub(super) const FULL_16: u64 = 0xFFFF;

/// Panics where the caller did not take enough bytes.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
