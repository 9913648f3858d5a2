//! The configuration: one table of keys, from which the typed sections, the checks and `cellar config` all come.
//!
//! Sources, later ones winning: defaults, the TOML file, the environment (`CELLAR_LIMITS__BAR_SIZE`), flags. A key that the
//! table does not have is an error that names the nearest one. Each value remembers where it came from.

mod error;
mod keys;
mod sources;
#[cfg(test)]
mod tests;
pub(crate) mod value;

pub use error::ConfigError;
pub use keys::{
    Archive, Auth, CellExport, Config, Connections, Events, Export, Import, Install, KEYS, Key, Limits, Server,
    Storage, Webdav,
};
pub use sources::{Setting, Source, Sources};
pub use value::{BaseUrl, CellList, CellUrls, Durability, Hosts, Network, Proxies, Reserve, Secret, Size};
