//! A real nginx with a configuration, a directory and an address of its own.
//!
//! Whoever drops it learns what went wrong: anything alarming in the error log fails the test.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use tempfile::TempDir;

use crate::process::{self, Signal};
use crate::wait;

/// The longest that nginx may take to stop: a worker has a second, the rest is for the signal's way through the master
/// of a loaded machine.
pub const STOPPED: Duration = Duration::from_millis(1500);

/// Starting and reloading take milliseconds; this is for a machine under load.
const START_LIMIT: Duration = Duration::from_secs(10);
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// Who ended may still be seen for a moment.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);

/// What no error log may hold at the end of a test.
const ALARMING: [&str; 7] =
    ["[alert]", "[emerg]", "[crit]", "exited on signal", "panicked at", "Sanitizer:", "runtime error:"];

/// What to start.
#[derive(Clone, Debug)]
pub struct Config {
    /// `worker_processes`.
    pub workers: usize,
    /// `worker_connections`.
    pub connections: usize,
    /// `master_process off`: the one process does everything.
    pub single_process: bool,
    /// `daemon on`: it leaves the process that started it, as services do. Only such a master can be upgraded.
    pub daemon: bool,
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
            connections: 512,
            single_process: false,
            daemon: false,
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
        if self.with_module && !is_built_in() {
            let _ = writeln!(text, "load_module {};", module().display());
        }
        text += &self.main;
        let Config { user, workers, connections, log_level, .. } = self;
        let daemon = if self.daemon { "on" } else { "off" };
        let _ = write!(text, "daemon {daemon};\nuser {user};\npid nginx.pid;\nworker_processes {workers};\n");
        let _ = writeln!(text, "error_log error.log {log_level};\nevents {{ worker_connections {connections}; }}");
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
        Self::new(config, directory.path(), &output)
    }

    /// Starts nginx, which is to refuse its configuration; where it does not, it is stopped at once.
    pub fn of_start(config: &Config) -> Self {
        let config = Config { daemon: true, ..config.clone() };
        let directory = directory();
        let output = config.command(directory.path()).output().expect("nginx can be started");
        if output.status.success() {
            let pid = || fs::read_to_string(directory.path().join("nginx.pid")).ok()?.trim().parse().ok();
            let master: u32 = wait::find(START_LIMIT, pid).expect("a daemon writes its number");
            process::signal(master, Signal::TERM);
            wait::until("the end of an nginx that should not have started", STOP_LIMIT, || !process::is_alive(master));
        }
        Self::new(&config, directory.path(), &output)
    }

    fn new(config: &Config, directory: &Path, output: &Output) -> Self {
        let printed = [&output.stdout[..], &output.stderr].concat();
        let files = fs::read_dir(directory).expect("the test's directory is readable");
        let mut files: Vec<_> =
            files.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect();
        files.sort();
        let text = String::from_utf8_lossy(&printed).into_owned();
        Self { good: output.status.success(), output: text, files, text: config.text() }
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
    /// The master, or the only process: the child, or what it left behind as a daemon.
    master: u32,
    /// Whether the test killed the process that was started.
    killed: bool,
    /// Parts of lines of the error log that this test provokes.
    expected: Vec<&'static str>,
}

impl Nginx {
    /// Starts it and waits until it works.
    pub fn start(config: Config) -> Self {
        Self::start_in(config, |_| {})
    }

    /// Starts it in a directory in which more is prepared than its configuration.
    pub fn start_in(config: Config, prepare: impl FnOnce(&Path)) -> Self {
        let directory = directory();
        prepare(directory.path());
        // Workers of another user have to get through to what is theirs.
        let passable = fs::Permissions::from_mode(0o711);
        fs::set_permissions(directory.path(), passable).expect("the test's directory is its own");
        let child = spawn(&config, directory.path());
        let mut nginx = Self { config, directory, master: child.id(), child, killed: false, expected: Vec::new() };
        nginx.wait_until_it_works();
        nginx
    }

    /// Starts it again where it was stopped.
    pub fn start_again(&mut self) {
        assert!(!self.runs(), "nginx still runs");
        self.killed = false;
        self.child = spawn(&self.config, self.directory.path());
        self.master = self.child.id();
        self.wait_until_it_works();
    }

    fn wait_until_it_works(&mut self) {
        if self.config.daemon {
            let started = self.child.wait().is_ok_and(|status| status.success());
            assert!(started, "nginx does not start");
            self.master = wait::find(START_LIMIT, || self.pid_in("nginx.pid")).expect("a daemon writes its number");
        }
        let works = wait::find(START_LIMIT, || match self.runs() {
            true => self.is_ready().then_some(true),
            false => Some(false),
        });
        assert!(works == Some(true), "nginx does not start");
    }

    fn is_ready(&self) -> bool {
        let accepts = self.config.listen.is_none_or(|address| TcpStream::connect(address).is_ok());
        accepts && (self.config.single_process || self.workers().len() == self.config.workers)
    }

    fn runs(&mut self) -> bool {
        // Asking for the status is what takes the child out of the table of processes.
        let _ = self.child.try_wait();
        process::is_alive(self.master)
    }

    /// The number in this file of pids, if it is there.
    pub fn pid_in(&self, name: &str) -> Option<u32> {
        fs::read_to_string(self.directory.path().join(name)).ok()?.trim().parse().ok()
    }

    /// The process that was started: the master, or the only one.
    pub fn master(&self) -> u32 {
        self.master
    }

    /// Sends the master a signal.
    pub fn signal(&self, signal: Signal) {
        process::signal(self.master, signal);
    }

    /// The workers that accept connections, without those that are shutting down.
    pub fn workers(&self) -> Vec<u32> {
        self.helpers("worker process")
    }

    /// How many there are to be.
    pub fn worker_processes(&self) -> usize {
        self.config.workers
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
        self.signal(Signal::HUP);
        wait::until("new workers after a reload", START_LIMIT, || {
            let workers = self.workers();
            workers.len() == self.config.workers && !workers.iter().any(|pid| old.contains(pid))
        });
    }

    /// Reloads with another text inside `http {}`.
    #[track_caller]
    pub fn reload_with(&mut self, http: &str) {
        self.rewrite(|config| config.http = Some(http.into()));
        self.reload();
    }

    /// Runs the program again with these arguments (`-t`, or `-s` and a signal), as somebody does whose environment has
    /// nothing of the configuration's. Returns whether that went well, and what was printed.
    pub fn call(&self, arguments: &[&str]) -> (bool, String) {
        let config = Config { env: Vec::new(), wrapper: Vec::new(), ..self.config.clone() };
        let output = config.command(self.directory.path()).args(arguments).output().expect("nginx can be started");
        let printed = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&printed).into_owned())
    }

    /// Changes the configuration file, and nothing that runs.
    pub fn rewrite(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
        let path = self.directory.path().join("nginx.conf");
        fs::write(path, self.config.text()).expect("the test's directory is writable");
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
        let took = self.end(signal).expect("nginx does not stop");
        assert!(self.leaves_nothing(), "nginx leaves processes behind");
        took
    }

    /// Waits for its end; `None` where it does not come in time.
    fn end(&mut self, signal: Signal) -> Option<Duration> {
        let start = Instant::now();
        self.signal(signal);
        wait::find(STOP_LIMIT, || (!self.runs()).then(|| start.elapsed()))
    }

    /// Ends what is left, and tells whether nothing was. Workers let go of the log when they end.
    fn leaves_nothing(&mut self) -> bool {
        let nothing = wait::find(LEAVE_LIMIT, || process::users_of(self.directory()).is_empty().then_some(()));
        for pid in process::users_of(self.directory()) {
            process::signal(pid, Signal::KILL);
        }
        let _ = self.child.wait();
        nothing.is_some()
    }

    /// The signal that ended the process which was started, if one did.
    fn ended_by(&mut self) -> Option<i32> {
        self.child.try_wait().ok().flatten().and_then(|status| status.signal())
    }

    /// Starts a second master beside this one, as the update of a package does, and returns it once it has workers.
    #[track_caller]
    pub fn upgrade(&self) -> u32 {
        self.signal(Signal::USR2);
        let works = |pid: &u32| {
            let children = process::children(*pid);
            children.iter().filter(|pid| process::title(**pid) == "nginx: worker process").count()
                == self.config.workers
        };
        let new = wait::find(START_LIMIT, || self.pid_in("nginx.pid").filter(|pid| *pid != self.master).filter(works));
        new.expect("a second master")
    }

    /// Takes the other master for the one under test: after an upgrade there are two.
    #[track_caller]
    pub fn adopt(&mut self, master: u32) {
        assert!(process::is_alive(master), "there is no such master");
        self.master = master;
    }

    /// Kills all workers at once the hard way and waits until the master has replaced them.
    #[track_caller]
    pub fn kill_workers(&mut self) {
        let killed = self.workers();
        self.expect_in_log("exited on signal 9");
        killed.iter().for_each(|pid| process::signal(*pid, Signal::KILL));
        wait::until("new workers instead of the killed ones", START_LIMIT, || {
            let workers = self.workers();
            workers.len() == self.config.workers && !workers.iter().any(|pid| killed.contains(pid))
        });
    }

    /// Kills the master the hard way. Its workers do not notice, and are returned.
    #[track_caller]
    pub fn kill_master(&mut self) -> Vec<u32> {
        self.killed = true;
        self.signal(Signal::KILL);
        wait::until("the end of the master", STOP_LIMIT, || !self.runs());
        process::users_of(self.directory())
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
        let stopped = !self.runs() || self.end(Signal::TERM).is_some();
        let clean = self.leaves_nothing() && stopped;
        let alarming = self.alarming_lines();
        let signal = self.ended_by().filter(|_| !self.killed);
        if thread::panicking() {
            eprintln!("the error log of nginx:\n{}", self.log());
            return;
        }
        assert!(alarming.is_empty(), "the error log is not clean:\n{}", alarming.join("\n"));
        assert!(signal.is_none(), "nginx was ended by signal {signal:?}:\n{}", self.log());
        assert!(clean, "nginx does not stop, or leaves processes:\n{}", self.log());
    }
}

/// Whether the module under test is part of the nginx under test.
fn is_built_in() -> bool {
    env::var_os("TEST_NGINX_MODULE").is_some_and(|module| module == "built-in")
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
