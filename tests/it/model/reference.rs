//! The model: resources by their paths, locks, and what RFC 4918 makes of an operation on them.

use std::collections::BTreeMap;

use unicode_normalization::UnicodeNormalization;

use super::operation::{PROPERTIES, Place, ROOTS};

/// A root, and the names below it in normal form.
pub type Key = (usize, Vec<String>);

#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// None for a collection.
    pub content: Option<Vec<u8>>,
    pub properties: BTreeMap<&'static str, String>,
    /// A file's, as the server has told it; none until it has.
    pub etag: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Lock {
    pub at: Key,
    pub token: String,
    pub shared: bool,
    pub infinite: bool,
}

/// What a change needs the tokens of, where there are locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// The resource alone.
    Itself,
    /// Its name in its collection too.
    Name,
    /// And everything below.
    Tree,
}

/// The statuses with which an operation may be refused; it succeeds if there are none.
pub type Refusals = Vec<u16>;

#[derive(Debug, Clone)]
pub struct Reference {
    pub entries: BTreeMap<Key, Entry>,
    pub locks: Vec<Lock>,
    /// Counts what was written, so that no two contents are equal.
    writes: usize,
}

pub fn key(place: &Place) -> Key {
    (place.root, place.names.iter().map(|name| name.nfc().collect()).collect())
}

fn parent(key: &Key) -> Key {
    (key.0, key.1[..key.1.len() - 1].to_vec())
}

/// Whether `key` is `top` or lies below it.
pub fn is_within(key: &Key, top: &Key) -> bool {
    key.0 == top.0 && key.1.starts_with(&top.1)
}

impl Reference {
    pub fn new() -> Self {
        let roots = (0..ROOTS.len()).map(|root| ((root, Vec::new()), Entry::default()));
        Self { entries: roots.collect(), locks: Vec::new(), writes: 0 }
    }

    pub fn get(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    fn is_collection(&self, key: &Key) -> bool {
        self.get(key).is_some_and(|entry| entry.content.is_none())
    }

    /// Everything at and below a place.
    pub fn tree(&self, top: &Key) -> Vec<(Key, Entry)> {
        let within = self.entries.iter().filter(|(key, _)| is_within(key, top));
        within.map(|(key, entry)| (key.clone(), entry.clone())).collect()
    }

    fn remove(&mut self, top: &Key) {
        self.entries.retain(|key, _| !is_within(key, top));
        self.locks.retain(|lock| !is_within(&lock.at, top));
    }

    /// New content that no other file has.
    pub fn content(&mut self, size: usize) -> Vec<u8> {
        self.writes += 1;
        let mut content = format!("{}:", self.writes).into_bytes();
        content.resize(content.len() + size, b'a' + (self.writes % 26) as u8);
        content
    }

    fn covers(lock: &Lock, key: &Key) -> bool {
        lock.at == *key || (lock.infinite && is_within(key, &lock.at))
    }

    fn locked(&self, key: &Key, reach: Reach, keys: bool) -> Refusals {
        if keys {
            return Vec::new();
        }
        let by = |lock: &Lock| {
            Self::covers(lock, key)
                || (reach != Reach::Itself && lock.at == parent(key))
                || (reach == Reach::Tree && is_within(&lock.at, key))
        };
        if self.locks.iter().any(by) { vec![423, 207] } else { Vec::new() }
    }

    /// Whether something new may have a name: its collection must be there.
    fn without_parent(&self, key: &Key) -> Refusals {
        if self.is_collection(&parent(key)) { Vec::new() } else { vec![409] }
    }

    pub fn put(&self, key: &Key, only_new: bool, keys: bool) -> Refusals {
        match self.get(key) {
            Some(entry) if entry.content.is_none() => vec![405],
            Some(_) if only_new => [vec![412], self.locked(key, Reach::Itself, keys)].concat(),
            Some(_) => self.locked(key, Reach::Itself, keys),
            None => [self.without_parent(key), self.locked(key, Reach::Name, keys)].concat(),
        }
    }

    pub fn append(&self, key: &Key, keys: bool) -> Refusals {
        match self.get(key) {
            Some(entry) if entry.content.is_none() => vec![405],
            Some(_) => self.locked(key, Reach::Itself, keys),
            None => vec![404],
        }
    }

    /// A file gets content; its properties stay.
    pub fn write(&mut self, key: &Key, content: Vec<u8>, etag: String) {
        let entry = self.entries.entry(key.clone()).or_default();
        (entry.content, entry.etag) = (Some(content), Some(etag));
    }

    pub fn mkcol(&self, key: &Key, keys: bool) -> Refusals {
        match self.get(key) {
            Some(_) => vec![405],
            None => [self.without_parent(key), self.locked(key, Reach::Name, keys)].concat(),
        }
    }

    pub fn delete(&self, key: &Key, keys: bool) -> Refusals {
        match self.get(key) {
            None => vec![404],
            Some(_) => self.locked(key, Reach::Tree, keys),
        }
    }

    pub fn make_collection(&mut self, key: &Key) {
        self.entries.insert(key.clone(), Entry::default());
    }

    pub fn remove_tree(&mut self, key: &Key) {
        self.remove(key);
    }

    pub fn transfer(&self, copy: bool, from: &Key, to: &Key, overwrite: bool, keys: bool) -> Refusals {
        if self.get(from).is_none() {
            return vec![404];
        }
        let mut refusals = Vec::new();
        // Onto itself or what it is in; a MOVE also not into itself.
        if is_within(from, to) || (!copy && is_within(to, from)) {
            refusals.push(403);
        }
        refusals.extend(self.without_parent(to));
        if self.get(&parent(to)).is_some_and(|entry| entry.content.is_some()) {
            refusals.push(400);
        }
        if self.get(to).is_some() && !overwrite {
            refusals.push(412);
        }
        if !copy {
            refusals.extend(self.locked(from, Reach::Tree, keys));
        }
        refusals.extend(self.locked(to, Reach::Tree, keys));
        refusals
    }

    /// Does a MOVE or COPY. Tags stay with a MOVE within a cell; all else gets new ones.
    pub fn place(&mut self, copy: bool, from: &Key, to: &Key, alone: bool) {
        let keeps_tags = !copy && ROOTS[from.0].0 == ROOTS[to.0].0;
        let moved = self.tree(from);
        if !copy {
            self.remove(from);
        }
        self.remove(to);
        for (key, mut entry) in moved {
            if alone && key != *from {
                continue;
            }
            if !keeps_tags {
                entry.etag = None;
            }
            let names = to.1.iter().chain(&key.1[from.1.len()..]).cloned().collect();
            self.entries.insert((to.0, names), entry);
        }
    }

    pub fn proppatch(&self, key: &Key, keys: bool) -> Refusals {
        match self.get(key) {
            None => vec![404],
            Some(_) => self.locked(key, Reach::Itself, keys),
        }
    }

    /// Sets a property to something new, then removes one; what it was set to.
    pub fn set_property(&mut self, key: &Key, value: String, set: usize, remove: Option<usize>) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.properties.insert(PROPERTIES[set], value);
        if let Some(remove) = remove {
            entry.properties.remove(PROPERTIES[remove]);
        }
    }

    pub fn lock(&self, key: &Key, shared: bool, infinite: bool) -> Refusals {
        let mut refusals = Vec::new();
        if self.get(key).is_none() {
            refusals.extend(self.without_parent(key));
            refusals.extend(self.locked(key, Reach::Name, false));
        }
        let meets = |lock: &&Lock| Self::covers(lock, key) || (infinite && is_within(&lock.at, key));
        if self.locks.iter().filter(meets).any(|lock| !(shared && lock.shared)) {
            refusals.extend([423, 207]);
        }
        refusals
    }

    pub fn take_lock(&mut self, lock: Lock, etag: Option<String>) {
        if self.get(&lock.at).is_none() {
            let entry = Entry { content: Some(Vec::new()), etag, ..Entry::default() };
            self.entries.insert(lock.at.clone(), entry);
        }
        self.locks.push(lock);
    }
}
