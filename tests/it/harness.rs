//! A running `cellar serve` on a port and a unit of its own. Its log is shown when a test fails; it dies with its handle.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::client::{Connection, Reply, Request};

/// What takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(30);

/// The unit token of every test server.
pub const TOKEN: &str = "the-unit-token";

/// The program without any `CELLAR_` variable of the caller.
pub fn cellar() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cellar"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CELLAR_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a verb to its end.
pub fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    cellar().args(arguments).envs(environment.iter().copied()).output().expect("the program runs")
}

pub struct Server {
    child: Child,
    pub address: SocketAddr,
    /// `http` or `https`.
    scheme: &'static str,
    log: Arc<Mutex<String>>,
    log_reader: Option<JoinHandle<()>>,
    root: PathBuf,
    environment: Vec<(String, String)>,
    /// Removed with this handle, unless the root was given.
    dir: Option<TempDir>,
}

impl Server {
    /// A server with default configuration.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// A server with these variables in its environment.
    pub fn with(environment: &[(&str, &str)]) -> Self {
        let dir = TempDir::new().expect("a directory");
        let mut server = Self::at(&dir.path().join("unit"), environment);
        server.dir = Some(dir);
        server
    }

    /// A server on a root that outlives it.
    pub fn at(root: &Path, environment: &[(&str, &str)]) -> Self {
        Self::listening("127.0.0.1:0", root, environment)
    }

    /// As `at`, on another address.
    pub fn listening(address: &str, root: &Path, environment: &[(&str, &str)]) -> Self {
        let mut child = cellar()
            .args(["serve", "--listen", address, "--root"])
            .arg(root)
            .env("CELLAR_UNIT_TOKEN", TOKEN)
            // Passwords of tests need not cost what those of people do.
            .env("CELLAR_AUTH__ARGON2_MEMORY", "64KiB")
            .env("CELLAR_AUTH__ARGON2_ITERATIONS", "1")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let log = Arc::new(Mutex::new(String::new()));
        let log_reader = Some(keep(child.stderr.take().expect("a pipe"), Arc::clone(&log)));
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let ready = ["http", "https"].into_iter().find_map(|scheme| {
            let address = line.trim_end().strip_prefix(&format!("listening on {scheme}://"))?.strip_suffix('/')?;
            Some((scheme, address.parse().ok()?))
        });
        let Some((scheme, address)) = ready else {
            let status = child.wait().expect("a status");
            panic!("no ready line but {line:?}, {status}; the log:\n{}", log.lock().expect("the log"));
        };
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Self { child, address, scheme, log, log_reader, root: root.to_owned(), environment, dir: None }
    }

    /// Ends the program with a signal, and starts it anew on the same unit and another port.
    pub fn restart(&mut self, signal: Signal) {
        self.signal(signal);
        let status = self.wait();
        assert!(signal == Signal::KILL || status.success(), "{status}");
        let environment: Vec<_> = self.environment.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let mut again = Self::at(&self.root, &environment);
        again.dir = self.dir.take();
        *self = again;
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn url(&self) -> String {
        format!("{}://{}/", self.scheme, self.address)
    }

    pub fn connect(&self) -> Connection {
        Connection::to(self.address)
    }

    /// Sends a request on a connection of its own.
    pub fn send(&self, request: Request) -> Reply {
        self.connect().send(&request)
    }

    /// A request without credentials.
    pub fn anonymous(&self, method: &str, target: &str) -> Reply {
        self.send(Request::new(method, target))
    }

    /// A request of the unit's administrator.
    pub fn admin(&self, method: &str, target: &str) -> Reply {
        self.send(Request::new(method, target).bearer(TOKEN))
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the process is ours");
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits until the log has that text.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < end, "the log never has {text:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The log up to now: a request that is answered now shows that it has come that far.
    #[track_caller]
    pub fn log_up_to_now(&self) -> String {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let path = format!("/__status/log-is-here-{}.", ASKED.fetch_add(1, Ordering::Relaxed));
        self.admin("GET", &path);
        self.wait_for_log(&path);
        self.log()
    }

    /// Waits until the program has ended.
    pub fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait().expect("a status");
        if let Some(reader) = self.log_reader.take() {
            reader.join().expect("the log was read");
        }
        status
    }

    /// SIGTERM, and how the program ends.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// What the program has written to stderr so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("the log").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.log_reader.take() {
            let _ = reader.join();
        }
        if std::thread::panicking() {
            eprintln!("---- log of the server ----\n{}", self.log());
        }
    }
}

fn keep(mut pipe: impl Read + Send + 'static, log: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = pipe.read(&mut buffer) {
            log.lock().expect("the log").push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    })
}

/// Has other programs read an archive, all contents of it; one of them from its beginning to its end, without the directory.
pub fn other_programs_read(archive: &Path) {
    let dir = tempfile::tempdir().expect("a directory");
    let java = dir.path().join("Check.java");
    let source = "import java.io.*; import java.util.zip.*; class Check { public static void main(String[] a) throws Exception { \
                  try (ZipInputStream z = new ZipInputStream(new FileInputStream(a[0]))) { \
                  while (z.getNextEntry() != null) { z.transferTo(OutputStream.nullOutputStream()); } } } }";
    std::fs::write(&java, source).expect("written");
    let (archive, java) = (archive.to_str().expect("text"), java.to_str().expect("text"));
    let python = "import sys,zipfile; sys.exit(zipfile.ZipFile(sys.argv[1]).testzip() is not None)";
    for command in [
        vec!["unzip", "-tq", archive],
        vec!["7z", "t", archive],
        vec!["bsdtar", "-xOf", archive],
        vec!["python3", "-c", python, archive],
        vec!["java", java, archive],
    ] {
        let output = Command::new(command[0]).args(&command[1..]).output();
        let output = output.unwrap_or_else(|e| panic!("{} is missing, tests/run installs it: {e}", command[0]));
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
