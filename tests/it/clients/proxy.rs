//! The drive behind nginx, which speaks TLS to the clients and plain HTTP to the server.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::davfs2::{Mount, copy};
use super::rclone::{Rclone, sync_both_ways};
use super::{Running, assert_same_trees, run, until, write_tree};
use crate::client::Request;
use crate::dav::Drive;
use crate::harness::TOKEN;

/// A port that is free now.
fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port")
}

/// nginx in front of a drive, with a certificate for `localhost`.
struct Front {
    _process: Running,
    folder: TempDir,
    /// `https://localhost:…/` with the path below which the drive appears.
    url: String,
}

impl Front {
    /// `path` begins and ends with a slash; the proxy strips it.
    fn new(at: SocketAddr, to: SocketAddr, path: &str) -> Self {
        let folder = TempDir::new().expect("a directory");
        let dir = folder.path().display().to_string();
        let mut certify = Command::new("openssl");
        certify.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]);
        certify.args(["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"]);
        run(certify.current_dir(folder.path())).expect_success();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {dir}/pid;\nerror_log {dir}/error.log;\nevents {{}}\nhttp {{\n\
             access_log off;\nclient_body_temp_path {dir}/b;\nproxy_temp_path {dir}/p;\nfastcgi_temp_path {dir}/f;\n\
             uwsgi_temp_path {dir}/u;\nscgi_temp_path {dir}/s;\nserver {{\nlisten {at} ssl;\n\
             ssl_certificate {dir}/cert.pem;\nssl_certificate_key {dir}/key.pem;\nclient_max_body_size 0;\n\
             location {path} {{\nproxy_pass http://{to}/;\nproxy_http_version 1.1;\nproxy_request_buffering off;\n\
             proxy_set_header Host $http_host;\nproxy_set_header X-Forwarded-Proto $scheme;\n}}\n}}\n}}\n"
        );
        std::fs::write(folder.path().join("nginx.conf"), config).expect("a file");
        let program = ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|p| PathBuf::from(p).exists());
        let mut nginx = Command::new(program.unwrap_or("nginx"));
        nginx.arg("-p").arg(folder.path()).arg("-c").arg(folder.path().join("nginx.conf"));
        let child = nginx.stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = Running(child.expect("nginx is installed: see tests/run"));
        until("nginx listens", || TcpStream::connect(at).is_ok());
        Self { _process: process, folder, url: format!("https://localhost:{}{path}", at.port()) }
    }

    fn certificate(&self) -> String {
        self.folder.path().join("cert.pem").display().to_string()
    }

    /// The hrefs of a collection's listing, as the text of the answer has them.
    fn listing(&self, path: &str) -> String {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail-with-body", "--cacert", &self.certificate(), "-u", &format!("unit:{TOKEN}")]);
        run(curl.args(["-X", "PROPFIND", "-H", "Depth: 1"]).arg(format!("{}{path}", self.url))).expect_success()
    }
}

/// A drive that is told by its configuration what its URLs begin with.
fn with_public_url(path: &str) -> (Drive, Front) {
    let at = free_port();
    let public = format!("https://localhost:{}{path}", at.port());
    let drive = Drive::with(&[("CELLAR_SERVER__PUBLIC_URL", &public)]);
    let front = Front::new(at, drive.server.address, path);
    (drive, front)
}

#[test]
fn answers_behind_a_proxy_begin_with_the_public_url() {
    for path in ["/", "/files/drive/"] {
        let (drive, front) = with_public_url(path);
        drive.put("b/f", "x").expect(201);
        let text = front.listing("c/b/");
        assert!(text.contains(&format!("<D:href>{}c/b/f</D:href>", front.url)), "{text}");
        assert!(!text.contains("http://"), "{text}");
    }
}

#[test]
fn rclone_syncs_through_tls() {
    let (drive, front) = with_public_url("/");
    let rclone = Rclone::new(&format!("{}c/b/", front.url), "owncloud").with(&["--ca-cert", &front.certificate()]);
    sync_both_ways(&rclone, &drive);
}

#[test]
fn rclone_syncs_through_tls_below_a_path() {
    let (drive, front) = with_public_url("/files/drive/");
    let rclone = Rclone::new(&format!("{}c/b/", front.url), "owncloud").with(&["--ca-cert", &front.certificate()]);
    sync_both_ways(&rclone, &drive);
    rclone.run(&["moveto", "cellar:tree/sub", "cellar:moved"]);
    assert!(drive.names("b").contains(&"moved".to_owned()));
}

#[test]
fn davfs2_mounts_through_tls() {
    let (drive, front) = with_public_url("/files/drive/");
    let source = TempDir::new().expect("a directory");
    write_tree(source.path());
    // The mount's daemon reads it as a user of its own.
    std::fs::set_permissions(front.folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("its mode");
    let trust = format!("trust_ca_cert {}", front.certificate());
    let mut mount = Mount::with(&format!("{}c/b/", front.url), &trust);
    copy(source.path(), &mount.path("tree"));
    mount.shell("mv tree/one tree/two; mv tree renamed");
    mount.unmount();
    std::fs::rename(source.path().join("one"), source.path().join("two")).expect("renamed");
    assert_same_trees(source.path(), &drive.on_disk("renamed"));
}

#[test]
fn forwarded_headers_count_from_trusted_proxies_alone() {
    for (trusted, scheme) in [("127.0.0.0/8", "https"), ("192.0.2.0/24", "http")] {
        let drive = Drive::with(&[("CELLAR_SERVER__TRUSTED_PROXIES", trusted)]);
        let at = free_port();
        let front = Front::new(at, drive.server.address, "/");
        drive.put("b/f", "x").expect(201);
        let text = front.listing("c/b/");
        let expected = format!("<D:href>{scheme}://localhost:{}/c/b/f</D:href>", at.port());
        assert!(text.contains(&expected), "{text}");
        let lying = Request::new("PROPFIND", "/c/b").bearer(TOKEN).header("Depth", "0");
        let lying = lying.header("X-Forwarded-Host", "elsewhere.example").header("Forwarded", "host=also.example");
        let text = drive.send(lying).expect(207).text().to_owned();
        assert_eq!(text.contains("also.example"), scheme == "https", "{text}");
        assert!(!text.contains("elsewhere.example"), "{text}");
    }
}

#[test]
fn a_destination_is_understood_as_the_proxys_client_writes_it() {
    let (drive, front) = with_public_url("/files/drive/");
    for (n, to) in [front.url.clone(), "/".to_owned(), drive.server.url()].iter().enumerate() {
        drive.put("b/f", "x").expect(201);
        let request = Request::new("MOVE", "/c/b/f").bearer(TOKEN);
        drive.send(request.header("Destination", format!("{to}c/b/moved{n}"))).expect(201);
        assert_eq!(drive.text(&format!("b/moved{n}")), "x");
    }
}
