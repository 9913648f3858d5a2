//! Write locks: what they keep out, who may pass, and what becomes of them.

use cellar::base::xml::{DAV, Element, Limits, parse};

use super::{Drive, multistatus, on};
use crate::client::{Reply, Request};
use crate::harness::{Server, TOKEN};

fn info(scope: &str) -> String {
    format!(
        "<D:lockinfo xmlns:D=\"DAV:\"><D:lockscope><D:{scope}/></D:lockscope><D:locktype><D:write/></D:locktype>\
         <D:owner><D:href>mailto:me</D:href> &amp; <x:more xmlns:x=\"urn:x\"/></D:owner></D:lockinfo>"
    )
}

fn lock_request(path: &str, scope: &str, depth: &str) -> Request {
    on("LOCK", path).header("Depth", depth).header("Timeout", "Infinite, Second-600").body(info(scope))
}

impl Drive {
    /// Locks exclusively; the token in its angle brackets.
    fn lock(&self, path: &str, depth: &str) -> String {
        let reply = self.send(lock_request(path, "exclusive", depth));
        assert!(matches!(reply.status, 200 | 201), "{reply:?}");
        reply.header("lock-token").expect("a token").to_owned()
    }

    fn unlock(&self, path: &str, token: &str) -> Reply {
        self.send(on("UNLOCK", path).header("Lock-Token", token))
    }

    fn put_if(&self, path: &str, condition: &str) -> Reply {
        self.send(on("PUT", path).header("If", condition).body("mine"))
    }

    /// `f` is a file, `col` holds `m` and `sub`, and that holds `deep`.
    fn with_tree() -> Self {
        let drive = Self::new();
        drive.put("b/f", "F").expect(201);
        for path in ["b/col", "b/col/sub"] {
            drive.mkcol(path).expect(201);
        }
        drive.put("b/col/m", "M").expect(201);
        drive.put("b/col/sub/deep", "D").expect(201);
        drive
    }
}

/// Checks the refusal of a locked resource: its status, its condition with the roots of the locks, and its code.
#[track_caller]
fn assert_locked(drive: &Drive, reply: &Reply, condition: &str, roots: &[&str]) {
    assert_eq!(reply.status, 423, "{reply:?}");
    let error = parse(&reply.body, Limits::of(100_000)).expect("XML");
    assert!(error.is(DAV, "error"));
    let condition = error.child(DAV, condition).unwrap_or_else(|| panic!("{condition} in {}", reply.text()));
    let hrefs: Vec<String> = condition.children_named(DAV, "href").map(Element::text).collect();
    assert_eq!(hrefs, roots.iter().map(|r| drive.url(r)).collect::<Vec<_>>());
    assert_eq!(error.child("urn:x-personium:xmlns", "code").expect("a code").text(), "PR423-DV-0001");
}

/// Checks a 207 that blames members of a tree.
#[track_caller]
fn assert_members(drive: &Drive, reply: &Reply, expected: &[(&str, &str)]) {
    assert_eq!(reply.status, 207, "{reply:?}");
    let root = parse(&reply.body, Limits::of(100_000)).expect("XML");
    let listed = root
        .children_named(DAV, "response")
        .map(|r| (r.child(DAV, "href").expect("a href").text(), r.child(DAV, "status").expect("a status").text()));
    let expected = expected.iter().map(|(path, status)| (drive.url(path), format!("HTTP/1.1 {status}")));
    assert_eq!(listed.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

#[test]
fn put_over_locked_file_is_423() {
    let drive = Drive::with_tree();
    let token = drive.lock("b/f", "0");
    assert_locked(&drive, &drive.put("b/f", "x"), "lock-token-submitted", &["b/f"]);
    let large = vec![b'x'; 300_000];
    assert_locked(&drive, &drive.put("b/f", large), "lock-token-submitted", &["b/f"]);
    let json = drive.send(on("PUT", "b/f").header("Accept", "application/json").body("x"));
    assert_eq!(json.problem(), "423 PR423-DV-0001");
    assert_eq!(drive.text("b/f"), "F");
    drive.put_if("b/f", &format!("({token})")).expect(204);
    assert_eq!(drive.text("b/f"), "mine");
    drive.unlock("b/f", &token).expect(204);
    drive.put("b/f", "free").expect(204);
}

#[test]
fn every_change_of_a_locked_file_is_423() {
    let drive = Drive::with_tree();
    drive.lock("b/f", "infinity");
    let acl = "<D:acl xmlns:D=\"DAV:\"/>";
    for reply in [
        drive.delete("b/f"),
        drive.moves("b/f", "b/g"),
        drive.moves("b/col/m", "b/f"),
        drive.copies("b/col/m", "b/f"),
        drive.proppatch("b/f", "<D:set><D:prop><x:color>blue</x:color></D:prop></D:set>"),
        drive.xml("ACL", "b/f", acl),
    ] {
        assert_locked(&drive, &reply, "lock-token-submitted", &["b/f"]);
    }
    assert_eq!((drive.text("b/f"), drive.names("b")), ("F".to_owned(), vec!["col".to_owned(), "f".to_owned()]));
    drive.copies("b/f", "b/copy").expect(201);
}

#[test]
fn a_lock_is_described_in_its_answer_and_in_propfind() {
    let drive = Drive::with_tree();
    let reply = drive.send(lock_request("b/col", "exclusive", "infinity")).expect(200);
    let token = reply.header("lock-token").expect("a token").trim_matches(['<', '>']).to_owned();
    assert!(token.starts_with("urn:uuid:"), "{token}");
    let prop = parse(&reply.body, Limits::of(100_000)).expect("XML");
    assert!(prop.is(DAV, "prop"));
    let answered = prop.child(DAV, "lockdiscovery").expect("lockdiscovery").clone();
    let listed = drive.propfind("b/col", "1");
    assert_eq!(listed.len(), 3);
    for resource in &listed {
        let found = &resource.find(DAV, "lockdiscovery").expect("it").1;
        for discovery in [&answered, found] {
            let active = discovery.child(DAV, "activelock").expect("a lock");
            let text = |local: &str| active.child(DAV, local).expect("an element").text();
            let href = |local: &str| {
                active.child(DAV, local).and_then(|e| e.child(DAV, "href")).map(Element::text).expect("a href")
            };
            assert_eq!(
                (text("depth"), href("locktoken"), href("lockroot")),
                ("infinity".to_owned(), token.clone(), drive.url("b/col"))
            );
            assert!(active.child(DAV, "lockscope").is_some_and(|s| s.child(DAV, "exclusive").is_some()));
            let owner = active.child(DAV, "owner").expect("an owner");
            assert_eq!((owner.text().trim(), owner.child("urn:x", "more").is_some()), ("&", true));
            let seconds: u64 = text("timeout").strip_prefix("Second-").and_then(|s| s.parse().ok()).expect("seconds");
            assert!((86_000..=86_400).contains(&seconds), "{seconds}");
        }
        assert_eq!(resource.find(DAV, "supportedlock").expect("it").1.elements().count(), 2);
    }
    assert!(drive.propfind("b/f", "0")[0].find(DAV, "lockdiscovery").expect("it").1.children.is_empty());
    let ask = "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:lockdiscovery/></D:prop></D:propfind>";
    let named = drive.send(on("PROPFIND", "b/col/sub/deep").header("Depth", "0").body(ask)).expect(207);
    assert!(named.text().contains(&token), "{}", named.text());
    assert_eq!(multistatus(&named).len(), 1);
}

#[test]
fn lock_on_a_free_name_is_201_and_empty() {
    let drive = Drive::with_tree();
    let reply = drive.send(lock_request("b/new.txt", "exclusive", "infinity")).expect(201);
    let token = reply.header("lock-token").expect("a token").to_owned();
    let got = drive.get("b/new.txt").expect(200);
    assert_eq!(
        (got.text(), got.header("content-type"), got.header("etag")),
        ("", Some("text/plain"), reply.header("etag"))
    );
    assert!(drive.on_disk("new.txt").exists());
    assert_locked(&drive, &drive.put("b/new.txt", "x"), "lock-token-submitted", &["b/new.txt"]);
    assert_eq!(drive.mkcol("b/new.txt").status, 405);
    drive.put_if("b/new.txt", &format!("({token})")).expect(204);
    drive.unlock("b/new.txt", &token).expect(204);
    assert_eq!(drive.text("b/new.txt"), "mine");
    assert_eq!(drive.send(lock_request("b/no/x", "exclusive", "0")).problem(), "409 PR409-DV-0001");
    assert_eq!(drive.send(lock_request("b/q%3Aq", "exclusive", "0")).problem(), "403 PR403-DV-0004");
    assert_eq!(drive.names("b"), ["col", "f", "new.txt"]);
}

#[test]
fn locks_survive_a_restart() {
    let mut drive = Drive::with_tree();
    let token = drive.lock("b/col", "infinity");
    let folder = tempfile::tempdir().expect("a directory");
    let root = folder.path().join("unit");
    assert!(drive.server.stop().success());
    std::fs::rename(drive.server.root(), &root).expect("moved");
    drive.server = Server::at(&root, &[]);
    assert_locked(&drive, &drive.put("b/col/m", "x"), "lock-token-submitted", &["b/col"]);
    drive.put_if("b/col/m", &format!("({token})")).expect(204);
    drive.unlock("b/col/sub/deep", &token).expect(204);
    drive.put("b/col/m", "free").expect(204);
}

#[test]
fn an_expired_lock_is_as_good_as_none() {
    let drive = Drive::with_tree();
    let reply = drive.send(on("LOCK", "b/f").header("Timeout", "Second-1").body(info("exclusive"))).expect(200);
    let token = reply.header("lock-token").expect("a token").to_owned();
    assert_eq!(drive.put("b/f", "x").status, 423);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while drive.put("b/f", "x").status == 423 {
        assert!(std::time::Instant::now() < end, "the lock does not end");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(drive.propfind("b/f", "0")[0].find(DAV, "lockdiscovery").expect("it").1.children.is_empty());
    drive.unlock("b/f", &token).expect(409);
    drive.put_if("b/f", &format!("({token})")).expect(412);
    drive.lock("b/f", "0");
}

#[test]
fn unlock_by_another_token_is_409() {
    let drive = Drive::with_tree();
    let token = drive.lock("b/f", "0");
    let other = drive.lock("b/col", "infinity");
    for wrong in [other.as_str(), "<urn:uuid:181d4fae-7d8c-11d0-a765-00a0c91e6bf2>"] {
        let reply = drive.unlock("b/f", wrong).expect(409);
        assert!(reply.text().contains("<D:lock-token-matches-request-uri>"), "{}", reply.text());
    }
    assert_eq!(drive.unlock("b/f", "urn:x").problem(), "400 PR400-DV-0009");
    assert_eq!(drive.send(on("UNLOCK", "b/f")).problem(), "400 PR400-DV-0010");
    assert_eq!(drive.unlock("b/none", &token).problem(), "404 PR404-DV-0001");
    drive.unlock("b/f", &token).expect(204);
    drive.unlock("b/f", &token).expect(409);
}

#[test]
fn refresh_prolongs_the_lock_whose_token_is_submitted() {
    let drive = Drive::with_tree();
    let token = drive.lock("b/col", "infinity");
    let refresh = |path: &str, token: &str| {
        drive.send(on("LOCK", path).header("If", format!("({token})")).header("Timeout", "Second-120"))
    };
    let reply = refresh("b/col", &token).expect(200);
    assert!(reply.header("lock-token").is_none());
    assert!(reply.text().contains("Second-120<"), "{}", reply.text());
    assert!(reply.text().contains("mailto:me"));
    refresh("b/col/sub/deep", &token).expect(200);
    let elsewhere = refresh("b/f", &token).expect(412);
    assert!(elsewhere.text().contains("lock-token-matches-request-uri"), "{}", elsewhere.text());
    refresh("b/col", "<urn:uuid:181d4fae-7d8c-11d0-a765-00a0c91e6bf2>").expect(412);
    assert_eq!(drive.send(on("LOCK", "b/col")).problem(), "400 PR400-DV-0010");
}

#[test]
fn shared_locks_coexist() {
    let drive = Drive::with_tree();
    let first = drive.send(lock_request("b/f", "shared", "0")).expect(200);
    let second = drive.send(lock_request("b/f", "shared", "0")).expect(200);
    let token = |reply: &Reply| reply.header("lock-token").expect("a token").to_owned();
    let (first, second) = (token(&first), token(&second));
    assert_ne!(first, second);
    let exclusive = drive.send(lock_request("b/f", "exclusive", "0"));
    assert_locked(&drive, &exclusive, "no-conflicting-lock", &["b/f"]);
    assert_eq!(drive.put("b/f", "x").status, 423);
    drive.put_if("b/f", &format!("({second})")).expect(204);
    drive.unlock("b/f", &first).expect(204);
    assert_eq!(drive.put("b/f", "x").status, 423);
    drive.unlock("b/f", &second).expect(204);
    drive.put("b/f", "x").expect(204);
}

#[test]
fn an_exclusive_lock_stands_alone() {
    let drive = Drive::with_tree();
    drive.lock("b/col", "infinity");
    for scope in ["exclusive", "shared"] {
        for path in ["b/col", "b/col/sub/deep", "b/col/free"] {
            let reply = drive.send(lock_request(path, scope, "0"));
            assert_locked(&drive, &reply, "no-conflicting-lock", &["b/col"]);
        }
    }
    drive.get("b/col/free").expect(404);
}

#[test]
fn lock_of_a_tree_with_a_locked_member_is_207() {
    let drive = Drive::with_tree();
    drive.lock("b/col/sub/deep", "0");
    let reply = drive.send(lock_request("b/col", "exclusive", "infinity"));
    let expected = [("b/col/sub/deep", "423 Locked"), ("b/col", "424 Failed Dependency")];
    assert_members(&drive, &reply, &expected);
    assert!(reply.text().contains("<D:no-conflicting-lock/>") && reply.header("lock-token").is_none());
    drive.put("b/col/m", "x").expect(204);
    drive.lock("b/col", "0");
}

#[test]
fn depth_infinity_locks_members() {
    let drive = Drive::with_tree();
    let token = drive.lock("b/col", "infinity");
    for reply in [
        drive.put("b/col/m", "x"),
        drive.put("b/col/new", "x"),
        drive.mkcol("b/col/sub/new"),
        drive.delete("b/col/sub/deep"),
        drive.moves("b/f", "b/col/f"),
        drive.moves("b/col/m", "b/m"),
        drive.copies("b/f", "b/col/f"),
        drive.delete("b/col"),
    ] {
        assert_locked(&drive, &reply, "lock-token-submitted", &["b/col"]);
    }
    let tagged = format!("<{}> ({token})", drive.url("b/col"));
    drive.put_if("b/col/new", &tagged).expect(201);
    drive.put_if("b/col/m", &format!("({token})")).expect(204);
    drive.send(on("MOVE", "b/f").header("Destination", drive.url("b/col/f")).header("If", tagged.clone())).expect(201);
    assert_locked(&drive, &drive.put("b/col/f", "x"), "lock-token-submitted", &["b/col"]);
    drive.send(on("DELETE", "b/col").header("If", tagged)).expect(204);
    drive.mkcol("b/col").expect(201);
    drive.put("b/col/m", "x").expect(201);
}

#[test]
fn depth_0_locks_the_names_of_a_collection_alone() {
    let drive = Drive::with_tree();
    let token = drive.lock("b/col", "0");
    drive.put("b/col/m", "x").expect(204);
    drive.put("b/col/sub/new", "x").expect(201);
    for reply in [
        drive.put("b/col/new", "x"),
        drive.mkcol("b/col/new"),
        drive.delete("b/col/m"),
        drive.moves("b/col/m", "b/m"),
        drive.copies("b/f", "b/col/m"),
        drive.send(lock_request("b/col/new", "exclusive", "0")),
    ] {
        assert_locked(&drive, &reply, "lock-token-submitted", &["b/col"]);
    }
    let tagged = format!("<{}> ({token})", drive.url("b/col"));
    drive.send(lock_request("b/col/new", "exclusive", "0").header("If", tagged)).expect(201);
}

#[test]
fn move_of_a_tree_with_a_locked_member_is_207_and_changes_nothing() {
    let drive = Drive::with_tree();
    let token = drive.lock("b/col/sub/deep", "0");
    for reply in [
        drive.moves("b/col", "b/moved"),
        drive.moves("b/col", "other/moved"),
        drive.delete("b/col"),
        drive.moves("b/f", "b/col"),
        drive.copies("b/f", "b/col"),
    ] {
        assert_members(&drive, &reply, &[("b/col/sub/deep", "423 Locked")]);
        assert!(reply.text().contains("<D:lock-token-submitted/>") && reply.text().contains("PR423-DV-0001"));
    }
    assert_eq!(
        (drive.names("b"), drive.names("b/col")),
        (vec!["col".to_owned(), "f".to_owned()], vec!["m".to_owned(), "sub".to_owned()])
    );
    let json = drive.send(on("DELETE", "b/col").header("Accept", "application/json"));
    assert_eq!(json.problem(), "423 PR423-DV-0001");
    let tagged = format!("<{}> ({token})", drive.url("b/col/sub/deep"));
    drive.send(on("MOVE", "b/col").header("Destination", drive.url("b/moved")).header("If", tagged)).expect(201);
    drive.put("b/moved/sub/deep", "free").expect(204);
}

#[test]
fn delete_of_a_box_with_a_locked_member_is_207() {
    let drive = Drive::with_tree();
    let token = drive.lock("b/col/sub/deep", "0");
    let delete = || on("DELETE", "b").header("X-Personium-Recursive", "true");
    assert_members(&drive, &drive.send(delete()), &[("b/col/sub/deep", "423 Locked")]);
    let tagged = format!("<{}> ({token})", drive.url("b/col/sub/deep"));
    drive.send(delete().header("If", tagged)).expect(204);
}

#[test]
fn a_lock_stays_behind() {
    let drive = Drive::with_tree();
    let token = drive.lock("b/f", "0");
    drive.copies("b/f", "b/copy").expect(201);
    drive.put("b/copy", "free").expect(204);
    drive
        .send(on("MOVE", "b/f").header("Destination", drive.url("b/g")).header("If", format!("({token})")))
        .expect(201);
    drive.put("b/g", "free").expect(204);
    drive.put("b/f", "free").expect(201);
    let token = drive.lock("b/f", "0");
    drive.send(on("DELETE", "b/f").header("If", format!("({token})"))).expect(204);
    drive.put("b/f", "free").expect(201);
}

#[test]
fn a_move_to_another_cell_asks_for_the_locks_of_both() {
    let drive = Drive::with_tree();
    drive.cell("d");
    let to_d = |condition: Option<String>| {
        let request = on("MOVE", "b/col").header("Destination", format!("{}d/b/col", drive.server.url()));
        drive.send(condition.into_iter().fold(request, |request, value| request.header("If", value)))
    };
    let source = drive.lock("b/col/m", "0");
    assert_members(&drive, &to_d(None), &[("b/col/m", "423 Locked")]);
    let target = Request::new("LOCK", "/d/b").bearer(TOKEN).header("Depth", "0").body(info("exclusive"));
    let target = drive.send(target).expect(200).header("lock-token").expect("a token").to_owned();
    let tagged = format!("<{}> ({source})", drive.url("b/col/m"));
    let refused = to_d(Some(tagged.clone())).expect(423);
    assert!(refused.text().contains(&format!("<D:href>{}d/b</D:href>", drive.server.url())), "{}", refused.text());
    drive.put("b/col/sub/deep", "still here").expect(204);
    to_d(Some(format!("{tagged} <{}d/b> ({target})", drive.server.url()))).expect(201);
    drive.get("b/col").expect(404);
}

#[test]
fn a_condition_that_does_not_hold_is_412() {
    let drive = Drive::with_tree();
    let token = drive.lock("b/f", "0");
    let tag = |path: &str| drive.get(path).header("etag").expect("a tag").to_owned();
    let (mine, other) = (tag("b/f"), tag("b/col/m"));
    let (f, m) = (drive.url("b/f"), drive.url("b/col/m"));
    for (condition, status) in [
        (format!("({token} [\"0-0\"])"), 412),
        (format!("(Not {token})"), 412),
        ("(<DAV:no-lock>)".to_owned(), 412),
        ("(Not <DAV:no-lock>)".to_owned(), 423),
        (format!("([{mine}])"), 423),
        (format!("<{m}> ({token})"), 412),
        (format!("<{f}> ({token} [{other}])"), 412),
        ("<http://elsewhere.example/x> (Not <DAV:no-lock>)".to_owned(), 423),
        ("<http://elsewhere.example/x> ([\"x\"])".to_owned(), 412),
    ] {
        assert_eq!(drive.put_if("b/f", &condition).status, status, "{condition}");
    }
    drive.put_if("b/f", &format!("({token} [W/{mine}] Not <DAV:no-lock>)")).expect(204);
    drive.put_if("b/f", &format!("(<DAV:no-lock>) (Not {token}) <{m}> ([{other}])")).expect(204);
    drive.put_if("b/f", &format!("</c/b/col/m> ([\"x\"]) </c/b/f> ({token} [{}])", tag("b/f"))).expect(204);
    assert_eq!(drive.put_if("b/f", "nonsense").problem(), "400 PR400-DV-0009");
    assert_eq!(drive.put_if("b/col/m", "(<DAV:no-lock>)").problem(), "412 PR412-MC-0001");
    for request in [
        on("DELETE", "b/col"),
        on("MKCOL", "b/x"),
        on("MOVE", "b/col").header("Destination", drive.url("b/x")),
        on("COPY", "b/col").header("Destination", drive.url("b/x")),
        on("ACL", "b/col").body("<D:acl xmlns:D=\"DAV:\"/>"),
        lock_request("b/col", "exclusive", "0"),
    ] {
        let reply = drive.send(request.header("If", "([\"0-0\"])"));
        assert_eq!(reply.problem(), "412 PR412-MC-0001");
    }
    assert_eq!(drive.names("b"), ["col", "f"]);
}

#[test]
fn a_condition_that_does_not_hold_stops_reading_too() {
    let drive = Drive::with_tree();
    let tag = drive.get("b/f").expect(200).header("etag").expect("a tag").to_owned();
    let token = drive.lock("b/f", "0");
    for method in ["GET", "HEAD", "PROPFIND"] {
        // Twice, so that what is remembered of the first answer would show.
        for _ in 0..2 {
            let with = |condition: &str| drive.send(on(method, "b/f").header("Depth", "0").header("If", condition));
            let read = if method == "PROPFIND" { 207 } else { 200 };
            with(&format!("({token} [{tag}])")).expect(read);
            with("(Not <DAV:no-lock>)").expect(read);
            with("([\"other\"])").expect(412);
            with("(<urn:x:never>)").expect(412);
            with("([").expect(400);
        }
    }
    drive.send(on("GET", "b/none").header("If", "(<urn:x:never>)")).expect(404);
}

#[test]
fn bodies_and_headers_that_are_no_lock_are_refused() {
    let drive = Drive::with_tree();
    let lock = |body: &str| drive.send(on("LOCK", "b/f").body(body));
    assert_eq!(lock("<x").problem(), "400 PR400-DV-0001");
    assert_eq!(lock("<D:propfind xmlns:D=\"DAV:\"/>").problem(), "400 PR400-DV-0001");
    assert_eq!(lock("<D:lockinfo xmlns:D=\"DAV:\"/>").problem(), "400 PR400-DV-0002");
    assert_eq!(drive.send(lock_request("b/col", "exclusive", "1")).problem(), "400 PR400-DV-0003");
    drive.put("b/f", "free").expect(204);
}
