//! One HTTP client a sink: posts a message, and says in a sentence why it could not.

mod absolute_form;
pub(super) mod proxy;
pub(super) mod resolver;
mod unix;

use std::io::{self, Read as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::CertificateError;
use rustls::crypto::ring::default_provider;
use ureq::http::HeaderMap;
use ureq::tls::{Certificate, ClientCert, RootCerts, TlsConfig};
use ureq::unversioned::transport::{Connector as _, DefaultConnector, TcpConnector};
use ureq::{Agent, Timeout};

use super::endpoint::Endpoint;
use super::excerpt::excerpt;
use super::secret::Secret;
use super::service::{Message, Transport};
use super::settings::SinkSettings;
use absolute_form::AbsoluteForm;
use proxy::Proxy;
use resolver::InterruptibleResolver;
use unix::UnixConnector;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// No service says anything worth reading beyond this.
const REPLY_BODY_MAX: u64 = 16 * 1024;
const REPLY_HEADER_MAX: usize = 16 * 1024;
const USER_AGENT: &str = concat!("nginx-alert/", env!("CARGO_PKG_VERSION"));

/// What a service answered.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// The header of that name.
    pub(super) retry_after: Option<String>,
    /// The beginning of the body.
    pub(super) body: String,
}

/// The client of one sink. Keeps its connection between messages.
pub(super) struct Client {
    endpoint: Endpoint,
    proxy: Option<Proxy>,
    /// What the service, or a proxy, could repeat in its answers.
    secrets: Vec<Secret>,
    extra_roots: Vec<Vec<u8>>,
    client_cert: Option<ClientCert>,
    timeout: Duration,
    resolver: InterruptibleResolver,
    stage: Mutex<Stage>,
}

/// The life of a client: nothing is made before the first message.
enum Stage {
    Unused,
    Ready(Agent),
    Interrupted,
}

impl Client {
    pub(super) fn new(settings: &SinkSettings) -> Client {
        Client {
            endpoint: settings.endpoint.clone(),
            proxy: settings.proxy.clone(),
            secrets: settings.secrets.clone(),
            extra_roots: settings.extra_roots.clone(),
            client_cert: settings.client_cert.clone(),
            timeout: settings.timeout,
            resolver: match &settings.proxy {
                Some(proxy) if proxy.takes_absolute_form(&settings.endpoint) => {
                    InterruptibleResolver::of(proxy.host(), proxy.port())
                }
                _ if settings.endpoint.socket().is_some() => InterruptibleResolver::of("127.0.0.1", 80),
                _ => InterruptibleResolver::default(),
            },
            stage: Mutex::new(Stage::Unused),
        }
    }

    /// What the service says about it, as far as it may be shown.
    fn excerpt(&self, reply: &Reply) -> String {
        let parsed: Option<serde_json::Value> = serde_json::from_str(&reply.body).ok();
        let said = match &parsed {
            Some(json) => ["message", "error", "description", "detail"]
                .iter()
                .find_map(|key| json[key].as_str())
                .unwrap_or_default(),
            None => &reply.body,
        };
        excerpt(said, &self.secrets)
    }

    fn agent(&self) -> Result<Agent, String> {
        let mut stage = self.stage();
        match &*stage {
            Stage::Ready(agent) => Ok(agent.clone()),
            Stage::Interrupted => Err(interrupted(self.endpoint.authority())),
            Stage::Unused => {
                let agent = self.make_agent()?;
                *stage = Stage::Ready(agent.clone());
                Ok(agent)
            }
        }
    }

    fn make_agent(&self) -> Result<Agent, String> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(self.tunnel().map(Proxy::for_client))
            .user_agent(USER_AGENT)
            .max_response_header_size(REPLY_HEADER_MAX)
            .max_idle_connections_per_host(1)
            .timeout_global(Some(self.timeout))
            // A little less than all of the time, so that it is known which step used it up.
            .timeout_resolve(Some(self.timeout.mul_f64(0.9)))
            .timeout_connect(Some(CONNECT_TIMEOUT.min(self.timeout.mul_f64(0.9))));
        if self.endpoint.is_https() || self.proxy.as_ref().is_some_and(Proxy::is_https) {
            // ureq comes without an implementation of its own: that of rustls here is the one of all sinks.
            let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(Arc::new(default_provider()));
            let tls = tls.root_certs(self.root_certs()?).client_cert(self.client_cert.clone());
            config = config.tls_config(tls.build());
        }
        let resolver = self.resolver.clone();
        if let Some(path) = self.endpoint.socket() {
            return Ok(Agent::with_parts(config.build(), UnixConnector { path: path.to_owned() }, resolver));
        }
        if self.origin_proxy().is_some() {
            let origin = AbsoluteForm { origin: self.endpoint.origin() };
            // Such a connection is for one request.
            let config = config.max_idle_connections(0).build();
            return Ok(Agent::with_parts(config, ().chain(TcpConnector::default()).chain(origin), resolver));
        }
        Ok(Agent::with_parts(config.build(), DefaultConnector::default(), resolver))
    }

    /// The proxy that makes a tunnel to the service.
    fn tunnel(&self) -> Option<&Proxy> {
        self.proxy.as_ref().filter(|proxy| !proxy.takes_absolute_form(&self.endpoint))
    }

    /// The proxy that is told the whole URL instead.
    fn origin_proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref().filter(|proxy| proxy.takes_absolute_form(&self.endpoint))
    }

    /// The system's certificates, with those of `ca=`.
    fn root_certs(&self) -> Result<RootCerts, String> {
        let system = system_roots();
        if system.is_empty() && self.extra_roots.is_empty() {
            return Err(format!(
                "the certificate of {} cannot be verified: this system has no root certificates \
                 (package ca-certificates), and no ca= is given",
                self.endpoint.authority()
            ));
        }
        if self.extra_roots.is_empty() {
            return Ok(RootCerts::Specific(system));
        }
        let extra = self.extra_roots.iter().map(|der| Certificate::from_der(der).to_owned());
        Ok(RootCerts::from(system.iter().cloned().chain(extra)))
    }

    /// Why a request failed, without the URL.
    fn cause(&self, error: &ureq::Error) -> String {
        if matches!(*self.stage(), Stage::Interrupted) {
            return interrupted(self.endpoint.authority());
        }
        let host = self.endpoint.authority();
        let peer = self.peer();
        match error {
            ureq::Error::Timeout(Timeout::Resolve) => format!("looking up {peer} took longer than {}", self.seconds()),
            ureq::Error::Timeout(Timeout::Connect) => {
                let limit = CONNECT_TIMEOUT.min(self.timeout).as_secs_f64();
                format!("connecting to {host} took longer than {limit}s")
            }
            ureq::Error::Timeout(_) => format!("{host} did not answer within {}", self.seconds()),
            ureq::Error::HostNotFound => format!("{peer} cannot be resolved"),
            ureq::Error::ConnectProxyFailed(reason) => format!("{peer} does not connect to {host}: {reason}"),
            ureq::Error::Rustls(error) => tls_cause(host, error),
            ureq::Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(error) => tls_cause(host, error),
                None => io_cause(host, &peer, error),
            },
            ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => {
                format!("{host} did not answer with proper HTTP")
            }
            _ => format!("{peer} cannot be reached"),
        }
    }

    /// Whom the first steps concern.
    fn peer(&self) -> String {
        let proxy = self.proxy.as_ref().map(|proxy| format!("the proxy {proxy}"));
        proxy.unwrap_or_else(|| self.endpoint.authority().to_owned())
    }

    fn seconds(&self) -> String {
        format!("{}s", self.timeout.as_secs_f64())
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for Client {
    fn send(&self, message: &Message) -> Result<Reply, String> {
        let agent = self.agent()?;
        let mut request = agent.post(self.endpoint.below(message.below).url()).content_type(message.content_type);
        if let Some(authorization) = self.endpoint.authorization() {
            request = request.header("Authorization", authorization);
        }
        if let Some(authorization) = self.origin_proxy().and_then(Proxy::authorization) {
            request = request.header("Proxy-Authorization", authorization);
        }
        for (name, value) in &message.headers {
            request = request.header(name, value);
        }
        let response = request.send(message.body.as_bytes()).map_err(|error| self.cause(&error))?;
        let (head, body) = response.into_parts();
        let mut bytes = Vec::new();
        // With the status the service has decided; a body that breaks off or goes on for ever changes nothing.
        let _ = body.into_reader().take(REPLY_BODY_MAX).read_to_end(&mut bytes);
        Ok(Reply {
            status: head.status.as_u16(),
            retry_after: retry_after(&head.headers),
            body: String::from_utf8_lossy(&bytes).into(),
        })
    }

    fn complaint(&self, reply: &Reply) -> String {
        let host = self.endpoint.authority();
        let status = reply.status;
        match status {
            407 if self.proxy.is_some() => format!("{} does not let this through to {host}: 407", self.peer()),
            200..300 => format!("{host} answered {status}, but the body says that it failed{}", self.excerpt(reply)),
            300..400 => format!("{host} answered {status}: redirects are not followed, the URL must be the final one"),
            _ => format!("{host} answered {status}{}", self.excerpt(reply)),
        }
    }

    fn interrupt(&self) {
        let stage = std::mem::replace(&mut *self.stage(), Stage::Interrupted);
        self.resolver.interrupt();
        if let Stage::Ready(agent) = stage {
            agent.shutdown();
        }
    }
}

/// What `Retry-After` asks for. A date is one of the service's clock, which the answer says too where it is a good one: then it
/// is so many seconds, however wrong the clock of this side is.
fn retry_after(headers: &HeaderMap) -> Option<String> {
    let header = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let date = |text: &str| httpdate::parse_http_date(text.trim()).ok();
    let asked = header("retry-after")?;
    match (date(&asked), header("date").and_then(|said| date(&said))) {
        (Some(until), Some(said)) => Some(until.duration_since(said).unwrap_or_default().as_secs().to_string()),
        _ => Some(asked.into_owned()),
    }
}

fn interrupted(host: &str) -> String {
    format!("the message to {host} was interrupted, because this worker is stopping")
}

fn io_cause(host: &str, peer: &str, error: &io::Error) -> String {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, UnexpectedEof};
    match error.kind() {
        ConnectionRefused => format!("{peer} refused the connection"),
        ConnectionReset | ConnectionAborted | BrokenPipe => format!("{host} reset the connection"),
        UnexpectedEof => format!("{host} closed the connection without an answer"),
        // The system's own words for a number hold nothing of ours.
        kind => match error.raw_os_error() {
            Some(number) => format!("{peer} cannot be reached: {}", io::Error::from_raw_os_error(number)),
            None => format!("{peer} cannot be reached: {kind}"),
        },
    }
}

fn tls_cause(host: &str, error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(problem) = error else {
        return format!("TLS with {host} failed: {error}");
    };
    match problem {
        // The latter where an issuer of that name is known, with another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
            "the certificate of {host} is not trusted: its issuer is unknown; where that is a private CA, \
             ca=PATH adds its certificate"
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the certificate of {host} has expired")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the certificate of {host} is not valid yet; is the clock right?")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("the certificate of {host} is not for this name")
        }
        CertificateError::Other(other) if other.0.to_string().contains("CaUsedAsEndEntity") => format!(
            "the certificate of {host} is that of a CA; it has to be a server's, issued by the CA that ca=PATH names"
        ),
        other => format!("the certificate of {host} is not valid: {other}"),
    }
}

/// The system's root certificates: read at the first use, once for all sinks of this process.
pub(super) fn system_roots() -> Arc<Vec<Certificate<'static>>> {
    static ROOTS: Mutex<Option<Arc<Vec<Certificate<'static>>>>> = Mutex::new(None);
    let mut roots = ROOTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(roots) = &*roots {
        return Arc::clone(roots);
    }
    // Files that cannot be read are nothing to stop for, as long as there are others.
    let found = rustls_native_certs::load_native_certs().certs;
    let found = Arc::new(found.iter().map(|der| Certificate::from_der(der).to_owned()).collect::<Vec<_>>());
    if !found.is_empty() {
        *roots = Some(Arc::clone(&found));
    }
    found
}
