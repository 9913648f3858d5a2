//! Connections: both versions of HTTP, what cannot be read, time limits, room, and the end.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use crate::client::{Connection, Request};
use crate::harness::{Server, TOKEN};

/// A server whose clients must hurry, with a box.
fn impatient() -> Server {
    with_box(&[
        ("CELLAR_CONNECTIONS__HEAD_S", "1"),
        ("CELLAR_CONNECTIONS__IDLE_S", "2"),
        ("CELLAR_CONNECTIONS__SILENCE_S", "2"),
    ])
}

fn with_box(environment: &[(&str, &str)]) -> Server {
    let server = Server::with(environment);
    server.admin("MKCOL", "/c").expect(201);
    server.admin("MKCOL", "/c/b").expect(201);
    server
}

/// Bytes that tell where they stand.
pub fn pattern(size: usize) -> Vec<u8> {
    (0..size / 4).flat_map(|i| (i as u32).to_le_bytes()).collect()
}

fn put(server: &Server, name: &str, size: usize) {
    server.send(Request::new("PUT", &format!("/c/b/{name}")).bearer(TOKEN).body(pattern(size))).expect(201);
}

fn get(name: &str) -> Request {
    Request::new("GET", &format!("/c/b/{name}")).bearer(TOKEN)
}

/// Runs curl with the token; its output is the body.
pub fn curl(arguments: &[&str]) -> Output {
    Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "60", "--header", &format!("Authorization: Bearer {TOKEN}")])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("curl is installed: see tests/run")
}

/// What curl writes with `--write-out`; fails when curl does.
#[track_caller]
pub fn told(arguments: &[&str], format: &str) -> String {
    let output = curl(&[arguments, &["--output", "/dev/null", "--write-out", format]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn http2_is_spoken_with_prior_knowledge() {
    let server = with_box(&[]);
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("up");
    std::fs::write(&file, pattern(3_000_000)).expect("a file");
    let url = format!("{}c/b/f", server.url());
    let h2 = "--http2-prior-knowledge";
    let upload = ["--upload-file", file.to_str().expect("UTF-8"), h2, &url];
    // Where the kernel takes less at once, as beside the thousands of connections of another test, curl 7.88 does not try again what would
    // have blocked: it gives the upload up (55) though nobody has reset it, or sends a piece twice, which is refused (92).
    let sent = (0..5).map(|_| curl(&[&upload[..], &["--write-out", "%{http_version} %{http_code}"]].concat()));
    let sent = sent.into_iter().find(|sent| !matches!(sent.status.code(), Some(55 | 92))).expect("one goes through");
    assert_eq!(String::from_utf8_lossy(&sent.stdout), "2 201");
    assert_eq!(curl(&[h2, &url]).stdout, pattern(3_000_000));
    assert_eq!(curl(&[h2, "--range", "4-11", &url]).stdout, pattern(12)[4..]);
    let version = "%{http_version} %{http_code}";
    assert_eq!(told(&[h2, "--head", &url], version), "2 200");
    assert_eq!(
        told(&[h2, "--request", "PROPFIND", "--header", "Depth: 1", &format!("{}c/b", server.url())], version),
        "2 207"
    );
    assert_eq!(told(&[h2, "--request", "MKCOL", &format!("{}c/b/d", server.url())], version), "2 201");
    // URLs in answers are those of the host that was asked.
    let unit = curl(&[h2, &server.url()]).stdout;
    let unit: serde_json::Value = serde_json::from_slice(&unit).expect("JSON");
    assert_eq!(unit["unit"]["url"], server.url());
    // An offer to change to HTTP/2 may be declined.
    assert_eq!(told(&["--http2", &url], version), "1.1 200");
}

#[test]
fn what_cannot_be_read_is_refused_like_everything_else() {
    let server = Server::start();
    let long = "a".repeat(70_000);
    let large = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Large: {long}\r\n\r\n");
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(500));
    for (bytes, problem) in [
        ("GET / HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n\r\n", "400 PR400-MC-0007"),
        ("G\u{1}T / HTTP/1.1\r\n\r\n", "400 PR400-MC-0007"),
        ("GET / HTTP/9.9\r\n\r\n", "400 PR400-MC-0007"),
        ("nonsense\r\n\r\n", "400 PR400-MC-0007"),
        ("PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400 PR400-MC-0007"),
        ("PUT / HTTP/1.1\r\nContent-Length: x\r\n\r\n", "400 PR400-MC-0007"),
        (&*large, "431 PR431-MC-0001"),
        (&*many, "431 PR431-MC-0001"),
    ] {
        let mut connection = server.connect();
        connection.write(bytes.as_bytes()).expect("written");
        let reply = connection.reply("GET").expect("an answer");
        assert_eq!(reply.problem(), problem, "{bytes:.60}");
        assert_eq!(reply.header("x-personium-version"), Some("1.8.4"));
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        assert_eq!(reply.header("connection"), Some("close"));
        assert!(reply.header("date").is_some());
        assert!(connection.is_closed());
    }
    let server = Server::with(&[("CELLAR_CONNECTIONS__HEAD_SIZE", "16KiB")]);
    let large = format!("X-Large: {}", &long[..20_000]);
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        assert_eq!(told(&[version, "--header", &large, &server.url()], "%{http_code}"), "431", "{version}");
        assert_eq!(told(&[version, "--header", &large[..10_000], &server.url()], "%{http_code}"), "200", "{version}");
    }
}

#[test]
fn what_was_asked_before_nonsense_is_answered_before_it() {
    let server = with_box(&[]);
    put(&server, "f", 1_000_000);
    let mut connection = server.connect();
    let mut bytes = get("f").head("x");
    bytes.extend_from_slice(&get("f").head("x"));
    bytes.extend_from_slice(b"no request\r\n\r\n");
    connection.write(&bytes).expect("written");
    for _ in 0..2 {
        assert_eq!(connection.reply("GET").expect("an answer").expect(200).body, pattern(1_000_000));
    }
    assert_eq!(connection.reply("GET").expect("an answer").problem(), "400 PR400-MC-0007");
}

#[test]
fn a_fragment_is_seen_in_requests_that_were_sent_together() {
    let server = with_box(&[]);
    put(&server, "f", 16);
    let mut connection = server.connect();
    let delete = |target: &str| Request::new("DELETE", target).bearer(TOKEN).head("x");
    let mut bytes = get("f").head("x");
    bytes.extend_from_slice(&delete("/c/b/f#1"));
    bytes.extend_from_slice(&get("f").head("x"));
    connection.write(&bytes).expect("written");
    connection.reply("GET").expect("an answer").expect(200);
    assert_eq!(connection.reply("DELETE").expect("an answer").problem(), "400 PR400-MC-0006");
    connection.reply("GET").expect("an answer").expect(200);
}

#[test]
fn what_hangs_is_cut_and_what_is_slow_lives() {
    const SIZE: usize = 8 << 20;
    const BEAT: Duration = Duration::from_millis(200);
    /// Several times longer than anything may hang.
    const LONG: Duration = Duration::from_secs(8);
    let server = impatient();
    put(&server, "f", SIZE);
    std::thread::scope(|scope| {
        // A head that comes byte by byte, for ever.
        scope.spawn(|| {
            let mut connection = server.connect();
            connection.write(b"GET / HTTP/1.1\r\n").expect("written");
            let begin = Instant::now();
            while !connection.hears_within(Duration::from_millis(100)) {
                assert!(begin.elapsed() < LONG, "a slow head lives");
                let _ = connection.write(b"a: b\r\n");
            }
            assert_eq!(connection.reply("GET").expect("an answer").problem(), "408 PR408-MC-0001");
        });
        // No head at all, at once and after an answer.
        scope.spawn(|| assert!(server.connect().is_closed()));
        scope.spawn(|| {
            let mut connection = server.connect();
            connection.send(&Request::new("GET", "/")).expect(200);
            assert!(connection.is_closed());
        });
        // An upload of which nothing comes any more.
        scope.spawn(|| {
            let mut connection = server.connect();
            let head = Request::new("PUT", "/c/b/hangs").bearer(TOKEN).header("Content-Length", "100000");
            connection.start(&head).expect("written");
            connection.write(b"a little").expect("written");
            assert_eq!(connection.reply("PUT").expect("an answer").problem(), "408 PR408-MC-0001");
        });
        // An upload of ten bytes at a time.
        scope.spawn(|| {
            let mut connection = server.connect();
            let beats = LONG.as_millis() / BEAT.as_millis();
            let length = (beats * 10).to_string();
            connection
                .start(&Request::new("PUT", "/c/b/slow").bearer(TOKEN).header("Content-Length", length))
                .expect("written");
            for _ in 0..beats {
                sleep(BEAT);
                connection.write(b"0123456789").expect("written");
            }
            connection.reply("PUT").expect("an answer").expect(201);
        });
        // A download of ten kilobytes a second.
        scope.spawn(|| {
            let mut connection = Connection::narrow(server.address);
            connection.start(&get("f")).expect("written");
            connection.head().expect("a head");
            let begin = Instant::now();
            let mut all = Vec::new();
            while begin.elapsed() < LONG {
                sleep(BEAT);
                let mut some = [0; 2048];
                let n = connection.read(&mut some).expect("bytes");
                all.extend_from_slice(&some[..n]);
            }
            let slowly = all.len();
            all.resize(SIZE, 0);
            assert!(slowly < SIZE / 8);
            read_exact(&mut connection, &mut all[slowly..]).expect("the rest");
            assert_eq!(all, pattern(SIZE));
        });
        // A download of which nothing is read.
        scope.spawn(|| {
            let mut connection = Connection::narrow(server.address);
            connection.start(&get("f")).expect("written");
            server.wait_for_log("a client takes nothing any more");
            connection.head().expect("a head");
            assert!(read_exact(&mut connection, &mut vec![0; SIZE]).is_err());
        });
    });
    server.admin("GET", "/c/b/slow").expect(200);
    server.admin("GET", "/c/b/hangs").expect(404);
}

fn read_exact(connection: &mut Connection, mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        match connection.read(buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => buffer = &mut buffer[n..],
        }
    }
    Ok(())
}

/// A client of HTTP/2 that says only what it is told to, with one request under way.
struct Frames(TcpStream);

impl Frames {
    fn open(server: &Server) -> Self {
        let mut stream = TcpStream::connect(server.address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("written");
        let mut frames = Self(stream);
        frames.send(4, 0, 0, b"");
        frames
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend_from_slice(&[kind, flags]);
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.0.write_all(&frame).expect("written");
    }

    fn get(&mut self, path: &str) {
        // RFC 7541: indexed `:method: GET` and `:scheme: http`, then literals.
        let mut block = vec![0x82, 0x86];
        let mut literal = |name: &[u8], value: &str| {
            block.extend_from_slice(name);
            block.push(value.len() as u8);
            block.extend_from_slice(value.as_bytes());
        };
        literal(&[0x04], path);
        literal(&[0x01], "unit.example");
        literal(&[0x0f, 0x08], &format!("Bearer {TOKEN}"));
        self.send(1, 0x5, 1, &block);
    }

    /// Lets the server send so many bytes more.
    fn allow(&mut self, bytes: u32) {
        self.send(8, 0, 0, &bytes.to_be_bytes());
        self.send(8, 0, 1, &bytes.to_be_bytes());
    }

    /// The next frame that is data of the request, unless the connection ends before.
    fn data(&mut self) -> io::Result<usize> {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head)?;
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            self.0.read_exact(&mut payload)?;
            if head[3] == 0 {
                return Ok(payload.len());
            }
        }
    }
}

#[test]
fn a_client_of_http2_lives_as_long_as_it_takes_something() {
    let server = impatient();
    put(&server, "f", 4 << 20);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut frames = Frames::open(&server);
            frames.get("/c/b/f");
            let (begin, mut bytes) = (Instant::now(), 0);
            while bytes < 65_535 {
                bytes += frames.data().expect("data");
            }
            while begin.elapsed() < Duration::from_secs(7) {
                sleep(Duration::from_millis(300));
                frames.allow(1000);
                bytes += frames.data().expect("data");
            }
            frames.allow(8 << 20);
            while bytes < 4 << 20 {
                bytes += frames.data().expect("data");
            }
        });
        scope.spawn(|| {
            let mut frames = Frames::open(&server);
            frames.get("/c/b/f");
            let mut bytes = 0;
            while let Ok(n) = frames.data() {
                bytes += n;
            }
            assert_eq!(bytes, 65_535);
            server.wait_for_log("a client takes nothing any more");
        });
        // A connection without a request is idle, whatever else is said on it.
        scope.spawn(|| {
            let mut frames = Frames::open(&server);
            let begin = Instant::now();
            frames.0.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
            let mut buffer = [0; 1024];
            while !matches!(frames.0.read(&mut buffer), Ok(0)) {
                assert!(begin.elapsed() < Duration::from_secs(20), "an idle connection lives");
                if frames.0.write_all(b"\0\0\x08\x06\0\0\0\0\0pingping").is_err() {
                    break;
                }
            }
        });
    });
}

#[test]
fn idle_connections_make_room() {
    let server = Server::with(&[("CELLAR_CONNECTIONS__MAX", "4"), ("CELLAR_CONNECTIONS__HEAD_S", "1")]);
    let ask = |connection: &mut Connection| connection.send(&Request::new("GET", "/__status")).expect(200);
    let mut kept: Vec<Connection> = (0..4).map(|_| server.connect()).collect();
    for connection in &mut kept {
        ask(connection);
    }
    let mut another = server.connect();
    ask(&mut another);
    server.wait_for_log("no room for more connections");
    let alive = kept.iter_mut().filter_map(|c| c.try_send(&Request::new("GET", "/__status")).ok()).count();
    assert_eq!(alive, 3);
    ask(&mut another);
}

#[test]
fn busy_connections_are_left_alone_and_new_ones_wait() {
    let server = with_box(&[("CELLAR_CONNECTIONS__MAX", "4"), ("CELLAR_CONNECTIONS__HEAD_S", "1")]);
    let mut busy: Vec<Connection> = (0..4).map(|_| server.connect()).collect();
    for (i, connection) in busy.iter_mut().enumerate() {
        let request = Request::new("PUT", &format!("/c/b/{i}")).bearer(TOKEN).header("Content-Length", "100000");
        connection.start(&request).expect("written");
        connection.write(&vec![0; 50_000]).expect("written");
    }
    let mut waiting = server.connect();
    waiting.start(&Request::new("GET", "/__status")).expect("written");
    assert!(!waiting.hears_within(Duration::from_secs(1)), "there was no room");
    let mut first = busy.remove(0);
    first.write(&vec![0; 50_000]).expect("written");
    first.reply("PUT").expect("an answer").expect(201);
    waiting.reply("GET").expect("an answer").expect(200);
    for mut connection in busy {
        connection.write(&vec![0; 50_000]).expect("written");
        connection.reply("PUT").expect("an answer").expect(201);
    }
}

/// Reads an answer of 4 KiB and its head.
fn read_small(connection: &mut TcpStream) {
    let (mut answer, mut n) = ([0; 8192], 0);
    while n < 4096 {
        match connection.read(&mut answer[n..]).expect("an answer") {
            0 => panic!("the connection was closed"),
            some => n += some,
        }
    }
}

/// The most memory that the server has had so far, in KiB.
fn peak(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid().as_raw_nonzero())).expect("a status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    peak.expect("a peak")
}

#[test]
fn eleven_thousand_connections_fit_into_256_mib() {
    const IDLE: usize = 10_000;
    const BUSY: usize = 1_000;
    let limit = getrlimit(Resource::Nofile);
    assert!(
        limit.maximum.is_none_or(|most| most / 4 * 3 >= 11_100),
        "11,000 connections need a hard limit of 14,800 open files (ulimit -Hn), and it is {:?}",
        limit.maximum
    );
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("a limit");
    let server = with_box(&[("CELLAR_LOG", "warn")]);
    put(&server, "large", 16 << 20);
    put(&server, "small", 4096);
    let mut idle: Vec<TcpStream> = Vec::with_capacity(IDLE);
    while idle.len() < IDLE {
        let begin = idle.len();
        for _ in 0..500 {
            let mut connection = TcpStream::connect(server.address).expect("a connection");
            connection.write_all(&get("small").head("x")).expect("written");
            idle.push(connection);
        }
        for connection in &mut idle[begin..] {
            read_small(connection);
        }
    }
    // Downloads that fill every buffer on their way, and uploads that wait for their rest.
    let mut busy: Vec<Connection> = Vec::with_capacity(BUSY);
    for i in 0..BUSY {
        let mut connection = Connection::narrow(server.address);
        if i % 4 == 0 {
            let request = Request::new("PUT", &format!("/c/b/{i}")).bearer(TOKEN).header("Content-Length", "300000");
            connection.start(&request).expect("written");
            connection.write(&vec![7; 200_000]).expect("written");
        } else {
            connection.start(&get("large")).expect("written");
        }
        busy.push(connection);
    }
    for (i, connection) in busy.iter_mut().enumerate() {
        if i % 4 != 0 {
            assert_eq!(connection.head().expect("a head").0, 200);
        }
    }
    // All of them live: another is served, and whoever is asked answers.
    server.anonymous("GET", "/__status").expect(200);
    for connection in idle.iter_mut().step_by(100) {
        connection.write_all(&get("small").head("x")).expect("written");
        read_small(connection);
    }
    for connection in busy.iter_mut().step_by(4) {
        connection.write(&vec![7; 100_000]).expect("written");
        connection.reply("PUT").expect("an answer").expect(201);
    }
    let mut rest = vec![0; 16 << 20];
    read_exact(&mut busy[1], &mut rest).expect("the rest");
    assert_eq!(rest, pattern(16 << 20));
    let peak = peak(&server);
    println!("peak with {} connections: {} MiB", IDLE + BUSY, peak / 1024);
    assert!(peak <= 256 * 1024, "{} MiB", peak / 1024);
}

#[test]
fn a_server_that_ends_finishes_what_runs_over_http2() {
    let mut server = with_box(&[]);
    put(&server, "f", 12 << 20);
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("down");
    // Neither an idle connection nor one that never said anything holds up the end.
    let (mut idle, silent) = (Frames::open(&server), server.connect());
    let mut download = Command::new("curl")
        .args(["--silent", "--http2-prior-knowledge", "--limit-rate", "4M", "--output"])
        .arg(&file)
        .args(["--header", &format!("Authorization: Bearer {TOKEN}"), &format!("{}c/b/f", server.url())])
        .spawn()
        .expect("curl is installed: see tests/run");
    let begin = Instant::now();
    while std::fs::metadata(&file).map_or(0, |m| m.len()) == 0 {
        assert!(begin.elapsed() < Duration::from_secs(20), "nothing comes");
        sleep(Duration::from_millis(10));
    }
    server.signal(Signal::TERM);
    assert!(download.wait().expect("a status").success());
    assert_eq!(std::fs::read(&file).expect("the file"), pattern(12 << 20));
    assert!(server.wait().success());
    assert!(idle.data().is_err());
    drop(silent);
}

#[test]
fn an_address_for_everybody_without_tls_is_warned_of() {
    let folder = tempfile::tempdir().expect("a directory");
    let server = Server::listening("0.0.0.0:0", &folder.path().join("unit"), &[]);
    server.wait_for_log("passwords and tokens travel unencrypted");
    drop(server);
    let server = Server::start();
    server.anonymous("GET", "/").expect(200);
    assert!(!server.log().contains("unencrypted"));
}

/// Whether an answer says that its connection ends.
fn ends(reply: &crate::client::Reply) -> bool {
    reply.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
}

#[test]
fn an_answer_before_the_end_of_a_large_body_says_that_the_connection_ends() {
    let server = with_box(&[]);
    let large = |name: &str| Request::new("PUT", name).header("Content-Length", "10000000");
    let stale = large("/c/b/x").bearer(TOKEN).header("If-Match", "\"1-1\"");
    for (request, status) in [
        (large("/c/b/x"), 401),
        (large("/none/b/x").bearer(TOKEN), 404),
        (stale.clone(), 412),
        (stale.clone().header("Expect", "100-continue"), 412),
        (large("/c/b/x#y").bearer(TOKEN), 400),
        (large("/c/b/x").bearer(TOKEN).header("X-Personium-RequestKey", "?"), 400),
    ] {
        let mut connection = server.connect();
        connection.start(&request).expect("sent");
        let reply = connection.reply("PUT").expect("an answer");
        assert!(reply.status == status && ends(&reply), "{request:?}: {reply:?}");
        assert!(connection.is_closed());
    }
    // Neither was anybody asked to go on.
    let mut connection = server.connect();
    connection.start(&stale.header("Expect", "100-continue")).expect("sent");
    assert_eq!(connection.head().expect("a head").0, 412);
}

#[test]
fn a_small_body_that_nobody_wants_does_not_cost_the_connection() {
    let server = with_box(&[]);
    let mut connection = server.connect();
    for request in [
        Request::new("PROPFIND", "/c/b").body("<propfind xmlns=\"DAV:\"><allprop/></propfind>"),
        Request::new("PUT", "/c/b/x").body(vec![1; 60_000]),
        Request::new("PUT", "/c/b/x").body(vec![1; 60_000]).chunked(1000),
        Request::new("DELETE", "/c/b/x#y").bearer(TOKEN).body("x"),
        get("none").body("why not"),
    ] {
        let reply = connection.send(&request);
        assert!(reply.status >= 400 && !ends(&reply), "{request:?}: {reply:?}");
    }
    connection.send(&Request::new("OPTIONS", "/c/b")).expect(200);
    // One that comes slowly does.
    connection.start(&Request::new("PUT", "/c/b/x#y").header("Content-Length", "10")).expect("sent");
    let reply = connection.reply("PUT").expect("an answer");
    assert!(reply.status == 400 && ends(&reply), "{reply:?}");
}
