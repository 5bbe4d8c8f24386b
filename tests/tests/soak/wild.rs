//! A server that does anything but what its clients expect: hostile upstreams and bad sinks are made of it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tests::address;

use crate::dice::Dice;
use crate::table::Table;

/// Nobody is kept for longer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Of something that has no end, between two parts.
const BREATH: Duration = Duration::from_millis(2);

/// One way to treat a connection.
pub type Way = (&'static str, fn(&mut TcpStream, &mut Dice) -> io::Result<()>);

/// A running server.
pub struct Wild {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Wild {
    /// Treats each connection in one of these ways, and counts it as such.
    pub fn start(subject: &'static str, ways: &'static [Way], mut dice: Dice, table: &Arc<Table>) -> Wild {
        let listener = address::listener();
        let address = listener.local_addr().expect("a bound listener has an address");
        let over = Arc::new(AtomicBool::new(false));
        let acceptor = {
            let (over, table) = (over.clone(), table.clone());
            thread::spawn(move || {
                while let Ok((mut stream, _)) = listener.accept() {
                    if over.load(Relaxed) {
                        break;
                    }
                    let (name, way) = *dice.pick(ways);
                    let mut own = dice.split();
                    table.count(subject, name);
                    thread::spawn(move || {
                        let limited =
                            stream.set_read_timeout(Some(PATIENCE)).and(stream.set_write_timeout(Some(PATIENCE)));
                        // That the peer goes away is what many of these lead to.
                        let _ = limited.and_then(|()| way(&mut stream, &mut own));
                    });
                }
            })
        };
        Wild { address, over, acceptor: Some(acceptor) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Wild {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        // Wakes the thread that waits for the next connection.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// Reads up to the end of a head, and as much of what follows as has come.
pub fn read_head(stream: &mut TcpStream) -> io::Result<()> {
    let (mut read, mut part) = (Vec::new(), [0; 4096]);
    while !read.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        match stream.read(&mut part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => read.extend_from_slice(&part[..length]),
        }
    }
    Ok(())
}

/// Writes the same again and again until the peer has enough, or far too long.
pub fn write_without_end(stream: &mut TcpStream, part: &[u8]) -> io::Result<()> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        stream.write_all(part)?;
        thread::sleep(BREATH);
    }
    Ok(())
}

/// Writes byte by byte, with a pause before each.
pub fn drip(stream: &mut TcpStream, bytes: &[u8], pause: Duration) -> io::Result<()> {
    for byte in bytes {
        thread::sleep(pause);
        stream.write_all(&[*byte])?;
    }
    Ok(())
}

/// Ends a connection by a reset.
pub fn reset(stream: &TcpStream) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?)
}

/// Says nothing until the peer goes away, or far too long.
pub fn say_nothing(stream: &mut TcpStream) -> io::Result<()> {
    let mut ignored = [0; 512];
    while stream.read(&mut ignored)? > 0 {}
    Ok(())
}
