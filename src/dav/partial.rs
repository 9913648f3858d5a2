//! Writing a part of a file: PUT with `Content-Range`, as Apache's clients send it, and PATCH with `X-Update-Range`, as SabreDAV's.
//!
//! What is there is copied aside, the part is written into the copy, and the copy takes the name like any upload: nothing is
//! changed in place. A part begins inside the file or right behind its end.

use std::fs::File;

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_RANGE, CONTENT_TYPE};

use super::bad_header;
use super::subject::{DavRequest, Subject};
use crate::base::id::ETag;
use crate::storage::Error;
use crate::storage::database::Resource;
use crate::storage::database::cell_box::Lookup;
use crate::storage::stage::{Original, Staged};
use crate::web::problem::{Code, Problem};

/// The type of a PATCH's body.
pub(super) const PATCH_TYPE: &str = "application/x-sabredav-partialupdate";
const UPDATE_RANGE: &str = "X-Update-Range";

/// Which bytes of a file a request brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    from: From,
    /// How many; none: as many as come.
    length: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Start(u64),
    End(u64),
}

impl Part {
    /// What the headers of a PUT or PATCH say; none for a PUT of all.
    pub(super) fn of(request: &DavRequest) -> Result<Option<Self>, Problem> {
        if request.method == Method::PATCH {
            let declared = request.header(CONTENT_TYPE).unwrap_or_default();
            let essence = declared.split(';').next().unwrap_or_default().trim();
            if !essence.eq_ignore_ascii_case(PATCH_TYPE) {
                return Err(Code::MediaTypeUnsupported.into());
            }
            let text = request.header(UPDATE_RANGE).unwrap_or_default();
            if text.is_empty() {
                return Err(Problem::new(Code::HeaderRequired).with(UPDATE_RANGE));
            }
            return update_range(text).map(Some).ok_or_else(|| bad_header(UPDATE_RANGE, text));
        }
        if !request.headers.contains_key(CONTENT_RANGE) {
            return Ok(None);
        }
        let text = request.header(CONTENT_RANGE).unwrap_or_default();
        content_range(text).map(Some).ok_or_else(|| bad_header("Content-Range", text))
    }
}

/// Reads `bytes a-b/n`, where `n` may be `*`.
fn content_range(text: &str) -> Option<Part> {
    let (unit, rest) = text.split_once(' ')?;
    let (range, size) = rest.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let part = span(number(first)?, number(last)?)?;
    let fits = size == "*" || number(size)? > number(last)?;
    (unit.eq_ignore_ascii_case("bytes") && fits).then_some(part)
}

/// Reads `append`, `bytes=a-b`, `bytes=a-` or `bytes=-n`, which are the last `n` bytes and what follows.
fn update_range(text: &str) -> Option<Part> {
    if text.eq_ignore_ascii_case("append") {
        return Some(Part { from: From::End(0), length: None });
    }
    let (unit, range) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    match range.trim().split_once('-')? {
        ("", last) => Some(Part { from: From::End(number(last)?), length: None }),
        (first, "") => Some(Part { from: From::Start(number(first)?), length: None }),
        (first, last) => span(number(first)?, number(last)?),
    }
}

fn span(first: u64, last: u64) -> Option<Part> {
    let length = last.checked_sub(first)?.checked_add(1)?;
    Some(Part { from: From::Start(first), length: Some(length) })
}

fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// The content that a part is written into.
pub(super) struct Base {
    /// None where there is no file yet.
    file: Option<File>,
    size: u64,
    crc: Option<u32>,
    etag: Option<ETag>,
    at: u64,
    length: Option<u64>,
}

impl Base {
    /// Opens what is there, and finds the place of the part in it. `announced` is the length of the body, where it is known.
    pub(super) fn open(subject: &Subject, part: Part, announced: Option<u64>) -> Result<Self, Problem> {
        let mut base = Self { file: None, size: 0, crc: None, etag: None, at: 0, length: part.length };
        match subject.cell.open_content(&subject.box_name, &subject.path) {
            Ok(content) => {
                let row = &content.resource;
                (base.size, base.crc, base.etag) = (row.size as u64, row.crc, Some(row.etag()));
                base.file = Some(content.file);
            }
            Err(Error::Missing) => {}
            Err(e) => return Err(subject.problem(e)),
        }
        let at = match part.from {
            From::Start(first) => Some(first).filter(|first| *first <= base.size),
            From::End(back) => base.size.checked_sub(back),
        };
        base.at = at.ok_or(Code::RangeNotSatisfiable)?;
        match (base.length, announced) {
            (Some(expected), Some(announced)) if expected != announced => Err(Code::RangeNotSatisfiable.into()),
            _ => Ok(base),
        }
    }

    /// How much longer the file gets with so many bytes.
    pub(super) fn growth(&self, length: u64) -> u64 {
        self.at.saturating_add(length).saturating_sub(self.size)
    }

    /// Receives the part into a copy of what was there.
    pub(super) fn stage(
        &self,
        subject: &Subject,
        pieces: impl Iterator<Item = Result<Bytes, Problem>>,
    ) -> Result<Staged, Problem> {
        let failed = |e| subject.problem(e);
        let mut upload = subject.cell.upload();
        if let Some(file) = &self.file {
            let original = Original { file, size: self.size, crc: self.crc };
            upload.begin_with(&original, self.at).map_err(failed)?;
        }
        let mut received = 0;
        for piece in pieces {
            let piece = piece?;
            received += piece.len() as u64;
            if self.length.is_some_and(|length| received > length) {
                return Err(Code::RangeNotSatisfiable.into());
            }
            upload.write(&piece).map_err(failed)?;
        }
        if self.length.is_some_and(|length| received < length) {
            return Err(Code::RangeNotSatisfiable.into());
        }
        upload.finish().map_err(failed)
    }

    /// Whether what is there is still what the copy was made of.
    pub(super) fn still_holds(etag: Option<ETag>, lookup: &Lookup) -> Result<(), Problem> {
        if lookup.found().map(Resource::etag) == etag { Ok(()) } else { Err(Code::ConcurrentChange.into()) }
    }

    pub(super) fn etag(&self) -> Option<ETag> {
        self.etag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(from: From, length: Option<u64>) -> Part {
        Part { from, length }
    }

    #[test]
    fn ranges_are_read() {
        assert_eq!(content_range("bytes 0-4/10"), Some(at(From::Start(0), Some(5))));
        assert_eq!(content_range("bytes 3-3/*"), Some(at(From::Start(3), Some(1))));
        for bad in [
            "",
            "bytes",
            "bytes 5-4/10",
            "bytes 0-4",
            "bytes 0-4/4",
            "lines 0-4/10",
            "bytes +0-4/9",
            "bytes */10",
            "bytes 0-18446744073709551615/*",
        ] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
        assert_eq!(update_range("append"), Some(at(From::End(0), None)));
        assert_eq!(update_range("bytes=2-3"), Some(at(From::Start(2), Some(2))));
        assert_eq!(update_range("bytes=2-"), Some(at(From::Start(2), None)));
        assert_eq!(update_range("bytes=-2"), Some(at(From::End(2), None)));
        for bad in ["", "bytes", "bytes=", "bytes=3-2", "bytes=a-b", "lines=1-2", "bytes=-"] {
            assert_eq!(update_range(bad), None, "{bad}");
        }
    }
}
