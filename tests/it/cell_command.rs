//! `cellar cell` and `cellar snapshot` on a unit on this machine.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::client::Request;
use crate::harness::{Server, TOKEN, cellar, run};

fn text(path: &std::path::Path) -> &str {
    path.to_str().expect("text")
}

/// A unit with the cell `c`, served once and stopped.
fn unit(dir: &TempDir) -> std::path::PathBuf {
    let root = dir.path().join("unit");
    let mut server = Server::at(&root, &[]);
    server.admin("MKCOL", "/c").expect(201);
    put(&server, "f", "as it was");
    assert!(server.stop().success());
    root
}

fn put(server: &Server, name: &str, bytes: impl Into<Vec<u8>>) {
    let reply = server.send(Request::new("PUT", &format!("/c/__/{name}")).bearer(TOKEN).body(bytes));
    assert!(reply.status < 300, "{reply:?}");
}

#[test]
fn a_cell_goes_out_and_comes_back() {
    let dir = TempDir::new().expect("a directory");
    let root = unit(&dir);
    let file = dir.path().join("c.zip");
    let out = run(&["cell", "export", "--root", text(&root), "c", "-o", text(&file)], &[]);
    assert!(out.status.success(), "{out:?}");
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), text(&file));
    assert!(fs::read(&file).expect("the file").starts_with(b"PK"));
    let listed = run(&["snapshot", "ls", "--root", text(&root), "c"], &[]);
    assert!(listed.status.success() && listed.stdout.is_empty(), "what was written elsewhere is not kept: {listed:?}");
    let mut server = Server::at(&root, &[]);
    put(&server, "f", "changed");
    let refused = run(&["cell", "import", "--root", text(&root), "c", text(&file)], &[]);
    assert_eq!(refused.status.code(), Some(11), "{refused:?}");
    assert!(server.stop().success());
    let back = run(&["cell", "import", "--root", text(&root), "--json", "c", text(&file)], &[]);
    assert!(back.status.success(), "{back:?}");
    let last = String::from_utf8_lossy(&back.stdout).lines().last().map(str::to_owned).expect("a line");
    let last: serde_json::Value = serde_json::from_str(&last).expect("JSON");
    assert_eq!((last["message_type"].as_str(), last["verb"].as_str()), (Some("summary"), Some("import")));
    let server = Server::at(&root, &[]);
    assert_eq!(server.admin("GET", "/c/__/f").expect(200).text(), "as it was");
}

#[test]
fn an_export_works_beside_a_server() {
    let dir = TempDir::new().expect("a directory");
    let root = unit(&dir);
    let server = Server::at(&root, &[]);
    put(&server, "g", "beside");
    let out = run(&["cell", "export", "--root", text(&root), "--name", "beside", "c"], &[]);
    assert!(out.status.success(), "{out:?}");
    let zip = server.admin("GET", "/c/__snapshot/beside.zip").expect(200);
    assert!(zip.body.starts_with(b"PK"));
    put(&server, "g", "the server goes on");
}

#[test]
fn snapshots_are_listed_copied_and_removed() {
    let dir = TempDir::new().expect("a directory");
    let root = unit(&dir);
    let (one, two) = (dir.path().join("one.zip"), dir.path().join("two.zip"));
    fs::write(&one, b"some bytes").expect("written");
    let verb = |arguments: &[&str]| {
        let out = run(&[&["snapshot"], arguments].concat(), &[("CELLAR_ROOT", text(&root))]);
        (out.status.code(), String::from_utf8(out.stdout).expect("text"), String::from_utf8(out.stderr).expect("text"))
    };
    assert_eq!(verb(&["put", "c", text(&one)]).0, Some(0));
    let (_, listed, _) = verb(&["ls", "c", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("one line");
    assert_eq!((listed["name"].as_str(), listed["size"].as_i64()), (Some("one.zip"), Some(10)));
    assert!(verb(&["ls", "c"]).1.trim_end().ends_with("one.zip"));
    assert_eq!(verb(&["get", "c", "one.zip", "-o", text(&two)]).0, Some(0));
    assert_eq!(fs::read(&two).expect("the copy"), b"some bytes");
    assert_eq!(verb(&["rm", "c", "one.zip"]).0, Some(0));
    for (arguments, said) in [
        (&["rm", "c", "one.zip"][..], "there is no snapshot `one.zip`"),
        (&["get", "c", "none"][..], "there is no snapshot `none`"),
        (&["ls", "nobody"][..], "there is no cell `nobody`"),
    ] {
        let (status, _, stderr) = verb(arguments);
        assert_eq!(status, Some(1), "{arguments:?}");
        assert!(stderr.contains(said), "{stderr}");
    }
}

#[test]
fn what_comes_to_nothing_says_why_and_leaves_nothing() {
    let dir = TempDir::new().expect("a directory");
    let root = unit(&dir);
    let file = dir.path().join("text");
    fs::write(&file, b"this is no zip file").expect("written");
    let out = run(&["cell", "import", "--root", text(&root), "c", text(&file)], &[]);
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    assert!(String::from_utf8_lossy(&out.stderr).contains("The specified snapshot file is not zip file."), "{out:?}");
    let listed = run(&["snapshot", "ls", "--root", text(&root), "c"], &[]);
    assert!(listed.stdout.is_empty(), "{listed:?}");
    let out = run(&["cell", "export", "--root", text(&root), "--name", "a.b", "c"], &[]);
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    let out = run(&["cell", "export", "--root", text(dir.path()), "c"], &[]);
    assert_eq!(out.status.code(), Some(10), "{out:?}");
}

#[test]
fn ctrl_c_leaves_nothing_half_made() {
    let dir = TempDir::new().expect("a directory");
    let root = unit(&dir);
    let mut server = Server::at(&root, &[]);
    let bytes: Vec<u8> = (0..150_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    put(&server, "large", bytes);
    assert!(server.stop().success());
    let file = dir.path().join("c.zip");
    let mut child = cellar()
        .args(["cell", "export", "--root", text(&root), "--level", "9", "c", "-o", text(&file)])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let staging = root.join("cells/c/staging");
    let deadline = Instant::now() + Duration::from_secs(30);
    while fs::read_dir(&staging).expect("a directory").count() < 2 {
        assert!(Instant::now() < deadline, "the export does not begin");
        std::thread::sleep(Duration::from_millis(2));
    }
    kill_process(Pid::from_child(&child), Signal::INT).expect("the process is ours");
    let status = child.wait().expect("a status");
    assert_eq!(status.code(), Some(130), "interrupted");
    assert!(!file.exists());
    let listed = run(&["snapshot", "ls", "--root", text(&root), "c"], &[]);
    assert!(listed.stdout.is_empty(), "{listed:?}");
    assert_eq!(fs::read_dir(&staging).expect("a directory").count(), 1, "only the folder of what is gone");
}

#[test]
fn boxes_go_out_and_in_as_bars() {
    let dir = TempDir::new().expect("a directory");
    let root = unit(&dir);
    let mut server = Server::at(&root, &[]);
    server.admin("MKCOL", "/c/notes").expect(201);
    server.send(Request::new("PUT", "/c/notes/f").bearer(TOKEN).body("in the box")).expect(201);
    let bar = dir.path().join("notes.bar");
    let verb = |arguments: &[&str]| {
        let out = run(&[&["box"], arguments].concat(), &[("CELLAR_ROOT", text(&root))]);
        (out.status.code(), String::from_utf8(out.stdout).expect("text"), String::from_utf8(out.stderr).expect("text"))
    };
    assert_eq!(verb(&["export", "c", "notes", "-o", text(&bar)]).0, Some(0), "beside the server");
    let (status, _, stderr) = verb(&["install", "c", "copy", text(&bar)]);
    assert_eq!(status, Some(0), "{stderr}");
    assert_eq!(server.admin("GET", "/c/copy/f").expect(200).text(), "in the box");
    assert!(verb(&["status", "c", "copy"]).1.starts_with("ready since 20"));
    let (status, told, _) = verb(&["status", "--json", "c", "copy"]);
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((status, told["status"].as_str()), (Some(0), Some("ready")));
    for (arguments, said) in [
        (&["install", "c", "copy", text(&bar)][..], "already registered"),
        (&["install", "c", "a/b", text(&bar)][..], "cannot be a name"),
        (&["install", "c", "new", text(&root.join("unit.toml"))][..], "error: "),
        (&["export", "c", "none", "-o", text(&bar)][..], "there is no box `none`"),
        (&["status", "c", "none"][..], "there is no box `none`"),
    ] {
        let (status, _, stderr) = verb(arguments);
        assert_eq!(status, Some(1), "{arguments:?}");
        assert!(stderr.contains(said), "{stderr}");
    }
    assert!(server.stop().success());
}
