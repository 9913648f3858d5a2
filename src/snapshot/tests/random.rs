//! Random cells, out and into another unit.

use proptest::prelude::*;

use super::*;

/// A step of making a cell; numbers choose among what is there.
#[derive(Debug, Clone)]
enum Make {
    Box,
    Collection(usize, String),
    File(usize, String, Vec<u8>, String),
    Property(usize, String),
    Role(usize, String),
    Relation(usize, String),
    ExtRole(usize),
    Rule(usize),
    Link(usize, usize),
    Acl(usize, usize, i64),
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,3}", "\\PC{1,6}", Just("content".to_owned()), Just(".pmeta".to_owned())]
}

fn make() -> impl Strategy<Value = Make> {
    let nth = || 0_usize..64;
    let bytes = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..300),
        (0_usize..200_000).prop_map(|n| vec![b'x'; n]),
        (0_usize..90_000).prop_map(noise),
    ];
    prop_oneof![
        1 => Just(Make::Box),
        4 => (nth(), name()).prop_map(|(at, name)| Make::Collection(at, name)),
        8 => (nth(), name(), bytes, "[a-z]{1,4}/[a-z;= ]{1,9}").prop_map(|(at, n, b, t)| Make::File(at, n, b, t)),
        3 => (nth(), "[^\\p{C}<>&]{0,20}").prop_map(|(at, value)| Make::Property(at, value)),
        2 => (nth(), "[a-z][a-z0-9]{0,8}").prop_map(|(at, name)| Make::Role(at, name)),
        1 => (nth(), "[a-z][a-z0-9]{0,8}").prop_map(|(at, name)| Make::Relation(at, name)),
        1 => nth().prop_map(Make::ExtRole),
        1 => nth().prop_map(Make::Rule),
        2 => (nth(), nth()).prop_map(|(a, b)| Make::Link(a, b)),
        3 => (nth(), nth(), 1_i64..(1 << 13)).prop_map(|(at, role, bits)| Make::Acl(at, role, bits)),
    ]
}

/// What has been made so far.
struct Made {
    boxes: Vec<String>,
    collections: Vec<(String, String)>,
    resources: Vec<(String, String)>,
    roles: Vec<i64>,
    relations: Vec<i64>,
}

impl World {
    fn make(&self, steps: &[Make]) {
        use crate::base::path::{NewName, Segment};
        let main = ("__".to_owned(), String::new());
        let mut made = Made {
            boxes: vec!["__".to_owned()],
            collections: vec![main.clone()],
            resources: vec![main],
            roles: Vec::new(),
            relations: Vec::new(),
        };
        let below = |(box_name, at): &(String, String), name: &str| {
            let name = NewName::new(&Segment::new(name).ok()?).ok()?.as_str().to_owned();
            Some((box_name.clone(), format!("{at}/{name}").trim_start_matches('/').to_owned()))
        };
        for (n, step) in steps.iter().enumerate() {
            let pick = |at: &usize, len: usize| at % len.max(1);
            match step {
                Make::Box => {
                    let name = format!("box{n}");
                    self.make_box(&name, (n % 2 == 0).then(|| format!("https://app{n}.example/")).as_deref());
                    made.boxes.push(name.clone());
                    made.collections.push((name.clone(), String::new()));
                    made.resources.push((name, String::new()));
                }
                Make::Collection(at, name) | Make::File(at, name, ..) => {
                    let parent = &made.collections[pick(at, made.collections.len())];
                    let Some(place) = below(parent, name) else { continue };
                    if made.resources.contains(&place) {
                        continue;
                    }
                    if let Make::File(_, _, bytes, content_type) = step {
                        self.put(&place.0, &place.1, content_type, bytes);
                    } else {
                        self.mkcol(&place.0, &place.1, Kind::Collection);
                        made.collections.push(place.clone());
                    }
                    made.resources.push(place);
                }
                Make::Property(at, value) => {
                    let (box_name, at) = &made.resources[pick(at, made.resources.len())];
                    self.set_property(box_name, at, &format!("p{}", n % 5), value);
                }
                Make::Role(at, name) | Make::Relation(at, name) => {
                    let owner = self.box_id(&made.boxes[pick(at, made.boxes.len())]);
                    let owner = if at % 3 == 0 || owner == self.box_id("__") { 0 } else { owner };
                    let role = matches!(step, Make::Role(..));
                    let kind = if role { ObjectKind::Role } else { ObjectKind::Relation };
                    let id = self.object(kind, &format!("{name}{n}"), owner, "");
                    if role { &mut made.roles } else { &mut made.relations }.push(id);
                }
                Make::ExtRole(at) if !made.relations.is_empty() => {
                    let relation = made.relations[pick(at, made.relations.len())];
                    self.object(ObjectKind::ExtRole, &format!("https://e{n}.example/__role/__/r"), relation, "");
                }
                Make::Rule(at) => {
                    let fields = format!(r#"{{"Action":"log","EventExternal":{},"EventType":"t{n}"}}"#, at % 2 == 0);
                    self.object(ObjectKind::Rule, &format!("rule{n}"), 0, &fields);
                }
                Make::Link(a, b) if !made.roles.is_empty() && !made.relations.is_empty() => {
                    let role = made.roles[pick(a, made.roles.len())];
                    let relation = made.relations[pick(b, made.relations.len())];
                    let ends = ((ObjectKind::Role, role), (ObjectKind::Relation, relation));
                    // The same link again is refused.
                    drop(self.cell().change(Change(move |ctx: &Context<'_>| ctx.tx.insert_link(ends.0, ends.1))));
                }
                Make::Acl(at, role, bits) => {
                    let (box_name, at) = &made.resources[pick(at, made.resources.len())];
                    let role = (!made.roles.is_empty()).then(|| made.roles[pick(role, made.roles.len())]);
                    self.set_acl(box_name, at, &[(role, *bits), (None, 1)]);
                }
                Make::ExtRole(_) | Make::Link(..) => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_cell_comes_back(steps in proptest::collection::vec(make(), 0..50)) {
        let (a, b) = (World::new(), World::new());
        a.make(&steps);
        let bytes = a.export("a");
        prop_assert_eq!(b.import(&bytes), Ok(()));
        prop_assert_eq!(b.portrait(), a.portrait());
        let again = entries(&b.export("again"));
        let content = |all: &[(String, Vec<u8>)]| {
            all.iter().filter(|(name, _)| name.ends_with("/content")).map(|(_, bytes)| bytes.len()).sum::<usize>()
        };
        prop_assert_eq!(content(&again), content(&entries(&bytes)));
    }
}
