//! A Slack-like receiver: takes JSON anywhere, remembers the last messages with their time of arrival, and shows them
//! on a page and in the terminal.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Html;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Micros;
use crate::say;
use crate::server::Server;

/// Older messages make room: a sink left running must not grow.
const REMEMBERED: usize = 1000;

/// One message as it came in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Message {
    /// When its body had arrived.
    pub received_us: Micros,
    /// The path it was posted to.
    pub path: String,
    /// Its headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: Value,
}

impl Message {
    /// What Slack would show in a notification: the top-level `text`, empty where there is none.
    pub fn text(&self) -> &str {
        self.body["text"].as_str().unwrap_or_default()
    }
}

/// Whether a sink prints what it receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// Each message goes to standard output.
    Terminal,
    /// Nothing is printed.
    Silent,
}

/// A running sink. Dropping it stops it.
#[derive(Debug)]
pub struct Sink {
    server: Server,
    inbox: Arc<Inbox>,
}

impl Sink {
    /// Starts a sink; port 0 takes a free one.
    pub fn start(listen: SocketAddr, echo: Echo) -> io::Result<Sink> {
        let inbox = Arc::new(Inbox { messages: Mutex::default(), echo });
        let router = Router::new()
            .route("/", get(async || Html(include_str!("sink.html"))).post(receive))
            .route("/messages", get(list).delete(clear).post(receive))
            .fallback_service(post(receive).with_state(Arc::clone(&inbox)))
            .with_state(Arc::clone(&inbox));
        Ok(Sink { server: Server::start("sink", listen, router)?, inbox })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// A URL to post to.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address())
    }

    /// What has arrived so far, oldest first.
    pub fn messages(&self) -> Vec<Message> {
        self.inbox.messages().iter().cloned().collect()
    }
}

#[derive(Debug)]
struct Inbox {
    messages: Mutex<VecDeque<Message>>,
    echo: Echo,
}

impl Inbox {
    fn messages(&self) -> MutexGuard<'_, VecDeque<Message>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, message: Message) {
        if self.echo == Echo::Terminal {
            print(&message);
        }
        let mut messages = self.messages();
        if messages.len() == REMEMBERED {
            messages.pop_front();
        }
        messages.push_back(message);
    }
}

/// A message without a `text` is shown as it is.
fn print(message: &Message) {
    let text = match message.text() {
        "" => message.body.to_string(),
        text => text.to_owned(),
    };
    say!("{} {} {}", message.received_us, message.path, text.replace('\n', "\n             "));
}

async fn receive(
    State(inbox): State<Arc<Inbox>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let received_us = Micros::now();
    let Ok(body) = serde_json::from_slice(&body) else {
        return (StatusCode::BAD_REQUEST, "invalid_payload");
    };
    let headers = headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    inbox.take(Message { received_us, path: uri.path().to_owned(), headers, body });
    (StatusCode::OK, "ok")
}

async fn list(State(inbox): State<Arc<Inbox>>) -> Json<Vec<Message>> {
    Json(inbox.messages().iter().cloned().collect())
}

async fn clear(State(inbox): State<Arc<Inbox>>) -> StatusCode {
    inbox.messages().clear();
    StatusCode::NO_CONTENT
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client;

    fn sink() -> Sink {
        Sink::start(SocketAddr::from(([127, 0, 0, 1], 0)), Echo::Silent).unwrap()
    }

    fn send(sink: &Sink, path: &str, body: &str) -> (u16, String) {
        let mut answer = client::agent().post(format!("http://{}{path}", sink.address())).send(body).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }

    #[test]
    fn a_message_is_accepted_anywhere_and_kept_with_its_arrival() {
        let sink = sink();
        let before = Micros::now();
        for path in ["/", "/services/T/B/x", "/messages"] {
            assert_eq!(send(&sink, path, r#"{"text":"hello"}"#), (200, "ok".to_owned()), "{path}");
        }
        let messages = sink.messages();
        assert_eq!(messages.len(), 3);
        assert_eq!(messages[1].path, "/services/T/B/x");
        assert_eq!(messages[1].text(), "hello");
        assert!(messages[0].headers.contains_key("host"));
        assert!(messages[0].received_us >= before && messages[2].received_us <= Micros::now());
    }

    #[test]
    fn what_is_not_json_is_refused_and_not_kept() {
        let sink = sink();
        assert_eq!(send(&sink, "/", "hello"), (400, "invalid_payload".to_owned()));
        assert!(sink.messages().is_empty());
    }

    #[test]
    fn messages_are_listed_and_cleared_over_http() {
        let sink = sink();
        send(&sink, "/hook", r#"{"text":"hello"}"#);
        let list = format!("http://{}/messages", sink.address());
        let messages: Value =
            serde_json::from_str(&client::get(&list).unwrap().body_mut().read_to_string().unwrap()).unwrap();
        assert_eq!(messages[0]["body"], json!({ "text": "hello" }));
        assert!(messages[0]["received_us"].is_u64());
        assert_eq!(client::agent().delete(&list).call().unwrap().status(), 204);
        assert!(sink.messages().is_empty());
    }

    #[test]
    fn only_the_last_messages_are_kept() {
        let sink = sink();
        let message = |number: usize| Message {
            received_us: Micros::now(),
            path: "/".to_owned(),
            headers: BTreeMap::new(),
            body: json!(number),
        };
        for number in 0..REMEMBERED + 5 {
            sink.inbox.take(message(number));
        }
        let messages = sink.messages();
        assert_eq!((messages.len(), &messages[0].body), (REMEMBERED, &json!(5)));
    }
}
