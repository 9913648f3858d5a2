//! The types of configured values: how each is read from text and shown again.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use http::uri::Uri;

/// A value that the file and the environment write as text.
pub(super) trait Value: Sized {
    /// Reads the text; the error completes "`key` = `text`: …".
    fn parse(text: &str) -> Result<Self, String>;

    /// The text from which `parse` reads the same value; a secret shows only whether it is set.
    fn show(&self) -> String;
}

/// A number of bytes: `10485760`, `10MiB`, `10MB`, `64KiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl Size {
    /// The number as a limit, where 0 means none.
    pub fn limit(self) -> Option<u64> {
        (self.0 > 0).then_some(self.0)
    }
}

const UNITS: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

impl Value for Size {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = (&text[..at], text[at..].trim());
        let factor = match unit {
            "" => Some(1),
            _ => UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, factor)| *factor),
        };
        let size = factor.zip(number.parse::<u64>().ok()).and_then(|(factor, number)| number.checked_mul(factor));
        size.map(Self).ok_or_else(|| "is no size such as 10485760 or 10MiB".to_owned())
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl Value for u64 {
    fn parse(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| "is no whole number".to_owned())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for String {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Value for bool {
    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("is neither true nor false".to_owned()),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Option<PathBuf> {
    fn parse(text: &str) -> Result<Self, String> {
        Ok((!text.is_empty()).then(|| PathBuf::from(text)))
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(String::new, |path| path.display().to_string())
    }
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Value for Secret {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }

    fn show(&self) -> String {
        if self.0.is_empty() { String::new() } else { "(set)".to_owned() }
    }
}

/// How much of a box's content a power cut may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing that was answered.
    Full,
    /// The last seconds.
    Relaxed,
}

impl Value for Durability {
    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "full" => Ok(Self::Full),
            "relaxed" => Ok(Self::Relaxed),
            _ => Err("is neither full nor relaxed".to_owned()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Full => "full",
            Self::Relaxed => "relaxed",
        }
        .to_owned()
    }
}

/// How cells are addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellUrls {
    /// `https://unit/cell/`
    Path,
    /// `https://cell.unit/`
    Host,
    Both,
}

impl Value for CellUrls {
    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "path" => Ok(Self::Path),
            "host" => Ok(Self::Host),
            "both" => Ok(Self::Both),
            _ => Err("is none of path, host and both".to_owned()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Path => "path",
            Self::Host => "host",
            Self::Both => "both",
        }
        .to_owned()
    }
}

/// Free space that is left alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reserve {
    /// A share of the disk, 0 to 1.
    Share(f64),
    Bytes(u64),
}

impl Reserve {
    /// The bytes that are left alone on a disk of so many.
    pub fn of(self, total: u64) -> u64 {
        match self {
            Self::Share(share) => (total as f64 * share) as u64,
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl Value for Reserve {
    fn parse(text: &str) -> Result<Self, String> {
        let Some(percent) = text.trim().strip_suffix('%') else {
            return Size::parse(text)
                .map(|size| Self::Bytes(size.0))
                .map_err(|_| "is no share such as 1% and no size such as 1GiB".to_owned());
        };
        match percent.trim().parse::<f64>() {
            Ok(percent) if (0.0..100.0).contains(&percent) => Ok(Self::Share(percent / 100.0)),
            _ => Err("is no share between 0% and 100%".to_owned()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Share(share) => format!("{}%", (share * 1e8).round() / 1e6),
            Self::Bytes(bytes) => bytes.to_string(),
        }
    }
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// Host names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts(pub Vec<String>);

impl Value for Hosts {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(items(text).map(str::to_ascii_lowercase).collect()))
    }

    fn show(&self) -> String {
        self.0.join(",")
    }
}

/// URLs of cells, each with its trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellList(pub Vec<String>);

impl Value for CellList {
    fn parse(text: &str) -> Result<Self, String> {
        let urls = items(text).map(|url| if url.ends_with('/') { url.to_owned() } else { format!("{url}/") });
        let known = |url: &String| ["http://", "https://", "personium-localunit:"].iter().any(|s| url.starts_with(s));
        let urls: Vec<String> = urls.collect();
        match urls.iter().find(|url| !known(url)) {
            None => Ok(Self(urls)),
            Some(url) => Err(format!("holds `{url}`, which is no URL of a cell such as https://unit.example/people/")),
        }
    }

    fn show(&self) -> String {
        self.0.join(",")
    }
}

/// An address, or all that share its first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
        (bits <= most).then_some(Self { address, bits })
    }

    /// Whether the address lies in this network; an IPv4 address in IPv6 clothes is an IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let shifted = |a: u128, width: u32| a.checked_shr(width - u32::from(self.bits)).unwrap_or(0);
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                shifted(own.to_bits().into(), 32) == shifted(other.to_bits().into(), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => shifted(own.to_bits(), 128) == shifted(other.to_bits(), 128),
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if self.bits == if self.address.is_ipv4() { 32 } else { 128 } { Ok(()) } else { write!(f, "/{}", self.bits) }
    }
}

/// The networks of trusted proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxies(Vec<Network>);

impl Proxies {
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

impl Value for Proxies {
    fn parse(text: &str) -> Result<Self, String> {
        items(text)
            .map(|item| {
                Network::parse(item).ok_or_else(|| format!("`{item}` is no address such as 10.0.0.1 or 10.0.0.0/8"))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn show(&self) -> String {
        self.0.iter().map(Network::to_string).collect::<Vec<_>>().join(",")
    }
}

/// What the unit's URLs begin with. The path begins and ends with a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    pub scheme: String,
    /// Host, and port where it is not the scheme's own; lower case.
    pub authority: String,
    pub path: String,
}

impl BaseUrl {
    /// Reads `http(s)://host[:port][/path]`.
    pub fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.trim().parse().ok()?;
        let scheme = uri.scheme_str().filter(|s| matches!(*s, "http" | "https"))?.to_owned();
        let authority = authority(&scheme, uri.authority().filter(|a| !a.as_str().contains('@'))?.as_str());
        if uri.query().is_some() {
            return None;
        }
        let path = uri.path().trim_matches('/');
        let path = if path.is_empty() { "/".to_owned() } else { format!("/{path}/") };
        Some(Self { scheme, authority, path })
    }

    /// The host without its port.
    pub fn host(&self) -> &str {
        host_of(&self.authority)
    }

    pub(super) fn host_is_address(&self) -> bool {
        self.host().trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.path)
    }
}

impl Value for Option<BaseUrl> {
    fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        BaseUrl::parse(text).map(Some).ok_or_else(|| "is no URL such as https://unit.example/".to_owned())
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(String::new, BaseUrl::to_string)
    }
}

/// An authority in lower case and without the scheme's own port.
pub(crate) fn authority(scheme: &str, text: &str) -> String {
    let text = text.to_ascii_lowercase();
    let own = if scheme == "https" { ":443" } else { ":80" };
    text.strip_suffix(own).map(str::to_owned).unwrap_or(text)
}

/// The host of an authority, an IPv6 address with its brackets.
pub(crate) fn host_of(authority: &str) -> &str {
    let Some((host, port)) = authority.rsplit_once(':') else { return authority };
    let is_address_without_port = host.contains(':') && !host.ends_with(']');
    if is_address_without_port || !port.bytes().all(|b| b.is_ascii_digit()) { authority } else { host }
}
