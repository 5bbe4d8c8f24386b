//! Addresses on the loopback network that no other test uses.
//!
//! Linux answers on all of 127.0.0.0/8, so every server gets an address of its own: a port that was just found free
//! there cannot be taken by another test, nor by somebody's outgoing connection, before nginx listens on it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::io;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt};

/// An address with a free port.
pub fn free() -> SocketAddr {
    find_free().expect("a loopback address has a free port")
}

/// Binds and never listens: a listener can outlive its descriptor here, in a process that another test is just forking,
/// and would then be in nginx's way.
fn find_free() -> io::Result<SocketAddr> {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &SocketAddr::new(unused_ip(), 0))?;
    getsockname(&socket)?.try_into()
}

/// A listener on an address of its own.
pub fn listener() -> TcpListener {
    TcpListener::bind((unused_ip(), 0)).expect("a loopback address has a free port")
}

fn unused_ip() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let [_, _, high, low] = process::id().to_be_bytes();
    // 127.0.x.y is left to everybody else. Where the counter wraps around, the port still tells the servers apart.
    Ipv4Addr::new(127, high | 0x80, low, NEXT.fetch_add(1, Ordering::Relaxed)).into()
}
