//! A scripted HTTP server for the tests of the sinks: does exactly what a test says, well or badly.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// What to do with one request.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// Answer with this status, these header lines and this body.
    Reply(u16, &'static str, String),
    /// Answer with these bytes and read on.
    Raw(&'static str),
    /// Say nothing until the test is over.
    Hang,
    /// Send a header that promises a body, and then say nothing.
    HangInBody,
    /// Close the connection.
    Close,
    /// Close the connection with data unread, which resets it.
    Reset,
}

impl Answer {
    pub(super) fn status(status: u16) -> Answer {
        Answer::Reply(status, "", String::new())
    }

    pub(super) fn body(status: u16, body: &str) -> Answer {
        Answer::Reply(status, "", body.into())
    }
}

/// One request as it came in.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) head: String,
    pub(super) body: String,
}

impl Request {
    /// The value of a header, its name in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
        line.split_once(':').map(|(_, value)| value.trim())
    }
}

pub(super) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Of the TLS server: its certificate.
    pub(super) certificate_pem: String,
}

struct Shared {
    answers: Vec<Answer>,
    requests: Mutex<Vec<Request>>,
    came: Condvar,
    connections: AtomicUsize,
    tls: Option<Arc<ServerConfig>>,
}

impl Server {
    /// Answers requests in this order; the last answer goes on for ever.
    pub(super) fn start(answers: impl IntoIterator<Item = Answer>) -> Server {
        Server::listen(answers, None, String::new())
    }

    /// The same over TLS, with a certificate for 127.0.0.1 that nobody has signed.
    pub(super) fn start_tls(answers: impl IntoIterator<Item = Answer>) -> Server {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let signing_key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
        // Otherwise each would pass for the issuer of all others, with a wrong signature.
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("test {}", NUMBER.fetch_add(1, SeqCst)));
        let cert = params.self_signed(&signing_key).expect("a certificate");
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("a TLS configuration");
        Server::listen(answers, Some(Arc::new(config)), cert.pem())
    }

    /// The same, for clients that show this certificate.
    pub(super) fn start_tls_for(answers: impl IntoIterator<Item = Answer>, client: &rcgen::Certificate) -> Server {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(client.der().clone()).expect("a certificate");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let verifier = verifier.build().expect("a verifier");
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
        let cert = params.self_signed(&key).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("a TLS configuration");
        Server::listen(answers, Some(Arc::new(config)), cert.pem())
    }

    fn listen(answers: impl IntoIterator<Item = Answer>, tls: Option<Arc<ServerConfig>>, pem: String) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            answers: answers.into_iter().collect(),
            requests: Mutex::default(),
            came: Condvar::new(),
            connections: AtomicUsize::new(0),
            tls,
        });
        let accepting = Arc::clone(&shared);
        // The threads end with the test process: nothing that they hold outlives it.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&accepting);
                shared.connections.fetch_add(1, SeqCst);
                thread::spawn(move || match shared.tls.clone() {
                    Some(config) => {
                        let connection = ServerConnection::new(config).expect("a TLS connection");
                        shared.serve(StreamOwned::new(connection, stream));
                    }
                    None => shared.serve(stream),
                });
            }
        });
        Server { address, shared, certificate_pem: pem }
    }

    /// Host and port.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests so far.
    pub(super) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().expect("not poisoned").clone()
    }

    /// Waits until there were so many requests.
    pub(super) fn wait_for_requests(&self, count: usize) {
        let requests = self.shared.requests.lock().expect("not poisoned");
        let limit = Duration::from_secs(10);
        let (requests, _) =
            self.shared.came.wait_timeout_while(requests, limit, |got| got.len() < count).expect("not poisoned");
        assert!(requests.len() >= count, "{count} requests expected, {} came", requests.len());
    }

    /// Connections so far.
    pub(super) fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }
}

impl Shared {
    fn serve<S: Read + Write>(&self, stream: S) {
        let mut stream = BufReader::new(stream);
        loop {
            let next = self.requests.lock().expect("not poisoned").len();
            if matches!(self.answers.get(next), Some(Answer::Reset)) {
                let _ = stream.get_mut().read(&mut [0]);
                self.note(Request { head: String::new(), body: String::new() });
                return;
            }
            let Some(request) = read_request(&mut stream) else { return };
            let at = self.note(request);
            let answer = self.answers.get(at).or(self.answers.last()).expect("an answer").clone();
            let bytes = match &answer {
                Answer::Reply(status, headers, body) => {
                    let length =
                        if *status == 204 { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
                    format!("HTTP/1.1 {status} Scripted\r\n{headers}{length}\r\n{body}")
                }
                Answer::Raw(bytes) => (*bytes).to_owned(),
                Answer::HangInBody => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok".to_owned(),
                Answer::Hang => String::new(),
                Answer::Close | Answer::Reset => return,
            };
            if stream.get_mut().write_all(bytes.as_bytes()).and_then(|()| stream.get_mut().flush()).is_err() {
                return;
            }
            if matches!(answer, Answer::Hang | Answer::HangInBody) {
                // Until the client gives up.
                let _ = stream.read(&mut [0]);
                return;
            }
        }
    }

    /// Remembers a request and returns its number.
    fn note(&self, request: Request) -> usize {
        let mut requests = self.requests.lock().expect("not poisoned");
        requests.push(request);
        self.came.notify_all();
        requests.len() - 1
    }
}

fn read_request<S: Read>(stream: &mut BufReader<S>) -> Option<Request> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let request = Request { head, body: String::new() };
    let length = request.header("content-length").map_or(0, |length| length.parse().expect("a length"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Request { body: String::from_utf8(body).expect("UTF-8"), ..request })
}

/// An address at which nothing listens.
pub(super) fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}
