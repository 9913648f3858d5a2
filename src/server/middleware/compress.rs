//! Compression of documents that we wrote. Content of users and archives are sent as they are.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HeaderValue, VARY};

use crate::web::headers::allows_coding;
use crate::web::{Body, Response};

/// Shorter documents do not gain.
const SHORTEST: usize = 1024;

/// Longer ones are compressed in the blocking pool.
const LONG: usize = 128 * 1024;

/// Compresses the answer if it is a document and the client takes gzip. Its tag becomes weak: the bytes are others.
pub(super) async fn gzip(response: Response, accept: Option<&HeaderValue>) -> Response {
    let (mut parts, body) = response.into_parts();
    let text = match body {
        Body::Text(text) if text.len() > SHORTEST && !parts.headers.contains_key(CONTENT_ENCODING) => text,
        body => return Response::from_parts(parts, body),
    };
    parts.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    if !allows_coding(accept, "gzip") {
        return Response::from_parts(parts, Body::Text(text));
    }
    let zipped = if text.len() > LONG {
        let text = text.clone();
        tokio::task::spawn_blocking(move || zip(&text)).await.ok().flatten()
    } else {
        zip(&text)
    };
    let Some(zipped) = zipped else { return Response::from_parts(parts, Body::Text(text)) };
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.remove(CONTENT_LENGTH);
    if let Some(tag) = parts.headers.get(ETAG).and_then(|t| t.to_str().ok()).filter(|t| t.starts_with('"'))
        && let Ok(weak) = HeaderValue::from_str(&format!("W/{tag}"))
    {
        parts.headers.insert(ETAG, weak);
    }
    Response::from_parts(parts, Body::Text(zipped))
}

fn zip(text: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4), Compression::fast());
    encoder.write_all(text).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    fn document(body: Body) -> Response {
        let mut response = Response::new(body);
        response.headers_mut().insert(ETAG, HeaderValue::from_static("\"1-1\""));
        response
    }

    const GZIP: HeaderValue = HeaderValue::from_static("gzip");

    #[tokio::test]
    async fn long_documents_are_compressed() {
        for n in [SHORTEST + 1, LONG + 1] {
            let response = gzip(document(Body::Text(Bytes::from(vec![b'x'; n]))), Some(&GZIP)).await;
            assert_eq!(
                (&response.headers()[CONTENT_ENCODING], &response.headers()[ETAG]),
                (&GZIP, &HeaderValue::from_static("W/\"1-1\""))
            );
            assert_eq!(response.headers()[VARY], "Accept-Encoding");
            let Body::Text(zipped) = response.into_body() else { panic!("a text") };
            let mut text = Vec::new();
            GzDecoder::new(&zipped[..]).read_to_end(&mut text).expect("gzip");
            assert_eq!(text.len(), n);
        }
    }

    #[tokio::test]
    async fn content_and_short_documents_are_not() {
        for body in
            [Body::Bytes(Bytes::from(vec![b'x'; 5000])), Body::Text(Bytes::from(vec![b'x'; SHORTEST])), Body::Empty]
        {
            let response = gzip(document(body), Some(&GZIP)).await;
            assert!(!response.headers().contains_key(CONTENT_ENCODING) && !response.headers().contains_key(VARY));
        }
        let plain = gzip(document(Body::Text(Bytes::from(vec![b'x'; 5000]))), None).await;
        assert!(!plain.headers().contains_key(CONTENT_ENCODING));
        assert_eq!(plain.headers()[VARY], "Accept-Encoding");
    }
}
