//! Why an installation that was accepted fails: the texts that stand in the event log and in the metadata of the box.

use crate::domain::acl::AclError;
use crate::domain::names::FieldError;

/// One cause. It is shown as its text, without code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// PL-BI-2001
    #[error("Invalid structure of bar file or empty.")]
    Structure,
    /// PL-BI-2002
    #[error("JSON/XML parse error.")]
    Parse,
    /// PL-BI-2003
    #[error("JSON/XML data definition error.")]
    Definition,
    /// PL-BI-2004
    #[error("WebDAV file registration error.")]
    Registration,
    /// PL-BI-2005
    #[error("WebDAV file registration error. Invalid Content-Type.")]
    ContentType,
    /// PL-BI-2006
    #[error("Entry is not contained in 90_rootprops.xml.")]
    NotDeclared,
    /// PL-BI-2008
    #[error("href tag does not exist.")]
    NoHref,
    /// PL-BI-2009
    #[error("href element value is empty.")]
    EmptyHref,
    /// PL-BI-2010
    #[error("href element value does not start with '{scheme}': {href}")]
    Scheme { scheme: &'static str, href: String },
    /// PL-BI-2011
    #[error("Duplicated paths are detected in href elements: {0}")]
    Duplicate(String),
    /// PL-BI-2012
    #[error("Collection path is not defined: {0}")]
    NoParent(String),
    /// PL-BI-2013
    #[error("Another resource exists under the OData collection: {0}")]
    BelowOData(String),
    /// PL-BI-2014
    #[error("Another resource exists under the Service collection: {0}")]
    BelowService(String),
    /// PL-BI-2015
    #[error("Another resource exists under the WebDAV File: {0}")]
    BelowFile(String),
    /// PL-BI-2016
    #[error("Service collection must contain '__src' collection: {0}")]
    NoSource(String),
    /// PL-BI-2017
    #[error("Resource name is invalid: {0}")]
    ResourceName(String),
    /// PL-BI-2018
    #[error("Unexpected tag: {0}")]
    Tag(String),
    /// A file whose content is not what it must be, by the name of the file or of a collection below `90_contents`.
    #[error("[{0}] file format error.")]
    Format(String),
    /// XML that is not well-formed, or that costs more than is allowed.
    #[error("[{file}] cannot be parsed: {detail}.")]
    Malformed { file: &'static str, detail: String },
    #[error(transparent)]
    Field(#[from] FieldError),
    #[error(transparent)]
    Acl(#[from] AclError),
    #[error("The entity already exists.")]
    EntityExists,
    #[error("No such entity.")]
    NoSuchEntity,
    #[error("Links exists already.")]
    LinkExists,
    #[error("Cannot add any more child resources.")]
    TooManyChildren,
    #[error("Not enough space in the cell.")]
    NoRoom,
    #[error("Hierarchy of the collection is too deep.")]
    TooDeep,
    #[error("OData collections are not supported yet.")]
    ODataUnsupported,
    /// Any other cause, such as a member that cannot be inflated; a whole sentence.
    #[error("{0}")]
    Other(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_shown_as_texts() {
        let href = "/d".to_owned();
        assert_eq!(
            Cause::Scheme { scheme: "personium-localbox:", href }.to_string(),
            "href element value does not start with 'personium-localbox:': /d"
        );
        assert_eq!(Cause::from(FieldError::required("Name")).to_string(), "[Name] is required.");
        assert_eq!(Cause::from(AclError::Role).to_string(), "Role not found.");
        assert_eq!(Cause::Format("10_relations.json".into()).to_string(), "[10_relations.json] file format error.");
    }
}
