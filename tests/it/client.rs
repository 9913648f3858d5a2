//! A small blocking HTTP/1.1 client that hides nothing: any method, any header, any framing, broken requests included.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::net::{AddressFamily, SocketType, connect, socket};

/// A server that is silent for so long hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request to send. `Host` and the framing are added; whatever else it has is sent as it is.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    chunk: Option<usize>,
}

impl Request {
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: None, chunk: None }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", format!("Bearer {token}"))
    }

    pub fn basic(self, user: &str, password: &str) -> Self {
        self.header("Authorization", format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sends the body in chunks of `size` bytes in place of a `Content-Length`.
    pub fn chunked(mut self, size: usize) -> Self {
        self.chunk = Some(size);
        self
    }

    /// Whether it changes nothing: GET and HEAD.
    pub fn is_read(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD")
    }

    pub fn with_method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    pub fn without_body(mut self) -> Self {
        self.body = None;
        self
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
    }

    /// The request line and headers.
    pub fn head(&self, host: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let mut add = |name: &str, value: &str| {
            head.push_str(name);
            head.push_str(": ");
            head.push_str(value);
            head.push_str("\r\n");
        };
        if !self.has("host") {
            add("Host", host);
        }
        for (name, value) in &self.headers {
            add(name, value);
        }
        match (&self.body, self.chunk) {
            (_, Some(_)) => add("Transfer-Encoding", "chunked"),
            (Some(body), None) if !self.has("content-length") => add("Content-Length", &body.len().to_string()),
            _ => {}
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    fn framed_body(&self) -> Vec<u8> {
        let body = self.body.as_deref().unwrap_or_default();
        let Some(size) = self.chunk else { return body.to_vec() };
        let mut framed = Vec::with_capacity(body.len() + 64);
        for chunk in body.chunks(size) {
            framed.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            framed.extend_from_slice(chunk);
            framed.extend_from_slice(b"\r\n");
        }
        framed.extend_from_slice(b"0\r\n\r\n");
        framed
    }
}

/// An answer that came whole.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers_named(name).next()
    }

    pub fn headers_named(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Status and code of an error: `404 PR404-MC-0001`.
    pub fn problem(&self) -> String {
        let json = self.json();
        assert!(json["message"]["value"].as_str().is_some_and(|m| !m.is_empty()), "{json}");
        format!("{} {}", self.status, json["code"].as_str().expect("a code"))
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// A connection that is kept between requests.
pub struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Connection {
    pub fn to(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("a connection"), address)
    }

    fn over(stream: TcpStream, address: SocketAddr) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self { stream: BufReader::new(stream), host: address.to_string() }
    }

    /// As `to`, with a small receive buffer: what is not read soon waits at the server.
    pub fn narrow(address: SocketAddr) -> Self {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        set_socket_recv_buffer_size(&socket, 8192).expect("a size");
        connect(&socket, &address).expect("a connection");
        Self::over(TcpStream::from(socket), address)
    }

    /// Sends a request and reads its whole answer.
    #[track_caller]
    pub fn send(&mut self, request: &Request) -> Reply {
        self.try_send(request).expect("an answer")
    }

    /// As `send`; an answer that breaks off is an error.
    pub fn try_send(&mut self, request: &Request) -> io::Result<Reply> {
        let mut bytes = request.head(&self.host);
        bytes.extend_from_slice(&request.framed_body());
        // A server that refuses early may close before it has read everything: its answer still counts.
        let _ = self.write(&bytes);
        self.reply(&request.method)
    }

    /// Sends the head of a request alone.
    pub fn start(&mut self, request: &Request) -> io::Result<()> {
        self.write(&request.head(&self.host))
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Ends the sending side.
    pub fn half_close(&mut self) {
        let _ = self.stream.get_mut().shutdown(Shutdown::Write);
    }

    /// Whether the server has closed the connection; waits until it has or sends something.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.stream.fill_buf(), Ok([]) | Err(_))
    }

    /// Reads the answer to a request with this method.
    pub fn reply(&mut self, method: &str) -> io::Result<Reply> {
        loop {
            let (status, headers) = self.head()?;
            let mut reply = Reply { status, headers, body: Vec::new() };
            if status == 100 {
                continue;
            }
            if method != "HEAD" && status != 204 && status != 304 {
                reply.body = self.body(&reply)?;
            }
            return Ok(reply);
        }
    }

    /// Reads the status and headers of an answer.
    pub fn head(&mut self) -> io::Result<(u16, Vec<(String, String)>)> {
        let line = self.line()?;
        let status =
            line.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(|| invalid("a status line", &line))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok((status, headers));
            }
            let (name, value) = line.split_once(':').ok_or_else(|| invalid("a header", &line))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// Whether the server sends something, or ends the connection, within that time.
    pub fn hears_within(&mut self, time: Duration) -> bool {
        self.stream.get_ref().set_read_timeout(Some(time)).expect("a timeout");
        let heard = self.stream.fill_buf();
        let silent = heard.is_err_and(|e| matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
        self.stream.get_ref().set_read_timeout(Some(PATIENCE)).expect("a timeout");
        !silent
    }

    /// Reads some bytes of a body.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }

    fn body(&mut self, reply: &Reply) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if reply.header("transfer-encoding").is_some() {
            loop {
                let line = self.line()?;
                let size = usize::from_str_radix(&line, 16).map_err(|_| invalid("a chunk size", &line))?;
                let start = body.len();
                body.resize(start + size, 0);
                self.stream.read_exact(&mut body[start..])?;
                self.line()?;
                if size == 0 {
                    return Ok(body);
                }
            }
        }
        match reply.header("content-length") {
            Some(length) => {
                body.resize(length.parse().map_err(|_| invalid("a length", length))?, 0);
                self.stream.read_exact(&mut body)?;
            }
            None => {
                self.stream.read_to_end(&mut body)?;
            }
        }
        Ok(body)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        match line.strip_suffix(b"\r\n") {
            Some(line) => String::from_utf8(line.to_vec()).map_err(|e| invalid("text", &e.to_string())),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn invalid(what: &str, got: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("expected {what}, got {got:?}"))
}
