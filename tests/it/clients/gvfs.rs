//! gvfs, by which GNOME and its file manager reach WebDAV: `gio` on a session bus of its own, without a screen.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{assert_same_trees, noise, run};
use crate::dav::Drive;
use crate::harness::TOKEN;

/// Runs a script of `gio` commands in a session of its own; `$D` is the mounted URL.
fn session(folder: &Path, url: &str, script: &str) -> String {
    let runtime = folder.join("run");
    std::fs::create_dir_all(runtime.join("gvfsd")).expect("a directory");
    std::fs::set_permissions(&runtime, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("its mode");
    let dav = url.trim_end_matches('/').replacen("http", "dav", 1);
    let script = format!(
        "set -e\nprintf 'unit\\n{TOKEN}\\n' | gio mount '{dav}/' >/dev/null 2>mount.log || {{ cat mount.log; exit 1; }}\nD='{dav}'\n{script}\n"
    );
    let file = folder.join("script");
    std::fs::write(&file, script).expect("a file");
    let mut command = Command::new("dbus-run-session");
    command.args(["--", "sh"]).arg(&file).current_dir(folder).stdin(std::process::Stdio::null());
    command.env("HOME", folder).env("XDG_RUNTIME_DIR", &runtime).env("GVFS_DISABLE_FUSE", "1");
    // Nothing but the files: no volumes, no devices.
    command.env("GIO_USE_VOLUME_MONITOR", "unix").env("LC_ALL", "C.UTF-8");
    run(&mut command).expect_success()
}

#[test]
fn gio_copies_renames_saves_and_removes() {
    let (drive, folder) = (Drive::new(), TempDir::new().expect("a directory"));
    std::fs::write(folder.path().join("\u{fc} spa%20ce #1.bin"), noise(300_000)).expect("a file");
    let text = session(
        folder.path(),
        &drive.url("b"),
        "gio mkdir \"$D/papers\"
         gio copy '\u{fc} spa%20ce #1.bin' \"$D/papers/\"
         gio cat \"$D/papers/%C3%BC%20spa%2520ce%20%231.bin\" | cmp - '\u{fc} spa%20ce #1.bin'
         gio rename \"$D/papers/%C3%BC%20spa%2520ce%20%231.bin\" one >/dev/null
         gio copy \"$D/papers/one\" \"$D/papers/two\"
         gio move \"$D/papers/one\" \"$D/moved\"
         echo text | gio save \"$D/saved\"
         echo more | gio save \"$D/saved\"
         gio copy \"$D/moved\" back
         gio list \"$D\"
         gio list -l \"$D/papers\"
         gio remove \"$D/moved\"
         gio info -f -a filesystem::free,filesystem::used \"$D\"",
    );
    assert!(text.contains("moved\npapers\nsaved\n"), "{text}");
    assert!(text.contains("two\t300000\t(regular)"), "{text}");
    assert!(text.contains("filesystem::free: "), "{text}");
    assert_eq!(drive.names("b"), ["papers", "saved"]);
    assert_eq!((drive.names("b/papers"), drive.text("b/saved")), (vec!["two".to_owned()], "more\n".to_owned()));
    for path in [folder.path().join("back"), drive.on_disk("papers/two")] {
        assert_eq!(std::fs::read(path).expect("the file"), noise(300_000));
    }
}

#[test]
fn gio_moves_folders_in_and_out() {
    let (drive, folder) = (Drive::new(), TempDir::new().expect("a directory"));
    drive.mkcol("b/outer").expect(201);
    drive.mkcol("b/outer/inner").expect(201);
    drive.put("b/outer/inner/f", "deep").expect(201);
    let text = session(
        folder.path(),
        &drive.url("b"),
        "gio rename \"$D/outer\" renamed >/dev/null
         gio tree \"$D\"
         gio cat \"$D/renamed/inner/f\"",
    );
    assert!(text.contains("`-- renamed\n    `-- inner\n        `-- f\ndeep"), "{text}");
    assert_eq!(drive.text("b/renamed/inner/f"), "deep");
    std::fs::create_dir_all(folder.path().join("outer/inner")).expect("a directory");
    std::fs::write(folder.path().join("outer/inner/f"), "deep").expect("a file");
    assert_same_trees(&folder.path().join("outer"), &drive.on_disk("renamed"));
}
