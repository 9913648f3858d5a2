//! WebDAV clients that people have, against the real program; and what those that do not run here are known to send.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::{Connection, Reply, Request};
use crate::dav::{Drive, Listed, multistatus};
use crate::harness::TOKEN;

mod cadaver;
mod curl;
mod davfs2;
mod finder;
mod gvfs;
mod office;
mod proxy;
mod rclone;
mod windows;

/// A client that needs longer hangs.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a program did.
struct Done {
    status: ExitStatus,
    /// What it wrote, stdout before stderr.
    text: String,
}

impl Done {
    /// What it wrote, if it succeeded.
    #[track_caller]
    fn expect_success(self) -> String {
        assert!(self.status.success(), "{}:\n{}", self.status, self.text);
        self.text
    }
}

/// Runs a client to its end. A program that is not installed, or does not end, fails the test.
#[track_caller]
fn run(command: &mut Command) -> Done {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.unwrap_or_else(|e| panic!("{name} is installed, see tests/run: {e}"));
    let pid = Pid::from_child(&child);
    let (told, done) = std::sync::mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        let late = done.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
        if late {
            let _ = kill_process(pid, Signal::KILL);
        }
        late
    });
    let Output { status, stdout, stderr } = child.wait_with_output().expect("its output");
    drop(told);
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(!guard.join().expect("a watch"), "{name} does not end:\n{text}");
    Done { status, text }
}

/// Waits for something that happens a little later.
#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A process that ends with its handle.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A tree such as people have: names that need escaping, empty and larger files, an empty folder, a folder with many members.
fn write_tree(at: &Path) {
    for folder in ["empty", "sub/deeper still", "many"] {
        std::fs::create_dir_all(at.join(folder)).expect("a directory");
    }
    let write = |name: &str, content: &[u8]| std::fs::write(at.join(name), content).expect("a file");
    write("one", b"one");
    write("nothing", b"");
    write("sub/\u{fc}n\u{ef} spa%20ce #1 (x) & 'y' [z]; 100%.txt", "\u{1f600}".as_bytes());
    write("sub/deeper still/\u{65e5}\u{672c}\u{8a9e}.txt", b"names");
    write("sub/+a=b~c!$,@{}^`.txt", b"more names");
    write(".hidden", b"dot");
    write("large", &noise(3_000_000));
    for n in 0..50 {
        write(&format!("many/file {n:03}"), format!("number {n}").as_bytes());
    }
}

/// Bytes that do not repeat soon.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Fails unless two trees on disk are the same.
#[track_caller]
fn assert_same_trees(left: &Path, right: &Path) {
    let done = run(Command::new("diff").arg("-r").arg(left).arg(right));
    assert!(done.status.success() && done.text.is_empty(), "{}", done.text);
}

/// Every path below a directory and what the files hold, in order: for messages and comparisons.
fn listing(at: &Path) -> String {
    let mut text = String::new();
    for entry in walkdir::WalkDir::new(at).min_depth(1).sort_by_file_name() {
        let entry = entry.expect("an entry");
        let path = entry.path().strip_prefix(at).expect("below").display().to_string();
        let _ = if entry.file_type().is_dir() {
            writeln!(text, "{path}/")
        } else {
            writeln!(text, "{path} {}", std::fs::read(entry.path()).map_or(0, |b| b.len()))
        };
    }
    text
}

/// What a client sends, replayed over one kept connection with the headers that it always sends.
struct Replay {
    connection: Connection,
    always: Vec<(&'static str, &'static str)>,
    /// Where its URLs begin.
    base: String,
}

impl Replay {
    fn new(drive: &Drive, always: &[(&'static str, &'static str)]) -> Self {
        Self { connection: drive.connect(), always: always.to_vec(), base: drive.server.url() }
    }

    /// Sends a request for a path of the unit; `body` none sends no body and no length.
    #[track_caller]
    fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Reply {
        let request = self.request(method, path, headers);
        let request = if let Some(body) = body { request.body(body) } else { request };
        self.connection.send(&request.basic("unit", TOKEN))
    }

    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
        let all = self.always.iter().chain(headers);
        all.fold(Request::new(method, path), |request, (name, value)| request.header(name, *value))
    }

    /// Takes an exclusive lock; the token in its angle brackets.
    #[track_caller]
    fn lock(&mut self, path: &str, status: u16, headers: &[(&str, &str)], owner: &str) -> String {
        let info = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<D:lockinfo xmlns:D=\"DAV:\">\n<D:lockscope><D:exclusive/>\
             </D:lockscope>\n<D:locktype><D:write/></D:locktype>\n<D:owner>\n<D:href>{owner}</D:href>\n</D:owner>\n\
             </D:lockinfo>\n"
        );
        let headers = [&[("Content-Type", "text/xml; charset=\"utf-8\"")], headers].concat();
        let reply = self.send("LOCK", path, &headers, Some(info.as_bytes())).expect(status);
        assert!(reply.text().contains("<D:owner") && reply.text().contains(owner), "{}", reply.text());
        reply.header("lock-token").expect("a token").to_owned()
    }

    /// The properties of what a PROPFIND lists.
    #[track_caller]
    fn propfind(&mut self, path: &str, depth: &str, body: &str) -> Vec<Listed> {
        let body = body.as_bytes();
        let headers = [("Depth", depth), ("Content-Type", "text/xml")];
        multistatus(&self.send("PROPFIND", path, &headers, Some(body)).expect(207))
    }
}
