//! Bars: the archives that boxes are installed from and exported to.
//!
//! Apart from [`install`], everything here is a function of bytes and values: what is in an archive, what is wrong with it, in
//! which order it is processed, and how the metadata of an export is written. Reading the archive, asking the cell and
//! creating things is the installer's work.

use std::borrow::Cow;

pub mod cause;
pub mod contents;
pub mod event;
pub mod export;
pub mod inspect;
pub mod install;
pub mod manifest;
pub mod metadata;
pub mod pack;
pub mod refusal;
pub mod rootprops;
pub mod schedule;

/// Bytes of a message that are shown; what a bar holds can be quoted in it.
const MESSAGE_BYTES: usize = 2000;

/// The beginning of a text that is too long for a message, or the text itself.
fn shortened(text: &str) -> Cow<'_, str> {
    if text.len() <= MESSAGE_BYTES {
        return Cow::Borrowed(text);
    }
    let end = (0..=MESSAGE_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    Cow::Owned(format!("{}…", &text[..end]))
}

/// The two layouts of bars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// The legacy one: everything below `bar/`, and the order of the members counts.
    V1,
    /// The current one.
    V2,
}

impl Layout {
    /// What the names of all members begin with.
    pub const fn root(self) -> &'static str {
        match self {
            Self::V1 => "bar/",
            Self::V2 => "",
        }
    }

    /// The directory of the metadata.
    pub const fn meta(self) -> &'static str {
        match self {
            Self::V1 => "bar/00_meta/",
            Self::V2 => "00_meta/",
        }
    }

    /// The directory of the contents.
    pub const fn contents(self) -> &'static str {
        match self {
            Self::V1 => "bar/90_contents/",
            Self::V2 => "90_contents/",
        }
    }

    /// The scheme of references in the root properties, with its colon.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::V1 => "dcbox:",
            Self::V2 => "personium-localbox:",
        }
    }
}

/// The files that the metadata directory can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetaFile {
    Manifest,
    Relations,
    Roles,
    ExtRoles,
    Rules,
    Links,
    Rootprops,
}

impl MetaFile {
    /// All of them, in the order in which they are processed.
    pub const ALL: [Self; 7] =
        [Self::Manifest, Self::Relations, Self::Roles, Self::ExtRoles, Self::Rules, Self::Links, Self::Rootprops];

    /// The name without directory.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Manifest => "00_manifest.json",
            Self::Relations => "10_relations.json",
            Self::Roles => "20_roles.json",
            Self::ExtRoles => "30_extroles.json",
            Self::Rules => "50_rules.json",
            Self::Links => "70_$links.json",
            Self::Rootprops => "90_rootprops.xml",
        }
    }

    /// The file of a name without directory.
    pub fn of(file_name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|file| file.file_name() == file_name)
    }

    /// The name of the member in an archive.
    pub fn member_name(self, layout: Layout) -> String {
        format!("{}{}", layout.meta(), self.file_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shortened("é"), "é");
        let cut = shortened(&"漢".repeat(1000)).into_owned();
        assert_eq!(cut, format!("{}…", "漢".repeat(666)));
    }
}
