//! cadaver: commands on its standard input, the password in `~/.netrc`.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{noise, run};
use crate::dav::Drive;
use crate::harness::TOKEN;

/// Gives commands to cadaver in a session of its own; what it says.
fn cadaver(folder: &Path, url: &str, commands: &[&str]) -> String {
    let netrc = folder.join(".netrc");
    std::fs::write(&netrc, format!("machine 127.0.0.1 login unit password {TOKEN}\n")).expect("a file");
    std::fs::set_permissions(&netrc, PermissionsExt::from_mode(0o600)).expect("its mode");
    let script = folder.join("script");
    std::fs::write(&script, format!("{}\nquit\n", commands.join("\n"))).expect("a file");
    let input = File::open(script).expect("the script");
    run(Command::new("cadaver").arg(url).env("HOME", folder).current_dir(folder).stdin(input)).expect_success()
}

#[track_caller]
fn assert_all_succeed(text: &str) {
    assert!(!text.contains("failed") && !text.contains("Error") && text.contains("succeeded"), "{text}");
}

#[test]
fn cadaver_puts_gets_moves_copies_and_deletes() {
    let (drive, folder) = (Drive::new(), TempDir::new().expect("a directory"));
    let content = noise(300_000);
    std::fs::write(folder.path().join("notes with space.bin"), &content).expect("a file");
    let text = cadaver(
        folder.path(),
        &drive.url("b/"),
        &[
            "mkcol papers",
            "cd papers",
            "put \"notes with space.bin\"",
            "move \"notes with space.bin\" moved.bin",
            "copy moved.bin copied.bin",
            "get copied.bin back.bin",
            "ls",
            "mkcol inner",
            "move moved.bin inner/",
            "delete copied.bin",
            "cd ..",
            "copy papers/ archive/",
            "rmcol papers",
        ],
    );
    assert_all_succeed(&text);
    assert!(text.contains("copied.bin") && text.contains("300000"), "{text}");
    assert_eq!(std::fs::read(folder.path().join("back.bin")).expect("the file"), content);
    assert_eq!(drive.names("b"), ["archive"]);
    assert_eq!(drive.names("b/archive/inner"), ["moved.bin"]);
    assert_eq!(std::fs::read(drive.on_disk("archive/inner/moved.bin")).expect("the file"), content);
}

#[test]
fn cadaver_sets_properties_and_reads_them_back() {
    let (drive, folder) = (Drive::new(), TempDir::new().expect("a directory"));
    drive.put("b/f", "x").expect(201);
    let text = cadaver(
        folder.path(),
        &drive.url("b/"),
        &["propset f colour deep-blue", "propget f colour", "propset f size 10", "propdel f size", "propnames f"],
    );
    assert_all_succeed(&text);
    assert!(text.contains("Value of colour is: deep-blue"), "{text}");
    let names = text.rsplit("Fetching property names").next().expect("the names");
    assert!(names.contains("custom-properties/ colour") && !names.contains("custom-properties/ size"), "{names}");
    assert!(names.contains("DAV: getetag"), "{names}");
}

#[test]
fn cadaver_locks_out_others_until_it_unlocks() {
    let (drive, folder) = (Drive::new(), TempDir::new().expect("a directory"));
    std::fs::write(folder.path().join("f"), b"mine").expect("a file");
    drive.put("b/f", "x").expect(201);
    drive.mkcol("b/d").expect(201);
    // The session ends without unlocking the file.
    let text =
        cadaver(folder.path(), &drive.url("b/"), &["lock f", "put f", "discover f", "lock d", "put f d/f", "unlock d"]);
    assert_all_succeed(&text);
    assert!(text.contains("Scope: exclusive  Type: write"), "{text}");
    let token = text.split("Lock token <").nth(1).and_then(|t| t.split('>').next()).expect("a token");
    assert_eq!(drive.put("b/f", "theirs").status, 423);
    assert_eq!((drive.text("b/f"), drive.text("b/d/f")), ("mine".to_owned(), "mine".to_owned()));
    let text = cadaver(folder.path(), &drive.url("b/"), &["put f"]);
    assert!(text.contains("423 Locked"), "{text}");
    let text = cadaver(folder.path(), &drive.url("b/"), &["steal f", "put f", "unlock f"]);
    assert!(text.contains(token) || text.contains("succeeded"), "{text}");
    drive.put("b/f", "theirs").expect(204);
}

#[test]
fn cadaver_sees_cells_and_boxes() {
    let (drive, folder) = (Drive::new(), TempDir::new().expect("a directory"));
    drive.put("b/f", "x").expect(201);
    let text = cadaver(folder.path(), &drive.server.url(), &["ls", "cd c", "ls", "cd b", "ls"]);
    assert_all_succeed(&text);
    for shown in ["Coll:   c ", "Coll:   b ", "Coll:   other ", "        f "] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
}
