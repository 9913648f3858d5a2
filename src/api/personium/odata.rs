//! What control objects need of OData: keys in URLs, query options, JSON bodies and the JSON envelope of answers.

mod body;
mod entity;
mod filter;
mod key;
mod query;

pub(super) use body::{Fields, field_problem, link_uri};
pub(super) use entity::{Entity, Named, created, found, listed, updated, uris, write_allowed};
pub(super) use key::{Key, Step, quoted, steps};
pub(super) use query::Options;

/// See `fuzz_odata`.
#[cfg(any(test, feature = "fuzz"))]
pub(super) fn fuzz(data: &[u8]) {
    let _ = Fields::parse(data, &["Name"]).map(|fields| (fields.text("Name").is_ok(), fields.number("Name").is_ok()));
    let _ = link_uri(data);
    let text = String::from_utf8_lossy(data);
    for step in steps(&text) {
        if let Ok(Some(key)) = step.key() {
            let _ = key.values(["Name", "_Box.Name"]);
        }
    }
    let entity = serde_json::json!({ "Name": &text, "_Box.Name": null, "__updated": "/Date(7)/" });
    for query in [text.clone().into_owned(), format!("$filter={text}"), format!("$orderby={text}")] {
        if let Ok(options) = Options::of(Some(&query), &http::HeaderMap::new()) {
            let mut values = vec![entity.clone(); 2];
            options.filter_and_order(&mut values);
            assert!(values.is_empty() || values.len() == 2, "equal entities are treated alike");
        }
    }
}
