//! SIGKILL at random moments of a mixed load: what was acknowledged is there with its bytes, type and property, nothing is half
//! there, the check is clean, and nothing stays staged.
//!
//! Each thread works in a folder of its own, so at most one of its operations is in doubt at a kill; that one happened wholly or
//! not at all. The moment of the kill is random, the load is not.

use std::collections::BTreeMap;
use std::io;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::client::{Connection, Reply, Request};
use crate::harness::{Server, TOKEN, run};

const THREADS: u64 = 4;
const ROUNDS: u64 = 200;
/// Rounds end early when this much time is over, so that a slow machine does not hold everybody up; at least half are done.
const TIME: Duration = Duration::from_mins(4);

/// What lies under a path: a collection, or a file with content, type and property.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Collection,
    File { content: Vec<u8>, kind: String, property: Option<String> },
}

type Tree = BTreeMap<String, Node>;

/// A small generator of numbers (xorshift), so that a failure can be repeated from its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    fn pick<'t>(&mut self, tree: &'t Tree, wanted: impl Fn(&Node) -> bool) -> Option<&'t str> {
        let all: Vec<&String> = tree.iter().filter(|(_, n)| wanted(n)).map(|(p, _)| p).collect();
        if all.is_empty() { None } else { Some(all[self.roll(all.len() as u64) as usize].as_str()) }
    }
}

struct Worker {
    folder: String,
    tree: Tree,
    /// What the tree is if the last operation happened after all.
    doubt: Option<Tree>,
    dice: Dice,
    /// Of a hundred kinds of steps, how many are taken: the first 45 put files.
    kinds: u64,
    done: u64,
}

fn moved(tree: &Tree, from: &str, to: &str, keep: bool) -> Tree {
    let mut next = tree.clone();
    for (path, node) in tree {
        let Some(rest) = path.strip_prefix(from).filter(|r| r.is_empty() || r.starts_with('/')) else { continue };
        if !keep {
            next.remove(path);
        }
        next.insert(format!("{to}{rest}"), node.clone());
    }
    next
}

impl Worker {
    fn target(&self, path: &str) -> String {
        format!("{}/{}", self.folder, path.replace(' ', "%20"))
    }

    fn free_name(&mut self) -> String {
        let folder =
            self.dice.pick(&self.tree, |n| *n == Node::Collection).map(|p| format!("{p}/")).unwrap_or_default();
        format!("{folder}n {}", self.dice.roll(1 << 40))
    }

    /// One operation; an error means that the server is gone.
    fn step(&mut self, connection: &mut Connection) -> io::Result<()> {
        let is_file = |n: &Node| matches!(n, Node::File { .. });
        let roll = self.dice.roll(self.kinds);
        let mut next = self.tree.clone();
        let request = |method: &str, target: String| Request::new(method, &target).bearer(TOKEN);
        let (request, expected): (Request, &[u16]) = if roll < 45 {
            let over = self.dice.pick(&self.tree, is_file).filter(|_| roll < 15).map(str::to_owned);
            let path = over.unwrap_or_else(|| self.free_name());
            let size = [0, 1, 100, 4096, 70_000, 300_000][self.dice.roll(6) as usize];
            let seed = self.dice.roll(1 << 30);
            let content: Vec<u8> = (0..size).map(|i: u64| (i.wrapping_mul(seed | 1) >> 7) as u8).collect();
            let kind = ["text/plain", "image/x-any"][self.dice.roll(2) as usize].to_owned();
            let property = match self.tree.get(&path) {
                Some(Node::File { property, .. }) => property.clone(),
                _ => None,
            };
            let put = request("PUT", self.target(&path)).header("Content-Type", kind.clone()).body(content.clone());
            next.insert(path, Node::File { content, kind, property });
            (put, &[201, 204])
        } else if roll < 55 {
            let path = self.free_name();
            next.insert(path.clone(), Node::Collection);
            (request("MKCOL", self.target(&path)), &[201])
        } else if roll < 78 {
            let trees = roll >= 70;
            let Some(from) = self.dice.pick(&self.tree, |n| is_file(n) != trees).map(str::to_owned) else {
                return Ok(());
            };
            let (to, copy) = (self.free_name(), roll.is_multiple_of(3));
            if to == from || to.starts_with(&format!("{from}/")) || (copy && self.tree.len() > 120) {
                return Ok(());
            }
            next = moved(&self.tree, &from, &to, copy);
            let method = if copy { "COPY" } else { "MOVE" };
            (request(method, self.target(&from)).header("Destination", self.target(&to)), &[201])
        } else if roll < 88 {
            let Some(path) = self.dice.pick(&self.tree, |_| true).map(str::to_owned) else { return Ok(()) };
            next.retain(|p, _| p != &path && !p.starts_with(&format!("{path}/")));
            (request("DELETE", self.target(&path)), &[204])
        } else {
            let Some(path) = self.dice.pick(&self.tree, is_file).map(str::to_owned) else { return Ok(()) };
            let value = format!("v{}", self.dice.roll(1 << 40));
            if let Some(Node::File { property, .. }) = next.get_mut(&path) {
                *property = Some(value.clone());
            }
            let body = format!(
                "<D:propertyupdate xmlns:D=\"DAV:\"><D:set><D:prop><c xmlns=\"urn:crash\">{value}</c></D:prop></D:set></D:propertyupdate>"
            );
            (request("PROPPATCH", self.target(&path)).body(body), &[207])
        };
        self.doubt = Some(next);
        let reply = connection.try_send(&request)?;
        assert!(expected.contains(&reply.status), "{}: {} {}", self.folder, reply.status, reply.text());
        self.tree = self.doubt.take().unwrap_or_default();
        self.done += 1;
        Ok(())
    }
}

fn text_of<'t>(xml: &'t str, open: &str, close: &str) -> Option<&'t str> {
    let start = xml.find(open)? + open.len();
    let end = xml[start..].find(close)? + start;
    Some(&xml[start..end])
}

/// What the server shows below a folder.
fn observe(connection: &mut Connection, folder: &str) -> Tree {
    let ask = |connection: &mut Connection, method: &str, target: &str| -> Reply {
        connection.send(&Request::new(method, target).bearer(TOKEN).header("Depth", "1"))
    };
    let (mut tree, mut todo) = (Tree::new(), vec![String::new()]);
    while let Some(at) = todo.pop() {
        let target = format!("{folder}/{}", at.replace(' ', "%20"));
        let listing = ask(connection, "PROPFIND", &target).expect(207);
        for response in listing.text().split("response>").filter(|r| r.contains("href>")) {
            let href = text_of(response, "href>", "</").expect("an href").replace("%20", " ");
            let path = href.split_once(folder).expect("a member of the folder").1.trim_matches('/').to_owned();
            if path == at {
                continue;
            }
            if response.contains("collection/>") {
                tree.insert(path.clone(), Node::Collection);
                todo.push(path);
                continue;
            }
            let file = ask(connection, "GET", &format!("{folder}/{}", path.replace(' ', "%20"))).expect(200);
            let length = text_of(response, "getcontentlength>", "<").expect("a length");
            assert_eq!(length, file.body.len().to_string(), "{path}");
            let kind = file.header("Content-Type").expect("a type").to_owned();
            let property = text_of(response, "urn:crash\">", "<").map(str::to_owned);
            tree.insert(path, Node::File { content: file.body, kind, property });
        }
    }
    tree
}

fn compare(worker: &mut Worker, connection: &mut Connection, round: u64) {
    let there = observe(connection, &worker.folder);
    let doubt = worker.doubt.take();
    if there != worker.tree && doubt.as_ref() != Some(&there) {
        let show = |t: &Tree| -> BTreeMap<String, String> {
            let node = |n: &Node| match n {
                Node::Collection => "collection".to_owned(),
                Node::File { content, kind, property } => format!("{} bytes {kind} {property:?}", content.len()),
            };
            t.iter().map(|(p, n)| (p.clone(), node(n))).collect()
        };
        let doubt = doubt.as_ref().map(show);
        panic!(
            "round {round}, {}\nthere: {:#?}\nacknowledged: {:#?}\nin doubt: {doubt:#?}",
            worker.folder,
            show(&there),
            show(&worker.tree)
        );
    }
    worker.tree = there;
}

const BAR_FILES: usize = 400;

fn a_bar(files: usize) -> Vec<u8> {
    use std::fmt::Write as _;
    use std::io::Write as _;
    let collection = "<resourcetype><collection/></resourcetype>";
    let mut properties = String::from("<multistatus xmlns=\"DAV:\">");
    let mut declare = |path: &str, inside: &str| {
        let _ = write!(
            properties,
            "<response><href>personium-localbox:/{path}</href><propstat><prop>{inside}</prop></propstat></response>"
        );
    };
    declare("", collection);
    for i in 0..files {
        declare(&format!("f{i}"), "<getcontenttype>application/x-f</getcontenttype><resourcetype/>");
    }
    properties.push_str("</multistatus>");
    let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    let mut add = |name: &str, bytes: &[u8]| {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).expect("a member");
        zip.write_all(bytes).expect("written");
    };
    add(
        "00_meta/00_manifest.json",
        br#"{"bar_version":"2","box_version":"1","default_path":"x","schema":"https://crash.example/"}"#,
    );
    add("00_meta/20_roles.json", br#"{"Roles":[{"Name":"r"}]}"#);
    add("00_meta/90_rootprops.xml", properties.as_bytes());
    for i in 0..files {
        add(&format!("90_contents/f{i}"), &vec![i as u8; 2000]);
    }
    zip.finish().expect("an archive").into_inner()
}

/// An installation that was running at a kill ended: ready with everything, or failed. The box can be deleted, which is what a
/// client does then; tells whether it was ready.
fn ended_whole(server: &Server, round: u64) -> bool {
    let about = server.admin("GET", "/crash/installed").expect(200).json();
    let status = about["box"]["status"].as_str().expect("a status").to_owned();
    let roles =
        server.admin("GET", "/crash/__ctl/Role").expect(200).json()["d"]["results"].as_array().map_or(0, Vec::len);
    let files = observe(&mut server.connect(), "/crash/installed").len();
    match status.as_str() {
        "ready" => assert_eq!((files, roles), (BAR_FILES, 1), "round {round}"),
        "installation failed" => assert_eq!((files, roles), (0, 0), "round {round}"),
        other => panic!("round {round}: the box is {other}"),
    }
    let delete = Request::new("DELETE", "/crash/installed").bearer(TOKEN).header("X-Personium-Recursive", "true");
    server.send(delete).expect(204);
    status == "ready"
}

fn workers(server: &Server, kinds: u64) -> Vec<Worker> {
    let worker = |n| {
        let folder = format!("/crash/b/t{n}");
        server.admin("MKCOL", &folder).expect(201);
        let dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (n + 1));
        Worker { folder, tree: Tree::new(), doubt: None, dice, kinds, done: 0 }
    };
    (0..THREADS).map(worker).collect()
}

/// The kill comes after so many answers to somebody else, not after a time: the load decides when that is.
fn work_until_killed(server: &Server, workers: &mut [Worker], answers: u64) {
    let killed = AtomicBool::new(false);
    std::thread::scope(|s| {
        for worker in workers {
            let (mut connection, killed) = (server.connect(), &killed);
            s.spawn(move || while worker.step(&mut connection).is_ok() && !killed.load(Ordering::Relaxed) {});
        }
        let mut probe = server.connect();
        for _ in 0..answers {
            if probe.try_send(&Request::new("GET", "/")).is_err() {
                break;
            }
        }
        server.signal(Signal::KILL);
        killed.store(true, Ordering::Relaxed);
    });
}

/// A tmpfs of its own, unmounted in the end.
struct Memory(TempDir);

impl Memory {
    fn mount() -> Self {
        let dir = TempDir::new().expect("a directory");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(dir.path()).status();
        assert!(mounted.is_ok_and(|status| status.success()), "a tmpfs can be mounted (as root)");
        Self(dir)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking(), "it is unmounted");
    }
}

#[test]
fn what_was_answered_before_its_rows_survives_kills() {
    let memory = Memory::mount();
    let root = memory.0.path().join("unit");
    let relaxed = [("CELLAR_STORAGE__DURABILITY", "relaxed")];
    let mut server = Server::at(&root, &relaxed);
    server.admin("MKCOL", "/crash").expect(201);
    server.admin("MKCOL", "/crash/b").expect(201);
    let mut workers = workers(&server, 45);
    let mut moment = Dice(std::process::id().into());
    let mut made_again = 0;
    for round in 0..60 {
        work_until_killed(&server, &mut workers, moment.roll(200));
        server.wait();
        server = Server::at(&root, &relaxed);
        let mut connection = server.connect();
        for worker in &mut workers {
            compare(worker, &mut connection, round);
        }
        made_again += u64::from(server.log().contains("making rows of what was answered"));
    }
    assert!(made_again > 0, "rows were missing at some of the kills");
    assert!(server.stop().success());
    let check = run(&["check", "--root", root.to_str().expect("text")], &[]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}

#[test]
fn what_was_acknowledged_survives_two_hundred_kills() {
    let dir = TempDir::new().expect("a directory");
    let root = dir.path().join("unit");
    let mut server = Server::at(&root, &[]);
    server.admin("MKCOL", "/crash").expect(201);
    server.admin("MKCOL", "/crash/b").expect(201);
    let mut workers = workers(&server, 100);
    let bar = a_bar(BAR_FILES);
    let mut installed = 0;
    let mut moment = Dice(std::process::id().into());
    let began = Instant::now();
    let mut rounds = 0;
    while rounds < ROUNDS && (began.elapsed() < TIME || rounds < ROUNDS / 2) {
        let install = rounds % 4 == 3;
        if install {
            let mkcol =
                Request::new("MKCOL", "/crash/installed").bearer(TOKEN).header("Content-Type", "application/zip");
            server.send(mkcol.body(bar.clone())).expect(202);
        }
        work_until_killed(&server, &mut workers, moment.roll(400));
        server.wait();
        server = Server::at(&root, &[]);
        let mut connection = server.connect();
        for worker in &mut workers {
            compare(worker, &mut connection, rounds);
        }
        if install {
            installed += u64::from(ended_whole(&server, rounds));
        }
        rounds += 1;
    }
    assert!(server.stop().success());
    let check = run(&["check", "--root", root.to_str().expect("text")], &[]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    let staged: Vec<_> = walkdir::WalkDir::new(root.join("cells/crash/staging"))
        .into_iter()
        .filter_map(Result::ok)
        .filter(|e| e.file_type().is_file())
        .collect();
    assert!(staged.is_empty(), "{staged:?}");
    let done: u64 = workers.iter().map(|w| w.done).sum();
    assert!(done > rounds, "only {done} operations in {rounds} rounds");
    // Some installations end before the kill; most do not.
    assert!(installed < rounds / 4, "no installation was killed");
}
