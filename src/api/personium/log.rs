//! The event log of a cell: `__log/current/default.log`, what it was rotated to below `__log/archive/`, and both listings.

use http::header::HeaderValue;
use http::{Method, StatusCode};

use self::listing::propfind;
use super::call::Call;
use super::odata::steps;
use crate::domain::access::Place;
use crate::storage::log::{CURRENT, LogFile, LogFolder};
use crate::web::problem::{Code, Problem};
use crate::web::representation::Representation;
use crate::web::state::App;
use crate::web::{Body, Request, Response, blocking, response};

mod listing;

const FOLDER_METHODS: &str = "OPTIONS, PROPFIND";
const FILE_METHODS: &str = "OPTIONS, GET, HEAD, DELETE";
/// The type of every log.
const CSV: &str = "text/csv";

/// Answers a request below `{cell}__log`.
pub async fn route(app: &App, request: Request) -> Result<Response, Problem> {
    let call = Call::of(app, request).await?;
    blocking::run(move || answer(&call)).await
}

fn answer(call: &Call) -> Result<Response, Problem> {
    call.record()?;
    let path = steps(call.rest.strip_prefix("__log").unwrap_or_default());
    let names: Vec<&str> = path.iter().map(|step| step.name.as_str()).collect();
    let folder = match names.first() {
        Some(&"current") => LogFolder::Current,
        Some(&"archive") => LogFolder::Archive,
        _ => return Err(Code::UriNotRecognized.into()),
    };
    call.permit(Place::Log)?;
    match (names.as_slice(), call.method.as_str()) {
        ([_], "PROPFIND") => propfind(call, folder, names[0]),
        ([_], "OPTIONS") => Ok(response::options(FOLDER_METHODS)),
        ([_], _) => Err(Call::not_allowed(FOLDER_METHODS)),
        ([_, name], "GET" | "HEAD") => get(call, folder, name),
        ([_, name], "DELETE") => delete(call, folder, name),
        ([_, _], "OPTIONS") => Ok(response::options(FILE_METHODS)),
        ([_, _], _) => Err(Call::not_allowed(FILE_METHODS)),
        _ => Err(Code::UriNotRecognized.into()),
    }
}

fn missing(call: &Call) -> Problem {
    Problem::new(Code::ResourceNotFound).with(format!("{}{}", call.base_url(), call.rest))
}

fn get(call: &Call, folder: LogFolder, name: &str) -> Result<Response, Problem> {
    let opened = call.open()?.open_log(folder, name).map_err(|e| call.failed(e))?;
    let Some((file, content)) = opened else {
        if folder == LogFolder::Current && name == CURRENT {
            let mut answer = response::empty(StatusCode::OK);
            *answer.body_mut() = Body::Text(bytes::Bytes::new());
            answer.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static(CSV));
            return Ok(answer);
        }
        return Err(missing(call));
    };
    let representation = representation(&file);
    match representation.precondition(&call.headers)? {
        Some(answer) => Ok(answer),
        None => representation.answer(call.method == Method::HEAD, &call.headers, || Ok(content)),
    }
}

/// A log as it is now: lines that come later are not part of the answer.
fn representation(file: &LogFile) -> Representation {
    Representation {
        length: file.size,
        content_type: CSV.to_owned(),
        etag: format!("\"{}-{}\"", file.size, file.modified_ms),
        last_modified_ms: Some(file.modified_ms),
        headers: Vec::new(),
    }
}

/// The log that is being written is not deleted; one that was rotated is.
fn delete(call: &Call, folder: LogFolder, name: &str) -> Result<Response, Problem> {
    if folder == LogFolder::Current {
        return Err(if name == CURRENT { Code::CurrentLogDelete.into() } else { missing(call) });
    }
    let removed = call.open()?.remove_archived_log(name).map_err(|e| call.failed(e))?;
    if removed { Ok(response::empty(StatusCode::NO_CONTENT)) } else { Err(missing(call)) }
}
