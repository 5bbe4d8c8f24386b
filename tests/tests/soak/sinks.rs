//! Where alerts go: receivers that keep a ledger, one that fails every other time, and those that never work.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tests::address;
use tests::http::{Reply, Request};
use tests::server::{Answer, Server, lock};

use crate::dice::Dice;
use crate::table::Table;
use crate::wild::{Way, Wild, drip, read_head, reset, say_nothing, write_without_end};

const SUBJECT: &str = "Bad sinks, by request";

/// Sinks that no alert ever gets through to, by name, each with how it treats a connection.
const BAD: &[(&str, &[Way])] = &[
    ("silent", &[("silence", |stream, _| say_nothing(stream))]),
    (
        "garbage",
        &[("garbage", |stream, dice| {
            read_head(stream)?;
            stream.write_all(&dice.bytes(5000))
        })],
    ),
    (
        "busy",
        &[("429", |stream, _| {
            read_head(stream)?;
            stream.write_all(b"HTTP/1.1 429 Busy\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n")
        })],
    ),
    (
        "broken",
        &[("500", |stream, _| {
            read_head(stream)?;
            stream.write_all(b"HTTP/1.1 500 Broken\r\nContent-Length: 6\r\n\r\nbroken")
        })],
    ),
    (
        "reset",
        &[("a reset", |stream, _| {
            read_head(stream)?;
            reset(stream)
        })],
    ),
    (
        "drip",
        &[("a slow drip", |stream, _| {
            read_head(stream)?;
            drip(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Duration::from_millis(100))
        })],
    ),
    (
        "moved",
        &[("a redirect", |stream, _| {
            read_head(stream)?;
            stream.write_all(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n")
        })],
    ),
    (
        "flood",
        &[("an answer without end", |stream, _| {
            read_head(stream)?;
            stream.write_all(b"HTTP/1.1 500 Broken\r\n\r\n")?;
            write_without_end(stream, &[b'y'; 8192])
        })],
    ),
    ("plain", &[("TLS to a plain port", |stream, _| stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\nplain"))]),
];

/// What one receiver took: the fields by which an alert is known, in the order of arrival.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The number on the board.
    pub id: u64,
    /// Whose it is.
    pub monitor: String,
    /// What it is.
    pub kind: String,
    /// `firing`, `resolved` or `info`.
    pub status: String,
    /// Which board it came from, as the conductor counts them.
    pub epoch: u64,
}

/// A receiver of the generic webhook that keeps what it took.
pub struct Receiver {
    server: Server,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    taken: Mutex<Vec<Taken>>,
    epoch: Arc<AtomicU64>,
    moody: AtomicBool,
}

impl Receiver {
    fn start(mut dice: Dice, table: &Arc<Table>, epoch: &Arc<AtomicU64>, moody: bool) -> Receiver {
        let state = Arc::new(State { epoch: epoch.clone(), moody: moody.into(), ..State::default() });
        let server = Server::start({
            let (state, table) = (state.clone(), table.clone());
            let mood = Mutex::new(dice.split());
            move |request| {
                let answer = if state.moody.load(Relaxed) { mood_of(&mut lock(&mood), &table) } else { good() };
                if matches!(&answer, Answer::Reply(reply) if reply.status == 200) {
                    state.take(&request, &table);
                }
                answer
            }
        });
        Receiver { server, state }
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.server.address())
    }

    /// All that it took.
    pub fn taken(&self) -> Vec<Taken> {
        lock(&self.state.taken).clone()
    }

    /// The number of the last alert that it took for this monitor, and what that said.
    pub fn last_of(&self, monitor: &str) -> Option<(usize, String)> {
        let taken = lock(&self.state.taken);
        let last = taken.iter().enumerate().rev().find(|(_, taken)| taken.monitor == monitor);
        last.map(|(at, taken)| (at, taken.status.clone()))
    }

    /// Takes everything from now on.
    pub fn calm_down(&self) {
        self.state.moody.store(false, Relaxed);
    }
}

impl State {
    fn take(&self, request: &Request, table: &Table) {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        let Some(id) = body["id"].as_u64() else {
            return table.lose("a message that is no alert", String::from_utf8_lossy(&request.body));
        };
        let (monitor, kind, status) = (text("monitor"), text("kind"), text("status"));
        lock(&self.taken).push(Taken { id, monitor, kind, status, epoch: self.epoch.load(Relaxed) });
    }
}

fn good() -> Answer {
    Answer::Reply(Reply::new(200, "ok"))
}

/// What a receiver does that fails as often as it works.
fn mood_of(dice: &mut Dice, table: &Table) -> Answer {
    let (what, answer) = match dice.below(12) {
        0 => ("moody: closed", Answer::Close),
        1 => ("moody: a reset", Answer::Reset),
        2 => ("moody: garbage", Answer::Raw(b"\x00\x01garbage\r\n\r\n")),
        3 => ("moody: 429", Answer::Reply(Reply::new(429, "later").header("Retry-After", "1"))),
        4 => ("moody: 503", Answer::Reply(Reply::new(503, "no"))),
        5 => ("moody: silence", Answer::Hang),
        _ => return good(),
    };
    table.count(SUBJECT, what);
    answer
}

/// All sinks of one nginx.
pub struct Sinks {
    /// Always takes everything.
    pub good: Receiver,
    /// Fails as often as not, until it is told to calm down.
    pub moody: Receiver,
    /// Takes digests, one a second.
    chat: Server,
    bad: Vec<(&'static str, Wild)>,
}

/// The names of the sinks that get everything in the end.
pub const WORKING: [&str; 3] = ["good", "moody", "chat"];

/// The names of the sinks that nothing gets through to.
pub fn bad_names() -> impl Iterator<Item = &'static str> {
    BAD.iter().map(|(name, _)| *name).chain(["nowhere", "refused"])
}

impl Sinks {
    /// Starts them.
    pub fn start(dice: &mut Dice, table: &Arc<Table>, epoch: &Arc<AtomicU64>) -> Sinks {
        let bad = BAD.iter().map(|(name, ways)| (*name, Wild::start(SUBJECT, ways, dice.split(), table)));
        Sinks {
            bad: bad.collect(),
            good: Receiver::start(dice.split(), table, epoch, false),
            moody: Receiver::start(dice.split(), table, epoch, true),
            chat: Server::start(|_| good()),
        }
    }

    /// The directives that name them.
    pub fn directives(&self) -> String {
        let bad = self.bad.iter().map(|(name, wild)| {
            let scheme = if *name == "plain" { "https" } else { "http" };
            format!("alert_notify webhook {scheme}://{}/hook name={name} timeout=2s;\n", wild.address())
        });
        bad.chain([
            format!("alert_notify webhook {} name=good;\n", self.good.url()),
            format!("alert_notify slack http://{}/hook name=chat;\n", self.chat.address()),
            format!("alert_notify webhook {} name=moody timeout=2s;\n", self.moody.url()),
            "alert_notify webhook http://nowhere.invalid/hook name=nowhere timeout=2s;\n".into(),
            format!("alert_notify webhook http://{}/hook name=refused timeout=2s;\n", address::free()),
        ])
        .collect()
    }
}
