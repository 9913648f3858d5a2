//! The test suite `litmus` (RFC 4918), all five parts of it: every test passes and none warns.

use std::process::{Command, Stdio};

use crate::dav::Drive;
use crate::harness::TOKEN;

#[test]
fn litmus_passes_without_a_warning() {
    let drive = Drive::new();
    let folder = tempfile::tempdir().expect("a directory");
    let url = drive.url("b/");
    // Its logs go to the working directory.
    let output = Command::new("litmus")
        .args(["-k", &url, "unit", TOKEN])
        .env("TESTS", "basic copymove props locks http")
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .expect("litmus is installed: see tests/run");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !text.contains("WARNING") && !text.contains("FAIL"), "{text}");
    let summaries: Vec<&str> = text.lines().filter(|line| line.starts_with("<- summary for")).collect();
    assert_eq!(summaries.len(), 5, "{text}");
    for summary in summaries {
        assert!(summary.contains(" 0 failed") && summary.ends_with("100.0%"), "{summary}");
    }
    assert!(!text.contains("SKIPPED"), "{text}");
}
