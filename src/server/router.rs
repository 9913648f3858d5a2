//! Every route on one page.

use http::Method;
use percent_encoding::percent_decode_str;

use super::told::Told;
use super::{App, cell_gate};
use crate::api::personium::{authz, cell, cell_box, ctl, event, html, introspect, log, mypassword, role, token, unit};
use crate::base::path::ResourcePath;
use crate::dav::{self, Named};
use crate::web::problem::{Code, Problem};
use crate::web::{Request, Response};

/// First segments below a cell that are no boxes.
const RESERVED: &[&str] = &["__relation", "__certs", "__message", "__rule", "__sign"];

/// Finds the handler of a request.
pub(super) async fn route(app: &App, request: Request) -> Result<Response, Problem> {
    let rest = request.target.rest.clone();
    let (first, below) = rest.split_once('/').unwrap_or((&rest, ""));
    let Some(cell_name) = request.target.cell.clone() else {
        return match first {
            "" | "__status" | "__ctl" => unit::route(app, request).await,
            _ => Err(Code::UriNotRecognized.into()),
        };
    };
    if cell_name == "crossdomain.xml" && rest.is_empty() {
        return unit::crossdomain(&request);
    }
    let _writing = cell_gate::enter(app, &request, first).await?;
    match first {
        "" => cell::route(app, request).await,
        "__ctl" => ctl::route(app, request).await,
        "__box" => cell_box::by_schema(app, request).await,
        "__log" => log::route(app, request).await,
        "__export" | "__import" => cell::transfer::route(app, request).await,
        "__snapshot" => cell::snapshot::route(app, request).await,
        "__role" => role::route(app, request).await,
        "__authz" => authz::route(app, request).await,
        "__token" => token::route(app, request).await,
        "__event" => event::route(app, request).await,
        "__html" => html::route(app, request).await,
        "__introspect" => introspect::route(app, request).await,
        "__mypassword" => mypassword::route(app, request).await,
        reserved if RESERVED.contains(&reserved) => Err(Code::UriNotRecognized.into()),
        name => {
            let path = ResourcePath::decode(below).map_err(|e| dav::bad_name(below).because(e))?;
            let box_name = percent_decode_str(name).decode_utf8_lossy().into_owned();
            let named = Named { cell: cell_name, box_name, path };
            let told = Told::of(app, &request, &named).await;
            let of_the_box = matches!(request.method.as_str(), "GET" | "HEAD" | "MKCOL" | "DELETE");
            let answer = if named.path.is_root() && (of_the_box || request.method == Method::POST) {
                cell_box::route(app, request, named).await
            } else {
                dav::route(app, request, named).await
            };
            match told {
                Some(told) => told.about(answer).await,
                None => answer,
            }
        }
    }
}
