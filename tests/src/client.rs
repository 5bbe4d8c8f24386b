//! The user in front of nginx.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::http::{Reply, Request, Wire};

/// Far above every timeout in the configurations of the tests: reaching it means that nginx stalls.
const PATIENCE: Duration = Duration::from_secs(15);

/// Sends requests to one address.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    address: SocketAddr,
}

impl Client {
    /// A client of this address.
    pub fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// One `GET` on a connection of its own, which `reuseport` hands to any worker.
    #[track_caller]
    pub fn get(&self, target: &str) -> Reply {
        self.send(&Request::new("GET", target))
    }

    /// One request on a connection of its own.
    #[track_caller]
    pub fn send(&self, request: &Request) -> Reply {
        match self.try_send(request) {
            Ok(reply) => reply,
            Err(error) => panic!("{} {}: {error}", request.method, request.target),
        }
    }

    /// As [`Client::send`], where no answer is an answer too.
    pub fn try_send(&self, request: &Request) -> io::Result<Reply> {
        self.connect()?.send(&request.clone().header("Connection", "close"))
    }

    /// Many `GET`s one after the other, each on its own connection; their status codes.
    #[track_caller]
    pub fn get_many(&self, count: usize, target: &str) -> Vec<u16> {
        (0..count).map(|_| self.get(target).status).collect()
    }

    /// `count` `GET`s by each of `clients` at once; all status codes.
    pub fn get_concurrently(&self, clients: usize, count: usize, target: &str) -> Vec<u16> {
        thread::scope(|scope| {
            let running: Vec<_> = (0..clients).map(|_| scope.spawn(|| self.get_many(count, target))).collect();
            running.into_iter().flat_map(|client| client.join().expect("every request is answered")).collect()
        })
    }

    /// Sends a `GET` and goes away without an answer once `enough` returns.
    pub fn abandon(&self, target: &str, enough: impl FnOnce()) {
        let mut connection = self.connect().expect("nginx accepts connections");
        connection.0.write_request(&Request::new("GET", target)).expect("nginx reads the request");
        enough();
    }

    /// One `GET` and how long the answer took.
    #[track_caller]
    pub fn time(&self, target: &str) -> (Reply, Duration) {
        let start = Instant::now();
        (self.get(target), start.elapsed())
    }

    /// A connection for several requests.
    pub fn connect(&self) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Connection(Wire::new(stream)))
    }
}

/// A kept-alive connection, all of whose requests reach the same worker.
pub struct Connection(Wire);

impl Connection {
    /// Sends a request without reading its answer.
    pub fn write(&mut self, request: &Request) -> io::Result<()> {
        self.0.write_request(request)
    }

    /// Reads the answer to a request of this method.
    pub fn read(&mut self, method: &str) -> io::Result<Reply> {
        self.0.read_reply(method)
    }

    /// One request.
    pub fn send(&mut self, request: &Request) -> io::Result<Reply> {
        self.write(request)?;
        self.read(&request.method)
    }
}
