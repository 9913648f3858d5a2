//! The server and the model side by side: each operation goes to both, then everything is compared.

use std::collections::BTreeMap;

use cellar::base::path::encode_segment;
use cellar::base::xml::{DAV, Element, Limits, parse};
use rustix::process::Signal;

use super::operation::{Operation, PROPERTIES, Place, ROOTS};
use super::reference::{Entry, Key, Lock, Reference, Refusals, key};
use crate::client::{Connection, Reply, Request};
use crate::dav::multistatus;
use crate::harness::{Server, TOKEN};

const NAMESPACE: &str = "urn:model";

/// What a client knows of a root that it keeps a copy of: the tags of files, none for collections.
#[derive(Debug, Default)]
struct Copy {
    token: String,
    known: BTreeMap<Vec<String>, Option<String>>,
}

pub struct World<'s> {
    server: &'s mut Server,
    connection: Connection,
    /// Cells of one sequence have its number in their names.
    number: u64,
    model: Reference,
    copies: [Copy; ROOTS.len()],
    values: usize,
    refused: u64,
}

type Outcome = Result<(), String>;

impl<'s> World<'s> {
    /// A world of empty boxes.
    pub fn new(server: &'s mut Server, number: u64) -> Self {
        for cell in ["m", "n"] {
            server.admin("MKCOL", &format!("/{cell}{number}")).expect(201);
        }
        for (cell, cell_box) in ROOTS {
            server.admin("MKCOL", &format!("/{cell}{number}/{cell_box}")).expect(201);
        }
        let connection = server.connect();
        Self { server, connection, number, model: Reference::new(), copies: Default::default(), values: 0, refused: 0 }
    }

    fn root(&self, root: usize) -> String {
        let (cell, cell_box) = ROOTS[root];
        format!("/{cell}{}/{cell_box}", self.number)
    }

    fn path(&self, place: &Place) -> String {
        let names: Vec<String> = place.names.iter().map(|name| encode_segment(name)).collect();
        format!("{}/{}", self.root(place.root), names.join("/"))
    }

    fn send(&mut self, request: Request, keys: bool) -> Reply {
        let mut request = request.bearer(TOKEN);
        if keys {
            // Every token there is, in a condition that always holds.
            let lists = self.model.locks.iter().map(|lock| format!("({})", lock.token));
            let lists: Vec<String> = lists.chain(["(Not <DAV:no-lock>)".to_owned()]).collect();
            request = request.header("If", lists.join(" "));
        }
        let reply = self.connection.send(&request);
        // What is refused before its body was read costs the connection.
        if reply.status >= 400 {
            self.refused += 1;
            self.connection = self.server.connect();
        }
        reply
    }

    /// Does one operation on both sides and compares them; whether it was done, and not refused.
    pub fn step(&mut self, operation: &Operation) -> Result<bool, String> {
        let refused = self.refused;
        self.apply(operation).and_then(|()| self.compare()).map_err(|e| format!("{operation:?}: {e}"))?;
        Ok(refused == self.refused)
    }

    #[allow(clippy::too_many_lines, reason = "one arm for each operation")]
    fn apply(&mut self, operation: &Operation) -> Outcome {
        match operation {
            Operation::Put { at, size, only_new, keys } => {
                let (at, path) = (key(at), self.path(at));
                let refusals = self.model.put(&at, *only_new, *keys);
                let success = if self.model.get(&at).is_some() { 204 } else { 201 };
                let content = self.model.content(*size);
                let request = Request::new("PUT", &path).body(content.clone());
                let request = if *only_new { request.header("If-None-Match", "*") } else { request };
                let reply = self.send(request, *keys);
                if check(&reply, &refusals, &[success])? {
                    self.model.write(&at, content, etag(&reply)?);
                }
            }
            Operation::Append { at, keys } => {
                let (at, path) = (key(at), self.path(at));
                let refusals = self.model.append(&at, *keys);
                let more = self.model.content(10);
                let request = Request::new("PATCH", &path).header("X-Update-Range", "append").body(more.clone());
                let reply = self.send(request.header("Content-Type", "application/x-sabredav-partialupdate"), *keys);
                if check(&reply, &refusals, &[204])? {
                    let before = self.model.get(&at).and_then(|entry| entry.content.clone()).unwrap_or_default();
                    self.model.write(&at, [before, more].concat(), etag(&reply)?);
                }
            }
            Operation::Mkcol { at, keys } => {
                let refusals = self.model.mkcol(&key(at), *keys);
                let reply = self.send(Request::new("MKCOL", &self.path(at)), *keys);
                if check(&reply, &refusals, &[201])? {
                    self.model.make_collection(&key(at));
                }
            }
            Operation::Delete { at, keys } => {
                let refusals = self.model.delete(&key(at), *keys);
                let reply = self.send(Request::new("DELETE", &self.path(at)), *keys);
                if check(&reply, &refusals, &[204])? {
                    self.model.remove_tree(&key(at));
                }
            }
            Operation::Transfer { copy, from, to, overwrite, alone, keys } => {
                let (source, target) = (key(from), key(to));
                let refusals = self.model.transfer(*copy, &source, &target, *overwrite, *keys);
                let success = if self.model.get(&target).is_some() { 204 } else { 201 };
                let alone = *alone && *copy;
                let request = Request::new(if *copy { "COPY" } else { "MOVE" }, &self.path(from))
                    .header("Destination", self.path(to))
                    .header("Overwrite", if *overwrite { "T" } else { "F" })
                    .header("Depth", if alone { "0" } else { "infinity" });
                let reply = self.send(request, *keys);
                if check(&reply, &refusals, &[success])? {
                    self.model.place(*copy, &source, &target, alone);
                }
            }
            Operation::Proppatch { at, set, remove, keys } => {
                self.values += 1;
                let value = format!("<&> {}", self.values);
                let refusals = self.model.proppatch(&key(at), *keys);
                let removed = remove.map_or_else(String::new, |index| {
                    format!("<D:remove><D:prop><x:{}/></D:prop></D:remove>", PROPERTIES[index])
                });
                let body = format!(
                    "<D:propertyupdate xmlns:D=\"DAV:\" xmlns:x=\"{NAMESPACE}\"><D:set><D:prop><x:{name}>{value}</x:{name}></D:prop>\
                     </D:set>{removed}</D:propertyupdate>",
                    name = PROPERTIES[*set],
                    value = value.replace('&', "&amp;").replace('<', "&lt;"),
                );
                let reply = self.send(Request::new("PROPPATCH", &self.path(at)).body(body), *keys);
                if check(&reply, &refusals, &[207])? {
                    self.model.set_property(&key(at), value, *set, *remove);
                }
            }
            Operation::Lock { at, shared, infinite } => {
                let (at, path) = (key(at), self.path(at));
                let refusals = self.model.lock(&at, *shared, *infinite);
                let success = if self.model.get(&at).is_some() { 200 } else { 201 };
                let scope = if *shared { "shared" } else { "exclusive" };
                let body = format!(
                    "<D:lockinfo xmlns:D=\"DAV:\"><D:lockscope><D:{scope}/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>"
                );
                let request = Request::new("LOCK", &path).header("Depth", if *infinite { "infinity" } else { "0" });
                let reply = self.send(request.body(body), false);
                if check(&reply, &refusals, &[success])? {
                    let token = reply.header("lock-token").ok_or("no token")?.to_owned();
                    let lock = Lock { at, token, shared: *shared, infinite: *infinite };
                    self.model.take_lock(lock, None);
                }
            }
            Operation::Unlock(which) => {
                if self.model.locks.is_empty() {
                    return Ok(());
                }
                let lock = self.model.locks.remove(which % self.model.locks.len());
                let names: Vec<String> = lock.at.1.iter().map(|name| encode_segment(name)).collect();
                let path = format!("{}/{}", self.root(lock.at.0), names.join("/"));
                let reply = self.send(Request::new("UNLOCK", &path).header("Lock-Token", lock.token), false);
                check(&reply, &Vec::new(), &[204])?;
            }
            Operation::Sync { root, limit } => self.sync(*root, *limit)?,
            Operation::Restart { kill } => {
                self.server.restart(if *kill { Signal::KILL } else { Signal::TERM });
                self.connection = self.server.connect();
            }
        }
        Ok(())
    }

    /// Compares all roots, as the server lists them and as they lie on disk. Learns the tags that it could not know.
    fn compare(&mut self) -> Outcome {
        for root in 0..ROOTS.len() {
            let request = Request::new("PROPFIND", &self.root(root)).header("Depth", "infinity");
            let reply = self.send(request, false);
            check(&reply, &Vec::new(), &[207])?;
            let mut listed = BTreeMap::new();
            for one in multistatus(&reply) {
                let names = self.names(root, &one.href)?;
                if listed.insert(names, one).is_some() {
                    return Err("something is listed twice".to_owned());
                }
            }
            let expected = self.model.tree(&(root, Vec::new()));
            let names: Vec<_> = expected.iter().map(|((_, names), _)| names.clone()).collect();
            if listed.keys().cloned().collect::<Vec<_>>() != names {
                return Err(format!("listed {:?} where the model has {names:?}", listed.keys()));
            }
            for (at, entry) in expected {
                let one = &listed[&at.1];
                let is_collection = one.find(DAV, "resourcetype").is_some_and(|(_, p)| !p.children.is_empty());
                let length = one.text("getcontentlength").and_then(|text| text.parse().ok());
                let expected = (entry.content.is_none(), entry.content.as_ref().map(Vec::len));
                if (is_collection, length) != expected {
                    return Err(format!("{at:?} is {is_collection} {length:?} where the model has {expected:?}"));
                }
                for name in PROPERTIES {
                    let value = one.find(NAMESPACE, name).filter(|(status, _)| *status == 200).map(|(_, p)| p.text());
                    if value.as_ref() != entry.properties.get(name) {
                        return Err(format!("{name} of {at:?} is {value:?}, not {:?}", entry.properties.get(name)));
                    }
                }
                let locks = one.find(DAV, "lockdiscovery").map_or(0, |(_, p)| p.elements().count());
                let holding =
                    |lock: &&Lock| lock.at == at || (lock.infinite && super::reference::is_within(&at, &lock.at));
                if locks != self.model.locks.iter().filter(holding).count() {
                    return Err(format!("{at:?} shows {locks} locks, the model has {:?}", self.model.locks));
                }
                if entry.content.is_some() {
                    self.compare_file(&at, &entry, one.text("getetag"))?;
                }
            }
            self.compare_disk(root)?;
        }
        Ok(())
    }

    /// A tag stays as long as the content does. Content is read where its tag is new.
    fn compare_file(&mut self, at: &Key, entry: &Entry, listed: Option<String>) -> Outcome {
        let listed = listed.ok_or("a file without a tag")?;
        match &entry.etag {
            Some(known) if *known != listed => return Err(format!("{at:?} has the tag {listed}, not {known}")),
            Some(_) => return Ok(()),
            None => {}
        }
        let names: Vec<String> = at.1.iter().map(|name| encode_segment(name)).collect();
        let reply = self.send(Request::new("GET", &format!("{}/{}", self.root(at.0), names.join("/"))), false);
        check(&reply, &Vec::new(), &[200])?;
        if Some(&reply.body) != entry.content.as_ref() || reply.header("etag") != Some(&listed) {
            return Err(format!("{at:?} holds {} bytes that are not the model's", reply.body.len()));
        }
        if let Some(entry) = self.model.entries.get_mut(at) {
            entry.etag = Some(listed);
        }
        Ok(())
    }

    fn compare_disk(&self, root: usize) -> Outcome {
        let (cell, cell_box) = ROOTS[root];
        let top = self.server.root().join(format!("cells/{cell}{}/boxes/{cell_box}", self.number));
        let mut found = BTreeMap::new();
        for entry in walkdir::WalkDir::new(&top) {
            let entry = entry.map_err(|e| e.to_string())?;
            let below = entry.path().strip_prefix(&top).map_err(|e| e.to_string())?;
            let names: Vec<String> = below.iter().map(|name| name.to_string_lossy().into_owned()).collect();
            let content = if entry.file_type().is_dir() { None } else { std::fs::read(entry.path()).ok() };
            found.insert((root, names), content);
        }
        let expected = self.model.tree(&(root, Vec::new()));
        let expected: BTreeMap<_, _> = expected.into_iter().map(|(at, entry)| (at, entry.content)).collect();
        if found == expected { Ok(()) } else { Err(format!("on disk: {:?}", found.keys())) }
    }

    /// The names below a root in an href.
    fn names(&self, root: usize, href: &str) -> Result<Vec<String>, String> {
        let below = href.split_once(&self.root(root)).ok_or_else(|| format!("{href} is elsewhere"))?.1;
        let decode = |name: &str| percent_encoding::percent_decode_str(name).decode_utf8_lossy().into_owned();
        Ok(below.split('/').filter(|name| !name.is_empty()).map(decode).collect())
    }

    /// Brings a client's copy up to date; it must then be what the model has.
    fn sync(&mut self, root: usize, limit: Option<usize>) -> Outcome {
        let pages = limit.map_or_else(String::new, |n| format!("<D:limit><D:nresults>{n}</D:nresults></D:limit>"));
        let mut copy = std::mem::take(&mut self.copies[root]);
        loop {
            let body = format!(
                "<D:sync-collection xmlns:D=\"DAV:\"><D:sync-token>{}</D:sync-token><D:sync-level>infinite</D:sync-level>{pages}\
                 <D:prop><D:getetag/><D:resourcetype/></D:prop></D:sync-collection>",
                copy.token
            );
            let reply = self.send(Request::new("REPORT", &self.root(root)).header("Depth", "0").body(body), false);
            if reply.status == 403 && reply.text().contains("valid-sync-token") && !copy.token.is_empty() {
                copy = Copy::default();
                continue;
            }
            check(&reply, &Vec::new(), &[207])?;
            if !self.take_changes(root, &mut copy, &reply)? {
                break;
            }
        }
        let tree = self.model.tree(&(root, Vec::new())).into_iter().filter(|(at, _)| !at.1.is_empty());
        let expected: BTreeMap<_, _> = tree.map(|((_, names), entry)| (names, entry.etag)).collect();
        if copy.known != expected {
            return Err(format!("the client's copy is {:?}, the model {expected:?}", copy.known));
        }
        self.copies[root] = copy;
        Ok(())
    }

    /// Applies an answer to a copy; whether there is more to come.
    fn take_changes(&self, root: usize, copy: &mut Copy, reply: &Reply) -> Result<bool, String> {
        let answer = parse(&reply.body, Limits::of(100 << 20)).map_err(|e| e.to_string())?;
        copy.token = answer.child(DAV, "sync-token").ok_or("no token")?.text();
        let mut more = false;
        for response in answer.children_named(DAV, "response") {
            let href = response.child(DAV, "href").ok_or("no href")?.text();
            let names = self.names(root, &href)?;
            let status = response.child(DAV, "status").map(Element::text).unwrap_or_default();
            if status.contains(" 507 ") {
                more = true;
            } else if status.contains(" 404 ") {
                // With a collection goes what was in it.
                copy.known.retain(|known, _| !known.starts_with(&names));
            } else {
                let prop = response.child(DAV, "propstat").and_then(|p| p.child(DAV, "prop")).ok_or("no properties")?;
                let is_collection = prop.child(DAV, "resourcetype").is_some_and(|t| t.elements().next().is_some());
                let tag = prop.child(DAV, "getetag").map(Element::text);
                copy.known.insert(names, tag.filter(|_| !is_collection));
            }
        }
        Ok(more)
    }
}

/// Whether the operation was done. Refused with a wrong status, or done against the rules, is an error.
fn check(reply: &Reply, refusals: &Refusals, successes: &[u16]) -> Result<bool, String> {
    let text = || String::from_utf8_lossy(&reply.body).chars().take(600).collect::<String>();
    if refusals.is_empty() {
        if successes.contains(&reply.status) {
            return Ok(true);
        }
        return Err(format!("{} instead of {successes:?}: {}", reply.status, text()));
    }
    if refusals.contains(&reply.status) {
        return Ok(false);
    }
    Err(format!("{} where it must be one of {refusals:?}: {}", reply.status, text()))
}

fn etag(reply: &Reply) -> Result<String, String> {
    reply.header("etag").map(str::to_owned).ok_or_else(|| "no tag".to_owned())
}
