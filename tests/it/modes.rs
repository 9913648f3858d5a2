//! What other users of the machine may look into: nothing that holds secrets.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::Request;
use crate::harness::{Server, TOKEN};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
}

/// A server whose cell `c` has an account, content, an uploaded snapshot, and one that it wrote itself.
fn server() -> Server {
    let server = Server::start();
    server.admin("MKCOL", "/c").expect(201);
    server.admin("MKCOL", "/c/b").expect(201);
    let send = |method: &str, path: &str, body: &str| {
        let request = Request::new(method, path).bearer(TOKEN).header("X-Personium-Credential", "pass-word-1");
        server.send(request.body(body))
    };
    send("POST", "/c/__ctl/Account", r#"{"Name":"user"}"#).expect(201);
    send("PUT", "/c/b/f", "content").expect(201);
    send("PUT", "/c/__snapshot/uploaded.zip", "content").expect(201);
    send("POST", "/c/__export", r#"{"Name":"made"}"#).expect(202);
    let end = Instant::now() + Duration::from_secs(20);
    while server.admin("GET", "/c/__snapshot/made.zip").status != 200 {
        assert!(Instant::now() < end, "no snapshot is made");
        std::thread::sleep(Duration::from_millis(10));
    }
    server
}

const SECRETS: [&str; 7] = [
    "unit.db",
    "unit.db-wal",
    "token.keys",
    "cells/c/cell.db",
    "cells/c/cell.db-wal",
    "cells/c/snapshot/made.zip",
    "cells/c/snapshot/uploaded.zip",
];
const CLOSED: [&str; 7] = ["", "cells", "staging", "exports", "cells/c", "cells/c/snapshot", "cells/c/staging"];

#[test]
fn what_holds_secrets_is_its_owners_alone() {
    let server = server();
    for file in SECRETS {
        assert_eq!(mode(&server.root().join(file)), 0o600, "{file}");
    }
    for directory in CLOSED {
        assert_eq!(mode(&server.root().join(directory)), 0o700, "{directory:?}");
    }
}

#[test]
fn a_root_of_an_older_version_is_closed_to_strangers() {
    let mut server = server();
    let root = server.root().to_owned();
    for directory in CLOSED {
        set_mode(&root.join(directory), 0o755);
    }
    for file in ["unit.db", "cells/c/cell.db", "cells/c/cell.db-wal"] {
        set_mode(&root.join(file), 0o644);
    }
    server.restart(Signal::KILL);
    assert_eq!(server.admin("GET", "/c/b/f").expect(200).body, b"content");
    for file in ["unit.db", "cells/c/cell.db", "cells/c/cell.db-wal"] {
        assert_eq!(mode(&root.join(file)), 0o600, "{file}");
    }
    for directory in ["cells", "staging", "exports"] {
        assert_eq!(mode(&root.join(directory)), 0o750, "{directory}: its group may have been let in on purpose");
    }
}
