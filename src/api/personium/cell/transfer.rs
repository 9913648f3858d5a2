//! `{cell}__export` and `{cell}__import`: beginning a job, and asking how it stands.
//!
//! That a job runs already is said before anybody is asked who he is, as the reference does. What the reference does not have:
//! `Level` in the body of an export, `?detail` of a status, and `POST …?cancel`.

use std::sync::Arc;

use http::StatusCode;
use http::header::{LOCATION, RETRY_AFTER};
use serde_json::{Value, json};

use super::super::call::Call;
use crate::base::clock;
use crate::domain::access::Place;
use crate::snapshot::export::ExportOf;
use crate::snapshot::failure::Failure;
use crate::snapshot::transfers::{Asked, Detail, Refused, Status, Transfers};
use crate::storage::Cell;
use crate::storage::database::area::TransferKind;
use crate::storage::unit::CellRecord;
use crate::web::blocking::run;
use crate::web::problem::{Code, Problem};
use crate::web::state::App;
use crate::web::{Request, Response, response};

const ALLOWED: &str = "OPTIONS, GET, POST";

/// The form of a name, as it is told to clients.
const NAME: &str = "^[a-zA-Z0-9-_]{1,192}$";
/// The same of a level.
const LEVEL: &str = "^[1-9]$";

/// Answers a request for the exports or imports of a cell.
pub async fn route(app: &App, request: Request) -> Result<Response, Problem> {
    let (transfers, installer) = (app.transfers.clone(), app.installer.clone());
    let key = request.key.clone();
    let kind = if request.target.rest.starts_with("__export") { TransferKind::Export } else { TransferKind::Import };
    let call = Call::of(app, request).await?;
    run(move || {
        let installing = |cell: i64| installer.is_busy(cell);
        Endpoint { call: &call, transfers: &transfers, kind, key, installing: &installing }.answer()
    })
    .await
}

struct Endpoint<'a> {
    call: &'a Call,
    transfers: &'a Arc<Transfers>,
    kind: TransferKind,
    key: String,
    /// Whether a box is being installed in a cell.
    installing: &'a dyn Fn(i64) -> bool,
}

impl Endpoint<'_> {
    fn answer(self) -> Result<Response, Problem> {
        let record = self.call.record()?;
        let (_, below) = self.call.rest.split_once('/').unwrap_or((&self.call.rest, ""));
        if !below.trim_matches('/').is_empty() {
            return Err(Code::UriNotRecognized.into());
        }
        match self.call.method.as_str() {
            "OPTIONS" => {
                self.call.permit(Place::Transfer)?;
                Ok(response::options(ALLOWED))
            }
            "GET" | "HEAD" => {
                self.call.permit(Place::Transfer)?;
                let status = self.transfers.status(&*self.call.open()?, self.kind);
                let status = status.map_err(|e| self.call.failed(e))?;
                Ok(response::json(StatusCode::OK, &document(self.kind, &status, self.asks("detail"))?))
            }
            "POST" if self.asks("cancel") => {
                self.call.permit(Place::Transfer)?;
                self.transfers.cancel(&*self.call.open()?, self.kind);
                Ok(response::empty(StatusCode::NO_CONTENT))
            }
            "POST" => self.begin(&record),
            _ => Err(Call::not_allowed(ALLOWED)),
        }
    }

    /// Whether the query has a word.
    fn asks(&self, word: &str) -> bool {
        let query = self.call.query.as_deref().unwrap_or_default();
        query.split('&').any(|part| part.split_once('=').map_or(part, |(name, _)| name) == word)
    }

    fn begin(self, record: &CellRecord) -> Result<Response, Problem> {
        let cell = self.call.open()?;
        if let Some(other) = self.transfers.running(&cell).map_err(|e| self.call.failed(e))? {
            return Err(busy(other));
        }
        self.call.permit(Place::Transfer)?;
        let Wanted { name, level } = wanted(&self.call.body, self.kind)?;
        let url = self.call.base_url();
        let asked = Asked { request_key: self.key.clone(), cell_url: url.clone() };
        let begun = match self.kind {
            TransferKind::Export => {
                let name = name.unwrap_or_else(|| format!("{}_{}", record.name, clock::compact(clock::now_ms())));
                let level = level.unwrap_or_else(|| self.transfers.level());
                let of = ExportOf { record: record.clone(), unit_url: self.call.asked.unit(), level };
                self.transfers.export(cell, &name, of, asked).map_err(|e| self.refused(e, &name))
            }
            TransferKind::Import => {
                let name = name.ok_or_else(|| Problem::new(Code::RequiredKeyMissing).with("Name"))?;
                self.import(cell, record, &name, asked)
            }
        };
        begun?;
        let mut answer = response::empty(StatusCode::ACCEPTED);
        let endpoint = if self.kind == TransferKind::Export { "__export" } else { "__import" };
        if let Ok(location) = format!("{url}{endpoint}").parse() {
            answer.headers_mut().insert(LOCATION, location);
        }
        Ok(answer)
    }

    fn import(&self, cell: Arc<Cell>, record: &CellRecord, name: &str, asked: Asked) -> Result<(), Problem> {
        let begun = self.transfers.import(cell, record.clone(), name, asked, self.installing);
        begun.map_err(|e| self.refused(e, name))
    }

    fn refused(&self, refused: Refused, name: &str) -> Problem {
        match refused {
            Refused::Busy(kind) => busy(kind),
            Refused::Exists => Problem::new(Code::FileExists).with(format!("{name}.zip")),
            Refused::Accessed => Problem::new(Code::CellAccessed).header(RETRY_AFTER, "1"),
            Refused::Missing => Problem::new(Code::ResourceNotFound).with(format!("{name}.zip")),
            Refused::Store(e) => self.call.failed(e),
            Refused::Snapshot(failure) => problem_of(&failure),
        }
    }
}

fn busy(kind: TransferKind) -> Problem {
    Problem::new(Code::CellBusy).with(kind.label()).header(RETRY_AFTER, "1")
}

/// A refusal of the snapshot file, whose texts are its own.
fn problem_of(failure: &Failure) -> Problem {
    let Some(code) = Code::of(failure.code()) else { return Problem::internal(failure) };
    let problem = Problem::new(code).saying(failure.to_string());
    match std::error::Error::source(failure) {
        Some(cause) => problem.because(cause),
        None => problem,
    }
}

/// What the body of a request says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    /// None where an export shall get one.
    name: Option<String>,
    level: Option<u32>,
}

/// Reads the body of a request. Its type does not matter.
fn wanted(body: &[u8], kind: TransferKind) -> Result<Wanted, Problem> {
    if body.is_empty() && kind == TransferKind::Export {
        return Ok(Wanted::default());
    }
    let broken = || Problem::new(Code::JsonParse).with(String::from_utf8_lossy(body));
    let Ok(Value::Object(document)) = serde_json::from_slice::<Value>(body) else { return Err(broken()) };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let name = match document.get("Name") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) if (1..=192).contains(&name.len()) && name.bytes().all(plain) => Some(name.clone()),
        Some(_) => return Err(Problem::new(Code::FieldFormat).with("Name").with(NAME)),
    };
    let level = match document.get("Level").filter(|_| kind == TransferKind::Export) {
        None | Some(Value::Null) => None,
        Some(level) => match level.as_u64() {
            Some(level @ 1..=9) => Some(level as u32),
            _ => return Err(Problem::new(Code::FieldFormat).with("Level").with(LEVEL)),
        },
    };
    Ok(Wanted { name, level })
}

fn document(kind: TransferKind, status: &Status, detailed: bool) -> Result<Value, Problem> {
    let (running, key) = match kind {
        TransferKind::Export => ("exportation in progress", "exportation_name"),
        TransferKind::Import => ("importation in progress", "importation_name"),
    };
    let told = |status: &str, started_ms: &i64, progress: &i64, name: &str| json!({ "status": status, "started_at": clock::iso_ms(*started_ms), "progress": format!("{progress}%"), key: name });
    Ok(match status {
        Status::Ready => json!({ "status": "ready" }),
        Status::Running { name, started_ms, progress, detail } => {
            let mut document = told(running, started_ms, progress, name);
            if let Some(detail) = detail.as_ref().filter(|_| detailed) {
                let Detail { bytes, bytes_total, entries, entries_total, waiting_for } = detail;
                document["detail"] = json!({
                    "bytes": bytes, "bytes_total": bytes_total, "entries": entries, "entries_total": entries_total,
                    "waiting_for": waiting_for,
                });
            }
            document
        }
        Status::Failed { name, started_ms, progress, message } => {
            let mut document = told("import failed", started_ms, progress, name);
            document["message"] = serde_json::from_str(message).map_err(Problem::internal)?;
            document
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_bodies() {
        let export = |body: &str| wanted(body.as_bytes(), TransferKind::Export).map(|w| w.name).map_err(|p| p.code());
        for none in ["", "{}", r#"{"Name":null}"#, r#"{"Other":1}"#] {
            assert_eq!(export(none), Ok(None), "{none}");
        }
        assert_eq!(export(r#"{"Name":"a-Z_9"}"#), Ok(Some("a-Z_9".to_owned())));
        let long = "n".repeat(193);
        for wrong in ["", "a.b", "a/b", "a b", "ä", "a.zip", long.as_str()] {
            let body = json!({ "Name": wrong }).to_string();
            assert_eq!(export(&body), Err(Code::FieldFormat), "{wrong}");
        }
        assert_eq!(export(r#"{"Name":1}"#), Err(Code::FieldFormat));
        for broken in [" ", "{", "[]", "\"a\"", "1"] {
            assert_eq!(export(broken), Err(Code::JsonParse), "{broken}");
        }
        assert_eq!(wanted(b"", TransferKind::Import).map_err(|p| p.code()), Err(Code::JsonParse));
        let level = |body: &str| wanted(body.as_bytes(), TransferKind::Export).map(|w| w.level).map_err(|p| p.code());
        assert_eq!((level("{}"), level(r#"{"Level":9}"#)), (Ok(None), Ok(Some(9))));
        for wrong in [r#"{"Level":0}"#, r#"{"Level":10}"#, r#"{"Level":"6"}"#, r#"{"Level":1.5}"#] {
            assert_eq!(level(wrong), Err(Code::FieldFormat), "{wrong}");
        }
    }
}
