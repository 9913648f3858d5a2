//! What becomes of each member below `90_contents`: it must be declared, or belong to a collection that takes it.
//!
//! Names are compared as they stand. Directories must be declared too.

use std::collections::HashMap;

use super::Layout;
use super::cause::Cause;
use super::inspect::{Member, MemberKind};
use super::rootprops::{Kind, ResourceDeclaration, SOURCE};

/// What a member is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A collection that its declaration, at this index, has created; nothing is left to do.
    Collection(usize),
    /// The content of the file that is declared at this index, at the path of the declaration.
    StoreFile(usize),
    /// A part of the OData collection that is declared at this index.
    OData(usize, ODataPart),
}

/// The parts that an OData collection can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ODataPart {
    Schema,
    Links,
    /// `90_data`, or the directory of an entity set in it.
    Directory,
    /// One record.
    Record,
}

/// The declarations of a bar, to look members up in.
#[derive(Debug)]
pub struct Contents<'a> {
    layout: Layout,
    resources: &'a [ResourceDeclaration],
    by_path: HashMap<String, usize>,
    /// The number of names in the longest path that is declared.
    depth: usize,
}

impl<'a> Contents<'a> {
    pub fn new(resources: &'a [ResourceDeclaration], layout: Layout) -> Self {
        let by_path = resources.iter().enumerate().map(|(index, r)| (r.path.join("/"), index)).collect();
        let depth = resources.iter().map(|r| r.path.len()).max().unwrap_or(0);
        Self { layout, resources, by_path, depth }
    }

    /// What a member is for. Its whole name is the object of all events about it.
    pub fn action(&self, member: &Member<'_>) -> Result<Action, Cause> {
        let path = member.name.strip_prefix(self.layout.contents()).ok_or(Cause::NotDeclared)?;
        let directory = member.kind == MemberKind::Directory;
        let path = if directory { path.strip_suffix('/').unwrap_or(path) } else { path };
        if let Some(action) = self.declared(path, directory) {
            return Ok(action);
        }
        if let Some((collection, rest)) = self.above(path, Kind::OData) {
            let part = odata_part(rest, directory).ok_or(Cause::Structure)?;
            return Ok(Action::OData(collection, part));
        }
        let (service, rest) = self.above(path, Kind::Service).ok_or(Cause::NotDeclared)?;
        if rest.split('/').next() == Some(SOURCE) {
            return Err(Cause::NotDeclared);
        }
        let mut source = self.resources[service].path.join("/");
        source.push('/');
        source.push_str(SOURCE);
        source.push('/');
        source.push_str(rest);
        let missing = if directory { Cause::NotDeclared } else { Cause::ContentType };
        self.declared(&source, directory).ok_or(missing)
    }

    /// The action for a path that is declared as what the member is.
    fn declared(&self, path: &str, directory: bool) -> Option<Action> {
        let index = match self.by_path.get(path) {
            Some(index) => *index,
            None if path.is_empty() && directory => return Some(Action::Collection(0)),
            None => return None,
        };
        match (self.resources[index].kind == Kind::File && !path.is_empty(), directory) {
            (true, false) => Some(Action::StoreFile(index)),
            (false, true) => Some(Action::Collection(index)),
            _ => None,
        }
    }

    /// The collection of a kind that the path lies in, and the rest of the path.
    fn above<'p>(&self, path: &'p str, kind: Kind) -> Option<(usize, &'p str)> {
        path.match_indices('/').take(self.depth).find_map(|(at, _)| {
            let index = *self.by_path.get(&path[..at])?;
            (self.resources[index].kind == kind).then(|| (index, &path[at + 1..]))
        })
    }
}

fn odata_part(path: &str, directory: bool) -> Option<ODataPart> {
    let segments: Vec<&str> = path.split('/').collect();
    match (segments.as_slice(), directory) {
        (["00_$metadata.xml"], false) => Some(ODataPart::Schema),
        (["10_odatarelations.json"], false) => Some(ODataPart::Links),
        (["90_data"] | ["90_data", _], true) => Some(ODataPart::Directory),
        (["90_data", set, file], false) if !set.is_empty() => {
            let number = file.strip_suffix(".json")?;
            (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).then_some(ODataPart::Record)
        }
        _ => None,
    }
}

/// The content type of a declared file, if it is one: `type/subtype`, with or without parameters, in visible ASCII.
pub fn content_type(declaration: &ResourceDeclaration) -> Result<&str, Cause> {
    declaration.content_type.as_deref().filter(|text| is_content_type(text)).ok_or(Cause::ContentType)
}

fn is_content_type(text: &str) -> bool {
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let Some((kind, subtype)) = essence.trim().split_once('/') else { return false };
    is_token(kind) && is_token(subtype) && are_parameters(parameters)
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// `name=value` separated by semicolons; a value is a token or stands in quotes.
fn are_parameters(mut text: &str) -> bool {
    loop {
        text = text.trim_start_matches([' ', '\t', ';']);
        if text.is_empty() {
            return true;
        }
        let Some((name, rest)) = text.split_once('=') else { return false };
        let Some(rest) = value_end(rest) else { return false };
        if !is_token(name.trim()) {
            return false;
        }
        text = rest.trim_start_matches([' ', '\t']);
        if !text.is_empty() && !text.starts_with(';') {
            return false;
        }
    }
}

/// What follows a value at the start of the text.
fn value_end(text: &str) -> Option<&str> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ' ', '\t']).unwrap_or(text.len());
        return is_token(&text[..end]).then(|| &text[end..]);
    };
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            '"' if !escaped => return Some(&quoted[at + 1..]),
            ' '..='~' | '\t' => escaped = c == '\\' && !escaped,
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests;
