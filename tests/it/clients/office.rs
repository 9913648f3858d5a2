//! What Office and LibreOffice send when a document on the drive is opened, edited and saved.

use super::{Replay, noise};
use crate::dav::Drive;

const DOCUMENT: &str = "/c/b/Report%202026.docx";

fn office(drive: &Drive) -> Replay {
    Replay::new(drive, &[("User-Agent", "Microsoft Office Core Storage Infrastructure/1.0"), ("translate", "f")])
}

fn condition(token: &str) -> String {
    format!("({token})")
}

#[test]
fn office_opens_saves_and_closes_under_one_lock() {
    let drive = Drive::new();
    drive.put("b/Report%202026.docx", noise(20_000)).expect(201);
    let mut word = office(&drive);
    word.send("OPTIONS", "/c/b", &[], None).expect(200);
    let head = word.send("HEAD", DOCUMENT, &[("User-Agent", "Microsoft Office Existence Discovery")], None).expect(200);
    assert!(head.header("etag").is_some() && head.header("content-length") == Some("20000"), "{head:?}");
    // Windows writes no Depth, which means infinity; on a file that is the file.
    let token = word.lock(DOCUMENT, 200, &[("Timeout", "Second-3600")], "DESKTOP-1\\Me");
    assert_eq!(word.send("GET", DOCUMENT, &[], None).expect(200).body, noise(20_000));
    // The owner's note beside it.
    word.send("PUT", "/c/b/~%24port%202026.docx", &[], Some(&noise(162))).expect(201);
    let again = [("If", &*condition(&token)), ("Timeout", "Second-3600")];
    let refreshed = word.send("LOCK", DOCUMENT, &again, None).expect(200);
    assert!(
        refreshed.text().contains("Second-3600") || refreshed.text().contains("Second-3599"),
        "{}",
        refreshed.text()
    );
    for size in [21_000, 22_000] {
        word.send("PUT", DOCUMENT, &[("If", &condition(&token))], Some(&noise(size))).expect(204);
    }
    // Somebody else who opens it is told who has it.
    let mut other = office(&drive);
    let info = "<D:lockinfo xmlns:D=\"DAV:\"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>";
    other.send("LOCK", DOCUMENT, &[("Timeout", "Second-3600")], Some(info.as_bytes())).expect(423);
    let who = "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:lockdiscovery/></D:prop></D:propfind>";
    let locks = other.send("PROPFIND", DOCUMENT, &[("Depth", "0")], Some(who.as_bytes())).expect(207);
    assert!(locks.text().contains("DESKTOP-1\\Me"), "{}", locks.text());
    word.send("UNLOCK", DOCUMENT, &[("Lock-Token", &token)], None).expect(204);
    word.send("DELETE", "/c/b/~%24port%202026.docx", &[], None).expect(204);
    assert_eq!(
        (drive.names("b"), drive.get("b/Report%202026.docx").body),
        (vec!["Report%202026.docx".to_owned()], noise(22_000))
    );
}

#[test]
fn office_saves_beside_and_renames() {
    let drive = Drive::new();
    drive.put("b/Report%202026.docx", "old").expect(201);
    let mut word = office(&drive);
    let url = |name: &str| format!("{}c/b/{name}", drive.server.url());
    let token = word.lock(DOCUMENT, 200, &[("Timeout", "Second-3600")], "DESKTOP-1\\Me");
    word.send("PUT", "/c/b/~WRD0001.tmp", &[], Some(b"")).expect(201);
    let new = word.lock("/c/b/~WRD0001.tmp", 200, &[("Timeout", "Second-3600")], "DESKTOP-1\\Me");
    word.send("PUT", "/c/b/~WRD0001.tmp", &[("If", &condition(&new))], Some(b"new")).expect(204);
    word.send("UNLOCK", "/c/b/~WRD0001.tmp", &[("Lock-Token", &new)], None).expect(204);
    // The document cannot be taken away from under the lock by somebody without its token.
    let aside = url("~WRL0002.tmp");
    word.send("MOVE", DOCUMENT, &[("Destination", &aside), ("Overwrite", "F")], None).expect(423);
    let tagged = format!("<{}> ({token})", url("Report%202026.docx"));
    word.send("MOVE", DOCUMENT, &[("Destination", &aside), ("Overwrite", "F"), ("If", &tagged)], None).expect(201);
    let back = url("Report%202026.docx");
    word.send("MOVE", "/c/b/~WRD0001.tmp", &[("Destination", &back), ("Overwrite", "F")], None).expect(201);
    // The lock stayed with neither: the document is free for a new one.
    let token = word.lock(DOCUMENT, 200, &[("Timeout", "Second-3600")], "DESKTOP-1\\Me");
    word.send("DELETE", "/c/b/~WRL0002.tmp", &[], None).expect(204);
    word.send("UNLOCK", DOCUMENT, &[("Lock-Token", &token)], None).expect(204);
    assert_eq!(
        (drive.names("b"), drive.text("b/Report%202026.docx")),
        (vec!["Report%202026.docx".to_owned()], "new".to_owned())
    );
}

#[test]
fn libreoffice_locks_by_a_file_and_saves_over_its_own_lock() {
    let drive = Drive::new();
    drive.put("b/letter.odt", "old").expect(201);
    let mut writer = Replay::new(&drive, &[("User-Agent", "LibreOffice 7.4.7.2")]);
    let all = "<propfind xmlns=\"DAV:\"><prop><resourcetype/><IsReadOnly xmlns=\"http://ucb.openoffice.org/dav/props/\"/>\
               <getcontentlength/><supportedlock/><lockdiscovery/></prop></propfind>";
    let listed = writer.propfind("/c/b/letter.odt", "0", all);
    assert!(
        listed[0].find("DAV:", "supportedlock").is_some_and(|(status, p)| *status == 200 && !p.children.is_empty())
    );
    let token = writer.lock("/c/b/letter.odt", 200, &[("Depth", "0"), ("Timeout", "Second-180")], "LibreOffice");
    writer.send("PUT", "/c/b/.~lock.letter.odt%23", &[], Some(b",me,host,01.05.2026 10:00;")).expect(201);
    let condition = format!("({token})");
    writer.send("PUT", "/c/b/letter.odt", &[("If", &condition)], Some(b"new")).expect(204);
    writer.send("DELETE", "/c/b/.~lock.letter.odt%23", &[], None).expect(204);
    writer.send("UNLOCK", "/c/b/letter.odt", &[("Lock-Token", &token)], None).expect(204);
    assert_eq!((drive.names("b"), drive.text("b/letter.odt")), (vec!["letter.odt".to_owned()], "new".to_owned()));
}
