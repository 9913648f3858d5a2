//! Documents of the lists: their identifiers and their lines.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

/// Makes the identifiers of a cell's documents: always the same for the same thing.
#[derive(Debug, Clone)]
pub(super) struct DocIds {
    cell: String,
}

impl DocIds {
    pub(super) fn new(cell: String) -> Self {
        Self { cell }
    }

    /// The cell's own identifier.
    pub(super) fn cell(&self) -> &str {
        &self.cell
    }

    /// 22 characters of base64url, as those of the reference.
    pub(super) fn of(&self, type_name: &str, number: i64) -> String {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&crc32fast::hash(self.cell.as_bytes()).to_be_bytes());
        bytes[4..8].copy_from_slice(&crc32fast::hash(type_name.as_bytes()).to_be_bytes());
        bytes[8..].copy_from_slice(&number.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

/// A document as it is written.
#[derive(Debug, Default)]
pub(super) struct Doc {
    pub(super) declared: Map<String, Value>,
    pub(super) hidden: Map<String, Value>,
    /// The name of the type of what it is bound to, and the identifier of that.
    pub(super) bound: Option<(&'static str, String)>,
    pub(super) created_ms: i64,
    pub(super) updated_ms: i64,
}

impl Doc {
    /// The line of a document of a cell.
    pub(super) fn line(self, ids: &DocIds, type_name: &str, id: &str) -> Value {
        let links: Map<String, Value> = self.bound.into_iter().map(|(name, id)| (name.to_owned(), json!(id))).collect();
        json!({
            "_index": "u0_anon",
            "_type": type_name,
            "_id": id,
            "_source": {
                "c": ids.cell(), "b": null, "n": null, "s": self.declared, "d": {}, "h": self.hidden, "l": links,
                "p": self.created_ms, "u": self.updated_ms,
            },
        })
    }
}

/// A document as it was read.
#[derive(Debug)]
pub(super) struct ReadDoc {
    pub(super) type_name: String,
    pub(super) id: String,
    source: Map<String, Value>,
}

impl ReadDoc {
    /// Reads a line; the error is the line, shortened.
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        let wrong = || line.chars().take(200).collect::<String>();
        let Ok(Value::Object(mut doc)) = serde_json::from_str::<Value>(line) else { return Err(wrong()) };
        let text = |value: Option<Value>| match value {
            Some(Value::String(text)) if !text.is_empty() => Ok(text),
            _ => Err(wrong()),
        };
        let Some(Value::Object(source)) = doc.remove("_source") else { return Err(wrong()) };
        Ok(Self { type_name: text(doc.remove("_type"))?, id: text(doc.remove("_id"))?, source })
    }

    /// A declared property that is a text.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.source.get("s")?.get(key)?.as_str()
    }

    pub(super) fn object(&self, key: &str) -> Map<String, Value> {
        self.source.get(key).and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// The identifier of what it is bound to.
    pub(super) fn bound(&self, type_name: &str) -> Option<&str> {
        self.source.get("l")?.get(type_name)?.as_str()
    }

    /// A value of the document itself, such as the end of a link.
    pub(super) fn own(&self, key: &str) -> Option<&str> {
        self.source.get(key)?.as_str()
    }

    /// Milliseconds since 1970.
    pub(super) fn time(&self, key: &str) -> Option<i64> {
        self.source.get(key)?.as_i64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_stable_and_22_characters() {
        let ids = DocIds::new("cell".to_owned());
        assert_eq!(ids.of("Role", 7), ids.of("Role", 7));
        assert_eq!(ids.of("Role", 7).len(), 22);
        for other in [ids.of("Role", 8), ids.of("Box", 7), DocIds::new("other".to_owned()).of("Role", 7)] {
            assert_ne!(ids.of("Role", 7), other);
        }
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let ids = DocIds::new("cell".to_owned());
        let declared = json!({ "Name": "r" }).as_object().cloned().expect("an object");
        let doc =
            Doc { declared, bound: Some(("Box", "b".to_owned())), created_ms: 1, updated_ms: 2, ..Doc::default() };
        let line = doc.line(&ids, "Role", "id").to_string();
        let read = ReadDoc::parse(&line).expect("a document");
        assert_eq!((read.type_name.as_str(), read.id.as_str(), read.text("Name")), ("Role", "id", Some("r")));
        assert_eq!((read.bound("Box"), read.time("p"), read.time("u")), (Some("b"), Some(1), Some(2)));
        for wrong in ["", "[]", "{", r#"{"_type":"Role","_id":"x"}"#, r#"{"_type":1,"_id":"x","_source":{}}"#] {
            assert!(ReadDoc::parse(wrong).is_err(), "{wrong}");
        }
    }
}
