//! Scopes: the cell privileges that a token covers, at most those of the unit's default.

use crate::domain::acl::{Level, Privilege, Privileges};

/// What of the scopes that were asked for is given; `most` is what may be given, and what is given where nothing was asked.
pub(in super::super) fn granted(asked: Option<&str>, most: &str, cell_urls: &[String]) -> String {
    let asked: Vec<&str> = asked.unwrap_or_default().split_whitespace().collect();
    if asked.is_empty() {
        return most.to_owned();
    }
    let maximum: Privileges = most.split_whitespace().filter_map(Privilege::of).collect();
    let is_role =
        |name: &str| cell_urls.iter().any(|cell| name.strip_prefix(cell).is_some_and(|r| r.starts_with("__role/")));
    let allowed = |name: &&&str| {
        let privilege = Privilege::of(name).filter(|p| p.level() == Level::Cell);
        privilege.is_some_and(|p| maximum.grant(p)) || **name == "openid" || is_role(name)
    };
    asked.iter().filter(allowed).copied().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_at_most_what_may_be_given() {
        let urls = ["https://h/c/".to_owned()];
        for (asked, most, expected) in [
            (None, "root", "root"),
            (Some(" "), "root", "root"),
            (Some("auth-read"), "root", "auth-read"),
            (Some("auth-read  nonsense read openid"), "root", "auth-read openid"),
            (Some("auth auth-read root social"), "auth", "auth auth-read"),
            (Some("https://h/c/__role/__/r https://h/d/__role/__/r"), "root", "https://h/c/__role/__/r"),
            (Some("nonsense"), "root", ""),
        ] {
            assert_eq!(granted(asked, most, &urls), expected, "{asked:?} of {most}");
        }
    }
}
