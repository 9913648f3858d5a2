//! Verbs, flags, exit statuses and signals.

use std::net::TcpListener;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::client::Request;
use crate::harness::{Server, run};

fn stdout(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = run(arguments, environment);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What the program says when it refuses to run.
fn refusal(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = run(arguments, environment);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{output:?}");
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[test]
fn the_ready_line_names_the_port() {
    let server = Server::start();
    assert_ne!(server.address.port(), 0);
    assert_eq!(server.anonymous("GET", "/").expect(200).json()["unit"]["url"], server.url());
}

#[test]
fn sigterm_and_sigint_end_with_status_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start();
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    }
}

#[test]
fn sigterm_closes_idle_connections_at_once() {
    let mut server = Server::start();
    let mut fresh = server.connect();
    let mut kept = server.connect();
    kept.send(&Request::new("GET", "/")).expect(200);
    assert_eq!(server.stop().code(), Some(0));
    assert!(kept.is_closed() && fresh.is_closed());
}

#[test]
fn sigterm_lets_answers_out_whole() {
    let mut server = Server::start();
    let mut connection = server.connect();
    let many = 50;
    let long = "x".repeat(40_000);
    let head = Request::new("OPTIONS", "/").header("Access-Control-Request-Headers", &long).head("h");
    connection.write(&head.repeat(many)).expect("sent");
    connection.reply("OPTIONS").expect("the first answer");
    server.signal(Signal::TERM);
    let mut answers = 1;
    while !connection.is_closed() {
        let reply = connection.reply("OPTIONS").expect("a whole answer").expect(200);
        assert_eq!(reply.header("access-control-allow-headers"), Some(long.as_str()));
        answers += 1;
    }
    drop(connection);
    assert!(answers <= many);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn an_unknown_key_names_the_nearest() {
    let said = refusal(&["serve"], &[("CELLAR_LIMITS__BAR_SISE", "1")]);
    assert!(said.contains("CELLAR_LIMITS__BAR_SISE") && said.contains("`CELLAR_LIMITS__BAR_SIZE`"), "{said}");
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("cellar.toml");
    std::fs::write(&file, "[limits]\nbar_entry = 1\n").expect("written");
    let said = refusal(&["config", "--config", file.to_str().expect("UTF-8")], &[]);
    assert!(said.contains("`limits.bar_entry`") && said.contains("`limits.bar_entries`"), "{said}");
}

#[test]
fn config_prints_values_with_their_source() {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("cellar.toml");
    std::fs::write(&file, "[limits]\nbar_entries = 5\n").expect("written");
    let file = file.to_str().expect("UTF-8");
    let environment = [("CELLAR_LIMITS__BAR_SIZE", "1KiB"), ("CELLAR_AUTH__REFERENCE_SALT", "pepper")];
    let table = stdout(&["config", "--config", file], &environment);
    let row = |key: &str| {
        table
            .lines()
            .find(|l| l.starts_with(key))
            .expect("a row")
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(row("limits.bar_size"), ["limits.bar_size", "1024", "100MiB", "environment", "CELLAR_LIMITS__BAR_SIZE"]);
    assert_eq!(row("limits.bar_entries"), ["limits.bar_entries", "5", "200000", "file", file]);
    assert!(!table.contains("pepper"));
    let json: serde_json::Value = serde_json::from_str(&stdout(&["config", "--json"], &environment)).expect("JSON");
    let keys = json["keys"].as_array().expect("a list");
    assert!(keys.iter().any(|k| k["key"] == "limits.bar_size" && k["value"] == "1024" && k["default"] == "100MiB"));
}

#[test]
fn what_cannot_be_served_is_refused_with_a_reason() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let dir = TempDir::new().expect("a directory");
    let root = dir.path().join("unit");
    let root = root.to_str().expect("UTF-8");
    let said = refusal(&["serve", "--root", root, "--listen", &address], &[]);
    assert!(said.contains(&address) && said.contains("hint:"), "{said}");
    let tls = [("CELLAR_SERVER__TLS_CERT", "c.pem"), ("CELLAR_SERVER__TLS_KEY", "k.pem")];
    assert!(
        refusal(&["serve", "--root", root], &tls).contains("`server.tls_cert` and `server.tls_key`: cannot read c.pem")
    );
    assert!(refusal(&["serve", "--root", root], &[("CELLAR_LOG", "=,=")]).contains("log filter"));
    refusal(&["no-such-verb"], &[]);
}

#[test]
fn help_and_version_go_to_stdout() {
    assert!(stdout(&["--help"], &[]).contains("Exit status:"));
    assert_eq!(stdout(&["--version"], &[]), format!("cellar {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_log_has_a_line_for_each_request_and_no_secret() {
    let mut server = Server::with(&[("CELLAR_LOG_FORMAT", "json")]);
    let request =
        Request::new("GET", "/nothing?password=s3cret").bearer("t0ken").header("X-Personium-RequestKey", "key-1");
    server.send(request).expect(404);
    server.stop();
    let log = server.log();
    let line = log.lines().find(|l| l.contains("\"key-1\"")).expect("a line");
    let json: serde_json::Value = serde_json::from_str(line).expect("JSON");
    assert_eq!(
        (&json["method"], &json["path"], &json["status"], &json["code"]),
        (&"GET".into(), &"/nothing".into(), &404.into(), &"PR404-DV-0003".into())
    );
    assert!(json["bytes"].as_u64().expect("a number") > 0 && json["ms"].is_number());
    assert!(!log.contains("s3cret") && !log.contains("t0ken"), "{log}");
}
