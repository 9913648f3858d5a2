//! Entities in answers: `{"d":{"results":…}}`, weak tags, conditions.

use http::header::{ETAG, HeaderValue, LOCATION};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use super::query::Options;
use crate::web::conditional::{Conditions, Current, Verdict};
use crate::web::problem::{Code, Problem};
use crate::web::{Response, response};

/// What kind of entity it is.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Named {
    /// `CellCtl.Role`
    pub(in super::super) type_name: &'static str,
    /// Every property that a filter, an order or a selection may name.
    pub(in super::super) properties: &'static [&'static str],
    /// The navigation properties.
    pub(in super::super) navigation: &'static [&'static str],
}

/// One entity. Times in milliseconds since 1970.
#[derive(Debug)]
pub(in super::super) struct Entity {
    pub(in super::super) named: Named,
    pub(in super::super) uri: String,
    pub(in super::super) version: i64,
    pub(in super::super) created_ms: i64,
    pub(in super::super) updated_ms: i64,
    pub(in super::super) fields: Map<String, Value>,
}

impl Entity {
    pub(in super::super) fn etag(&self) -> String {
        etag(self.version, self.updated_ms)
    }

    /// Whether it is among those that were asked for.
    pub(in super::super) fn is_asked_for(&self, options: &Options) -> bool {
        options.passes(&self.value(false))
    }

    /// The entity as a value; `retrieved` adds where its navigation properties lead.
    fn value(&self, retrieved: bool) -> Value {
        let mut fields = self.fields.clone();
        let date = |ms: i64| Value::String(format!("/Date({ms})/"));
        let metadata = json!({ "uri": self.uri, "etag": self.etag(), "type": self.named.type_name });
        fields.insert("__metadata".to_owned(), metadata);
        fields.insert("__published".to_owned(), date(self.created_ms));
        fields.insert("__updated".to_owned(), date(self.updated_ms));
        for name in self.named.navigation.iter().filter(|_| retrieved) {
            let uri = format!("{}/{name}", self.uri);
            fields.insert((*name).to_owned(), json!({ "__deferred": { "uri": uri } }));
        }
        Value::Object(fields)
    }
}

/// The weak tag of an entity.
pub(super) fn etag(version: i64, updated_ms: i64) -> String {
    format!("W/\"{version}-{updated_ms}\"")
}

/// Whether the conditions of a request let an entity be changed.
pub(in super::super) fn write_allowed(conditions: &Conditions, version: i64, updated_ms: i64) -> Result<(), Problem> {
    let tag = etag(version, updated_ms);
    match conditions.evaluate(false, Current::of(&tag, None)) {
        Verdict::Proceed => Ok(()),
        _ => Err(Code::EntityEtagMismatch.into()),
    }
}

fn tagged(mut response: Response, tag: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(ETAG, value);
    }
    let version = HeaderValue::from_static("2.0");
    response.headers_mut().insert("dataserviceversion", version);
    response
}

/// 201 with the entity.
pub(in super::super) fn created(entity: &Entity) -> Response {
    let body = json!({ "d": { "results": entity.value(false) } });
    let mut response = tagged(response::json(StatusCode::CREATED, &body), &entity.etag());
    if let Ok(location) = HeaderValue::from_str(&entity.uri) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// 200 with the entity, or 304.
pub(in super::super) fn found(entity: &Entity, request: &HeaderMap, options: &Options) -> Result<Response, Problem> {
    let tag = entity.etag();
    match Conditions::of(request).evaluate(true, Current::of(&tag, None)) {
        Verdict::Failed => Err(Code::EntityEtagMismatch.into()),
        Verdict::NotModified => Ok(tagged(response::empty(StatusCode::NOT_MODIFIED), &tag)),
        Verdict::Proceed => {
            options.check(entity.named.properties)?;
            let mut value = entity.value(true);
            options.select_from(&mut value);
            let body = json!({ "d": { "results": value } });
            Ok(tagged(response::json(StatusCode::OK, &body), &tag))
        }
    }
}

/// 204 after a change, with the new tag.
pub(in super::super) fn updated(version: i64, updated_ms: i64) -> Response {
    tagged(response::empty(StatusCode::NO_CONTENT), &etag(version, updated_ms))
}

/// 200 with entities. `count`: how many there are, where the page was cut before; else the options are applied here.
pub(in super::super) fn listed(
    entities: Vec<Entity>,
    named: Named,
    options: &Options,
    count: Option<usize>,
) -> Result<Response, Problem> {
    options.check(named.properties)?;
    let mut values: Vec<Value> = entities.iter().map(|entity| entity.value(true)).collect();
    let count = if let Some(count) = count {
        count
    } else {
        options.filter_and_order(&mut values);
        let count = values.len();
        values = options.page(values);
        count
    };
    for value in &mut values {
        options.select_from(value);
    }
    let mut d = json!({ "results": values });
    if options.count {
        d["__count"] = Value::String(count.to_string());
    }
    let mut response = response::json(StatusCode::OK, &json!({ "d": d }));
    response.headers_mut().insert("dataserviceversion", HeaderValue::from_static("2.0"));
    Ok(response)
}

/// 200 with the addresses of what is linked.
pub(in super::super) fn uris(entities: &[Entity], options: &Options) -> Response {
    let values = entities.iter().map(|entity| json!({ "uri": entity.uri })).collect();
    let values: Vec<Value> = options.page(values);
    response::json(StatusCode::OK, &json!({ "d": { "results": values } }))
}
