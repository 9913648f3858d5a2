//! Query options of control objects: paging, counting, order, selection; filters are read in `filter.rs`.

use std::cmp::Ordering;

use http::HeaderMap;
use http::header::ACCEPT;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::filter::Filter;
use crate::web::headers::list;
use crate::web::problem::{Code, Problem};

const TOP: usize = 25;
const TOP_MOST: usize = 10_000;
const SKIP_MOST: usize = 100_000;

/// What a request asks of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Options {
    pub(in super::super) top: usize,
    pub(in super::super) skip: usize,
    /// Whether to say how many there are in all.
    pub(in super::super) count: bool,
    pub(in super::super) filter: Option<Filter>,
    /// Properties, and whether their order is reversed.
    pub(in super::super) order: Vec<(String, bool)>,
    select: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { top: TOP, skip: 0, count: false, filter: None, order: Vec::new(), select: Vec::new() }
    }
}

impl Options {
    /// Reads the query of a request, and whether its client takes JSON.
    pub(in super::super) fn of(query: Option<&str>, headers: &HeaderMap) -> Result<Self, Problem> {
        let mut options = Self::default();
        let mut format = false;
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name), decoded(value));
            format |= name == "$format";
            options.read(&name, value.trim())?;
        }
        if !format {
            accepts_json(headers)?;
        }
        Ok(options)
    }

    fn read(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        let number = |most: usize| {
            value
                .parse()
                .ok()
                .filter(|n| *n <= most)
                .ok_or_else(|| Problem::new(Code::ODataQueryValue).with(name).with(value))
        };
        match name {
            "$top" => self.top = number(TOP_MOST)?,
            "$skip" => self.skip = number(SKIP_MOST)?,
            "$inlinecount" => {
                self.count = match value {
                    "allpages" => true,
                    "none" => false,
                    _ => return Err(Problem::new(Code::ODataInlineCount).with(value)),
                }
            }
            "$format" => match value {
                "json" => {}
                "atom" => return Err(Problem::new(Code::ODataNotAcceptable).with("application/atom+xml")),
                _ => return Err(Problem::new(Code::ODataFormat).with(value)),
            },
            "$filter" => self.filter = Some(Filter::parse(value)?),
            "$orderby" => self.order = order(value).ok_or(Code::ODataOrderBy)?,
            "$select" => self.select = value.split(',').map(|name| name.trim().to_owned()).collect(),
            "$expand" | "q" => return Err(Problem::new(Code::NotImplemented).with(name)),
            _ if name.starts_with('$') => return Err(Problem::new(Code::ODataQueryOption).with(name)),
            _ => {}
        }
        Ok(())
    }

    /// Whether every property that the options name is one of the entity's.
    pub(super) fn check(&self, properties: &[&str]) -> Result<(), Problem> {
        let known = |name: &str| properties.contains(&name) || matches!(name, "__published" | "__updated");
        let named = self.filter.iter().flat_map(Filter::properties);
        if let Some(unknown) = named.into_iter().find(|name| !known(name)) {
            return Err(Problem::new(Code::ODataUnknownProperty).with(unknown));
        }
        if self.order.iter().any(|(name, _)| !known(name)) {
            return Err(Code::ODataOrderBy.into());
        }
        if self.select.iter().any(|name| name != "*" && !known(name)) {
            return Err(Code::ODataSelect.into());
        }
        Ok(())
    }

    /// Whether an entity is among those that were asked for.
    pub(super) fn passes(&self, entity: &Value) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.holds(entity))
    }

    pub(super) fn filter_and_order(&self, values: &mut Vec<Value>) {
        values.retain(|value| self.passes(value));
        values.sort_by(|a, b| {
            let compare = |(name, reversed): &(String, bool)| {
                let ordering = text_of(&a[name]).cmp(&text_of(&b[name]));
                if *reversed { ordering.reverse() } else { ordering }
            };
            self.order.iter().map(compare).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
        });
    }

    pub(super) fn page(&self, values: Vec<Value>) -> Vec<Value> {
        values.into_iter().skip(self.skip).take(self.top).collect()
    }

    /// Leaves what was selected, and what tells the entity from others.
    pub(super) fn select_from(&self, entity: &mut Value) {
        if self.select.is_empty() || self.select.iter().any(|name| name == "*") {
            return;
        }
        if let Value::Object(fields) = entity {
            fields.retain(|name, _| name == "__metadata" || self.select.iter().any(|selected| selected == name));
        }
    }
}

/// The text that a value is ordered by; null comes first.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

fn order(text: &str) -> Option<Vec<(String, bool)>> {
    text.split(',')
        .map(|item| {
            let mut words = item.split_whitespace();
            let name = words.next()?.to_owned();
            match (words.next(), words.next()) {
                (None | Some("asc"), None) => Some((name, false)),
                (Some("desc"), None) => Some((name, true)),
                _ => None,
            }
        })
        .collect()
}

/// JSON is what there is: an `Accept` that rules it out is refused.
fn accepts_json(headers: &HeaderMap) -> Result<(), Problem> {
    let mut values = headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok()).peekable();
    if values.peek().is_none() {
        return Ok(());
    }
    let accept = values.collect::<Vec<_>>().join(", ");
    let takes = |item: &str| {
        let mime = item.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        matches!(mime.as_str(), "*/*" | "application/*") || mime.ends_with("json")
    };
    if accept.trim().is_empty() || list(&accept).any(takes) {
        Ok(())
    } else {
        Err(Problem::new(Code::ODataNotAcceptable).with(accept))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;

    use super::*;

    fn options(query: &str) -> Result<Options, Code> {
        Options::of(Some(query), &HeaderMap::new()).map_err(|p| p.code())
    }

    #[test]
    fn options_have_bounds() {
        assert_eq!(options("").map(|o| (o.top, o.skip, o.count)), Ok((25, 0, false)));
        let all = options("$top=10000&$skip=100000&$inlinecount=allpages&p_cookie_peer=x");
        assert_eq!(all.map(|o| (o.top, o.skip, o.count)), Ok((10_000, 100_000, true)));
        for (query, code) in [
            ("$top=10001", Code::ODataQueryValue),
            ("$top=-1", Code::ODataQueryValue),
            ("$top=x", Code::ODataQueryValue),
            ("$skip=100001", Code::ODataQueryValue),
            ("$inlinecount=some", Code::ODataInlineCount),
            ("$format=xml", Code::ODataFormat),
            ("$format=atom", Code::ODataNotAcceptable),
            ("$orderby=Name%20up", Code::ODataOrderBy),
            ("$orderby=", Code::ODataOrderBy),
            ("$filter=Name%20eq%20", Code::ODataFilter),
            ("$filter=length(Name)%20eq%201", Code::ODataFunction),
            ("$expand=_Role", Code::NotImplemented),
            ("$what=1", Code::ODataQueryOption),
        ] {
            assert_eq!(options(query), Err(code), "{query}");
        }
    }

    #[test]
    fn filters_orders_and_pages() {
        let mut values: Vec<Value> = [("c", None), ("a", Some("x")), ("b", Some("x"))]
            .iter()
            .map(|(name, of)| json!({ "Name": name, "Box": of }))
            .collect();
        let o = options("$filter=Box+eq+%27x%27&$orderby=Name%20desc&$skip=1&$select=Name").expect("options");
        o.check(&["Name", "Box"]).expect("known");
        o.filter_and_order(&mut values);
        let mut page = o.page(values);
        for value in &mut page {
            o.select_from(value);
        }
        assert_eq!(page, [json!({ "Name": "a" })]);
        assert_eq!(o.check(&["Name"]).expect_err("a problem").code(), Code::ODataUnknownProperty);
    }

    #[test]
    fn only_json_is_spoken() {
        let accept = |text: &'static str, query| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(text));
            Options::of(Some(query), &headers).is_ok()
        };
        for text in ["", "*/*", "application/json", "text/html, application/json;odata=verbose", "application/*"] {
            assert!(accept(text, ""), "{text}");
        }
        assert!(!accept("image/jpeg", ""));
        assert!(!accept("application/atom+xml", ""));
        assert!(accept("image/jpeg", "$format=json"));
    }
}
