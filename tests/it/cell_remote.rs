//! `cellar cell`, `snapshot` and `box` against a running server: what they say, what they leave, and what they survive.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::client::Request;
use crate::harness::{Server, TOKEN, cellar, run};

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

fn server() -> Server {
    let server = Server::start();
    server.admin("MKCOL", "/c").expect(201);
    put(&server, "f", "as it was");
    server
}

fn put(server: &Server, name: &str, bytes: impl Into<Vec<u8>>) {
    let reply = server.send(Request::new("PUT", &format!("/c/__/{name}")).bearer(TOKEN).body(bytes));
    assert!(reply.status < 300, "{reply:?}");
}

/// Runs a verb against a server.
fn verb(url: &str, arguments: &[&str]) -> Output {
    run(arguments, &[("CELLAR_URL", url), ("CELLAR_TOKEN", TOKEN)])
}

#[track_caller]
fn done(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("text").trim().to_owned()
}

fn spawn(url: &str, arguments: &[&str]) -> Child {
    let mut command = cellar();
    command.args(arguments).env("CELLAR_URL", url).env("CELLAR_TOKEN", TOKEN);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts")
}

/// Bytes that do not compress.
fn noise(n: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..n).map(|_| next()).collect()
}

#[track_caller]
fn eventually(what: &str, mut there: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !there() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn interrupt(mut child: Child) {
    kill_process(Pid::from_child(&child), Signal::INT).expect("the process is ours");
    assert_eq!(child.wait().expect("a status").code(), Some(130), "interrupted");
}

fn snapshots(server: &Server) -> usize {
    server.admin("PROPFIND", "/c/__snapshot").expect(207).text().matches("<D:response>").count() - 1
}

/// What is staged in the cell, besides the folder of what is gone.
fn staged(server: &Server) -> usize {
    fs::read_dir(server.root().join("cells/c/staging")).expect("a directory").count() - 1
}

#[test]
fn a_cell_moves_from_one_server_to_another_with_its_name() {
    let dir = TempDir::new().expect("a directory");
    let (one, two) = (server(), Server::start());
    let file = dir.path().join("c.zip");
    assert_eq!(done(&verb(&one.url(), &["cell", "export", "c", "-o", text(&file)])), text(&file));
    assert_eq!(snapshots(&one), 0, "what was written elsewhere is not kept");
    let told = done(&verb(&two.url(), &["cell", "import", text(&file), "--json"]));
    let last: Value = serde_json::from_str(told.lines().last().expect("a line")).expect("JSON");
    assert_eq!((last["verb"].as_str(), last["cell"].as_str()), (Some("import"), Some("c")));
    assert_eq!(two.admin("GET", "/c/__/f").expect(200).text(), "as it was");
    assert_eq!(snapshots(&two), 0, "the uploaded file goes");
    done(&verb(&two.url(), &["cell", "import", "other", text(&file)]));
    assert_eq!(two.admin("GET", "/other/__/f").expect(200).text(), "as it was");
    assert!(done(&verb(&two.url(), &["cell", "quota", "other", "1GiB"])).contains("of 1073741824 bytes"));

    let broken = dir.path().join("broken.zip");
    let mut bytes = fs::read(&file).expect("the file");
    let at = bytes.windows(9).position(|w| w == b"as it was").expect("stored content");
    bytes[at] ^= 1;
    fs::write(&broken, bytes).expect("written");
    let refused = verb(&two.url(), &["cell", "import", "third", text(&broken)]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("The snapshot file is damaged."), "{refused:?}");
    two.admin("GET", "/third/__/").expect(404);
    let named = done(&verb(&one.url(), &["cell", "export", "c", "--name", "kept", "--level", "9"]));
    assert_eq!(named, format!("{}c/__snapshot/kept.zip", one.url()));
    let again = verb(&one.url(), &["cell", "export", "c", "--name", "kept"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("PR409-DV-0002"), "{again:?}");
    let none = verb(&one.url(), &["cell", "export", "nobody"]);
    assert!(String::from_utf8_lossy(&none.stderr).contains("there is no cell `nobody`"), "{none:?}");
}

#[test]
fn snapshots_and_boxes_of_a_server() {
    let dir = TempDir::new().expect("a directory");
    let server = server();
    let (one, two, bar) = (dir.path().join("one.zip"), dir.path().join("two.zip"), dir.path().join("b.bar"));
    fs::write(&one, b"some bytes").expect("written");
    let verb = |arguments: &[&str]| verb(&server.url(), arguments);
    done(&verb(&["snapshot", "put", "c", text(&one), "--name", "a b.zip"]));
    let listed: Value = serde_json::from_str(&done(&verb(&["snapshot", "ls", "c", "--json"]))).expect("one line");
    assert_eq!((listed["name"].as_str(), listed["size"].as_i64()), (Some("a b.zip"), Some(10)));
    assert_eq!(listed["type"].as_str(), Some("application/zip"), "{listed}");
    done(&verb(&["snapshot", "get", "c", "a b.zip", "-o", text(&two)]));
    assert_eq!(fs::read(&two).expect("the copy"), b"some bytes");
    done(&verb(&["snapshot", "rm", "c", "a b.zip"]));
    assert!(done(&verb(&["snapshot", "ls", "c"])).is_empty());
    server.admin("MKCOL", "/c/notes").expect(201);
    server.send(Request::new("PUT", "/c/notes/f").bearer(TOKEN).body("in the box")).expect(201);
    assert_eq!(done(&verb(&["box", "export", "c", "notes", "-o", text(&bar)])), text(&bar));
    assert_eq!(done(&verb(&["box", "install", "c", "copy", text(&bar)])), "copy");
    assert_eq!(server.admin("GET", "/c/copy/f").expect(200).text(), "in the box");
    assert!(done(&verb(&["box", "status", "c", "copy"])).starts_with("ready since 20"));
    for (arguments, said) in [
        (&["snapshot", "get", "c", "none"][..], "there is no snapshot `none`"),
        (&["box", "export", "c", "none", "-o", text(&two)][..], "there is no box `none`"),
        (&["box", "install", "c", "copy", text(&bar)][..], "PR405-MC-0001"),
    ] {
        let out = verb(arguments);
        assert_eq!(out.status.code(), Some(1), "{arguments:?}");
        let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(stderr.contains(said) || stderr.contains("already"), "{arguments:?}: {stderr}");
    }
    assert_eq!(fs::read(&two).expect("the copy"), b"some bytes", "a failed export leaves what was there");
    assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 3, "no part file stays");
}

/// A way to a server that lets no answer pass whole, `cuts` times.
fn cutting_proxy(server: SocketAddr, after: usize, cuts: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let left = Arc::new(AtomicUsize::new(cuts));
    let counter = left.clone();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(mut client), Ok(mut upstream)) = (client, TcpStream::connect(server)) else { return };
            let left = counter.clone();
            let (mut from, mut to) = (client.try_clone().expect("a handle"), upstream.try_clone().expect("a handle"));
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            std::thread::spawn(move || {
                let (mut passed, mut buffer) = (0, vec![0; 64 << 10]);
                while let Ok(n @ 1..) = upstream.read(&mut buffer) {
                    passed += n;
                    if passed > after
                        && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
                    {
                        break;
                    }
                    if client.write_all(&buffer[..n]).is_err() {
                        break;
                    }
                }
                let _ = client.shutdown(std::net::Shutdown::Both);
                let _ = upstream.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    (address, left)
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_was() {
    let dir = TempDir::new().expect("a directory");
    let server = server();
    let bytes = noise(12 << 20);
    server.admin("MKCOL", "/c/b").expect(201);
    server.send(Request::new("PUT", "/c/b/large").bearer(TOKEN).body(bytes.clone())).expect(201);
    server.send(Request::new("PUT", "/c/__snapshot/s.zip").bearer(TOKEN).body(bytes.clone())).expect(201);
    let (address, left) = cutting_proxy(server.address, 3 << 20, 3);
    let to = dir.path().join("s.zip");
    done(&verb(&format!("http://{address}/"), &["snapshot", "get", "c", "s.zip", "-o", text(&to)]));
    assert!(fs::read(&to).expect("the file") == bytes);
    assert_eq!(left.load(Ordering::SeqCst), 0, "it broke off three times");
    let (address, left) = cutting_proxy(server.address, 3 << 20, 2);
    let bar = dir.path().join("b.bar");
    done(&verb(&format!("http://{address}/"), &["box", "export", "c", "b", "-o", text(&bar)]));
    assert_eq!(left.load(Ordering::SeqCst), 0, "it broke off twice");
    let archive = zip::ZipArchive::new(fs::File::open(&bar).expect("the bar")).expect("an archive");
    assert!(archive.file_names().any(|n| n.is_ok_and(|n| n.ends_with("large"))));
}

#[test]
fn an_interrupted_export_leaves_nothing_on_the_server() {
    let dir = TempDir::new().expect("a directory");
    let server = server();
    for n in 0..4 {
        put(
            &server,
            &format!("large{n}"),
            (0..30_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<_>>(),
        );
    }
    let file = dir.path().join("c.zip");
    let child = spawn(&server.url(), &["cell", "export", "--level", "9", "c", "-o", text(&file)]);
    eventually("an export", || staged(&server) > 0);
    interrupt(child);
    assert_eq!(server.admin("GET", "/c/__export").expect(200).json()["status"], "ready");
    assert_eq!((snapshots(&server), staged(&server)), (0, 0));
    assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 0, "no part file stays");
}

#[test]
fn an_interrupted_import_leaves_the_cell_and_its_status_as_they_were() {
    let dir = TempDir::new().expect("a directory");
    let server = server();
    for n in 0..2000 {
        put(&server, &format!("small{n}"), format!("content {n}").repeat(200));
    }
    let file = dir.path().join("c.zip");
    done(&verb(&server.url(), &["cell", "export", "c", "-o", text(&file)]));
    put(&server, "f", "changed");
    // How far it has come when it is interrupted is left to chance: some rounds meet the upload, some the job.
    let mut met = 0;
    for round in 0..20 {
        let child = spawn(&server.url(), &["cell", "import", "c", text(&file)]);
        eventually("an import", || {
            let status = server.admin("GET", "/c/__import").expect(200).json();
            status["status"] == "importation in progress" || snapshots(&server) > 0
        });
        kill_process(Pid::from_child(&child), Signal::INT).expect("the process is ours");
        let status = { child }.wait().expect("a status").code();
        assert_eq!(server.admin("GET", "/c/__import").expect(200).json()["status"], "ready", "round {round}");
        eventually("the uploaded file has gone", || snapshots(&server) == 0);
        let expected = match status {
            Some(130) => {
                met += 1;
                "changed"
            }
            // It was through before it was interrupted.
            _ => "as it was",
        };
        assert_eq!(server.admin("GET", "/c/__/f").expect(200).text(), expected, "round {round}: {status:?}");
        put(&server, "f", "changed");
    }
    assert!(met > 0, "no import was met");
    assert_eq!(fs::read_dir(server.root().join("staging")).expect("a directory").count(), 0);
}

#[test]
fn an_interrupted_upload_leaves_nothing() {
    let dir = TempDir::new().expect("a directory");
    let server = server();
    let file = dir.path().join("large.zip");
    // A file without blocks: as large as it need be to be met on its way.
    fs::File::create(&file).and_then(|f| f.set_len(40 << 30)).expect("a file");
    let child = spawn(&server.url(), &["snapshot", "put", "c", text(&file)]);
    eventually("an upload", || staged(&server) > 0);
    interrupt(child);
    eventually("nothing is staged", || staged(&server) == 0);
    assert_eq!(snapshots(&server), 0);
}

#[test]
fn an_interrupted_installation_leaves_no_box() {
    let dir = TempDir::new().expect("a directory");
    let server = server();
    server.admin("MKCOL", "/c/b").expect(201);
    let mut connection = server.connect();
    for n in 0..3000 {
        let put = Request::new("PUT", &format!("/c/b/f{n}")).bearer(TOKEN).body(format!("content {n}"));
        assert!(connection.send(&put).status < 300);
    }
    let bar = dir.path().join("b.bar");
    done(&verb(&server.url(), &["box", "export", "c", "b", "-o", text(&bar)]));
    let mut met = 0;
    for _ in 0..20 {
        let child = spawn(&server.url(), &["box", "install", "c", "new", text(&bar)]);
        eventually("an installation", || server.admin("GET", "/c/new").status == 200);
        kill_process(Pid::from_child(&child), Signal::INT).expect("the process is ours");
        if { child }.wait().expect("a status").code() == Some(130) {
            met += 1;
            server.admin("GET", "/c/new").expect(404);
        } else {
            // It was through before it was interrupted.
            let delete = Request::new("DELETE", "/c/new").bearer(TOKEN).header("X-Personium-Recursive", "true");
            server.send(delete).expect(204);
        }
    }
    assert!(met > 0, "no installation was met");
}

#[test]
fn a_terminal_shows_a_bar_and_pipes_get_lines_and_events() {
    let dir = TempDir::new().expect("a directory");
    let server = server();
    for n in 0..6 {
        put(
            &server,
            &format!("large{n}"),
            (0..20_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<_>>(),
        );
    }
    let file = dir.path().join("c.zip");
    let command = format!("'{}' cell export c --level 6 -o '{}'", env!("CARGO_BIN_EXE_cellar"), file.display());
    let shown = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("CELLAR_URL", server.url())
        .env("CELLAR_TOKEN", TOKEN)
        .stdin(Stdio::null())
        .output()
        .expect("script runs");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains(" MiB/") && shown.contains("entries") && shown.contains("/s"), "{shown:?}");
    assert!(shown.contains("\r\x1b[K") && shown.trim_end().ends_with(text(&file)), "{shown:?}");
    let events = verb(&server.url(), &["cell", "export", "c", "--level", "6", "--json", "-o", text(&file)]);
    let events = done(&events);
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let progress: Vec<&Value> = events.iter().filter(|e| e["message_type"] == "progress").collect();
    assert!(!progress.is_empty(), "{events:?}");
    // Before the cell has been read nothing is known of it, which may take a moment.
    let unknown = |event: &Value| event["entries_total"] == 0 && event["entries"] == 0 && event["percent"] == 0;
    for event in progress.iter().filter(|event| event["what"] == "export" && !unknown(event)) {
        assert!(event["bytes_total"].as_u64().is_some_and(|n| n > 100_000_000), "{event}");
        assert!(event["entries_total"].as_u64().is_some_and(|n| n > 30), "{event}");
    }
    let plain = verb(&server.url(), &["snapshot", "ls", "c"]);
    assert!(plain.stdout.is_empty() && plain.stderr.is_empty(), "{plain:?}");
}

#[test]
fn an_import_names_who_keeps_it_waiting() {
    let server = server();
    let zip = dir_export(&server);
    server.send(Request::new("PUT", "/c/__snapshot/a.zip").bearer(TOKEN).body(zip)).expect(201);
    // Another process has the cell open for as long as its upload lasts.
    let fifo = TempDir::new().expect("a directory");
    let bar = fifo.path().join("bar");
    fs::File::create(&bar).and_then(|f| f.set_len(80 << 30)).expect("a file");
    let root = text(server.root()).to_owned();
    let holder = cellar()
        .args(["snapshot", "put", "--root", &root, "c", text(&bar)])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let holder_pid = holder.id();
    eventually("the other process has begun", || staged(&server) > 0);
    server.send(Request::new("POST", "/c/__import").bearer(TOKEN).body(r#"{"Name":"a"}"#)).expect(202);
    let named = format!("process {holder_pid} (cellar)");
    eventually("the holder is named", || {
        let status = server.admin("GET", "/c/__import?detail").expect(200).json();
        status["detail"]["waiting_for"].as_array().is_some_and(|w| w.iter().any(|w| w == named.as_str()))
    });
    server.wait_for_log(&named);
    interrupt(holder);
    eventually("the import goes on", || {
        let status = server.admin("GET", "/c/__import").expect(200).json();
        assert_ne!(status["status"], "import failed", "{status}");
        status["status"] == "ready"
    });
}

fn dir_export(server: &Server) -> Vec<u8> {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("c.zip");
    done(&verb(&server.url(), &["cell", "export", "c", "-o", text(&file)]));
    fs::read(&file).expect("the file")
}
