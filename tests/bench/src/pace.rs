//! Requests at a steady rate, and how long each took.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tests::http::{Request, Wire};

/// Clients, each with one connection, that send requests until they are told to stop.
pub struct Pace {
    stop: Arc<AtomicBool>,
    start: Instant,
    clients: Vec<JoinHandle<io::Result<Vec<Duration>>>>,
}

impl Pace {
    /// Starts to send `per_second` requests for `target`, over that many connections together.
    pub fn start(address: SocketAddr, target: &'static str, per_second: u32, connections: u32) -> Pace {
        let stop = Arc::new(AtomicBool::new(false));
        let start = Instant::now();
        let interval = Duration::from_secs(1) * connections / per_second;
        let clients = (0..connections).map(|at| {
            let (stop, first) = (stop.clone(), start + interval * at / connections);
            thread::spawn(move || send(address, target, first, interval, &stop))
        });
        let clients = clients.collect();
        Pace { stop, start, clients }
    }

    /// Stops, and tells how long each request took from when it was due, and how many there were a second.
    pub fn stop(self) -> (Vec<Duration>, f64) {
        self.stop.store(true, Relaxed);
        let seconds = self.start.elapsed().as_secs_f64();
        let times = self
            .clients
            .into_iter()
            .flat_map(|client| client.join().expect("a client does not panic").expect("every request is answered"));
        let times: Vec<_> = times.collect();
        let rate = times.len() as f64 / seconds;
        (times, rate)
    }
}

fn send(
    address: SocketAddr,
    target: &str,
    first: Instant,
    interval: Duration,
    stop: &AtomicBool,
) -> io::Result<Vec<Duration>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut wire = Wire::new(stream);
    let request = Request::new("GET", target);
    let (mut due, mut times) = (first, Vec::new());
    while !stop.load(Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        wire.write_request(&request)?;
        let reply = wire.read_reply("GET")?;
        if reply.status != 200 {
            return Err(io::Error::other(format!("the answer is {}", reply.status)));
        }
        times.push(due.elapsed());
        due += interval;
    }
    Ok(times)
}
