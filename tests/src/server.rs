//! A scripted HTTP server on a real socket: upstreams and sinks are made of it.

use std::collections::VecDeque;
use std::io::Read;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::address;
use crate::http::{Reply, Request, Wire, is_timeout};

/// How often an idle connection looks whether its server is gone.
const IDLE_LOOK: Duration = Duration::from_millis(50);

/// What the server does with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// An HTTP answer.
    Reply(Reply),
    /// An HTTP answer after a while.
    Late(Duration, Reply),
    /// Bytes that need not be HTTP, then the connection is closed.
    Raw(&'static [u8]),
    /// The connection is closed without an answer.
    Close,
    /// The connection is reset.
    Reset,
    /// Nothing, for as long as the peer waits.
    Hang,
}

/// What a server does next: first what is queued, then always the same.
#[derive(Debug)]
pub struct Script {
    queued: VecDeque<Answer>,
    otherwise: Answer,
}

impl Script {
    /// Always this answer.
    pub fn new(otherwise: Answer) -> Self {
        Self { queued: VecDeque::new(), otherwise }
    }

    /// From now on always this answer; what was queued is forgotten.
    pub fn set(&mut self, answer: Answer) {
        *self = Self::new(answer);
    }

    /// This answer for the next `count` requests.
    pub fn queue(&mut self, answer: Answer, count: usize) {
        self.queued.extend(std::iter::repeat_n(answer, count));
    }

    /// The answer to the request that just came.
    pub fn answer(&mut self) -> Answer {
        self.queued.pop_front().unwrap_or_else(|| self.otherwise.clone())
    }
}

type Handler = dyn Fn(Request) -> Answer + Send + Sync;

/// A server that can go away and come back at the same address.
pub struct Server {
    address: SocketAddr,
    handler: Arc<Handler>,
    listening: Mutex<Option<Listening>>,
}

impl Server {
    /// Starts to listen on an address of its own.
    pub fn start(handler: impl Fn(Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = address::listener();
        let address = listener.local_addr().expect("a bound listener has an address");
        let handler: Arc<Handler> = Arc::new(handler);
        let listening = Listening::start(listener, handler.clone());
        Self { address, handler, listening: Mutex::new(Some(listening)) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener and idle connections: new connections are refused.
    pub fn go_away(&self) {
        lock(&self.listening).take();
    }

    /// Listens again at the same address.
    pub fn come_back(&self) {
        let mut listening = lock(&self.listening);
        if listening.is_none() {
            let listener = TcpListener::bind(self.address).expect("the address is still this server's");
            *listening = Some(Listening::start(listener, self.handler.clone()));
        }
    }
}

/// The time between two absences of a server.
struct Listening {
    listener: Arc<TcpListener>,
    over: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Listening {
    fn start(listener: TcpListener, handler: Arc<Handler>) -> Self {
        let listener = Arc::new(listener);
        let over = Arc::new(AtomicBool::new(false));
        let acceptor = {
            let (listener, over) = (listener.clone(), over.clone());
            thread::spawn(move || {
                while let Ok((stream, _)) = listener.accept() {
                    let (handler, over) = (handler.clone(), over.clone());
                    thread::spawn(move || serve(stream, &*handler, &over));
                }
            })
        };
        Self { listener, over, acceptor: Some(acceptor) }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        // On Linux this wakes the thread that waits in accept().
        let _ = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Both);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// Answers requests until either side has enough. Errors need no report: the peer notices them.
fn serve(stream: TcpStream, handler: &Handler, over: &AtomicBool) {
    let over = || over.load(Ordering::Acquire);
    if stream.set_read_timeout(Some(IDLE_LOOK)).is_err() || stream.set_nodelay(true).is_err() {
        return;
    }
    let mut wire = Wire::new(stream);
    while let Ok(Some(request)) = wire.read_request(over) {
        if over() {
            // A server that is gone answers nobody, on a kept connection neither.
            return;
        }
        let reply = match handler(request) {
            Answer::Reply(reply) => reply,
            Answer::Late(delay, reply) => {
                thread::sleep(delay);
                reply
            }
            Answer::Raw(bytes) => {
                let _ = wire.write(bytes);
                return;
            }
            Answer::Close => return,
            Answer::Reset => {
                let _ = rustix::net::sockopt::set_socket_linger(wire.stream(), Some(Duration::ZERO));
                return;
            }
            Answer::Hang => return wait_for_close(wire.stream(), over),
        };
        let closing = reply.get("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if wire.write_reply(&reply).is_err() || closing {
            let _ = wire.stream().shutdown(Shutdown::Write);
            return;
        }
    }
}

fn wait_for_close(mut stream: &TcpStream, over: impl Fn() -> bool) {
    let mut ignored = [0; 512];
    loop {
        match stream.read(&mut ignored) {
            Ok(0) => return,
            Err(error) if !is_timeout(&error) || over() => return,
            _ => {}
        }
    }
}

/// Locks what a test that failed in another thread may have left locked.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
