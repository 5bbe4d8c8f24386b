//! HTTP over a Unix socket.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, ShutdownHandle, Transport,
};

/// Connects to a socket, whatever host the URL names.
#[derive(Debug)]
pub(super) struct UnixConnector {
    pub(super) path: PathBuf,
}

/// A connection to a socket.
#[derive(Debug)]
pub(super) struct UnixTransport {
    stream: Arc<Stream>,
    buffers: LazyBuffers,
}

#[derive(Debug)]
struct Stream(UnixStream);

impl ShutdownHandle for Stream {
    fn shutdown(&self) {
        // An error means that it is closed already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Connector<()> for UnixConnector {
    type Out = UnixTransport;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<UnixTransport>, Error> {
        let stream: Arc<Stream> = Arc::new(Stream(UnixStream::connect(&self.path)?));
        let weak: Weak<Stream> = Arc::downgrade(&stream);
        (details.register_shutdown)(weak)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(UnixTransport { stream, buffers }))
    }
}

impl Transport for UnixTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let mut stream = &self.stream.0;
        stream.set_write_timeout(timeout.not_zero().map(|after| *after))?;
        stream.write_all(&self.buffers.output()[..amount]).map_err(|error| in_time(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let mut stream = &self.stream.0;
        stream.set_read_timeout(timeout.not_zero().map(|after| *after))?;
        let amount = stream.read(self.buffers.input_append_buf()).map_err(|error| in_time(error, timeout))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        let stream = &self.stream.0;
        // Open, and nothing to read: what would come before a request belongs to none.
        let waits = |mut stream: &UnixStream| matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock);
        stream.set_nonblocking(true).is_ok() && waits(stream) && stream.set_nonblocking(false).is_ok()
    }
}

fn in_time(error: std::io::Error, timeout: NextTimeout) -> Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => error.into(),
    }
}
