//! Name lookup that can be given up: the system's takes as long as it likes.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use ureq::Timeout;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Addresses of one name that are tried; the client's array holds no more.
const ADDRESSES_MAX: usize = 16;

/// What a lookup ends with; `None` where nobody waits for it any more.
type Answer = Option<io::Result<Vec<SocketAddr>>>;

/// Looks names up in a thread of its own, and waits for it as long as there is time and nobody interrupts.
///
/// The thread cannot be stopped, and is left alone with its answer where it comes too late.
#[derive(Clone, Debug, Default)]
pub(in crate::sink) struct InterruptibleResolver {
    waiting: Arc<Mutex<Option<Sender<Answer>>>>,
    /// Whose addresses are looked up instead of those of the URL's host.
    instead: Option<(String, u16)>,
}

impl InterruptibleResolver {
    /// A resolver that gives the addresses of this host and port, whatever it is asked for.
    pub(super) fn of(host: &str, port: u16) -> InterruptibleResolver {
        InterruptibleResolver { instead: Some((host.to_owned(), port)), ..InterruptibleResolver::default() }
    }

    /// Ends the lookup under way, if there is one.
    pub(in crate::sink) fn interrupt(&self) {
        if let Some(waiting) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // An error means that the lookup has just ended by itself.
            let _ = waiting.send(None);
        }
    }

    /// The addresses of a host; `None` where there are none, or none in time.
    pub(in crate::sink) fn addresses(&self, host: &str, port: u16, limit: Duration) -> Option<Vec<SocketAddr>> {
        self.look_up(host, port, limit, Timeout::Resolve).ok().filter(|found| !found.is_empty())
    }

    fn look_up(&self, host: &str, port: u16, limit: Duration, reason: Timeout) -> Result<Vec<SocketAddr>, ureq::Error> {
        // Most local sinks are addresses, and those need no thread.
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let (answer, answers) = mpsc::channel();
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer.clone());
        let host = host.to_owned();
        thread::Builder::new().name("alert-resolver".into()).spawn(move || {
            let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
            // Nobody listens after a timeout.
            let _ = answer.send(Some(found));
        })?;
        match answers.recv_timeout(limit) {
            Ok(Some(found)) => Ok(found.map_err(|_| ureq::Error::HostNotFound)?),
            Ok(None) | Err(RecvTimeoutError::Disconnected) => Err(io::Error::from(io::ErrorKind::NotConnected).into()),
            Err(RecvTimeoutError::Timeout) => Err(ureq::Error::Timeout(reason)),
        }
    }
}

impl Resolver for InterruptibleResolver {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?.trim_matches(['[', ']']);
        let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
            Some("https") => 443,
            Some(socks) if socks.starts_with("socks") => 1080,
            _ => 80,
        });
        let (host, port) = self.instead.as_ref().map_or((host, port), |(host, port)| (host.as_str(), *port));
        let found = self.look_up(host, port, *timeout.after, timeout.reason)?;
        let mut addresses = self.empty();
        for address in config.ip_family().keep_wanted(found.into_iter()).take(ADDRESSES_MAX) {
            addresses.push(address);
        }
        if addresses.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(addresses) }
    }
}
