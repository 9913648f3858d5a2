//! REPORT: no report is known.

use super::subject::DavRequest;
use crate::web::Response;
use crate::web::problem::{Code, Problem};

pub(super) fn report(request: &DavRequest) -> Result<Response, Problem> {
    request.admit()?.existing()?;
    Err(Code::MethodNotImplemented.into())
}
