//! JSON bodies of control objects: one object, known fields, values of the right type.

use serde_json::{Map, Value};

use crate::domain::names::{FieldDefect, FieldError};
use crate::web::problem::{Code, Problem};

/// The fields of a body.
#[derive(Debug)]
pub(in super::super) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads a body. A field that is not among `known` is refused by its name; so are the fields that the server keeps.
    pub(in super::super) fn parse(body: &[u8], known: &[&str]) -> Result<Self, Problem> {
        let fields = object(body)?;
        match fields.keys().find(|name| !known.contains(&name.as_str())) {
            Some(unknown) => Err(Problem::new(Code::ODataUnknownField).with(unknown)),
            None => Ok(Self(fields)),
        }
    }

    pub(in super::super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A text; none where it is absent or null.
    pub(in super::super) fn text(&self, name: &'static str) -> Result<Option<String>, Problem> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(field_problem(FieldError::format(name))),
        }
    }

    /// A text that must be there.
    pub(in super::super) fn required(&self, name: &'static str) -> Result<String, Problem> {
        self.text(name)?.ok_or_else(|| field_problem(FieldError::required(name)))
    }

    /// A number of things or bytes; none where it is absent or null.
    pub(in super::super) fn number(&self, name: &'static str) -> Result<Option<i64>, Problem> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_i64().filter(|number| *number >= 0) {
                Some(number) => Ok(Some(number)),
                None => Err(field_problem(FieldError::format(name))),
            },
        }
    }

    /// A truth value; none where it is absent or null.
    pub(in super::super) fn boolean(&self, name: &'static str) -> Result<Option<bool>, Problem> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(field_problem(FieldError::format(name))),
        }
    }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    serde_json::from_slice(body).map_err(|e| Problem::new(Code::ODataJson).because(e))
}

/// The `uri` of a link's body.
pub(in super::super) fn link_uri(body: &[u8]) -> Result<String, Problem> {
    match object(body)?.get("uri") {
        Some(Value::String(uri)) if !uri.is_empty() => Ok(uri.clone()),
        _ => Err(field_problem(FieldError::format("uri"))),
    }
}

/// The refusal of a field.
pub(in super::super) fn field_problem(error: FieldError) -> Problem {
    let code = match error.kind {
        FieldDefect::Required => Code::ODataFieldRequired,
        FieldDefect::Format => Code::ODataField,
        FieldDefect::Schema => Code::ODataSchemaUri,
        FieldDefect::CellUrl => Code::ODataCellUrl,
    };
    Problem::new(code).with(error.field)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: &str) -> String {
        Fields::parse(body.as_bytes(), &["Name", "Flag"])
            .and_then(|f| f.boolean("Flag").and(f.required("Name")))
            .expect_err("a problem")
            .to_string()
    }

    #[test]
    fn bodies_are_refused_by_their_first_defect() {
        for body in ["", "[]", "\"x\"", "{", "<a/>", "{\"Name\":\"a\"} x"] {
            assert_eq!(refusal(body), "PR400-OD-0001 JSON parse error.", "{body}");
        }
        assert_eq!(refusal(r#"{"Name":1,"Other":2}"#), "PR400-OD-0007 [Other]");
        assert_eq!(refusal(r#"{"Name":"a","__published":"/Date(0)/"}"#), "PR400-OD-0007 [__published]");
        assert_eq!(refusal("{}"), "PR400-OD-0009 [Name] is required.");
        assert_eq!(refusal(r#"{"Name":null}"#), "PR400-OD-0009 [Name] is required.");
        assert_eq!(refusal(r#"{"Name":7}"#), "PR400-OD-0006 request body format error. field [Name]");
        assert_eq!(refusal(r#"{"Flag":"true"}"#), "PR400-OD-0006 request body format error. field [Flag]");
    }

    #[test]
    fn a_link_needs_a_uri() {
        assert_eq!(link_uri(br#"{"uri":"x"}"#).expect("a uri"), "x");
        for body in [r#"{"uri":""}"#, r#"{"uri":null}"#, r#"{"uri":1}"#, "{}"] {
            assert_eq!(link_uri(body.as_bytes()).expect_err("a problem").code(), Code::ODataField, "{body}");
        }
        assert_eq!(link_uri(b"").expect_err("a problem").code(), Code::ODataJson);
    }
}
