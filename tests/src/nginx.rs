//! A real nginx with a configuration, a directory and an address of its own.
//!
//! Whoever drops it learns what went wrong: anything alarming in the error log fails the test.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use tempfile::TempDir;

use crate::process::{self, Signal};
use crate::wait;

/// Starting and reloading take milliseconds; this is for a machine under load.
const START_LIMIT: Duration = Duration::from_secs(10);
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// What no error log may hold at the end of a test.
const ALARMING: [&str; 7] =
    ["[alert]", "[emerg]", "[crit]", "exited on signal", "panicked at", "Sanitizer:", "runtime error:"];

/// What to start.
#[derive(Clone, Debug)]
pub struct Config {
    /// `worker_processes`.
    pub workers: usize,
    /// `master_process off`: the one process does everything.
    pub single_process: bool,
    /// Whether the module is loaded.
    pub with_module: bool,
    /// What stands before all blocks.
    pub main: String,
    /// What stands inside `http {}`; `None` leaves the whole block out.
    pub http: Option<String>,
    /// An address that accepts connections once nginx runs.
    pub listen: Option<SocketAddr>,
    /// The environment of the master besides the inherited one.
    pub env: Vec<(String, String)>,
    /// The user that workers run as.
    pub user: &'static str,
    /// The level of the error log.
    pub log_level: &'static str,
    /// The program that runs nginx, with its arguments: none, or one like valgrind that becomes it.
    pub wrapper: Vec<String>,
}

impl Config {
    /// One worker with the module and this inside `http {}`.
    pub fn new(http: &str) -> Self {
        Self {
            workers: 1,
            single_process: false,
            with_module: true,
            main: String::new(),
            http: Some(http.into()),
            listen: None,
            env: Vec::new(),
            user: "root",
            log_level: "info",
            wrapper: Vec::new(),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if self.with_module {
            let _ = writeln!(text, "load_module {};", module().display());
        }
        text += &self.main;
        let Config { user, workers, log_level, .. } = self;
        let _ = write!(text, "daemon off;\nuser {user};\npid nginx.pid;\nworker_processes {workers};\n");
        let _ = writeln!(text, "error_log error.log {log_level};\nevents {{ worker_connections 512; }}");
        if self.single_process {
            text += "master_process off;\n";
        }
        if let Some(http) = &self.http {
            text += "http {\naccess_log off;\n";
            for user in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
                let _ = writeln!(text, "{user}_temp_path temp;");
            }
            let _ = write!(text, "{http}\n}}\n");
        }
        text
    }

    /// Everything below `directory`, so that nothing outside of the test is touched.
    fn command(&self, directory: &Path) -> Command {
        let path = directory.join("nginx.conf");
        // nginx reads relative paths against its prefix; the error log and the pid file are such.
        fs::write(&path, self.text()).expect("the test's directory is writable");
        let mut words = self.wrapper.iter().map(OsString::from).chain([binary().into_os_string()]);
        let mut command = Command::new(words.next().expect("at least nginx itself"));
        command.args(words).arg("-p").arg(directory).arg("-e").arg(directory.join("error.log")).arg("-c").arg(path);
        command.envs(self.env.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        command
    }
}

/// What `nginx -t` said.
#[derive(Debug)]
pub struct Check {
    /// Whether the configuration is good.
    pub good: bool,
    /// All that it printed.
    pub output: String,
    /// The files it left behind, sorted.
    pub files: Vec<String>,
    text: String,
}

impl Check {
    /// Runs `nginx -t`.
    pub fn run(config: &Config) -> Self {
        let directory = directory();
        let mut command = config.command(directory.path());
        let output = command.arg("-t").output().expect("nginx can be started");
        let printed = [output.stdout, output.stderr].concat();
        let files = fs::read_dir(directory.path()).expect("the test's directory is readable");
        let mut files: Vec<_> =
            files.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect();
        files.sort();
        let output_text = String::from_utf8_lossy(&printed).into_owned();
        Self { good: output.status.success(), output: output_text, files, text: config.text() }
    }

    /// Where the configuration says this, in the form in which nginx names places.
    #[track_caller]
    pub fn place_of(&self, directive: &str) -> String {
        let line = self.text.lines().position(|line| line.contains(directive));
        format!("nginx.conf:{}", 1 + line.unwrap_or_else(|| panic!("{directive:?} is not in the configuration")))
    }
}

/// A running nginx.
pub struct Nginx {
    config: Config,
    directory: TempDir,
    child: Child,
    /// Parts of lines of the error log that this test provokes.
    expected: Vec<&'static str>,
}

impl Nginx {
    /// Starts it and waits until it works.
    pub fn start(config: Config) -> Self {
        let directory = directory();
        // Workers of another user have to get through to what is theirs.
        let passable = fs::Permissions::from_mode(0o711);
        fs::set_permissions(directory.path(), passable).expect("the test's directory is its own");
        let child = spawn(&config, directory.path());
        let mut nginx = Self { config, directory, child, expected: Vec::new() };
        nginx.wait_until_it_works();
        nginx
    }

    /// Starts it again where it was stopped.
    pub fn start_again(&mut self) {
        assert!(matches!(self.child.try_wait(), Ok(Some(_))), "nginx still runs");
        self.child = spawn(&self.config, self.directory.path());
        self.wait_until_it_works();
    }

    fn wait_until_it_works(&mut self) {
        let nginx = self;
        let works = wait::find(START_LIMIT, || match nginx.child.try_wait() {
            Ok(None) => nginx.is_ready().then_some(true),
            _ => Some(false),
        });
        assert!(works == Some(true), "nginx does not start");
    }

    fn is_ready(&self) -> bool {
        let accepts = self.config.listen.is_none_or(|address| TcpStream::connect(address).is_ok());
        accepts && (self.config.single_process || self.workers().len() == self.config.workers)
    }

    /// The process that was started: the master, or the only one.
    pub fn master(&self) -> u32 {
        self.child.id()
    }

    /// The workers that accept connections, without those that are shutting down.
    pub fn workers(&self) -> Vec<u32> {
        self.helpers("worker process")
    }

    /// The children of the master that have this role.
    pub fn helpers(&self, role: &str) -> Vec<u32> {
        let title = format!("nginx: {role}");
        // A wrapper keeps its own title.
        let matches = |pid: &u32| !self.config.wrapper.is_empty() || process::title(*pid) == title;
        process::children(self.master()).into_iter().filter(matches).collect()
    }

    /// Where it runs; relative paths of the configuration start here.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The error log, and what went to standard error.
    pub fn log(&self) -> String {
        ["stderr.log", "error.log"]
            .map(|name| fs::read(self.directory.path().join(name)).unwrap_or_default())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .concat()
    }

    /// The lines of the error log that contain this.
    pub fn log_lines(&self, part: &str) -> Vec<String> {
        self.log().lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
    }

    /// Lets lines with this part pass at the end.
    pub fn expect_in_log(&mut self, part: &'static str) {
        self.expected.push(part);
    }

    /// Reads the configuration again and waits until only new workers accept connections.
    #[track_caller]
    pub fn reload(&self) {
        let old = self.workers();
        process::signal(self.master(), Signal::HUP);
        wait::until("new workers after a reload", START_LIMIT, || {
            let workers = self.workers();
            workers.len() == self.config.workers && !workers.iter().any(|pid| old.contains(pid))
        });
    }

    /// Reloads with another text inside `http {}`.
    #[track_caller]
    pub fn reload_with(&mut self, http: &str) {
        self.config.http = Some(http.into());
        let path = self.directory.path().join("nginx.conf");
        fs::write(path, self.config.text()).expect("the test's directory is writable");
        self.reload();
    }

    /// Kills a worker the hard way and waits until the master has replaced it.
    #[track_caller]
    pub fn kill_worker(&mut self, pid: u32) {
        self.expect_in_log("exited on signal 9");
        process::signal(pid, Signal::KILL);
        wait::until("a new worker instead of the killed one", START_LIMIT, || {
            !process::is_alive(pid) && self.workers().len() == self.config.workers
        });
    }

    /// Stops it (`TERM`: fast, `QUIT`: after the requests in flight) and tells how long that took.
    #[track_caller]
    pub fn stop(&mut self, signal: Signal) -> Duration {
        let start = Instant::now();
        assert!(self.try_stop(signal), "nginx does not stop");
        start.elapsed()
    }

    fn try_stop(&mut self, signal: Signal) -> bool {
        let children = process::children(self.master());
        process::signal(self.master(), signal);
        let stopped = wait::find(STOP_LIMIT, || self.child.try_wait().ok().flatten()).is_some();
        if !stopped {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let orphans: Vec<_> = children.into_iter().filter(|pid| process::is_alive(*pid)).collect();
        for pid in &orphans {
            process::signal(*pid, Signal::KILL);
        }
        stopped && orphans.is_empty()
    }

    fn alarming_lines(&self) -> Vec<String> {
        self.log()
            .lines()
            .filter(|line| ALARMING.iter().any(|part| line.contains(part)))
            .filter(|line| !self.expected.iter().any(|part| line.contains(part)))
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let running = matches!(self.child.try_wait(), Ok(None));
        let stopped = !running || self.try_stop(Signal::TERM);
        let alarming = self.alarming_lines();
        if thread::panicking() {
            eprintln!("the error log of nginx:\n{}", self.log());
            return;
        }
        assert!(alarming.is_empty(), "the error log is not clean:\n{}", alarming.join("\n"));
        assert!(stopped, "nginx does not stop:\n{}", self.log());
    }
}

/// The module under test.
pub fn module() -> PathBuf {
    let path = env::var_os("TEST_NGINX_MODULE").map(PathBuf::from);
    match path.filter(|path| path.is_file()) {
        Some(path) => path,
        None => panic!(
            "these tests need the built module: run `make test`, or set TEST_NGINX_MODULE to the path of \
             ngx_http_alert_module.so"
        ),
    }
}

/// The nginx under test.
pub fn binary() -> PathBuf {
    if let Some(path) = env::var_os("TEST_NGINX") {
        return path.into();
    }
    // An ordinary user's PATH often lacks the place where nginx lives.
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let found = places.find_map(|place: PathBuf| Some(place.join("nginx")).filter(|path| path.is_file()));
    found.expect("nginx is not installed: run `make test`, or set TEST_NGINX to the path of its binary")
}

fn spawn(config: &Config, directory: &Path) -> Child {
    let output = File::options().create(true).append(true).open(directory.join("stderr.log"));
    let output = output.expect("the test's directory is writable");
    let mut command = config.command(directory);
    command.stdout(output.try_clone().expect("a file can be shared")).stderr(output);
    command.spawn().expect("nginx can be started")
}

fn directory() -> TempDir {
    tempfile::Builder::new().prefix("nginx-alert-test-").tempdir().expect("a temporary directory can be made")
}
