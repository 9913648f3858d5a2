//! The table of all keys. A line here makes the field, its parsing, its default and its line in `cellar config`.

use std::path::PathBuf;

use super::value::Value;
use super::{
    BaseUrl, CellList, CellUrls, ConfigError, Durability, Hosts, Proxies, Reserve, Secret, Setting, Size, Sources,
};

/// A key of the table.
#[derive(Debug)]
pub struct Key {
    /// The full name: `limits.bar_size`.
    pub name: &'static str,
    pub default: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
}

macro_rules! keys {
    ($($(#[doc = $section_doc:literal])+ $section:ident: $name:ident {
        $(#[doc = $doc:literal] $key:ident: $type:ty = $default:literal,)+
    })+) => {
        $($(#[doc = $section_doc])+ #[derive(Debug, Clone)] pub struct $name { $(#[doc = $doc] pub $key: $type,)+ })+

        /// The whole configuration, checked.
        #[derive(Debug, Clone)]
        pub struct Config {
            $($(#[doc = $section_doc])+ pub $section: $name,)+
            settings: Vec<Setting>,
        }

        /// Every key, in the order in which `cellar config` prints them.
        pub const KEYS: &[Key] = &[$($(Key {
            name: concat!(stringify!($section), ".", stringify!($key)),
            default: $default,
            about: $doc.trim_ascii(),
        },)+)+];

        fn parse(sources: &Sources) -> Result<Config, ConfigError> {
            let mut settings = Vec::with_capacity(KEYS.len());
            let mut keys = KEYS.iter();
            $(let $section = $name {
                $($key: take::<$type>(keys.next().expect("invariant: both are made from one table"), sources, &mut settings)?,)+
            };)+
            Ok(Config { $($section,)+ settings })
        }
    };
}

keys! {
    /// How this unit is reached.
    server: Server {
        /// What URLs in answers begin with; from the Host header when empty. Wins over forwarded headers.
        public_url: Option<BaseUrl> = "",
        /// How cells are addressed: `path`, `host` ({cell}.{unit host}) or `both`; the last two need `server.public_url`.
        cell_urls: CellUrls = "path",
        /// Addresses and networks whose Forwarded and X-Forwarded headers count.
        trusted_proxies: Proxies = "127.0.0.0/8,::1",
        /// A PEM file with the certificate chain; with it the server speaks HTTPS. Read again when it changes.
        tls_cert: Option<PathBuf> = "",
        /// A PEM file with the private key of the certificate.
        tls_key: Option<PathBuf> = "",
    }
    /// Connections, and how long they are waited for.
    connections: Connections {
        /// The most connections at once, and at most three quarters of the open files that the system allows; more of them wait.
        max: u64 = "20000",
        /// Seconds for which a kept connection may ask nothing.
        idle_s: u64 = "60",
        /// Seconds that the request line and the headers of a request may take.
        head_s: u64 = "30",
        /// The largest request line and headers of a request, together.
        head_size: Size = "64KiB",
        /// Seconds for which a client may send nothing of a body, or take nothing of an answer, before its connection ends.
        silence_s: u64 = "60",
    }
    /// What one request may bring.
    limits: Limits {
        /// The largest bar file that is installed.
        bar_size: Size = "100MiB",
        /// The largest member of a bar, unpacked.
        bar_entry_size: Size = "10MiB",
        /// The number of members a bar may have.
        bar_entries: u64 = "200000",
        /// The number of members a collection may have.
        children_per_collection: u64 = "1000000",
        /// How deep collections may be below a box.
        collection_depth: u64 = "50",
        /// The number of links an entity may have.
        odata_links: u64 = "150000",
        /// The largest request body; 0 is no limit.
        request_body: Size = "0",
        /// The bytes a cell may hold; 0 is no limit.
        cell_bytes: Size = "0",
    }
    /// How content is kept.
    storage: Storage {
        /// `full`: what was answered survives a power cut; `relaxed`: a power cut may take the last seconds.
        durability: Durability = "full",
        /// Free space, as a share of the disk or a size, below which only reading and deleting is allowed.
        disk_reserve: Reserve = "1%",
    }
    /// WebDAV in boxes.
    webdav: Webdav {
        /// Whether PROPFIND with Depth infinity is served.
        infinite_depth: bool = "false",
    }
    /// Box installation.
    install: Install {
        /// Seconds for which the outcome of an installation can be asked.
        status_retention_s: u64 = "259200",
    }
    /// The event log.
    events: Events {
        /// Whether installations are logged where no rule with a log action exists.
        log_installs: bool = "true",
    }
    /// Archives that are made while they are read.
    archive: Archive {
        /// Seconds for which the archive of a box that has changed can still be resumed.
        resume_s: u64 = "600",
    }
    /// Cell export.
    cell_export: CellExport {
        /// Whether writes of a cell are refused while it is exported.
        exclusive: bool = "false",
        /// The number of cell exports and imports that may wait.
        queue: u64 = "1000",
        /// How hard snapshot files are compressed: 1 is the fastest, 9 makes the smallest files.
        level: u64 = "1",
    }
    /// Cell import.
    import: Import {
        /// Whether a cell refuses most requests after a failed import.
        strict_status: bool = "false",
    }
    /// Export jobs.
    export: Export {
        /// Seconds for which the result of an export job is kept.
        retention_s: u64 = "259200",
        /// Seconds after which an unused session ends.
        session_idle_s: u64 = "604800",
        /// Seconds after which a new export job starts by itself; 0 is never.
        autostart_after_s: u64 = "0",
        /// Hosts to which exports may be sent.
        transport_hosts: Hosts = "",
    }
    /// Accounts.
    auth: Auth {
        /// The salt of the unit whose accounts with sha-256 passwords are imported.
        reference_salt: Secret = "",
        /// Memory that hashing a password takes.
        argon2_memory: Size = "19MiB",
        /// Passes over that memory.
        argon2_iterations: u64 = "2",
        /// Lanes of that memory.
        argon2_lanes: u64 = "1",
        /// The number of passwords that are hashed at the same time; 0 is half of the processors.
        hashes_at_once: u64 = "0",
        /// The number of passwords that may wait to be hashed; further logins are answered 429.
        hashes_waiting: u64 = "64",
        /// What a new password must look like.
        password_regex: String = "^[a-zA-Z0-9-_!$*=^`{|}~.@]{6,32}$",
        /// Milliseconds after a failed login in which the same account is refused to the same address.
        retry_interval_ms: u64 = "1000",
        /// The number of failed logins after which an account is locked for an address; 0 is never.
        lock_count: u64 = "0",
        /// Seconds for which it stays locked.
        lock_time_s: u64 = "0",
        /// The scope of tokens for which none was asked.
        default_scope: String = "root",
        /// URLs of cells whose accounts are unit users: they log in for the unit, and cells that they make are theirs.
        unit_user_issuers: CellList = "",
        /// Seconds after which tokens are sealed with a new key.
        key_rotation_s: u64 = "2592000",
    }
}

fn take<T: Value>(key: &'static Key, sources: &Sources, settings: &mut Vec<Setting>) -> Result<T, ConfigError> {
    let (text, from) = sources.get(key);
    let value =
        T::parse(&text).map_err(|reason| ConfigError::Invalid { key: key.name, text, from: from.clone(), reason })?;
    settings.push(Setting { key, value: value.show(), source: from });
    Ok(value)
}

impl Config {
    /// Checks what the sources say, each value and all together.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let config = parse(sources)?;
        config.check()?;
        Ok(config)
    }

    /// Every key with its value and where it came from, in the order of [`KEYS`].
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    fn check(&self) -> Result<(), ConfigError> {
        let server = &self.server;
        if server.cell_urls != CellUrls::Path {
            let Some(url) = &server.public_url else {
                return Err(ConfigError::Conflict(
                    "`server.cell_urls` other than `path` needs `server.public_url`, to know the unit's host name",
                ));
            };
            if url.host_is_address() {
                return Err(ConfigError::Conflict(
                    "`server.cell_urls` other than `path` needs a host name in `server.public_url`: an address has no subdomains",
                ));
            }
        }
        if server.tls_cert.is_some() != server.tls_key.is_some() {
            return Err(ConfigError::Conflict("`server.tls_cert` and `server.tls_key` need each other"));
        }
        let connections = &self.connections;
        if [connections.max, connections.idle_s, connections.head_s, connections.silence_s].contains(&0) {
            return Err(ConfigError::Conflict(
                "`connections.max`, `connections.idle_s`, `connections.head_s` and `connections.silence_s` must be at least 1",
            ));
        }
        if !(8 << 10..=16 << 20).contains(&connections.head_size.0) {
            return Err(ConfigError::Conflict("`connections.head_size` must be from 8KiB to 16MiB"));
        }
        Ok(())
    }
}
