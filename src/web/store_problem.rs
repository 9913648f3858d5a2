//! What a client hears when the store refuses or fails: the one translation of the store's errors.

use std::error::Error as _;
use std::fmt::Write as _;

use http::header::RETRY_AFTER;

use super::problem::{Code, Problem};
use crate::storage::Error;

impl Problem {
    /// The problem that an error of the store is for a request on `url`.
    pub fn of_store(error: Error, url: &str) -> Self {
        let refusal = |code| Self::new(code);
        match error {
            Error::CellMissing => refusal(Code::CellNotFound),
            Error::BoxMissing => refusal(Code::BoxNotFound).with(url),
            Error::Missing => refusal(Code::ResourceNotFound).with(url),
            Error::ParentMissing(name) => refusal(Code::ParentMissing).with(name),
            Error::Exists => refusal(Code::MkcolExists),
            Error::SchemaTaken => refusal(Code::EntityExists),
            Error::IsCollection | Error::NotCollection => refusal(Code::MethodNotAllowed),
            Error::NotEmpty => refusal(Code::CollectionNotEmpty),
            Error::SameResource => refusal(Code::DestinationIsSource).with(url),
            Error::ChildLimit => refusal(Code::TooManyChildren),
            Error::DepthLimit => refusal(Code::TooDeep),
            Error::OverQuota => refusal(Code::QuotaExceeded).violating("quota-not-exceeded", Vec::new()),
            Error::Name(name) => refusal(Code::ResourceName).with(name),
            Error::Precondition => refusal(Code::EtagMismatch),
            Error::NoOverwrite => refusal(Code::OverwriteRefused),
            Error::Busy(what) => refusal(Code::CellBusy).with(what).header(RETRY_AFTER, "1"),
            Error::InUse => refusal(Code::CellAccessed).header(RETRY_AFTER, "1"),
            Error::Refused(refusal) => match refusal.downcast::<Self>() {
                Ok(problem) => *problem,
                Err(other) => Self::internal(other),
            },
            failure if failure.is_full() => {
                refusal(Code::DiskFull).violating("sufficient-disk-space", Vec::new()).because(chain(&failure))
            }
            failure => Self::internal(chain(&failure)),
        }
    }
}

/// An error and its causes in one line, for the log.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        let _ = write!(text, ": {e}");
        cause = e.source();
    }
    text
}

/// Lets a problem travel through the store, from a guard that was asked inside the transaction.
impl std::error::Error for Problem {}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Refused(Box::new(problem))
    }
}
