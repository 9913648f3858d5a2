//! The servers that are compared, as child processes on free ports, and what they take: CPU and peak memory.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;
use crate::data::Tree;
use crate::http::Connection;

/// The unit token of every server here.
pub const TOKEN: &str = "the-unit-token";

/// In the environment of a server whose answers wait for no disk.
pub const RELAXED: (&str, &str) = ("CELLAR_STORAGE__DURABILITY", "relaxed");

/// Connections that fill a box.
const THREADS: usize = 16;

/// A process that ends with its handle.
pub struct Process(Child);

impl Process {
    fn status(&self, field: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix(field)).unwrap_or_default();
        line.trim_start_matches(':').split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    /// KiB, since the start or the last [`Self::forget_peak`].
    pub fn peak_rss(&self) -> u64 {
        self.status("VmHWM")
    }

    /// KiB.
    pub fn rss(&self) -> u64 {
        self.status("VmRSS")
    }

    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.0.id())).map_or(0, Iterator::count)
    }

    pub fn forget_peak(&self) {
        drop(fs::write(format!("/proc/{}/clear_refs", self.0.id()), "5"));
    }

    /// CPU time used since an earlier look.
    pub fn cpu_since(&self, begun: Duration) -> Duration {
        self.cpu().saturating_sub(begun)
    }

    /// Used so far, in user space and in the kernel.
    pub fn cpu(&self) -> Duration {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap_or_default();
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
        // The kernel's user-visible tick is 10 ms on every platform that matters here.
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `cellar serve`, as it was built for release.
pub struct Cellar {
    pub process: Process,
    pub address: SocketAddr,
    pub root: PathBuf,
}

impl Cellar {
    /// On a unit of its own with the cell `c`, below the directory of this run.
    pub fn start(dir: &Path, name: &str, environment: &[(&str, &str)]) -> Result<Self> {
        let root = dir.join(name);
        let log = fs::File::create(dir.join(format!("{name}.log")))?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_cellar"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--root"]).arg(&root);
        command.env("CELLAR_UNIT_TOKEN", TOKEN).envs(environment.iter().copied());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no pipe")?).read_line(&mut line)?;
        let process = Process(child);
        let address = line.trim_end().strip_prefix("listening on http://").and_then(|a| a.strip_suffix('/'));
        let address = address.ok_or_else(|| format!("no ready line but {line:?}"))?.parse()?;
        let server = Self { process, address, root };
        server.connect()?.send("MKCOL", "/c", &[], b"")?;
        Ok(server)
    }

    pub fn connect(&self) -> Result<Connection> {
        Connection::to(self.address)
    }

    /// Where a box of the cell lies on disk.
    pub fn on_disk(&self, box_name: &str) -> PathBuf {
        self.root.join("cells/c/boxes").join(box_name)
    }

    /// Makes a box and puts a tree into it, over sixteen connections.
    pub fn fill(&self, box_name: &str, tree: &Tree) -> Result<()> {
        let mut connection = self.connect()?;
        connection.send("MKCOL", &format!("/c/{box_name}"), &[], b"")?;
        for directory in &tree.directories {
            connection.send("MKCOL", &format!("/c/{box_name}/{directory}"), &[], b"")?;
        }
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..THREADS)
                .map(|t| {
                    scope.spawn(move || -> Result<()> {
                        let mut connection = self.connect()?;
                        let mut body = Vec::new();
                        for file in tree.files.iter().skip(t).step_by(THREADS) {
                            file.content(&mut body);
                            connection.send("PUT", &format!("/c/{box_name}/{}", file.path), &[], &body)?;
                        }
                        Ok(())
                    })
                })
                .collect();
            workers.into_iter().try_for_each(|w| w.join().map_err(|_| "a worker panicked")?)
        })
    }

    /// Makes a box and puts a tree into its directory, as an administrator would.
    pub fn adopt(&self, box_name: &str, tree: &Tree) -> Result<()> {
        self.connect()?.send("MKCOL", &format!("/c/{box_name}"), &[], b"")?;
        tree.write(&self.on_disk(box_name))
    }
}

/// nginx with sendfile, serving a directory from one process.
pub struct Nginx {
    pub process: Process,
    pub address: SocketAddr,
}

impl Nginx {
    pub fn start(dir: &Path, served: &Path) -> Result<Self> {
        Self::configured(dir, served, "")
    }

    /// Takes files, too, each staged as a temporary file on the same file system.
    pub fn with_dav(dir: &Path, served: &Path) -> Result<Self> {
        Self::configured(dir, served, "client_max_body_size 0; dav_methods PUT;")
    }

    fn configured(dir: &Path, served: &Path, more: &str) -> Result<Self> {
        let prefix = dir.join("nginx");
        fs::create_dir_all(&prefix)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut temporary = String::new();
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            let _ = writeln!(temporary, "  {kind}_temp_path {}/{kind};", prefix.display());
        }
        let config = format!(
            "daemon off;\nmaster_process off;\npid {prefix}/pid;\nerror_log {prefix}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{\n{temporary}  access_log off;\n  sendfile on;\n  tcp_nodelay on;\n  keepalive_requests 1000000;\n\
               server {{ listen {address}; root {served}; {more} }}\n}}\n",
            prefix = prefix.display(),
            served = served.display(),
        );
        let file = prefix.join("nginx.conf");
        fs::write(&file, config)?;
        let program = ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|p| Path::new(p).exists());
        let mut command = Command::new(program.unwrap_or("nginx"));
        let child =
            command.arg("-p").arg(&prefix).arg("-c").arg(&file).stdin(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let process = Process(child);
        wait_for(address, "nginx")?;
        Ok(Self { process, address })
    }
}

/// lighttpd, serving a directory.
pub struct Lighttpd {
    pub process: Process,
    pub address: SocketAddr,
}

impl Lighttpd {
    pub fn start(dir: &Path, served: &Path) -> Result<Self> {
        Self::configured(dir, served, "")
    }

    /// With mod_webdav, at its fastest: without the database that it needs for locks and dead properties.
    pub fn with_dav(dir: &Path, served: &Path) -> Result<Self> {
        let dav = "server.modules += (\"mod_webdav\")\nwebdav.activate = \"enable\"\nwebdav.is-readonly = \"disable\"\n\
                   mimetype.assign = (\".txt\" => \"text/plain\", \".bin\" => \"application/octet-stream\")\n";
        Self::configured(dir, served, dav)
    }

    fn configured(dir: &Path, served: &Path, more: &str) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = format!(
            "server.document-root = \"{}\"\nserver.bind = \"{}\"\nserver.port = {}\n\
             server.max-keep-alive-requests = 65535\nserver.upload-dirs = (\"{}\")\n{more}",
            served.display(),
            address.ip(),
            address.port(),
            dir.display(),
        );
        let file = dir.join("lighttpd.conf");
        fs::write(&file, config)?;
        let program = ["/usr/sbin/lighttpd", "/usr/bin/lighttpd"].into_iter().find(|p| Path::new(p).exists());
        let mut command = Command::new(program.unwrap_or("lighttpd"));
        let child = command.arg("-D").arg("-f").arg(&file).stdin(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let process = Process(child);
        wait_for(address, "lighttpd")?;
        Ok(Self { process, address })
    }
}

/// Waits until what was written so far on the file system of a directory is on disk.
pub fn flush(directory: &Path) -> Result<()> {
    if Command::new("sync").arg("-f").arg(directory).status()?.success() { Ok(()) } else { Err("sync failed".into()) }
}

fn wait_for(address: SocketAddr, name: &str) -> Result<()> {
    let begin = Instant::now();
    while TcpStream::connect(address).is_err() {
        if begin.elapsed() > Duration::from_secs(5) {
            return Err(format!("{name} does not listen").into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
