//! A real mail server that keeps what it is sent: Debian's aiosmtpd, with an address and a mailbox of its own.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::address;
use crate::process::TIED;
use crate::wait;

const START_LIMIT: Duration = Duration::from_secs(20);

/// How the server encrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// It does not.
    None,
    /// By STARTTLS, and takes nothing before it.
    StartTls,
    /// From the first byte on.
    Implicit,
}

/// A running mail server.
pub struct MailServer {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
}

impl MailServer {
    /// Starts it on this address, with this certificate and its key (PEM) where it encrypts, and waits until it listens.
    pub fn start(encryption: Encryption, certificate: impl FnOnce(&str) -> (String, String)) -> Self {
        let directory = tempfile::Builder::new().prefix("nginx-alert-test-").tempdir();
        let directory = directory.expect("a temporary directory can be made");
        let address = address::free();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).expect("the test's directory is writable");
            path
        };
        let (cert, key) = certificate(&address.ip().to_string());
        let files = [file("cert.pem", &cert), file("key.pem", &key)];
        let names = match encryption {
            Encryption::None => None,
            Encryption::StartTls => Some(["--tlscert", "--tlskey"]),
            Encryption::Implicit => Some(["--smtpscert", "--smtpskey"]),
        };
        let child = spawn(directory.path(), address, names, &files);
        wait::until("the mail server", START_LIMIT, || TcpStream::connect(address).is_ok());
        Self { child, address, directory }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate by which it is trusted.
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("cert.pem")
    }

    /// The mails that it has taken, oldest first.
    pub fn mails(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.directory.path().join("mail/new")) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        // Their names begin with the time.
        files.sort();
        files.iter().map(|file| fs::read_to_string(file).unwrap_or_default()).collect()
    }

    /// Waits until it has taken at least `count` mails.
    #[track_caller]
    pub fn wait_for(&self, count: usize, limit: Duration) -> Vec<String> {
        wait::until("the mails", limit, || self.mails().len() >= count);
        self.mails()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(directory: &Path, address: SocketAddr, names: Option<[&str; 2]>, files: &[PathBuf; 2]) -> Child {
    let log = File::create(directory.join("log")).expect("the test's directory is writable");
    let mut command = Command::new(TIED[0]);
    // Debian's own Python, for which its packages are.
    command.args(&TIED[1..]).args(["/usr/bin/python3", "-m", "aiosmtpd", "--nosetuid"]);
    command.args(["--listen", &address.to_string()]);
    for (name, file) in names.iter().flatten().zip(files) {
        command.arg(name).arg(file);
    }
    command.args(["--class", "aiosmtpd.handlers.Mailbox"]).arg(directory.join("mail"));
    let streams = [log.try_clone().expect("a descriptor"), log];
    let [output, errors] = streams.map(Stdio::from);
    let started = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn();
    started.expect("aiosmtpd is not installed: run `make test`, which installs it")
}
