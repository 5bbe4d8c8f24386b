//! What becomes of the sandbox when the terminal that shows its output is closed: it goes on without it, and ends in order
//! when it is told so.
#![forbid(unsafe_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

#[test]
fn it_goes_on_without_its_output_and_ends_in_order_at_a_hangup() {
    let mut sink = Command::new(env!("CARGO_BIN_EXE_sandbox"))
        .args(["sink", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(sink.stdout.take().unwrap()).read_line(&mut line).unwrap();
    // The reader is gone from here on, and the sink prints each message.
    let address = line.trim().rsplit('/').find(|part| part.contains(':')).unwrap();
    for _ in 0..2 {
        let mut connection = TcpStream::connect(address).unwrap();
        connection
            .write_all(
                b"POST / HTTP/1.1\r\nHost: sink\r\nConnection: close\r\nContent-Length: 13\r\n\r\n{\"text\":\"hi\"}",
            )
            .unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    kill_process(Pid::from_child(&sink), Signal::HUP).unwrap();
    assert!(sink.wait().unwrap().success());
}
