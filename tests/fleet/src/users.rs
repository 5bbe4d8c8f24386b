//! Who asks a host: one request after the other, at a steady pace, whatever comes of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tests::client::{Client, Connection};
use tests::http::Request;

/// Of this many requests one is for [`POISON`].
const POISON_EVERY: u64 = 200;
/// What no pool can answer while a host is poisoned.
pub const POISON: &str = "/poison";

/// The users of one host, until this is dropped.
pub struct Users {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Users {
    /// Starts to ask this address once in `pause`.
    pub fn start(address: SocketAddr, pause: Duration) -> Users {
        let over = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let over = over.clone();
            move || ask(address, pause, &over)
        });
        Users { over, thread: Some(thread) }
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn ask(address: SocketAddr, pause: Duration, over: &AtomicBool) {
    let mut connection: Option<Connection> = None;
    for number in 1.. {
        if over.load(Ordering::Acquire) {
            return;
        }
        let request = Request::new("GET", if number % POISON_EVERY == 0 { POISON } else { "/" });
        connection = connection.or_else(|| Client::new(address).connect().ok());
        // A connection that failed is followed by a new one: nginx may have been stopped.
        let answer = connection.as_mut().map(|connection| connection.send(&request));
        if !matches!(answer, Some(Ok(_))) {
            connection = None;
        }
        thread::sleep(pause);
    }
}
