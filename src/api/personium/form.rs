//! Forms: `application/x-www-form-urlencoded`, in bodies and in queries.

use percent_encoding::percent_decode_str;

/// The fields of a form. Of fields with one name the first counts.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Form")
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

impl Form {
    pub(super) fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(n, v)| (decoded(n), decoded(v)))
                .collect(),
        )
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A field that is there and not empty.
    pub(super) fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_the_first_counts() {
        let form = Form::parse(b"a=1+2%2B&b=&c&a=3&%C3%A4=%ff&=x");
        assert_eq!((form.get("a"), form.get("b"), form.get("c")), (Some("1 2+"), Some(""), Some("")));
        assert_eq!((form.filled("b"), form.get("d")), (None, None));
        assert_eq!(form.get("\u{e4}"), Some("\u{fffd}"));
        assert!(!form.is_true("a") && Form::parse(b"x=true").is_true("x"));
        assert_eq!(format!("{form:?}"), "Form", "forms hold passwords");
    }
}
