//! Locks as XML (RFC 4918 sections 14 and 15): `activelock`, `lockdiscovery`, `supportedlock`, and the body of LOCK.

use std::fmt::Write as _;

use crate::base::xml::{DAV, Element, escape_text};
use crate::storage::database::lock::Lock;
use crate::web::problem::{Code, Problem};

/// The value of `supportedlock`.
pub(super) const SUPPORTED: &str = "<D:supportedlock>\
    <D:lockentry><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>\
    <D:lockentry><D:lockscope><D:shared/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>\
    </D:supportedlock>";

/// The longest `owner` that is kept, in bytes.
const LONGEST_OWNER: usize = 16 * 1024;

/// What the body of a LOCK asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LockInfo {
    pub shared: bool,
    /// The element `owner` as a fragment.
    pub owner: Option<String>,
}

impl LockInfo {
    pub(super) fn of(root: &Element) -> Result<Self, Problem> {
        let wrong = |what: &str| Problem::new(Code::XmlContent).because(what);
        if !root.is(DAV, "lockinfo") {
            return Err(Problem::new(Code::XmlParse).because("the root is no lockinfo"));
        }
        let scope = root.child(DAV, "lockscope").ok_or_else(|| wrong("no lockscope"))?;
        let shared = match (scope.child(DAV, "exclusive"), scope.child(DAV, "shared")) {
            (Some(_), None) => false,
            (None, Some(_)) => true,
            _ => return Err(wrong("not one known scope")),
        };
        if root.child(DAV, "locktype").and_then(|kind| kind.child(DAV, "write")).is_none() {
            return Err(wrong("no known type of lock"));
        }
        let owner = root.child(DAV, "owner").map(Element::to_xml);
        if owner.as_ref().is_some_and(|owner| owner.len() > LONGEST_OWNER) {
            return Err(wrong("the owner is too long"));
        }
        Ok(Self { shared, owner })
    }
}

/// Writes an `activelock` in a document that declares `D`. `root` is the URL of the lock's root.
pub(super) fn write_active(out: &mut String, lock: &Lock, root: &str, now_ms: i64) {
    let scope = if lock.shared { "shared" } else { "exclusive" };
    let depth = if lock.infinite { "infinity" } else { "0" };
    // Rounded up: who asks for a minute hears of a minute.
    let seconds = (lock.expires_ms - now_ms).max(0).unsigned_abs().div_ceil(1000);
    let _ = write!(
        out,
        "<D:activelock><D:locktype><D:write/></D:locktype><D:lockscope><D:{scope}/></D:lockscope><D:depth>{depth}</D:depth>\
         {}<D:timeout>Second-{seconds}</D:timeout><D:locktoken><D:href>{}</D:href></D:locktoken>\
         <D:lockroot><D:href>{}</D:href></D:lockroot></D:activelock>",
        lock.owner.as_deref().unwrap_or_default(),
        escape_text(&lock.token),
        escape_text(root)
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::xml::{Limits, parse};

    fn info(inner: &str) -> Result<LockInfo, Code> {
        let text = format!("<l:lockinfo xmlns:l=\"DAV:\">{inner}</l:lockinfo>");
        LockInfo::of(&parse(text.as_bytes(), Limits::of(100_000)).expect("XML")).map_err(|p| p.code())
    }

    #[test]
    fn the_body_of_lock() {
        let write = "<l:locktype><l:write/></l:locktype>";
        let scope = |s: &str| format!("<l:lockscope><l:{s}/></l:lockscope>");
        assert_eq!(info(&format!("{}{write}", scope("shared"))), Ok(LockInfo { shared: true, owner: None }));
        let owner = info(&format!("{write}{}<l:owner>me &amp; <l:x y='1'/></l:owner>", scope("exclusive")));
        let owner = owner.expect("a wish").owner.expect("an owner");
        assert_eq!(owner, "<l:owner xmlns:l=\"DAV:\">me &amp; <l:x y=\"1\"/></l:owner>");
        for bad in [
            String::new(),
            scope("exclusive"),
            write.to_owned(),
            format!("{}{write}", scope("x")),
            format!("<l:lockscope><l:shared/><l:exclusive/></l:lockscope>{write}"),
            format!("{}{write}<l:owner>{}</l:owner>", scope("shared"), "x".repeat(LONGEST_OWNER)),
        ] {
            assert_eq!(info(&bad), Err(Code::XmlContent), "{bad}");
        }
    }
}
