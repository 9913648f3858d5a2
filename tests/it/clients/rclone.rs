//! rclone: synchronising both ways, its checks, modification times, and its own discovery of what names a server takes.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{Running, assert_same_trees, listing, run, until, write_tree};
use crate::dav::{Drive, on};
use crate::harness::TOKEN;

/// A configured remote `cellar:`.
pub(super) struct Rclone {
    folder: TempDir,
    config: String,
    more: Vec<String>,
}

impl Rclone {
    /// `vendor`: `owncloud` keeps modification times, `other` does not ask for them.
    pub(super) fn new(url: &str, vendor: &str) -> Self {
        let folder = TempDir::new().expect("a directory");
        let config = folder.path().join("rclone.conf").to_str().expect("a path").to_owned();
        let rclone = Self { folder, config, more: Vec::new() };
        let (url, vendor) = (format!("url={url}"), format!("vendor={vendor}"));
        rclone.run(&["config", "create", "cellar", "webdav", &url, &vendor, "user=unit", &format!("pass={TOKEN}")]);
        rclone
    }

    /// With more arguments for every command.
    pub(super) fn with(mut self, arguments: &[&str]) -> Self {
        self.more.extend(arguments.iter().map(|a| (*a).to_owned()));
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("rclone");
        command.args(["--config", &self.config, "--retries", "1", "--low-level-retries", "1"]).args(&self.more);
        command.args(arguments).env("HOME", self.folder.path()).stdin(std::process::Stdio::null());
        command
    }

    /// Runs rclone; what it says.
    #[track_caller]
    pub(super) fn run(&self, arguments: &[&str]) -> String {
        run(&mut self.command(arguments)).expect_success()
    }
}

pub(super) fn text(path: &Path) -> &str {
    path.to_str().expect("a path")
}

/// Puts a tree on the drive, changes it there, and brings it back: at each step both sides are the same.
pub(super) fn sync_both_ways(rclone: &Rclone, drive: &Drive) {
    let (up, down) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    let (up, down) = (up.path(), down.path());
    write_tree(up);
    let both = ["--create-empty-src-dirs"];
    rclone.run(&[&["sync", text(up), "cellar:tree"][..], &both].concat());
    assert_same_trees(up, &drive.on_disk("tree"));
    rclone.run(&["check", "--download", text(up), "cellar:tree"]);
    drive.put("b/tree/one", "changed on the drive").expect(204);
    drive.delete("b/tree/nothing").expect(204);
    drive.moves("b/tree/many", "b/tree/sub/many").expect(201);
    rclone.run(&[&["sync", "cellar:tree", text(down)][..], &both].concat());
    assert_same_trees(down, &drive.on_disk("tree"));
    let told = rclone.run(&["check", "cellar:tree", text(down)]);
    assert!(told.contains("0 differences found"), "{told}");
    // What is only on the drive now goes.
    rclone.run(&[&["sync", text(up), "cellar:tree"][..], &both].concat());
    assert_eq!(listing(&drive.on_disk("tree")), listing(up));
    rclone.run(&["check", "--download", text(up), "cellar:tree"]);
}

#[test]
fn rclone_syncs_both_ways() {
    let drive = Drive::new();
    sync_both_ways(&Rclone::new(&drive.url("b/"), "other"), &drive);
}

#[test]
fn rclone_syncs_both_ways_with_times() {
    let drive = Drive::new();
    sync_both_ways(&Rclone::new(&drive.url("b/"), "owncloud"), &drive);
}

#[test]
fn rclone_keeps_modification_times() {
    let drive = Drive::new();
    let source = TempDir::new().expect("a directory");
    let file = source.path().join("old file");
    std::fs::write(&file, b"old").expect("a file");
    run(Command::new("touch").args(["-d", "2011-12-13T14:15:16Z"]).arg(&file)).expect_success();
    for vendor in ["owncloud", "nextcloud"] {
        let rclone = Rclone::new(&drive.url("b/"), vendor);
        let to = format!("cellar:{vendor}");
        rclone.run(&["copy", text(source.path()), &to]);
        let listed = rclone.run(&["lsjson", &to]);
        let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
        let time = listed[0]["ModTime"].as_str().expect("a time");
        assert!(time.starts_with("2011-12-13T14:15:16"), "{listed}");
        // Nothing has to be sent twice.
        let told = rclone.run(&["sync", "-v", text(source.path()), &to]);
        assert!(!told.contains("Copied"), "{told}");
        let back = TempDir::new().expect("a directory");
        rclone.run(&["copy", &to, text(back.path())]);
        let modified = back.path().join("old file").metadata().and_then(|m| m.modified()).expect("a time");
        let seconds = modified.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
        assert_eq!(seconds, 1_323_785_716);
    }
}

#[test]
fn rclone_finds_a_difference_of_the_same_size_when_it_compares_bytes() {
    let drive = Drive::new();
    let source = TempDir::new().expect("a directory");
    std::fs::write(source.path().join("f"), b"one").expect("a file");
    drive.mkcol("b/d").expect(201);
    drive.put("b/d/f", "two").expect(201);
    for vendor in ["owncloud", "nextcloud", "other"] {
        let rclone = Rclone::new(&drive.url("b/"), vendor);
        // There are no checksums that it could take for wrong ones.
        let told = rclone.run(&["check", text(source.path()), "cellar:d"]);
        assert!(told.contains("0 differences found") && told.contains("hashes could not be checked"), "{told}");
        let compared = run(&mut rclone.command(&["check", "--download", text(source.path()), "cellar:d"]));
        assert!(!compared.status.success() && compared.text.contains("1 differences found"), "{}", compared.text);
    }
}

#[test]
fn rclone_moves_and_copies_on_the_server() {
    let drive = Drive::new();
    let rclone = Rclone::new(&drive.url("b/"), "owncloud");
    drive.mkcol("b/d").expect(201);
    drive.put("b/d/f", "content").expect(201);
    rclone.run(&["copyto", "cellar:d/f", "cellar:copy of f"]);
    rclone.run(&["moveto", "cellar:d", "cellar:moved/here"]);
    let mut pipe = rclone.command(&["rcat", "cellar:piped", "--streaming-upload-cutoff", "0"]);
    let mut upload = pipe.stdin(std::process::Stdio::piped()).spawn().expect("rclone");
    std::io::Write::write_all(&mut upload.stdin.take().expect("a pipe"), b"piped content").expect("written");
    assert!(upload.wait().expect("a status").success());
    assert_eq!(drive.names("b"), ["copy%20of%20f", "moved", "piped"]);
    assert_eq!(drive.text("b/moved/here/f"), "content");
    rclone.run(&["purge", "cellar:moved"]);
    assert_eq!(rclone.run(&["lsf", "cellar:"]), "copy of f\npiped\n");
    let about: serde_json::Value = serde_json::from_str(&rclone.run(&["about", "--json", "cellar:"])).expect("JSON");
    assert_eq!(about["used"], 20, "{about}");
    assert!(about["free"].as_u64().is_some_and(|free| free > 0), "{about}");
}

#[test]
fn rclone_finds_that_every_name_works() {
    let drive = Drive::new();
    let rclone = Rclone::new(&drive.url("b/"), "owncloud");
    let checks = ["--check-normalization", "--check-streaming"];
    let told = rclone.run(&[&["test", "info", "cellar:info"][..], &checks].concat());
    for expected in [
        "canWriteUnnormalized = true",
        "canReadUnnormalized   = true",
        "canReadRenormalized   = true",
        "canStream = true",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
}

#[test]
fn rclone_keeps_two_sides_alike() {
    let drive = Drive::new();
    let rclone = Rclone::new(&drive.url("b/"), "owncloud");
    let side = TempDir::new().expect("a directory");
    let side = side.path();
    let write = |name: &str, text: &str| std::fs::write(side.join(name), text).expect("a file");
    std::fs::create_dir(side.join("sub")).expect("a directory");
    for name in ["mine", "sub/theirs", "sub/\u{fc} gone"] {
        write(name, "first");
        run(Command::new("touch").args(["-d", "2011-12-13T14:15:16Z"]).arg(side.join(name))).expect_success();
    }
    drive.mkcol("b/side").expect(201);
    drive.send(on("PUT", "b/side/there").header("X-OC-Mtime", "1323785716").body("first")).expect(201);
    rclone.run(&["bisync", text(side), "cellar:side", "--resync"]);
    assert_same_trees(side, &drive.on_disk("side"));
    // It is by their times that rclone knows what has changed.
    write("mine", "changed here");
    write("new here", "new");
    drive.put("b/side/there", "changed there").expect(204);
    drive.put("b/side/sub/new%20there", "new").expect(201);
    drive.delete("b/side/sub/%C3%BC%20gone").expect(204);
    rclone.run(&["bisync", text(side), "cellar:side"]);
    assert_same_trees(side, &drive.on_disk("side"));
    let expected = "mine 12\nnew here 3\nsub/\nsub/new there 3\nsub/theirs 5\nthere 13\n";
    assert_eq!(listing(side), expected);
}

/// A drive that rclone has mounted; unmounted with its handle.
struct RcloneMount {
    at: PathBuf,
    program: Option<Running>,
}

impl RcloneMount {
    fn new(rclone: &Rclone) -> Self {
        let (at, cache) = (rclone.folder.path().join("mount"), rclone.folder.path().join("cache"));
        std::fs::create_dir(&at).expect("a directory");
        let mut command = rclone.command(&["mount", "cellar:", text(&at), "--cache-dir", text(&cache)]);
        // What was written is uploaded at once, and listings are never old.
        command.args(["--vfs-cache-mode", "full", "--vfs-write-back", "0", "--dir-cache-time", "0"]);
        let program = Running(command.spawn().expect("rclone is installed, see tests/run"));
        let mount = Self { at, program: Some(program) };
        until("rclone mounts", || run(Command::new("mountpoint").arg("-q").arg(&mount.at)).status.success());
        mount
    }

    #[track_caller]
    fn shell(&self, script: &str) -> String {
        run(Command::new("sh").args(["-ec", script]).current_dir(&self.at)).expect_success()
    }
}

impl Drop for RcloneMount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).output();
        drop(self.program.take());
    }
}

#[test]
fn rclone_mounts_a_drive_to_work_on() {
    let drive = Drive::new();
    let rclone = Rclone::new(&drive.url("b/"), "owncloud");
    let source = TempDir::new().expect("a directory");
    write_tree(source.path());
    let mount = RcloneMount::new(&rclone);
    run(Command::new("cp").arg("-r").arg(source.path()).arg(mount.at.join("tree"))).expect_success();
    until("the tree is uploaded", || listing(&drive.on_disk("tree")) == listing(source.path()));
    assert_same_trees(source.path(), &drive.on_disk("tree"));
    assert_same_trees(source.path(), &mount.at.join("tree"));
    // As editors save: in place, beside and renamed over, appended, cut.
    let uploaded = |path: &str, expected: &str| {
        let there = || {
            let reply = drive.get(path);
            (reply.status == 200).then(|| reply.text().to_owned())
        };
        until(path, || there().as_deref() == Some(expected));
    };
    mount.shell("printf two | dd of=tree/one conv=notrunc status=none");
    uploaded("b/tree/one", "two");
    mount.shell("printf 'from aside' > tree/.one.swp; mv tree/.one.swp tree/one");
    uploaded("b/tree/one", "from aside");
    mount.shell("printf ', and more' >> tree/one");
    uploaded("b/tree/one", "from aside, and more");
    mount.shell("truncate -s 4 tree/one");
    uploaded("b/tree/one", "from");
    mount.shell("mv tree/sub moved; rm -r tree/many; mkdir made");
    until("the folders change", || drive.names("b") == ["made", "moved", "tree"]);
    assert_eq!(drive.get("b/tree/many").status, 404);
    drive.put("b/made/elsewhere", "by somebody else").expect(201);
    until("it is seen", || mount.shell("cat made/* 2>/dev/null || true") == "by somebody else");
}
