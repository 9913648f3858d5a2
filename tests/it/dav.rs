//! WebDAV in boxes, as a client sees it and as it lies on disk.

use std::path::PathBuf;

use cellar::base::xml::{DAV, Element, Limits, parse};
use cellar::storage::Unit;
use cellar::storage::cell::Limits as CellLimits;
use cellar::storage::database::control::ObjectKind;
use cellar::storage::operation::boxes::CreateBox;
use cellar::storage::unit::Role;
use cellar::storage::writer::{Change, Context};

use crate::client::{Connection, Reply, Request};
use crate::harness::{Server, TOKEN};

mod acl;
mod across_cells;
mod by_hand;
mod collections;
mod escapes;
mod files;
mod listing;
mod locks;
mod names;
mod partial;
mod properties;
mod quota;
mod sync;
mod transfer;

/// A server with the cell `c` and its boxes `b` and `other`.
pub struct Drive {
    pub server: Server,
}

impl Drive {
    pub fn new() -> Self {
        Self::with(&[])
    }

    pub fn with(environment: &[(&str, &str)]) -> Self {
        let drive = Self { server: Server::with(environment) };
        drive.tool(|unit| {
            unit.create_cell("c").expect("a cell");
            let cell = unit.cell("c").expect("the cell");
            for name in ["b", "other"] {
                cell.change(CreateBox { name: name.to_owned(), schema: None }).expect("a box");
            }
        });
        drive
    }

    /// Does something beside the running server, as the command line would.
    pub fn tool(&self, act: impl FnOnce(&Unit)) {
        act(&Unit::open(self.server.root(), Role::Tool, CellLimits::default()).expect("the unit"));
    }

    /// Another cell with a box `b`.
    pub fn cell(&self, name: &str) {
        self.tool(|unit| {
            unit.create_cell(name).expect("a cell");
            let create = CreateBox { name: "b".to_owned(), schema: None };
            unit.cell(name).expect("the cell").change(create).expect("a box");
        });
    }

    /// A role of the cell, bound to a box or to none.
    pub fn role(&self, name: &'static str, box_name: Option<&'static str>) {
        self.tool(|unit| {
            let create = Change(move |ctx: &Context<'_>| {
                let owner = match box_name {
                    Some(name) => ctx.tx.cell_box(name)?.expect("the box").id,
                    None => 0,
                };
                ctx.tx.insert_object(ObjectKind::Role, name, owner, "")
            });
            unit.cell("c").expect("the cell").change(create).expect("a role");
        });
    }

    /// Stops the server and starts it again.
    pub fn restart(&mut self) {
        self.server.restart(rustix::process::Signal::TERM);
    }

    /// The URL of a path below the cell.
    pub fn url(&self, path: &str) -> String {
        format!("{}c/{path}", self.server.url())
    }

    /// Where a path of the box `b` lies.
    pub fn on_disk(&self, path: &str) -> PathBuf {
        self.server.root().join("cells/c/boxes/b").join(path)
    }

    pub fn send(&self, request: Request) -> Reply {
        self.server.send(request)
    }

    pub fn connect(&self) -> Connection {
        self.server.connect()
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send(on("GET", path))
    }

    pub fn put(&self, path: &str, body: impl Into<Vec<u8>>) -> Reply {
        self.send(on("PUT", path).body(body))
    }

    pub fn mkcol(&self, path: &str) -> Reply {
        self.send(on("MKCOL", path))
    }

    pub fn delete(&self, path: &str) -> Reply {
        self.send(on("DELETE", path))
    }

    pub fn moves(&self, from: &str, to: &str) -> Reply {
        self.send(on("MOVE", from).header("Destination", self.url(to)))
    }

    pub fn copies(&self, from: &str, to: &str) -> Reply {
        self.send(on("COPY", from).header("Destination", self.url(to)))
    }

    pub fn xml(&self, method: &str, path: &str, body: &str) -> Reply {
        self.send(on(method, path).header("Content-Type", "application/xml").body(body))
    }

    pub fn propfind(&self, path: &str, depth: &str) -> Vec<Listed> {
        multistatus(&self.send(on("PROPFIND", path).header("Depth", depth)).expect(207))
    }

    pub fn proppatch(&self, path: &str, inner: &str) -> Reply {
        let body = format!("<D:propertyupdate xmlns:D=\"DAV:\" xmlns:x=\"urn:x\">{inner}</D:propertyupdate>");
        self.xml("PROPPATCH", path, &body)
    }

    /// The text of a file.
    pub fn text(&self, path: &str) -> String {
        self.get(path).expect(200).text().to_owned()
    }

    /// The names of a collection's members.
    pub fn names(&self, path: &str) -> Vec<String> {
        let listed = self.propfind(path, "1");
        listed[1..].iter().map(|l| l.href.rsplit('/').next().expect("a name").to_owned()).collect()
    }
}

/// A request of the administrator for a path below the cell `c`.
pub fn on(method: &str, path: &str) -> Request {
    Request::new(method, &format!("/c/{path}")).bearer(TOKEN)
}

/// One response of a multistatus.
pub struct Listed {
    pub href: String,
    /// Each property with its status.
    pub properties: Vec<(u16, Element)>,
}

impl Listed {
    pub fn find(&self, ns: &str, local: &str) -> Option<&(u16, Element)> {
        self.properties.iter().find(|(_, p)| p.is(ns, local))
    }

    /// The text of a property in `DAV:` that is there.
    pub fn text(&self, local: &str) -> Option<String> {
        self.find(DAV, local).filter(|(status, _)| *status == 200).map(|(_, p)| p.text())
    }

    pub fn statuses(&self) -> Vec<(String, u16)> {
        self.properties.iter().map(|(status, p)| (p.local.clone(), *status)).collect()
    }
}

pub fn multistatus(reply: &Reply) -> Vec<Listed> {
    let root = parse(&reply.body, Limits::of(100 << 20)).expect("XML");
    assert!(root.is(DAV, "multistatus"), "{root:?}");
    root.children_named(DAV, "response").map(listed).collect()
}

fn listed(response: &Element) -> Listed {
    let href = response.child(DAV, "href").expect("a href").text();
    let mut properties = Vec::new();
    for propstat in response.children_named(DAV, "propstat") {
        let status = propstat.child(DAV, "status").expect("a status").text();
        let status: u16 = status.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a number");
        let prop = propstat.child(DAV, "prop").expect("a prop");
        properties.extend(prop.elements().map(|p| (status, p.clone())));
    }
    Listed { href, properties }
}
