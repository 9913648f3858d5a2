//! Ways out of a box that lead nowhere: encodings, dots, links, mounts, look-alikes, and destinations that mean something else.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::{Drive, on};
use crate::client::{Reply, Request};
use crate::harness::TOKEN;

const SECRET: &str = "a secret outside of the box";

/// Targets that are refused, whatever the method.
const REFUSED: &[&str] = &[
    // Dots, plain and encoded, at every place.
    "/c/b/..",
    "/c/b/.",
    "/c/b/../secret",
    "/c/b/../../../secret",
    "/c/b/../../../../secret",
    "/c/b/../other/secret",
    "/c/b/d/../../../secret",
    "/c/b/d/..",
    "/c/b/./secret",
    "/c/b/%2e%2e/other/secret",
    "/c/b/%2E%2E/%2E%2E/%2E%2E/secret",
    "/c/b/.%2e/other/secret",
    "/c/b/%2e./other/secret",
    "/c/b/%2e",
    "/c/b/f/..",
    "/c/b/f/../../other/secret",
    "/c/b//../other/secret",
    "/c/b/..//other/secret",
    "/c/b/..?x=/c/b/f",
    // Slashes inside a name.
    "/c/b/..%2fother%2fsecret",
    "/c/b/..%2F..%2F..%2Fsecret",
    "/c/b/%2e%2e%2fother%2fsecret",
    "/c/b%2f..%2f..%2fsecret",
    "/c/b/d%2ff",
    "/c/b/%2f",
    "/c/b/%2fetc%2fpasswd",
    "/c/b/d%2f..%2f..%2fother%2fsecret",
    // Overlong and broken UTF-8: no other spelling of a dot or a slash.
    "/c/b/%c0%ae%c0%ae/other/secret",
    "/c/b/%c0%2e%c0%2e/secret",
    "/c/b/..%c0%af..%c0%afsecret",
    "/c/b/%e0%80%ae%e0%80%ae/secret",
    "/c/b/%f0%80%80%ae%f0%80%80%ae/secret",
    "/c/b/%ed%a0%80",
    "/c/b/%ff",
    "/c/b/%f8%88%80%80%af",
    // NUL and what else cuts texts short.
    "/c/b/%00",
    "/c/b/f%00",
    "/c/b/f%00.txt",
    "/c/b/..%00/secret",
    "/c/b/f%0a",
    "/c/b/f%0d%0aX-Header:%20x",
    "/c/b/%7f",
    "/c/b/f%c2%85",
    "/c/b/%ef%bf%bf",
    // The cell and the box instead of the path.
    "/c/..",
    "/c/../secret",
    "/c/%2e%2e/secret",
    "/c/%2e%2e%2fsecret/f",
    "/c/.",
    "/c/b%00/f",
    "/c/..%2fb/f",
    "/c/boxes%2fother/secret",
    "/../secret",
    "/%2e%2e/secret",
    "/%2e%2e%2fsecret/f",
    "/c%2fboxes/other/secret",
    "/c%2f..%2fc/b/f",
    "/./c/cell.db/f",
    "/c%00/b/f",
    // Too long, and too deep.
    "/c/b/LONG",
    "/c/b/DEEP/f",
    // What lies there by hand and is nothing that is served.
    "/c/b/link-to-file",
    "/c/b/link-to-root",
    "/c/b/link-to-root/secret",
    "/c/b/link-up/other/secret",
    "/c/b/link-to-box/secret",
    "/c/b/link-inside/f",
    "/c/b/link-to-itself",
    "/c/b/link-to-itself/x",
    "/c/b/link-to-proc/version",
    "/c/b/fifo",
    "/c/b/device",
    "/c/b/socket",
    "/c/b/d/link-to-file",
    "/c/b/mounted/secret",
    "/c/b/bound/secret",
];

/// Targets that look like a way out and are a name like any other, in the box.
const INSIDE: &[(&str, &str)] = &[
    ("/c/b/%252e%252e", "%2e%2e"),
    ("/c/b/..%252fsecret", "..%2fsecret"),
    ("/c/b/%25%32%65", "%2e"),
    ("/c/b/%2500", "%00"),
    ("/c/b/%25c0%25ae", "%c0%ae"),
    ("/c/b/...", "..."),
    ("/c/b/....", "...."),
    ("/c/b/..%20", ".. "),
    ("/c/b/%20..", " .."),
    ("/c/b/..a", "..a"),
    ("/c/b/~root", "~root"),
    ("/c/b/$HOME", "$HOME"),
    ("/c/b/%EF%BC%8E%EF%BC%8E", "\u{ff0e}\u{ff0e}"),
    ("/c/b/%E2%80%A5", "\u{2025}"),
    ("/c/b/..%EF%BC%8Fsecret", "..\u{ff0f}secret"),
    ("/c/b/..%E2%88%95secret", "..\u{2215}secret"),
    ("/c/b/..%E2%81%84secret", "..\u{2044}secret"),
    ("/c/b/..%EF%BC%BCsecret", "..\u{ff3c}secret"),
    ("/c/b/%E2%80%AE%E2%80%8Btxt", "\u{202e}\u{200b}txt"),
    ("/c/b/cell.db", "cell.db"),
    ("/c/b/staging", "staging"),
    ("/c/b/..%3Bx=y", "..;x=y"),
    ("/c/b/%", "%"),
    ("/c/b/%2", "%2"),
    ("/c/b/%zz", "%zz"),
];

/// Destinations that are refused. `HOST` is the server's own.
const DESTINATIONS: &[&str] = &[
    "",
    "/",
    "/c",
    "/c/",
    "/c/b",
    "/c/b/",
    "x",
    "../other/x",
    "/c/b/..",
    "/c/b/../x",
    "/c/b/../../../x",
    "/c/b/%2e%2e/other/x",
    "/c/b/..%2fother%2fx",
    "/c/b/d%2fx",
    "/c/b/%2fx",
    "/c/b/x%00",
    "/c/b/%c0%ae%c0%ae/x",
    "/c/b/..%5cx",
    "/c/b/..\\x",
    "/c/b/x%0ay",
    "/c/../x",
    "/../c/x",
    "/c/%2e%2e/x",
    "/c/..%2fx/y",
    "/c/__ctl/x",
    "/c/__log/x",
    "/c/boxes%2fother/x",
    "/nowhere/b/x",
    "/c/nowhere/x",
    "//c/b/x",
    "file:///etc/x",
    "ftp://HOST/c/b/x",
    "http://elsewhere.example/c/b/x",
    "http://HOST.elsewhere.example/c/b/x",
    "http://HOST@elsewhere.example/c/b/x",
    "http://elsewhere.example@HOST/c/b/x",
    "http://elsewhere.example%2fHOST/c/b/x",
    "http://HOST/c/b/../other/x",
    "http://HOST/../../x",
    "http:///c/b/x",
    "javascript:/c/b/x",
    "personium-localunit:..:/b/x",
    "personium-localunit:/../c/b/x",
    "personium-localcell:/../x",
    "personium-localcell:/b/../x",
    "/c/b/LONG",
    "/c/b/DEEP",
    "/c/b/link-to-root/x",
    "/c/b/link-up/x",
    "/c/b/link-inside/x",
    "/c/b/link-to-file",
    "/c/b/mounted/x",
    "/c/b/bound/x",
    "/c/b/f/x",
];

/// Directories that are mounted over in the box, until the handle goes.
struct Mounts(Vec<std::path::PathBuf>);

impl Mounts {
    fn new(drive: &Drive) -> Self {
        let at = |name: &str| {
            std::fs::create_dir(drive.on_disk(name)).expect("a directory");
            drive.on_disk(name)
        };
        let mounts = Self(vec![at("mounted"), at("bound")]);
        let run = |command: &mut Command| {
            let output = command.output().expect("mount");
            assert!(output.status.success(), "mounting needs root: {output:?}");
        };
        run(Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&mounts.0[0]));
        run(Command::new("mount").arg("--bind").arg(drive.server.root().join("outside")).arg(&mounts.0[1]));
        std::fs::write(mounts.0[0].join("secret"), SECRET).expect("a file");
        mounts
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = Command::new("umount").arg("-l").arg(path).output();
        }
    }
}

/// A drive with secrets around the box `b`, and with what leads to them put into it by hand.
fn drive() -> (Drive, Mounts) {
    let drive = Drive::new();
    drive.put("b/f", "inside").expect(201);
    drive.mkcol("b/d").expect(201);
    drive.put("b/d/f", "inside").expect(201);
    drive.put("other/secret", SECRET).expect(201);
    let root = drive.server.root();
    std::fs::create_dir(root.join("outside")).expect("a directory");
    for at in ["secret", "outside/secret", "cells/c/secret", "cells/c/boxes/secret"] {
        std::fs::write(root.join(at), SECRET).expect("a file");
    }
    let link = |to: &Path, name: &str| symlink(to, drive.on_disk(name)).expect("a link");
    link(&root.join("secret"), "link-to-file");
    link(root, "link-to-root");
    link(Path::new(".."), "link-up");
    link(Path::new("../other"), "link-to-box");
    link(Path::new("d"), "link-inside");
    link(Path::new("link-to-itself"), "link-to-itself");
    link(Path::new("/proc"), "link-to-proc");
    link(&root.join("secret"), "d/link-to-file");
    let make = |name: &str, more: &[&str]| {
        let output = Command::new("mknod").arg(drive.on_disk(name)).args(more).output().expect("mknod");
        assert!(output.status.success(), "devices need root: {output:?}");
    };
    make("fifo", &["p"]);
    make("device", &["c", "1", "5"]);
    let socket = std::os::unix::net::UnixListener::bind(drive.on_disk("socket")).expect("a socket");
    drop(socket);
    let mounts = Mounts::new(&drive);
    (drive, mounts)
}

fn spelled(text: &str, host: &str) -> String {
    let deep = vec!["d"; 60].join("/");
    text.replace("LONG", &"x".repeat(256)).replace("DEEP", &deep).replace("HOST", host)
}

/// Everything that users' requests must not change: all files of the unit but the box, its log and databases.
fn outside(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root) {
        let entry = entry.expect("an entry");
        let path = entry.path().strip_prefix(root).expect("below").display().to_string();
        let ours = ["cells/c/boxes/b", "cells/c/staging", "cells/c/log", "staging", "generations"];
        let ours = ours.iter().any(|p| path.starts_with(p));
        if entry.file_type().is_file() && !ours && !path.contains(".db") {
            found.insert(path, std::fs::read(entry.path()).expect("a file"));
        } else if entry.file_type().is_dir() && !ours {
            found.insert(path, Vec::new());
        }
    }
    found
}

#[track_caller]
fn assert_refused(reply: &Reply, what: &str) {
    assert!((400..500).contains(&reply.status) || reply.status == 502, "{what}: {reply:?}");
    let text = String::from_utf8_lossy(&reply.body);
    assert!(!text.contains(SECRET) && !text.contains("inside\n"), "{what}: {text}");
    assert!(!text.contains("/tmp/"), "{what} tells where the unit lies: {text}");
}

fn attempt(method: &str, target: &str) -> Request {
    let request = Request::new(method, target).bearer(TOKEN).header("Depth", "0");
    let lock = "<D:lockinfo xmlns:D=\"DAV:\"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>";
    let patch = "<D:propertyupdate xmlns:D=\"DAV:\"><D:set><D:prop><x xmlns=\"urn:x\">1</x></D:prop></D:set></D:propertyupdate>";
    match method {
        "LOCK" => request.body(lock),
        "PROPPATCH" => request.body(patch),
        "PUT" => request.body("changed"),
        _ => request,
    }
}

#[test]
fn no_path_link_or_encoding_leads_out_of_the_box() {
    let (drive, _mounts) = drive();
    let before = outside(drive.server.root());
    let host = drive.server.address.to_string();
    for text in REFUSED {
        let target = spelled(text, &host);
        for method in ["GET", "HEAD", "PROPFIND", "PUT", "MKCOL", "DELETE", "LOCK", "PROPPATCH"] {
            // A box's own URL answers MKCOL and DELETE otherwise; none of these is one.
            assert_refused(&drive.send(attempt(method, &target)), &format!("{method} {target}"));
        }
        for method in ["MOVE", "COPY"] {
            let away = attempt(method, &target).header("Destination", drive.url("b/stolen"));
            let away = drive.send(away.header("X-Try", "source"));
            assert_refused(&away, &format!("{method} {target}"));
            let onto = on(method, "b/f").header("Destination", target.clone());
            assert_refused(&drive.send(onto), &format!("{method} to {target}"));
        }
        assert_eq!(drive.text("b/f"), "inside", "{target}");
    }
    assert_eq!(outside(drive.server.root()), before);
    assert_eq!(drive.names("b"), ["d", "f"]);
    assert_eq!((drive.names("b/d"), drive.text("b/d/f")), (vec!["f".to_owned()], "inside".to_owned()));
}

#[test]
fn no_forwarded_path_leads_out_of_the_box() {
    let (drive, _mounts) = drive();
    let before = outside(drive.server.root());
    for text in REFUSED {
        let path = spelled(text, "");
        for method in ["GET", "PUT", "DELETE"] {
            let request =
                Request::new(method, "/c/b/f").bearer(TOKEN).header("X-Forwarded-Path", path.clone()).body("x");
            assert_refused(&drive.send(request), &format!("{method} forwarded {path}"));
        }
    }
    assert_eq!(outside(drive.server.root()), before);
    assert_eq!(drive.text("b/f"), "inside");
}

#[test]
fn no_destination_leads_out_of_the_box() {
    let (drive, _mounts) = drive();
    let before = outside(drive.server.root());
    let host = drive.server.address.to_string();
    for text in DESTINATIONS {
        let to = spelled(text, &host);
        for method in ["MOVE", "COPY"] {
            for source in ["b/f", "b/d"] {
                let reply = drive.send(on(method, source).header("Destination", to.clone()));
                assert_refused(&reply, &format!("{method} {source} to {to:?}"));
            }
        }
    }
    assert_eq!(outside(drive.server.root()), before);
    assert_eq!(drive.names("b"), ["d", "f"]);
}

#[test]
fn what_only_looks_like_a_way_out_is_a_name_in_the_box() {
    let (drive, _mounts) = drive();
    let before = outside(drive.server.root());
    for (target, name) in INSIDE {
        assert_eq!(drive.send(attempt("GET", target)).status, 404, "{target}");
        assert_eq!(drive.send(attempt("PUT", target)).status, 201, "{target}");
        assert_eq!(std::fs::read(drive.on_disk(name)).expect(name), b"changed");
        assert_eq!(drive.send(attempt("GET", target)).text(), "changed", "{target}");
        let href = &drive.propfind("b", "1")[1..];
        let listed = href.iter().find(|l| {
            let segment = l.href.rsplit('/').next().expect("a name");
            percent_encoding::percent_decode_str(segment).decode_utf8_lossy() == *name
        });
        let path =
            listed.unwrap_or_else(|| panic!("{name} is listed")).href.split_once("/c/").expect("a path").1.to_owned();
        assert_eq!(drive.text(&path), "changed", "{path}");
        drive.delete(&path).expect(204);
    }
    assert_eq!(outside(drive.server.root()), before);
    assert_eq!(drive.names("b"), ["d", "f"]);
}

#[test]
fn a_hard_link_put_there_by_hand_is_never_written_through() {
    let (drive, _mounts) = drive();
    let secret = drive.server.root().join("secret");
    std::fs::hard_link(&secret, drive.on_disk("hard")).expect("a link");
    // Whoever may read the box was given the content by the one who linked it.
    assert_eq!(drive.text("b/hard"), SECRET);
    drive.put("b/hard", "changed").expect(204);
    let part = on("PATCH", "b/hard").header("Content-Type", "application/x-sabredav-partialupdate");
    drive.send(part.header("X-Update-Range", "append").body("more")).expect(204);
    assert_eq!(drive.text("b/hard"), "changedmore");
    assert_eq!(std::fs::read_to_string(secret).expect("the file"), SECRET);
}

#[test]
fn an_archive_of_the_box_holds_nothing_from_outside() {
    let (drive, _mounts) = drive();
    let export = on("GET", "b").header("Accept", "application/zip+x-personium-bar");
    let archive = drive.send(export).expect(200).body;
    let text = String::from_utf8_lossy(&archive);
    assert!(text.contains("inside") && !text.contains(SECRET));
}

#[test]
fn the_check_reports_what_is_not_served() {
    let (drive, _mounts) = drive();
    assert_eq!(drive.names("b"), ["d", "f"]);
    let root = drive.server.root().to_str().expect("a path");
    let output = crate::harness::run(&["check", "--root", root, "--json"], &[]);
    let text = String::from_utf8_lossy(&output.stdout);
    for name in ["link-to-file", "link-to-root", "d/link-to-file", "fifo", "device", "socket", "mounted", "bound"] {
        assert!(text.contains(&format!("boxes/b/{name}\"")), "{name}: {text}");
    }
    assert_eq!(text.matches("boxes/b/").count(), 13, "{text}");
}

#[test]
fn a_collection_that_becomes_a_link_or_a_mount_is_not_there() {
    let (drive, mounts) = drive();
    let become_link = || {
        std::fs::remove_dir_all(drive.on_disk("d")).expect("removed");
        symlink(drive.server.root(), drive.on_disk("d")).expect("a link");
    };
    become_link();
    assert_eq!(drive.put("b/d/secret", "changed").problem(), "409 PR409-DV-0001");
    drive.get("b/d/f").expect(404);
    drive.mkcol("b/e").expect(201);
    drive.put("b/e/f", "under the mount").expect(201);
    let output = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(drive.on_disk("e")).output().expect("mount");
    assert!(output.status.success(), "{output:?}");
    let over = Mounts(vec![drive.on_disk("e")]);
    // The writer may still hold the directory below the mount: then the file goes there, and never onto the mount.
    let status = drive.put("b/e/new", "onto the mount").status;
    assert!(matches!(status, 201 | 409), "{status}");
    drive.get("b/e/f").expect(404);
    assert!(drive.put("b/e", "x").status >= 400);
    assert_eq!(std::fs::read_dir(drive.on_disk("e")).expect("a directory").count(), 0);
    drop(over);
    assert_eq!(drive.text("b/e/f"), "under the mount");
    drop(mounts);
}

#[test]
fn a_copy_and_a_move_of_a_tree_take_no_links_along() {
    let (drive, _mounts) = drive();
    drive.copies("b/d", "b/copied").expect(201);
    assert_eq!(drive.names("b/copied"), ["f"]);
    assert!(!drive.on_disk("copied/link-to-file").exists());
    drive.moves("b/d", "b/moved").expect(201);
    drive.get("b/moved/link-to-file").expect(404);
    assert_eq!(drive.names("b/moved"), ["f"]);
}
