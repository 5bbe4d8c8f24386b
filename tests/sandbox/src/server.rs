//! An HTTP server in a thread of its own, so that its users need no async runtime and a drop stops it.

use std::future::IntoFuture;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use tokio::sync::watch;

use crate::say;

/// How long requests that are being answered may go on after the stop.
const GRACE: Duration = Duration::from_secs(1);

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens before it returns, so a taken port is an error here and a connection succeeds at once.
    pub(crate) fn start(name: &str, address: SocketAddr, router: Router) -> io::Result<Server> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = watch::channel(false);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || runtime.block_on(serve(listener, router, stopped)))?;
        Ok(Server { address, stop, thread: Some(thread) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A panic of the server has been printed already; it must not become a second one in a drop.
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, router: Router, stopped: watch::Receiver<bool>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return say!("cannot serve on this listener: {error}"),
    };
    let serving = axum::serve(listener, router).with_graceful_shutdown(requested(stopped.clone())).into_future();
    let deadline = async {
        requested(stopped).await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = serving => served.unwrap_or_else(|error| say!("the server stopped: {error}")),
        // What still hangs is dropped: an app in timeout mode would never finish by itself.
        () = deadline => {}
    }
}

async fn requested(mut stopped: watch::Receiver<bool>) {
    // An error means that the handle is gone, which is a stop as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
