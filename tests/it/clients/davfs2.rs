//! davfs2: a real mount, worked in as in any folder.
//!
//! It mounts as root, and answers a program's close before it has uploaded: what lies on the drive is compared once the
//! mount has ended.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{assert_same_trees, run, write_tree};
use crate::access::World;
use crate::client::Request;
use crate::dav::Drive;
use crate::harness::TOKEN;

/// A mounted drive; unmounted with its handle.
pub(super) struct Mount {
    folder: TempDir,
    at: PathBuf,
    mounted: bool,
}

impl Mount {
    pub(super) fn new(url: &str) -> Self {
        Self::with(url, "")
    }

    /// With more lines in its configuration.
    pub(super) fn with(url: &str, options: &str) -> Self {
        Self::of(url, ("unit", TOKEN), options)
    }

    /// By somebody's name and password.
    fn of(url: &str, (user, password): (&str, &str), options: &str) -> Self {
        assert!(rustix::process::geteuid().is_root(), "mounting needs root");
        let folder = TempDir::new().expect("a directory");
        // The mount's daemon runs as a user of its own.
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("its mode");
        let (at, cache) = (folder.path().join("mount"), folder.path().join("cache"));
        for path in [&at, &cache] {
            std::fs::create_dir(path).expect("a directory");
        }
        std::fs::set_permissions(&cache, PermissionsExt::from_mode(0o1777)).expect("its mode");
        let secrets = folder.path().join("secrets");
        std::fs::write(&secrets, format!("{} {user} {password}\n", at.display())).expect("a file");
        std::fs::set_permissions(&secrets, PermissionsExt::from_mode(0o600)).expect("its mode");
        // Newer kernels read directories in pieces that do not fit into the default buffer of 16 KiB.
        let text = format!(
            "secrets {}\ncache_dir {}\nask_auth 0\ndelay_upload 0\nbuf_size 256\n{options}\n",
            secrets.display(),
            cache.display()
        );
        std::fs::write(folder.path().join("conf"), text).expect("a file");
        let mut mount = Self { folder, at, mounted: false };
        mount.mount(url);
        mount
    }

    fn mount(&mut self, url: &str) {
        let conf = format!("conf={}", self.folder.path().join("conf").display());
        run(Command::new("mount").args(["-t", "davfs", "-o", &conf, url]).arg(&self.at)).expect_success();
        self.mounted = true;
    }

    /// Waits until everything is uploaded, and ends the mount.
    #[track_caller]
    pub(super) fn unmount(&mut self) {
        self.mounted = false;
        let text = run(Command::new("umount").arg(&self.at)).expect_success();
        assert!(!text.contains("lost+found"), "{text}");
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.at.join(name)
    }

    #[track_caller]
    pub(super) fn shell(&self, script: &str) -> String {
        run(Command::new("sh").args(["-ec", script]).current_dir(&self.at)).expect_success()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.mounted {
            let _ = Command::new("umount").args(["-l"]).arg(&self.at).output();
        }
    }
}

pub(super) fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").arg("-r").arg(from).arg(to)).expect_success();
}

#[test]
fn davfs2_sees_and_changes_what_a_drive_password_opens() {
    let world = World::new();
    for name in ["r", "x"] {
        world.admin("MKCOL", &format!("/c/{name}")).expect(201);
        world.send(Request::new("PUT", &format!("/c/{name}/kept.txt")).bearer(TOKEN).body("kept")).expect(201);
    }
    world.account("a", &["role"]);
    world.allow("b", &[("role", &["all"])]);
    world.allow("r", &[("role", &["read"])]);
    world.allow("", &[("role", &["propfind"])]);
    let password = world.drive_password("mount", "a", None);
    let mut mount = Mount::of(&world.url("c"), ("a", &password), "");
    mount.shell("mkdir b/notes && echo 'by davfs2' > b/notes/new.txt");
    assert_eq!(mount.shell("cat r/kept.txt"), "kept");
    mount.shell(
        "! cat x/kept.txt; ! (echo changed > x/new.txt); ! (echo changed > r/kept.txt); ! (echo new > r/new.txt)",
    );
    mount.unmount();
    assert_eq!(world.admin("GET", "/c/b/notes/new.txt").expect(200).text(), "by davfs2\n");
    for (path, status) in [("r/new.txt", 404), ("x/new.txt", 404), ("r/kept.txt", 200), ("x/kept.txt", 200)] {
        let found = world.admin("GET", &format!("/c/{path}")).expect(status);
        assert!(status == 404 || found.text() == "kept", "{path}");
    }
}

#[test]
fn davfs2_keeps_a_tree_over_a_remount() {
    let drive = Drive::new();
    let source = TempDir::new().expect("a directory");
    write_tree(source.path());
    let mut mount = Mount::new(&drive.url("b/"));
    copy(source.path(), &mount.path("tree"));
    assert_same_trees(source.path(), &mount.path("tree"));
    mount.shell("mv tree renamed; mv renamed/one renamed/sub/two; rm renamed/nothing; rmdir renamed/empty");
    mount.unmount();
    let kept = source.path();
    std::fs::rename(kept.join("one"), kept.join("sub/two")).expect("renamed");
    std::fs::remove_file(kept.join("nothing")).expect("removed");
    std::fs::remove_dir(kept.join("empty")).expect("removed");
    assert_same_trees(kept, &drive.on_disk("renamed"));
    mount.mount(&drive.url("b/"));
    assert_same_trees(kept, &mount.path("renamed"));
    mount.shell("rm -r renamed; ls -A | grep -v lost+found && exit 1; true");
    mount.unmount();
    assert!(drive.names("b").is_empty());
}

#[test]
fn davfs2_lets_editors_save_as_they_do() {
    let drive = Drive::new();
    drive.put("b/notes.txt", "first\n").expect(201);
    let mut mount = Mount::new(&drive.url("b/"));
    // vim: a swap file, a probe for a free name, the old text renamed to the backup, the new one written, the backup removed.
    mount.shell(
        "echo swap > .notes.txt.swp; echo probe > 4913; rm 4913; mv notes.txt notes.txt~; echo second > notes.txt; \
         sync; cat notes.txt; rm notes.txt~ .notes.txt.swp",
    );
    // gedit and others: a new file beside the old one takes its name.
    mount.shell("cp notes.txt .goutputstream-1; echo third >> .goutputstream-1; mv .goutputstream-1 notes.txt");
    // In place: appended and cut.
    mount.shell("echo fourth >> notes.txt; cp notes.txt cut.txt; truncate -s 7 cut.txt; sed -i s/third/3/ notes.txt");
    assert_eq!(mount.shell("cat notes.txt"), "second\n3\nfourth\n");
    mount.unmount();
    assert_eq!(drive.names("b"), ["cut.txt", "notes.txt"]);
    assert_eq!((drive.text("b/notes.txt"), drive.text("b/cut.txt")), ("second\n3\nfourth\n".into(), "second\n".into()));
    for path in ["b/notes.txt", "b/cut.txt"] {
        drive.put(path, "no lock is left").expect(204);
    }
}

#[test]
fn davfs2_sees_what_others_do_and_keeps_them_out_while_it_writes() {
    let drive = Drive::new();
    drive.put("b/shared", "theirs").expect(201);
    let mut mount = Mount::with(&drive.url("b/"), "dir_refresh 0\nfile_refresh 0");
    assert_eq!(mount.shell("cat shared"), "theirs");
    drive.put("b/shared", "theirs again").expect(204);
    drive.put("b/new", "from elsewhere").expect(201);
    super::until("the mount sees what is new", || {
        mount.shell("cat shared; ls") == "theirs againlost+found\nnew\nshared\n"
    });
    // While the file is open for writing the mount holds a lock on it.
    let mut writing = Command::new("sh");
    writing.args(["-c", "exec 3>>shared; echo open; read line; echo mine >&3"]).current_dir(mount.path(""));
    writing.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = writing.spawn().expect("a shell");
    let mut first = [0; 5];
    std::io::Read::read_exact(child.stdout.as_mut().expect("a pipe"), &mut first).expect("a line");
    assert_eq!(drive.put("b/shared", "in between").status, 423);
    drop(child.stdin.take());
    assert!(child.wait().expect("a status").success());
    mount.unmount();
    assert_eq!(drive.text("b/shared"), "theirs againmine\n");
    drive.put("b/shared", "free").expect(204);
}

#[test]
fn davfs2_keeps_the_executable_bit() {
    let drive = Drive::new();
    let mut mount = Mount::new(&drive.url("b/"));
    mount.shell("printf '#!/bin/sh\\necho runs\\n' > tool; chmod +x tool; ./tool");
    mount.unmount();
    mount.mount(&drive.url("b/"));
    assert_eq!(mount.shell("./tool"), "runs\n");
    mount.unmount();
}
