//! `cellar token`: logging in, looking at tokens, and ending them.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::args::people::{TokenArgs, TokenVerb};
use super::error::Error;
use super::exit::Exit;
use super::objects::done;
use super::printer::Printer;
use super::remote::{Remote, secret};
use crate::base::path::encode_segment;

fn form(fields: &[(&str, &str)]) -> String {
    let one = |(name, value): &(&str, &str)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
    fields.iter().map(one).collect::<Vec<_>>().join("&")
}

pub(super) fn run(args: &TokenArgs, printer: &Printer) -> Result<Exit, Error> {
    let remote = Remote::open(&args.place)?;
    let json = args.place.json;
    let path = |cell: &str, rest: &str| format!("/{}/{rest}", encode_segment(cell));
    match &args.verb {
        TokenVerb::Get { cell, account, scope, expires_in } => {
            let password = secret("CELLAR_PASSWORD", "Password")?;
            let seconds = expires_in.map(|seconds| seconds.to_string());
            let mut fields = vec![("grant_type", "password"), ("username", account), ("password", &password)];
            fields.extend(scope.iter().map(|scope| ("scope", scope.as_str())));
            fields.extend(seconds.iter().map(|seconds| ("expires_in", seconds.as_str())));
            let answer = remote.send_as("POST", &path(cell, "__token"), &[], form(&fields))?.json()?;
            if json {
                printer.data(&answer.to_string())?;
            } else {
                printer.data(answer["access_token"].as_str().unwrap_or_default())?;
            }
        }
        TokenVerb::Show { cell } => {
            let token = secret("CELLAR_SUBJECT_TOKEN", "Token")?;
            let answer = remote.send("POST", &path(cell, "__introspect"), &[], form(&[("token", &token)]))?.json()?;
            if json {
                printer.data(&answer.to_string())?;
            } else {
                for (name, value) in answer.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    printer.data(&format!("{name}\t{text}"))?;
                }
            }
        }
        TokenVerb::Revoke { cell } => {
            let token = secret("CELLAR_SUBJECT_TOKEN", "Token")?;
            remote.send_as("POST", &path(cell, "__token/revoke"), &[], form(&[("token", &token)]))?;
            done(printer, json, "the login of that token has ended")?;
        }
    }
    Ok(Exit::Ok)
}
