//! Names that can be, names that cannot, and the forms of Unicode in which they are found.

use super::{Drive, on};

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

#[test]
fn any_name_of_unicode_is_kept_as_it_is() {
    let drive = Drive::new();
    let names = [
        "plain",
        " leading",
        "trailing ",
        "dot.",
        "a  b",
        "caf\u{e9}",
        "\u{65e5}\u{672c}\u{8a9e}",
        "\u{1f468}\u{200d}\u{1f469}",
        "\u{e000}",
        "\u{10fffd}",
        "\u{feff}bom",
        "\u{200f}rtl",
        "a\u{300}\u{301}\u{302}\u{303}",
        "\u{ac00}\u{11a8}",
        "~!@#$%^&()_+`-={}[];',.",
        "CON",
        "nul.txt",
        "con.",
        "-rf",
        "%41",
        "_x",
        "__x",
        "name~1",
    ];
    for name in names {
        let composed: String = unicode_normalization::UnicodeNormalization::nfc(name).collect();
        let path = format!("b/{}", cellar::base::path::encode_segment(name));
        assert_eq!(drive.put(&path, name).status, 201, "{name:?}");
        assert_eq!(drive.text(&path), name);
        assert_eq!(std::fs::read_to_string(drive.on_disk(&composed)).expect(&composed), name);
        let shown = drive.propfind(&path, "0")[0].text("displayname");
        assert_eq!(shown.as_deref(), Some(composed.as_str()));
        drive.delete(&path).expect(204);
    }
    assert!(drive.names("b").is_empty());
}

#[test]
fn names_differ_in_case() {
    let drive = Drive::new();
    for (path, content) in
        [("b/Name", "upper"), ("b/name", "lower"), ("b/NA%C3%84", "\u{c4}"), ("b/NA%C3%A4", "\u{e4}")]
    {
        drive.put(path, content).expect(201);
    }
    assert_eq!((drive.text("b/Name"), drive.text("b/name")), ("upper".to_owned(), "lower".to_owned()));
    assert_eq!(drive.names("b").len(), 4);
    drive.moves("b/name", "b/nAME").expect(201);
    drive.get("b/name").expect(404);
    assert_eq!(drive.text("b/Name"), "upper");
}

#[test]
fn the_longest_name_is_255_bytes_in_any_script() {
    let drive = Drive::new();
    for (character, fits) in [("x", 255), ("\u{e9}", 127), ("\u{65e5}", 85), ("\u{1f600}", 63)] {
        let path = |n: usize| format!("b/{}", cellar::base::path::encode_segment(&character.repeat(n)));
        drive.put(&path(fits), "x").expect(201);
        assert_eq!(drive.put(&path(fits + 1), "x").problem(), "403 PR403-DV-0004", "{character}");
        drive.moves(&path(fits), "b/short").expect(201);
        assert_eq!(drive.moves("b/short", &path(fits + 1)).problem(), "403 PR403-DV-0004", "{character}");
        drive.delete("b/short").expect(204);
    }
    // Decomposed it is longer than a name may be; what counts is what it becomes.
    let long = "e%CC%81".repeat(120);
    assert_eq!(drive.put(&format!("b/{long}"), "x").problem(), "403 PR403-DV-0004");
    drive.put(&format!("b/{}", "e%CC%81".repeat(85)), "x").expect(201);
    drive.get(&format!("b/{}", "%C3%A9".repeat(85))).expect(200);
}

/// `é` in its two forms, encoded.
const COMPOSED: &str = "%C3%A9";
const DECOMPOSED: &str = "e%CC%81";

#[test]
fn a_decomposed_name_put_there_by_hand_is_found_in_both_forms() {
    let drive = Drive::new();
    let create = |path: &str| std::fs::write(drive.on_disk(path), "by hand").expect("a file");
    std::fs::create_dir(drive.on_disk("e\u{301}")).expect("a directory");
    create("e\u{301}/e\u{301}.txt");
    // Before anything was listed, and after.
    for _ in 0..2 {
        for path in [
            format!("b/{COMPOSED}/{COMPOSED}.txt"),
            format!("b/{DECOMPOSED}/{COMPOSED}.txt"),
            format!("b/{COMPOSED}/{DECOMPOSED}.txt"),
            format!("b/{DECOMPOSED}/{DECOMPOSED}.txt"),
        ] {
            assert_eq!(drive.text(&path), "by hand", "{path}");
        }
        assert_eq!(drive.names("b"), [DECOMPOSED]);
        assert_eq!(drive.names(&format!("b/{COMPOSED}")), [format!("{DECOMPOSED}.txt")]);
    }
    // It is one file, under the name that it has.
    drive.put(&format!("b/{COMPOSED}/{COMPOSED}.txt"), "changed").expect(204);
    assert_eq!(std::fs::read_to_string(drive.on_disk("e\u{301}/e\u{301}.txt")).expect("the file"), "changed");
    drive.mkcol(&format!("b/{COMPOSED}")).expect(405);
    drive.copies(&format!("b/{COMPOSED}"), "b/copy").expect(201);
    assert_eq!(drive.text(&format!("b/copy/{COMPOSED}.txt")), "changed");
    drive.moves(&format!("b/{COMPOSED}/{COMPOSED}.txt"), "b/away").expect(201);
    drive.get(&format!("b/{COMPOSED}/{COMPOSED}.txt")).expect(404);
    drive.put(&format!("b/{COMPOSED}/{DECOMPOSED}.txt"), "new").expect(201);
    assert_eq!(drive.names(&format!("b/{COMPOSED}")), [format!("{COMPOSED}.txt")]);
    drive.delete(&format!("b/{COMPOSED}")).expect(204);
    drive.get(&format!("b/{DECOMPOSED}")).expect(404);
}

#[test]
fn both_forms_of_a_name_can_be_there() {
    let drive = Drive::new();
    drive.put(&format!("b/{COMPOSED}"), "composed").expect(201);
    for (name, content) in [("e\u{301}", "decomposed"), ("\u{212b}", "angstrom sign"), ("A\u{30a}", "a with ring")] {
        std::fs::write(drive.on_disk(name), content).expect("a file");
    }
    assert_eq!(drive.text(&format!("b/{COMPOSED}")), "composed");
    assert_eq!(drive.text(&format!("b/{DECOMPOSED}")), "decomposed");
    assert_eq!(
        (drive.text("b/%E2%84%AB"), drive.text("b/A%CC%8A")),
        ("angstrom sign".to_owned(), "a with ring".to_owned())
    );
    // The letter itself is none of them; the first that is the same is meant.
    assert_eq!(drive.text("b/%C3%85"), "a with ring");
    drive.delete("b/%C3%85").expect(204);
    assert_eq!(drive.text("b/%C3%85"), "angstrom sign");
    drive.delete("b/%C3%85").expect(204);
    drive.get("b/%C3%85").expect(404);
    drive.delete(&format!("b/{COMPOSED}")).expect(204);
    assert_eq!(drive.text(&format!("b/{COMPOSED}")), "decomposed");
}

#[test]
fn other_forms_of_names_are_known_after_a_restart() {
    let mut drive = Drive::new();
    std::fs::write(drive.on_disk("e\u{301}"), "by hand").expect("a file");
    assert_eq!(drive.names("b"), [DECOMPOSED]);
    drive.restart();
    assert_eq!(drive.text(&format!("b/{COMPOSED}")), "by hand");
    drive.moves(&format!("b/{COMPOSED}"), "b/x").expect(201);
    drive.restart();
    drive.get(&format!("b/{COMPOSED}")).expect(404);
}
