//! `{cell}__event`: a client tells the rules of a cell that something happened.

use http::{Method, StatusCode};
use serde_json::{Map, Value};

use super::call::Call;
use crate::domain::access::Place;
use crate::web::problem::{Code, Problem};
use crate::web::state::App;
use crate::web::{Request, Response, blocking, response};

const METHODS: &str = "OPTIONS, POST";
/// The longest value, in characters.
const LONGEST: usize = 51_200;

/// Answers a request for `{cell}__event`.
pub async fn route(app: &App, request: Request) -> Result<Response, Problem> {
    if request.target.rest.trim_end_matches('/') != "__event" {
        return Err(Code::UriNotRecognized.into());
    }
    let call = Call::of(app, request).await?;
    blocking::run(move || answer(&call)).await
}

fn answer(call: &Call) -> Result<Response, Problem> {
    call.record()?;
    match call.method.as_str() {
        "OPTIONS" => return Ok(response::options(METHODS)),
        "PROPFIND" | "PROPPATCH" => return Err(Code::MethodNotImplemented.into()),
        _ if call.method != Method::POST => return Err(Call::not_allowed(METHODS)),
        _ => {}
    }
    call.permit(Place::Event)?;
    let broken = || Problem::new(Code::JsonParse).with(String::from_utf8_lossy(&call.body));
    let Ok(Value::Object(told)) = serde_json::from_slice::<Value>(&call.body) else { return Err(broken()) };
    let event_type = member(&told, "Type")?;
    let (object, info) = (member(&told, "Object")?, member(&told, "Info")?);
    call.tell(event_type.unwrap_or_default(), object, info)?;
    Ok(response::empty(StatusCode::OK))
}

/// A member that may be there.
fn member(told: &Map<String, Value>, name: &'static str) -> Result<Option<String>, Problem> {
    match told.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.chars().count() <= LONGEST => Ok(Some(text.clone())),
        Some(_) => Err(Problem::new(Code::EventField).with(name)),
    }
}
