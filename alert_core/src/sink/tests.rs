//! Sinks against a real server on loopback: what is sent, what each answer means, and what an error says.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::Value;

use super::server::{Answer, Request, Server, closed_port};
use super::service::*;
use super::settings::SinkSettings;
use super::settings::tests::{FakeSource, settings};
use super::*;
use crate::model::alert::tests::failover;
use crate::model::alert::{Example, Fired, Kind, Missed, PoolLabel, Status};

pub(super) const NOW_MS: u64 = 1_790_000_200_000;
const PATH: &str = "/services/s3cr3t-t0k3n";

/// What a service would send first for these alerts, as JSON.
pub(super) fn body(service: &dyn Service, alerts: &[Alert]) -> Value {
    let alerts: Vec<Alert> = alerts.iter().map(text::bounded_alert).collect();
    let fitting = service.fitting(&alerts).max(1).min(alerts.len());
    serde_json::from_str(&service.message(&alerts[..fitting], NOW_MS).body).expect("valid JSON")
}

/// An alert in which every name is this text.
pub(super) fn hostile(name: &str) -> Alert {
    let pool = PoolLabel { name: name.into(), release: name.into(), address: name.into() };
    let missed = Missed { fired: Some(Fired { time_ms: NOW_MS, headline: name.into() }), left_out: 1 };
    let example = Example { method: name.into(), path: name.into(), status: 502, address: name.into() };
    Alert {
        monitor: name.into(),
        instance: name.into(),
        labels: vec![("env".into(), name.into())],
        limit: name.into(),
        from: pool.clone(),
        to: pool,
        cause: name.into(),
        examples: vec![example; 3],
        missed,
        ..failover()
    }
}

/// Rendering many long names is slow in a debug build; the special characters come up in far fewer cases.
pub(super) fn cases() -> ProptestConfig {
    ProptestConfig::with_cases(64)
}

/// One or several alerts of any kind, with any names.
pub(super) fn named_alerts() -> impl Strategy<Value = Vec<Alert>> {
    let name = prop_oneof!["[\\x00-\\x7f]{0,20}", "\\PC{0,40}", "[<>&\"\\\\*_@]{0,300}", "[\u{ffdc}🟢]{250,260}"];
    let alert = (name, 0..Kind::ALL.len(), 0..3u8, any::<bool>()).prop_map(|(name, kind, status, long)| Alert {
        kind: Kind::ALL[kind],
        status: Status::from_u8(status + 1).expect("a status"),
        latency_ms: u32::MAX,
        no_failure_seen: long,
        failed_attempts: u64::MAX,
        retries_absorbed: u64::MAX,
        ..hostile(&name)
    });
    prop_oneof![alert.clone().prop_map(|alert| vec![alert]), proptest::collection::vec(alert, 1..60),]
}

/// Threads as a board keeps them, for one incident.
#[derive(Default)]
pub(super) struct Remembered(std::cell::RefCell<Option<Thread>>);

impl Threads for Remembered {
    fn first(&self, _alert: &Alert) -> Option<Thread> {
        self.0.borrow().clone()
    }

    fn begin(&self, alert: &Alert, message: u64) {
        *self.0.borrow_mut() = Some(Thread { message, began: Some(alert.clone()) });
    }

    fn end(&self, _alert: &Alert) {
        *self.0.borrow_mut() = None;
    }
}

pub(super) fn sink(words: &str) -> Sink {
    Sink::new(&settings(words))
}

/// A sink of this kind that posts to the server.
fn sink_at(kind: &str, server: &Server) -> Sink {
    sink(&format!("{kind} http://{}{PATH}", server.address()))
}

fn deliver_one(kind: &str, answer: Answer) -> Outcome {
    sink_at(kind, &Server::start([answer])).deliver(&[failover()])
}

fn error_of(outcome: Outcome) -> String {
    match outcome {
        Outcome::Sent => panic!("an error was expected"),
        Outcome::Retry { error, .. } | Outcome::Permanent { error } => error,
    }
}

fn is_retry(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Retry { .. })
}

fn is_permanent(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Permanent { .. })
}

#[test]
fn every_service_takes_its_success() {
    for (kind, answer) in [
        ("slack", Answer::body(200, "ok")),
        ("webhook", Answer::status(204)),
        ("alertmanager", Answer::body(200, "{\"status\":\"success\"}")),
        ("teams", Answer::status(202)),
        ("discord", Answer::status(204)),
        ("ntfy", Answer::body(200, "{\"id\":\"sPs71M8A2T\",\"event\":\"message\"}")),
    ] {
        let server = Server::start([answer]);
        assert_eq!(sink_at(kind, &server).deliver(&[failover()]), Outcome::Sent, "{kind}");
        let Request { head, body } = &server.requests()[0];
        let path = match kind {
            "alertmanager" => format!("{PATH}/api/v2/alerts"),
            "ntfy" => "/services".into(),
            _ => PATH.into(),
        };
        assert!(head.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{head}");
        assert_eq!(server.requests()[0].header("content-type"), Some("application/json"));
        assert_eq!(server.requests()[0].header("user-agent"), Some(concat!("nginx-alert/", env!("CARGO_PKG_VERSION"))));
        assert!(serde_json::from_str::<Value>(body).is_ok());
    }
}

#[test]
fn pagerduty_posts_to_the_url_that_is_given() {
    let server = Server::start([Answer::body(202, "{\"status\":\"success\"}")]);
    let key = "0123456789abcdef0123456789abcdef";
    let sink = sink(&format!("pagerduty {key} url=http://{}/v2/enqueue", server.address()));
    assert_eq!(sink.deliver(&[failover()]), Outcome::Sent);
    let request = &server.requests()[0];
    assert!(request.head.starts_with("POST /v2/enqueue ") && request.body.contains(key));
}

#[test]
fn an_alert_that_is_none_of_the_sinks_business_counts_as_sent() {
    let key = "0123456789abcdef0123456789abcdef";
    let sink = sink(&format!("pagerduty {key} url=http://{}/", closed_port()));
    let switched = Alert { kind: Kind::Switched, status: Status::Info, ..failover() };
    assert_eq!(sink.deliver(&[switched]), Outcome::Sent);
    assert_eq!(sink.deliver(&[]), Outcome::Sent);
}

#[test]
fn statuses_mean_what_the_contract_says() {
    for status in [408, 500, 502, 503, 504, 429] {
        assert!(is_retry(&deliver_one("webhook", Answer::status(status))), "{status}");
    }
    for status in [400, 401, 403, 404, 410, 413, 422] {
        assert!(is_permanent(&deliver_one("webhook", Answer::status(status))), "{status}");
    }
    for status in [200, 201, 202, 204] {
        assert_eq!(deliver_one("webhook", Answer::status(status)), Outcome::Sent, "{status}");
    }
}

#[test]
fn a_redirect_is_permanent_and_not_followed() {
    let target = Server::start([Answer::status(200)]);
    for status in [301, 302, 303, 307, 308] {
        let location = format!("Location: http://{}/\r\n", target.address());
        let server = Server::start([Answer::Reply(status, location.leak(), String::new())]);
        let outcome = sink_at("webhook", &server).deliver(&[failover()]);
        assert!(is_permanent(&outcome), "{status} gives {outcome:?}");
        assert!(error_of(outcome).contains("redirects are not followed"));
    }
    assert!(target.requests().is_empty());
}

#[test]
fn retry_after_is_honoured_in_both_forms() {
    let after = |header: String| match deliver_one("slack", Answer::Reply(429, header.leak(), String::new())) {
        Outcome::Retry { after, .. } => after,
        other => panic!("{other:?}"),
    };
    assert_eq!(after("Retry-After: 7\r\n".into()), Some(Duration::from_secs(7)));
    assert_eq!(after("Retry-After: soon\r\n".into()), None);
    assert_eq!(after(String::new()), None);
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(30));
    let pause = after(format!("Retry-After: {date}\r\n")).expect("a pause");
    assert!((25..=30).contains(&pause.as_secs()), "{pause:?}");
    // A service whose clock is another than this one's asks by its own.
    let asked = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:50:07 GMT\r\n";
    assert_eq!(after(asked.into()), Some(Duration::from_secs(30)));
}

#[test]
fn a_success_whose_body_says_failure_is_retried() {
    let answer = Answer::body(200, "{\"ok\":false,\"error\":\"no_service\"}");
    let error = error_of(deliver_one("slack", answer));
    assert!(error.contains("answered 200, but the body says that it failed (no_service)"), "{error}");
    assert!(is_retry(&deliver_one("teams", Answer::body(200, "endpoint returned HTTP error 429 with id"))));
}

#[test]
fn what_the_service_says_is_told_unless_it_repeats_a_secret() {
    let error = |answer| error_of(deliver_one("webhook", answer));
    assert!(error(Answer::body(400, "invalid_payload")).ends_with("answered 400 (invalid_payload)"));
    assert!(
        error(Answer::body(400, "{\"message\":\"Unknown Webhook\",\"code\":10015}")).ends_with("(Unknown Webhook)")
    );
    for body in ["cannot post s3cr3t-t0k3n", "<html>S3CR3T</html>", "no S3CR3T-T0K3N here"] {
        assert!(error(Answer::body(404, body)).ends_with("answered 404"));
    }
    let key = "0123456789abcdef0123456789abcdef";
    let server = Server::start([Answer::body(400, &format!("{{\"message\":\"bad key {key}\"}}"))]);
    let sink = sink(&format!("pagerduty {key} url=http://{}/", server.address()));
    assert!(!error_of(sink.deliver(&[failover()])).contains(key));
}

#[test]
fn a_body_without_end_is_not_read_to_its_end() {
    let huge = Answer::Reply(200, "", "x".repeat(4 << 20));
    assert_eq!(deliver_one("webhook", huge), Outcome::Sent);
}

#[test]
fn a_service_that_hangs_costs_no_more_than_the_timeout() {
    let server = Server::start([Answer::Hang]);
    let sink = sink(&format!("webhook http://{}{PATH} timeout=300ms", server.address()));
    let started = Instant::now();
    let outcome = sink.deliver(&[failover()]);
    assert!((250..2000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    assert!(is_retry(&outcome));
    assert!(error_of(outcome).ends_with("did not answer within 0.3s"));
}

#[test]
fn the_status_counts_where_the_body_never_comes() {
    let server = Server::start([Answer::HangInBody]);
    let words = |kind: &str| format!("{kind} http://{}{PATH} timeout=300ms", server.address());
    assert_eq!(sink(&words("webhook")).deliver(&[failover()]), Outcome::Sent);
    assert_eq!(sink(&words("slack")).deliver(&[failover()]), Outcome::Sent);
}

#[test]
fn connections_that_break_are_told_apart() {
    let address = closed_port();
    let error = error_of(sink(&format!("webhook http://{address}{PATH}")).deliver(&[failover()]));
    assert_eq!(error, format!("{address} refused the connection"));
    let error = error_of(deliver_one("webhook", Answer::Close));
    assert!(error.ends_with("closed the connection without an answer"), "{error}");
    let error = error_of(deliver_one("webhook", Answer::Reset));
    assert!(error.ends_with("reset the connection"), "{error}");
    let error = error_of(deliver_one("webhook", Answer::Raw("this is not HTTP\r\n\r\n")));
    assert!(error.ends_with("did not answer with proper HTTP"), "{error}");
    // The top-level domain is reserved for this.
    let error = error_of(sink(&format!("webhook http://nowhere.invalid{PATH}")).deliver(&[failover()]));
    assert_eq!(error, "nowhere.invalid cannot be resolved");
}

#[test]
fn the_connection_is_kept_between_messages() {
    let server = Server::start([Answer::body(200, "ok")]);
    let sink = sink_at("slack", &server);
    for _ in 0..3 {
        assert_eq!(sink.deliver(&[failover()]), Outcome::Sent);
    }
    assert_eq!((server.requests().len(), server.connections()), (3, 1));
}

#[test]
fn several_alerts_are_one_message_where_that_is_possible() {
    for (kind, answer, requests) in [
        ("slack", Answer::body(200, "ok"), 1),
        ("alertmanager", Answer::status(200), 1),
        ("webhook", Answer::status(200), 3),
    ] {
        let server = Server::start([answer]);
        let sink = sink_at(kind, &server);
        let alerts = [failover(), failover(), failover()];
        assert_eq!(sink.deliver(&alerts), Outcome::Sent);
        assert_eq!((server.requests().len(), sink.fitting(&alerts) > 1), (requests, requests == 1), "{kind}");
    }
}

/// Each service that people read, and how many messages tell it that a hundred and twenty monitors failed over.
const FOR_PEOPLE: [(&str, usize); 8] = [
    ("slack http://a/", 3),
    ("slack_bot xoxb-1 channel=C1", 3),
    ("discord http://a/", 8),
    ("telegram 1:a chat=-1", 5),
    ("googlechat http://a/", 5),
    ("teams http://a/", 3),
    ("ntfy http://a/ops", 5),
    ("email smtp://127.0.0.1 from=a@example.com to=b@example.com", 3),
];

#[test]
fn a_digest_names_each_alert_whole_and_what_has_no_room_is_in_the_next_message() {
    let short = |name: &str, at: usize| format!("{name}-{at:03}");
    let long = |name: &str, at: usize| format!("{name}-{at:03}-{}", "x".repeat(36));
    for ((words, messages_max), is_long) in FOR_PEOPLE.into_iter().flat_map(|one| [(one, false), (one, true)]) {
        let named = |name: &str, at| if is_long { long(name, at) } else { short(name, at) };
        let alert = |at: usize| Alert {
            monitor: named("app", at),
            from: PoolLabel { name: named("blue", at), ..PoolLabel::default() },
            to: PoolLabel { name: named("green", at), ..PoolLabel::default() },
            ..failover()
        };
        let alerts: Vec<Alert> = (0..120).map(alert).collect();
        let bodies = sink(words).bodies(&alerts, NOW_MS);
        // Mails break lines, and spell what is not ASCII.
        let bodies: Vec<String> = bodies.iter().map(|body| body.replace("=\r\n", "")).collect();
        assert!(is_long || (2..=messages_max).contains(&bodies.len()), "{words}: {} messages", bodies.len());
        for alert in &alerts {
            let [monitor, from, to] = [&alert.monitor, &alert.from.name, &alert.to.name];
            let parts =
                [format!("({monitor}, 2026-09-21T14:13:20Z)"), format!("pool changed from {from} "), format!(" {to}")];
            let named = bodies.iter().filter(|body| parts.iter().all(|part| body.contains(part))).count();
            let told = bodies.iter().filter(|body| body.contains(monitor.as_str())).count();
            assert_eq!((named, told), (1, 1), "{words}: {monitor}");
        }
    }
}

#[test]
fn without_digests_the_first_failure_ends_the_delivery() {
    let server = Server::start([Answer::status(200), Answer::status(503)]);
    assert!(is_retry(&sink_at("webhook", &server).deliver(&[failover(), failover(), failover()])));
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn the_pace_of_each_service_is_known() {
    assert_eq!(sink("slack http://a").min_interval(), Duration::from_secs(1));
    assert_eq!(sink("webhook http://a").min_interval(), Duration::ZERO);
    assert_eq!(sink("alertmanager http://a").resend_every(), Some(Duration::from_secs(15)));
    assert_eq!(sink("slack http://a").resend_every(), None);
}

#[test]
fn the_signature_is_that_of_the_body() {
    let server = Server::start([Answer::status(200)]);
    let sink = sink(&format!("webhook http://{}/ secret=geheim", server.address()));
    assert_eq!(sink.deliver(&[failover()]), Outcome::Sent);
    let request = &server.requests()[0];
    let signature = request.header("x-alert-signature").and_then(|value| value.strip_prefix("sha256=")).expect("one");
    let bytes: Vec<u8> = (0..signature.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&signature[at..at + 2], 16).expect("hex"))
        .collect();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"geheim");
    assert!(ring::hmac::verify(&key, request.body.as_bytes(), &bytes).is_ok());
}

#[test]
fn a_user_in_the_url_is_sent_as_a_header() {
    let server = Server::start([Answer::status(200)]);
    let sink = sink(&format!("alertmanager http://me:p%40ss@{}", server.address()));
    assert_eq!(sink.deliver(&[failover()]), Outcome::Sent);
    assert_eq!(server.requests()[0].header("authorization"), Some("Basic bWU6cEBzcw=="));
}

#[test]
fn an_interrupt_ends_a_request_that_hangs_and_lets_none_begin() {
    let server = Server::start([Answer::Hang]);
    let sink = Arc::new(sink_at("webhook", &server));
    let delivering = thread::spawn({
        let sink = Arc::clone(&sink);
        move || sink.deliver(&[failover()])
    });
    server.wait_for_requests(1);
    let started = Instant::now();
    sink.interrupt();
    let outcome = delivering.join().expect("no panic");
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert!(is_retry(&outcome) && error_of(outcome).contains("interrupted"));
    assert!(is_retry(&sink.deliver(&[failover()])));
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn an_untrusted_certificate_is_named_as_the_cause_and_ca_mends_it() {
    let server = Server::start_tls([Answer::body(200, "ok")]);
    let words = format!("slack https://{}{PATH}", server.address());
    // Needs no roots of the system's: another certificate is trusted instead.
    let other = Server::start_tls([Answer::status(200)]);
    let with_ca = |pem: &str, words: &str| {
        let source = FakeSource::with_file("/ca.pem", pem);
        let words = format!("{words} ca=/ca.pem");
        Sink::new(&SinkSettings::parse(&words.split(' ').collect::<Vec<_>>(), &source).expect("valid"))
    };
    let outcome = with_ca(&other.certificate_pem, &words).deliver(&[failover()]);
    assert!(is_retry(&outcome));
    let error = error_of(outcome);
    assert!(error.contains("is not trusted") && error.contains("ca=PATH"), "{error}");
    assert!(server.requests().is_empty());
    assert_eq!(with_ca(&server.certificate_pem, &words).deliver(&[failover()]), Outcome::Sent);
    // The certificate is trusted, but for another name.
    let words = format!("slack https://localhost:{}{PATH}", server.address().port());
    let error = error_of(with_ca(&server.certificate_pem, &words).deliver(&[failover()]));
    assert!(error.contains("is not for this name"), "{error}");
}

#[test]
fn the_roots_of_the_system_do_not_vouch_for_anybody() {
    let server = Server::start_tls([Answer::body(200, "ok")]);
    let outcome = sink(&format!("slack https://{}{PATH}", server.address())).deliver(&[failover()]);
    assert!(is_retry(&outcome));
    // A system without any roots says so instead, and names the same remedy.
    let error = error_of(outcome);
    assert!(error.contains("the certificate of") && error.contains("ca="), "{error}");
}

#[test]
fn tls_to_a_server_without_it_fails_with_a_reason() {
    let server = Server::start([Answer::Raw("HTTP/1.1 400 Bad Request\r\n\r\n")]);
    let pem = Server::start_tls([Answer::status(200)]).certificate_pem;
    let words = format!("slack https://{}{PATH} ca=/ca.pem timeout=500ms", server.address());
    let source = FakeSource::with_file("/ca.pem", pem);
    let settings = SinkSettings::parse(&words.split(' ').collect::<Vec<_>>(), &source).expect("valid");
    let outcome = Sink::new(&settings).deliver(&[failover()]);
    assert!(is_retry(&outcome), "{outcome:?}");
}

fn through_proxy(variable: &str, proxy: &Server, words: &str) -> Sink {
    let env = [(variable, &*format!("http://me:s3cr3t@{}", proxy.address()))];
    let words: Vec<&str> = words.split(' ').collect();
    Sink::new(&SinkSettings::parse(&words, &FakeSource::with_env(&env)).expect("valid"))
}

#[test]
fn a_proxy_gets_the_whole_url_of_a_plain_target() {
    let proxy = Server::start([Answer::status(200)]);
    let sink = through_proxy("HTTP_PROXY", &proxy, "webhook http://sink.invalid:8090/hook?x=1");
    assert_eq!(sink.deliver(&[failover()]), Outcome::Sent);
    assert_eq!(sink.deliver(&[failover()]), Outcome::Sent);
    for request in proxy.requests() {
        assert!(request.head.starts_with("POST http://sink.invalid:8090/hook?x=1 HTTP/1.1\r\n"), "{}", request.head);
        assert_eq!(request.header("host"), Some("sink.invalid:8090"));
        assert_eq!(request.header("proxy-authorization"), Some("Basic bWU6czNjcjN0"));
        assert!(serde_json::from_str::<Value>(&request.body).is_ok());
    }
    assert_eq!(proxy.requests().len(), 2);
}

#[test]
fn a_proxy_is_asked_for_a_tunnel_to_a_target_with_tls() {
    let proxy = Server::start([Answer::Raw("HTTP/1.1 200 Connected\r\n\r\n"), Answer::Close]);
    let pem = Server::start_tls([Answer::status(200)]).certificate_pem;
    let source = FakeSource {
        env: FakeSource::with_env(&[("HTTPS_PROXY", &*format!("http://me:s3cr3t@{}", proxy.address()))]).env,
        ..FakeSource::with_file("/ca.pem", pem)
    };
    let words = ["webhook", "https://sink.invalid:8443/hook", "ca=/ca.pem", "timeout=500ms"];
    let sink = Sink::new(&SinkSettings::parse(&words, &source).expect("valid"));
    assert!(is_retry(&sink.deliver(&[failover()])), "what is at the end of this tunnel speaks no TLS");
    let head = &proxy.requests()[0].head;
    assert!(head.starts_with("CONNECT sink.invalid:8443 HTTP/1.1\r\n"), "{head}");
    assert_eq!(proxy.requests()[0].header("proxy-authorization"), Some("Basic bWU6czNjcjN0"));
}

#[test]
fn a_proxy_that_refuses_is_named() {
    let proxy = Server::start([Answer::status(407)]);
    let expected = format!("the proxy {} does not ", proxy.address());
    for (variable, target) in [("HTTP_PROXY", "http://sink.invalid/hook"), ("HTTPS_PROXY", "https://sink.invalid/hook")]
    {
        let error = error_of(through_proxy(variable, &proxy, &format!("webhook {target}")).deliver(&[failover()]));
        // A system without root certificates says so before it asks for a tunnel.
        let said = error.starts_with(&expected) && error.contains("sink.invalid") && error.contains("407");
        assert!(said || error.contains("no root certificates"), "{error}");
        assert!(!error.contains("s3cr3t"), "{error}");
    }
}

#[test]
fn a_target_can_be_a_unix_socket() {
    let server = Server::start([Answer::status(500), Answer::body(200, "ok"), Answer::Hang]);
    let directory = std::env::temp_dir().join(format!("nginx-alert-unix-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let path = directory.join("sink.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let address = server.address();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let there = std::net::TcpStream::connect(address).expect("the server");
            let back = (there.try_clone().expect("a socket"), client.try_clone().expect("a socket"));
            thread::spawn(move || std::io::copy(&mut { back.0 }, &mut { back.1 }));
            thread::spawn(move || std::io::copy(&mut { client }, &mut { there }));
        }
    });
    let encoded = path.to_str().expect("UTF-8").replace('/', "%2F");
    let sink = Arc::new(sink(&format!("webhook http+unix://{encoded}/hook timeout=1s")));
    assert!(is_retry(&sink.deliver(&[failover()])));
    assert_eq!(sink.deliver(&[failover()]), Outcome::Sent);
    assert!(server.requests()[1].head.starts_with("POST /hook HTTP/1.1\r\n"));
    assert_eq!(server.connections(), 1, "the connection is kept");
    let error = error_of(sink.deliver(&[failover()]));
    assert!(error.ends_with("did not answer within 1s"), "{error}");
    std::fs::remove_file(&path).expect("the socket");
    let error = error_of(sink.deliver(&[failover()]));
    assert!(error.contains("cannot be reached: No such file"), "{error}");
    std::fs::remove_dir_all(&directory).expect("the directory");
}

#[test]
fn a_client_certificate_is_shown_where_a_server_asks_for_it() {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(["nginx".to_owned()]).expect("a name");
    let cert = params.self_signed(&key).expect("a certificate");
    let server = Server::start_tls_for([Answer::status(200)], &cert);
    let both = format!("{}{}", cert.pem(), key.serialize_pem());
    let other = rcgen::KeyPair::generate().expect("a key").serialize_pem();
    let mut source = FakeSource::with_file("/ca.pem", server.certificate_pem.as_str());
    for (path, content) in [("/cert.pem", cert.pem()), ("/key.pem", key.serialize_pem()), ("/both.pem", both)] {
        source.files.insert(path.into(), content.into_bytes());
    }
    source.files.insert("/other.pem".into(), other.into_bytes());
    let parse = |words: &str| {
        let words = format!("webhook https://{}/hook ca=/ca.pem {words}", server.address());
        SinkSettings::parse(&words.split_whitespace().collect::<Vec<_>>(), &source)
    };
    for words in ["cert=/cert.pem key=/key.pem", "cert=/both.pem"] {
        assert_eq!(Sink::new(&parse(words).expect("valid")).deliver(&[failover()]), Outcome::Sent, "{words}");
    }
    assert!(is_retry(&Sink::new(&parse("").expect("valid")).deliver(&[failover()])), "it has to show one");
    for (words, said) in [
        ("cert=/cert.pem", "\"/cert.pem\" of \"cert=\" cannot be used: there is no PEM private key"),
        ("cert=/cert.pem key=/other.pem", "\"/other.pem\" of \"key=\" cannot be used: its key"),
        ("key=/key.pem", "\"webhook\" needs \"cert=/path\" too"),
        ("cert=/key.pem", "there is no PEM certificate"),
    ] {
        let error = parse(words).expect_err("refused").to_string();
        assert!(error.contains(said), "{words} gives {error}");
    }
}

#[test]
fn no_error_shows_the_secret_part_of_the_url() {
    let answers = [
        Answer::body(500, "s3cr3t-t0k3n"),
        Answer::body(404, "/services/s3cr3t-t0k3n"),
        Answer::Reply(302, "Location: http://127.0.0.1/services/s3cr3t-t0k3n\r\n", String::new()),
        Answer::Raw("nonsense /services/s3cr3t-t0k3n\r\n\r\n"),
        Answer::Close,
        Answer::Reset,
    ];
    for kind in ["slack", "webhook", "alertmanager", "teams", "discord", "ntfy"] {
        for answer in &answers {
            let server = Server::start([answer.clone()]);
            let sink = sink_at(kind, &server);
            let outcome = sink.deliver(&[failover()]);
            let shown = format!("{outcome:?} {sink:?} {:?}", settings(&format!("{kind} http://a{PATH}")));
            assert!(!shown.contains("s3cr3t"), "{shown}");
            assert!(error_of(outcome).contains(&server.address().to_string()));
        }
    }
}

#[test]
fn an_alert_from_before_the_epoch_or_the_far_future_can_be_sent() {
    for time_ms in [0, u64::MAX] {
        let server = Server::start([Answer::status(200)]);
        let alert = Alert { time_ms, since_ms: time_ms, ..failover() };
        assert_eq!(sink_at("alertmanager", &server).deliver(&[alert]), Outcome::Sent);
    }
}
