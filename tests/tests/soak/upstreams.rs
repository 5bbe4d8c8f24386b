//! Hostile upstreams: everything that a broken or malicious application can answer.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use crate::dice::Dice;
use crate::table::Table;
use crate::wild::{Way, Wild, drip, read_head, reset, say_nothing, write_without_end};

const SUBJECT: &str = "Hostile upstreams";

const WAYS: &[Way] = &[
    ("a good answer", |stream, _| answer(stream, "200 OK", "", "fine")),
    ("a good answer", |stream, _| answer(stream, "200 OK", "X-App-Pool: a\r\nX-Release-Id: v1\r\n", "fine")),
    ("an error", |stream, dice| answer(stream, &format!("{} Broken", 500 + dice.below(100)), "", "sorry")),
    ("garbage", |stream, dice| {
        read_head(stream)?;
        stream.write_all(&dice.bytes(3000))
    }),
    ("a reset", |stream, _| {
        read_head(stream)?;
        reset(stream)
    }),
    ("half a header, then the end", |stream, _| {
        read_head(stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nX-App-Po")
    }),
    ("headers without end", |stream, _| {
        read_head(stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
        write_without_end(stream, b"X-App-Pool: again\r\nX-Release-Id: and-again\r\n")
    }),
    ("a body without end", |stream, _| {
        read_head(stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        write_without_end(stream, &[b'x'; 8192])
    }),
    ("silence", |stream, _| say_nothing(stream)),
    ("closed at once", |_, _| Ok(())),
    ("a huge pool and release", |stream, dice| {
        let huge = "p".repeat(1000 + dice.below(2500) as usize);
        answer(stream, "200 OK", &format!("X-App-Pool: {huge}\r\nX-Release-Id: {huge}\r\n"), "")
    }),
    ("control characters in pool and release", |stream, dice| {
        read_head(stream)?;
        stream.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-App-Pool: a\x1b[31m\x07\x7f\xff\xfe<!channel>\r\n",
        )?;
        stream.write_all(b"X-Release-Id: \"}]\\")?;
        let bytes = dice.bytes(60).into_iter().filter(|byte| !matches!(byte, b'\r' | b'\n'));
        stream.write_all(&bytes.chain(*b"\r\n\r\n").collect::<Vec<u8>>())
    }),
    ("an absurd status", |stream, dice| {
        let status = dice.word(&["000", "099", "999", "42", "99999999999999999999", "-1", "2e2", ""]);
        answer(stream, status, "", "")
    }),
    ("less body than announced", |stream, _| {
        read_head(stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nonly this")
    }),
    ("broken chunks", |stream, _| {
        read_head(stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nFFFFFFFFFFFFFFFFF\r\n")
    }),
    ("many interim answers", |stream, _| {
        read_head(stream)?;
        stream.write_all(&b"HTTP/1.1 100 Continue\r\n\r\n".repeat(50))?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    }),
    ("a switch of protocols that nobody asked for", |stream, dice| {
        read_head(stream)?;
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")?;
        stream.write_all(&dice.bytes(200))
    }),
    ("a pool and a release of its own", |stream, dice| {
        let (pool, release) = (dice.below(1_000_000), dice.below(1_000_000));
        answer(stream, "200 OK", &format!("X-App-Pool: pool-{pool}\r\nX-Release-Id: r{release}\r\n"), "")
    }),
    ("a slow header", |stream, _| {
        read_head(stream)?;
        drip(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Duration::from_millis(30))
    }),
    ("an answer before the request", |stream, _| stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")),
];

/// A hostile upstream.
pub fn start(dice: Dice, table: &Arc<Table>) -> Wild {
    Wild::start(SUBJECT, WAYS, dice, table)
}

fn answer(stream: &mut TcpStream, status: &str, headers: &str, body: &str) -> io::Result<()> {
    read_head(stream)?;
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}
