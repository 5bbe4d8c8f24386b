//! Hostile clients: everything but an orderly request.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::dice::Dice;
use crate::fort::Fort;
use crate::table::Table;
use crate::wild::{drip, reset};

const SUBJECT: &str = "Hostile clients";
const PATIENCE: Duration = Duration::from_secs(3);
/// Where they knock: at hostile upstreams, and at the documents and commands of the module.
const TARGETS: &[&str] =
    &["/noise", "/names", "/noise", "/alert", "/alert/status.json", "/alert/metrics", "/control/test"];

type Attack = fn(&mut TcpStream, &str, &mut Dice) -> io::Result<()>;

const ATTACKS: &[(&str, Attack)] = &[
    ("half a request", |stream, target, dice| {
        let whole = format!("GET {target} HTTP/1.1\r\nHost: x\r\nX-Filler: yyyyyyyy\r\n\r\n");
        stream.write_all(&whole.as_bytes()[..dice.below(whole.len() as u64) as usize])
    }),
    ("gone before the answer", |stream, target, dice| {
        get(stream, target)?;
        std::thread::sleep(dice.up_to(Duration::from_millis(50)));
        reset(stream)
    }),
    ("gone after a second and a half", |stream, target, _| {
        get(stream, target)?;
        std::thread::sleep(Duration::from_millis(1500));
        Ok(())
    }),
    ("gone amid the answer", |stream, target, _| {
        get(stream, target)?;
        stream.read(&mut [0; 10]).map(drop)
    }),
    ("a pipeline", |stream, target, dice| {
        let one = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(one.repeat(1 + dice.below(20) as usize).as_bytes())?;
        read_a_bit(stream)
    }),
    ("garbage", |stream, _, dice| {
        let length = dice.below(5000) as usize;
        stream.write_all(&dice.bytes(length))?;
        read_a_bit(stream)
    }),
    ("a greeting of TLS", |stream, _, dice| {
        stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")?;
        stream.write_all(&dice.bytes(500))?;
        read_a_bit(stream)
    }),
    ("a huge header", |stream, target, dice| {
        let huge = "h".repeat(dice.below(60_000) as usize);
        write!(stream, "GET {target} HTTP/1.1\r\nHost: x\r\nX-Huge: {huge}\r\n\r\n")?;
        read_a_bit(stream)
    }),
    ("many headers", |stream, target, dice| {
        let many = "X-Many: 1\r\n".repeat(dice.below(2000) as usize);
        write!(stream, "GET {target} HTTP/1.1\r\nHost: x\r\n{many}\r\n")?;
        read_a_bit(stream)
    }),
    ("a long path", |stream, target, dice| {
        let long = "/%41".repeat(dice.below(3000) as usize);
        write!(stream, "GET {target}{long} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        read_a_bit(stream)
    }),
    ("control characters", |stream, target, dice| {
        write!(stream, "GET {target}/\x1b[31m\x07?")?;
        stream.write_all(&dice.bytes(40))?;
        stream.write_all(b" HTTP/1.1\r\nHost: \x00x\r\nX-Forwarded-For: \xff\r\n\r\n")?;
        read_a_bit(stream)
    }),
    ("a body that never comes", |stream, target, _| {
        write!(stream, "POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nonly this")
    }),
    ("broken chunks", |stream, target, _| {
        write!(stream, "POST {target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nhello\r\n")?;
        read_a_bit(stream)
    }),
    ("two lengths", |stream, target, _| {
        write!(stream, "POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")?;
        read_a_bit(stream)
    }),
    ("a request byte by byte", |stream, target, _| {
        drip(stream, format!("GET {target} HTTP/1.1\r\nHost: x\r\n").as_bytes(), Duration::from_millis(10))
    }),
    ("HTTP/0.9", |stream, target, _| {
        write!(stream, "GET {target}\r\n")?;
        read_a_bit(stream)
    }),
    ("an unknown method", |stream, target, _| {
        write!(stream, "BREW {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        read_a_bit(stream)
    }),
];

/// One attack.
pub fn attack(fort: &Fort, dice: &mut Dice, table: &Table) {
    let (name, way) = *dice.pick(ATTACKS);
    table.count(SUBJECT, name);
    let target = dice.word(TARGETS);
    // Whatever nginx does with it is its own business, as long as it goes on.
    let _ = connect(fort.address).and_then(|mut stream| way(&mut stream, target, dice));
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn get(stream: &mut TcpStream, target: &str) -> io::Result<()> {
    write!(stream, "GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
}

fn read_a_bit(stream: &mut TcpStream) -> io::Result<()> {
    stream.read(&mut [0; 4096]).map(drop)
}
