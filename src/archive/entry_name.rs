//! Names of entries in foreign archives: what is taken as it is, what is normalised, what is refused.
//!
//! A name is UTF-8 with `/` between segments. Leading slashes are dropped. A backslash is an ordinary, odd character. A
//! segment `.` or `..` condemns the archive; a name that is empty, not UTF-8 or holds a NUL condemns its entry only.

use super::ArchiveError;

/// How much of a hostile name an error text may hold, in characters.
const SHOWN: usize = 200;

/// The name of an entry, or what can be shown of one that is no name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EntryName {
    Good(Box<str>),
    Bad(Box<str>),
}

impl EntryName {
    /// Judges the bytes of a name. Fails only where the whole archive is to be refused.
    pub(super) fn parse(raw: &[u8]) -> Result<Self, ArchiveError> {
        if raw.split(|&byte| byte == b'/').any(|segment| segment == b"." || segment == b"..") {
            return Err(ArchiveError::RelativeName { name: shown(raw) });
        }
        let leading = raw.iter().take_while(|&&byte| byte == b'/').count();
        Ok(match str::from_utf8(&raw[leading..]) {
            Ok(name) if !name.is_empty() && !name.contains('\0') => Self::Good(name.into()),
            _ => Self::Bad(shown(raw).into()),
        })
    }

    /// The name, normalised.
    pub(super) fn get(&self) -> Result<&str, ArchiveError> {
        match self {
            Self::Good(name) => Ok(name),
            Self::Bad(text) => Err(ArchiveError::BadName { name: text.to_string() }),
        }
    }

    /// The name as an error text may show it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Good(name) => shown(name.as_bytes()),
            Self::Bad(text) => text.to_string(),
        }
    }
}

/// A name as an error text may show it: without control characters, shortened, whatever its bytes.
pub(super) fn shown(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(&raw[..raw.len().min(SHOWN * 4)]);
    let mut out: String = text.chars().take(SHOWN).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() || raw.len() > SHOWN * 4 {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(raw: &str) -> String {
        EntryName::parse(raw.as_bytes()).unwrap().get().unwrap().to_owned()
    }

    #[test]
    fn leading_slashes_are_dropped_and_backslashes_kept() {
        assert_eq!(good("a/b c/é.txt"), "a/b c/é.txt");
        assert_eq!(good("/etc/passwd"), "etc/passwd");
        assert_eq!(good("///d/"), "d/");
        assert_eq!(good("a\\..\\b"), "a\\..\\b");
        assert_eq!(good("a/..b/.c/..."), "a/..b/.c/...");
    }

    #[test]
    fn relative_segments_condemn_the_archive() {
        for name in ["..", ".", "../x", "a/../b", "a/./b", "a/..", "a/.", "/..", "./"] {
            assert!(matches!(EntryName::parse(name.as_bytes()), Err(ArchiveError::RelativeName { .. })), "{name}");
        }
    }

    #[test]
    fn bytes_that_are_no_name_condemn_the_entry() {
        for raw in [&b""[..], b"/", b"///", b"a\0b", b"\xff\xfe"] {
            let name = EntryName::parse(raw).unwrap();
            assert!(matches!(name.get(), Err(ArchiveError::BadName { .. })), "{raw:?}");
        }
    }

    #[test]
    fn shown_names_are_short_and_harmless() {
        assert_eq!(shown(b"a\x1b[31m\n\0"), "a\u{fffd}[31m\u{fffd}\u{fffd}");
        assert_eq!(shown("n".repeat(60_000).as_bytes()).chars().count(), SHOWN + 1);
        assert_eq!(shown("n".repeat(200).as_bytes()).chars().count(), SHOWN);
    }
}
