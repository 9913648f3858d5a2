//! What the fuzz targets run, and the ordinary tests over `tests/fuzz/seeds` and random changes of it: each takes any bytes, and panics
//! if what it checks does not hold.

use crate::archive::{Archive, Limits as ArchiveLimits};
use crate::bar::manifest::Manifest;
use crate::bar::{Layout, MetaFile, metadata, rootprops};
use crate::base::path::ResourcePath;
use crate::base::xml::{Limits, parse};
use crate::domain::acl::{Level, parse_acl};
use crate::domain::token::{Claims, Kind, Sealer, Subject};
use crate::storage::unit::TokenKey;
use crate::web::range::{Ranges, Span, parse as parse_ranges};

/// What is run with some bytes.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("archive", archive),
    ("if_header", crate::dav::fuzz_if_header),
    ("metadata", meta),
    ("names", names),
    ("odata", crate::api::personium::fuzz_odata),
    ("range", range),
    ("rootprops", root_properties),
    ("tokens", tokens),
    ("xml", xml),
];

/// A hostile archive never panics, and never yields more bytes than a member declares.
pub fn archive(data: &[u8]) {
    let Ok(archive) = Archive::open(data, ArchiveLimits::default()) else { return };
    for entry in archive.entries() {
        let _ = entry.name();
        if let Ok(bytes) = archive.read_entry(entry, 1 << 20) {
            assert_eq!(bytes.len() as u64, entry.size);
        }
    }
}

/// Lists and manifests of a bar never panic.
pub fn meta(data: &[u8]) {
    let _ = Manifest::parse_v2(data);
    let _ = Manifest::parse_v1(data, "00_manifest.json");
    for file in [MetaFile::Relations, MetaFile::Roles, MetaFile::ExtRoles, MetaFile::Rules, MetaFile::Links] {
        let _ = metadata::parse(file, Layout::V2, data);
    }
}

/// No path that is accepted holds a way out of the box.
pub fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(path) = ResourcePath::decode(text) else { return };
    for segment in path.segments() {
        let name = segment.as_str();
        assert!(!name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']) && name.len() <= 255);
    }
    assert_eq!(ResourcePath::decode(&path.encode()).expect("our own output"), path);
}

/// Every range that is accepted lies inside the content, whose size the first eight bytes are.
pub fn range(data: &[u8]) {
    let Some((size, header)) = data.split_first_chunk() else { return };
    let (size, Ok(header)) = (u64::from_le_bytes(*size), std::str::from_utf8(header)) else { return };
    let inside = |span: &Span| assert!(span.length() > 0 && size - span.first >= span.length());
    match parse_ranges(header, size) {
        Ranges::One(span) => inside(&span),
        Ranges::Several(spans) => spans.iter().for_each(inside),
        Ranges::Whole | Ranges::Unsatisfiable => {}
    }
}

/// Properties of a bar never panic, in either layout.
pub fn root_properties(data: &[u8]) {
    for layout in [Layout::V1, Layout::V2] {
        let _ = rootprops::parse(data, layout);
    }
}

/// Only what was sealed opens, and says what it said.
pub fn tokens(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let sealer = Sealer::new(&[TokenKey { id: 1, created_ms: 0, secret: [7; 32] }]);
    assert!(sealer.open(text).is_err(), "nobody knows the key");
    let said = Claims { scope: text.to_owned(), ..Claims::new(text, Subject::Account(1, text.to_owned()), 60) };
    let token = sealer.seal(Kind::Access, &said);
    assert_eq!(sealer.open(&token), Ok((Kind::Access, said)));
    let at = token.len().min(3 + data.len() % 200);
    let spliced = format!("{}{text}", token.get(..at).unwrap_or_default());
    assert!(spliced == token || sealer.open(&spliced).is_err());
}

/// What was read is read again the same from its own serialisation; a list of access control never panics.
pub fn xml(data: &[u8]) {
    let Ok(element) = parse(data, Limits::of(data.len())) else { return };
    let text = element.to_xml();
    let again = parse(text.as_bytes(), Limits::of(text.len())).expect("our own output");
    assert_eq!(again.to_xml(), text);
    for level in [Level::Cell, Level::Box] {
        let _ = parse_acl(&element, level);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::TARGETS;

    /// Changed copies of each seed.
    const COPIES: u64 = 400;

    /// Numbers that are the same in every run.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, most: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % most.max(1) as u64) as usize
        }
    }

    /// A copy with some bytes changed, removed, repeated or taken from another seed.
    fn changed(seed: &[u8], other: &[u8], numbers: &mut Numbers) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=numbers.below(4) {
            let at = numbers.below(bytes.len());
            let end = (at + 1 + numbers.below(16)).min(bytes.len());
            match numbers.below(5) {
                _ if bytes.is_empty() => bytes = other.to_vec(),
                0 => bytes[at] = numbers.below(256) as u8,
                1 => drop(bytes.drain(at..end)),
                2 => bytes.extend_from_within(at..end),
                3 => bytes.truncate(at),
                _ => {
                    let from = numbers.below(other.len());
                    bytes.splice(at..end, other[from..(from + 8).min(other.len())].iter().copied());
                }
            }
        }
        bytes
    }

    #[allow(clippy::disallowed_methods, reason = "seeds are no part of a unit")]
    fn seeds(target: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(target);
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        paths.iter().map(|path| std::fs::read(path).expect("a seed")).collect()
    }

    #[test]
    fn nothing_that_resembles_the_seeds_breaks_a_target() {
        for (name, target) in TARGETS {
            let seeds = seeds(name);
            assert!(!seeds.is_empty(), "{name} has no seeds");
            let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
            for seed in &seeds {
                target(seed);
                for _ in 0..COPIES {
                    let other = &seeds[numbers.below(seeds.len())];
                    target(&changed(seed, other, &mut numbers));
                }
            }
        }
    }
}
