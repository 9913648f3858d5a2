//! URIs by RFC 3986: the five parts, and references resolved against a base.

/// The parts of a URI or of a relative reference, as they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uri<'a> {
    pub scheme: Option<&'a str>,
    pub authority: Option<&'a str>,
    pub path: &'a str,
    pub query: Option<&'a str>,
    pub fragment: Option<&'a str>,
}

impl<'a> Uri<'a> {
    /// Splits any text; what is no URI has odd parts, see [`is_clean`].
    pub fn split(text: &'a str) -> Self {
        let (text, fragment) = cut(text, '#');
        let (text, query) = cut(text, '?');
        let (scheme, text) = match text.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
            _ => (None, text),
        };
        let (authority, path) = match text.strip_prefix("//") {
            Some(rest) => {
                let end = rest.find('/').unwrap_or(rest.len());
                (Some(&rest[..end]), &rest[end..])
            }
            None => (None, text),
        };
        Self { scheme, authority, path, query, fragment }
    }

    fn join(self, path: &str) -> String {
        let mut out = String::new();
        if let Some(scheme) = self.scheme {
            out.push_str(scheme);
            out.push(':');
        }
        if let Some(authority) = self.authority {
            out.push_str("//");
            out.push_str(authority);
        }
        out.push_str(path);
        for (mark, part) in [('?', self.query), ('#', self.fragment)] {
            if let Some(part) = part {
                out.push(mark);
                out.push_str(part);
            }
        }
        out
    }
}

/// Whether a text holds only characters that a URI (or an IRI: letters of any script) may hold.
pub fn is_clean(text: &str) -> bool {
    const NEVER: &[char] = &['"', '<', '>', '\\', '^', '`', '{', '|', '}'];
    text.chars().all(|c| !c.is_control() && !c.is_whitespace() && !NEVER.contains(&c))
}

/// Resolves a reference against an absolute base (RFC 3986, 5.2); none where neither has a scheme.
pub fn resolve(base: Option<&str>, reference: &str) -> Option<String> {
    let r = Uri::split(reference);
    if r.scheme.is_some() {
        return Some(r.join(&remove_dots(r.path)));
    }
    let b = Uri::split(base?);
    b.scheme?;
    let target = |authority, query| Uri { scheme: b.scheme, authority, path: "", query, fragment: r.fragment };
    if r.authority.is_some() {
        return Some(target(r.authority, r.query).join(&remove_dots(r.path)));
    }
    if r.path.is_empty() {
        return Some(target(b.authority, r.query.or(b.query)).join(b.path));
    }
    let path = if r.path.starts_with('/') {
        r.path.to_owned()
    } else if b.authority.is_some() && b.path.is_empty() {
        format!("/{}", r.path)
    } else {
        let directory = b.path.rfind('/').map_or("", |at| &b.path[..=at]);
        format!("{directory}{}", r.path)
    };
    Some(target(b.authority, r.query).join(&remove_dots(&path)))
}

fn cut(text: &str, mark: char) -> (&str, Option<&str>) {
    text.split_once(mark).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// Takes `.` and `..` out of a path; a `..` too many is dropped.
fn remove_dots(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("{}{}", if rooted { "/" } else { "" }, kept.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn references_resolve_as_in_rfc_3986() {
        let base = "http://a/b/c/d;p?q";
        for (reference, expected) in [
            ("g:h", "g:h"),
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y#s", "http://a/b/c/g?y#s"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("g#s/../x", "http://a/b/c/g#s/../x"),
        ] {
            assert_eq!(resolve(Some(base), reference).as_deref(), Some(expected), "{reference}");
        }
    }

    #[test]
    fn a_path_without_authority_resolves_too() {
        let base = Some("personium-localunit:cell1:/__role/box1/");
        assert_eq!(resolve(base, "../__/r").as_deref(), Some("personium-localunit:cell1:/__role/__/r"));
        assert_eq!(resolve(None, "r"), None);
        assert_eq!(resolve(Some("/a/"), "r"), None);
    }

    #[test]
    fn the_parts_of_a_uri() {
        let uri = Uri::split("http://h:1/p/q?a#b");
        assert_eq!((uri.scheme, uri.authority, uri.path), (Some("http"), Some("h:1"), "/p/q"));
        assert_eq!((uri.query, uri.fragment), (Some("a"), Some("b")));
        assert_eq!(Uri::split("word").scheme, None);
        assert_eq!(Uri::split("1a:b").scheme, None);
    }

    proptest! {
        #[test]
        fn noise_never_panics(base in "[a:/.?#é]{0,12}", reference in "[a:/.?#é]{0,12}") {
            let _ = resolve(Some(&base), &reference);
        }
    }
}
