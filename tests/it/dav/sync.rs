//! REPORT `sync-collection` (RFC 6578): what changed since a token, what is gone, and pages of it.

use std::collections::BTreeSet;

use cellar::base::xml::{DAV, Element, Limits, parse};
use cellar::storage::writer::{Change, Context};

use super::{Drive, multistatus, on};
use crate::client::Reply;

const INFINITE: &str = "infinite";

/// What a sync told, as paths below the collection.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    changed: BTreeSet<String>,
    gone: BTreeSet<String>,
    /// There is more behind the token.
    cut: bool,
    token: String,
}

impl Told {
    fn is(&self, changed: &[&str], gone: &[&str]) -> bool {
        let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
        self.changed == set(changed) && self.gone == set(gone) && !self.cut
    }
}

fn body(token: &str, level: &str, rest: &str) -> String {
    format!(
        "<D:sync-collection xmlns:D=\"DAV:\"><D:sync-token>{token}</D:sync-token><D:sync-level>{level}</D:sync-level>{rest}\
         <D:prop><D:getetag/><D:nothing/></D:prop></D:sync-collection>"
    )
}

fn ask(drive: &Drive, path: &str, token: &str, level: &str, rest: &str) -> Reply {
    let request = on("REPORT", path).header("Depth", "0").header("Content-Type", "application/xml");
    drive.send(request.body(body(token, level, rest)))
}

fn told(drive: &Drive, path: &str, reply: Reply) -> Told {
    let reply = reply.expect(207);
    let root = parse(&reply.body, Limits::of(100 << 20)).expect("XML");
    let mut told = Told { token: root.child(DAV, "sync-token").expect("a token").text(), ..Told::default() };
    for response in root.children_named(DAV, "response") {
        let href = response.child(DAV, "href").expect("a href").text();
        let status = response.child(DAV, "status").map(Element::text).unwrap_or_default();
        let name = href.strip_prefix(&drive.url(path)).expect("a member").trim_start_matches('/').to_owned();
        if status.contains("507") {
            assert!(name.is_empty(), "{href}");
            told.cut = true;
        } else if status.contains("404") {
            assert!(told.gone.insert(name), "{href} twice");
        } else {
            assert!(told.changed.insert(name), "{href} twice");
        }
    }
    told
}

fn sync(drive: &Drive, path: &str, token: &str, level: &str) -> Told {
    told(drive, path, ask(drive, path, token, level, ""))
}

/// A box with the files `a` and `d/in` and the collection `d`.
fn drive() -> Drive {
    let drive = Drive::new();
    drive.put("b/a", "1").expect(201);
    drive.mkcol("b/d").expect(201);
    drive.put("b/d/in", "1").expect(201);
    drive
}

#[test]
fn members_that_changed_came_or_went_are_told() {
    let drive = drive();
    let first = sync(&drive, "b", "", "1");
    assert!(first.is(&["a", "d"], &[]), "{first:?}");
    let none = sync(&drive, "b", &first.token, "1");
    assert!(none.is(&[], &[]), "{none:?}");
    drive.put("b/a", "2").expect(204);
    drive.put("b/new", "1").expect(201);
    drive.put("b/d/deep", "1").expect(201);
    let next = sync(&drive, "b", &none.token, "1");
    assert!(next.is(&["a", "new"], &[]), "{next:?}");
    drive.delete("b/a").expect(204);
    drive.moves("b/new", "b/renamed").expect(201);
    drive.proppatch("b/d", "<D:set><D:prop><x:p>1</x:p></D:prop></D:set>").expect(207);
    let last = sync(&drive, "b", &next.token, "1");
    assert!(last.is(&["renamed", "d"], &["a", "new"]), "{last:?}");
    let all = sync(&drive, "b", &first.token, "1");
    assert!(all.is(&["renamed", "d"], &["a", "new"]), "{all:?}");
    drive.put("b/a", "again").expect(201);
    let again = sync(&drive, "b", &first.token, "1");
    assert!(again.is(&["a", "renamed", "d"], &["new"]), "{again:?}");
}

#[test]
fn an_access_list_is_a_change() {
    let drive = drive();
    let first = sync(&drive, "b", "", "1");
    drive.xml("ACL", "b/a", "<D:acl xmlns:D=\"DAV:\"><D:ace><D:principal><D:all/></D:principal><D:grant><D:privilege><D:read/></D:privilege></D:grant></D:ace></D:acl>").expect(200);
    let next = sync(&drive, "b", &first.token, "1");
    assert!(next.is(&["a"], &[]), "{next:?}");
}

#[test]
fn a_tree_is_told_with_what_is_below() {
    let drive = drive();
    let first = sync(&drive, "b", "", INFINITE);
    assert!(first.is(&["a", "d", "d/in"], &[]), "{first:?}");
    drive.put("b/d/new", "1").expect(201);
    drive.delete("b/d/in").expect(204);
    let next = sync(&drive, "b", &first.token, INFINITE);
    assert!(next.is(&["d/new"], &["d/in"]), "{next:?}");
    drive.moves("b/d", "b/e").expect(201);
    let moved = sync(&drive, "b", &next.token, INFINITE);
    assert!(moved.is(&["e", "e/new"], &["d"]), "{moved:?}");
    drive.delete("b/e").expect(204);
    let gone = sync(&drive, "b", &moved.token, INFINITE);
    assert!(gone.is(&[], &["e"]), "{gone:?}");
}

#[test]
fn a_tree_that_comes_from_outside_is_told_whole() {
    let drive = drive();
    drive.mkcol("other/t").expect(201);
    drive.mkcol("other/t/s").expect(201);
    drive.put("other/t/s/f", "old").expect(201);
    let first = sync(&drive, "b", "", INFINITE);
    let there = sync(&drive, "other", "", INFINITE);
    drive.moves("other/t", "b/d/t").expect(201);
    drive.copies("b/d", "b/copy").expect(201);
    let next = sync(&drive, "b", &first.token, INFINITE);
    let copied = ["copy", "copy/in", "copy/t", "copy/t/s", "copy/t/s/f"];
    assert!(next.is(&[&["d/t", "d/t/s", "d/t/s/f"], &copied[..]].concat(), &[]), "{next:?}");
    let left = sync(&drive, "other", &there.token, INFINITE);
    assert!(left.is(&[], &["t"]), "{left:?}");
    let members = sync(&drive, "b", &first.token, "1");
    assert!(members.is(&["copy"], &[]), "{members:?}");
}

#[test]
fn a_replaced_collection_refuses_the_tokens_of_its_tree() {
    let drive = drive();
    let first = sync(&drive, "b", "", INFINITE);
    drive.delete("b/d").expect(204);
    drive.mkcol("b/d").expect(201);
    assert_refused(&ask(&drive, "b", &first.token, INFINITE, ""), "valid-sync-token");
    let members = sync(&drive, "b", &first.token, "1");
    assert!(members.is(&["d"], &[]), "{members:?}");
    let anew = sync(&drive, "b", "", INFINITE);
    assert!(anew.is(&["a", "d"], &[]), "{anew:?}");
    assert!(sync(&drive, "b", &anew.token, INFINITE).is(&[], &[]));
}

#[test]
fn pages_tell_all_whatever_happens_between_them() {
    let drive = drive();
    for n in 0..5 {
        drive.put(&format!("b/d/{n}"), "1").expect(201);
    }
    let page = |token: &str, n: usize| {
        let limit = format!("<D:limit><D:nresults>{n}</D:nresults></D:limit>");
        told(&drive, "b", ask(&drive, "b", token, INFINITE, &limit))
    };
    let first = page("", 3);
    assert_eq!((first.changed.len(), first.cut), (3, true), "{first:?}");
    drive.put("b/a", "changed").expect(204);
    drive.delete("b/d/in").expect(204);
    drive.delete("b/d/4").expect(204);
    let mut known = first.changed.clone();
    let mut token = first.token;
    for _ in 0..10 {
        let next = page(&token, 2);
        known.extend(next.changed);
        known.retain(|name| !next.gone.contains(name));
        token = next.token;
        if !next.cut {
            break;
        }
    }
    let all = sync(&drive, "b", "", INFINITE);
    assert_eq!(known, all.changed);
    assert!(sync(&drive, "b", &token, INFINITE).is(&[], &[]));
}

#[test]
fn what_is_done_by_hand_is_told() {
    let drive = drive();
    let first = sync(&drive, "b", "", INFINITE);
    std::fs::write(drive.on_disk("d/hand"), "x").expect("a file");
    std::fs::create_dir_all(drive.on_disk("d/h/i")).expect("directories");
    std::fs::write(drive.on_disk("d/h/i/f"), "x").expect("a file");
    std::fs::remove_file(drive.on_disk("d/in")).expect("removed");
    let next = sync(&drive, "b", &first.token, INFINITE);
    assert!(next.is(&["d/hand", "d/h", "d/h/i", "d/h/i/f"], &["d/in"]), "{next:?}");
}

#[test]
fn properties_are_those_that_were_asked_for() {
    let drive = drive();
    let listed = multistatus(&ask(&drive, "b", "", "1", "").expect(207));
    let statuses = [("getetag".to_owned(), 200), ("nothing".to_owned(), 404)];
    assert_eq!(listed[0].statuses(), statuses);
    let etag = drive.get("b/a").header("etag").map(str::to_owned);
    assert_eq!(listed[0].text("getetag"), etag);
}

#[test]
fn a_long_answer_is_streamed_whole() {
    let drive = Drive::new();
    for n in 0..1500 {
        std::fs::write(drive.on_disk(&format!("{n}-{}", "x".repeat(150))), "").expect("a file");
    }
    let reply = ask(&drive, "b", "", INFINITE, "");
    assert!(reply.header("content-length").is_none());
    assert_eq!(told(&drive, "b", reply).changed.len(), 1500);
}

#[test]
fn a_collection_says_its_token_and_its_reports() {
    let drive = drive();
    let ask = |path: &str| {
        let body =
            "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:sync-token/><D:supported-report-set/></D:prop></D:propfind>";
        let request = on("PROPFIND", path).header("Depth", "0").body(body);
        multistatus(&drive.send(request).expect(207)).remove(0)
    };
    let collection = ask("b/d");
    let token = collection.text("sync-token").expect("a token");
    assert_eq!(token, sync(&drive, "b/d", "", "1").token);
    let (status, reports) = collection.find(DAV, "supported-report-set").expect("reports");
    assert!(*status == 200 && reports.to_xml().contains("sync-collection"), "{reports:?}");
    let file = ask("b/a");
    assert_eq!(file.statuses(), [("supported-report-set".to_owned(), 200), ("sync-token".to_owned(), 404)]);
    assert!(drive.propfind("b/d", "0")[0].find(DAV, "sync-token").is_none());
    assert!(drive.send(on("OPTIONS", "b/d")).header("allow").is_some_and(|a| a.contains("REPORT")));
}

#[track_caller]
fn assert_refused(reply: &Reply, condition: &str) {
    assert_eq!(reply.status, 403, "{reply:?}");
    let error = parse(&reply.body, Limits::of(1 << 20)).expect("XML");
    assert!(error.is(DAV, "error") && error.child(DAV, condition).is_some(), "{}", reply.text());
}

#[test]
fn tokens_of_others_are_refused() {
    let drive = drive();
    let token = sync(&drive, "b", "", "1").token;
    let of_d = sync(&drive, "b/d", "", "1").token;
    let (begin, seq) = token.rsplit_once(':').expect("a sequence");
    let future = format!("{begin}:{}", seq.parse::<i64>().expect("a number") + 1000);
    for bad in ["urn:x:never", "x", &of_d, &future, &format!("{token}:1"), &format!("{begin}:-1")] {
        assert_refused(&ask(&drive, "b", bad, "1", ""), "valid-sync-token");
    }
    drive.mkcol("b/d2").expect(201);
    assert!(sync(&drive, "b", &token, "1").is(&["d2"], &[]));
}

#[test]
fn other_reports_and_bad_requests_are_refused() {
    let drive = drive();
    let report = |path: &str, body: &str| drive.xml("REPORT", path, body);
    assert_refused(&report("b", "<D:expand-property xmlns:D=\"DAV:\"/>"), "supported-report");
    assert_refused(&report("b/a", &body("", "1", "")), "supported-report");
    assert_eq!(report("b/none", &body("", "1", "")).problem(), "404 PR404-DV-0001");
    assert_eq!(report("b", "").problem(), "400 PR400-DV-0001");
    assert_eq!(report("b", &body("", "2", "")).problem(), "400 PR400-DV-0002");
    let none = "<D:limit><D:nresults>0</D:nresults></D:limit>";
    assert_eq!(report("b", &body("", "1", none)).problem(), "400 PR400-DV-0002");
    assert_eq!(report("b", "<D:sync-collection xmlns:D=\"DAV:\"/>").problem(), "400 PR400-DV-0002");
    let deep = on("REPORT", "b").header("Depth", "1").body(body("", "1", ""));
    assert_eq!(drive.send(deep).problem(), "400 PR400-DV-0003");
}

#[test]
fn a_token_from_before_what_is_remembered_is_refused() {
    let drive = drive();
    let first = sync(&drive, "b", "", "1");
    drive.delete("b/a").expect(204);
    let graves = |drive: &Drive| {
        let mut count = 0;
        drive.tool(|unit| {
            let cell = unit.cell("c").expect("the cell");
            let read = cell.read(|view| {
                Ok(view
                    .conn()
                    .query_row("SELECT count(*) FROM tombstone", [], |row| row.get::<_, i64>(0))
                    .expect("a number"))
            });
            count = read.expect("read");
        });
        count
    };
    // Many other changes of the cell.
    let age = |changes: usize| {
        drive.tool(|unit| {
            let pass = Change(move |ctx: &Context<'_>| {
                for _ in 0..changes {
                    ctx.tx.next_seq();
                }
                Ok(())
            });
            unit.cell("c").expect("the cell").change(pass).expect("changed");
        });
    };
    age(900_000);
    let told = sync(&drive, "b", &first.token, "1");
    assert!(told.is(&[], &["a"]), "{told:?}");
    age(200_000);
    let reply = ask(&drive, "b", &first.token, "1", "").expect(403);
    assert!(reply.text().contains("<D:valid-sync-token>"), "{}", reply.text());
    let later = sync(&drive, "b", &told.token, "1");
    assert!(later.is(&[], &[]), "{later:?}");
    // What nobody can ask for any more goes.
    assert_eq!(graves(&drive), 1);
    drive.delete("b/d").expect(204);
    assert_eq!(graves(&drive), 1);
    let last = sync(&drive, "b", &later.token, "1");
    assert!(last.is(&[], &["d"]), "{last:?}");
}
