//! Names and paths of resources, parsed once into types that cannot hold a bad value.
//!
//! A [`Segment`] is what can be looked up and served, a [`NewName`] what may be created. Neither can be `.` or `..`, empty,
//! longer than 255 bytes of UTF-8, or hold a slash or a control character; a `NewName` also holds none of the characters
//! that the reference forbids and is normalised to NFC. A [`ResourcePath`] is a path below a box.

use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// The longest name, in bytes of UTF-8.
pub const NAME_BYTES: usize = 255;

const FORBIDDEN: &[char] = &['\\', '/', ':', '*', '?', '"', '<', '>', '|'];

/// What must be escaped in a URL path segment: everything but unreserved characters and a few harmless ones.
const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("the name is empty")]
    Empty,
    #[error("the name is longer than {NAME_BYTES} bytes")]
    TooLong,
    #[error("the name is a relative path segment")]
    Dots,
    #[error("the name holds a character that names cannot have")]
    Character,
    #[error("the name is not UTF-8")]
    NotUtf8,
}

/// A name that can be looked up and served.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Segment(String);

impl Segment {
    /// Checks a decoded name.
    pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
        let name = name.into();
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > NAME_BYTES {
            return Err(NameError::TooLong);
        }
        if name == "." || name == ".." {
            return Err(NameError::Dots);
        }
        // What XML cannot hold counts as a control character: no listing and no bar could name it.
        if name.contains(|c: char| c == '/' || c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')) {
            return Err(NameError::Character);
        }
        Ok(Self(name))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same name in Unicode normal form C.
    pub fn nfc(&self) -> Self {
        if is_nfc(&self.0) { self.clone() } else { Self(self.0.nfc().collect()) }
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name that may be created: a [`Segment`] in NFC without forbidden characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NewName(Segment);

impl NewName {
    pub fn new(segment: &Segment) -> Result<Self, NameError> {
        let segment = segment.nfc();
        if segment.0.len() > NAME_BYTES {
            return Err(NameError::TooLong);
        }
        if segment.0.contains(FORBIDDEN) {
            return Err(NameError::Character);
        }
        Ok(Self(segment))
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub fn segment(&self) -> &Segment {
        &self.0
    }

    pub fn into_segment(self) -> Segment {
        self.0
    }
}

/// A path below a box; empty means the box itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ResourcePath(Vec<Segment>);

impl ResourcePath {
    /// The box itself.
    pub fn root() -> Self {
        Self::default()
    }

    pub fn from_segments(segments: Vec<Segment>) -> Self {
        Self(segments)
    }

    /// Parses the percent-encoded part of a URL below a box. Empty segments (a trailing or doubled slash) mean nothing.
    pub fn decode(encoded: &str) -> Result<Self, NameError> {
        encoded.split('/').filter(|s| !s.is_empty()).map(decode_segment).collect::<Result<_, _>>().map(Self)
    }

    /// Parses a path that is not encoded, as bars and the command line have it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        text.split('/').filter(|s| !s.is_empty()).map(Segment::new).collect::<Result<_, _>>().map(Self)
    }

    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of segments: 0 for the box.
    pub fn depth(&self) -> usize {
        self.0.len()
    }

    pub fn name(&self) -> Option<&Segment> {
        self.0.last()
    }

    /// The path of the parent and the last name; none for the box.
    pub fn split(&self) -> Option<(Self, &Segment)> {
        let (last, rest) = self.0.split_last()?;
        Some((Self(rest.to_vec()), last))
    }

    pub fn join(&self, name: Segment) -> Self {
        let mut segments = self.0.clone();
        segments.push(name);
        Self(segments)
    }

    /// Whether this is `other` or lies below it.
    pub fn starts_with(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// The percent-encoded form, without a leading or trailing slash.
    pub fn encode(&self) -> String {
        self.0.iter().map(|s| encode_segment(s.as_str())).collect::<Vec<_>>().join("/")
    }
}

impl fmt::Display for ResourcePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("/")?;
            }
            f.write_str(segment.as_str())?;
        }
        Ok(())
    }
}

/// Decodes one percent-encoded segment of a URL.
pub fn decode_segment(encoded: &str) -> Result<Segment, NameError> {
    let name = percent_decode_str(encoded).decode_utf8().map_err(|_| NameError::NotUtf8)?;
    Segment::new(name.into_owned())
}

/// What is escaped in a URL path segment or in XML, though it is printed ASCII.
const ESCAPED: &[u8] = b"\"#%/<>?[\\]^`{|}&";

/// Which bytes stand for themselves in both.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        plain[byte] = true;
        byte += 1;
    }
    let mut i = 0;
    while i < ESCAPED.len() {
        plain[ESCAPED[i] as usize] = false;
        i += 1;
    }
    plain
};

/// Whether a name is the same as a URL path segment and as a text in XML.
pub fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| PLAIN[usize::from(byte)])
}

/// Encodes one name as a URL path segment.
pub fn encode_segment(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_leave_the_box_are_no_segments() {
        for bad in ["", ".", "..", "a/b", "a\0b", "a\nb", "\u{85}"] {
            assert!(Segment::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Segment::new("n".repeat(256)), Err(NameError::TooLong));
        assert!(Segment::new("n".repeat(255)).is_ok());
    }

    #[test]
    fn encoded_dots_slashes_and_noncharacters_are_refused() {
        for bad in ["%2e%2e", "a/%2E%2E/b", "a%2fb", "%00", "a/..", "%ff", "%ef%bf%bf", "a%ef%bf%beb"] {
            assert!(ResourcePath::decode(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn forbidden_characters_can_be_served_but_not_created() {
        for c in FORBIDDEN.iter().filter(|c| **c != '/') {
            let segment = Segment::new(format!("a{c}b")).expect("a segment");
            assert_eq!(NewName::new(&segment), Err(NameError::Character));
        }
        assert!(NewName::new(&Segment::new("my file").expect("a segment")).is_ok());
    }

    #[test]
    fn new_names_are_nfc() {
        let nfd = Segment::new("e\u{301}").expect("a segment");
        assert_eq!(NewName::new(&nfd).expect("a name").as_str(), "\u{e9}");
    }

    #[test]
    fn a_plain_name_needs_no_encoding() {
        for c in (0..=0x17f).filter_map(char::from_u32) {
            let name = format!("a{c}b");
            let unchanged = encode_segment(&name) == name && crate::base::xml::escape_text(&name) == name;
            assert_eq!(is_plain(&name), unchanged, "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn encoding_round_trips(name in "\\PC{1,40}") {
            if let Ok(segment) = Segment::new(name) {
                prop_assert_eq!(decode_segment(&encode_segment(segment.as_str())), Ok(segment));
            }
        }
    }
}
