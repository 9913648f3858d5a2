use proptest::prelude::*;

use super::*;

const LISTS: [(MetaFile, &str, &str); 5] = [
    (MetaFile::Relations, "Relations", r#"{"Name":"x1"}"#),
    (MetaFile::Roles, "Roles", r#"{"Name":"x1"}"#),
    (MetaFile::ExtRoles, "ExtRoles", r#"{"ExtRole":"https://e.example/c/__role/__/r","_Relation.Name":"rel"}"#),
    (MetaFile::Rules, "Rules", r#"{"Action":"log"}"#),
    (
        MetaFile::Links,
        "Links",
        r#"{"FromType":"Relation","FromName":{"Name":"a"},"ToType":"Role","ToName":{"Name":"b"}}"#,
    ),
];

fn length(list: &Metadata) -> usize {
    match list {
        Metadata::Relations(items) | Metadata::Roles(items) => items.len(),
        Metadata::ExtRoles(items) => items.len(),
        Metadata::Rules(items) => items.len(),
        Metadata::Links(items) => items.len(),
    }
}

#[test]
fn lists_are_read() {
    for (file, key, item) in LISTS {
        for layout in [Layout::V1, Layout::V2] {
            let count = |text: String| parse(file, layout, text.as_bytes()).map(|list| length(&list));
            assert_eq!(count(format!("{{\"{key}\":[{item},{item}]}}")), Ok(2));
            assert_eq!(count(format!("\u{FEFF}{{\"{key}\":[]}}")), Ok(0));
            assert_eq!(count(format!("{{\"{key}\":null}}")), Ok(0));
            assert_eq!(count("{}".to_owned()), Ok(0));
        }
    }
}

#[test]
fn lists_with_defects_fail() {
    for (file, key, item) in LISTS {
        let format = Cause::Format(file.file_name().to_owned());
        let unknown = item.replacen('{', "{\"Hoge\":\"x\",", 1);
        for (text, legacy) in [
            (format!("{{\"{key}\":["), &Cause::Parse),
            (String::new(), &Cause::Parse),
            ("[".repeat(100_000), &format),
            (format!("{{\"Other\":[{item}]}}"), &format),
            (format!("{{\"{key}\":{item}}}"), &format),
            (format!("{{\"{key}\":[\"x\"]}}"), &format),
            (format!("{{\"{key}\":[[\"x\"]]}}"), &format),
            (format!("{{\"{key}\":[null]}}"), &format),
            (format!("[[{item}]]"), &format),
            (format!("[{item}]"), &format),
            (format!("{{\"{key}\":[{unknown}]}}"), &Cause::Definition),
            (format!("{{\"{key}\":[{item}],\"more\":1}}"), &Cause::Definition),
        ] {
            let short = &text[..text.len().min(60)];
            assert_eq!(parse(file, Layout::V2, text.as_bytes()), Err(format.clone()), "{short}");
            if text.len() < 1000 {
                assert_eq!(parse(file, Layout::V1, text.as_bytes()).as_ref(), Err(legacy), "{short}");
            } else {
                assert!(parse(file, Layout::V1, text.as_bytes()).is_err());
            }
        }
    }
}

fn first<T: Clone>(list: &[T]) -> T {
    list.first().expect("an item").clone()
}

fn cause(file: MetaFile, layout: Layout, item: &str) -> Option<String> {
    let (_, key, _) = LISTS.iter().find(|(f, _, _)| *f == file).expect("a list");
    let list = match parse(file, layout, format!("{{\"{key}\":[{item}]}}").as_bytes()) {
        Ok(list) => list,
        Err(e) => return Some(e.to_string()),
    };
    let checked = match list {
        Metadata::Relations(items) => first(&items).relation(layout).map(|_| ()),
        Metadata::Roles(items) => first(&items).role(layout).map(|_| ()),
        Metadata::ExtRoles(items) => first(&items).check(layout).map(|_| ()),
        Metadata::Rules(items) => first(&items).check(layout).map(|_| ()),
        Metadata::Links(items) => first(&items).check().map(|_| ()),
    };
    checked.err().map(|e| e.to_string())
}

#[test]
fn items_are_checked() {
    let long = format!("{{\"Name\":\"{}\"}}", "r".repeat(129));
    let name = "request body format error. field [Name]";
    for (file, item, text) in [
        (MetaFile::Relations, "{\"Name\":\"+rel:x\"}", None),
        (MetaFile::Relations, "{\"Name\":\"a b\"}", Some(name)),
        (MetaFile::Relations, "{}", Some("[Name] is required.")),
        (MetaFile::Roles, "{\"Name\":\"_r\"}", Some(name)),
        (MetaFile::Roles, &long, Some(name)),
        (MetaFile::Roles, "{\"Name\":null}", Some("[Name] is required.")),
        (MetaFile::Roles, "{\"Name\":1}", Some("[20_roles.json] file format error.")),
        (MetaFile::ExtRoles, LISTS[2].2, None),
        (MetaFile::ExtRoles, "{\"ExtRole\":\"https://e.example/\"}", Some("[_Relation.Name] is required.")),
        (
            MetaFile::ExtRoles,
            "{\"ExtRole\":\"not a url\",\"_Relation.Name\":\"rel\"}",
            Some("request body format error. field [ExtRole]"),
        ),
        (MetaFile::Rules, "{\"Action\":\"log\",\"EventExternal\":true,\"EventInfo\":\"i\"}", None),
        (MetaFile::Rules, "{\"EventType\":\"t\"}", Some("[Action] is required.")),
        (MetaFile::Rules, "{\"Action\":\"explode\"}", Some("request body format error. field [Action]")),
        (MetaFile::Rules, "{\"Action\":\"log\",\"Name\":\"n\"}", Some("[50_rules.json] file format error.")),
        (
            MetaFile::Rules,
            "{\"Action\":\"exec\",\"TargetUrl\":\"https://e.example/x\"}",
            Some("request body format error. field [TargetUrl]"),
        ),
        (
            MetaFile::Rules,
            "{\"Action\":\"log\",\"EventObject\":\"https://e.example/x\"}",
            Some("request body format error. field [EventObject]"),
        ),
    ] {
        assert_eq!(cause(file, Layout::V2, item).as_deref(), text, "{item}");
    }
    for (file, item) in [(MetaFile::Relations, "{}"), (MetaFile::Roles, "{\"Name\":null}"), (MetaFile::Rules, "{}")] {
        let text = format!("[{}] file format error.", file.file_name());
        assert_eq!(cause(file, Layout::V1, item), Some(text));
    }
}

#[test]
fn links_are_checked() {
    let good = LISTS[4].2;
    assert_eq!(cause(MetaFile::Links, Layout::V2, good), None);
    let ext = r#"{"FromType":"Role","FromName":{"Name":"r"},"ToType":"ExtRole","ToName":{"ExtRole":"u","_Relation.Name":"x"}}"#;
    assert_eq!(cause(MetaFile::Links, Layout::V2, ext), None);
    let mut bad = vec![
        good.replace(r#"{"Name":"a"}"#, r#"["a"]"#),
        good.replace(r#"{"Name":"b"}"#, "{}"),
        good.replace("\"Role\"", "\"ExtRole\""),
        good.replace("\"Role\"", "\"Relation\""),
        ext.replace("\"Role\"", "\"Relation\""),
    ];
    bad.extend(["Account", "Box", "ExtCell", "Nonsense"].map(|kind| good.replace("\"Role\"", &format!("\"{kind}\""))));
    for field in [
        "\"FromType\":\"Relation\"",
        "\"FromName\":{\"Name\":\"a\"}",
        "\"ToType\":\"Role\"",
        "\"ToName\":{\"Name\":\"b\"}",
    ] {
        let key = field.split(':').next().expect("a key");
        bad.push(good.replace(field, &format!("{key}:null")));
        bad.push(good.replace(&format!("{field},"), "").replace(&format!(",{field}"), ""));
    }
    for item in bad {
        assert_ne!(item, good);
        for layout in [Layout::V1, Layout::V2] {
            assert!(cause(MetaFile::Links, layout, &item).is_some(), "{item}");
        }
    }
}

proptest! {
    #[test]
    fn noise_never_panics(noise in "[\\[\\]{}:,\"A-Za-z0-9. ]{0,60}") {
        for (file, _, _) in LISTS {
            for layout in [Layout::V1, Layout::V2] {
                let _ = parse(file, layout, noise.as_bytes());
            }
        }
    }
}
