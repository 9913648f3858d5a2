//! What an administrator does to the tree with a shell, seen through WebDAV.

use std::os::unix::fs::symlink;

use super::Drive;

#[test]
fn what_is_put_there_by_hand_is_served_and_listed() {
    let drive = Drive::new();
    std::fs::create_dir(drive.on_disk("dir")).expect("a directory");
    std::fs::write(drive.on_disk("dir/page.html"), b"by hand").expect("a file");
    let got = drive.get("b/dir/page.html").expect(200);
    assert_eq!((got.text(), got.header("content-type")), ("by hand", Some("text/html")));
    assert_eq!(drive.names("b"), ["dir"]);
    std::fs::remove_dir_all(drive.on_disk("dir")).expect("removed");
    assert!(drive.names("b").is_empty());
    drive.get("b/dir/page.html").expect(404);
}

#[test]
fn links_are_not_there() {
    let drive = Drive::new();
    std::fs::write(drive.server.root().join("secret"), b"secret").expect("a file");
    symlink(drive.server.root().join("secret"), drive.on_disk("link")).expect("a link");
    symlink(drive.server.root(), drive.on_disk("out")).expect("a link");
    drive.get("b/link").expect(404);
    drive.get("b/out/secret").expect(404);
    assert!(drive.names("b").is_empty());
    assert!(drive.put("b/link", "x").status >= 400);
    assert_eq!(std::fs::read(drive.server.root().join("secret")).expect("the file"), b"secret");
}

#[test]
fn a_file_that_was_just_read_is_read_anew_whoever_changes_it() {
    let drive = Drive::new();
    drive.put("b/f", "one").expect(201);
    let read = |expected: &str| {
        let tags: Vec<_> = (0..4)
            .map(|_| {
                let got = drive.get("b/f").expect(200);
                assert_eq!(got.text(), expected);
                got.header("etag").expect("a tag").to_owned()
            })
            .collect();
        assert!(tags.iter().all(|tag| *tag == tags[0]), "{tags:?}");
        tags[0].clone()
    };
    let mut tags = vec![read("one")];
    drive.put("b/f", "two").expect(204);
    tags.push(read("two"));
    std::fs::write(drive.on_disk("f"), b"three, by hand").expect("a file");
    tags.push(read("three, by hand"));
    tags.sort_unstable();
    tags.dedup();
    assert_eq!(tags.len(), 3);
    drive.server.anonymous("GET", "/c/b/f").expect(401);
    drive.moves("b/f", "b/g").expect(201);
    drive.get("b/f").expect(404);
    drive.put("b/f", "").expect(201);
    read("");
    drive.delete("b/f").expect(204);
    drive.get("b/f").expect(404);
}

#[test]
fn a_file_edited_in_place_gets_a_new_tag() {
    let drive = Drive::new();
    drive.put("b/f", "before").expect(201);
    let before = drive.get("b/f").header("etag").map(str::to_owned);
    std::fs::write(drive.on_disk("f"), b"edited in place").expect("a file");
    let after = drive.get("b/f").expect(200);
    assert_eq!(after.text(), "edited in place");
    assert_ne!(after.header("etag").map(str::to_owned), before);
}
