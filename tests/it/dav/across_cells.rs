//! MOVE and COPY to another cell of the unit.

use super::{Drive, on};
use crate::client::Request;
use crate::harness::TOKEN;

fn in_d(drive: &Drive, method: &str, path: &str) -> crate::client::Reply {
    let request = Request::new(method, &format!("/d/{path}")).bearer(TOKEN);
    drive.send(request.header("Depth", "1"))
}

fn to_d(drive: &Drive, method: &str, from: &str, to: &str) -> crate::client::Reply {
    drive.send(on(method, from).header("Destination", format!("{}d/{to}", drive.server.url())))
}

fn two_cells() -> Drive {
    let drive = Drive::new();
    drive.cell("d");
    drive.mkcol("b/col").expect(201);
    drive.send(on("PUT", "b/col/f").header("Content-Type", "text/a").body("F")).expect(201);
    drive.proppatch("b/col/f", "<D:set><D:prop><x:color>blue</x:color></D:prop></D:set>").expect(207);
    drive
}

#[test]
fn copy_to_another_cell_leaves_the_source() {
    let drive = two_cells();
    let copied = to_d(&drive, "COPY", "b/col", "b/col").expect(201);
    assert_eq!(copied.header("location"), Some(format!("{}d/b/col", drive.server.url()).as_str()));
    let got = in_d(&drive, "GET", "b/col/f").expect(200);
    assert_eq!((got.text(), got.header("content-type")), ("F", Some("text/a")));
    assert!(in_d(&drive, "PROPFIND", "b/col/f").expect(207).text().contains("blue"));
    assert_eq!(drive.text("b/col/f"), "F");
}

#[test]
fn move_to_another_cell_takes_everything_along() {
    let drive = two_cells();
    to_d(&drive, "MOVE", "b/col", "b/moved").expect(201);
    assert_eq!(in_d(&drive, "GET", "b/moved/f").expect(200).text(), "F");
    drive.get("b/col").expect(404);
    assert!(!drive.on_disk("col").exists());
    to_d(&drive, "MOVE", "b/col", "b/again").expect(404);
}

#[test]
fn move_to_another_cell_takes_what_was_put_there_by_hand() {
    let drive = two_cells();
    std::fs::create_dir_all(drive.on_disk("col/new/deep")).expect("directories");
    std::fs::write(drive.on_disk("col/new/deep/x"), b"by hand").expect("a file");
    to_d(&drive, "MOVE", "b/col", "b/moved").expect(201);
    assert_eq!(in_d(&drive, "GET", "b/moved/new/deep/x").expect(200).text(), "by hand");
}

#[test]
fn entries_for_roles_stay_behind() {
    let drive = two_cells();
    drive.role("reader", None);
    let acl = format!(
        "<D:acl xmlns:D=\"DAV:\" xmlns:p=\"urn:x-personium:xmlns\" xml:base=\"{}__role/__/\" p:requireSchemaAuthz=\"public\">\
         <D:ace><D:principal><D:href>reader</D:href></D:principal><D:grant><D:privilege><D:write/></D:privilege></D:grant></D:ace>\
         <D:ace><D:principal><D:all/></D:principal><D:grant><D:privilege><D:read/></D:privilege></D:grant></D:ace></D:acl>",
        drive.url("")
    );
    drive.xml("ACL", "b/col", &acl).expect(200);
    to_d(&drive, "MOVE", "b/col", "b/moved").expect(201);
    let listed = in_d(&drive, "PROPFIND", "b/moved").expect(207);
    assert!(!listed.text().contains("reader"), "{}", listed.text());
    assert!(listed.text().contains("<D:all/>") && listed.text().contains("requireSchemaAuthz=\"public\""));
}

#[test]
fn overwrite_holds_across_cells() {
    let drive = two_cells();
    to_d(&drive, "COPY", "b/col/f", "b/f").expect(201);
    let careful = on("MOVE", "b/col/f").header("Destination", format!("{}d/b/f", drive.server.url()));
    assert_eq!(drive.send(careful.header("Overwrite", "F")).problem(), "412 PR412-DV-0002");
    assert_eq!(drive.text("b/col/f"), "F");
    to_d(&drive, "MOVE", "b/col", "b/f").expect(204);
    assert_eq!(in_d(&drive, "GET", "b/f/f").expect(200).text(), "F");
}
