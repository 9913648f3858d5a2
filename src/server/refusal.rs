//! Answers to what is no request: its head cannot be read, or it was not meant for this port.

use std::io::Write as _;

use super::middleware;
use crate::base::clock;
use crate::web::Body;
use crate::web::problem::{Code, Problem};

/// The code for what the parser of HTTP/1 refuses with this status.
pub(super) fn of_status(status: u16) -> Code {
    match status {
        414 => Code::TargetTooLong,
        431 => Code::HeadTooLarge,
        _ => Code::RequestHead,
    }
}

/// The bytes of the answer, after which the connection ends.
pub(super) fn bytes(code: Code) -> Vec<u8> {
    let response = middleware::refusal(Problem::new(code));
    let mut bytes = Vec::with_capacity(1024);
    let _ = write!(bytes, "HTTP/1.1 {}\r\n", response.status());
    for (name, value) in response.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    let Body::Text(text) = response.body() else { return Vec::new() };
    let date = clock::http_date(clock::now_ms());
    let _ = write!(bytes, "connection: close\r\ncontent-length: {}\r\ndate: {date}\r\n\r\n", text.len());
    bytes.extend_from_slice(text);
    bytes
}
