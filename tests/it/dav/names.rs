//! Names that can be, names that cannot, and ways out of the box that lead nowhere.

use super::{Drive, on};

#[test]
fn nothing_leads_out_of_the_box() {
    let drive = Drive::new();
    drive.put("b/f", "inside").expect(201);
    std::fs::write(drive.server.root().join("secret"), b"secret").expect("a file");
    for path in [
        "b/../../secret",
        "b/%2e%2e/%2e%2e/%2e%2e/secret",
        "b/%2E%2E/f",
        "b/..%2f..%2fsecret",
        "b/..%5c..%5csecret",
        "b/%00",
        "b/f%00.txt",
        "b/a%0ab",
        "b/%ff",
        "b/%c0%ae%c0%ae/secret",
        "b/.",
        "b/%2e/f",
        "b/a/./../f",
    ] {
        for method in ["GET", "PUT", "MKCOL", "DELETE", "PROPFIND"] {
            let reply = drive.send(on(method, path).header("Depth", "0").body(""));
            assert!((400..500).contains(&reply.status), "{method} {path}: {reply:?}");
            assert!(!String::from_utf8_lossy(&reply.body).contains("inside"), "{method} {path}");
        }
        let reply = drive.send(on("COPY", "b/f").header("Destination", drive.url(path)));
        assert!((400..500).contains(&reply.status), "COPY to {path}: {reply:?}");
    }
    assert_eq!(drive.names("b"), ["f"]);
}

#[test]
fn forbidden_names_are_403_with_the_name() {
    let drive = Drive::new();
    for (encoded, name) in [("a%3Ab", "a:b"), ("a%7Cb", "a|b"), ("a*b", "a*b"), ("%3C", "<"), ("%22", "\\\"")] {
        for method in ["PUT", "MKCOL"] {
            let reply = drive.send(on(method, &format!("b/{encoded}")).body(""));
            assert_eq!(reply.problem(), "403 PR403-DV-0004", "{method} {encoded}");
            assert!(reply.text().contains(&format!("[{name}]")), "{}", reply.text());
        }
    }
    let long = "x".repeat(256);
    let reply = drive.put(&format!("b/{long}"), "x");
    assert_eq!(reply.problem(), "403 PR403-DV-0004");
    assert!(reply.text().contains(&format!("[{long}]")));
    drive.put(&format!("b/{}", "x".repeat(255)), "x").expect(201);
}

#[test]
fn a_decomposed_name_is_the_composed_one() {
    let drive = Drive::new();
    drive.put("b/Cafe%CC%81.txt", "one").expect(201);
    assert_eq!(drive.names("b"), ["Caf%C3%A9.txt"]);
    drive.put("b/Caf%C3%A9.txt", "two").expect(204);
    assert_eq!(drive.text("b/Cafe%CC%81.txt"), "two");
    drive.delete("b/Cafe%CC%81.txt").expect(204);
    assert!(drive.names("b").is_empty());
}

#[test]
fn a_forbidden_name_put_there_by_hand_can_be_read_moved_away_and_deleted() {
    let drive = Drive::new();
    for name in ["a:b", "c|d"] {
        std::fs::write(drive.on_disk(name), name).expect("a file");
    }
    assert_eq!(drive.text("b/a%3Ab"), "a:b");
    drive.put("b/a%3Ab", "changed").expect(204);
    drive.moves("b/a%3Ab", "b/a-b").expect(201);
    assert_eq!(drive.text("b/a-b"), "changed");
    assert_eq!(drive.moves("b/a-b", "b/a%3Ab").problem(), "403 PR403-DV-0004");
    drive.delete("b/c%7Cd").expect(204);
    assert_eq!(drive.names("b"), ["a-b"]);
}
