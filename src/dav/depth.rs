//! The `Depth` header (RFC 4918 section 10.2).

use super::subject::DavRequest;
use crate::web::problem::{Code, Problem};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    Zero,
    One,
    Infinity,
}

impl Depth {
    /// The depth of a request; without the header it is infinity. What is no depth is refused.
    pub(super) fn of(request: &DavRequest) -> Result<Self, Problem> {
        if !request.headers.contains_key("depth") {
            return Ok(Self::Infinity);
        }
        match request.header("depth") {
            Some("0") => Ok(Self::Zero),
            Some("1") => Ok(Self::One),
            Some(text) if text.eq_ignore_ascii_case("infinity") => Ok(Self::Infinity),
            _ => Err(Self::refusal(request)),
        }
    }

    /// The refusal of the header that a request has.
    pub(super) fn refusal(request: &DavRequest) -> Problem {
        Problem::new(Code::DepthHeader).with(request.header("depth").unwrap_or_default())
    }
}
