//! A disk without a free byte: everything can be read and removed, the server starts, and then there is room again.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::{Reply, Request};
use crate::harness::{Server, TOKEN};

/// A small disk of its own.
struct Disk(PathBuf, #[allow(dead_code, reason = "it is removed with this handle")] tempfile::TempDir);

impl Disk {
    fn mount() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let at = dir.path().join("disk");
        std::fs::create_dir(&at).expect("a directory");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"]).arg(&at).status();
        assert!(mounted.expect("mount runs").success(), "a disk can be mounted: the tests run as root");
        Self(at, dir)
    }

    /// Takes all that is free.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = std::fs::File::options().append(true).create(true).open(&path).expect("a file");
        for piece in [vec![1; 64 * 1024], vec![1; 1024], vec![1]] {
            while file.write_all(&piece).is_ok() {}
        }
        assert_eq!(self.free(), 0);
        path
    }

    fn free(&self) -> u64 {
        rustix::fs::statvfs(&self.0).expect("a file system").f_bavail
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

fn put(server: &Server, name: &str, size: usize) -> Reply {
    server.send(Request::new("PUT", &format!("/c/b/{name}")).bearer(TOKEN).body(vec![7; size]))
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn start(root: &Path) -> Server {
    let server = Server::at(root, &[("CELLAR_STORAGE__DISK_RESERVE", "0")]);
    server.admin("MKCOL", "/c").expect(201);
    server.admin("MKCOL", "/c/b").expect(201);
    server
}

/// Puts files until no more is taken, then takes what is left by hand.
fn fill(server: &Server, disk: &Disk) -> usize {
    let mut files = 0;
    loop {
        let reply = put(server, &format!("f{files}"), 1 << 20);
        if reply.status != 201 {
            assert!(matches!(reply.status, 507 | 503), "{reply:?}");
            break;
        }
        files += 1;
    }
    assert!(files > 5, "{files}");
    disk.fill();
    files
}

#[test]
fn what_is_removed_makes_room_again() {
    let disk = Disk::mount();
    let server = start(&disk.0.join("unit"));
    let files = fill(&server, &disk);
    assert!(matches!(put(&server, "more", 100_000).status, 507 | 503));
    assert_eq!(server.admin("GET", "/c/b/f0").expect(200).body.len(), 1 << 20);
    for n in 0..files / 2 {
        server.admin("DELETE", &format!("/c/b/f{n}")).expect(204);
        server.admin("GET", &format!("/c/b/f{n}")).expect(404);
    }
    eventually("there is room again", || matches!(put(&server, "again", 1 << 20).status, 201 | 204));
    assert_eq!(server.admin("GET", "/c/b/again").expect(200).body, vec![7; 1 << 20]);
    // All of it once more: what was used is kept again.
    disk.fill();
    assert!(matches!(put(&server, "more", 100_000).status, 507 | 503));
    server.admin("DELETE", "/c/b/again").expect(204);
    eventually("there is room again", || put(&server, "b", 100_000).status == 201);
}

#[test]
fn the_server_starts_on_a_full_disk() {
    let disk = Disk::mount();
    let root = disk.0.join("unit");
    let mut server = start(&root);
    let files = fill(&server, &disk);
    // What is shared in memory finds a place too, or does without.
    std::fs::remove_file(root.join("generations")).expect("removed");
    disk.fill();
    for signal in [Signal::TERM, Signal::KILL] {
        server.restart(signal);
        let listed = Request::new("PROPFIND", "/c/b").bearer(TOKEN).header("Depth", "1");
        let listed = server.send(listed).expect(207);
        assert_eq!(listed.text().matches("<D:response>").count(), files + 1);
        assert_eq!(server.admin("GET", "/c/b/f0").expect(200).body.len(), 1 << 20);
        assert!(matches!(put(&server, "more", 100_000).status, 507 | 503));
    }
    server.admin("DELETE", "/c/b/f0").expect(204);
    server.admin("DELETE", "/c/b/f1").expect(204);
    eventually("there is room again", || put(&server, "again", 1 << 20).status == 201);
}
