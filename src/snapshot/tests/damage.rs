//! Files that must not be taken: the cell stays as it was, whatever is wrong with them.

use super::*;

/// A file, changed in some way, is refused with a code, and nothing changes.
fn refused(what: &str, code: &str, change: impl FnOnce(&mut Vec<(String, Vec<u8>)>)) {
    let w = World::new();
    w.fill();
    let mut all = entries(&w.export("a"));
    change(&mut all);
    let before = w.portrait();
    assert_eq!(w.import(&archive(&all)), Err(code.to_owned()), "{what}");
    assert_eq!(w.portrait(), before, "{what}");
    w.put("box1", "alive", "a/b", b"the cell takes writes");
    w.begin_import("a").expect("begun");
    assert_eq!(w.wait(TransferKind::Import), Status::Ready, "{what}: the next import counts");
    assert_eq!(w.portrait(), before, "{what}");
}

fn entry<'a>(all: &'a mut [(String, Vec<u8>)], end: &str) -> &'a mut Vec<u8> {
    &mut all.iter_mut().find(|(name, _)| name.ends_with(end)).expect("an entry").1
}

#[test]
fn content_that_does_not_have_its_checksum() {
    refused("a file", "PR400-MC-0009", |all| *entry(all, "a.txt/content") = b"hello again, second versiom".to_vec());
    refused("metadata", "PR400-MC-0009", |all| entry(all, "docs/.pmeta").push(b' '));
    refused("a log", "PR400-MC-0009", |all| entry(all, "default.log").push(b'x'));
    refused("what we added", "PR400-MC-0009", |all| entry(all, "objects.jsonl").clear());
}

#[test]
fn entries_that_are_missing_or_too_many() {
    let drop = |all: &mut Vec<(String, Vec<u8>)>, end: &str| all.retain(|(name, _)| !name.ends_with(end));
    refused("content", "PR400-MC-0001", |all| drop(all, "a.txt/content"));
    refused("metadata", "PR400-MC-0001", |all| drop(all, "docs/.pmeta"));
    refused("a list", "PR400-MC-0001", |all| drop(all, "21_rule.pjson"));
    refused("the cell", "PR400-MC-0001", |all| drop(all, "00_cell.json"));
    refused("the manifest", "PR400-MC-0001", |all| drop(all, "00_manifest.json"));
    refused("the list of entries", "PR400-MC-0001", |all| drop(all, "entries.jsonl"));
    refused("one more file", "PR400-MC-0009", |all| {
        all.push(("20_webdav/__/x/.pmeta".to_owned(), br#"{"t":"dav.file"}"#.to_vec()));
        all.push(("20_webdav/__/x/content".to_owned(), b"x".to_vec()));
    });
}

#[test]
fn documents_that_make_no_sense() {
    refused("a broken line", "PR400-CM-0004", |all| entry(all, "20_role.pjson").extend(b"{\"_type\":\"Role\",\n"));
    refused("a broken manifest", "PR400-CM-0004", |all| entry(all, "00_manifest.json").push(b'x'));
    refused("another version", "PR400-MC-0003", |all| {
        *entry(all, "00_manifest.json") = br#"{"export_version":3}"#.to_vec();
    });
    refused("a box twice", "PR400-MC-0009", |all| {
        let line = entry(all, "10_box.pjson").clone();
        entry(all, "10_box.pjson").extend(line);
    });
    refused("a box with the name of a path", "PR400-MC-0009", |all| {
        let list = entry(all, "10_box.pjson");
        *list = String::from_utf8_lossy(list).replace("\"box2\"", "\"../box2\"").into_bytes();
    });
    refused("a cell that is no document", "PR400-CM-0004", |all| *entry(all, "00_cell.json") = b"{x".to_vec());
    refused("an account", "PR501-MC-0002", |all| {
        let account = br#"{"_type":"Account","_id":"x","_source":{"s":{"Name":"a"}}}"#;
        entry(all, "23_sentmessage.pjson").extend(account);
    });
    refused("a link to nothing", "PR400-MC-0009", |all| {
        let list = entry(all, "20_role.pjson");
        *list = String::from_utf8_lossy(list).lines().take(1).collect::<String>().into_bytes();
    });
}

/// Changes in a file of another server, which has no checksums.
fn refused_of_another(what: &str, change: impl FnOnce(&mut Vec<(String, Vec<u8>)>)) {
    let w = World::new();
    w.fill();
    let mut all = without_own(&w.export("a"));
    change(&mut all);
    let before = w.portrait();
    w.import(&archive(&all)).expect_err(what);
    assert_eq!(w.portrait(), before, "{what}");
}

#[test]
fn trees_that_make_no_sense() {
    let add = |name: &str, content: &[u8]| {
        let (name, content) = (name.to_owned(), content.to_vec());
        move |all: &mut Vec<(String, Vec<u8>)>| all.push((name, content))
    };
    let file = br#"{"t":"dav.file"}"#;
    refused_of_another("content without metadata", add("20_webdav/__/x/content", b"x"));
    refused_of_another("a file without content", add("20_webdav/__/x/.pmeta", file));
    refused_of_another("a resource of no box", add("20_webdav/nobody/.pmeta", br#"{"t":"col.box"}"#));
    refused_of_another("an unknown entry", add("20_webdav/__/x/other", b"x"));
    refused_of_another("a member of a file", |all| {
        all.push(("20_webdav/__/main.txt/x/.pmeta".to_owned(), file.to_vec()));
        all.push(("20_webdav/__/main.txt/x/content".to_owned(), b"x".to_vec()));
    });
    refused_of_another("a collection of data", add("20_webdav/__/x/.pmeta", br#"{"t":"col.odata"}"#));
    refused_of_another("a name that is too long", add(&format!("20_webdav/__/{}/.pmeta", "n".repeat(256)), b"{}"));
    refused_of_another("another length", |all| {
        *entry(all, "a.txt/content") = b"short".to_vec();
    });
    refused_of_another("encrypted content", |all| {
        let meta = entry(all, "main.txt/.pmeta");
        *meta = String::from_utf8_lossy(meta).replace("NONE", "AES").into_bytes();
    });
}

#[test]
fn what_is_no_archive_or_was_cut_short() {
    let w = World::new();
    w.fill();
    let bytes = w.export("a");
    let before = w.portrait();
    assert_eq!(w.import(b""), Err("PR400-MC-0004".to_owned()));
    assert_eq!(w.import(b"this is no zip file"), Err("PR400-MC-0004".to_owned()));
    for n in 1..20 {
        let cut = bytes.len() * n / 20;
        w.import(&bytes[..cut]).expect_err("cut short");
    }
    assert_eq!(w.portrait(), before);
}

#[test]
fn a_byte_that_flipped_anywhere_changes_nothing_unnoticed() {
    let w = World::new();
    w.fill();
    let bytes = w.export("a");
    let before = w.portrait();
    let (mut refused, step) = (0, bytes.len() / 150);
    for at in (0..bytes.len()).step_by(step) {
        let mut broken = bytes.clone();
        broken[at] ^= 0x10;
        // Times in headers mean nothing here.
        refused += usize::from(w.import(&broken).is_err());
        assert_eq!(w.portrait(), before, "byte {at}");
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn links_and_paths_that_lead_out_are_refused_by_name() {
    let w = World::new();
    w.fill();
    let before = w.portrait();
    let all = without_own(&w.export("a"));
    let mut zip = zip::ZipWriter::new(Cursor::new(archive(&all)));
    let options = zip::write::SimpleFileOptions::default();
    zip = zip::ZipWriter::new_append(Cursor::new(zip.finish().map(|_| archive(&all)).expect("bytes"))).expect("opened");
    zip.add_symlink("20_webdav/__/link/content", "/etc/passwd", options).expect("added");
    assert_eq!(w.import(&zip.finish().expect("finished").into_inner()), Err("PR400-MC-0009".to_owned()));
    let dots: Vec<u8> = {
        let mut all = all.clone();
        all.push(("20_webdav/__/%%/x/content".to_owned(), b"x".to_vec()));
        let bytes = archive(&all);
        let mut out = bytes.clone();
        for at in 0..bytes.len() - 2 {
            if &bytes[at..at + 2] == b"%%" {
                out[at..at + 2].copy_from_slice(b"..");
            }
        }
        out
    };
    assert_eq!(w.import(&dots), Err("PR400-MC-0009".to_owned()));
    assert_eq!(w.portrait(), before);
}
