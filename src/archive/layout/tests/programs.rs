//! Other people's programs must accept our archives. A missing program fails the test: it is part of the test's setting.
#![allow(clippy::disallowed_methods, reason = "tests write files for other programs")]

use std::path::Path;
use std::process::Command;

use super::*;

const PYTHON: &str = r"
import sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
assert z.testzip() is None
for i in z.infolist():
    print(i.filename, i.file_size, i.CRC, i.is_dir(), oct(i.external_attr >> 16), i.date_time)
";

const JAVA: &str = r#"
import java.io.*;
import java.util.zip.*;

public class Stream {
    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(System.out, true, "UTF-8");
        byte[] buffer = new byte[1 << 20];
        try (ZipInputStream in = new ZipInputStream(new BufferedInputStream(new FileInputStream(args[0]), 1 << 20))) {
            for (ZipEntry entry; (entry = in.getNextEntry()) != null; ) {
                long size = 0;
                for (int n; (n = in.read(buffer)) > 0; ) size += n;
                out.println(entry.getName() + " " + size + " " + entry.getLastModifiedTime().toMillis());
            }
        }
    }
}
"#;

/// Runs a program and gives its output, or says plainly what went wrong.
pub(super) fn run(program: &str, args: &[&str], path: &Path) -> String {
    let output = Command::new(program).env("LC_ALL", "C.UTF-8").args(args).arg(path).output();
    let output = output.unwrap_or_else(|error| panic!("this test needs `{program}`, which did not start: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {}\n{text}\n{errors}", output.status);
    text
}

pub(super) fn python(script: &str, path: &Path) -> String {
    run("python3", &["-X", "utf8", "-c", script], path)
}

/// Name, size and time in milliseconds of each entry as Java's streaming reader sees them.
pub(super) fn java(path: &Path) -> String {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("Stream.java");
    std::fs::write(&source, JAVA).unwrap();
    run("java", &[source.to_str().unwrap()], path)
}

/// All of them; gives what Python and Java list.
fn all_accept(shelf: &mut Shelf) -> (Vec<String>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.zip");
    std::fs::write(&path, shelf.whole()).unwrap();
    if !shelf.members.is_empty() {
        // unzip calls an archive without entries an error.
        run("unzip", &["-tq"], &path);
    }
    run("7z", &["t"], &path);
    let listed = run("bsdtar", &["-tf"], &path);
    assert_eq!(listed.lines().count(), shelf.members.len());
    let lines = |text: String| text.lines().map(str::to_owned).collect();
    (lines(python(PYTHON, &path)), lines(java(&path)))
}

#[test]
fn other_programs_accept_the_empty_archive() {
    assert_eq!(all_accept(&mut Shelf::default()), (vec![], vec![]));
}

#[test]
fn other_programs_accept_a_tree() {
    let (python, java) = all_accept(&mut tree());
    assert_eq!(python[0], "00_meta/00_manifest.json 2 2745614147 False 0o100644 (2024, 5, 1, 10, 20, 30)");
    assert_eq!(python[2], "d/leer und spaß/ 0 0 True 0o40755 (2024, 5, 1, 10, 20, 30)");
    assert_eq!(java[3], "d/leer und spaß/ein name.txt 5 1714558830000");
    assert_eq!(java[4], "d/日本/文書.bin 70000 1714558830000");
    assert_eq!((python.len(), java.len()), (7, 7));
}

#[test]
fn other_programs_accept_more_members_than_16_bits_count() {
    let mut shelf = Shelf::default();
    for i in 0..66_000 {
        shelf.members.extend(Shelf::default().file(&format!("d{}/{i}", i / 1000), &[i as u8; 3][..i % 4]).members);
    }
    let (python, java) = all_accept(&mut shelf);
    assert_eq!((python.len(), java.len()), (66_000, 66_000));
}
