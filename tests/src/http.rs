//! HTTP/1.1 messages on a socket, as the client and the scripted servers need them.
//!
//! Hand-written on purpose: a test must be able to send and to notice what a well-behaved library would refuse.

use std::io::{self, Read, Write};
use std::net::TcpStream;

const MAX_HEADERS: usize = 64;

/// A header's name and value, in the order of the wire.
pub type Header = (String, String);

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path and query.
    pub target: String,
    /// All headers.
    pub headers: Vec<Header>,
    /// The body; empty where there is none.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.into(), target: target.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// The same request with one more header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same request with a body.
    pub fn body(mut self, body: &str) -> Self {
        self.body = body.into();
        self
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// All headers.
    pub headers: Vec<Header>,
    /// The body; empty where there is none.
    pub body: Vec<u8>,
}

impl Reply {
    /// An answer without headers.
    pub fn new(status: u16, body: &str) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// The same answer with one more header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The value of the first header of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        value_of(&self.headers, name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection that carries messages.
pub struct Wire {
    stream: TcpStream,
    /// What was read and belongs to the next message.
    buffer: Vec<u8>,
}

impl Wire {
    /// Messages on this stream.
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// The stream below.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends raw bytes.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a request; `Host` and `Content-Length` are added.
    pub fn write_request(&mut self, request: &Request) -> io::Result<()> {
        let Request { method, target, headers, body } = request;
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        if value_of(headers, "host").is_none() {
            head += "Host: app.example\r\n";
        }
        if !body.is_empty() || method == "POST" {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        self.write(&message(head, headers, body))
    }

    /// Sends an answer; `Content-Length` is added.
    pub fn write_reply(&mut self, reply: &Reply) -> io::Result<()> {
        let head = format!("HTTP/1.1 {} Scripted\r\nContent-Length: {}\r\n", reply.status, reply.body.len());
        self.write(&message(head, &reply.headers, &reply.body))
    }

    /// Reads a request; `None` when the peer closed between two of them or `give_up` said so while none was there.
    pub fn read_request(&mut self, give_up: impl Fn() -> bool) -> io::Result<Option<Request>> {
        let parsed = loop {
            let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
            let mut head = httparse::Request::new(&mut headers);
            if let httparse::Status::Complete(length) = head.parse(&self.buffer).map_err(malformed)? {
                let request = Request::new(head.method.unwrap_or_default(), head.path.unwrap_or_default());
                break (length, Request { headers: owned(head.headers), ..request });
            }
            match self.fill() {
                Ok(0) if self.buffer.is_empty() => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if is_timeout(&error) && !give_up() => {}
                Err(error) if is_timeout(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        };
        let (length, mut request) = parsed;
        self.buffer.drain(..length);
        // The rest of a body may come late; what has come of it stays in the buffer.
        request.body = loop {
            match self.read_body(&request.headers, false) {
                Err(error) if is_timeout(&error) && !give_up() => {}
                body => break body?,
            }
        };
        Ok(Some(request))
    }

    /// Reads an answer to a request of this method.
    pub fn read_reply(&mut self, method: &str) -> io::Result<Reply> {
        let (length, mut reply) = loop {
            let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
            let mut head = httparse::Response::new(&mut headers);
            if let httparse::Status::Complete(length) = head.parse(&self.buffer).map_err(malformed)? {
                let status = head.code.unwrap_or_default();
                break (length, Reply { status, headers: owned(head.headers), body: Vec::new() });
            }
            self.fill_or_eof()?;
        };
        self.buffer.drain(..length);
        if method != "HEAD" && !matches!(reply.status, 204 | 304) {
            reply.body = self.read_body(&reply.headers, true)?;
        }
        Ok(reply)
    }

    fn read_body(&mut self, headers: &[Header], until_close: bool) -> io::Result<Vec<u8>> {
        if value_of(headers, "transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return self.read_chunks();
        }
        if let Some(length) = value_of(headers, "content-length") {
            let length = length.parse().map_err(malformed)?;
            return self.read_exactly(length);
        }
        if until_close {
            while self.fill()? > 0 {}
            return Ok(std::mem::take(&mut self.buffer));
        }
        Ok(Vec::new())
    }

    fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let (mut body, mut at) = (Vec::new(), 0);
        loop {
            let size = match httparse::parse_chunk_size(&self.buffer[at..]) {
                Ok(httparse::Status::Complete((length, size))) => {
                    at += length;
                    usize::try_from(size).map_err(malformed)?
                }
                Ok(httparse::Status::Partial) => {
                    self.fill_or_eof()?;
                    continue;
                }
                Err(_) => return Err(malformed("invalid chunk size")),
            };
            while self.buffer.len() < at + size + "\r\n".len() {
                self.fill_or_eof()?;
            }
            body.extend_from_slice(&self.buffer[at..at + size]);
            at += size + "\r\n".len();
            if size == 0 {
                self.buffer.drain(..at);
                return Ok(body);
            }
        }
    }

    fn read_exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.fill_or_eof()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn fill_or_eof(&mut self) -> io::Result<()> {
        match self.fill()? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut part = [0; 8192];
        let length = self.stream.read(&mut part)?;
        self.buffer.extend_from_slice(&part[..length]);
        Ok(length)
    }
}

/// Whether a read ended because of the socket's read timeout.
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn message(mut head: String, headers: &[Header], body: &[u8]) -> Vec<u8> {
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn owned(headers: &[httparse::Header]) -> Vec<Header> {
    headers.iter().map(|header| (header.name.into(), String::from_utf8_lossy(header.value).into_owned())).collect()
}

fn value_of<'a>(headers: &'a [Header], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn malformed(error: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
