//! Bars in and out: the main job, on the real binary, with the sample that the README uses.

use std::io::{Cursor, Read};
use std::path::Path;

use crate::client::{Reply, Request};
use crate::harness::{Server, TOKEN};

const BAR: &str = "application/zip+x-personium-bar";

fn sample() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bars/hello.bar");
    std::fs::read(path).expect("the sample")
}

fn install(server: &Server, target: &str, bar: &[u8]) -> Reply {
    server.send(Request::new("MKCOL", target).bearer(TOKEN).header("Content-Type", "application/zip").body(bar))
}

/// Polls the metadata until the installation has ended; progress never goes back.
fn ended(server: &Server, target: &str) -> serde_json::Value {
    let mut last = 0;
    loop {
        let about = server.admin("GET", target).expect(200).json()["box"].clone();
        if about["status"] != "installation in progress" {
            return about;
        }
        let progress = about["progress"].as_str().and_then(|p| p.strip_suffix('%')?.parse().ok()).expect("percent");
        assert!(progress >= last, "from {last} to {progress}");
        last = progress;
        std::thread::yield_now();
    }
}

fn export(server: &Server, target: &str, headers: &[(&str, &str)]) -> Reply {
    let request = Request::new("GET", target).bearer(TOKEN).header("Accept", BAR);
    server.send(headers.iter().fold(request, |r, (name, value)| r.header(name, *value)))
}

/// A server with the sample installed as `/alice/hello`.
fn with_sample() -> Server {
    let server = Server::start();
    server.admin("MKCOL", "/alice").expect(201);
    install(&server, "/alice/hello", &sample()).expect(202);
    assert_eq!(ended(&server, "/alice/hello")["status"], "ready");
    server
}

/// Names and contents of an archive, without its own metadata of the box.
fn contents(bar: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut zip = zip::ZipArchive::new(Cursor::new(bar)).expect("a zip archive");
    (0..zip.len())
        .map(|i| {
            let mut file = zip.by_index(i).expect("a member");
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).expect("sound bytes");
            (file.name().expect("a name").into_owned(), bytes)
        })
        .collect()
}

#[test]
fn an_installed_bar_is_there_by_http_and_on_disk() {
    let server = with_sample();
    let page = server.admin("GET", "/alice/hello/pages/index.html").expect(200);
    assert_eq!(page.header("Content-Type"), Some("text/html"));
    let on_disk = server.root().join("cells/alice/boxes/hello/pages/index.html");
    assert_eq!(std::fs::read(on_disk).expect("a file"), page.body);
    let text = server.admin("GET", "/alice/hello/pages/read%20me.txt").expect(200);
    assert_eq!(text.header("Content-Type"), Some("text/plain; charset=utf-8"));
    server.admin("GET", "/alice/hello/service/__src/hello.js").expect(200);
    let roles = server.admin("GET", "/alice/__ctl/Role").expect(200).json()["d"]["results"].clone();
    assert_eq!(roles.as_array().map(Vec::len), Some(2));
    let linked = "/alice/__ctl/Relation(Name='friend',_Box.Name='hello')/$links/_Role";
    let links = server.admin("GET", linked).expect(200).json()["d"]["results"].clone();
    assert_eq!(links.as_array().map(Vec::len), Some(1));
}

#[test]
fn the_answer_to_an_installation_is_202_with_the_location_of_the_box() {
    let server = Server::start();
    server.admin("MKCOL", "/alice").expect(201);
    let accepted = install(&server, "/alice/hello", &sample()).expect(202);
    assert_eq!(accepted.header("Location"), Some(format!("{}alice/hello", server.url()).as_str()));
    assert!(accepted.body.is_empty());
    // The box is there at once; a second installation is refused, for its schema first.
    let second = install(&server, "/alice/hello", &sample()).expect(400);
    assert_eq!(second.problem(), "400 PR400-BI-0004");
    ended(&server, "/alice/hello");
}

#[test]
fn what_is_no_bar_is_refused_with_its_code() {
    let server = Server::start();
    server.admin("MKCOL", "/alice").expect(201);
    let code = |reply: Reply| reply.problem();
    let typed = |kind: &str| {
        server.send(Request::new("MKCOL", "/alice/b").bearer(TOKEN).header("Content-Type", kind).body(sample()))
    };
    assert_eq!(code(typed("application/zip; charset=utf-8")), "400 PR400-BI-0001");
    assert_eq!(code(install(&server, "/alice/b", b"no archive")), "400 PR400-BI-0007");
    assert_eq!(code(install(&server, "/alice/-b", &sample())), "400 PR400-OD-0006");
    assert_eq!(code(install(&server, "/alice/__", &sample())), "405 PR405-MC-0001");
    assert_eq!(code(install(&server, "/nobody/b", &sample())), "404 PR404-DV-0003");
    let anonymous = Request::new("MKCOL", "/alice/b").header("Content-Type", "application/zip").body(sample());
    assert_eq!(code(server.send(anonymous)), "401 PR401-AU-0001");
    server.admin("GET", "/alice/b").expect(404);
}

#[test]
fn a_chunked_upload_installs_too_and_a_broken_one_leaves_nothing() {
    let server = Server::start();
    server.admin("MKCOL", "/alice").expect(201);
    let request = |bar: Vec<u8>| {
        Request::new("MKCOL", "/alice/hello").bearer(TOKEN).header("Content-Type", "application/zip").body(bar)
    };
    let mut broken = server.connect();
    let half = sample().len() / 2;
    let head = request(sample()).head(&server.address.to_string());
    broken.write(&head).expect("sent");
    broken.write(&sample()[..half]).expect("sent");
    broken.half_close();
    let _ = broken.reply("MKCOL");
    server.admin("GET", "/alice/hello").expect(404);
    server.send(request(sample()).chunked(100)).expect(202);
    assert_eq!(ended(&server, "/alice/hello")["status"], "ready");
}

#[test]
fn an_export_installs_elsewhere_and_comes_out_equal() {
    let server = with_sample();
    let put =
        Request::new("PUT", "/alice/hello/pages/new%20one.md").bearer(TOKEN).header("Content-Type", "text/markdown");
    server.send(put.body("# New\n")).expect(201);
    let first = export(&server, "/alice/hello", &[]).expect(200);
    assert_eq!(first.header("Content-Type"), Some(BAR));
    assert_eq!(first.header("Content-Length"), Some(first.body.len().to_string().as_str()));
    assert_eq!(export(&server, "/alice/hello", &[]).expect(200).body, first.body);
    server.admin("MKCOL", "/bob").expect(201);
    install(&server, "/bob/hello", &first.body).expect(202);
    assert_eq!(ended(&server, "/bob/hello")["status"], "ready");
    let second = export(&server, "/bob/hello", &[]).expect(200);
    let files = |bar: &[u8]| -> Vec<(String, Vec<u8>)> {
        contents(bar).into_iter().filter(|(name, _)| name != "00_meta/90_rootprops.xml").collect()
    };
    assert_eq!(files(&first.body), files(&second.body));
    let kind = server.admin("GET", "/bob/hello/pages/new%20one.md").expect(200);
    assert_eq!(kind.header("Content-Type"), Some("text/markdown"));
}

#[test]
fn a_broken_download_goes_on_after_the_box_has_changed() {
    let server = with_sample();
    let whole = export(&server, "/alice/hello", &[]).expect(200);
    let etag = whole.header("ETag").expect("a tag").to_owned();
    let half = whole.body.len() / 2;
    for (path, content) in [("pages/index.html", "other"), ("added", "new")] {
        let put = Request::new("PUT", &format!("/alice/hello/{path}")).bearer(TOKEN).body(content);
        assert!(server.send(put).status < 300);
    }
    server.admin("DELETE", "/alice/hello/service").expect(204);
    let range = format!("bytes={half}-");
    for condition in ["If-Range", "If-Match"] {
        let rest = export(&server, "/alice/hello", &[("Range", &range), (condition, &etag)]).expect(206);
        assert_eq!(rest.header("ETag"), Some(etag.as_str()), "{condition}");
        assert_eq!([&whole.body[..half], &rest.body].concat(), whole.body, "{condition}");
    }
    let now = export(&server, "/alice/hello", &[("If-None-Match", &etag)]).expect(200);
    assert_ne!(now.header("ETag"), Some(etag.as_str()));
    let unchanged = now.header("ETag").expect("a tag").to_owned();
    export(&server, "/alice/hello", &[("If-None-Match", &unchanged)]).expect(304);
    export(&server, "/alice/hello", &[("Range", &range), ("If-Match", "\"never-was\"")]).expect(412);
}

#[test]
fn other_programs_read_the_export() {
    let server = with_sample();
    let dir = tempfile::tempdir().expect("a directory");
    let bar = dir.path().join("hello.zip");
    std::fs::write(&bar, export(&server, "/alice/hello", &[]).expect(200).body).expect("written");
    crate::harness::other_programs_read(&bar);
}

#[test]
fn a_failed_installation_says_why_and_can_be_deleted() {
    let server = Server::start();
    server.admin("MKCOL", "/alice").expect(201);
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in [
        ("00_meta/00_manifest.json", r#"{"bar_version":"2","schema":null}"#),
        ("00_meta/20_roles.json", r#"{"Roles":[{"Name":"kept"}]}"#),
        ("00_meta/90_rootprops.xml", "<multistatus"),
    ] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).expect("a member");
        std::io::Write::write_all(&mut zip, text.as_bytes()).expect("written");
    }
    install(&server, "/alice/b", &zip.finish().expect("an archive").into_inner()).expect(202);
    let about = ended(&server, "/alice/b");
    assert_eq!(about["status"], "installation failed");
    assert_eq!(about["message"]["code"], "PL-BI-1004");
    server.admin("GET", "/alice/__ctl/Role(Name='kept',_Box.Name='b')").expect(200);
    let log = server.admin("GET", "/alice/__log/current/default.log").expect(200);
    assert!(log.text().lines().last().expect("a line").contains("PL-BI-0001"), "{}", log.text());
    server.admin("DELETE", "/alice/b").expect(412);
    let delete = Request::new("DELETE", "/alice/b").bearer(TOKEN).header("X-Personium-Recursive", "true");
    server.send(delete).expect(204);
    install(&server, "/alice/b", &sample()).expect(202);
    assert_eq!(ended(&server, "/alice/b")["status"], "ready");
}

#[test]
fn a_cell_keeps_its_name_while_a_box_is_installed() {
    let server = Server::start();
    server.admin("MKCOL", "/alice").expect(201);
    server.admin("MKCOL", "/alice/heavy").expect(201);
    let mut met = false;
    for round in 0..5 {
        for n in 0..8 {
            let put = Request::new("PUT", &format!("/alice/heavy/{round}-{n}")).bearer(TOKEN);
            server.send(put.body(vec![b'x'; 2 << 20])).expect(201);
        }
        let bar = export(&server, "/alice/heavy", &[]).expect(200).body;
        let target = format!("/alice/copy{round}");
        install(&server, &target, &bar).expect(202);
        let merge = Request::new("MERGE", "/__ctl/Cell('alice')").bearer(TOKEN).body(r#"{"Name":"bob"}"#);
        let renamed = server.send(merge);
        if renamed.status == 204 {
            let back = Request::new("MERGE", "/__ctl/Cell('bob')").bearer(TOKEN).body(r#"{"Name":"alice"}"#);
            server.send(back).expect(204);
        } else {
            assert_eq!(renamed.problem(), "409 PR409-CM-0002");
            met = true;
        }
        assert_eq!(ended(&server, &target)["status"], "ready");
        if met {
            return;
        }
    }
    panic!("no installation lasts long enough to be met");
}
