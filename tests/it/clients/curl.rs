//! curl: the commands of `docs/clients.md`, resumed transfers, and what a script does with them.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{noise, run};
use crate::dav::Drive;
use crate::harness::TOKEN;

fn curl(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail-with-body", "--user"]).arg(format!("unit:{TOKEN}"));
    run(command.args(arguments).current_dir(folder).stdin(std::process::Stdio::null())).expect_success()
}

#[test]
fn curl_uploads_and_downloads() {
    let (drive, folder) = (Drive::new(), TempDir::new().expect("a directory"));
    let content = noise(2_000_000);
    std::fs::write(folder.path().join("file.bin"), &content).expect("a file");
    // With a slash at its end curl appends the file's own name; above 1 MiB it asks whether to go on first.
    curl(folder.path(), &["-T", "file.bin", &drive.url("b/")]);
    assert_eq!(std::fs::read(drive.on_disk("file.bin")).expect("the file"), content);
    curl(folder.path(), &["-o", "back.bin", &drive.url("b/file.bin")]);
    assert_eq!(std::fs::read(folder.path().join("back.bin")).expect("the file"), content);
}

#[test]
fn curl_uploads_what_has_no_length() {
    let (drive, folder) = (Drive::new(), TempDir::new().expect("a directory"));
    std::fs::write(folder.path().join("file"), noise(500_000)).expect("a file");
    let url = drive.url("b/piped");
    let script = format!("cat file | curl -sS --fail-with-body -u 'unit:{TOKEN}' -T - '{url}'");
    run(Command::new("sh").args(["-c", &script]).current_dir(folder.path())).expect_success();
    assert_eq!(std::fs::read(drive.on_disk("piped")).expect("the file"), noise(500_000));
}

#[test]
fn curl_resumes_both_ways() {
    let (drive, folder) = (Drive::new(), TempDir::new().expect("a directory"));
    let content = noise(700_000);
    std::fs::write(folder.path().join("file"), &content).expect("a file");
    drive.put("b/up", &content[..400_000]).expect(201);
    // Sends `Content-Range` with the rest.
    curl(folder.path(), &["-C", "400000", "-T", "file", &drive.url("b/up")]);
    assert_eq!(std::fs::read(drive.on_disk("up")).expect("the file"), content);
    std::fs::write(folder.path().join("down"), &content[..300_000]).expect("a file");
    curl(folder.path(), &["-C", "-", "-o", "down", &drive.url("b/up")]);
    assert_eq!(std::fs::read(folder.path().join("down")).expect("the file"), content);
}

#[test]
fn curl_takes_the_servers_time_and_asks_only_for_what_is_newer() {
    let (drive, folder) = (Drive::new(), TempDir::new().expect("a directory"));
    std::fs::write(folder.path().join("file"), b"old").expect("a file");
    curl(folder.path(), &["-T", "file", "-H", "X-OC-Mtime: 1600000000", &drive.url("b/f")]);
    curl(folder.path(), &["-R", "-o", "back", &drive.url("b/f")]);
    let modified = std::fs::metadata(folder.path().join("back")).and_then(|m| m.modified()).expect("a time");
    let seconds = modified.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    assert_eq!(seconds, 1_600_000_000);
    let status = curl(folder.path(), &["-z", "back", "-o", "again", "-w", "%{http_code}", &drive.url("b/f")]);
    assert_eq!(status, "304");
}

#[test]
fn curl_moves_and_removes() {
    let (drive, folder) = (Drive::new(), TempDir::new().expect("a directory"));
    curl(folder.path(), &["-X", "MKCOL", &drive.url("b/new%20folder/")]);
    drive.put("b/new%20folder/f", "x").expect(201);
    let to = format!("Destination: {}", drive.url("b/renamed/"));
    curl(folder.path(), &["-X", "MOVE", "-H", &to, &drive.url("b/new%20folder/")]);
    assert_eq!(drive.text("b/renamed/f"), "x");
    curl(folder.path(), &["-X", "DELETE", &drive.url("b/renamed/")]);
    assert!(drive.names("b").is_empty());
}
