//! Plain requests through an HTTP proxy: by absolute URI, as curl sends them. Many proxies allow CONNECT to port 443 only.
//!
//! The client connects to whatever the resolver says, which is the proxy; here the origin goes in front of the path that it
//! writes. That is done once a connection, so that such connections are for one request each.

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// Lets the first request of each connection name its origin.
#[derive(Debug)]
pub(super) struct AbsoluteForm {
    /// Scheme, host and port: `http://example.com:8090`.
    pub(super) origin: String,
}

/// A connection to the proxy.
#[derive(Debug)]
pub(super) struct ToProxy<T> {
    inner: T,
    /// What is still to be put in front of the path.
    origin: Option<String>,
}

impl<In: Transport> Connector<In> for AbsoluteForm {
    type Out = ToProxy<In>;

    fn connect(&self, _: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<ToProxy<In>>, Error> {
        Ok(chained.map(|inner| ToProxy { inner, origin: Some(self.origin.clone()) }))
    }
}

impl<T: Transport> Transport for ToProxy<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let Some(origin) = self.origin.take() else { return self.inner.transmit_output(amount, timeout) };
        let mut bytes = self.inner.buffers().output()[..amount].to_vec();
        // Behind the method and its space.
        let at = bytes.iter().position(|byte| *byte == b' ').map_or(0, |space| space + 1);
        bytes.splice(at..at, origin.into_bytes());
        let room = self.inner.buffers().output().len();
        for piece in bytes.chunks(room) {
            self.inner.buffers().output()[..piece.len()].copy_from_slice(piece);
            self.inner.transmit_output(piece.len(), timeout)?;
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        false
    }
}
