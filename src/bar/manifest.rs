//! The manifest of a bar.
//!
//! A current bar must say that it is of version 2; all other keys may be absent or null. A legacy one must have a schema. No
//! key may be there that is not known, in either. A byte order mark is skipped.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use serde_json::error::Category;

use super::metadata::{Object, without_mark};
use super::refusal::Refusal;
use super::{Layout, MetaFile};
use crate::bar::cause::Cause;
use crate::domain::names::is_cell_uri;

/// The values of a manifest as texts; numbers are written out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    #[serde(default, deserialize_with = "scalar")]
    pub bar_version: Option<String>,
    #[serde(default, deserialize_with = "scalar")]
    pub box_version: Option<String>,
    /// The key of current bars; the box gets its name from the request.
    #[serde(default, deserialize_with = "scalar")]
    pub default_path: Option<String>,
    /// The same in legacy bars.
    #[serde(default, rename = "DefaultPath", deserialize_with = "scalar")]
    pub legacy_default_path: Option<String>,
    #[serde(default, deserialize_with = "scalar")]
    pub schema: Option<String>,
}

impl Manifest {
    /// Reads the manifest of a current bar.
    pub fn parse_v2(bytes: &[u8]) -> Result<Self, Refusal> {
        let manifest: Self = serde_json::from_slice(without_mark(bytes))
            .map(|Object(manifest)| manifest)
            .map_err(|e| Refusal::Manifest { detail: e.to_string() })?;
        match manifest.bar_version.as_deref().map(str::parse::<i32>) {
            Some(Ok(2)) => Ok(manifest),
            Some(Ok(_)) => Err(Refusal::Version),
            _ => Err(Refusal::VersionUnreadable),
        }
    }

    /// Reads the manifest of a legacy bar from the member `entry`.
    pub fn parse_v1(bytes: &[u8], entry: &str) -> Result<Self, Refusal> {
        let manifest: Self =
            serde_json::from_slice(without_mark(bytes)).map(|Object(manifest)| manifest).map_err(|e| {
                match e.classify() {
                    Category::Data => Refusal::ManifestFormat { file: MetaFile::Manifest.file_name().to_owned() },
                    _ => Refusal::ManifestUnreadable { entry: entry.to_owned() },
                }
            })?;
        if manifest.schema.as_deref().is_some_and(is_cell_uri) {
            Ok(manifest)
        } else {
            Err(Refusal::ManifestSchema { entry: entry.to_owned() })
        }
    }

    /// What the worker checks when it comes to the manifest: a legacy one must have all its keys.
    pub fn check(&self, layout: Layout) -> Result<(), Cause> {
        let keys = [
            ("barVersion", &self.bar_version),
            ("boxVersion", &self.box_version),
            ("DefaultPath", &self.legacy_default_path),
        ];
        match keys.into_iter().find(|(_, value)| layout == Layout::V1 && value.is_none()) {
            Some((key, _)) => Err(Cause::Format(format!("manifest.json#{key}"))),
            None => Ok(()),
        }
    }
}

fn scalar<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct Scalar;

    impl Visitor<'_> for Scalar {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(text.to_owned()))
        }

        fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
            Ok(Some(value.to_string()))
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
            Ok(Some(number.to_string()))
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
            Ok(Some(number.to_string()))
        }

        fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
            Ok(Some(format!("{number:?}")))
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }

    deserializer.deserialize_any(Scalar)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(text: &str) -> Result<Option<String>, &'static str> {
        Manifest::parse_v2(text.as_bytes()).map(|m| m.schema).map_err(|e| e.code())
    }

    #[test]
    fn current_manifests() {
        let schema = Ok(Some("https://a/".to_owned()));
        for (text, expected) in [
            (r#"{"bar_version":"2","box_version":"1","default_path":"b","schema":"https://a/"}"#, schema),
            (r#"{"bar_version":"2","schema":null}"#, Ok(None)),
            (r#"{"bar_version":"2","DefaultPath":"b","default_path":"b"}"#, Ok(None)),
            ("\u{FEFF}{\"bar_version\":\"2\"}", Ok(None)),
            (r#"{"bar_version":2}"#, Ok(None)),
            (r#"{"bar_version":"02"}"#, Ok(None)),
            (r#"{"bar_version":"+2"}"#, Ok(None)),
            (r#"{"bar_version":null}"#, Err("PR400-BI-0008")),
            (r#"{"bar_version":""}"#, Err("PR400-BI-0008")),
            (r#"{"bar_version":"two"}"#, Err("PR400-BI-0008")),
            (r#"{"bar_version":"2.0"}"#, Err("PR400-BI-0008")),
            (r#"{"bar_version":2.0}"#, Err("PR400-BI-0008")),
            (r#"{"bar_version":" 2"}"#, Err("PR400-BI-0008")),
            (r#"{"bar_version":"2 "}"#, Err("PR400-BI-0008")),
            (r#"{"bar_version":true}"#, Err("PR400-BI-0008")),
            ("{}", Err("PR400-BI-0008")),
            (r#"{"bar_version":"1"}"#, Err("PR400-BI-0010")),
            (r#"{"bar_version":3}"#, Err("PR400-BI-0010")),
            (r#"{"bar_version":"22"}"#, Err("PR400-BI-0010")),
            (r#"{"bar_version":"2","unknown":1}"#, Err("PR400-BI-0007")),
            (r#"{"bar_version":["2"]}"#, Err("PR400-BI-0007")),
            (r#"{"bar_version":"2","bar_version":"2"}"#, Err("PR400-BI-0007")),
            ("{", Err("PR400-BI-0007")),
            ("", Err("PR400-BI-0007")),
            ("[]", Err("PR400-BI-0007")),
            (r#"["2","1","b","b",null]"#, Err("PR400-BI-0007")),
            (r#""x""#, Err("PR400-BI-0007")),
            ("null", Err("PR400-BI-0007")),
        ] {
            assert_eq!(v2(text), expected, "{text}");
        }
        assert!(Manifest::parse_v2(b"\xff\xfe").is_err());
        assert!(Manifest::parse_v2(format!("{{\"schema\":{}", "[".repeat(100_000)).as_bytes()).is_err());
    }

    #[test]
    fn legacy_manifests() {
        let parse =
            |text: &str| Manifest::parse_v1(text.as_bytes(), "bar/00_meta/00_manifest.json").map_err(|e| e.code());
        let good = r#"{"bar_version":"1","box_version":"1","DefaultPath":"b","schema":"https://a/c"}"#;
        assert_eq!(parse(good).expect("a manifest").check(Layout::V1), Ok(()));
        for (text, code) in [
            (r#"{"schema":"https://a/","unknown":1}"#, "PR400-BI-0006"),
            ("[]", "PR400-BI-0006"),
            ("{\"bar_version\":", "PR400-BI-0008"),
            ("", "PR400-BI-0008"),
            (r#"{"schema":null}"#, "PR400-BI-0009"),
            (r#"{"bar_version":"1"}"#, "PR400-BI-0009"),
            (r#"{"schema":"no uri"}"#, "PR400-BI-0009"),
        ] {
            assert_eq!(parse(text).map(|_| ()), Err(code), "{text}");
        }
    }

    #[test]
    fn the_worker_misses_keys_of_legacy_manifests() {
        let manifest = Manifest { bar_version: Some("1".to_owned()), ..Manifest::default() };
        let cause = manifest.check(Layout::V1).expect_err("a cause");
        assert_eq!(cause.to_string(), "[manifest.json#boxVersion] file format error.");
        assert_eq!(manifest.check(Layout::V2), Ok(()));
    }
}
