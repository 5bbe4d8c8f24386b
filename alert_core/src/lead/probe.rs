//! One probe: a request to one address, on a connection of its own, and what its answer says.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::base::cause::reason;
use crate::settings::rollout::ProbeSettings;

/// How much of an answer is read at most, in bytes.
const ANSWER_MAX: usize = 16 * 1024;
/// Headers that an answer may have.
const HEADERS_MAX: usize = 128;
/// The longest wait after which a probe looks whether it is to stop. A connection is begun anew after it, as the system
/// would repeat what was lost.
const SLICE: Duration = Duration::from_millis(250);
/// An interim answer (100, 103) says nothing yet; so many are passed over.
const INTERIM_MAX: usize = 8;

/// What a probe found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The status that was answered; `None` without an answer.
    pub(crate) status: Option<u16>,
    /// The value of the release header; empty where there is none.
    pub(crate) release: String,
    /// How long it took.
    pub(crate) took: Duration,
    /// Why it did not pass; empty where it did.
    pub(crate) error: String,
}

/// Asks an address, within the time that a probe may take. `release_header` is in lower case with `_` for `-`, as variables
/// of nginx name it.
/// `None` where it was to stop before it knew.
pub(crate) fn probe(address: &str, settings: &ProbeSettings, release_header: &str, stop: &AtomicBool) -> Option<Found> {
    let began = Instant::now();
    let deadline = began + Duration::from_millis(settings.timeout_ms);
    let answer = ask(address, settings, &Patience { deadline, stop });
    if stop.load(Relaxed) {
        return None;
    }
    let mut found = Found { took: began.elapsed(), ..Found::default() };
    match answer.and_then(|bytes| read(&bytes, release_header)) {
        Ok((status, release)) => {
            if !settings.status.contains(&status) {
                found.error = format!("answered {status}");
            }
            (found.status, found.release) = (Some(status), release);
        }
        Err(error) => found.error = cause(&error),
    }
    Some(found)
}

/// How long a probe waits.
struct Patience<'a> {
    deadline: Instant,
    stop: &'a AtomicBool,
}

impl Patience<'_> {
    /// How long to wait before the next look at whether to stop.
    fn slice(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let is_over = left.is_zero() || self.stop.load(Relaxed);
        if is_over { Err(ErrorKind::TimedOut.into()) } else { Ok(left.min(SLICE)) }
    }

    /// Tries again as long as a slice ends without a result.
    fn try_in_slices<T>(&self, mut attempt: impl FnMut(Duration) -> io::Result<T>) -> io::Result<T> {
        loop {
            match attempt(self.slice()?) {
                Err(error)
                    if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                }
                done => return done,
            }
        }
    }
}

fn cause(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "timed out".into(),
        ErrorKind::ConnectionRefused => "connection refused".into(),
        _ => reason(error),
    }
}

/// Sends the request and returns the beginning of the answer, up to the end of its headers.
fn ask(address: &str, settings: &ProbeSettings, patience: &Patience<'_>) -> io::Result<Vec<u8>> {
    let request = |host: &str| {
        format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: nginx-alert/{} (probe)\r\nAccept: */*\r\nConnection: close\r\n\r\n",
            settings.uri,
            settings.host.as_deref().unwrap_or(host),
            env!("CARGO_PKG_VERSION"),
        )
    };
    if let Some(path) = address.strip_prefix("unix:") {
        let stream = UnixStream::connect(path)?;
        let limit = |left| stream.set_read_timeout(left).and_then(|()| stream.set_write_timeout(left));
        return exchange(&stream, &request("localhost"), patience, limit);
    }
    let mut at: SocketAddr = address.parse().map_err(|_| io::Error::other("is no address"))?;
    if let Some(port) = settings.port {
        at.set_port(port);
    }
    let stream = patience.try_in_slices(|slice| TcpStream::connect_timeout(&at, slice))?;
    let limit = |left| stream.set_read_timeout(left).and_then(|()| stream.set_write_timeout(left));
    exchange(&stream, &request(&at.to_string()), patience, limit)
}

fn exchange<S>(
    stream: &S,
    request: &str,
    patience: &Patience<'_>,
    limit: impl Fn(Option<Duration>) -> io::Result<()>,
) -> io::Result<Vec<u8>>
where
    for<'a> &'a S: Read + Write,
{
    let mut stream = stream;
    limit(Some(patience.slice()?))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut buffer = [0; 2048];
    while !is_whole(&answer) {
        let read = patience.try_in_slices(|slice| {
            limit(Some(slice))?;
            stream.read(&mut buffer)
        });
        match read? {
            0 => break,
            count if answer.len() + count <= ANSWER_MAX => answer.extend_from_slice(&buffer[..count]),
            _ => return Err(io::Error::other("answered with more than 16 KiB of headers")),
        }
    }
    Ok(answer)
}

/// Whether there is nothing more to wait for: an answer that is no interim one, or none at all.
fn is_whole(bytes: &[u8]) -> bool {
    !matches!(read(bytes, ""), Err(error) if error.kind() == ErrorKind::UnexpectedEof)
}

/// The status of an answer and the value of this header; an error of the kind `UnexpectedEof` where it is cut off.
fn read(mut bytes: &[u8], release_header: &str) -> io::Result<(u16, String)> {
    for _ in 0..INTERIM_MAX {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut answer = httparse::Response::new(&mut headers);
        let len = match answer.parse(bytes) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) => {
                let text = "closed the connection without an answer";
                return Err(io::Error::new(ErrorKind::UnexpectedEof, text));
            }
            Err(error) => return Err(io::Error::other(format!("answered no HTTP: {error}"))),
        };
        let status = answer.code.unwrap_or_default();
        if !(100..200).contains(&status) {
            let named = answer.headers.iter().find(|header| is_named(header.name, release_header));
            let value = named.map(|header| String::from_utf8_lossy(header.value).trim().to_owned());
            return Ok((status, value.unwrap_or_default()));
        }
        bytes = &bytes[len..];
    }
    Err(io::Error::other("answered interim statuses only"))
}

/// Whether this is the header that a variable of nginx names.
fn is_named(name: &str, variable: &str) -> bool {
    name.len() == variable.len()
        && name.bytes().zip(variable.bytes()).all(|(byte, wanted)| match byte {
            b'-' => wanted == b'_',
            byte => byte.to_ascii_lowercase() == wanted,
        })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// A probe that nobody stops.
    fn probe(address: &str, settings: &ProbeSettings, release_header: &str) -> Found {
        super::probe(address, settings, release_header, &AtomicBool::new(false)).expect("a result")
    }

    #[test]
    fn a_probe_that_waits_ends_soon_when_it_is_to_stop() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (stop, settings) = (AtomicBool::new(false), ProbeSettings { timeout_ms: 60_000, ..settings() });
        let began = Instant::now();
        thread::scope(|scope| {
            let probing = scope.spawn(|| super::probe(&address, &settings, "", &stop));
            // It is connected, and waits for an answer.
            let _connection = listener.accept().expect("a connection");
            stop.store(true, Relaxed);
            assert_eq!(probing.join().expect("the probe"), None);
        });
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }

    fn settings() -> ProbeSettings {
        ProbeSettings {
            uri: "/healthz".into(),
            interval_ms: 2000,
            timeout_ms: 5000,
            passes: 3,
            fails: 3,
            status: 200..=399,
            host: None,
            port: None,
        }
    }

    /// Answers one connection with this, and returns what was asked. The connection stays open until then.
    fn serve(answer: &'static [u8]) -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut asked = [0; 4096];
            let count = stream.read(&mut asked).expect("a request");
            // A probe that has given up takes no more.
            let _ = stream.write_all(answer);
            String::from_utf8_lossy(&asked[..count]).into_owned()
        });
        (address, served)
    }

    #[test]
    fn an_answer_in_the_range_passes_and_says_its_release() {
        let (address, served) = serve(b"HTTP/1.1 204 No Content\r\nX-Release-Id:  v42 \r\n\r\n");
        let found = probe(&address, &settings(), "x_release_id");
        assert_eq!((found.status, found.release.as_str(), found.error.as_str()), (Some(204), "v42", ""));
        let asked = served.join().expect("served");
        assert!(asked.starts_with(&format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\n")), "{asked}");
        assert!(asked.contains("\r\nConnection: close\r\n"), "{asked}");
    }

    #[test]
    fn the_host_can_be_named() {
        let (address, served) = serve(b"HTTP/1.1 200 OK\r\n\r\n");
        probe(&address, &ProbeSettings { host: Some("app.example.com".into()), ..settings() }, "");
        assert!(served.join().expect("served").contains("\r\nHost: app.example.com\r\n"));
    }

    #[test]
    fn another_status_a_redirect_that_is_not_allowed_and_nonsense_do_not_pass() {
        for (answer, error) in [
            (&b"HTTP/1.1 503 Service Unavailable\r\n\r\n"[..], "answered 503"),
            (b"HTTP/1.1 404 Not Found\r\n\r\n", "answered 404"),
            (b"SSH-2.0-OpenSSH\r\n", "answered no HTTP: "),
            (b"", "closed the connection without an answer"),
            (b"HTTP/1.1 200 OK\r\nX: cut", "closed the connection without an answer"),
        ] {
            let (address, served) = serve(answer);
            let found = probe(&address, &settings(), "");
            assert!(found.error.starts_with(error), "{:?}: {}", String::from_utf8_lossy(answer), found.error);
            served.join().expect("served");
        }
        let (address, served) = serve(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n");
        assert_eq!(probe(&address, &settings(), "").status, Some(302), "no redirect is followed");
        served.join().expect("served");
    }

    #[test]
    fn an_interim_answer_is_passed_over() {
        let (address, served) = serve(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
        assert_eq!(probe(&address, &settings(), "").status, Some(200));
        served.join().expect("served");
    }

    #[test]
    fn endless_headers_are_cut_off() {
        let (address, served) =
            serve(Box::leak([b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'a'; 64 * 1024]].concat().into_boxed_slice()));
        assert_eq!(probe(&address, &settings(), "").error, "answered with more than 16 KiB of headers");
        served.join().expect("served");
    }

    #[test]
    fn a_server_that_hangs_or_is_not_there_fails_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let found = probe(&address, &ProbeSettings { timeout_ms: 50, ..settings() }, "");
        assert_eq!((found.error.as_str(), found.status), ("timed out", None));
        assert!(found.took < Duration::from_secs(4), "{:?}", found.took);
        drop(listener);
        assert_eq!(probe(&address, &settings(), "").error, "connection refused");
    }

    #[test]
    fn another_port_is_asked_where_one_is_named() {
        let (address, served) = serve(b"HTTP/1.1 200 OK\r\n\r\n");
        let port = address.rsplit(':').next().and_then(|port| port.parse().ok());
        assert_eq!(probe("127.0.0.1:1", &ProbeSettings { port, ..settings() }, "").status, Some(200));
        served.join().expect("served");
    }

    #[test]
    fn a_unix_socket_is_asked_as_well() {
        let path = std::env::temp_dir().join(format!("nginx-alert-probe-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).expect("a socket");
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let _ = stream.read(&mut [0; 4096]).expect("a request");
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").expect("an answer");
        });
        assert_eq!(probe(&format!("unix:{}", path.display()), &settings(), "").status, Some(200));
        served.join().expect("served");
        std::fs::remove_file(&path).expect("the socket");
    }
}
