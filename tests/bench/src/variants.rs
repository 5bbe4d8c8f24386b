//! The ways of watching a blue and a green pool that are compared, as configurations of the same nginx.

use std::path::{Path, PathBuf};

use tests::sink::Sink;

use crate::rig::{Variant, module, target, vts_source};

/// Where Debian's packages put modules.
const MODULES: &str = "/usr/lib/nginx/modules";

/// What a line of the access log says where somebody watches blue and green by it.
pub const LOG_FORMAT: &str = "log_format pools '$remote_addr [$time_iso8601] \"$request\" $status \
    pool=$upstream_http_x_app_pool release=$upstream_http_x_release_id upstream=$upstream_addr \
    upstream_status=$upstream_status upstream_response_time=$upstream_response_time request_time=$request_time';";

const MONITOR: &str = "alert_monitor app { pool blue {blue}; pool green {green}; active blue; }";

/// nginx alone.
pub fn plain() -> Variant {
    Variant { name: "nginx alone, `access_log off`", ..Variant::default() }
}

/// The module as the README's first example has it.
pub fn defaults() -> Variant {
    Variant {
        name: "this module, its defaults",
        modules: vec![module()],
        http: format!("alert_notify slack {{sink}}; {MONITOR}"),
        server: "alert app;".into(),
        ..Variant::default()
    }
}

/// The module without any of its directives.
pub fn loaded() -> Variant {
    Variant { name: "this module, loaded and not used", modules: vec![module()], ..Variant::default() }
}

/// The module with its threads, where the requests that are counted are not watched.
pub fn unwatched() -> Variant {
    Variant { name: "this module, not watching these requests", server: String::new(), ..defaults() }
}

/// The module where the servers lie in the zone of their upstream, where they could be replaced.
pub fn zone() -> Variant {
    Variant {
        name: "this module, an upstream with a zone",
        http: format!(
            "alert_notify slack {{sink}}; {MONITOR}
             upstream zoned {{ zone zoned 64k; server {{blue}}; server {{green}} backup; keepalive 16; }}"
        ),
        server: "alert app; location = / { proxy_pass http://zoned; }".into(),
        ..defaults()
    }
}

/// The module without pools, in front of an application that names its pool and release.
pub fn named() -> Variant {
    Variant {
        name: "this module, pools known by headers alone",
        http: "alert_notify slack {sink}; alert_monitor app {}".into(),
        ..defaults()
    }
}

/// The module where each request is retried.
pub fn retried() -> Variant {
    Variant {
        name: "this module, each request retried",
        http: format!(
            "alert_notify slack {{sink}}; {MONITOR}
             upstream retrying {{ server {{blue}} max_fails=0; server {{green}} backup; keepalive 16; }}"
        ),
        server: "alert app; location = / { proxy_pass http://retrying/retried; }".into(),
        ..defaults()
    }
}

/// The module without pools, in front of an application that does not name itself.
pub fn bare() -> Variant {
    Variant {
        name: "this module, no pools and no headers",
        http: "alert_notify slack {sink}; alert_monitor app {}".into(),
        server: "alert app; location = / { proxy_pass http://app/bare; }".into(),
        ..defaults()
    }
}

/// The module where each answer has the value of a variable in a header.
pub fn with_variable(variable: &str) -> Variant {
    let Variant { http, server, .. } = defaults();
    Variant {
        name: "this module, a variable in each answer",
        http: format!("map $request_method $stock {{ default ok; }} {http}"),
        server: format!("{server} add_header X-Value ${variable};"),
        ..defaults()
    }
}

/// The module where each request is assigned to a pool, while one has a share.
pub fn with_share() -> Variant {
    let Variant { http, server, .. } = with_variable("alert_pool");
    Variant {
        name: "this module, each request assigned while a pool has a share",
        server: format!("{server} location /control {{ alert_control; }}"),
        command: "/control/share?monitor=app&pool=green&percent=5",
        http: http.replace("active blue;", "active blue; rollout 5% 25% 50%;"),
        ..defaults()
    }
}

/// The module with all that costs something in a request.
pub fn everything() -> Variant {
    let others: String = (0..7).map(|at| format!("alert_monitor other{at} {{ window 1000; }}\n")).collect();
    Variant {
        name: "this module, everything on",
        http: format!(
            "alert_zone zone=alert:4m;
             alert_state own/state;
             alert_notify slack {{sink}};
             alert_notify webhook {{sink}} secret=hush;
             map $upstream_http_x_app_pool $pool {{ default $upstream_http_x_app_pool; }}
             map $upstream_http_x_release_id $release {{ default $upstream_http_x_release_id; }}
             {others}
             alert_monitor app {{
                 pool_from $pool; release_from $release; active blue; window 1000 max_age=60s; latency p95 500ms;
             }}"
        ),
        server: "alert app; location /alert { alert_status; }".into(),
        ..defaults()
    }
}

/// A build of the module with many monitors that tell failovers: `/app7/blue` is answered by blue, and `/app7/green` by green,
/// after blue has failed.
pub fn many(module: &Path, monitors: usize, sink: &Sink) -> Variant {
    let each = |text: &str| (0..monitors).map(|at| text.replace("app", &format!("app{at}"))).collect::<String>();
    let monitors = each(
        "alert_monitor app {
             pool blue unix:{sockets}/blue; pool green unix:{sockets}/green; active blue; error_rate off; retry_rate off;
         }\n",
    );
    let locations = each(
        "location = /app/blue { alert app; proxy_pass http://failing/; }
         location = /app/green { alert app; proxy_pass http://failing/retried; }\n",
    );
    Variant {
        name: "this module, many monitors",
        modules: vec![module.into()],
        http: format!(
            "alert_zone zone=alert:32m;
             alert_notify webhook http://{}/;
             {monitors}
             upstream failing {{
                 server unix:{{sockets}}/blue max_fails=0; server unix:{{sockets}}/green backup; keepalive 16;
             }}",
            sink.address()
        ),
        server: format!("location /alert {{ alert_status; }} {locations}"),
        ..Variant::default()
    }
}

/// The access log that a watcher reads, written line by line.
pub fn access_log() -> Variant {
    Variant {
        name: "`access_log`, each line written at once",
        http: LOG_FORMAT.into(),
        server: "access_log access.log pools;".into(),
        ..Variant::default()
    }
}

/// The same, written in large pieces, for which a watcher waits.
pub fn buffered_access_log() -> Variant {
    Variant {
        name: "`access_log` with `buffer=64k flush=1s`",
        http: LOG_FORMAT.into(),
        server: "access_log access.log pools buffer=64k flush=1s;".into(),
        ..Variant::default()
    }
}

/// Lua that counts answers of each pool into a shared dictionary.
pub fn lua() -> Variant {
    let modules = ["ndk_http_module.so", "ngx_http_lua_module.so"].map(debian_module);
    Variant {
        name: "`log_by_lua_block` that counts into a shared dictionary",
        modules: modules.into(),
        http: "lua_shared_dict counts 1m;
            log_by_lua_block {
                local pool = ngx.var.upstream_http_x_app_pool or \"-\"
                local status = ngx.var.upstream_status or \"-\"
                ngx.shared.counts:incr(pool .. \" \" .. status, 1, 0)
            }"
        .into(),
        ..Variant::default()
    }
}

/// nginx-module-vts, which counts the traffic of each server and upstream; where there is its source.
pub fn vts() -> Option<Variant> {
    vts_source().map(|_| Variant {
        name: "nginx-module-vts, its defaults",
        modules: vec![target("vts/objs/ngx_http_vhost_traffic_status_module.so")],
        http: "vhost_traffic_status_zone;".into(),
        ..Variant::default()
    })
}

fn debian_module(name: &str) -> PathBuf {
    let path = Path::new(MODULES).join(name);
    assert!(path.is_file(), "there is no {}: run \"make bench\", which installs it", path.display());
    path
}
