//! A small writer of bars.

use std::io::{Cursor, Write};

use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::bar::Layout;

/// A bar in the making: members in the order in which they will lie in the archive.
#[derive(Clone)]
pub(super) struct Bar {
    layout: Layout,
    meta: Vec<(String, Vec<u8>)>,
    declarations: Vec<String>,
    contents: Vec<(String, Vec<u8>)>,
}

/// One response of the declarations; `kind` is what `resourcetype` holds.
fn declare(layout: Layout, path: &str, kind: &str, props: &str) -> String {
    let scheme = layout.scheme();
    format!(
        "<response><href>{scheme}/{path}</href><propstat><prop><resourcetype>{kind}</resourcetype>{props}</prop>\
         </propstat></response>\n"
    )
}

impl Bar {
    pub(super) fn v2(schema: Option<&str>) -> Self {
        let manifest = serde_json::json!({ "bar_version": "2", "schema": schema });
        Self::new(Layout::V2, manifest.to_string())
    }

    pub(super) fn v1(schema: &str) -> Self {
        let manifest =
            serde_json::json!({ "bar_version": "1", "box_version": "1", "DefaultPath": "b", "schema": schema });
        Self::new(Layout::V1, manifest.to_string())
    }

    fn new(layout: Layout, manifest: String) -> Self {
        let meta = vec![("00_manifest.json".to_owned(), manifest.into_bytes())];
        let bar = Self { layout, meta, declarations: Vec::new(), contents: Vec::new() };
        bar.declare("", "<collection/>", "")
    }

    pub(super) fn meta(mut self, name: &str, text: &str) -> Self {
        self.meta.push((name.to_owned(), text.as_bytes().to_vec()));
        self
    }

    pub(super) fn declare(mut self, path: &str, kind: &str, props: &str) -> Self {
        self.declarations.push(declare(self.layout, path, kind, props));
        self
    }

    /// Replaces the declaration of the box.
    pub(super) fn declare_box(mut self, props: &str) -> Self {
        self.declarations[0] = declare(self.layout, "", "<collection/>", props);
        self
    }

    pub(super) fn folder(self, path: &str) -> Self {
        self.declare(path, "<collection/>", "").content(&format!("{path}/"), b"")
    }

    pub(super) fn file(self, path: &str, bytes: &[u8]) -> Self {
        self.declare(path, "", "<getcontenttype>text/plain</getcontenttype>").content(path, bytes)
    }

    /// A member of the contents, declared or not.
    pub(super) fn content(mut self, path: &str, bytes: &[u8]) -> Self {
        self.contents.push((path.to_owned(), bytes.to_vec()));
        self
    }

    pub(super) fn build(&self) -> Vec<u8> {
        let (root, meta, contents) = (self.layout.root(), self.layout.meta(), self.layout.contents());
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        let deflated = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        let mut put = |name: String, bytes: &[u8]| {
            if name.ends_with('/') {
                zip.add_directory(name, stored).unwrap();
            } else {
                // What is short is stored, so that a test can find it in the archive.
                zip.start_file(name, if bytes.len() < 64 { stored } else { deflated }).unwrap();
                zip.write_all(bytes).unwrap();
            }
        };
        if !root.is_empty() {
            put(root.to_owned(), b"");
        }
        put(meta.to_owned(), b"");
        for (name, bytes) in &self.meta {
            put(format!("{meta}{name}"), bytes);
        }
        let declarations = format!(
            "<multistatus xmlns=\"DAV:\" xmlns:p=\"urn:x-personium:xmlns\">\n{}</multistatus>",
            self.declarations.concat()
        );
        put(format!("{meta}90_rootprops.xml"), declarations.as_bytes());
        put(contents.to_owned(), b"");
        for (name, bytes) in &self.contents {
            put(format!("{contents}{name}"), bytes);
        }
        zip.finish().unwrap().into_inner()
    }

    /// The archive with a byte changed in the stored content `text`.
    pub(super) fn build_broken(&self, text: &[u8]) -> Vec<u8> {
        let mut bytes = self.build();
        let at = bytes.windows(text.len()).position(|w| w == text).expect("the content is stored");
        bytes[at] ^= 1;
        bytes
    }
}
