//! The `If` header (RFC 4918 section 10.4), as a pure value: lists of conditions, of which one has to hold as a whole.
//!
//! A list speaks of the resource that the tag before it names, else of the one that the request names. Every token that
//! stands in the header counts as submitted, whatever its list says.

use std::fmt;

/// The header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IfHeader {
    pub lists: Vec<List>,
}

/// Conditions that hold together or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List {
    /// The URL of the resource; none for that of the request.
    pub tag: Option<String>,
    /// Never empty.
    pub conditions: Vec<Condition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub not: bool,
    pub state: State,
}

/// What a resource may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// The token of a lock that covers it, or another absolute URI.
    Token(String),
    /// An entity tag with its quotes, and `W/` where it is weak.
    ETag(String),
}

/// The text is no `If` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an If header is malformed at byte {0}")]
pub(super) struct Malformed(pub usize);

impl IfHeader {
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        let mut input = Input { text, at: 0 };
        let mut lists = Vec::new();
        let mut tag: Option<String> = None;
        // A tag must be followed by a list.
        let mut open_tag = false;
        loop {
            input.skip_space();
            match input.peek() {
                None if lists.is_empty() || open_tag => return Err(input.malformed()),
                None => return Ok(Self { lists }),
                Some(b'<') if !open_tag => {
                    tag = Some(input.coded_url()?);
                    open_tag = true;
                }
                Some(b'(') => {
                    lists.push(List { tag: tag.clone(), conditions: input.conditions()? });
                    open_tag = false;
                }
                Some(_) => return Err(input.malformed()),
            }
        }
    }

    /// Every token in the header.
    pub(super) fn tokens(&self) -> impl Iterator<Item = &str> {
        self.lists.iter().flat_map(|list| &list.conditions).filter_map(|condition| match &condition.state {
            State::Token(token) => Some(token.as_str()),
            State::ETag(_) => None,
        })
    }
}

impl List {
    /// Whether all of it holds of a resource, where `has` tells what the resource has.
    pub(super) fn holds(&self, has: impl Fn(&State) -> bool) -> bool {
        self.conditions.iter().all(|condition| has(&condition.state) != condition.not)
    }
}

struct Input<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Input<'t> {
    fn malformed(&self) -> Malformed {
        Malformed(self.at)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Takes what stands before the next `end`, which must follow, and `end` itself.
    fn until(&mut self, end: char) -> Result<&'t str, Malformed> {
        let text: &'t str = self.text;
        let rest = &text[self.at..];
        let length = rest.find(end).ok_or_else(|| self.malformed())?;
        self.at += length + end.len_utf8();
        Ok(&rest[..length])
    }

    fn coded_url(&mut self) -> Result<String, Malformed> {
        self.at += 1;
        let begin = self.at;
        let url = self.until('>')?;
        if url.is_empty() || url.contains(|c: char| c.is_whitespace() || c.is_control() || c == '<') {
            return Err(Malformed(begin));
        }
        Ok(url.to_owned())
    }

    /// An entity tag in brackets. One without quotes is taken as it is: it matches nothing.
    fn etag(&mut self) -> Result<String, Malformed> {
        self.at += 1;
        let begin = self.at;
        let weak = self.text[begin..].starts_with("W/");
        self.at += if weak { 2 } else { 0 };
        if self.peek() == Some(b'"') {
            self.at += 1;
            self.until('"')?;
        }
        self.until(']')?;
        let tag = self.text[begin..self.at - 1].trim();
        let closed = !tag.contains('"') || tag.ends_with('"');
        if tag.is_empty() || !closed { Err(Malformed(begin)) } else { Ok(tag.to_owned()) }
    }

    fn conditions(&mut self) -> Result<Vec<Condition>, Malformed> {
        self.at += 1;
        let mut conditions = Vec::new();
        let mut not = false;
        loop {
            self.skip_space();
            let state = match self.peek() {
                Some(b')') if !conditions.is_empty() && !not => {
                    self.at += 1;
                    return Ok(conditions);
                }
                Some(b'<') => State::Token(self.coded_url()?),
                Some(b'[') => State::ETag(self.etag()?),
                Some(b'n' | b'N') if !not && self.is_not() => {
                    self.at += 3;
                    not = true;
                    continue;
                }
                _ => return Err(self.malformed()),
            };
            conditions.push(Condition { not, state });
            not = false;
        }
    }

    fn is_not(&self) -> bool {
        self.text.as_bytes()[self.at..].get(..3).is_some_and(|word| word.eq_ignore_ascii_case(b"not"))
    }
}

impl fmt::Display for IfHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tag = None;
        for list in &self.lists {
            if let Some(new) = list.tag.as_ref().filter(|new| tag != Some(*new)) {
                write!(f, "<{new}> ")?;
                tag = Some(new);
            }
            f.write_str("(")?;
            for condition in &list.conditions {
                f.write_str(if condition.not { " Not " } else { " " })?;
                match &condition.state {
                    State::Token(token) => write!(f, "<{token}>")?,
                    State::ETag(etag) => write!(f, "[{etag}]")?,
                }
            }
            f.write_str(") ")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
