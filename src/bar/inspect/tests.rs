use super::*;

/// An archive in memory.
#[derive(Clone, Default)]
pub(crate) struct Archive(pub(crate) Vec<(String, Vec<u8>, bool)>);

impl Archive {
    pub(crate) fn of(names: &[&str]) -> Self {
        Self(names.iter().map(|name| ((*name).to_owned(), Vec::new(), false)).collect())
    }

    pub(crate) fn v2() -> Self {
        let mut archive = Self::of(&["00_meta/", "00_meta/00_manifest.json", "00_meta/90_rootprops.xml"]);
        archive.put("00_meta/00_manifest.json", br#"{"bar_version":"2","schema":"https://app.example"}"#);
        archive
    }

    pub(crate) fn v1() -> Self {
        let names = ["bar/", "bar/00_meta/", "bar/00_meta/00_manifest.json", "bar/00_meta/90_rootprops.xml"];
        let mut archive = Self::of(&names);
        archive.put("bar/00_meta/00_manifest.json", br#"{"schema":"https://app.example/"}"#);
        archive
    }

    pub(crate) fn put(&mut self, name: &str, content: &[u8]) {
        self.0.retain(|(n, _, _)| n != name);
        self.0.push((name.to_owned(), content.to_vec(), false));
    }

    fn without(mut self, name: &str) -> Self {
        self.0.retain(|(n, _, _)| n != name);
        self
    }

    fn with(mut self, name: &str, content: &[u8]) -> Self {
        self.put(name, content);
        self
    }
}

impl Members for Archive {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn member(&self, index: usize) -> Member<'_> {
        let (name, content, encrypted) = &self.0[index];
        let kind = if name.ends_with('/') { MemberKind::Directory } else { MemberKind::File };
        Member { name, size: content.len() as u64, kind, encrypted: *encrypted, position: index as u64 }
    }

    fn read(&self, index: usize, cap: u64) -> Result<Vec<u8>, ReadError> {
        let content = &self.0[index].1;
        if content.len() as u64 > cap { Err(ReadError::TooLarge(cap)) } else { Ok(content.clone()) }
    }
}

const LIMITS: BarLimits = BarLimits { bar_size: 1000, bar_entry_size: 100, bar_entries: 10 };

/// What is wrong apart from the archive.
#[derive(Clone, Copy, Default)]
struct Around {
    large: bool,
    taken: bool,
    exists: bool,
    bad_name: bool,
}

fn check(archive: &Archive, around: Around) -> Result<Plan, Refusal> {
    let bytes = if around.large { 1001 } else { 1000 };
    let name = if around.bad_name { "-bad" } else { "b1" };
    let schema_taken = |schema: &str| {
        assert_eq!(schema, "https://app.example/");
        Ok::<_, ()>(around.taken)
    };
    inspect(archive, bytes, name, &LIMITS, schema_taken, || Ok(around.exists)).map_err(|stop| match stop {
        Stop::Refused(refusal) => refusal,
        Stop::Failed(()) => unreachable!("the cell always answers"),
    })
}

#[test]
fn good_bars_have_a_plan() {
    let schema = Some("https://app.example/".to_owned());
    let plan = check(&Archive::v2().with("90_contents/x", &[0; 100]), Around::default()).expect("a plan");
    assert_eq!((plan.layout, plan.schema, plan.files), (Layout::V2, schema.clone(), 2));
    let plan = check(&Archive::v1(), Around::default()).expect("a plan");
    assert_eq!((plan.layout, plan.schema, plan.files), (Layout::V1, schema, 2));
    let bare = Archive::v2().with("00_meta/00_manifest.json", br#"{"bar_version":2,"schema":null}"#);
    assert_eq!(check(&bare, Around { taken: true, ..Around::default() }).expect("a plan").schema, None);
}

#[test]
fn the_first_reason_wins() {
    let (v2, v1) = (Archive::v2(), Archive::v1());
    let manifest = |text: &[u8]| v2.clone().with("00_meta/00_manifest.json", text);
    let no_rootprops = v2.clone().without("00_meta/90_rootprops.xml");
    let entry = |archive: &Archive| archive.clone().with("90_contents/d/x.bin", &[0; 101]);
    let legacy_entry = v1.clone().with("bar/90_contents/x.bin", &[0; 101]);
    let legacy_bare = v1.clone().without("bar/00_meta/90_rootprops.xml");
    let word = manifest(br#"{"bar_version":"2","schema":"word"}"#);
    let all = Around { large: true, taken: true, exists: true, bad_name: true };
    let from_schema = Around { large: false, ..all };
    let from_name = Around { taken: false, ..from_schema };
    let from_entry = Around { exists: false, ..from_name };
    let nothing = Around::default();
    for (archive, around, code) in [
        (manifest(b"{"), all, "PR400-BI-0007"),
        (manifest(&[b' '; 101]), all, "PR400-BI-0007"),
        (manifest(br#"{"bar_version":"x"}"#), all, "PR400-BI-0008"),
        (manifest(br#"{"bar_version":"1"}"#).without("00_meta/90_rootprops.xml"), all, "PR400-BI-0010"),
        (entry(&no_rootprops), all, "PR400-BI-0002"),
        (entry(&no_rootprops), from_schema, "PR400-BI-0009"),
        (entry(&v2), from_schema, "PR400-BI-0004"),
        (entry(&v2), from_name, "PR405-BI-0001"),
        (entry(&v2), from_entry, "PR400-BI-0003"),
        (entry(&word), from_entry, "PR400-BI-0003"),
        (word.clone(), Around { exists: true, ..nothing }, "PR405-BI-0001"),
        (v2.clone(), from_entry, "PR400-OD-0006"),
        (word, nothing, "PR400-OD-0050"),
        (legacy_bare.clone(), all, "PR400-BI-0002"),
        (legacy_entry.clone().without("bar/00_meta/90_rootprops.xml"), from_schema, "PR400-BI-0003"),
        (legacy_entry, from_schema, "PR400-BI-0003"),
        (v1.clone().with("bar/00_meta/00_manifest.json", b"{"), from_schema, "PR400-BI-0008"),
        (legacy_bare, from_schema, "PR400-BI-0009"),
        (v1.clone(), from_schema, "PR400-BI-0004"),
        (v1.clone(), from_name, "PR405-BI-0001"),
        (v1.clone(), from_entry, "PR400-OD-0006"),
    ] {
        assert_eq!(check(&archive, around).map(|plan| plan.layout).map_err(|e| e.code()), Err(code));
    }
}

#[test]
fn refusals_have_the_documented_texts() {
    let v2 = Archive::v2();
    let around = Around::default();
    for (archive, around, text) in [
        (v2.clone(), Around { large: true, ..around }, "Bar file size too large [1001B]."),
        (
            v2.clone(),
            Around { taken: true, ..around },
            "Install target box is already registered as Box Schema[https://app.example/].",
        ),
        (v2.clone(), Around { exists: true, ..around }, "Install target box is already registered [b1]."),
        (v2.clone(), Around { bad_name: true, ..around }, "request body format error. field [Name]"),
        (v2.clone().with("90_contents/d/x.bin", &[0; 101]), around, "Bar file entry size too large [x.bin, 101B]."),
        (
            Archive::v1().with("bar/90_contents/x", &[0; 101]),
            around,
            "Bar file entry size too large [bar/90_contents/x, 101B].",
        ),
        (v2.clone().without("00_meta/90_rootprops.xml"), around, "Invalid bar file structures [90_rootprops.xml]."),
        (
            v2.without("00_meta/00_manifest.json"),
            around,
            "Invalid bar file structures [bar/ bar/00_meta/ bar/00_meta/00_manifest.json bar/00_meta/90_rootprops.xml].",
        ),
        (Archive::v1().without("bar/"), around, "Invalid bar file structures [bar/]."),
    ] {
        assert_eq!(check(&archive, around).map_err(|e| e.message()), Err(text.to_owned()));
    }
}

#[test]
fn what_no_archive_may_hold_is_refused() {
    let base = Archive::v2();
    let mut encrypted = base.clone().with("90_contents/x", b"x");
    encrypted.0.last_mut().expect("a member").2 = true;
    let mut twice = base.clone();
    twice.0.push(("00_meta/00_manifest.json".to_owned(), Vec::new(), false));
    let crowd = (0..8).fold(base.clone(), |archive, n| archive.with(&format!("{n}"), b""));
    let mut archives = vec![encrypted, twice, crowd];
    archives.extend(
        ["90_contents/../../x", "../x", "90_contents/./x", "/90_contents/x"].map(|n| base.clone().with(n, b"")),
    );
    for archive in archives {
        assert_eq!(
            check(&archive, Around { exists: true, ..Around::default() }).map_err(|e| e.code()),
            Err("PR400-BI-0007")
        );
    }
    let names = Archive::v1().with("bar/90_contents/../x", b"");
    assert_eq!(check(&names, Around::default()).map_err(|e| e.code()), Err("PR400-BI-0007"));
}

#[test]
fn an_archive_without_members_lacks_everything() {
    assert_eq!(check(&Archive::default(), Around::default()).map_err(|e| e.code()), Err("PR400-BI-0009"));
}

#[test]
fn a_cell_that_cannot_be_asked_is_no_refusal() {
    let stop = inspect(&Archive::v2(), 1, "b", &LIMITS, |_| Err("broken"), || Ok(false));
    assert_eq!(stop, Err(Stop::Failed("broken")));
}

#[test]
fn properties_may_be_as_large_as_a_bar() {
    let name = "00_meta/90_rootprops.xml";
    let check = |size: usize| {
        let archive = Archive::v2().with(name, &vec![b' '; size]);
        inspect(&archive, 500, "b1", &LIMITS, |_| Ok::<_, ()>(false), || Ok(false))
    };
    assert!(check(1000).is_ok());
    assert!(matches!(check(1001), Err(Stop::Refused(Refusal::EntryTooLarge { bytes: 1001, .. }))));
}
