//! Boxes as bars.

use crate::client::Request;
use crate::harness::{Server, TOKEN};

const BAR: &str = "application/zip+x-personium-bar";

#[test]
fn a_file_edited_in_place_is_in_the_export_as_it_is_now() {
    let server = Server::start();
    for target in ["/c", "/c/b"] {
        server.admin("MKCOL", target).expect(201);
    }
    server.send(Request::new("PUT", "/c/b/x").bearer(TOKEN).body("as it was")).expect(201);
    let export = || server.send(Request::new("GET", "/c/b").bearer(TOKEN).header("Accept", BAR)).expect(200);
    let before = export();
    std::fs::write(server.root().join("cells/c/boxes/b/x"), "edited by hand").expect("an edit");
    let after = export();
    assert_ne!(after.header("etag"), before.header("etag"));
    assert!(after.body.windows(14).any(|w| w == b"edited by hand"));
}

#[test]
fn metadata_and_archive_of_a_box_vary_by_accept() {
    let server = Server::start();
    for target in ["/c", "/c/b"] {
        server.admin("MKCOL", target).expect(201);
    }
    for accept in ["*/*", BAR] {
        let reply = server.send(Request::new("GET", "/c/b").bearer(TOKEN).header("Accept", accept)).expect(200);
        assert_eq!(reply.header("vary"), Some("Accept"), "{accept}");
    }
}
