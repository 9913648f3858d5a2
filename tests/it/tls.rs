//! HTTPS: both versions of HTTP, certificates that change, and ports that are taken for another.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::client::Request;
use crate::connections::{curl, pattern, told};
use crate::harness::{Server, TOKEN, cellar, run};

/// A certificate and its key, in PEM form.
struct Pair {
    cert: String,
    key: String,
}

impl Pair {
    fn new() -> Self {
        Self::named(&["localhost", "127.0.0.1"])
    }

    fn named(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let pair = rcgen::generate_simple_self_signed(names).expect("a certificate");
        Self { cert: pair.cert.pem(), key: pair.signing_key.serialize_pem() }
    }

    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.cert.as_bytes()).expect("a certificate")
    }
}

/// Where a server's pair lies.
struct Files {
    folder: TempDir,
}

impl Files {
    fn with(pair: &Pair) -> Self {
        let files = Self { folder: tempfile::tempdir().expect("a directory") };
        files.write(pair);
        files
    }

    fn write(&self, pair: &Pair) {
        std::fs::write(self.cert(), &pair.cert).expect("a file");
        std::fs::write(self.key(), &pair.key).expect("a file");
    }

    fn cert(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    fn server(&self) -> Server {
        let (cert, key) = (self.cert(), self.key());
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        Server::with(&[("CELLAR_SERVER__TLS_CERT", &text(&cert)), ("CELLAR_SERVER__TLS_KEY", &text(&key))])
    }
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A connection that trusts this pair's certificate alone.
fn connect(server: &Server, pair: &Pair) -> std::io::Result<Stream> {
    let mut roots = RootCertStore::empty();
    roots.add(pair.der()).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
    let socket = TcpStream::connect(server.address)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut stream = StreamOwned::new(connection, socket);
    status(&mut stream)?;
    Ok(stream)
}

/// Asks for the status and reads the whole answer.
fn status(stream: &mut Stream) -> std::io::Result<String> {
    stream.write_all(b"GET /__status HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"{\"status\":\"ok\"}") {
        let mut some = [0; 1024];
        match stream.read(&mut some)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => answer.extend_from_slice(&some[..n]),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[test]
fn https_is_spoken_in_both_versions_of_http() {
    let files = Files::with(&Pair::new());
    let server = files.server();
    assert!(server.url().starts_with("https://"), "{}", server.url());
    let trust = ["--cacert", files.cert().to_str().expect("UTF-8")].map(str::to_owned);
    let with = |arguments: &[&str]| -> Vec<String> {
        trust.iter().cloned().chain(arguments.iter().map(|a| (*a).to_owned())).collect()
    };
    let ask = |arguments: &[&str], format: &str| {
        let arguments = with(arguments);
        told(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), format)
    };
    let code = "%{http_version} %{http_code}";
    let unit = server.url();
    assert_eq!(ask(&["--request", "MKCOL", &format!("{unit}c")], code), "2 201");
    assert_eq!(ask(&["--http1.1", "--request", "MKCOL", &format!("{unit}c/b")], code), "1.1 201");
    let file = files.folder.path().join("up");
    std::fs::write(&file, pattern(5_000_000)).expect("a file");
    for (version, expected) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let url = format!("{unit}c/b/f{expected}");
        let upload = [version, "--upload-file", file.to_str().expect("UTF-8"), &url];
        assert_eq!(ask(&upload, code), format!("{expected} 201"));
        let download = with(&[version, &url]);
        let output = curl(&download.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(output.stdout, pattern(5_000_000), "{version}");
        let unit_document = with(&[version, &unit]);
        let output = curl(&unit_document.iter().map(String::as_str).collect::<Vec<_>>());
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(json["unit"]["url"], unit.as_str());
    }
    // Who does not trust the certificate sends no password.
    assert!(!curl(&[&unit]).status.success());
}

#[test]
fn many_requests_share_one_connection() {
    let files = Files::with(&Pair::new());
    let server = files.server();
    let urls: Vec<String> = (0..60).map(|i| format!("{}?{i}", server.url())).collect();
    let cert = files.cert();
    let mut arguments = vec!["--cacert", cert.to_str().expect("UTF-8"), "--parallel", "--parallel-max", "60"];
    arguments.extend(["--write-out", "%{num_connects} %{http_version} %{http_code}\n"]);
    for url in &urls {
        arguments.extend(["--output", "/dev/null", url]);
    }
    let output = curl(&arguments);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.lines().filter(|line| line.ends_with(" 2 200")).count(), 60, "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("0 ")).count(), 59, "{text}");
}

#[test]
fn a_new_certificate_is_used_without_a_restart() {
    let (old, new) = (Pair::new(), Pair::new());
    let files = Files::with(&old);
    let server = files.server();
    let mut kept = connect(&server, &old).expect("a connection");
    files.write(&new);
    server.wait_for_log("a new certificate is in use");
    connect(&server, &new).expect("a connection with the new certificate");
    assert!(connect(&server, &old).is_err());
    status(&mut kept).expect("what exists goes on");
}

#[test]
fn a_broken_new_pair_keeps_the_old_and_is_told_of_once() {
    let (old, other, last) = (Pair::new(), Pair::new(), Pair::new());
    let files = Files::with(&old);
    let server = files.server();
    files.write(&Pair { cert: old.cert.clone(), key: other.key });
    server.wait_for_log("does not belong to the certificate");
    connect(&server, &old).expect("a connection with the old certificate");
    std::fs::write(files.cert(), "nothing of use").expect("a file");
    server.wait_for_log("holds no certificate in PEM form");
    connect(&server, &old).expect("a connection with the old certificate");
    std::fs::remove_file(files.cert()).expect("removed");
    server.wait_for_log("cannot read");
    files.write(&last);
    server.wait_for_log("a new certificate is in use");
    connect(&server, &last).expect("a connection with the last certificate");
    assert_eq!(server.log().matches("the old one stays").count(), 3, "{}", server.log());
}

#[test]
fn files_that_cannot_be_used_are_told_of_at_the_start() {
    let (pair, other) = (Pair::new(), Pair::new());
    let files = Files::with(&pair);
    let path = |name: &str| files.folder.path().join(name).to_str().expect("UTF-8").to_owned();
    std::fs::write(path("text"), "no PEM").expect("a file");
    std::fs::write(path("other.pem"), &other.key).expect("a file");
    for (cert, key, told) in [
        ("none.pem", "key.pem", "cannot read"),
        ("text", "key.pem", "holds no certificate in PEM form"),
        ("cert.pem", "text", "holds no private key in PEM form"),
        ("cert.pem", "other.pem", "does not belong to the certificate"),
    ] {
        let output = cellar()
            .args(["serve", "--listen", "127.0.0.1:0", "--root", &path("unit")])
            .envs([("CELLAR_SERVER__TLS_CERT", path(cert)), ("CELLAR_SERVER__TLS_KEY", path(key))])
            .output()
            .expect("the program runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(told) && text.contains(&path(if told.contains("key") { key } else { cert })), "{text}");
        assert!(output.stdout.is_empty());
    }
    let half = run(&["serve"], &[("CELLAR_SERVER__TLS_CERT", &path("cert.pem"))]);
    assert!(String::from_utf8_lossy(&half.stderr).contains("need each other"));
}

#[test]
fn plain_http_on_the_port_of_https_is_told_so() {
    let files = Files::with(&Pair::new());
    let server = files.server();
    let reply = server.send(Request::new("GET", "/").bearer(TOKEN));
    assert_eq!(reply.problem(), "400 PR400-MC-0008");
    assert_eq!(reply.header("x-personium-version"), Some("1.8.4"));
    assert!(reply.text().contains("HTTPS"));
}

#[test]
fn a_server_that_ends_closes_tls_cleanly() {
    let pair = Pair::new();
    let files = Files::with(&pair);
    let mut server = files.server();
    let mut kept = connect(&server, &pair).expect("a connection");
    let _never_shakes_hands = TcpStream::connect(server.address).expect("a connection");
    let begin = Instant::now();
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    assert!(begin.elapsed() < Duration::from_secs(10));
    // Without the closing message of TLS this would be an error: something may be missing.
    assert_eq!(kept.read(&mut [0; 16]).expect("the end"), 0);
}

#[test]
fn the_command_line_speaks_https_to_servers_that_it_trusts() {
    let (files, others) = (Files::with(&Pair::new()), Files::with(&Pair::named(&["elsewhere.example"])));
    let (server, other) = (files.server(), others.server());
    let list = |server: &Server, host: &str, authority: Option<&Path>| {
        let mut command = cellar();
        let url = format!("https://{host}:{}/", server.address.port());
        command.args(["role", "ls", "c", "--url", &url]).env("CELLAR_TOKEN", TOKEN);
        command.env("SSL_CERT_FILE", others.cert());
        if let Some(path) = authority {
            command.arg("--ca").arg(path);
        }
        let output = command.output().expect("the program runs");
        assert!(!output.status.success(), "there is no such cell");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for host in ["localhost", "127.0.0.1"] {
        let told = list(&server, host, Some(&files.cert()));
        assert!(told.contains("PR404-DV-0003"), "the server was asked for the cell: {told}");
    }
    for (server, authority, reason) in [
        (&server, None, "cannot be trusted"),
        (&server, Some(others.cert()), "cannot be trusted"),
        (&other, Some(others.cert()), "cannot be trusted"),
        (&server, Some(files.key()), "names no authority"),
        (&server, Some(PathBuf::from("/nowhere.pem")), "cannot read /nowhere.pem"),
    ] {
        let told = list(server, "localhost", authority.as_deref());
        assert!(told.contains(reason), "{authority:?}: {told}");
    }
}
