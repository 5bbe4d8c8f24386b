//! nginx with the module answers every client, asks every upstream and writes every log line as it does without.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tests::http::{Reply, Request};
use tests::nginx::{Config, Nginx};
use tests::server::{Answer, Server, lock};
use tests::sink::Sink;
use tests::{address, wait};

const LIMIT: Duration = Duration::from_secs(5);

/// What a client does. Unless it leaves, it reads until nginx closes the connection.
#[derive(Debug)]
enum Client {
    /// A `GET` of this.
    Get(&'static str),
    /// A request with this method, target and headers.
    Asks(&'static str, &'static str, &'static str),
    /// One `GET` after the other, all sent at once.
    Pipelines(&'static [&'static str]),
    /// These bytes, which need not be HTTP.
    Sends(&'static str),
    /// The same in pieces, each a moment after the other.
    Dribbles(&'static [&'static str]),
    /// Sends this and goes away without an answer.
    Leaves(&'static str),
}

use Client::{Asks, Dribbles, Get, Leaves, Pipelines, Sends};

/// What the clients do, one after the other.
const CLIENTS: &[Client] = &[
    // Methods and bodies.
    Get("/"),
    Asks("HEAD", "/", ""),
    Asks("OPTIONS", "/", ""),
    Asks("DELETE", "/x?y=z", ""),
    Asks("BREW", "/pot", ""),
    Asks("TRACE", "/", ""),
    Sends("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"),
    Sends("PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nput\r\n0\r\n\r\n"),
    Dribbles(&[
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n",
        "hello",
        "world",
    ]),
    // Versions, and what is no request.
    Sends("GET / HTTP/1.0\r\n\r\n"),
    Sends("GET /\r\n"),
    Sends("GET / HTTP/1.1\r\nConnection: close\r\n\r\n"),
    Sends("GET / HTTP/3.7\r\nHost: a\r\n\r\n"),
    Sends("NOT HTTP\r\n\r\n"),
    Asks("GET", "/", "Host: b\r\n"),
    Get("/%zz"),
    Get("/../../etc/passwd"),
    Sends("PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    // Connections.
    Pipelines(&["/1", "/2", "/3"]),
    Pipelines(&["/nothing", "/500", "/"]),
    Dribbles(&["GET / HT", "TP/1.1\r\nHost", ": a\r\nConnection: close\r\n", "\r\n"]),
    Leaves("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n"),
    Leaves("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\npart"),
    // Upstreams: answers of all kinds, retries, none alive.
    Get("/404"),
    Get("/204"),
    Get("/304"),
    Get("/302"),
    Get("/500"),
    Get("/flaky"),
    Sends("POST /flaky HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"),
    Get("/chunked"),
    Sends("GET /chunked HTTP/1.0\r\n\r\n"),
    Get("/cut"),
    Get("/garbage"),
    Get("/close"),
    Get("/refused"),
    Get("/refused"),
    Get("/odd-headers"),
    // Files.
    Get("/file/page.html"),
    Asks("GET", "/file/page.html", "Range: bytes=0-3\r\n"),
    Asks("GET", "/file/page.html", "Range: bytes=0-1,4-5\r\n"),
    Asks("GET", "/file/page.html", "Range: bytes=999-\r\n"),
    Asks("GET", "/file/page.html", "If-Modified-Since: Tue, 14 Nov 2023 22:13:20 GMT\r\n"),
    Asks("GET", "/file/page.html", "Accept-Encoding: gzip\r\n"),
    Get("/file"),
    Get("/file/"),
    Get("/file/none"),
    // Redirects within nginx.
    Get("/shown/500"),
    Get("/named/500"),
    Get("/changed/500"),
    Get("/rewritten/404"),
    Get("/tried/chunked"),
    Get("/internal"),
    Get("/accel"),
    Get("/accel-upstream"),
    Get("/loop"),
    // Subrequests.
    Get("/ssi/parts.html"),
    Get("/guarded/yes"),
    Asks("GET", "/guarded/no", "Cookie: no=1\r\n"),
    Get("/mirrored"),
    Get("/sliced"),
    // What nginx answers itself.
    Get("/teapot"),
    Get("/silent"),
    Get("/denied"),
    Asks("POST", "/small", "Content-Length: 100\r\n"),
    Pipelines(&["/limited", "/limited"]),
    // A miss, then hits.
    Pipelines(&["/cached", "/cached"]),
    Asks("HEAD", "/cached", "Range: bytes=1-2\r\n"),
];

impl Client {
    /// Lines of the access log that come of it.
    fn requests(&self) -> usize {
        if let Pipelines(targets) = self { targets.len() } else { 1 }
    }

    /// What it sends, in pieces.
    fn text(&self) -> Vec<String> {
        let request = |method: &str, target: &str, headers: &str| {
            format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{headers}\r\n")
        };
        const LAST: &str = "Connection: close\r\n";
        match self {
            Get(target) => vec![request("GET", target, LAST)],
            Asks(method, target, headers) => vec![request(method, target, &format!("{headers}{LAST}"))],
            Pipelines(targets) => {
                let headers = |at: usize| if at + 1 == targets.len() { LAST } else { "" };
                let requests = targets.iter().enumerate().map(|(at, target)| request("GET", target, headers(at)));
                vec![requests.collect()]
            }
            Sends(text) | Leaves(text) => vec![(*text).into()],
            Dribbles(parts) => parts.iter().map(|part| (*part).into()).collect(),
        }
    }

    /// Does it, and returns what nginx answered, without the time.
    fn talk(&self, listen: SocketAddr, upstreams: &Upstreams) -> String {
        let mut stream = TcpStream::connect(listen).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        for (at, part) in self.text().iter().enumerate() {
            if at > 0 {
                // Nothing shows from outside that nginx has read the part before.
                thread::sleep(Duration::from_millis(20));
            }
            stream.write_all(part.as_bytes()).unwrap();
        }
        if let Leaves(text) = self {
            if text.starts_with("GET") {
                wait::until("the request at the upstream", LIMIT, || !lock(&upstreams.asked).is_empty());
            }
            stream.shutdown(Shutdown::Both).unwrap();
            return String::new();
        }
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let text = String::from_utf8_lossy(&answer);
        text.split_inclusive('\n').filter(|line| !line.starts_with("Date: ")).collect()
    }
}

const CONFIGURATION: &str = r#"
    log_format all escape=json '{"peer":"$remote_addr","request":"$request","status":"$status","sent":"$bytes_sent",'
        '"body":"$body_bytes_sent","length":"$request_length","done":"$request_completion","pipe":"$pipe",'
        '"requests":"$connection_requests","uri":"$uri","args":"$args","protocol":"$server_protocol","host":"$host",'
        '"upstream":"$upstream_addr","upstream_status":"$upstream_status","upstream_bytes":"$upstream_bytes_received",'
        '"upstream_sent":"$upstream_bytes_sent","cache":"$upstream_cache_status","pool":"$upstream_http_x_app_pool",'
        '"type":"$sent_http_content_type","location":"$sent_http_location",'
        '"range":"$sent_http_content_range","gzip":"$gzip_ratio","body_in":"$request_body"}';
    types { text/html html; }
    default_type text/plain;
    gzip on; gzip_min_length 1; gzip_types text/plain;
    proxy_cache_path cache keys_zone=answers:1m;
    limit_req_zone $server_port zone=limited:64k rate=1r/m;
    upstream app { server {blue} max_fails=0; server {green} backup max_fails=0; }
    upstream gone { server {refused} fail_timeout=1h; server {refused} backup fail_timeout=1h; }
    proxy_read_timeout 2s;
    proxy_next_upstream error timeout invalid_header http_500 non_idempotent;
    server {
        listen {listen};
        access_log access.log all;
        lingering_timeout 100ms;
        location / { proxy_pass http://app; }
        location /refused { proxy_pass http://gone; }
        location /file { alias files; }
        location /shown/ { proxy_pass http://app/; proxy_intercept_errors on; error_page 500 /file/page.html; }
        location /named/ { proxy_pass http://app/; proxy_intercept_errors on; error_page 500 = @other; }
        location /changed/ { proxy_pass http://app/; proxy_intercept_errors on; error_page 500 =200 /404; }
        location @other { proxy_pass http://{green}; }
        location /rewritten/ { rewrite ^/rewritten(.*)$ $1 last; }
        location /tried/ { root files; try_files $uri /file/none /chunked; }
        location /internal { internal; return 200 secret; }
        location /loop { rewrite ^ /loop last; }
        location /ssi/ { ssi on; alias files/; }
        location /guarded/ { auth_request /check; proxy_pass http://app; }
        location /check { internal; proxy_pass http://app/check; proxy_pass_request_body off; }
        location /mirrored { mirror /copy; proxy_pass http://app; }
        location /copy { internal; proxy_pass http://{green}/copy; }
        location /sliced { slice 4; proxy_set_header Range $slice_range; proxy_pass http://app; }
        location /teapot { return 418 "short and stout"; }
        location /silent { return 444; }
        location /denied { deny all; }
        location /small { client_max_body_size 10; proxy_pass http://app; }
        location /limited { limit_req zone=limited; proxy_pass http://app; }
        location /cached { proxy_cache answers; proxy_cache_valid 1h; proxy_pass http://app; }
    }"#;

/// The upstreams: what they answer depends on nothing but the request, and they remember what they were asked.
struct Upstreams {
    blue: Server,
    green: Server,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Upstreams {
    fn start() -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let server = |pool: &'static str| {
            let asked = asked.clone();
            Server::start(move |request| {
                let Request { method, target, headers, body } = &request;
                let body = String::from_utf8_lossy(body);
                lock(&asked).push(format!("{pool}: {method} {target} {headers:?} {body}"));
                answer(pool, &request)
            })
        };
        Self { blue: server("blue"), green: server("green"), asked }
    }
}

fn answer(pool: &'static str, request: &Request) -> Answer {
    let reply = |status, body: &str| Reply::new(status, body).header("X-App-Pool", pool).header("X-Release-Id", "v1");
    let refused = request.headers.iter().any(|(name, _)| name == "Cookie");
    match request.target.as_str() {
        "/check" if refused => Answer::Reply(reply(403, "no")),
        "/404" => Answer::Reply(reply(404, "not found")),
        "/204" => Answer::Raw(b"HTTP/1.1 204 No Content\r\nX-App-Pool: blue\r\n\r\n"),
        "/304" => Answer::Raw(b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"),
        "/302" => Answer::Reply(reply(302, "").header("Location", "/elsewhere")),
        "/500" => Answer::Reply(reply(500, "broken")),
        "/flaky" if pool == "blue" => Answer::Reply(reply(500, "broken")),
        "/chunked" => {
            Answer::Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        }
        "/cut" => Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot all of it"),
        "/garbage" => Answer::Raw(b"\x00\x01 what is this\r\n\r\n"),
        "/close" => Answer::Close,
        "/hang" => Answer::Hang,
        "/odd-headers" => Answer::Raw(
            b"HTTP/1.1 200 OK\r\nx-app-pool:\r\nX-App-Pool: a\x80b\r\nX_App_Pool: c\r\nX-Release-Id: v1\r\n\
              Set-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n",
        ),
        "/accel" => Answer::Reply(reply(200, "").header("X-Accel-Redirect", "/file/page.html")),
        "/accel-upstream" => Answer::Reply(reply(500, "").header("X-Accel-Redirect", "/chunked")),
        "/sliced" => {
            let range = request.headers.iter().find(|(name, _)| name == "Range").map_or("", |(_, value)| value);
            let (range, body) = if range == "bytes=0-3" { ("bytes 0-3/6", "abcd") } else { ("bytes 4-5/6", "ef") };
            Answer::Reply(reply(206, body).header("Content-Range", range).header("ETag", "\"x\""))
        }
        target => Answer::Reply(reply(200, &format!("{pool} has {target}"))),
    }
}

/// All that the outside saw of an nginx.
#[derive(Debug, Default)]
struct Seen {
    answers: Vec<String>,
    lines: Vec<String>,
    asked: Vec<Vec<String>>,
}

fn run(with_module: bool, http: &str, listen: SocketAddr, upstreams: &Upstreams) -> Seen {
    let mut nginx = Nginx::start_in(Config { with_module, listen: Some(listen), ..Config::new(http) }, |directory| {
        let files = directory.join("files");
        fs::create_dir(&files).unwrap();
        fs::write(files.join("page.html"), "0123456789").unwrap();
        let parts = "<!--#include virtual=\"/one\" --> and <!--#include virtual=\"/500\" -->";
        fs::write(files.join("parts.html"), parts).unwrap();
        // The time of a file is in the answer.
        for name in ["page.html", "parts.html"] {
            let file = fs::File::options().write(true).open(files.join(name)).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000)).unwrap();
        }
    });
    let log = nginx.directory().join("access.log");
    let text = || String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned();
    let lines = || -> Vec<String> { text().lines().map(str::to_owned).collect() };
    let mut seen = Seen::default();
    let mut expected = 0;
    for client in CLIENTS {
        seen.answers.push(client.talk(listen, upstreams));
        expected += client.requests();
        wait::until(&format!("what the log says of {client:?}"), LIMIT, || lines().len() >= expected);
        // Subrequests are under way at the same time, and reach their upstreams in any order.
        let mut asked = std::mem::take(&mut *lock(&upstreams.asked));
        asked.sort();
        seen.asked.push(asked);
    }
    nginx.expect_in_log("rewrite or internal redirection cycle");
    seen.lines = lines();
    seen
}

#[test]
fn nginx_does_the_same_with_the_module_as_without() {
    let (upstreams, sink, listen) = (Upstreams::start(), Sink::start(), address::free());
    let http = CONFIGURATION
        .replace("{blue}", &upstreams.blue.address().to_string())
        .replace("{green}", &upstreams.green.address().to_string())
        .replace("{refused}", &address::free().to_string())
        .replace("{listen}", &listen.to_string());
    let plain = run(false, &http, listen, &upstreams);
    let watched = format!(
        "alert_notify slack {};
         alert_monitor app {{ pool blue {}; window 20; latency p95 1ms; cooldown 0s; }}
         alert app;
         server {{ listen {}; location /alert {{ alert_status; }} location /control {{ alert_control; }} }}
         {http}",
        sink.url(),
        upstreams.blue.address(),
        address::free()
    );
    let watched = run(true, &watched, listen, &upstreams);
    for (at, client) in CLIENTS.iter().enumerate() {
        assert_eq!(plain.answers[at], watched.answers[at], "{client:?}");
        assert_eq!(plain.asked[at], watched.asked[at], "{client:?}");
    }
    assert_eq!(plain.lines, watched.lines);
    // It was not asleep meanwhile.
    assert!(sink.headlines().iter().any(|line| line.contains("High upstream 5xx rate")), "{:?}", sink.headlines());
}
