//! A plain HTTP/1.1 client on one blocking connection, which reads in large pieces and can throw away what it reads.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::Result;
use crate::children::TOKEN;

const BUFFER: usize = 1 << 20;

/// A connection that is kept between requests.
pub struct Connection {
    stream: TcpStream,
    host: String,
    buffer: Vec<u8>,
    /// What was read and not yet used: `buffer[begin..end]`.
    begin: usize,
    end: usize,
}

/// An answer without its body.
#[derive(Debug)]
pub struct Head {
    pub status: u16,
    pub length: Option<u64>,
    chunked: bool,
}

/// What it took to read a body that nobody keeps.
#[derive(Debug, Clone, Copy)]
pub struct Download {
    pub bytes: u64,
    /// From the request to the last byte.
    pub whole: Duration,
}

impl Connection {
    pub fn to(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_mins(5)))?;
        Ok(Self { stream, host: address.to_string(), buffer: vec![0; BUFFER], begin: 0, end: 0 })
    }

    /// Sends a request with a body in memory.
    pub fn start(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<()> {
        let mut bytes = self.head_of(method, target, headers, body.len() as u64);
        bytes.extend_from_slice(body);
        Ok(self.stream.write_all(&bytes)?)
    }

    fn head_of(&self, method: &str, target: &str, headers: &[(&str, &str)], length: u64) -> Vec<u8> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            let _ = write!(head, "Host: {}\r\n", self.host);
        }
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if length > 0 || method == "PUT" {
            let _ = write!(head, "Content-Length: {length}\r\n");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// Sends a request and returns its status and whole body; any status from 400 on is an error.
    pub fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<(u16, Vec<u8>)> {
        self.start(method, target, headers, body)?;
        self.answer(method, target)
    }

    /// As [`Self::send`], with a file for a body.
    pub fn send_file(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &mut std::fs::File,
    ) -> Result<(u16, Vec<u8>)> {
        let head = self.head_of(method, target, headers, body.metadata()?.len());
        self.stream.write_all(&head)?;
        io::copy(body, &mut self.stream)?;
        self.answer(method, target)
    }

    fn answer(&mut self, method: &str, target: &str) -> Result<(u16, Vec<u8>)> {
        let head = self.head()?;
        let mut body = Vec::new();
        if method != "HEAD" && head.status != 204 && head.status != 304 {
            self.each_piece(&head, |piece| body.extend_from_slice(piece))?;
        }
        if head.status >= 400 {
            let text = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
            return Err(format!("{method} {target}: {} {text}", head.status).into());
        }
        Ok((head.status, body))
    }

    /// Sends a request without a body and throws the body of the answer away.
    pub fn download(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) -> Result<Download> {
        self.exchange(method, target, headers, b"")
    }

    /// As [`Self::download`], with a body.
    pub fn exchange(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Download> {
        let begin = Instant::now();
        self.start(method, target, headers, body)?;
        let head = self.head()?;
        if head.status >= 300 {
            return Err(format!("{method} {target}: {}", head.status).into());
        }
        let mut bytes = 0;
        self.each_piece(&head, |piece| bytes += piece.len() as u64)?;
        Ok(Download { bytes, whole: begin.elapsed() })
    }

    /// Reads the status line and the headers.
    pub fn head(&mut self) -> Result<Head> {
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(|| format!("no status: {line}"))?;
        let mut head = Head { status, length: None, chunked: false };
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { return Ok(head) };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => head.length = Some(value.trim().parse()?),
                "transfer-encoding" => head.chunked = true,
                _ => {}
            }
        }
    }

    /// Reads a body, piece by piece as it comes.
    pub fn each_piece(&mut self, head: &Head, mut each: impl FnMut(&[u8])) -> Result<()> {
        if !head.chunked {
            return self.take(head.length.ok_or("an answer without a length")?, &mut each);
        }
        loop {
            let size = u64::from_str_radix(&self.line()?, 16)?;
            self.take(size, &mut each)?;
            self.line()?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn take(&mut self, mut left: u64, each: &mut impl FnMut(&[u8])) -> Result<()> {
        while left > 0 {
            if self.begin == self.end {
                self.fill()?;
            }
            let n = left.min((self.end - self.begin) as u64) as usize;
            each(&self.buffer[self.begin..self.begin + n]);
            self.begin += n;
            left -= n as u64;
        }
        Ok(())
    }

    /// Reads once; whatever was there has been used, but for `begin..end`.
    fn fill(&mut self) -> Result<()> {
        if self.begin == self.end {
            (self.begin, self.end) = (0, 0);
        }
        match self.stream.read(&mut self.buffer[self.end..])? {
            0 => Err("the connection was closed".into()),
            n => {
                self.end += n;
                Ok(())
            }
        }
    }

    /// Waits until some of the body is there.
    pub fn need_a_byte(&mut self) -> Result<()> {
        if self.begin == self.end { self.fill() } else { Ok(()) }
    }

    fn line(&mut self) -> Result<String> {
        loop {
            let unread = &self.buffer[self.begin..self.end];
            if let Some(at) = unread.iter().position(|b| *b == b'\n') {
                let line = String::from_utf8_lossy(&unread[..at]).trim_end().to_owned();
                self.begin += at + 1;
                return Ok(line);
            }
            if self.end == self.buffer.len() {
                self.buffer.copy_within(self.begin..self.end, 0);
                (self.begin, self.end) = (0, self.end - self.begin);
            }
            self.fill()?;
        }
    }

    /// Reads at most `size` bytes of what has come, for a client that is slow on purpose.
    pub fn sip(&mut self, size: usize) -> Result<usize> {
        Ok(self.stream.read(&mut self.buffer[..size])?)
    }
}
