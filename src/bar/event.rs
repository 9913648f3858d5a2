//! The events of an installation: their types, texts and objects.

use super::{Layout, MetaFile, shortened};

/// What happened, as the type of an event of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallEvent {
    /// The whole bar is installed.
    BarCompleted,
    /// The bar is not installed completely.
    BarFailed,
    /// The first event of all.
    BarStarted,
    Started,
    Processing,
    Completed,
    Failed,
    /// Something went wrong that is no fault of the bar.
    Unknown,
}

impl InstallEvent {
    /// The type.
    pub const fn code(self) -> &'static str {
        match self {
            Self::BarCompleted => "PL-BI-0000",
            Self::BarFailed => "PL-BI-0001",
            Self::BarStarted => "PL-BI-1000",
            Self::Started => "PL-BI-1001",
            Self::Processing => "PL-BI-1002",
            Self::Completed => "PL-BI-1003",
            Self::Failed => "PL-BI-1004",
            Self::Unknown => "PL-BI-1005",
        }
    }

    /// The text. `cause` stands in those of failures, the beginning of a very long one, and is not used elsewhere.
    pub fn text(self, cause: &str) -> String {
        let cause = shortened(cause);
        match self {
            Self::BarCompleted => "Bar installation completed.".to_owned(),
            Self::BarFailed => format!("Bar installation failed({cause})."),
            Self::BarStarted => "Bar installation started.".to_owned(),
            Self::Started => "Installation started.".to_owned(),
            Self::Processing => "Installation processing.".to_owned(),
            Self::Completed => "Installation completed.".to_owned(),
            Self::Failed => format!("Installation failed({cause})."),
            Self::Unknown => format!("Unknown error({cause})."),
        }
    }
}

/// The object of events about a file of metadata: the bare name in a current bar, but for the root properties; the whole
/// name in a legacy one. None where there are no events, for the manifest of a current bar.
pub fn meta_object(layout: Layout, file: MetaFile) -> Option<String> {
    match (layout, file) {
        (Layout::V2, MetaFile::Manifest) => None,
        (Layout::V1, _) | (_, MetaFile::Rootprops) => Some(file.member_name(layout)),
        (Layout::V2, _) => Some(file.file_name().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_types_and_texts() {
        assert_eq!(InstallEvent::Failed.code(), "PL-BI-1004");
        assert_eq!(InstallEvent::Failed.text("Role not found."), "Installation failed(Role not found.).");
        assert_eq!(InstallEvent::BarStarted.text(""), "Bar installation started.");
    }

    #[test]
    fn objects_of_metadata() {
        let object = |layout, file| meta_object(layout, file);
        assert_eq!(object(Layout::V2, MetaFile::Links).as_deref(), Some("70_$links.json"));
        assert_eq!(object(Layout::V2, MetaFile::Rootprops).as_deref(), Some("00_meta/90_rootprops.xml"));
        assert_eq!(object(Layout::V2, MetaFile::Manifest), None);
        assert_eq!(object(Layout::V1, MetaFile::Manifest).as_deref(), Some("bar/00_meta/00_manifest.json"));
    }
}
