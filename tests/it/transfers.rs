//! `__export` and `__import`: whole cells out and in, while people work, and while the server is killed.

use std::io::Cursor;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Reply, Request};
use crate::harness::{Server, TOKEN, run};

fn admin(method: &str, target: &str) -> Request {
    Request::new(method, target).bearer(TOKEN)
}

fn server(environment: &[(&str, &str)]) -> Server {
    let server = Server::with(environment);
    server.admin("MKCOL", "/c").expect(201);
    server.admin("MKCOL", "/c/b").expect(201);
    server
}

fn post(server: &Server, endpoint: &str, body: &str) -> Reply {
    server.send(admin("POST", &format!("/c/{endpoint}")).body(body))
}

fn put(server: &Server, at: &str, bytes: impl Into<Vec<u8>>) -> Reply {
    server.send(admin("PUT", &format!("/c/{at}")).header("Content-Type", "text/plain").body(bytes))
}

/// Text that a compressor has to work on.
fn letters(n: usize, seed: u64) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64 ^ (seed + 1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b"abcdefghijklmnopqrstuvwxyz0123456789 \n"[(state >> 32) as usize % 38]
    };
    (0..n).map(|_| next()).collect()
}

/// Waits until nothing is in progress; returns the status document.
fn ended(server: &Server, endpoint: &str) -> Value {
    let deadline = Instant::now() + Duration::from_mins(1);
    let mut connection = server.connect();
    loop {
        let status = connection.send(&admin("GET", &format!("/c/{endpoint}"))).expect(200).json();
        if !status["status"].as_str().expect("a status").ends_with("in progress") {
            return status;
        }
        let percent = status["progress"].as_str().expect("a percentage").trim_end_matches('%');
        assert!(percent.parse::<u8>().is_ok_and(|p| p <= 100), "{status}");
        assert!(Instant::now() < deadline, "{status}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn export(server: &Server, name: &str) -> Vec<u8> {
    post(server, "__export", &format!("{{\"Name\":\"{name}\"}}")).expect(202);
    assert_eq!(ended(server, "__export")["status"], "ready");
    server.admin("GET", &format!("/c/__snapshot/{name}.zip")).expect(200).body
}

fn names(zip: &[u8]) -> Vec<String> {
    let archive = zip::ZipArchive::new(Cursor::new(zip)).expect("an archive");
    archive.file_names().map(|name| name.expect("a name").into_owned()).collect()
}

#[test]
fn an_export_is_accepted_and_ends_in_a_file() {
    let server = server(&[]);
    put(&server, "b/f", "content").expect(201);
    let accepted = post(&server, "__export", r#"{"Name":"one"}"#).expect(202);
    assert_eq!(accepted.header("location"), Some(format!("{}c/__export", server.url()).as_str()));
    assert!(accepted.body.is_empty() && accepted.header("content-type").is_none(), "{accepted:?}");
    assert_eq!(ended(&server, "__export").as_object().map(serde_json::Map::len), Some(1));
    let file = server.admin("GET", "/c/__snapshot/one.zip").expect(200);
    assert_eq!(file.header("content-type"), Some("application/zip"));
    assert!(names(&file.body).iter().any(|n| n.ends_with("/f/content")));
    assert_eq!(post(&server, "__export", r#"{"Name":"one"}"#).problem(), "409 PR409-DV-0002");
    post(&server, "__export", "").expect(202);
    ended(&server, "__export");
    let listing = server.admin("PROPFIND", "/c/__snapshot").expect(207);
    assert_eq!(listing.text().matches("<D:response>").count(), 3, "{}", listing.text());
    let log = server.admin("GET", "/c/__log/current/default.log").expect(200);
    assert!(log.text().is_empty(), "no rule, no line: {}", log.text());
}

#[test]
fn other_programs_read_what_many_threads_have_packed() {
    let server = server(&[]);
    let text = letters(7 << 20, 1);
    put(&server, "b/large", text.clone()).expect(201);
    put(&server, "b/changing", [&text[..3 << 20], &noise(3 << 20), &vec![0; 3 << 20]].concat()).expect(201);
    put(&server, "b/noise", noise(5 << 20)).expect(201);
    for n in 0..300 {
        put(&server, &format!("b/small-{n}"), letters(n * 100, n as u64)).expect(201);
    }
    let dir = tempfile::tempdir().expect("a directory");
    let mut sizes = Vec::new();
    for level in [1, 6, 9] {
        post(&server, "__export", &format!("{{\"Name\":\"l{level}\",\"Level\":{level}}}")).expect(202);
        assert_eq!(ended(&server, "__export")["status"], "ready");
        let file = server.admin("GET", &format!("/c/__snapshot/l{level}.zip")).expect(200).body;
        let path = dir.path().join(format!("l{level}.zip"));
        std::fs::write(&path, &file).expect("written");
        crate::harness::other_programs_read(&path);
        let mut zip = zip::ZipArchive::new(Cursor::new(&file)).expect("an archive");
        let name = names(&file).into_iter().find(|name| name.ends_with("/large/content")).expect("the large file");
        let mut large = zip.by_name(&name).expect("the large file");
        assert!(large.compressed_size() < large.size() * 3 / 4, "{level}: {}", large.compressed_size());
        let mut read = Vec::new();
        std::io::Read::read_to_end(&mut large, &mut read).expect("read");
        assert!(read == text, "{level}");
        sizes.push(file.len());
    }
    assert!(sizes[0] > sizes[1] && sizes[1] >= sizes[2], "{sizes:?}");
}

#[test]
fn requests_that_begin_nothing() {
    let server = server(&[]);
    for (endpoint, body, expected) in [
        ("__export", r#"{"Name":""}"#, "400 PR400-CM-0002"),
        ("__export", r#"{"Name":"a.zip"}"#, "400 PR400-CM-0002"),
        ("__export", r#"{"Name":"#, "400 PR400-CM-0004"),
        ("__export", "[]", "400 PR400-CM-0004"),
        ("__export", r#"{"Level":10}"#, "400 PR400-CM-0002"),
        ("__import", "", "400 PR400-CM-0004"),
        ("__import", "{}", "400 PR400-CM-0001"),
        ("__import", r#"{"Name":null}"#, "400 PR400-CM-0001"),
        ("__import", r#"{"Name":"a b"}"#, "400 PR400-CM-0002"),
        ("__import", r#"{"Name":"none"}"#, "404 PR404-DV-0001"),
        ("__export/x", "", "404 PR404-MC-0001"),
    ] {
        assert_eq!(post(&server, endpoint, body).problem(), expected, "{endpoint} {body}");
    }
    for endpoint in ["__export", "__import"] {
        let target = format!("/c/{endpoint}");
        for method in ["PUT", "DELETE", "PROPFIND", "MKCOL"] {
            assert_eq!(server.admin(method, &target).problem(), "405 PR405-MC-0001", "{method}");
        }
        assert_eq!(server.anonymous("GET", &target).problem(), "401 PR401-AU-0001");
        assert_eq!(server.anonymous("POST", &target).problem(), "401 PR401-AU-0001");
        assert_eq!(server.admin("OPTIONS", &target).expect(200).header("allow"), Some("OPTIONS, GET, POST"));
        assert_eq!(server.admin("GET", &target).expect(200).json()["status"], "ready");
        assert_eq!(server.anonymous("POST", &format!("{target}?cancel")).problem(), "401 PR401-AU-0001");
        server.admin("POST", &format!("{target}?cancel")).expect(204);
        assert_eq!(server.admin("POST", &format!("/none/{endpoint}")).problem(), "404 PR404-DV-0003");
    }
    put(&server, "__snapshot/text.zip", "this is no zip file").expect(201);
    assert_eq!(post(&server, "__import", r#"{"Name":"text"}"#).problem(), "400 PR400-MC-0004");
    assert_eq!(server.admin("PROPFIND", "/c/__snapshot").expect(207).text().matches("<D:response>").count(), 2);
}

/// Makes the cell heavier until an export is met while it runs; returns what `act` returned then.
fn while_exporting<T>(server: &Server, act: impl Fn(&str) -> T) -> T {
    for n in 0..6 {
        put(server, &format!("b/heavy{n}"), letters(12 << (20 + n / 2), n));
        let name = format!("held{n}");
        post(server, "__export", &format!("{{\"Name\":\"{name}\"}}")).expect(202);
        let result = act(&name);
        let still = server.admin("GET", "/c/__export").expect(200).json();
        ended(server, "__export");
        if still["exportation_name"] == name.as_str() {
            return result;
        }
    }
    panic!("no export lasts long enough to be met");
}

#[test]
fn reads_and_writes_go_on_during_an_export() {
    let server = server(&[]);
    put(&server, "b/f", "before").expect(201);
    let second = while_exporting(&server, |name| {
        put(&server, "b/f", "after").expect(204);
        put(&server, &format!("b/{name}"), "new").expect(201);
        server.admin("GET", "/c/b/f").expect(200);
        let taken = server.send(admin("PUT", &format!("/c/__snapshot/{name}.zip")).body("x"));
        assert_eq!(taken.problem(), "409 PR409-CM-0002", "the name is reserved");
        post(&server, "__export", r#"{"Name":"second"}"#)
    });
    assert_eq!(second.problem(), "409 PR409-CM-0002");
    assert_eq!(server.admin("GET", "/c/b/f").expect(200).text(), "after");
}

#[test]
fn exclusive_exports_refuse_writes_before_they_ask_who_it_is() {
    let server = server(&[("CELLAR_CELL_EXPORT__EXCLUSIVE", "true")]);
    server.admin("MKCOL", "/other").expect(201);
    server.send(admin("PUT", "/other/__/f").body("x")).expect(201);
    let (refused, missing, read) = while_exporting(&server, |_| {
        let copy = admin("COPY", "/other/__/f").header("Destination", "/c/b/copied");
        let refused = [
            server.send(copy),
            server.send(admin("MERGE", "/__ctl/Cell('c')").body("{\"Quota\":1}")),
            put(&server, "b/new", "x"),
            server.send(Request::new("PUT", "/c/b/new").body("x")),
            put(&server, "__snapshot/x", "x"),
            server.admin("MKCOL", "/c/other"),
            server.admin("DELETE", "/c/b/new"),
            server.send(admin("POST", "/c/__ctl/Role").body(r#"{"Name":"r"}"#)),
            server.anonymous("POST", "/c/__export"),
        ];
        (refused, put(&server, "nobox/x", "x"), server.admin("PROPFIND", "/c/b/"))
    });
    for reply in refused {
        assert_eq!(reply.problem(), "409 PR409-CM-0002");
    }
    assert_eq!(missing.problem(), "404 PR404-DV-0002");
    assert_eq!(read.status, 403, "infinite depth, as always");
    put(&server, "b/new", "x").expect(201);
}

#[test]
fn an_import_brings_everything_back_or_nothing() {
    let server = server(&[]);
    put(&server, "b/f", "as it was").expect(201);
    let tag = server.admin("GET", "/c/b/f").expect(200).header("etag").map(str::to_owned);
    let zip = export(&server, "a");
    put(&server, "b/f", "changed").expect(204);
    put(&server, "b/g", "new").expect(201);
    let accepted = post(&server, "__import", r#"{"Name":"a"}"#).expect(202);
    assert_eq!(accepted.header("location"), Some(format!("{}c/__import", server.url()).as_str()));
    assert_eq!(ended(&server, "__import").to_string(), r#"{"status":"ready"}"#);
    let got = server.admin("GET", "/c/b/f").expect(200);
    assert_eq!((got.text(), got.header("etag").map(str::to_owned)), ("as it was", tag));
    server.admin("GET", "/c/b/g").expect(404);

    // The directory of the archive is in order, the content of a member is not.
    let mut broken = zip.clone();
    let at = zip.windows(9).position(|w| w == b"as it was").expect("stored content");
    broken[at] ^= 1;
    put(&server, "__snapshot/broken.zip", broken).expect(201);
    put(&server, "b/f", "kept").expect(204);
    post(&server, "__import", r#"{"Name":"broken"}"#).expect(202);
    let status = ended(&server, "__import");
    assert_eq!(
        (status["status"].as_str(), status["importation_name"].as_str()),
        (Some("import failed"), Some("broken"))
    );
    assert_eq!(status["message"]["code"], "PR400-MC-0009", "{status}");
    assert!(status["started_at"].as_str().is_some_and(|t| t.ends_with('Z')), "{status}");
    assert_eq!(server.admin("GET", "/c/b/f").expect(200).text(), "kept");
    put(&server, "b/f", "and the cell takes writes").expect(204);
    let shown = server.send(admin("PROPFIND", "/c/").header("Depth", "0")).expect(207);
    assert!(shown.text().contains(">import failed</p:cellstatus>"), "{}", shown.text());
    post(&server, "__import", r#"{"Name":"a"}"#).expect(202);
    assert_eq!(ended(&server, "__import")["status"], "ready");
    let shown = server.send(admin("PROPFIND", "/c/").header("Depth", "0")).expect(207);
    assert!(shown.text().contains(">normal</p:cellstatus>"), "{}", shown.text());
}

#[test]
fn a_strict_cell_is_closed_after_a_failed_import() {
    let server = server(&[("CELLAR_IMPORT__STRICT_STATUS", "true")]);
    put(&server, "b/f", "as it was").expect(201);
    let mut zip = export(&server, "a");
    let at = zip.windows(9).position(|w| w == b"as it was").expect("stored content");
    zip[at] ^= 1;
    put(&server, "__snapshot/bad.zip", zip).expect(201);
    post(&server, "__import", r#"{"Name":"bad"}"#).expect(202);
    assert_eq!(ended(&server, "__import")["status"], "import failed");
    for (method, target) in
        [("GET", "/c/b/"), ("PROPFIND", "/c/"), ("GET", "/c/__export"), ("GET", "/c/__snapshot/a.zip")]
    {
        assert_eq!(server.admin(method, target).problem(), "409 PR409-CM-0001", "{method} {target}");
    }
    post(&server, "__import", r#"{"Name":"a"}"#).expect(202);
    assert_eq!(ended(&server, "__import")["status"], "ready");
    put(&server, "b/f", "x").expect(204);
}

#[test]
fn an_upload_that_is_under_way_is_waited_for_and_then_refuses_the_import() {
    let server = server(&[]);
    export(&server, "a");
    let mut connection = server.connect();
    connection.start(&admin("PUT", "/c/b/slow").header("Content-Length", "2000000")).expect("sent");
    connection.write(&vec![1; 1_000_000]).expect("sent");
    let deadline = Instant::now() + Duration::from_secs(20);
    let staging = server.root().join("cells/c/staging");
    while std::fs::read_dir(&staging).expect("a directory").count() < 2 {
        assert!(Instant::now() < deadline, "the upload does not begin");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(post(&server, "__import", r#"{"Name":"a"}"#).problem(), "409 PR409-MC-0001");
    connection.write(&vec![1; 1_000_000]).expect("sent");
    assert_eq!(connection.reply("PUT").expect("an answer").status, 201);
    server.admin("GET", "/c/b/slow").expect(200);
    post(&server, "__import", r#"{"Name":"a"}"#).expect(202);
    ended(&server, "__import");
    server.admin("GET", "/c/b/slow").expect(404);
}

#[test]
fn a_server_that_stops_tells_what_has_become_of_its_export() {
    let dir = TempDir::new().expect("a directory");
    let root = dir.path().join("unit");
    let mut server = Server::at(&root, &[]);
    server.admin("MKCOL", "/c").expect(201);
    for n in 0..3 {
        put(&server, &format!("__/f{n}"), letters(40 << 20, n)).expect(201);
    }
    post(&server, "__export", r#"{"Name":"night"}"#).expect(202);
    assert!(server.stop().success());
    let server = Server::at(&root, &[]);
    assert_eq!(server.admin("GET", "/c/__export").expect(200).json()["status"], "ready");
    let zip = server.admin("GET", "/c/__snapshot/night.zip");
    if zip.status == 404 {
        let error = server.admin("GET", "/c/__snapshot/night.error").expect(200).json();
        assert_eq!(error["code"], "PR500-SV-0000", "{error}");
    }
}

/// A small file system of its own; needs root.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new(size: &str) -> Self {
        let dir = TempDir::new().expect("a directory");
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(dir.path())
            .status();
        assert!(mount.is_ok_and(|status| status.success()), "a tmpfs can be mounted (as root)");
        Self(dir)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_ends_an_export_in_its_error_file_and_an_import_in_nothing() {
    let disk = SmallDisk::new("40m");
    let root = disk.0.path().join("unit");
    let mut server = Server::at(&root, &[("CELLAR_STORAGE__DISK_RESERVE", "1")]);
    server.admin("MKCOL", "/c").expect(201);
    server.admin("MKCOL", "/c/b").expect(201);
    put(&server, "b/f", "small").expect(201);
    let zip = export(&server, "small");
    put(&server, "b/large", noise(20 << 20)).expect(201);
    post(&server, "__export", r#"{"Name":"full"}"#).expect(202);
    assert_eq!(ended(&server, "__export")["status"], "ready");
    let error = server.admin("GET", "/c/__snapshot/full.error").expect(200).json();
    assert_eq!(error["code"], "PR507-DV-0002", "{error}");
    assert_eq!(error["message"]["value"], "Not enough space on the disk.");
    server.admin("GET", "/c/__snapshot/full.zip").expect(404);
    put(&server, "b/f", "the cell lives on").expect(204);
    server.admin("DELETE", "/c/b/large").expect(204);

    // Room for the file, not for what is in it besides.
    let mut all = zip::ZipWriter::new_append(Cursor::new(zip)).expect("an archive");
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, content) in [("x/.pmeta", br#"{"t":"dav.file"}"#.to_vec()), ("x/content", vec![b'x'; 60 << 20])] {
        all.start_file(format!("20_webdav/__/{name}"), stored).expect("added");
        std::io::Write::write_all(&mut all, &content).expect("written");
    }
    let large = without_own(&all.finish().expect("an archive").into_inner());
    put(&server, "__snapshot/large.zip", large).expect(201);
    post(&server, "__import", r#"{"Name":"large"}"#).expect(202);
    let status = ended(&server, "__import");
    assert_eq!(status["message"]["code"], "PR507-DV-0002", "{status}");
    assert_eq!(server.admin("GET", "/c/b/f").expect(200).text(), "the cell lives on");
    put(&server, "b/f", "and takes writes").expect(204);
    assert!(server.stop().success());
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

/// The archive as another server would have written it.
fn without_own(bytes: &[u8]) -> Vec<u8> {
    let mut from = zip::ZipArchive::new(Cursor::new(bytes)).expect("an archive");
    let mut to = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for index in 0..from.len() {
        let entry = from.by_index_raw(index).expect("an entry");
        if !entry.name().expect("a name").starts_with("90_cellar/") {
            to.raw_copy_file(entry).expect("copied");
        }
    }
    to.finish().expect("an archive").into_inner()
}

const ROUNDS: u64 = 100;
/// Rounds end early when this much time is over, so that a slow machine does not hold everybody up; at least half are done.
const TIME: Duration = Duration::from_mins(2);

/// The files of the box, with their content, in the order of the listing.
fn content(server: &Server) -> Vec<String> {
    let mut connection = server.connect();
    (0..20).map(|n| connection.send(&admin("GET", &format!("/c/b/f{n}"))).expect(200).text().to_owned()).collect()
}

#[test]
fn kills_during_export_and_import_lose_and_mix_nothing() {
    let dir = TempDir::new().expect("a directory");
    let root = dir.path().join("unit");
    let mut server = Server::at(&root, &[]);
    server.admin("MKCOL", "/c").expect(201);
    server.admin("MKCOL", "/c/b").expect(201);
    let fill = |server: &Server, version: &str| -> Vec<String> {
        let mut connection = server.connect();
        let text = |n: u64| format!("{version} {n} {}", String::from_utf8(letters(20_000, n)).expect("text"));
        let texts: Vec<String> = (0..20).map(text).collect();
        for (n, text) in texts.iter().enumerate() {
            let put = admin("PUT", &format!("/c/b/f{n}")).body(text.clone());
            assert!(connection.send(&put).status < 300);
        }
        texts
    };
    let first = fill(&server, "first");
    export(&server, "first");
    let second = fill(&server, "second");
    export(&server, "second");
    let mut now = second.clone();
    let mut moment = std::process::id();
    let began = Instant::now();
    let (mut rounds, mut swapped, mut failed, mut errors) = (0, 0, 0, 0);
    while rounds < ROUNDS && (began.elapsed() < TIME || rounds < ROUNDS / 2) {
        let import = rounds % 2 == 0;
        let (wanted, name) = if now == first { (&second, "second") } else { (&first, "first") };
        let done = AtomicBool::new(false);
        let begun = if import {
            post(&server, "__import", &format!("{{\"Name\":\"{name}\"}}"))
        } else {
            post(&server, "__export", &format!("{{\"Name\":\"e{rounds}\"}}"))
        };
        begun.expect(202);
        moment = moment.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let answers = (moment >> 16) % 60;
        let mut probe = server.connect();
        for _ in 0..answers {
            let _ = probe.try_send(&Request::new("GET", "/"));
        }
        server.signal(Signal::KILL);
        done.store(true, Ordering::Relaxed);
        server.wait();
        server = Server::at(&root, &[]);
        let found = content(&server);
        let status = server.admin("GET", if import { "/c/__import" } else { "/c/__export" }).expect(200).json();
        if import {
            assert!(found == now || &found == wanted, "round {rounds}: a mixed cell");
            swapped += u64::from(&found == wanted);
            let expected = if found == now { "import failed" } else { "ready" };
            assert_eq!(status["status"], expected, "round {rounds}: {status}");
            failed += u64::from(expected != "ready");
            now = found;
        } else {
            assert!(found == now, "round {rounds}: an export changes nothing");
            assert_eq!(status["status"], "ready", "round {rounds}: {status}");
            let zip = server.admin("GET", &format!("/c/__snapshot/e{rounds}.zip"));
            let error = server.admin("GET", &format!("/c/__snapshot/e{rounds}.error"));
            assert!((zip.status == 200) != (error.status == 200), "round {rounds}: a file or an error");
            if zip.status == 200 {
                assert!(names(&zip.body).iter().any(|n| n.ends_with("/f19/content")), "round {rounds}");
            } else {
                assert_eq!(error.json()["code"], "PR500-SV-0000");
                errors += 1;
            }
        }
        put(&server, "b/probe", "the cell takes writes");
        server.admin("GET", "/c/__snapshot/first.zip").expect(200);
        rounds += 1;
    }
    assert!(failed > 0 && errors > 0, "{rounds} rounds: {swapped} swapped, {failed} failed, {errors} errors");
    assert!(server.stop().success());
    let check = run(&["check", "--root", root.to_str().expect("text")], &[]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::fs::read_dir(root.join("staging")).expect("a directory").count() > 0 {
        assert!(Instant::now() < deadline, "something stays in the unit's staging");
        let mut again = Server::at(&root, &[]);
        assert!(again.stop().success());
    }
}

#[test]
fn a_cell_keeps_its_name_while_it_is_exported() {
    let server = server(&[]);
    let merge = |body: &str| server.send(admin("MERGE", "/__ctl/Cell('c')").body(body));
    let (exported, refused) = while_exporting(&server, |name| {
        merge(r#"{"Quota":null}"#).expect(204);
        merge(r#"{"Name":"c"}"#).expect(204);
        (name.to_owned(), merge(r#"{"Name":"d"}"#).problem())
    });
    assert_eq!(refused, "409 PR409-CM-0002");
    server.admin("GET", &format!("/c/__snapshot/{exported}.zip")).expect(200);
    merge(r#"{"Name":"d"}"#).expect(204);
    server.admin("GET", &format!("/d/__snapshot/{exported}.zip")).expect(200);
    server.send(admin("POST", "/d/__export").body(r#"{"Name":"after"}"#)).expect(202);
}
