//! The arrows of the architecture: protocol → domain → storage → leaves.

use std::fs;
use std::path::{Path, PathBuf};

/// Layers from the top; a module may use those of its own line (where that is allowed) and of the lines below.
const LAYERS: &[&[&str]] = &[
    &["fuzz"],
    &["cli"],
    &["server"],
    &["api", "dav"],
    &["web"],
    &["config"],
    &["bar", "snapshot"],
    &["domain"],
    &["storage"],
    &["archive"],
    &["base"],
];

/// Uses within one line that are meant: the root of a box is the meeting place of both doors.
const BESIDE: &[(&str, &str)] = &[("api", "dav")];

/// Uses upwards that are meant: the parts of a web answer know what they carry.
const EXCEPTIONS: &[(&str, &str)] = &[];

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a source directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn level(module: &str) -> Option<usize> {
    LAYERS.iter().position(|line| line.contains(&module))
}

#[test]
fn arrows_point_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut wrong = Vec::new();
    for file in &files {
        let relative = file.strip_prefix(&root).expect("below src");
        let first = relative.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
        let own = first.trim_end_matches(".rs");
        if own == "lib" || own == "main" {
            continue;
        }
        let own_level = level(own).unwrap_or_else(|| panic!("{own} has no layer"));
        let text = fs::read_to_string(file).expect("source text");
        for (number, line) in text.lines().enumerate() {
            for used in line.split("crate::").skip(1) {
                let module: String = used.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                let Some(used_level) = level(&module) else { continue };
                let meant = own == module
                    || used_level > own_level
                    || BESIDE.contains(&(own, module.as_str()))
                    || EXCEPTIONS.contains(&(own, module.as_str()));
                if !meant {
                    wrong.push(format!("{}:{}: {own} uses {module}", relative.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that point up or sideways:\n{}", wrong.join("\n"));
}

#[test]
fn status_codes_live_in_the_web_layer_and_above() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    for layer in ["bar", "snapshot", "domain", "storage", "archive", "base"] {
        sources(&root.join(layer), &mut files);
        files.push(root.join(format!("{layer}.rs")));
    }
    for file in files {
        let text = fs::read_to_string(&file).expect("source text");
        assert!(!text.contains("StatusCode") && !text.contains("http::"), "{}", file.display());
    }
}
