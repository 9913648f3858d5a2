//! Lists and manifests of a bar never panic.
#![no_main]

use cellar::bar::manifest::Manifest;
use cellar::bar::{Layout, MetaFile, metadata};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = Manifest::parse_v2(data);
    let _ = Manifest::parse_v1(data, "00_manifest.json");
    for file in [MetaFile::Relations, MetaFile::Roles, MetaFile::ExtRoles, MetaFile::Rules, MetaFile::Links] {
        let _ = metadata::parse(file, Layout::V2, data);
    }
});
