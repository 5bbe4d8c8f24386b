//! What all measurements stand on: a real nginx in front of a second one that answers for a blue and a green pool.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tests::address;
use tests::client::Client;
use tests::http::Request;
use tests::nginx::{Config, Nginx};
use tests::process::TIED;
use tests::sink::Sink;

/// An nginx to measure, in the parts in which they differ.
///
/// `{blue}`, `{green}` and `{sink}` stand for the addresses, `{sockets}` for the directory in which both pools also listen, by
/// their names: where a connection is used once, those of TCP would fill tables of the kernel.
#[derive(Clone, Debug, Default)]
pub struct Variant {
    /// What the results call it.
    pub name: &'static str,
    /// The modules that it loads.
    pub modules: Vec<PathBuf>,
    /// What stands in `http {}` besides upstream and server.
    pub http: String,
    /// What stands in `server {}` besides its locations.
    pub server: String,
    /// A command that is sent to it (`POST`) before anything is measured; none where empty.
    pub command: &'static str,
}

/// Everything running. Fields are dropped in this order: nginx must go first.
pub struct Rig {
    /// The nginx that is measured.
    pub nginx: Nginx,
    /// Where it listens.
    pub address: SocketAddr,
    _upstream: Nginx,
    _sockets: TempDir,
    _sink: Sink,
}

impl Rig {
    /// Starts everything. `adjust` is for what no [`Variant`] says.
    pub fn start(variant: &Variant, adjust: impl FnOnce(&mut Config)) -> Rig {
        let (blue, green, sink) = (address::free(), address::free(), Sink::start());
        let sockets = tempfile::tempdir().expect("a temporary directory can be made");
        let upstream = start_upstream(blue, green, sockets.path());
        let listen = address::free();
        let Variant { modules, http, server, .. } = variant;
        let mut config = Config { listen: Some(listen), ..plain("") };
        config.main = modules.iter().map(|module| format!("load_module {};\n", module.display())).collect();
        adjust(&mut config);
        // With reuseport the kernel spreads connections over all workers; without, one of them may take nearly all.
        let reuseport = if config.single_process { "" } else { " reuseport" };
        let fill = |text: &str| {
            let sink = sink.url();
            let sockets = sockets.path().display().to_string();
            let text = text.replace("{blue}", &blue.to_string()).replace("{green}", &green.to_string());
            text.replace("{sink}", &sink).replace("{sockets}", &sockets)
        };
        let http = fill(&format!(
            "{http}
             keepalive_requests 1000000;
             proxy_next_upstream error timeout http_500 http_502 http_503 http_504;
             upstream app {{ server {{blue}}; server {{green}} backup; keepalive 16; }}
             proxy_http_version 1.1;
             proxy_set_header Connection \"\";
             server {{
                 listen {listen}{reuseport};
                 {server}
                 location / {{ proxy_pass http://app; }}
             }}"
        ));
        config.http = Some(http);
        let nginx = Nginx::start(config);
        let rig = Rig { nginx, address: listen, _upstream: upstream, _sockets: sockets, _sink: sink };
        if !variant.command.is_empty() {
            let reply = Client::new(listen).send(&Request::new("POST", variant.command));
            assert_eq!(reply.status, 200, "{}: {}", variant.command, reply.text());
        }
        rig
    }
}

/// The upstream: small answers with the headers that an application sends.
fn start_upstream(blue: SocketAddr, green: SocketAddr, sockets: &Path) -> Nginx {
    let sockets = sockets.display();
    let server = |listen: SocketAddr, pool: &str, release: &str, retried: u16| {
        format!(
            "server {{
                 listen {listen};
                 listen unix:{sockets}/{pool};
                 add_header X-App-Pool {pool} always;
                 add_header X-Release-Id {release} always;
                 add_header Cache-Control no-cache;
                 add_header X-Frame-Options DENY;
                 default_type application/json;
                 location / {{ return 200 '{{\"answer\":42}}'; }}
                 location = /retried {{ return {retried} '{{\"answer\":42}}'; }}
                 location = /bare {{ add_header X-Frame-Options DENY; return 200 '{{\"answer\":42}}'; }}
             }}"
        )
    };
    let servers = [server(blue, "blue", "v1.0.0", 500), server(green, "green", "v1.1.0", 200)].concat();
    Nginx::start(Config { listen: Some(blue), ..plain(&format!("keepalive_requests 1000000; {servers}")) })
}

/// An nginx without modules whose end is tied to that of this process.
fn plain(http: &str) -> Config {
    let wrapper = TIED.map(String::from).to_vec();
    Config { with_module: false, log_level: "notice", wrapper, ..Config::new(http) }
}

/// The module: `TEST_NGINX_MODULE`, or what `make module` built.
pub fn module() -> PathBuf {
    let path = given("TEST_NGINX_MODULE").unwrap_or_else(|| target("ngx_http_alert_module.so"));
    assert!(path.is_file(), "there is no {}: run \"make module\" first", path.display());
    path
}

/// The version before: `BENCH_BEFORE`, where it is to be compared with.
pub fn before() -> Option<PathBuf> {
    given("BENCH_BEFORE")
}

/// The source of nginx-module-vts: `BENCH_VTS_SOURCE`, where that is to be compared with.
pub fn vts_source() -> Option<PathBuf> {
    given("BENCH_VTS_SOURCE")
}

/// What a variable of the environment names, if it does.
fn given(variable: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env::var_os(variable).filter(|path| !path.is_empty())?);
    assert!(path.exists(), "{variable}: there is no {}", path.display());
    Some(path)
}

/// A path below the repository's `target/`.
pub fn target(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target").join(name)
}
