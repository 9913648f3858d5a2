//! What can happen to a drive, and how likely it is.

use proptest::collection::vec;
use proptest::prelude::*;

/// The roots: two boxes of one cell, and a box of another.
pub const ROOTS: [(&str, &str); 3] = [("m", "a"), ("m", "b"), ("n", "a")];

/// Few names, so that operations meet; the third and the fourth are one name.
const NAMES: [&str; 5] = ["x", "y z", "\u{e9}", "e\u{301}", "%2e%2e"];

/// The name of a dead property.
pub const PROPERTIES: [&str; 2] = ["p", "q"];

/// A place in a tree: a root, and names below it as the client writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub root: usize,
    pub names: Vec<&'static str>,
}

#[derive(Debug, Clone)]
pub enum Operation {
    Put {
        at: Place,
        size: usize,
        only_new: bool,
        keys: bool,
    },
    Append {
        at: Place,
        keys: bool,
    },
    Mkcol {
        at: Place,
        keys: bool,
    },
    Delete {
        at: Place,
        keys: bool,
    },
    Transfer {
        copy: bool,
        from: Place,
        to: Place,
        overwrite: bool,
        /// Without members: COPY with Depth 0.
        alone: bool,
        keys: bool,
    },
    /// Sets and removes properties, by their index.
    Proppatch {
        at: Place,
        set: usize,
        remove: Option<usize>,
        keys: bool,
    },
    Lock {
        at: Place,
        shared: bool,
        infinite: bool,
    },
    /// Gives up one of the locks that there are.
    Unlock(usize),
    /// Brings a client's copy of a root up to date, in pages or at once.
    Sync {
        root: usize,
        limit: Option<usize>,
    },
    Restart {
        kill: bool,
    },
}

fn place() -> impl Strategy<Value = Place> {
    let name = || proptest::sample::select(&NAMES[..]);
    let names = prop_oneof![4 => vec(name(), 1), 4 => vec(name(), 2), 1 => vec(name(), 3)];
    (prop_oneof![6 => Just(0), 2 => Just(1), 2 => Just(2)], names).prop_map(|(root, names)| Place { root, names })
}

fn operation() -> impl Strategy<Value = Operation> {
    let keys = || prop::bool::weighted(0.6);
    let size = prop_oneof![3 => 0_usize..200, 1 => 60_000_usize..70_000, 1 => Just(300_000)];
    prop_oneof![
        12 => (place(), size, prop::bool::weighted(0.15), keys())
            .prop_map(|(at, size, only_new, keys)| Operation::Put { at, size, only_new, keys }),
        3 => (place(), keys()).prop_map(|(at, keys)| Operation::Append { at, keys }),
        10 => (place(), keys()).prop_map(|(at, keys)| Operation::Mkcol { at, keys }),
        5 => (place(), keys()).prop_map(|(at, keys)| Operation::Delete { at, keys }),
        16 => (prop::bool::weighted(0.4), place(), place(), prop::bool::weighted(0.8), prop::bool::weighted(0.2), keys())
            .prop_map(|(copy, from, to, overwrite, alone, keys)| Operation::Transfer { copy, from, to, overwrite, alone, keys }),
        6 => (place(), 0..PROPERTIES.len(), prop::option::of(0..PROPERTIES.len()), keys())
            .prop_map(|(at, set, remove, keys)| Operation::Proppatch { at, set, remove, keys }),
        4 => (place(), any::<bool>(), any::<bool>())
            .prop_map(|(at, shared, infinite)| Operation::Lock { at, shared, infinite }),
        4 => any::<usize>().prop_map(Operation::Unlock),
        6 => (prop_oneof![4 => Just(0), 1 => Just(1), 1 => Just(2)], prop::option::of(1_usize..4)).prop_map(|(root, limit)| Operation::Sync { root, limit }),
        1 => any::<bool>().prop_map(|kill| Operation::Restart { kill }),
    ]
}

pub fn sequences() -> impl Strategy<Value = Vec<Operation>> {
    vec(operation(), 1..60)
}

/// What every sequence begins with, so that there is something to work on.
pub fn beginning() -> Vec<Operation> {
    let at = |names: &[&'static str]| Place { root: 0, names: names.to_vec() };
    let mkcol = |names: &[&'static str]| Operation::Mkcol { at: at(names), keys: false };
    let put = |names: &[&'static str]| Operation::Put { at: at(names), size: 10, only_new: false, keys: false };
    vec![
        mkcol(&["x"]),
        mkcol(&["x", "y z"]),
        put(&["x", "y z", "\u{e9}"]),
        put(&["x", "x"]),
        mkcol(&["y z"]),
        put(&["e\u{301}"]),
        Operation::Sync { root: 0, limit: None },
    ]
}

/// What every sequence ends with: clients that were away come back.
pub fn end() -> Vec<Operation> {
    (0..ROOTS.len()).map(|root| Operation::Sync { root, limit: Some(2) }).collect()
}
