//! A name server that knows one name, whose address the test can change.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::address;
use crate::server::lock;

/// A record of this type is an address.
const TYPE_A: u16 = 1;
const HEADER: usize = 12;
const NO_SUCH_NAME: u8 = 3;

/// Answers every question for an address with the present one, which is good for no time. It ends with the tests.
pub struct NameServer {
    address: SocketAddr,
    answer: Arc<Mutex<Option<Ipv4Addr>>>,
}

impl NameServer {
    /// Starts one that knows this address.
    pub fn start(known: Ipv4Addr) -> Self {
        let socket = UdpSocket::bind((address::free().ip(), 0)).expect("a loopback address has a free port");
        let address = socket.local_addr().expect("a bound socket has an address");
        let answer = Arc::new(Mutex::new(Some(known)));
        let present = answer.clone();
        thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question) {
                if let Some(reply) = reply(&question[..length], *lock(&present)) {
                    let _ = socket.send_to(&reply, from);
                }
            }
        });
        Self { address, answer }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Knows this address from now on, or no longer the name.
    pub fn set(&self, known: Option<Ipv4Addr>) {
        *lock(&self.answer) = known;
    }
}

/// The answer to a question; `None` where that is none.
fn reply(question: &[u8], known: Option<Ipv4Addr>) -> Option<Vec<u8>> {
    // The name is labels, each after its length, up to one of no length; type and class follow.
    let mut end = HEADER;
    while *question.get(end)? != 0 {
        end += 1 + usize::from(question[end]);
    }
    let asked = question.get(HEADER..end + 5)?;
    let kind = u16::from_be_bytes([question[end + 1], question[end + 2]]);
    let address = known.filter(|_| kind == TYPE_A);
    let code = if known.is_none() { NO_SUCH_NAME } else { 0 };
    let mut reply = [&question[..2], &[0x81, 0x80 | code, 0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]].concat();
    reply.extend_from_slice(asked);
    if let Some(address) = address {
        // The name again, as a pointer to the question; its time to live is zero.
        reply.extend_from_slice(&[0xc0, HEADER as u8, 0, TYPE_A as u8, 0, 1, 0, 0, 0, 0, 0, 4]);
        reply.extend_from_slice(&address.octets());
    }
    Some(reply)
}
