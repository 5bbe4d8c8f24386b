//! One SMTP client a sink: a connection for each mail, and a sentence where it could not be sent.
//!
//! The steps of one mail share the sink's time: before each, what is left of it is set as the limit. A step under way cannot be
//! interrupted, so that a worker which stops may leave one behind.

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
use super::http::{Reply, resolver::InterruptibleResolver, system_roots};
use super::secret::Secret;
use super::service::{Message, Transport};
use super::settings::SinkSettings;
use super::text::cut;

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
            match connection.auth(&mechanisms, &credentials) {
                Err(error) if error.is_response() => return Ok(refusal(&error)),
                Err(error) => return Err(self.cause(&error)),
                Ok(_) => (),
            }
        }
        limit(connection)?;
        let envelope = self.envelope.as_ref().ok_or("there is nobody to send a mail to")?;
        match connection.send(envelope, mail) {
            Ok(response) => Ok(response),
            Err(error) if error.is_response() => Ok(refusal(&error)),
            Err(error) => Err(self.cause(&error)),
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
        if error.is_response() {
            return format!("{host} refuses to talk{}", self.excerpt(&error.to_string()));
        }
        // The innermost cause says the most.
        let mut source: &dyn std::error::Error = error;
        while let Some(inner) = source.source() {
            source = inner;
        }
        self.cannot_be_reached(&source.to_string())
    }

    fn cannot_be_reached(&self, cause: &str) -> String {
        format!("{} cannot be reached{}", self.endpoint.authority(), self.excerpt(cause))
    }

    /// What somebody says about it, in parentheses, unless it repeats a secret.
    fn excerpt(&self, said: &str) -> String {
        let said: String = said.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let leaks = |secret: &Secret| said.contains(secret.reveal());
        if said.trim().is_empty() || self.endpoint.leaks_into(&said) || self.secrets.iter().any(leaks) {
            return String::new();
        }
        format!(" ({})", cut(said.trim(), 120))
    }
}

fn hello() -> ClientId {
    ClientId::Domain("nginx-alert.localdomain".into())
}

/// The answer inside of an error.
fn refusal(error: &Error) -> Response {
    use lettre::transport::smtp::response::{Category, Code, Detail, Severity};
    let permanent = Code::new(Severity::PermanentNegativeCompletion, Category::Unspecified4, Detail::Zero);
    Response::new(error.status().unwrap_or(permanent), vec![error.to_string()])
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
