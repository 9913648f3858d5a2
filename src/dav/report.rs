//! REPORT (RFC 3253 section 3.6): `sync-collection` of collections, and those about principals.

use super::answer::answered;
use super::depth::Depth;
use super::principals;
use super::subject::DavRequest;
use super::sync;
use super::xml;
use crate::base::xml::DAV;
use crate::web::Response;
use crate::web::problem::{Code, Problem};
use crate::web::request_body::RequestBody;

pub(super) async fn report(request: DavRequest, body: RequestBody) -> Result<Response, Problem> {
    let body = xml::read(body, request.body_limit).await?;
    answered(move |out| {
        let subject = request.admit()?;
        let (lookup, row) = subject.existing()?;
        let root = xml::document(&body)?;
        if depth_is_zero(&request) && principals::answer(&subject, &lookup, &root, out)? {
            return Ok(());
        }
        if row.is_file() || !root.is(DAV, "sync-collection") {
            return Err(Problem::new(Code::ReportUnsupported)
                .with(&root.local)
                .violating("supported-report", Vec::new()));
        }
        if !depth_is_zero(&request) {
            return Err(Depth::refusal(&request));
        }
        sync::answer(&subject, &root, out)
    })
    .await
}

/// Whether the request is about the resource alone; that is also what none means.
fn depth_is_zero(request: &DavRequest) -> bool {
    !request.headers.contains_key("depth") || matches!(Depth::of(request), Ok(Depth::Zero))
}
