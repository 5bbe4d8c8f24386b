//! The example for LuaJIT, in a real nginx with Debian's Lua module, between real upstreams and a real sink.

use std::path::Path;
use std::time::Duration;

use tests::address;
use tests::client::Client;
use tests::nginx::{Config, Nginx};
use tests::process::Signal;
use tests::sink::Sink;
use tests::upstream::Upstream;

use crate::installed::Installed;

const EXAMPLE: &str = include_str!("../../examples/log_by_lua.conf");
const MODULES: &str = "/usr/lib/nginx/modules";

#[test]
fn log_by_lua_posts_a_failover_of_all_workers_once() {
    for module in ["ndk_http_module.so", "ngx_http_lua_module.so"] {
        let path = Path::new(MODULES).join(module);
        assert!(path.is_file(), "{} is not there: `make test` installs libnginx-mod-http-lua", path.display());
    }
    let (blue, green, sink) = (Upstream::start("blue", "v1"), Upstream::start("green", "v2"), Sink::start());
    let listen = address::free();
    let example = EXAMPLE
        .replace("127.0.0.1:8081", &blue.address().to_string())
        .replace("127.0.0.1:8082", &green.address().to_string())
        .replace("http://127.0.0.1:8090/services/T000/B000/XXXX", &sink.url());
    let http = format!(
        "{example}
         upstream app {{ server {} max_fails=0; server {} backup max_fails=0; }}
         server {{
             listen {listen} reuseport;
             location / {{ proxy_pass http://app; proxy_next_upstream error timeout http_500; }}
         }}",
        blue.address(),
        green.address()
    );
    let mut nginx = Nginx::start(Config {
        workers: 2,
        with_module: false,
        main: ["ndk_http_module.so", "ngx_http_lua_module.so"]
            .map(|module| format!("load_module {MODULES}/{module};\n"))
            .concat(),
        listen: Some(listen),
        env: vec![("LD_LIBRARY_PATH".into(), Installed::get().lib().display().to_string())],
        ..Config::new(&http)
    });
    let client = Client::new(listen);
    let answered = |statuses: Vec<u16>| assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    answered(client.get_concurrently(4, 5, "/"));
    blue.set_status(500);
    answered(client.get_concurrently(4, 5, "/"));
    let posts = sink.wait_for(1, Duration::from_secs(5));
    assert_eq!(posts[0].headline(), ":rotating_light: Failover detected — pool changed from blue → green");
    assert!(posts[0].text().contains("v1") && posts[0].text().contains("v2"), "{}", posts[0].text());
    sink.assert_quiet_for(Duration::from_millis(300));
    nginx.stop(Signal::QUIT);
}
