//! Random cells, made over HTTP, out of one server and into another: everything that clients can ask is the same afterwards, and so is
//! the tree on disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Connection, Reply, Request};
use crate::harness::{Server, TOKEN};

const ROUNDS: u64 = 10;
const STEPS: usize = 60;

/// Marsaglia's xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    fn name(&mut self) -> String {
        const PARTS: [&str; 10] = ["a", "b.txt", "content", ".pmeta", "ä", "日本", "e\u{301}", " x", "'q'", "%41&+"];
        format!("{}{}", self.pick(&PARTS), self.below(40))
    }
}

struct Made {
    url: String,
    connection: Connection,
    random: Random,
    boxes: Vec<String>,
    /// Encoded paths below the cell.
    collections: Vec<String>,
    resources: Vec<String>,
    roles: Vec<String>,
    accounts: Vec<String>,
}

fn admin(method: &str, target: &str) -> Request {
    Request::new(method, target).bearer(TOKEN)
}

fn encoded(name: &str) -> String {
    use std::fmt::Write as _;
    name.bytes().fold(String::new(), |mut out, b| {
        if b.is_ascii_alphanumeric() || b"-._".contains(&b) {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
        out
    })
}

impl Made {
    fn new(server: &Server, seed: u64) -> Self {
        server.admin("MKCOL", "/c").expect(201);
        let (connection, random) = (server.connect(), Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1));
        let main = vec!["/c/__".to_owned()];
        Self {
            url: server.url(),
            connection,
            random,
            boxes: vec!["__".to_owned()],
            collections: main.clone(),
            resources: main,
            roles: Vec::new(),
            accounts: Vec::new(),
        }
    }

    fn send(&mut self, request: &Request) -> Reply {
        let reply = self.connection.send(request);
        assert!(reply.status < 300 || reply.status == 409, "{reply:?}");
        reply
    }

    fn control(&mut self, set: &str, body: &Value) -> bool {
        let request = admin("POST", &format!("/c/__ctl/{set}")).body(body.to_string());
        self.send(&request.header("X-Personium-Credential", "Password-1")).status == 201
    }

    fn step(&mut self, n: usize) {
        match self.random.below(12) {
            0 => {
                let name = format!("box{n}");
                let schema = if n.is_multiple_of(2) { Value::Null } else { json!(format!("https://app{n}.example/")) };
                assert!(self.control("Box", &json!({ "Name": name, "Schema": schema })));
                self.collections.push(format!("/c/{name}"));
                self.resources.push(format!("/c/{name}"));
                self.boxes.push(name);
            }
            1 | 2 => {
                let target =
                    format!("{}/{}-{n}", self.random.pick(&self.collections.clone()), encoded(&self.random.name()));
                self.send(&admin("MKCOL", &target));
                self.collections.push(target.clone());
                self.resources.push(target);
            }
            3..=6 => {
                let target =
                    format!("{}/{}-{n}", self.random.pick(&self.collections.clone()), encoded(&self.random.name()));
                let size = *self.random.pick(&[0, 1, 100, 5000, 70_000, 1 << 20]);
                let noise = self.random.below(2) == 0;
                let bytes = (0..size).map(|at| if noise { self.random.below(256) as u8 } else { b"text \n"[at % 6] });
                let bytes: Vec<u8> = bytes.collect();
                self.send(&admin("PUT", &target).header("Content-Type", format!("x/y{n}")).body(bytes));
                self.resources.push(target);
            }
            7 => {
                let target = self.random.pick(&self.resources.clone()).clone();
                let body = format!(
                    "<D:propertyupdate xmlns:D=\"DAV:\" xmlns:x=\"urn:x\"><D:set><D:prop><x:p{n} a=\"ä\">v &amp; <x:b/></x:p{n}></D:prop></D:set></D:propertyupdate>"
                );
                self.send(&admin("PROPPATCH", &target).body(body));
            }
            8 => {
                let name = format!("role{n}");
                let cell_box = self.random.pick(&self.boxes.clone()).clone();
                let cell_box = if cell_box == "__" { Value::Null } else { json!(cell_box) };
                let global = cell_box.is_null();
                assert!(self.control("Role", &json!({ "Name": name, "_Box.Name": cell_box })));
                if global {
                    self.roles.push(name);
                }
            }
            9 => {
                let name = format!("user{n}");
                assert!(self.control("Account", &json!({ "Name": name })));
                if let Some(role) = self.roles.last().cloned() {
                    let link = format!("/c/__ctl/Account('{name}')/$links/_Role");
                    let uri = json!({ "uri": format!("{}c/__ctl/Role('{role}')", self.url) }).to_string();
                    self.connection.send(&admin("POST", &link).body(uri)).expect(204);
                }
                self.accounts.push(name);
            }
            10 => {
                let (relation, rule) = (format!("relation{n}"), format!("rule{n}"));
                assert!(self.control("Relation", &json!({ "Name": relation })));
                assert!(self.control("ExtCell", &json!({ "Url": format!("https://other{n}.example/c/") })));
                let rule =
                    json!({ "Name": rule, "EventExternal": true, "Action": "log", "EventType": format!("t{n}") });
                assert!(self.control("Rule", &rule));
                let ext =
                    json!({ "ExtRole": format!("https://o{n}.example/c/__role/__/r"), "_Relation.Name": relation });
                assert!(self.control("ExtRole", &ext));
            }
            _ => {
                let Some(role) = self.roles.last().cloned() else { return };
                let (target, url) = (self.random.pick(&self.resources.clone()).clone(), &self.url);
                let body = format!(
                    "<D:acl xmlns:D=\"DAV:\" xmlns:p=\"urn:x-personium:xmlns\" xml:base=\"{url}c/__role/__/\"><D:ace><D:principal><D:href>{role}</D:href></D:principal><D:grant><D:privilege><D:read/></D:privilege></D:grant></D:ace><D:ace><D:principal><D:all/></D:principal><D:grant><D:privilege><D:read-properties/></D:privilege></D:grant></D:ace></D:acl>"
                );
                self.connection.send(&admin("ACL", &target).body(body)).expect(200);
            }
        }
    }
}

/// Everything that a client can ask, with the server's own URL made a common one.
fn portrait(server: &Server, made: &Made) -> BTreeMap<String, String> {
    let mut connection = server.connect();
    let mut all = BTreeMap::new();
    let url = server.url();
    let common = |text: &str| text.replace(&url, "http://server/").replace(&server.address.to_string(), "server");
    for collection in &made.collections {
        let listing = connection.send(&admin("PROPFIND", collection).header("Depth", "1")).expect(207);
        all.insert(format!("PROPFIND {collection}"), common(listing.text()));
    }
    for target in &made.resources {
        let acl = "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:acl/></D:prop></D:propfind>";
        let shown = connection.send(&admin("PROPFIND", target).header("Depth", "0").body(acl)).expect(207);
        all.insert(format!("ACL {target}"), common(shown.text()));
        if made.collections.contains(target) {
            continue;
        }
        let got = connection.send(&admin("GET", target)).expect(200);
        let headers: Vec<_> =
            ["etag", "content-type", "last-modified", "content-length"].map(|name| got.header(name)).into();
        all.insert(format!("GET {target}"), format!("{headers:?} {:08x}", crc32fast::hash(&got.body)));
    }
    for set in ["Box", "Account", "ExtCell", "Role", "Relation", "ExtRole", "Rule", "DrivePassword"] {
        let shown = connection.send(&admin("GET", &format!("/c/__ctl/{set}?$top=1000"))).expect(200).json();
        let mut rows: Vec<String> =
            shown["d"]["results"].as_array().expect("rows").iter().map(Value::to_string).collect();
        rows.sort();
        all.insert(set.to_owned(), common(&rows.join("\n")));
    }
    for account in &made.accounts {
        let links = connection.send(&admin("GET", &format!("/c/__ctl/Account('{account}')/$links/_Role"))).expect(200);
        all.insert(format!("links of {account}"), common(links.text()));
        let form = format!("grant_type=password&username={account}&password=Password-1");
        let login = Request::new("POST", "/c/__token").header("Content-Type", "application/x-www-form-urlencoded");
        all.insert(format!("login of {account}"), connection.send(&login.body(form)).status.to_string());
    }
    tree(&server.root().join("cells/c/boxes"), "", &mut all);
    all
}

fn tree(at: &Path, path: &str, all: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(at).expect("a directory") {
        let entry = entry.expect("an entry");
        let path = format!("{path}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().expect("a type").is_dir() {
            all.insert(format!("on disk {path}"), String::new());
            tree(&entry.path(), &path, all);
        } else {
            let bytes = fs::read(entry.path()).expect("the file");
            all.insert(format!("on disk {path}"), format!("{:08x}", crc32fast::hash(&bytes)));
        }
    }
}

fn ended(server: &Server, endpoint: &str) {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let status = server.admin("GET", &format!("/c/{endpoint}")).expect(200).json();
        match status["status"].as_str() {
            Some("ready") => return,
            Some(status) if status.ends_with("in progress") => {}
            _ => panic!("{status}"),
        }
        assert!(Instant::now() < deadline, "{status}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn whatever_a_cell_holds_clients_find_it_in_its_new_home() {
    for round in 0..ROUNDS {
        let seed = u64::from(std::process::id()) * 1000 + round;
        let (from, to) = (Server::start(), Server::start());
        let mut made = Made::new(&from, seed);
        for n in 0..STEPS {
            made.step(n);
        }
        let before = portrait(&from, &made);
        from.send(admin("POST", "/c/__export").body(r#"{"Name":"s"}"#)).expect(202);
        ended(&from, "__export");
        let zip = from.admin("GET", "/c/__snapshot/s.zip").expect(200).body;
        to.admin("MKCOL", "/c").expect(201);
        to.send(admin("PUT", "/c/__snapshot/s.zip").body(zip)).expect(201);
        to.send(admin("POST", "/c/__import").body(r#"{"Name":"s"}"#)).expect(202);
        ended(&to, "__import");
        let after = portrait(&to, &made);
        assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "seed {seed}");
        for (what, told) in &before {
            assert_eq!(told, &after[what], "seed {seed}: {what}");
        }
    }
}
