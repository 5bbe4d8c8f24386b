//! What `nginx -t` says about every mistake that a person would make: in whole sentences, with their place.
//!
//! A row is what is written and what nginx says about it, with `'` for `"`. The mistake is in the last line, or in the
//! one that ends in `# here`. `SECRET` stands for something that no output may hold, `DIR` for a directory with files.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use tempfile::TempDir;
use tests::nginx::{self, Check, Config};
use tests::sink::SECRET;

const HERE: &str = "# here";
const UPSTREAM: &str = "upstream app { server 127.0.0.1:8081; }";

/// Numbers of words that are wrong, and how the directive is written. The first is for the http level.
const COUNTS: [&[(&str, &str)]; 2] = [
    &[
        ("alert_zone;", "alert_zone zone=NAME[:SIZE];"),
        ("alert_zone zone=a:1m zone=b:1m;", "alert_zone zone=NAME[:SIZE];"),
        ("alert_state;", "alert_state PATH;"),
        ("alert_state a b;", "alert_state PATH;"),
        ("alert_monitor { }", "alert_monitor NAME { ... }"),
        ("alert_monitor app two { }", "alert_monitor NAME { ... }"),
        ("alert_instance;", "alert_instance NAME|env:VARIABLE;"),
        ("alert_instance a b;", "alert_instance NAME|env:VARIABLE;"),
        ("alert_label env;", "alert_label NAME VALUE;"),
        ("alert_label env a b;", "alert_label NAME VALUE;"),
        ("alert_link;", "alert_link URL;"),
        ("alert;", "alert NAME|off;"),
        ("alert app off;", "alert NAME|off;"),
    ],
    &[
        ("pool;", "pool NAME ADDRESS ...;"),
        ("pool blue;", "pool NAME ADDRESS ...;"),
        ("pool_from;", "pool_from $variable;"),
        ("pool_from $a $b;", "pool_from $variable;"),
        ("release_from;", "release_from $variable;"),
        ("release_from $a $b;", "release_from $variable;"),
        ("active;", "active NAME;"),
        ("active blue green;", "active NAME;"),
        ("window;", "window N [max_age=TIME];"),
        ("window 10 max_age=5m max_age=5m;", "window N [max_age=TIME];"),
        ("error_rate;", "error_rate PERCENT|off;"),
        ("error_rate 2 %;", "error_rate PERCENT|off;"),
        ("retry_rate;", "retry_rate PERCENT|off;"),
        ("retry_rate off off;", "retry_rate PERCENT|off;"),
        ("failure_if;", "failure_if $variable;"),
        ("abandon_rate;", "abandon_rate PERCENT|off;"),
        ("outage;", "outage on [confirm=N]|off;"),
        ("outage off confirm=2;", "outage on [confirm=N]|off;"),
        ("latency;", "latency PERCENTILE TIME|off [of=header|response];"),
        ("latency p95;", "latency PERCENTILE TIME|off [of=header|response];"),
        ("latency p95 1s of=header of=header;", "latency PERCENTILE TIME|off [of=header|response];"),
        ("runbook;", "runbook URL;"),
        ("failover;", "failover on [confirm=N]|off;"),
        ("failover off confirm=2;", "failover on [confirm=N]|off;"),
        ("cooldown;", "cooldown TIME;"),
        ("cooldown 5 m;", "cooldown TIME;"),
        ("maintenance;", "maintenance on|off|file=PATH;"),
        ("maintenance on off;", "maintenance on|off|file=PATH;"),
    ],
];

/// Words that are wrong, which of them, and what is expected. The first is for the http level.
const VALUES: [&[(&str, &str, &str)]; 2] = [
    &[
        ("alert_zone a:1m;", "a:1m", ZONE),
        ("alert_zone zone=;", "zone=", ZONE),
        ("alert_zone zone=a:;", "zone=a:", ZONE),
        ("alert_zone zone=:1m;", "zone=:1m", ZONE),
        ("alert_zone zone=a:1g;", "zone=a:1g", ZONE),
        ("alert_zone zone=a:-1m;", "zone=a:-1m", ZONE),
        ("alert_zone zone=a:1.5m;", "zone=a:1.5m", ZONE),
        ("alert_zone zone=a:17592186044416m;", "zone=a:17592186044416m", ZONE),
        ("alert_state '';", "", FILE),
        ("alert_state /tmp/;", "/tmp/", FILE),
        ("alert_monitor '' { }", "", NAME),
        ("alert_monitor ääääääääääääääääääääääää { }", "ääääääääääääääääääääääää", NAME),
        ("alert_monitor \"a\\tb\" { }", "a b", NAME),
        ("alert '';", "", "the name of a monitor or 'off'"),
        ("alert_instance '';", "", NAME),
        ("alert_label 1st a;", "1st", "a label of 1 to 47 letters, digits and '_', such as 'env'"),
        ("alert_label instance a;", "instance", OTHER_LABEL),
        ("alert_label __name__ a;", "__name__", OTHER_LABEL),
        ("alert_label env '';", "", "a value of 1 to 128 bytes without control characters"),
        ("alert_link nginx.example.com;", "nginx.example.com", LINK),
        ("alert_link /alert;", "/alert", LINK),
    ],
    &[
        ("pool '' 127.0.0.1:1;", "", NAME),
        ("pool_from x_pool;", "x_pool", "one variable, such as '$upstream_http_x_app_pool'"),
        ("pool_from $;", "$", "one variable, such as '$upstream_http_x_app_pool'"),
        ("pool_from $a$b;", "$a$b", "one variable, such as '$upstream_http_x_app_pool'"),
        ("release_from x_id;", "x_id", "one variable, such as '$upstream_http_x_release_id'"),
        ("active '';", "", NAME),
        ("window 0;", "0", WINDOW),
        ("window -5;", "-5", WINDOW),
        ("window 1.5;", "1.5", WINDOW),
        ("window 10k;", "10k", WINDOW),
        ("window 1000001;", "1000001", WINDOW),
        ("window 99999999999999999999;", "99999999999999999999", WINDOW),
        ("window max_age=5m;", "max_age=5m", WINDOW),
        ("window 10 age=5;", "age=5", "'max_age=TIME', as in 'window 200 max_age=10m'"),
        ("window 10 max_age=;", "max_age=", MAX_AGE),
        ("window 10 max_age=0;", "max_age=0", MAX_AGE),
        ("window 10 max_age=-1s;", "max_age=-1s", MAX_AGE),
        ("window 10 max_age=1.5h;", "max_age=1.5h", MAX_AGE),
        ("window 10 max_age=3651d;", "max_age=3651d", MAX_AGE),
        ("error_rate 2;", "2", ERROR_RATE),
        ("error_rate 0.02;", "0.02", ERROR_RATE),
        ("error_rate 100.01%;", "100.01%", ERROR_RATE),
        ("error_rate -1%;", "-1%", ERROR_RATE),
        ("error_rate 2.555%;", "2.555%", ERROR_RATE),
        ("error_rate 99999999999999999999%;", "99999999999999999999%", ERROR_RATE),
        ("error_rate on;", "on", ERROR_RATE),
        ("retry_rate 101%;", "101%", "a percentage from 0% to 100%, such as '10%', or 'off'"),
        ("latency 95 500ms;", "95", PERCENTILE),
        ("latency p0 500ms;", "p0", PERCENTILE),
        ("latency p100 500ms;", "p100", PERCENTILE),
        ("latency p99.99 500ms;", "p99.99", PERCENTILE),
        ("latency 500ms p95;", "500ms", PERCENTILE),
        ("failure_if failed;", "failed", "one variable, such as '$failed'"),
        ("abandon_rate 5;", "5", "a percentage from 0% to 100%, such as '10%', or 'off'"),
        ("outage maybe;", "maybe", "'on', 'on confirm=10' or 'off'"),
        ("outage on 2;", "2", "'confirm=N', as in 'outage on confirm=10'"),
        ("outage on confirm=0;", "0", "a whole number from 1 to 200 ('outage on confirm=10')"),
        ("latency p95 1s of=body;", "of=body", LATENCY_OF),
        ("latency off header;", "header", LATENCY_OF),
        ("runbook wiki;", "wiki", "a URL of at most 512 bytes, such as 'https://wiki.example.com/runbook'"),
        ("split_by client;", "client", "text with a variable that tells clients apart, such as '$remote_addr'"),
        ("probe healthz;", "healthz", "a path, such as '/healthz', or 'off'"),
        ("probe / status=399-200;", "status=399-200", "a status or two, as in 'status=200-399'"),
        ("rollout 25% 5%;", "5%", STEPS),
        ("rollout 0.5%;", "0.5%", STEPS),
        ("rollout 5% every=0s;", "every=0s", "a time of at least 1s, as in 'every=60s'"),
        ("compare errors risk=6%;", "risk=6%", "a risk from 0.001% to 5%, as in 'risk=0.1%'"),
        ("rollback maybe;", "maybe", "'off', 'dry_run' or 'on'"),
        ("latency p95 0;", "0", LATENCY),
        ("latency p95 -1s;", "-1s", LATENCY),
        ("latency p95 0.5s;", "0.5s", LATENCY),
        ("latency p95 1001s;", "1001s", LATENCY),
        ("failover maybe;", "maybe", "'on', 'on confirm=2' or 'off'"),
        ("failover confirm=2;", "confirm=2", "'on', 'on confirm=2' or 'off'"),
        ("failover on 2;", "2", "'confirm=N', as in 'failover on confirm=2'"),
        ("failover on confirm=;", "", CONFIRM),
        ("failover on confirm=0;", "0", CONFIRM),
        ("failover on confirm=-1;", "-1", CONFIRM),
        ("failover on confirm=201;", "201", CONFIRM),
        ("cooldown soon;", "soon", COOLDOWN),
        ("cooldown -1s;", "-1s", COOLDOWN),
        ("cooldown 1.5s;", "1.5s", COOLDOWN),
        ("cooldown 11y;", "11y", COOLDOWN),
        ("cooldown 99999999999999999999s;", "99999999999999999999s", COOLDOWN),
        ("maintenance yes;", "yes", MAINTENANCE),
        ("maintenance file=;", "file=", MAINTENANCE),
        ("maintenance file=flag;", "file=flag", MAINTENANCE),
    ],
];
const ZONE: &str = "'zone=NAME[:SIZE]', such as 'zone=alert:1m'";
const FILE: &str = "a file, such as '/var/lib/nginx/alert/state'";
const NAME: &str = "a name of 1 to 47 bytes without control characters";
const WINDOW: &str = "a whole number from 1 to 1000000 ('window N')";
const MAX_AGE: &str = "a time from 1ms to 3650d, as in 'window 200 max_age=10m'";
const ERROR_RATE: &str = "a percentage from 0% to 100%, such as '2%', or 'off'";
const PERCENTILE: &str = "a percentile from p1 to p99.9, as in 'latency p95 500ms'";
const LATENCY: &str = "a time from 1ms to 1000s, as in 'latency p95 500ms'";
const STEPS: &str = "at most 15 percentages that rise within 1% and 99%, as in 'rollout 5% 25% 50%'";
const LATENCY_OF: &str = "'of=header' or 'of=response', as in 'latency p95 500ms of=header'";
const OTHER_LABEL: &str =
    "another label than those that alerts have already: alertname, severity, monitor, kind, instance, __*";
const LINK: &str = "a URL of at most 512 bytes, such as 'https://nginx.example.com/alert'";
const CONFIRM: &str = "a whole number from 1 to 200 ('failover on confirm=2')";
const COOLDOWN: &str = "a time from 0s to 3650d, such as '300s' or '5m'";
const MAINTENANCE: &str = "'on', 'off' or 'file=/path' with an absolute path";

/// Whatever else can be wrong at the http level.
const HTTP: &[(&str, &str)] = &[
    ("alert_zone zone=a:0;\nalert_zone zone=b:1m;", "'alert_zone' directive is duplicate"),
    ("alert_state a;\nalert_state b;", "'alert_state' directive is duplicate"),
    (
        "alert_state DIR; # here\nalert_monitor app { }",
        "'alert_state' cannot be used, 'DIR' is a directory, name a file in it",
    ),
    ("alert_monitor app { }\nalert_state DIR/a/b/c;", "'alert_state' cannot be used, there is no directory 'DIR/a'"),
    ("alert_monitor app { }\nalert_state DIR/empty/c;", "'alert_state' cannot be used, 'DIR/empty' is not a directory"),
    ("alert_monitor;", "directive 'alert_monitor' has no opening '{'"),
    ("alert_monitor app;", "directive 'alert_monitor' has no opening '{'"),
    ("alert_monitor off { }", "a monitor cannot be named 'off', since 'alert off' means none"),
    (
        "alert_monitor app { }\nalert_monitor app { window 10; }",
        "duplicate monitor 'app', put all its rules into one 'alert_monitor'",
    ),
    ("alert_instance a;\nalert_instance b;", "'alert_instance' directive is duplicate"),
    ("alert_link http://a;\nalert_link http://a;", "'alert_link' directive is duplicate"),
    ("alert_label env a;\nalert_label env b;", "duplicate label 'env', write one 'alert_label' with its value"),
    ("alert off;\nalert off;", "'alert' directive is duplicate"),
    (
        "alert app;",
        "unknown monitor 'app' in 'alert' directive, there is no monitor, write 'alert_monitor app { ... }' at the \
         http level",
    ),
    (
        "alert appp; # here\nalert_monitor app { }\nalert_monitor api { }",
        "unknown monitor 'appp' in 'alert' directive, the monitors are: app, api",
    ),
    ("alert app { }", "directive 'alert' is not terminated by ';'"),
];

/// Whatever else can be wrong in a monitor.
const MONITOR: &[(&str, &str)] = &[
    ("pool blue 127.0.0.1:1;\npool blue 127.0.0.1:2;", "duplicate pool 'blue', list all its addresses in one 'pool'"),
    ("pool blue 127.0.0.1:1;\npool green 127.0.0.1:1;", "address '127.0.0.1:1' is already in pool 'blue', {once}"),
    ("pool blue localhost:1;\npool green 127.0.0.1:1;", "address '127.0.0.1:1' is already in pool 'blue', {once}"),
    ("pool blue 127.0.0.1;\npool green 127.0.0.1:80;", "address '127.0.0.1:80' is already in pool 'blue', {once}"),
    ("pool blue [::1]:1 [0:0::1]:1;", "address '[::1]:1' is already in pool 'blue', {once}"),
    ("pool blue not:an:address;", "invalid port in 'not:an:address' of the 'pool' directive, {address}"),
    ("pool blue 127.0.0.1:0;", "invalid port in '127.0.0.1:0' of the 'pool' directive, {address}"),
    ("pool blue 127.0.0.1:65536;", "invalid port in '127.0.0.1:65536' of the 'pool' directive, {address}"),
    ("pool blue :80;", "no host in ':80' of the 'pool' directive, {address}"),
    ("pool blue 'no such host';", "host not found in 'no such host' of the 'pool' directive, {address}"),
    ("pool blue http://127.0.0.1:1;", "invalid host in 'http://127.0.0.1:1' of the 'pool' directive, {address}"),
    ("pool blue [::1;", "invalid host in '[::1' of the 'pool' directive, {address}"),
    (
        "pool_from $no_such; # here\nwindow 10;",
        "unknown variable '$no_such' in 'pool_from' directive, nginx has none of this name",
    ),
    ("failure_if $no_such;", "unknown variable '$no_such' in 'failure_if' directive, nginx has none of this name"),
    ("release_from $1;", "unknown variable '$1' in 'release_from' directive, nginx has none of this name"),
    (
        "active blüe; # here\npool blue 127.0.0.1:1;\npool green 127.0.0.1:2;",
        "unknown pool 'blüe' in 'active' directive, the pools of this monitor are: blue, green",
    ),
    (
        "notify slack http://127.0.0.1:1/ name=ops;\nnotify teams http://127.0.0.1:1/ name=ops;",
        "two sinks have the name 'ops', set a different 'name=' for each in 'notify' directive",
    ),
    ("windwo 10;", "unknown directive 'windwo' in 'alert_monitor', it takes: {all}"),
    ("alert_notify slack http://127.0.0.1:1/;", "unknown directive 'alert_notify' in 'alert_monitor', it takes: {all}"),
    ("window { 10; }", "unexpected '{'"),
    ("window 10;;", "unexpected ';'"),
    ("window '10'0;", "unexpected '0'"),
];

/// What messages say in the same words.
const PHRASES: [(&str, &str); 12] = [
    ("{address}", "expected HOST[:PORT], [IPV6][:PORT] or unix:/path"),
    ("{once}", "an address belongs to one pool"),
    (
        "{all}",
        "pool, pool_from, release_from, failure_if, active, window, error_rate, retry_rate, abandon_rate, outage, \
             latency, failover, cooldown, maintenance, runbook, notify, split_by, probe, rollout, compare, rollback",
    ),
    (
        "{kinds}",
        "slack, webhook, alertmanager, pagerduty, teams, discord, slack_bot, telegram, googlechat, ntfy, email, grafana",
    ),
    ("{parameters}", "'name=', 'timeout=', 'ca=', 'cert=', 'key=', 'kinds=', 'severity=', 'mention='"),
    ("{key}", "32 letters and digits"),
    ("{unset}", "is not set or empty where nginx starts"),
    ("{none}", "No such file or directory"),
    ("{pem}", "there is no PEM certificate ('-----BEGIN CERTIFICATE-----') in it"),
    ("{url}", "a URL such as https://example.com/path is needed"),
    ("{own}", "(proxy_pass, say), give it a location of its own"),
    ("{time}", "it must be a time from 100ms to 60s, such as 10s"),
];

/// What stands behind `alert_notify`, and behind `notify` in a monitor. The messages go on with the directive's name.
const SINKS: &[(&str, &str)] = &[
    ("", "no sink is given, it must be one of {kinds}"),
    ("pigeon https://example.com/SECRET", "unknown sink 'pigeon', it must be one of {kinds}"),
    ("https://example.com/SECRET slack", "unknown sink, it must be one of {kinds}"),
    ("slack", "no target is given, 'slack' needs a URL, or env:VAR or file:/path"),
    ("pagerduty", "no target is given, 'pagerduty' needs its routing key, or env:VAR or file:/path"),
    ("slack ''", "the target is empty"),
    ("slack env:", "the target is empty"),
    ("slack env:WRONG", SCHEME),
    ("slack file:webhook", "the file 'webhook', which gives the target, cannot be used: its path must be absolute"),
    ("slack file:DIR/wrong", SCHEME),
    ("slack SECRET", SCHEME),
    ("slack hooks.slack.com/SECRET", SCHEME),
    ("slack ftp://example.com/SECRET", SCHEME),
    ("slack 0123456789abcdef0123456789abcdef", SCHEME),
    ("slack https://", "the target names no host; {url}"),
    ("slack https:///SECRET", "the target names no host; {url}"),
    ("slack https://user:SECRET@/path", "the target names no host; {url}"),
    ("slack https://user:SECRET@example.com:0/", "the target has a port that is not a number from 1 to 65535; {url}"),
    ("slack 'https://example.com/a SECRET'", CHARACTER),
    ("slack https://exämple.com/SECRET", CHARACTER),
    ("slack https://exa[mple.com/SECRET", "the target is not a valid URL; {url}"),
    (
        "slack https://example.com/SECRET/$token",
        "the target holds a variable, and none is replaced here; write env:VAR, file:/path, or %24 for '$'",
    ),
    ("pagerduty https://a.b/SECRET", "the target must be a routing key of {key}, this has 24 characters"),
    ("pagerduty SECRET", "the target must be a routing key of {key}, this has 12 characters"),
    (
        "pagerduty 0123456789abcdef0123456789abcdef url=ftp://SECRET",
        "the value of 'url=' must begin with 'http://' or 'https://'; {url}",
    ),
    ("slack https://example.com/SECRET SECRET", "unknown parameter, it must be one of {parameters}"),
    ("slack https://example.com/ https://a.b/SECRET", "unknown parameter, it must be one of {parameters}"),
    ("slack https://example.com/ nmae=ops", "unknown parameter 'nmae', it must be one of {parameters}"),
    ("slack https://example.com/ name=a name=b", "'name=' is given twice"),
    ("slack https://example.com/ name=", SINK_NAME),
    ("slack https://example.com/ name=öps", SINK_NAME),
    ("slack https://example.com/ timeout=", "invalid value '' of 'timeout=', {time}"),
    ("slack https://example.com/ timeout=0", "invalid value '0' of 'timeout=', {time}"),
    ("slack https://example.com/ timeout=-1s", "invalid value '-1s' of 'timeout=', {time}"),
    ("slack https://example.com/ timeout=1.5s", "invalid value '1.5s' of 'timeout=', {time}"),
    ("slack https://example.com/ timeout=61s", "invalid value '61s' of 'timeout=', {time}"),
    ("slack https://example.com/ timeout=99999999999999999999s", "invalid value of 'timeout=', {time}"),
    ("slack https://example.com/ secret=SECRET", "'secret=' is for 'webhook' only, 'slack' does not take it"),
    (
        "slack https://example.com/ url=https://SECRET",
        "'url=' is for 'pagerduty', 'slack_bot' and 'telegram' only, 'slack' does not take it",
    ),
    ("webhook https://example.com/ secret=", "the value of 'secret=' is empty"),
    ("webhook https://example.com/ secret=SECRET secret=SECRET", "'secret=' is given twice"),
    ("slack https://example.com/ ca=/does/not/exist", "the file '/does/not/exist' of 'ca=' cannot be used: {none}"),
    ("slack https://example.com/ ca=a.pem", "the file 'a.pem' of 'ca=' cannot be used: its path must be absolute"),
    ("slack https://example.com/ ca=DIR/pipe", "the file 'DIR/pipe' of 'ca=' cannot be used: it is not a regular file"),
    (
        "slack https://example.com/ ca=/dev/zero",
        "the file '/dev/zero' of 'ca=' cannot be used: it is not a regular file",
    ),
    (
        "slack https://example.com/ ca=DIR/huge",
        "the file 'DIR/huge' of 'ca=' cannot be used: it is larger than 1024 KiB",
    ),
    ("slack https://example.com/ ca=DIR/empty", "the file 'DIR/empty' of 'ca=' cannot be used: {pem}"),
    (
        "slack https://example.com/ ca=DIR/pem",
        "the file 'DIR/pem' of 'ca=' cannot be used: certificate 1 in it cannot be read",
    ),
];
/// Values that are missing where the configuration is read, which is no mistake in it.
const MISSING: &[(&str, &str)] = &[
    ("slack env:UNSET_HERE", "the environment variable 'UNSET_HERE', which gives the target, {unset}"),
    ("slack env:EMPTY", "the environment variable 'EMPTY', which gives the target, {unset}"),
    ("slack file:/does/not/exist", "the file '/does/not/exist', which gives the target, cannot be used: {none}"),
    ("slack file:DIR", "the file 'DIR', which gives the target, cannot be used: it is not a regular file"),
    ("slack file:DIR/pipe", "the file 'DIR/pipe', which gives the target, cannot be used: it is not a regular file"),
    ("slack file:/dev/zero", "the file '/dev/zero', which gives the target, cannot be used: it is not a regular file"),
    ("slack file:DIR/huge", "the file 'DIR/huge', which gives the target, cannot be used: it is larger than 1024 KiB"),
    (
        "webhook https://example.com/ body=file:DIR/pipe",
        "the file 'DIR/pipe', which gives the value of 'body=', cannot be used: it is not a regular file",
    ),
    ("slack file:DIR/empty", "the file 'DIR/empty', which gives the target, cannot be used: it is empty"),
    ("slack file:DIR/bytes", "the file 'DIR/bytes', which gives the target, cannot be used: it is not UTF-8"),
    (
        "webhook https://example.com/ secret=env:UNSET_HERE",
        "the environment variable 'UNSET_HERE', which gives the value of 'secret=', {unset}",
    ),
];
const SCHEME: &str = "the target must begin with 'http://' or 'https://'; {url}";
const CHARACTER: &str = "the target holds a space or another character that must be percent-encoded; {url}";
const SINK_NAME: &str = "invalid value of 'name=', it must be 1 to 48 letters, digits, '_', '-' or '.'";

/// Directives of one location, which is `/alert`.
const LOCATION: &[(&str, &str)] = &[
    ("alert_status on;", "invalid number of arguments in 'alert_status' directive, write 'alert_status;'"),
    ("alert_control on;", "invalid number of arguments in 'alert_control' directive, write 'alert_control;'"),
    ("alert_status;\nalert_status;", "'alert_status' directive is duplicate"),
    ("alert_control;\nalert_control;", "'alert_control' directive is duplicate"),
    ("alert_status;\nalert_control;", "'alert_control' shares its location with another handler {own}"),
    ("alert_control;\nalert_status;", "'alert_status' shares its location with another handler {own}"),
];

/// Directives that take a location as ours do.
const HANDLERS: [&str; 7] = [
    "proxy_pass http://app;",
    "proxy_pass http://$host;",
    "fastcgi_pass app;",
    "grpc_pass app;",
    "uwsgi_pass app;",
    "scgi_pass app;",
    "stub_status;",
];

/// The directives that can stand in a monitor once.
const ONCE: [&str; 14] = [
    "failure_if $upstream_addr;",
    "abandon_rate off;",
    "outage off;",
    "runbook https://example.com/;",
    "pool_from $upstream_addr;",
    "release_from $upstream_addr;",
    "active blue;",
    "window 10;",
    "error_rate 1%;",
    "retry_rate off;",
    "latency off;",
    "failover off;",
    "cooldown 1s;",
    "maintenance off;",
];

/// Each directive of the module, and the contexts that it is for.
const PLACES: [(&str, &[&str]); 10] = [
    ("alert_instance web-7;", &["http"]),
    ("alert_label env prod;", &["http"]),
    ("alert_link https://example.com/alert;", &["http"]),
    ("alert_zone zone=alert:1m;", &["http"]),
    ("alert_notify slack http://127.0.0.1:1/;", &["http"]),
    ("alert_state DIR/state;", &["http"]),
    ("alert_monitor other { }", &["http"]),
    ("alert app;", &["http", "server", "location", "if in location"]),
    ("alert_status;", &["location"]),
    ("alert_control;", &["location"]),
];

/// Files that `DIR` stands for.
struct Files(TempDir);

impl Files {
    fn new() -> Files {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in [
            ("empty", &b"\n"[..]),
            ("bytes", b"\xff\xfe"),
            ("wrong", format!("no-url-{SECRET}").as_bytes()),
            ("pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ] {
            fs::write(directory.path().join(name), content).unwrap();
        }
        // Nobody writes to the other end of it.
        let pipe = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, directory.path().join("pipe"), pipe, rustix::fs::Mode::RWXU, 0).unwrap();
        fs::File::create(directory.path().join("huge")).and_then(|file| file.set_len(4 << 30)).unwrap();
        Files(directory)
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.0.path().join(name), content).unwrap();
    }

    /// What stands for something else, replaced.
    fn fill(&self, text: &str) -> String {
        text.replace("SECRET", SECRET).replace("DIR", &self.0.path().display().to_string())
    }

    /// Checks that nginx refuses this with exactly this sentence and the place of the mark.
    #[track_caller]
    fn refused(&self, http: &str, message: &str) {
        self.config_refused(Config::new(&self.fill(http)), message);
    }

    #[track_caller]
    fn config_refused(&self, config: Config, message: &str) {
        let config = self.with_env(config);
        let check = Check::run(&config);
        assert!(!check.good, "accepted: {config:?}");
        self.assert_said(&check, "emerg", message);
    }

    /// Checks that nginx does not start without a value that is missing, and that a test of the configuration warns of
    /// it: the nginx that runs may have what the shell of who tests lacks.
    #[track_caller]
    fn missing(&self, http: &str, message: &str) {
        let config = self.with_env(Config::new(&self.fill(http)));
        let check = Check::run(&config);
        assert!(check.good, "refused: {}", check.output);
        self.assert_said(&check, "warn", message);
        let check = Check::of_start(&config);
        assert!(!check.good, "it starts: {config:?}");
        self.assert_said(&check, "emerg", message);
    }

    fn with_env(&self, config: Config) -> Config {
        Config { env: vec![("EMPTY".into(), String::new()), ("WRONG".into(), format!("no-url-{SECRET}"))], ..config }
    }

    #[track_caller]
    fn assert_said(&self, check: &Check, level: &str, message: &str) {
        let Check { output, .. } = check;
        assert!(!output.contains(SECRET), "the secret is in {output}");
        let said = output.lines().find_map(|line| line.strip_prefix(&format!("nginx: [{level}] ")));
        let (said, place) = said.and_then(|said| said.rsplit_once(" in ")).unwrap_or_default();
        let message = PHRASES.iter().fold(message.to_owned(), |text, (short, long)| text.replace(short, long));
        assert_eq!(said, self.fill(&message.replace('\'', "\"")), "of {output}");
        let expected = check.place_of(HERE);
        assert!(place.ends_with(&format!("/{expected}")), "{place:?} is not {expected} of {output}");
    }
}

/// The mark where the mistake is, unless there is one.
fn marked(written: &str) -> String {
    if written.contains(HERE) { written.into() } else { format!("{written} {HERE}") }
}

/// What stands at the http level, in a monitor, in a location.
fn in_http(directives: &str) -> String {
    marked(directives)
}

fn in_monitor(directives: &str) -> String {
    format!("alert_monitor app {{\n{}\n}}\nserver {{ listen 127.0.0.1:1; alert app; }}", marked(directives))
}

fn in_location(directives: &str) -> String {
    format!("{UPSTREAM}\nserver {{\nlisten 127.0.0.1:1;\nlocation /alert {{\n{}\n}}\n}}", marked(directives))
}

/// The name of the directive that begins like this.
fn name_of(directive: &str) -> &str {
    directive.split([' ', ';']).next().unwrap_or_default()
}

#[test]
fn a_wrong_number_of_words_says_how_the_directive_is_written() {
    let files = Files::new();
    for (rows, around) in COUNTS.into_iter().zip([in_http, in_monitor]) {
        for (written, usage) in rows {
            let message = format!("invalid number of arguments in '{}' directive, write '{usage}'", name_of(usage));
            files.refused(&around(written), &message);
        }
    }
}

#[test]
fn a_wrong_value_is_named_with_what_is_expected() {
    let files = Files::new();
    for (rows, around) in VALUES.into_iter().zip([in_http, in_monitor]) {
        for (written, value, expected) in rows {
            let message = format!("invalid value '{value}' in '{}' directive, expected {expected}", name_of(written));
            files.refused(&around(written), &message);
        }
    }
}

#[test]
fn directives_that_contradict_each_other_are_named_with_what_would_be_right() {
    let files = Files::new();
    HTTP.iter().for_each(|(written, message)| files.refused(&in_http(written), message));
    MONITOR.iter().for_each(|(written, message)| files.refused(&in_monitor(written), message));
}

#[test]
fn mistakes_in_a_sink_are_named_without_a_secret() {
    let files = Files::new();
    for (at, (words, message)) in SINKS.iter().enumerate() {
        // A monitor reads the same words by the same code: a few of them do.
        let (name, around): (_, fn(&str) -> String) =
            if at % 8 == 0 { ("notify", in_monitor) } else { ("alert_notify", in_http) };
        files.refused(&around(&format!("{name} {words};")), &format!("{message} in '{name}' directive"));
    }
}

#[test]
fn a_value_that_is_missing_keeps_nginx_from_starting_and_is_a_warning_of_its_test() {
    let files = Files::new();
    for (at, (words, message)) in MISSING.iter().enumerate() {
        let (name, around): (_, fn(&str) -> String) =
            if at % 3 == 0 { ("notify", in_monitor) } else { ("alert_notify", in_http) };
        files.missing(&around(&format!("{name} {words};")), &format!("{message} in '{name}' directive"));
    }
    let message = "the environment variable 'UNSET_HERE' of the 'alert_instance' directive {unset}";
    files.missing(&in_http("alert_instance env:UNSET_HERE;"), message);
}

#[test]
fn a_directive_that_stands_once_is_refused_where_it_stands_again() {
    let files = Files::new();
    for directive in ONCE {
        let message = format!("'{}' directive is duplicate", name_of(directive));
        files.refused(&in_monitor(&format!("{directive}\n{directive}")), &message);
    }
}

#[test]
fn a_location_has_one_handler_in_whatever_order() {
    let files = Files::new();
    LOCATION.iter().for_each(|(written, message)| files.refused(&in_location(written), message));
    for (ours, other) in ["alert_status", "alert_control"].iter().flat_map(|ours| HANDLERS.map(|other| (ours, other))) {
        for written in [format!("{ours}; {HERE}\n{other}"), format!("{other}\n{ours};")] {
            let message = format!("'{ours}' shares its location with another handler {{own}}");
            files.refused(&in_location(&written), &message);
        }
    }
}

#[test]
fn a_directive_in_a_wrong_context_is_not_allowed_there() {
    let files = Files::new();
    for (directive, contexts) in PLACES {
        let message = format!("'{}' directive is not allowed here", name_of(directive));
        let written = marked(directive);
        for (context, http) in [
            ("http", written.clone()),
            ("server", format!("server {{ listen 127.0.0.1:1;\n{written}\n}}")),
            ("location", format!("server {{ listen 127.0.0.1:1; location /alert {{\n{written}\n}} }}")),
            ("if", format!("server {{ listen 127.0.0.1:1; if ($uri) {{\n{written}\n}} }}")),
            ("if in location", format!("server {{ location / {{ if ($uri) {{\n{written}\n}} }} }}")),
            ("limit_except", format!("server {{ location / {{ limit_except GET {{\n{written}\n}} }} }}")),
            ("upstream", format!("upstream other {{ server 127.0.0.1:1;\n{written}\n}}")),
        ] {
            let http = format!("alert_monitor app {{ }}\n{http}");
            if contexts.contains(&context) {
                let check = Check::run(&Config::new(&files.fill(&http)));
                assert!(check.good, "{directive} in {context}: {}", check.output);
            } else {
                files.refused(&http, &message);
            }
        }
        let main = format!("{}\n", files.fill(&written));
        files.config_refused(Config { main, http: None, ..Config::new("") }, &message);
    }
}

#[test]
fn a_block_that_is_not_closed_is_an_error_at_the_end() {
    for (http, message) in [
        ("alert_monitor app {\nwindow 10;", "unexpected end of file, expecting \"}\""),
        ("alert_monitor app {\nwindow 10", "unexpected \"}\""),
        ("alert_monitor app {\nwindow \"10;\n}", "unexpected end of file, expecting \";\" or \"}\""),
    ] {
        let check = Check::run(&Config::new(http));
        assert!(!check.good && check.output.contains(&format!("[emerg] {message} in ")), "{http}: {}", check.output);
    }
}

#[test]
fn a_mistake_in_an_included_file_is_named_with_that_file() {
    let files = Files::new();
    for (content, message) in [
        (&b"window 10;\n\ncolour red;\n"[..], "[emerg] unknown directive \"colour\" in \"alert_monitor\", it takes: "),
        (b"window 10;\n\nactive bl\xfce;\n", "[emerg] \"bl\u{fffd}e\" is not valid UTF-8 in "),
    ] {
        files.write("rules", content);
        let check = Check::run(&Config::new(&files.fill(&in_monitor("include DIR/rules;"))));
        let line = check.output.lines().find(|line| line.contains(message)).unwrap_or_default();
        assert!(!check.good && line.ends_with(&files.fill(" in DIR/rules:3")), "{}", check.output);
    }
}

#[test]
fn a_zone_that_is_too_small_says_how_much_is_needed_and_that_is_enough() {
    let monitor = in_monitor("window 100000;");
    for (zone, size) in [("alert_zone zone=a:64k; # here\n", "64k"), ("alert_zone zone=a:0; # here\n", "0k")] {
        let check = Check::run(&Config::new(&format!("{zone}{monitor}")));
        let expected = format!(
            "[emerg] alert_zone \"a\" of {size} is too small for these monitors and their windows, write \"zone=a:"
        );
        let needed = check.output.split_once(&expected).and_then(|(_, rest)| rest.split_once('"'));
        let (needed, rest) = needed.unwrap_or_else(|| panic!("{expected:?} is missing in {}", check.output));
        assert!(rest.lines().next().unwrap_or_default().ends_with(&check.place_of(HERE)), "{rest}");
        // One word of 8 bytes for each request, and not much more.
        let kilobytes: usize = needed.trim_end_matches('k').parse().unwrap();
        assert!((800_000 / 1024..1300).contains(&kilobytes), "{needed}");
        let check = Check::run(&Config::new(&format!("alert_zone zone=a:{needed};\n{monitor}")));
        assert!(check.good, "{}", check.output);
        let smaller = format!("alert_zone zone=a:{}k;\n{monitor}", kilobytes - 8);
        assert!(!Check::run(&Config::new(&smaller)).good, "{needed} is more than is needed");
    }
    // Without a size there is always enough.
    for zone in ["", "alert_zone zone=alert;"] {
        let check = Check::run(&Config::new(&format!("{zone}\n{}", in_monitor("window 1000000;"))));
        assert!(check.good, "{}", check.output);
    }
}

#[test]
fn a_zone_of_another_module_is_no_place_for_alerts() {
    let zone = "limit_req_zone $uri zone=shared:1m rate=1r/s;";
    let check = Check::run(&Config::new(&format!("alert_zone zone=shared:1m; {HERE}\n{zone}")));
    let expected =
        "[emerg] there is no zone \"shared\" for alerts, write \"alert_zone zone=NAME:SIZE;\" with another name in ";
    let said = check.output.lines().find(|line| line.contains(expected)).unwrap_or_default();
    assert!(!check.good && said.ends_with(&check.place_of(HERE)), "{}", check.output);
}

#[test]
fn what_a_board_cannot_hold_is_refused_where_it_is_too_much() {
    let files = Files::new();
    let many = |count, line: fn(usize) -> String| (1..=count).map(line).collect::<Vec<_>>().join("\n");
    let sinks = many(17, |at| format!("alert_notify slack http://127.0.0.1:1/{at};"));
    files.refused(&in_http(&sinks), "too many sinks, at most 16 fit in 'alert_notify' directive");
    let monitors = many(257, |at| format!("alert_monitor m{at} {{ }}"));
    files.refused(&in_http(&monitors), "too many monitors, at most 256 fit");
    let pools = many(32, |at| format!("pool p{at} 127.0.0.1:{at};"));
    files.refused(&in_monitor(&pools), "too many pools, a monitor can tell 31 apart");
}

#[test]
fn a_proxy_that_is_none_is_named_by_its_variable() {
    let mut config = Config::new("alert_notify slack https://127.0.0.1:1/;");
    config.env = vec![("HTTPS_PROXY".into(), format!("gopher://me:{SECRET}@proxy"))];
    let check = Check::run(&config);
    let expected = "[emerg] the environment variable \"HTTPS_PROXY\" must be the URL of a proxy, such as \
                    http://proxy.example:3128 in \"alert_notify\" directive in ";
    assert!(!check.good && check.output.contains(expected) && !check.output.contains(SECRET), "{}", check.output);
}

#[test]
fn a_module_built_for_another_nginx_is_refused_by_nginx() {
    let variable = |name| {
        env::var(name).unwrap_or_else(|_| panic!("run `make test`, or set {name} for an nginx of another version"))
    };
    let (other, module) = (variable("TEST_OTHER_NGINX"), variable("TEST_OTHER_NGINX_MODULE"));
    let version = |binary: &Path| Command::new(binary).arg("-v").output().expect("nginx can be started").stderr;
    let same = version(&nginx::binary()) == version(Path::new(&other));
    let check = Check::run(&Config { main: format!("load_module {module};\n"), with_module: false, ..Config::new("") });
    assert_eq!(check.good, same, "{}", check.output);
    let said = format!("[emerg] module \"{module}\" version ");
    assert!(same || (check.output.contains(&said) && check.output.contains(" instead of ")), "{}", check.output);
}
