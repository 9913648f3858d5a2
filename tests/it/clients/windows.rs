//! What Windows sends when Explorer maps a drive and files are saved to it.

use super::{Replay, noise};
use crate::client::Request;
use crate::dav::{Drive, multistatus};

const WIN32: &str = "urn:schemas-microsoft-com:";

fn explorer(drive: &Drive) -> Replay {
    Replay::new(
        drive,
        &[("User-Agent", "Microsoft-WebDAV-MiniRedir/10.0.19045"), ("translate", "f"), ("Connection", "Keep-Alive")],
    )
}

fn win32_properties(attributes: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\" ?><D:propertyupdate xmlns:D=\"DAV:\" xmlns:Z=\"{WIN32}\"><D:set><D:prop>\
         <Z:Win32CreationTime>Fri, 01 May 2026 10:00:00 GMT</Z:Win32CreationTime>\
         <Z:Win32LastAccessTime>Fri, 01 May 2026 10:00:01 GMT</Z:Win32LastAccessTime>\
         <Z:Win32LastModifiedTime>Fri, 01 May 2026 10:00:02 GMT</Z:Win32LastModifiedTime>\
         <Z:Win32FileAttributes>{attributes}</Z:Win32FileAttributes></D:prop></D:set></D:propertyupdate>"
    )
}

impl Replay {
    /// Sends Windows' own properties; every one must be taken.
    #[track_caller]
    fn set_win32(&mut self, path: &str, condition: &str, attributes: &str) {
        let body = win32_properties(attributes);
        let headers = [("If", condition), ("Content-Type", "text/xml; charset=\"utf-8\"")];
        let reply = self.send("PROPPATCH", path, &headers[usize::from(condition.is_empty())..], Some(body.as_bytes()));
        let statuses = multistatus(&reply.expect(207))[0].statuses();
        assert!(statuses.len() == 4 && statuses.iter().all(|(_, status)| *status == 200), "{statuses:?}");
    }

    /// Copies a file to the drive as Explorer does.
    fn copy_to_drive(&mut self, path: &str, content: &[u8]) {
        self.send("PROPFIND", path, &[("Depth", "0")], Some(b"")).expect(404);
        self.send("PUT", path, &[], Some(b"")).expect(201);
        // Without Depth.
        let token = self.lock(path, 200, &[("Timeout", "Second-3600")], "DESKTOP-1\\Me");
        let condition = format!("({token})");
        self.set_win32(path, &condition, "00000000");
        self.send("HEAD", path, &[], None).expect(200);
        self.send("PUT", path, &[("If", &condition)], Some(content)).expect(204);
        self.set_win32(path, &condition, "00000020");
        self.send("UNLOCK", path, &[("Lock-Token", &token)], None).expect(204);
    }
}

#[test]
fn explorer_walks_down_to_the_box() {
    let drive = Drive::new();
    let mut windows = explorer(&drive);
    let options = windows.connection.send(&windows.request("OPTIONS", "/", &[])).expect(200);
    assert!(options.header("dav").is_some_and(|v| v.contains('1') && v.contains('2')), "{options:?}");
    assert_eq!(options.header("ms-author-via"), Some("DAV"));
    assert!(options.header("allow").is_some_and(|v| v.contains("PROPFIND") && v.contains("LOCK")), "{options:?}");
    let anonymous = windows.request("PROPFIND", "/", &[("Depth", "0")]).body("");
    let refused = windows.connection.send(&anonymous).expect(401);
    assert!(refused.headers_named("www-authenticate").any(|v| v.starts_with("Basic ")), "{refused:?}");
    for path in ["/", "/c", "/c/", "/c/b", "/c/b/"] {
        let listed = windows.propfind(path, "0", "");
        assert!(listed[0].text("resourcetype").is_some(), "{path}");
        assert!(!listed[0].find("DAV:", "resourcetype").expect("a type").1.children.is_empty(), "{path}");
    }
    for probe in ["/c/b/desktop.ini", "/c/b/Thumbs.db", "/c/b/AutoRun.inf", "/c/b/folder.jpg", "/desktop.ini"] {
        windows.send("PROPFIND", probe, &[("Depth", "0")], Some(b"")).expect(404);
    }
    // Not a page that would make it take the drive for something else.
    for probe in ["/_vti_inf.html", "/_vti_bin/shtml.exe/_vti_rpc", "/c/_vti_bin/_vti_aut/author.dll"] {
        let status =
            windows.send("POST", probe, &[("Content-Type", "application/x-www-form-urlencoded")], Some(b"m=1")).status;
        assert!((400..500).contains(&status) && status != 401, "{probe}: {status}");
    }
}

#[test]
fn explorer_copies_a_file_and_keeps_its_times_and_attributes() {
    let drive = Drive::new();
    let mut windows = explorer(&drive);
    let content = noise(300_000);
    windows.copy_to_drive("/c/b/B%C3%BCro%20%26%20mehr%20(1).docx", &content);
    let listed = windows.propfind("/c/b", "1", "");
    let file = &listed[1];
    assert_eq!(file.text("getcontentlength").as_deref(), Some("300000"));
    let of = |local: &str| file.find(WIN32, local).map(|(status, p)| (*status, p.text()));
    assert_eq!(of("Win32LastModifiedTime"), Some((200, "Fri, 01 May 2026 10:00:02 GMT".to_owned())));
    assert_eq!(of("Win32FileAttributes"), Some((200, "00000020".to_owned())));
    for property in ["displayname", "creationdate", "getlastmodified", "getetag", "getcontenttype"] {
        assert!(file.text(property).is_some_and(|t| !t.is_empty()), "{property}");
    }
    let got = windows.send("GET", "/c/b/B%C3%BCro%20%26%20mehr%20(1).docx", &[], None).expect(200);
    assert!(got.body == content);
}

#[test]
fn explorer_makes_renames_and_removes() {
    let drive = Drive::new();
    let mut windows = explorer(&drive);
    windows.send("PROPFIND", "/c/b/New%20folder", &[("Depth", "0")], Some(b"")).expect(404);
    windows.send("MKCOL", "/c/b/New%20folder", &[], Some(b"")).expect(201);
    windows.set_win32("/c/b/New%20folder", "", "00000010");
    windows.copy_to_drive("/c/b/New%20folder/New%20Text%20Document.txt", b"typed");
    let to = |name: &str| format!("{}c/b/{name}", drive.server.url());
    let rename = |windows: &mut Replay, from: &str, name: &str| {
        windows.send("MOVE", from, &[("Destination", &to(name)), ("Overwrite", "F")], None).status
    };
    assert_eq!(rename(&mut windows, "/c/b/New%20folder", "Papers"), 201);
    assert_eq!(rename(&mut windows, "/c/b/Papers/New%20Text%20Document.txt", "Papers/notes.txt"), 201);
    windows.copy_to_drive("/c/b/other.txt", b"other");
    assert_eq!(rename(&mut windows, "/c/b/other.txt", "Papers/notes.txt"), 412);
    let folder = &windows.propfind("/c/b/Papers", "0", "")[0];
    assert_eq!(folder.find(WIN32, "Win32FileAttributes").map(|(_, p)| p.text()), Some("00000010".to_owned()));
    assert_eq!(drive.text("b/Papers/notes.txt"), "typed");
    windows.send("DELETE", "/c/b/Papers", &[("Depth", "infinity")], None).expect(204);
    assert_eq!(drive.names("b"), ["other.txt"]);
}

#[test]
fn names_that_windows_writes_in_its_own_way_are_understood() {
    let drive = Drive::new();
    drive.put("b/a'b(c)!.txt", "x").expect(201);
    for path in ["/c/b/a%27b%28c%29%21.txt", "/c/b/a'b(c)!.txt", "//c//b/a'b(c)!.txt"] {
        drive.send(Request::new("GET", path).basic("unit", crate::harness::TOKEN)).expect(200);
    }
}
