//! Units that earlier versions wrote, killed in the middle of their work: they open, nothing is lost, no tag changes.

use std::process::Command;

use tempfile::TempDir;

use crate::client::Request;
use crate::harness::{Server, TOKEN, run};

/// Unpacks a unit of an older format; the directory goes with what is returned.
fn unpack(name: &str) -> (TempDir, std::path::PathBuf) {
    let dir = TempDir::new().expect("a directory");
    let archive = format!("{}/fixtures/units/{name}.tar.gz", env!("CARGO_MANIFEST_DIR"));
    let status = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(dir.path()).status().expect("tar runs");
    assert!(status.success());
    let root = dir.path().join("unit");
    (dir, root)
}

fn format_of(root: &std::path::Path) -> i64 {
    let conn = rusqlite::Connection::open(root.join("cells/alice/cell.db")).expect("a database");
    conn.pragma_query_value(None, "user_version", |r| r.get(0)).expect("a number")
}

#[test]
fn a_unit_of_format_1_opens_with_everything_in_it() {
    let (_dir, root) = unpack("format-1");
    assert_eq!(format_of(&root), 1);
    let mut server = Server::at(&root, &[]);
    let hello = server.admin("GET", "/alice/notes/hello.txt");
    assert_eq!((hello.status, hello.text()), (200, "hello again\n"));
    assert_eq!(hello.header("etag"), Some("\"2-1795283264294118\""));
    let kept = server.admin("GET", "/alice/notes/old/kept.md");
    assert_eq!(kept.header("etag"), Some("\"1-1795283263776874\""));
    assert_eq!(kept.header("content-type"), Some("text/x-own"));
    assert_eq!(server.admin("GET", "/alice/notes/moved.txt").text(), "late 1\n");
    assert_eq!(server.admin("GET", "/alice/notes/late2.txt").status, 404, "deleted");
    let asked = r#"<D:propfind xmlns:D="DAV:"><D:prop><x xmlns="urn:x"/></D:prop></D:propfind>"#;
    let found =
        server.send(Request::new("PROPFIND", "/alice/notes/hello.txt").bearer(TOKEN).header("Depth", "0").body(asked));
    assert!(found.text().contains(">blue<"), "{}", found.text());
    let put = Request::new("PUT", "/alice/notes/new.txt").bearer(TOKEN).body("new");
    assert_eq!(server.send(put).status, 201);
    let account = Request::new("POST", "/alice/__ctl/Account").bearer(TOKEN).body(r#"{"Name":"user"}"#);
    assert_eq!(server.send(account.header("X-Personium-Credential", "pass-word-1")).status, 201);
    let login = "grant_type=password&username=user&password=pass-word-1";
    assert_eq!(server.send(Request::new("POST", "/alice/__token").body(login)).status, 200);
    assert!(server.stop().success());
    assert!(format_of(&root) > 1, "it is in the format of today");
    // Unpacking gave every file another inode: the rows learn of those that nobody has asked for.
    let check = run(&["check", "--root", root.to_str().expect("text"), "--adopt", "--json"], &[]);
    let told = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(!told.contains("missing") && !told.contains("unknown") && !told.contains("litter"), "{told}");
    let check = run(&["check", "--root", root.to_str().expect("text"), "--json"], &[]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}
