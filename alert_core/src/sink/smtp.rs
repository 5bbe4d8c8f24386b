//! One SMTP client a sink: a connection for each mail, and a sentence where it could not be sent.
//!
//! The steps of one mail share the sink's time: before each, what is left of it is set as the limit. A step under way cannot be
//! interrupted, so that a worker which stops may leave one behind.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use lettre::address::{Address, Envelope};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, CertificateStore, SmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{Error, response::Response};

use super::endpoint::Endpoint;
use super::excerpt::excerpt;
use super::http::{Reply, resolver::InterruptibleResolver, system_roots};
use super::secret::Secret;
use super::service::{Message, Transport};
use super::settings::SinkSettings;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// When a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Security {
    /// From the first byte on.
    Tls,
    /// By STARTTLS, which has to be offered.
    StartTls,
    /// By STARTTLS, where it is offered.
    StartTlsIfOffered,
    /// Never.
    Plain,
}

/// The client of one sink.
pub(super) struct Client {
    endpoint: Endpoint,
    security: Security,
    envelope: Option<Envelope>,
    extra_roots: Vec<Vec<u8>>,
    secrets: Vec<Secret>,
    timeout: Duration,
    resolver: InterruptibleResolver,
    interrupted: AtomicBool,
    /// Made before the first mail: it reads the system's certificates.
    tls: Mutex<Option<TlsParameters>>,
}

/// The time that is left for one mail.
struct Deadline(Instant);

impl Deadline {
    fn left(&self) -> Duration {
        // A limit of zero would be none.
        self.0.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
    }
}

impl Client {
    pub(super) fn new(settings: &SinkSettings, security: Security, from: Address, to: Vec<Address>) -> Client {
        Client {
            endpoint: settings.endpoint.clone(),
            security,
            // There is at least one recipient, which is all that can be wrong.
            envelope: Envelope::new(Some(from), to).ok(),
            extra_roots: settings.extra_roots.clone(),
            secrets: settings.secrets.clone(),
            timeout: settings.timeout,
            resolver: InterruptibleResolver::default(),
            interrupted: AtomicBool::new(false),
            tls: Mutex::new(None),
        }
    }

    fn deliver(&self, mail: &[u8]) -> Result<Response, String> {
        let deadline = Deadline(Instant::now() + self.timeout);
        let mut connection = self.connect(&deadline)?;
        let sent = self.converse(&mut connection, mail, &deadline);
        if sent.is_ok() {
            // The mail is delivered, whatever becomes of the farewell.
            let _ = connection.set_timeout(Some(deadline.left().min(Duration::from_secs(1))));
            let _ = connection.quit();
        }
        sent
    }

    fn converse(&self, connection: &mut SmtpConnection, mail: &[u8], deadline: &Deadline) -> Result<Response, String> {
        let limit = |connection: &mut SmtpConnection| {
            if self.interrupted.load(Relaxed) {
                return Err(format!(
                    "the mail to {} was interrupted, because this worker is stopping",
                    self.endpoint.authority()
                ));
            }
            connection.set_timeout(Some(deadline.left())).map_err(|error| self.cannot_be_reached(&error.to_string()))
        };
        let offered = connection.can_starttls();
        match self.security {
            Security::StartTls if !offered => {
                return Err(format!(
                    "{} offers no STARTTLS; write smtps:// for TLS from the beginning, or tls=off where plain text is \
                     good enough",
                    self.endpoint.authority()
                ));
            }
            Security::StartTls | Security::StartTlsIfOffered if offered => {
                limit(connection)?;
                connection.starttls(&self.tls()?, &hello()).map_err(|error| self.cause(&error))?;
            }
            _ => (),
        }
        if let Some((user, password)) = self.endpoint.user() {
            limit(connection)?;
            let credentials = Credentials::new(user.to_owned(), password.to_owned());
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            if let Err(error) = connection.auth(&mechanisms, &credentials) {
                return refusal(&error).ok_or_else(|| self.cause(&error));
            }
        }
        limit(connection)?;
        let envelope = self.envelope.as_ref().ok_or("there is nobody to send a mail to")?;
        match connection.send(envelope, mail) {
            Ok(response) => Ok(response),
            Err(error) => refusal(&error).ok_or_else(|| self.cause(&error)),
        }
    }

    fn connect(&self, deadline: &Deadline) -> Result<SmtpConnection, String> {
        let host = self.endpoint.authority();
        let addresses: Vec<SocketAddr> = self
            .resolver
            .addresses(self.endpoint.host(), self.endpoint.port(), deadline.left())
            .ok_or_else(|| format!("{host} cannot be resolved"))?;
        let tls = if self.security == Security::Tls { Some(self.tls()?) } else { None };
        let limit = deadline.left().min(CONNECT_TIMEOUT);
        SmtpConnection::connect(&addresses[..], Some(limit), &hello(), tls.as_ref(), None)
            .map_err(|error| self.cause(&error))
    }

    fn tls(&self) -> Result<TlsParameters, String> {
        let mut kept = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tls) = &*kept {
            return Ok(tls.clone());
        }
        let system = system_roots();
        let host = self.endpoint.authority();
        if system.is_empty() && self.extra_roots.is_empty() {
            return Err(format!(
                "the certificate of {host} cannot be verified: this system has no root certificates (package \
                 ca-certificates), and no ca= is given"
            ));
        }
        let ders = system.iter().map(|cert| cert.der().to_vec()).chain(self.extra_roots.iter().cloned());
        let mut builder =
            TlsParameters::builder(self.endpoint.host().to_owned()).certificate_store(CertificateStore::None);
        for der in ders {
            // What is no certificate was told when the configuration was read, or is the system's own affair.
            if let Ok(certificate) = Certificate::from_der(der) {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let tls = builder.build_rustls().map_err(|error| format!("TLS with {host} cannot be set up: {error}"))?;
        *kept = Some(tls.clone());
        Ok(tls)
    }

    fn cause(&self, error: &Error) -> String {
        let host = self.endpoint.authority();
        if error.is_timeout() {
            return format!("{host} did not answer within {}s", self.timeout.as_secs_f64());
        }
        if let Some(refusal) = refusal(error) {
            let said: Vec<&str> = refusal.message().collect();
            return format!("{host} refuses to talk{}", self.excerpt(&said.join(" ")));
        }
        // The innermost cause says the most.
        let mut source: &dyn std::error::Error = error;
        while let Some(inner) = source.source() {
            source = inner;
        }
        let kind = source.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(kind, Some(ErrorKind::WouldBlock | ErrorKind::TimedOut)) {
            return format!("{host} did not answer within {}s", self.timeout.as_secs_f64());
        }
        self.cannot_be_reached(&source.to_string())
    }

    fn cannot_be_reached(&self, cause: &str) -> String {
        format!("{} cannot be reached{}", self.endpoint.authority(), self.excerpt(cause))
    }

    /// What somebody says about it, as far as it may be shown.
    fn excerpt(&self, said: &str) -> String {
        excerpt(said, &self.secrets)
    }
}

fn hello() -> ClientId {
    ClientId::Domain("nginx-alert.localdomain".into())
}

/// The answer by which a server refuses, inside of an error.
fn refusal(error: &Error) -> Option<Response> {
    let said = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    Some(Response::new(error.status()?, vec![said]))
}

impl Transport for Client {
    fn send(&self, message: &Message) -> Result<Reply, String> {
        let response = self.deliver(message.body.as_bytes())?;
        let status = u16::from(response.code());
        Ok(Reply { status, retry_after: None, body: response.message().collect::<Vec<_>>().join(" ") })
    }

    fn complaint(&self, reply: &Reply) -> String {
        format!("{} answered {}{}", self.endpoint.authority(), reply.status, self.excerpt(&reply.body))
    }

    fn interrupt(&self) {
        self.interrupted.store(true, Relaxed);
        self.resolver.interrupt();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use super::*;
    use crate::model::alert::tests::failover;
    use crate::sink::settings::tests::settings;
    use crate::sink::tests::sink;
    use crate::sink::{Outcome, Sink};

    /// What a server says to each command; a dot stands for the end of a mail.
    const POLITE: [(&str, &str); 8] = [
        ("HELLO", "220 mail.example ready"),
        ("EHLO", "250-mail.example\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME"),
        ("AUTH", "235 go on"),
        ("MAIL", "250 fine"),
        ("RCPT", "250 fine"),
        ("DATA", "354 go on"),
        (".", "250 taken"),
        ("QUIT", "221 bye"),
    ];

    /// A server that is polite but for one command. An empty answer closes the connection, `hang` says nothing.
    fn server(command: &'static str, answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || serve(stream, command, answer));
            }
        });
        address
    }

    fn serve(mut stream: TcpStream, command: &str, answer: &str) -> Option<()> {
        let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
        let mut said = "HELLO".to_owned();
        loop {
            let (known, polite) = POLITE.into_iter().find(|(known, _)| said.starts_with(known))?;
            match if known == command { answer } else { polite } {
                "" => return None,
                "hang" => drop(lines.next()),
                answer => stream.write_all(format!("{answer}\r\n").as_bytes()).ok()?,
            }
            if known == "DATA" && command != "DATA" {
                while lines.next()?.ok()? != "." {}
                said = ".".into();
                continue;
            }
            said = lines.next()?.ok()?;
        }
    }

    fn words(address: SocketAddr, user: &str) -> String {
        format!("email smtp://{user}{address} from=nginx@example.com to=ops@example.com timeout=500ms")
    }

    fn deliver(command: &'static str, answer: &'static str) -> Outcome {
        sink(&words(server(command, answer), "me:s3cr3t@")).deliver(&[failover()])
    }

    #[test]
    fn a_mail_is_taken() {
        assert_eq!(deliver("NONE", ""), Outcome::Sent);
        assert_eq!(deliver("QUIT", ""), Outcome::Sent, "the mail is delivered, whatever becomes of the farewell");
    }

    #[test]
    fn what_a_server_answers_decides_whether_it_is_tried_again() {
        for (command, answer, again) in [
            ("HELLO", "421 too busy", true),
            ("HELLO", "554 not for you", true),
            ("MAIL", "451 later", true),
            ("MAIL", "553 no such sender", false),
            ("RCPT", "450 greylisted", true),
            ("RCPT", "550 no such user", false),
            ("DATA", "452 full", true),
            (".", "554 looks like spam", false),
            (".", "451 later", true),
            ("AUTH", "535 wrong password", false),
            ("AUTH", "454 later", true),
        ] {
            let outcome = deliver(command, answer);
            assert_eq!(matches!(outcome, Outcome::Retry { .. }), again, "{answer} to {command} gives {outcome:?}");
            assert_eq!(matches!(outcome, Outcome::Permanent { .. }), !again, "{answer} to {command} gives {outcome:?}");
        }
    }

    #[test]
    fn a_server_that_breaks_off_or_says_nothing_is_tried_again() {
        for command in ["HELLO", "EHLO", "MAIL", "."] {
            assert!(matches!(deliver(command, ""), Outcome::Retry { .. }), "{command}");
        }
        let started = Instant::now();
        let outcome = deliver("EHLO", "hang");
        assert!(matches!(&outcome, Outcome::Retry { error, .. } if error.ends_with("within 0.5s")), "{outcome:?}");
        assert!(started.elapsed() < Duration::from_secs(5));
        let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let outcome = sink(&words(nobody, "")).deliver(&[failover()]);
        assert!(format!("{outcome:?}").contains("Connection refused"), "{outcome:?}");
    }

    #[test]
    fn no_error_shows_the_password() {
        let outcome = deliver("AUTH", "535 s3cr3t is wrong");
        assert!(!format!("{outcome:?}").contains("s3cr3t"), "{outcome:?}");
    }

    #[test]
    fn a_server_without_starttls_is_refused_where_it_has_to_have_it() {
        let settings = settings(&words(server("NONE", ""), ""));
        let from: Address = "nginx@example.com".parse().expect("an address");
        let client = Client::new(&settings, Security::StartTls, from.clone(), vec![from]);
        let error = client.deliver(b"").expect_err("refused");
        assert!(error.contains("offers no STARTTLS; write smtps://"), "{error}");
        let plain = format!("{} tls=off", words(server("NONE", ""), ""));
        assert_eq!(Sink::new(&crate::sink::settings::tests::settings(&plain)).deliver(&[failover()]), Outcome::Sent);
    }
}
