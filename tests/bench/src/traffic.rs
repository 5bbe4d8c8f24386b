//! Requests by `ab`, a fixed number of them, and by `wrk`, as many as go; all over connections that are kept alive.

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

/// Requests a second over a second, by `wrk` on 32 connections that always have a request under way.
pub fn throughput(address: SocketAddr) -> f64 {
    let output = Command::new("wrk")
        .args(["-t", "1", "-c", "32", "-d", "1s", &format!("http://{address}/")])
        .stdin(Stdio::null())
        .output()
        .expect("wrk is installed");
    let text = String::from_utf8_lossy(&output.stdout);
    let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok());
    assert!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "wrk: {text}");
    rate.unwrap_or_else(|| panic!("wrk: {text}"))
}
