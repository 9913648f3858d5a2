//! URLs: which cell a request means, and what the URLs in its answer begin with.
//!
//! Cells are addressed by path (`{unit}{cell}/`), by host (`{cell}.{unit host}`) or both; answers use the form in which they
//! were asked. What URLs begin with is `server.public_url`, else what a trusted proxy forwarded, else the `Host` header.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use http::header::{FORWARDED, HOST, HeaderName};

use super::headers::list;
use super::problem::{Code, Problem};
use crate::base::path::{ResourcePath, decode_segment, encode_segment};
use crate::config::value::{authority, host_of};
use crate::config::{BaseUrl, CellUrls, Proxies, Server};

#[cfg(test)]
mod tests;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PATH: HeaderName = HeaderName::from_static("x-forwarded-path");

/// What URLs of this unit begin with where they are kept.
const LOCAL_UNIT: &str = "personium-localunit:";

/// The URL of a cell of this unit as it is kept.
pub fn local_cell(name: &str) -> String {
    format!("{LOCAL_UNIT}{name}:/")
}

/// A first segment that is not a cell, besides those that begin with two underscores.
const RESERVED: &str = "api";

/// What the configuration says about URLs.
#[derive(Debug, Clone)]
pub struct PublicUrls {
    public: Option<Arc<BaseUrl>>,
    forms: CellUrls,
    trusted: Proxies,
    /// What the server itself speaks.
    scheme: &'static str,
}

/// What a request means: the unit, or something of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The decoded name; none at the unit's level.
    pub cell: Option<String>,
    /// The percent-encoded path below the cell or the unit, without its leading slash.
    pub rest: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Path,
    /// By the host of this cell.
    Host(String),
}

/// How a request addressed the unit; makes the URLs of its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    base: Arc<BaseUrl>,
    /// The host and port that the client used, where they are not those of `base`.
    authority: String,
    forms: CellUrls,
    form: Form,
}

/// Where a URL in a request header leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LocateError {
    #[error("not a URL")]
    NotAUrl,
    #[error("not on this unit")]
    Elsewhere,
}

impl PublicUrls {
    pub fn new(server: &Server) -> Self {
        Self {
            public: server.public_url.clone().map(Arc::new),
            forms: server.cell_urls,
            trusted: server.trusted_proxies.clone(),
            scheme: if server.tls_cert.is_some() { "https" } else { "http" },
        }
    }

    /// Whether cells can be addressed by path.
    pub fn path_based(&self) -> bool {
        self.forms != CellUrls::Host
    }

    /// The path that counts: the request's own, or the one that a trusted proxy forwarded in its place.
    pub fn effective_path(&self, peer: IpAddr, headers: &HeaderMap, path: &str) -> String {
        let forwarded = || self.trusted.contains(peer).then(|| headers.get(FORWARDED_PATH)?.to_str().ok()).flatten();
        match forwarded().map(|p| p.split(['?', '#']).next().unwrap_or_default().trim()) {
            Some(forwarded) if forwarded.starts_with('/') => forwarded.to_owned(),
            _ => path.to_owned(),
        }
    }

    /// The address of the client: the peer's, or what trusted proxies say stands before them.
    ///
    /// `Forwarded` (RFC 7239) counts where there is no `X-Forwarded-For`, which more proxies set.
    pub fn client_address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let lines = |name: HeaderName| headers.get_all(name).into_iter().map(|v| v.to_str().unwrap_or_default());
        let mut before: Vec<Option<IpAddr>> =
            lines(FORWARDED_FOR).flat_map(|line| line.split(',')).map(|node| address_of(node.trim())).collect();
        if before.is_empty() {
            before = lines(FORWARDED).flat_map(list).map(|element| address_of(parameter(element, "for")?)).collect();
        }
        let mut address = peer;
        for before in before.into_iter().rev() {
            match before.filter(|_| self.trusted.contains(address)) {
                Some(before) => address = before,
                None => break,
            }
        }
        address
    }

    /// Reads what the request means from its host and `path`, the effective one.
    ///
    /// `uri_authority` is the authority of a request in absolute form, which wins over `Host`.
    pub fn resolve(
        &self,
        peer: IpAddr,
        headers: &HeaderMap,
        uri_authority: Option<&str>,
        path: &str,
    ) -> Result<(Asked, Target), Problem> {
        let (scheme, asked_host) = self.origin(peer, headers, uri_authority);
        let base = match &self.public {
            Some(public) => Arc::clone(public),
            None => Arc::new(BaseUrl { scheme, authority: asked_host.clone(), path: "/".to_owned() }),
        };
        let mut asked = Asked { base, authority: asked_host, forms: self.forms, form: Form::Path };
        if let Some(cell) = asked.cell_of_host(&asked.authority) {
            let target = Target { cell: Some(cell_name(&cell)?), rest: path.trim_start_matches('/').to_owned() };
            asked.form = Form::Host(cell);
            return Ok((asked, target));
        }
        let target = by_path(path)?;
        if self.forms == CellUrls::Host && target.cell.is_some() {
            return Err(if host_of(&asked.authority) == asked.base.host() {
                Problem::new(Code::PathCellUrl)
            } else {
                Problem::new(Code::UrlAuthority).with(&asked.authority).with(&asked.base.authority)
            });
        }
        Ok((asked, target))
    }

    /// The URLs of answers to who asked for a cell at this URL of it.
    pub fn of_cell(&self, url: &str) -> Option<Asked> {
        let (scheme, rest) = url.split_once("://")?;
        let host = rest.split('/').next().unwrap_or_default().to_owned();
        let base = match &self.public {
            Some(public) => Arc::clone(public),
            None => Arc::new(BaseUrl { scheme: scheme.to_owned(), authority: host.clone(), path: "/".to_owned() }),
        };
        let mut asked = Asked { base, authority: host, forms: self.forms, form: Form::Path };
        if let Some(cell) = asked.cell_of_host(&asked.authority) {
            asked.form = Form::Host(cell);
        }
        Some(asked)
    }

    /// The scheme and authority that the client used.
    fn origin(&self, peer: IpAddr, headers: &HeaderMap, uri_authority: Option<&str>) -> (String, String) {
        let text = |name: HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
        let (mut scheme, mut host) = (None, None);
        if self.trusted.contains(peer) {
            let first = |name: HeaderName| text(name).and_then(|v| list(v).next());
            (scheme, host) = (first(FORWARDED_PROTO), first(FORWARDED_HOST));
            if let Some(element) = first(FORWARDED) {
                (scheme, host) = (parameter(element, "proto").or(scheme), parameter(element, "host").or(host));
            }
        }
        let scheme = match scheme {
            Some(forwarded) if forwarded.eq_ignore_ascii_case("https") => "https",
            Some(_) => "http",
            None => self.scheme,
        };
        let host =
            host.filter(|h| is_authority(h)).or(uri_authority).or_else(|| text(HOST)).filter(|h| is_authority(h));
        (scheme.to_owned(), authority(scheme, host.unwrap_or("localhost")))
    }
}

/// A parameter of an element of `Forwarded`, without its quotes.
fn parameter<'e>(element: &'e str, name: &str) -> Option<&'e str> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    pairs.find(|(found, _)| found.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().trim_matches('"'))
}

/// The address of a node: an IPv6 address may have brackets, and any a port. Proxies may hide nodes; those have none.
fn address_of(node: &str) -> Option<IpAddr> {
    let plain = |text: &str| text.parse::<IpAddr>().ok();
    let address = plain(node).or_else(|| plain(host_of(node).trim_start_matches('[').trim_end_matches(']')))?;
    Some(address.to_canonical())
}

/// Whether the text can stand where a URL has its host and port.
fn is_authority(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:[]".contains(&b))
}

fn by_path(path: &str) -> Result<Target, Problem> {
    let path = path.trim_start_matches('/');
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    if first.is_empty() || first.starts_with("__") || first == RESERVED {
        return Ok(Target { cell: None, rest: path.to_owned() });
    }
    Ok(Target { cell: Some(cell_name(first)?), rest: rest.trim_start_matches('/').to_owned() })
}

fn cell_name(encoded: &str) -> Result<String, Problem> {
    decode_segment(encoded).map(|s| s.as_str().to_owned()).map_err(|e| Problem::new(Code::CellNotFound).because(e))
}

impl Asked {
    /// `{unit}`, with its trailing slash.
    pub fn unit(&self) -> String {
        self.base.to_string()
    }

    /// `{cell}`, with its trailing slash.
    pub fn cell(&self, cell: &str) -> String {
        match (&self.form, self.forms) {
            (Form::Host(_), _) | (_, CellUrls::Host) => self.cell_by_host(cell),
            (Form::Path, _) => self.cell_by_path(cell),
        }
    }

    fn cell_by_path(&self, cell: &str) -> String {
        format!("{}{}/", self.base, encode_segment(cell))
    }

    fn cell_by_host(&self, cell: &str) -> String {
        let BaseUrl { scheme, authority, path } = &*self.base;
        format!("{scheme}://{cell}.{authority}{path}")
    }

    /// The URLs under which a cell can be reached, the one of answers first.
    pub fn cell_urls(&self, cell: &str) -> Vec<String> {
        let mut urls = vec![self.cell(cell)];
        if self.forms == CellUrls::Both {
            urls.push(if self.form == Form::Path { self.cell_by_host(cell) } else { self.cell_by_path(cell) });
        }
        urls
    }

    /// Every form in which a client may write the URL of a cell, the one of answers first; each ends with a slash.
    pub fn cell_forms(&self, cell: &str) -> Vec<String> {
        let mut forms = self.cell_urls(cell);
        forms.extend([
            format!("personium-localunit:{cell}:/"),
            format!("personium-localunit:/{cell}/"),
            "personium-localcell:/".to_owned(),
        ]);
        forms
    }

    /// Every way to write the URL of a cell of this unit; of another only the one that is given.
    pub fn forms_of(&self, url: &str) -> Vec<String> {
        let mut forms = vec![url.to_owned()];
        if let Some(cell) = self.cell_of_url(url) {
            forms.extend(self.cell_urls(&cell));
            forms.push(local_cell(&cell));
            forms.push(format!("{LOCAL_UNIT}/{cell}/"));
        }
        forms
    }

    /// The same of what lies below a cell, such as a role.
    pub fn forms_below(&self, url: &str) -> Vec<String> {
        let local = self.local(url);
        let mut forms = vec![url.to_owned()];
        if let Some((cell, rest)) = local.strip_prefix(LOCAL_UNIT).and_then(|below| below.split_once(":/")) {
            forms.extend(self.forms_of(&local_cell(cell)).iter().map(|form| format!("{form}{rest}")));
        }
        forms
    }

    /// The URL of a box, without a trailing slash.
    pub fn cell_box(&self, cell: &str, name: &str) -> String {
        format!("{}{}", self.cell(cell), encode_segment(name))
    }

    /// The URL of what lies at a path below a box, without a trailing slash.
    pub fn resource(&self, cell: &str, name: &str, path: &ResourcePath) -> String {
        let url = self.cell_box(cell, name);
        if path.is_root() { url } else { format!("{url}/{}", path.encode()) }
    }

    /// Reads a URL or an absolute path that the client sent, such as a `Destination`. Its scheme does not matter.
    ///
    /// A path means what it would mean as the target of the same request, also with the path of the public URL, which clients see and
    /// a proxy strips from targets alone.
    pub fn locate(&self, reference: &str) -> Result<Target, LocateError> {
        let reference = reference.trim().split(['?', '#']).next().unwrap_or_default();
        if reference.starts_with('/') && !reference.starts_with("//") {
            let below = reference.strip_prefix(self.base.path.trim_end_matches('/'));
            return self.target(&self.authority, below.filter(|p| p.starts_with('/')).unwrap_or(reference));
        }
        let (scheme, rest) = reference.split_once("://").ok_or(LocateError::NotAUrl)?;
        if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
            return Err(LocateError::NotAUrl);
        }
        let at = rest.find('/').unwrap_or(rest.len());
        if !is_authority(&rest[..at]) {
            return Err(LocateError::NotAUrl);
        }
        let (host, path) = (rest[..at].to_ascii_lowercase(), &rest[at..]);
        let own = |own: &str| {
            authority("http", own) == authority("http", &host) || authority("https", own) == authority("https", &host)
        };
        if own(&self.base.authority) || self.cell_of_host(&host).is_some() {
            let base = self.base.path.trim_end_matches('/');
            let below = path.strip_prefix(base).filter(|p| p.is_empty() || p.starts_with('/'));
            return self.target(&host, below.ok_or(LocateError::Elsewhere)?);
        }
        if own(&self.authority) {
            return self.target(&self.authority, path);
        }
        Err(LocateError::Elsewhere)
    }

    /// The name of the cell whose URL this is, in any of its forms, if it can be one of this unit.
    pub fn cell_of_url(&self, url: &str) -> Option<String> {
        if let Some(rest) = url.strip_prefix("personium-localunit:") {
            let rest = rest.trim_start_matches('/');
            let (cell, rest) = rest.split_once('/').unwrap_or((rest, ""));
            let cell = cell.trim_end_matches(':');
            return (rest.is_empty() && !cell.is_empty()).then(|| cell.to_owned());
        }
        let target = self.locate(url).ok()?;
        target.cell.filter(|_| target.rest.is_empty())
    }

    /// A URL as it is kept: what is on this unit begins with `personium-localunit:`, so that it means the same by whatever name the
    /// unit is reached.
    pub fn local(&self, url: &str) -> String {
        let (place, fragment) = url.split_at(url.find('#').unwrap_or(url.len()));
        if let Some(rest) = place.strip_prefix(LOCAL_UNIT) {
            let (cell, rest) = rest.trim_start_matches('/').split_once('/').unwrap_or_default();
            let cell = cell.trim_end_matches(':');
            return if cell.is_empty() { url.to_owned() } else { format!("{}{rest}{fragment}", local_cell(cell)) };
        }
        match self.locate(place) {
            Ok(Target { cell: Some(cell), rest }) if !place.starts_with('/') => {
                format!("{}{rest}{fragment}", local_cell(&cell))
            }
            Ok(Target { cell: None, rest }) if rest.is_empty() => format!("{LOCAL_UNIT}/{fragment}"),
            _ => url.to_owned(),
        }
    }

    /// The same as clients see it.
    pub fn public(&self, url: &str) -> String {
        match url.strip_prefix(LOCAL_UNIT).map(|rest| rest.split_once(":/")) {
            Some(Some((cell, rest))) => format!("{}{rest}", self.cell(cell)),
            Some(None) => format!("{}{}", self.unit(), url[LOCAL_UNIT.len()..].trim_start_matches('/')),
            None => url.to_owned(),
        }
    }

    fn target(&self, host: &str, path: &str) -> Result<Target, LocateError> {
        let target = match self.cell_of_host(host) {
            Some(cell) => {
                cell_name(&cell).map(|cell| Target { cell: Some(cell), rest: path.trim_start_matches('/').to_owned() })
            }
            None => by_path(path),
        };
        target.map_err(|_| LocateError::NotAUrl)
    }

    /// The cell that a host names, if cells have hosts.
    fn cell_of_host(&self, authority: &str) -> Option<String> {
        if self.forms == CellUrls::Path {
            return None;
        }
        let host = host_of(authority).to_ascii_lowercase();
        let cell = host.strip_suffix(self.base.host())?.strip_suffix('.')?;
        (!cell.is_empty()).then(|| cell.to_owned())
    }
}
