//! Writing the metadata of a bar. The same values always give the same bytes.
//!
//! JSON is compact, with keys in a fixed order, lists sorted and nulls left out. A list without items has no file.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::metadata::{Link, LinkEnd};
use crate::domain::rule::RuleFields;

mod rootprops;

pub use rootprops::{Resource, RootpropsWriter};

#[derive(Serialize)]
struct ManifestOut<'a> {
    bar_version: &'static str,
    box_version: &'static str,
    default_path: &'a str,
    schema: Option<&'a str>,
}

/// `00_manifest.json`.
pub fn manifest(box_name: &str, schema: Option<&str>) -> Vec<u8> {
    written(&ManifestOut { bar_version: "2", box_version: "1", default_path: box_name, schema })
}

/// `10_relations.json`, of the names of the relations.
pub fn relations(names: &[String]) -> Option<Vec<u8>> {
    named("Relations", names)
}

/// `20_roles.json`, of the names of the roles.
pub fn roles(names: &[String]) -> Option<Vec<u8>> {
    named("Roles", names)
}

fn named(key: &'static str, names: &[String]) -> Option<Vec<u8>> {
    let mut names: Vec<&String> = names.iter().collect();
    names.sort_unstable();
    let items = names.into_iter().map(|name| Fields(vec![("Name", json!(name))]));
    list(key, items.collect())
}

/// `30_extroles.json`, of URLs and names of relations.
pub fn ext_roles(roles: &[(String, String)]) -> Option<Vec<u8>> {
    let mut roles: Vec<_> = roles.iter().collect();
    roles.sort_unstable();
    let item = |(url, relation): &(String, String)| ext_role_key(url, relation);
    list("ExtRoles", roles.into_iter().map(item).collect())
}

/// `50_rules.json`, of names and fields of rules: sorted by the names, which are not written.
pub fn rules(rules: &[(String, RuleFields)]) -> Option<Vec<u8>> {
    let mut rules: Vec<_> = rules.iter().collect();
    rules.sort_by(|a, b| a.0.cmp(&b.0));
    let item = |(_, rule): &(String, RuleFields)| {
        let texts = [
            ("EventSubject", &rule.event_subject),
            ("EventType", &rule.event_type),
            ("EventObject", &rule.event_object),
            ("EventInfo", &rule.event_info),
            ("Action", &rule.action),
            ("TargetUrl", &rule.target_url),
        ];
        let texts = texts.into_iter().filter_map(|(key, text)| text.as_ref().map(|text| (key, json!(text))));
        Fields(std::iter::once(("EventExternal", json!(rule.event_external))).chain(texts).collect())
    };
    list("Rules", rules.into_iter().map(item).collect())
}

/// `70_$links.json`.
pub fn links(links: &[Link]) -> Option<Vec<u8>> {
    let mut links: Vec<_> = links.iter().collect();
    links.sort_unstable();
    let item = |link: &Link| {
        Fields(vec![
            ("FromType", json!(link.from.set())),
            ("FromName", end_key(&link.from)),
            ("ToType", json!(link.to.set())),
            ("ToName", end_key(&link.to)),
        ])
    };
    list("Links", links.into_iter().map(item).collect())
}

fn end_key(end: &LinkEnd) -> Value {
    match end {
        LinkEnd::Relation(name) | LinkEnd::Role(name) => json!({ "Name": name }),
        LinkEnd::ExtRole { url, relation } => Value::Object(
            ext_role_key(url, relation).0.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Map<_, _>>(),
        ),
    }
}

fn ext_role_key(url: &str, relation: &str) -> Fields {
    Fields(vec![("ExtRole", json!(url)), ("_Relation.Name", json!(relation))])
}

/// An object whose keys keep their order.
struct Fields(Vec<(&'static str, Value)>);

impl Serialize for Fields {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

fn list(key: &'static str, items: Vec<Fields>) -> Option<Vec<u8>> {
    #[derive(Serialize)]
    #[serde(transparent)]
    struct Items(Vec<Fields>);

    if items.is_empty() {
        return None;
    }
    Some(written(&std::collections::BTreeMap::from([(key, Items(items))])))
}

fn written<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("invariant: these values have texts as keys")
}

#[cfg(test)]
mod tests;
