//! JSON and form APIs beside WebDAV, one module for each of the formats that clients know.

pub mod personium;
