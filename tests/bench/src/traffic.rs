//! Requests by `ab`: a fixed number of them, over connections that are kept alive.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

/// As many requests as there are, four at a time. Each must be answered with success.
pub fn send(address: SocketAddr, requests: u32) {
    let output = Command::new("ab")
        .args(["-k", "-q", "-c", "4", "-s", "120", "-n", &requests.to_string(), &format!("http://{address}/")])
        .stdin(Stdio::null())
        .output()
        .expect("ab is installed (Debian's apache2-utils)");
    let text = String::from_utf8_lossy(&output.stdout);
    let all_well = text.contains("Failed requests:        0\n") && !text.contains("Non-2xx responses");
    assert!(all_well, "ab: {text}\n{}", String::from_utf8_lossy(&output.stderr));
}
