//! The demo app: one pool's server behind nginx, which can be broken on request and remembers when it first failed.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::map_response_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;

use crate::clock::Micros;
use crate::server::Server;

/// How a broken app behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Chaos {
    /// Answers 500.
    Error,
    /// Accepts the request and does not answer.
    Timeout,
}

impl fmt::Display for Chaos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Chaos::Error => "error",
            Chaos::Timeout => "timeout",
        })
    }
}

impl FromStr for Chaos {
    type Err = String;

    fn from_str(name: &str) -> Result<Chaos, String> {
        match name {
            "error" => Ok(Chaos::Error),
            "timeout" => Ok(Chaos::Timeout),
            other => Err(format!("no chaos mode \"{other}\", it must be error or timeout")),
        }
    }
}

/// Who an app says it is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Sent as `X-App-Pool`.
    pub pool: String,
    /// Sent as `X-Release-Id`.
    pub release: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.pool, self.release)
    }
}

/// What `GET /chaos` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How the app is broken now, if it is.
    pub mode: Option<Chaos>,
    /// When this chaos began.
    pub started_us: Option<Micros>,
    /// When the app first failed a request since then: for `error` just before the answer, for `timeout` on arrival.
    pub first_failure_us: Option<Micros>,
    /// Requests failed since then.
    pub failures: u64,
}

/// A running app. Dropping it stops it.
#[derive(Debug)]
pub struct App {
    server: Server,
    world: Arc<World>,
}

impl App {
    /// Starts an app; port 0 takes a free one.
    pub fn start(identity: &Identity, listen: SocketAddr) -> io::Result<App> {
        let header = |value: &str| {
            HeaderValue::from_str(value).map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidInput, format!("{value:?} cannot be a header's value"))
            })
        };
        let world = Arc::new(World {
            identity: identity.clone(),
            pool: header(&identity.pool)?,
            release: header(&identity.release)?,
            mode: watch::Sender::new(None),
            report: Mutex::default(),
        });
        let router = Router::new()
            .route("/", any(hello))
            .route("/version", any(hello))
            .route("/healthz", get(async || "ok\n"))
            .route("/chaos", get(async |State(world): State<Arc<World>>| Json(*world.report())))
            .route("/chaos/start", post(start_chaos))
            .route("/chaos/stop", post(stop_chaos))
            .layer(map_response_with_state(Arc::clone(&world), sign))
            .with_state(Arc::clone(&world));
        Ok(App { server: Server::start(&identity.pool, listen, router)?, world })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Breaks the app, as `POST /chaos/start` does.
    pub fn break_down(&self, mode: Chaos) {
        self.world.set(Some(mode));
    }

    /// Mends the app, as `POST /chaos/stop` does. Requests that hang are answered.
    pub fn mend(&self) {
        self.world.set(None);
    }

    /// What `GET /chaos` tells.
    pub fn report(&self) -> Report {
        *self.world.report()
    }
}

#[derive(Debug)]
struct World {
    identity: Identity,
    pool: HeaderValue,
    release: HeaderValue,
    /// Watched by the requests that hang.
    mode: watch::Sender<Option<Chaos>>,
    report: Mutex<Report>,
}

impl World {
    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, mode: Option<Chaos>) {
        {
            let mut report = self.report();
            // Mending keeps the figures: they are read after the fact.
            match mode {
                Some(_) => *report = Report { mode, started_us: Some(Micros::now()), ..Report::default() },
                None => report.mode = None,
            }
        }
        self.mode.send_replace(mode);
    }

    fn note_failure(&self) {
        let mut report = self.report();
        report.first_failure_us.get_or_insert_with(Micros::now);
        report.failures += 1;
    }
}

async fn hello(State(world): State<Arc<World>>) -> Response {
    let mut mode = world.mode.subscribe();
    if *mode.borrow() == Some(Chaos::Timeout) {
        world.note_failure();
        // The sender lives in `world`, so this cannot fail.
        let _ = mode.wait_for(|mode| *mode != Some(Chaos::Timeout)).await;
    }
    let broken = *mode.borrow() == Some(Chaos::Error);
    if broken {
        world.note_failure();
        return (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "error": "chaos" }))).into_response();
    }
    Json(json!({ "pool": world.identity.pool, "release": world.identity.release })).into_response()
}

#[derive(Deserialize)]
struct Start {
    #[serde(default = "Start::default_mode")]
    mode: Chaos,
}

impl Start {
    fn default_mode() -> Chaos {
        Chaos::Error
    }
}

async fn start_chaos(State(world): State<Arc<World>>, Query(start): Query<Start>) -> Json<Report> {
    world.set(Some(start.mode));
    Json(*world.report())
}

async fn stop_chaos(State(world): State<Arc<World>>) -> Json<Report> {
    world.set(None);
    Json(*world.report())
}

async fn sign(State(world): State<Arc<World>>, mut response: Response) -> Response {
    response.headers_mut().insert("x-app-pool", world.pool.clone());
    response.headers_mut().insert("x-release-id", world.release.clone());
    response
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::client;

    fn app() -> App {
        let identity = Identity { pool: "blue".to_owned(), release: "v1".to_owned() };
        App::start(&identity, SocketAddr::from(([127, 0, 0, 1], 0))).unwrap()
    }

    fn status(app: &App, path: &str) -> u16 {
        client::get(&format!("http://{}{path}", app.address())).unwrap().status().as_u16()
    }

    #[test]
    fn every_answer_names_pool_and_release() {
        let app = app();
        for path in ["/", "/version", "/healthz", "/chaos", "/nowhere"] {
            let answer = client::get(&format!("http://{}{path}", app.address())).unwrap();
            assert_eq!(answer.headers()["x-app-pool"], "blue", "{path}");
            assert_eq!(answer.headers()["x-release-id"], "v1", "{path}");
        }
    }

    #[test]
    fn a_broken_app_fails_its_pages_and_stays_healthy() {
        let app = app();
        client::post(&format!("http://{}/chaos/start?mode=error", app.address())).unwrap();
        let before = Micros::now();
        assert_eq!(status(&app, "/"), 500);
        assert_eq!(status(&app, "/version"), 500);
        assert_eq!(status(&app, "/healthz"), 200);
        let report = app.report();
        assert_eq!((report.mode, report.failures), (Some(Chaos::Error), 2));
        assert!(report.first_failure_us.unwrap() >= before);
        client::post(&format!("http://{}/chaos/stop", app.address())).unwrap();
        assert_eq!(status(&app, "/"), 200);
        assert_eq!(app.report().failures, 2, "mending keeps the figures");
    }

    #[test]
    fn a_request_that_hangs_is_answered_when_the_app_is_mended() {
        let app = app();
        app.break_down(Chaos::Timeout);
        thread::scope(|scope| {
            let hanging = scope.spawn(|| status(&app, "/"));
            while app.report().failures == 0 {
                thread::sleep(Duration::from_millis(1));
            }
            assert!(!hanging.is_finished());
            app.mend();
            assert_eq!(hanging.join().unwrap(), 200);
        });
    }

    #[test]
    fn an_unknown_mode_is_refused() {
        let app = app();
        let url = format!("http://{}/chaos/start?mode=slow", app.address());
        assert_eq!(client::post(&url).unwrap().status(), 400);
        assert_eq!(app.report().mode, None);
    }

    #[test]
    fn a_dropped_app_frees_its_port() {
        let app = app();
        let address = app.address();
        drop(app);
        assert!(client::get(&format!("http://{address}/")).is_err());
    }
}
