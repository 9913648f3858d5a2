//! `cellar account`, `role`, `token` and `acl`: on a directory beside its server, and against a running server.

use std::io::Write as _;
use std::process::{Output, Stdio};

use serde_json::Value;

use super::{World, outcome};
use crate::client::Request;
use crate::harness::{TOKEN, cellar};

const CHEAP: [(&str, &str); 2] = [("CELLAR_AUTH__ARGON2_MEMORY", "64KiB"), ("CELLAR_AUTH__ARGON2_ITERATIONS", "1")];

/// Runs a verb on the directory of a world, or against its server, with a line on stdin.
fn run(world: &World, remote: bool, arguments: &[&str], stdin: &str) -> Output {
    let mut command = cellar();
    command.args(arguments).envs(CHEAP).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if remote {
        command.env("CELLAR_URL", world.server.url()).env("CELLAR_TOKEN", TOKEN);
    } else {
        command.env("CELLAR_ROOT", world.server.root());
    }
    let mut child = command.spawn().expect("the program starts");
    let mut pipe = child.stdin.take().expect("a pipe");
    // A verb that reads nothing may be gone already.
    let _ = pipe.write_all(stdin.as_bytes());
    drop(pipe);
    child.wait_with_output().expect("an end")
}

#[track_caller]
fn told(world: &World, remote: bool, arguments: &[&str], stdin: &str) -> String {
    let output = run(world, remote, arguments, stdin);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
}

#[test]
fn people_are_let_in_by_the_command_line() {
    for remote in [false, true] {
        let world = World::new();
        let told = |arguments: &[&str], stdin: &str| told(&world, remote, arguments, stdin);
        told(&["account", "add", "c", "bob"], "pass-word-1\n");
        told(&["role", "add", "c", "editor"], "");
        told(&["account", "grant", "c", "bob", "editor"], "");
        told(&["acl", "grant", "c/b", "editor", "read", "write"], "");
        assert_eq!(told(&["account", "ls", "c"], ""), "bob\tactive\tbasic\t-");
        assert_eq!(told(&["role", "ls", "c"], ""), "editor\t-");
        assert_eq!(told(&["acl", "show", "c/b"], ""), "editor\tread write");

        let token = told(&["token", "get", "c", "bob"], "pass-word-1\n");
        let put = |token: &str| outcome(&world.send(Request::new("PUT", "/c/b/f").bearer(token).body("x")));
        assert_eq!(put(&token), "201", "the server takes the token and the list at once");
        assert!(told(&["token", "show", "c"], &token).contains("username\tbob"));
        told(&["token", "revoke", "c"], &token);
        assert_eq!(put(&token), "401 PR401-AU-0002");

        let password = told(&["account", "drive-password", "add", "c", "bob", "laptop", "--box", "b"], "");
        let mounted = Request::new("PROPFIND", "/c/b").basic("bob", &password).header("Depth", "1");
        world.send(mounted.clone()).expect(207);
        assert_eq!(told(&["account", "drive-password", "ls", "c"], ""), "laptop\tbob\tb");
        told(&["account", "drive-password", "rm", "c", "laptop"], "");
        assert_eq!(world.send(mounted).status, 401);

        told(&["account", "password", "c", "bob"], "other-word\n");
        let listed: Value = serde_json::from_str(&told(&["account", "ls", "c", "--json"], "")).expect("JSON");
        assert_eq!(listed[0]["Name"], "bob");
        told(&["account", "status", "c", "bob", "deactivated"], "");
        assert!(!run(&world, remote, &["token", "get", "c", "bob"], "other-word\n").status.success());
        told(&["acl", "grant", "c/b", "all", "read"], "");
        world.server.anonymous("GET", "/c/b").expect(200);
        told(&["acl", "revoke", "c/b", "all"], "");
        assert_eq!(outcome(&world.server.anonymous("GET", "/c/b")), "401 PR401-AU-0001");
        told(&["account", "revoke", "c", "bob", "editor"], "");
        told(&["account", "rm", "c", "bob"], "");
        told(&["role", "rm", "c", "editor"], "");
        assert_eq!(told(&["acl", "show", "c/b"], ""), "");
    }
}

#[test]
fn refusals_say_what_the_server_says() {
    let world = World::new();
    for (arguments, stdin, words) in [
        (&["account", "add", "c", "_bob"][..], "pass-word-1\n", "field [Name] (PR400-OD-0006)"),
        (&["account", "add", "c", "bob"], "short\n", "PR400-AU-0001"),
        (&["account", "add", "c", "bob"], "", "no password was given"),
        (&["account", "add", "none", "bob"], "pass-word-1\n", "Cell not found. (PR404-DV-0003)"),
        (&["token", "get", "c", "nobody"], "pass-word-1\n", "PR400-AN-0017"),
        (&["acl", "grant", "c/b", "nobody", "read"], "", "Role not found. (PR400-DV-0004)"),
        (&["acl", "grant", "c/b", "all", "fly"], "", "there is no privilege `fly`"),
        (&["acl", "revoke", "c/b", "all"], "", "grants all nothing"),
        (&["role", "rm", "c", "nobody"], "", "PR404-OD-0002"),
        (&["role", "ls", "c", "--url", "ftp://unit.example/"], "", "is no URL of a server that can be spoken to"),
    ] {
        let output = run(&world, false, arguments, stdin);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), error.contains(words)), (Some(1), true), "{arguments:?}: {error}");
        assert!(!error.contains("pass-word-1"), "{error}");
    }
    let nowhere = cellar().args(["role", "ls", "c", "--root", "/nonexistent/unit"]).output().expect("the program runs");
    assert_eq!(nowhere.status.code(), Some(10));
}
