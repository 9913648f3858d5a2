//! Programs that mount a drive, with a drive password: they see and change what it opens, and nothing else.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::json;

use super::World;
use crate::client::Request;
use crate::harness::TOKEN;

/// A world whose account `a` may do everything in the boxes `b` and `s`, only read in `r`, and nothing in `x`.
fn drive() -> World {
    let world = World::new();
    world.make("Box", &json!({ "Name": "s", "Schema": "https://app.example/" })).expect(201);
    for name in ["r", "x"] {
        world.make("Box", &json!({ "Name": name })).expect(201);
    }
    world.account("a", &["role"]);
    for path in ["b", "s"] {
        world.allow(path, &[("role", &["all"])]);
    }
    world.allow("r", &[("role", &["read"])]);
    world.allow("", &[("role", &["propfind"])]);
    for path in ["r/kept.txt", "x/secret.txt"] {
        world.send(Request::new("PUT", &format!("/c/{path}")).bearer(TOKEN).body("kept")).expect(201);
    }
    world
}

fn rclone(world: &World, obscured: &str, arguments: &[&str]) -> Output {
    Command::new("rclone")
        .args(["--config", "/dev/null", "--retries", "1", "--low-level-retries", "1"])
        .args(arguments)
        .env("RCLONE_WEBDAV_URL", world.url("c"))
        .env("RCLONE_WEBDAV_USER", "a")
        .env("RCLONE_WEBDAV_PASS", obscured)
        .output()
        .expect("rclone runs (tests/run installs it)")
}

fn lines(output: &Output) -> Vec<String> {
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn rclone_sees_and_changes_what_a_drive_password_opens() {
    let world = drive();
    let password = world.drive_password("laptop", "a", None);
    let obscured = Command::new("rclone").args(["obscure", &password]).output().expect("rclone runs");
    let obscured = String::from_utf8(obscured.stdout).expect("text").trim().to_owned();
    let rclone = |arguments: &[&str]| rclone(&world, &obscured, arguments);
    assert_eq!(lines(&rclone(&["lsf", ":webdav:"])), ["b/", "r/", "s/"], "the box that it may not see is not listed");
    let dir = tempfile::TempDir::new().expect("a directory");
    std::fs::write(dir.path().join("note.txt"), "from rclone").expect("a file");
    let local = dir.path().to_str().expect("text");
    for cell_box in ["b", "s"] {
        let copied = rclone(&["copy", local, &format!(":webdav:{cell_box}/notes")]);
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        assert_eq!(lines(&rclone(&["lsf", "-R", &format!(":webdav:{cell_box}")])), ["notes/", "notes/note.txt"]);
    }
    assert_eq!(lines(&rclone(&["cat", ":webdav:r/kept.txt"])), ["kept"]);
    for target in [":webdav:r/notes", ":webdav:x/notes"] {
        assert!(!rclone(&["copy", local, target]).status.success(), "{target}");
    }
    assert!(!rclone(&["cat", ":webdav:x/secret.txt"]).status.success());
    assert_eq!(world.admin("GET", "/c/b/notes/note.txt").expect(200).body, b"from rclone");
    for path in ["r/notes", "x/notes"] {
        world.admin("GET", &format!("/c/{path}")).expect(404);
    }
}

/// Runs a script of cadaver on a collection; credentials come from a `.netrc`.
fn cadaver(world: &World, home: &Path, path: &str, script: &str) -> String {
    let mut child = Command::new("cadaver")
        .arg(format!("{}{path}", world.url("c")))
        .env("HOME", home)
        .current_dir(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("cadaver runs (tests/run installs it)");
    let mut pipe = child.stdin.take().expect("a pipe");
    // It ends by itself where it cannot even open the collection.
    let _ = pipe.write_all(format!("{script}\nquit\n").as_bytes());
    drop(pipe);
    let output = child.wait_with_output().expect("an end");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn cadaver_logs_in_with_a_drive_password_for_one_box() {
    let world = drive();
    let password = world.drive_password("laptop", "a", Some("s"));
    let home = tempfile::TempDir::new().expect("a directory");
    let netrc = format!("machine 127.0.0.1 login a password {password}\n");
    std::fs::write(home.path().join(".netrc"), netrc).expect("a file");
    std::fs::write(home.path().join("note.txt"), "from cadaver").expect("a file");
    let said = cadaver(
        &world,
        home.path(),
        "s/",
        "mkcol notes\nput note.txt notes/note.txt\nlock notes/note.txt\nunlock notes/note.txt\nls notes",
    );
    assert!(said.contains("note.txt") && !said.contains("failed") && !said.contains("401"), "{said}");
    assert_eq!(world.admin("GET", "/c/s/notes/note.txt").expect(200).body, b"from cadaver");
    let refused = cadaver(&world, home.path(), "b/", "put note.txt");
    assert!(refused.contains("403"), "{refused}");
    world.admin("GET", "/c/b/note.txt").expect(404);
}
