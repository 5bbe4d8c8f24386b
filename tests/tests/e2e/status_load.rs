//! The status under load and without memory: neither holds up a request, and neither ends a worker.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tests::client::Client;
use tests::http::Reply;
use tests::nginx::{Config, Nginx};
use tests::upstream::Upstream;
use tests::{address, wait};

const MONITORS: usize = 100;
const POOLS: usize = 31;
const LIMIT: Duration = Duration::from_secs(10);
const DOCUMENTS: [&str; 4] = ["/alert/metrics", "/alert/status.json", "/alert", "/alert?monitor=app7"];

/// The largest status that there is: a hundred monitors, each with all the pools that it can know.
struct Crowd {
    nginx: Nginx,
    client: Client,
    _upstream: Upstream,
}

impl Crowd {
    fn start() -> Crowd {
        let (upstream, listen) = (Upstream::start("blue", "v1"), address::free());
        let blue = upstream.address();
        let pools: String = (1..POOLS).map(|at| format!("pool pool-{at:02}-of-many 127.7.0.{at}:80; ")).collect();
        let servers: String = (1..POOLS).map(|at| format!("server 127.7.0.{at}:80 backup; ")).collect();
        let monitors: String =
            (0..MONITORS).map(|at| format!("alert_monitor app{at} {{ pool blue {blue}; {pools} }}\n")).collect();
        let http = format!(
            "alert_zone zone=alert:64m; {monitors}
             upstream all {{ server {blue}; {servers} }}
             server {{
                 listen {listen};
                 location / {{ alert app7; proxy_pass http://{blue}; }}
                 location = /plain {{ return 200 ok; }}
                 location /alert {{ alert_status; }}
                 location = /included {{ ssi on; ssi_types *; default_type text/html; alias included.html; }}
             }}"
        );
        let config = Config { listen: Some(listen), ..Config::new(&http) };
        let nginx = Nginx::start_in(config, |directory| {
            std::fs::write(directory.join("included.html"), "[<!--#include virtual=\"/alert/metrics\" -->]").unwrap();
        });
        Crowd { nginx, client: Client::new(listen), _upstream: upstream }
    }

    fn worker(&self) -> u32 {
        self.nginx.workers()[0]
    }
}

fn quantile(times: &mut [Duration], of: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * of) as usize]
}

#[test]
fn readers_of_the_largest_status_hold_up_no_other_request() {
    let crowd = Crowd::start();
    crowd.client.get_many(5, "/");
    let stop = AtomicBool::new(false);
    let (mut times, read) = thread::scope(|scope| {
        let readers: Vec<_> = (0..8)
            .map(|at| {
                let (client, stop) = (&crowd.client, &stop);
                scope.spawn(move || {
                    let mut read = 0;
                    while !stop.load(Relaxed) {
                        let reply = client.get(DOCUMENTS[at % DOCUMENTS.len()]);
                        assert!(reply.status == 200 && reply.body.len() > 10_000, "{}", reply.status);
                        read += 1;
                    }
                    read
                })
            })
            .collect();
        let (begun, mut times) = (Instant::now(), Vec::new());
        while begun.elapsed() < Duration::from_secs(4) {
            let (reply, took) = crowd.client.time("/plain");
            assert_eq!(reply.status, 200);
            times.push(took);
            thread::sleep(Duration::from_millis(2));
        }
        stop.store(true, Relaxed);
        (times, readers.into_iter().map(|reader| reader.join().unwrap()).sum::<usize>())
    });
    let [median, p99, max] = [0.5, 0.99, 1.0].map(|of| quantile(&mut times, of));
    println!("{} requests beside {read} documents: median {median:?}, p99 {p99:?}, max {max:?}", times.len());
    // Far more than it takes, and far less than to render one of these documents for each reader.
    assert!(p99 < Duration::from_millis(60), "median {median:?}, p99 {p99:?}, max {max:?}");
    assert!(read >= 8, "{read} documents");
}

#[test]
fn a_status_for_which_there_is_no_memory_is_a_503_and_the_worker_goes_on() {
    let crowd = Crowd::start();
    // What nginx itself takes for a request it has from then on.
    crowd.client.get_many(20, "/");
    let worker = crowd.worker();
    let limit = |bytes| prlimit(Pid::from_raw(worker as i32), Resource::As, Rlimit { current: bytes, maximum: None });
    let used = || {
        let status = std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
        kib.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    };
    // What was given back after a document can do for the next.
    for (round, allowed) in [&[503][..], &[200, 503]].into_iter().enumerate() {
        for spare in [0, 1 << 16, 1 << 20, 4 << 20] {
            limit(Some(used() + spare)).unwrap();
            for target in DOCUMENTS {
                let reply = crowd.client.get(target);
                assert!(allowed.contains(&reply.status), "{target} in round {round} with {spare}: {}", reply.status);
            }
            assert_eq!(crowd.client.get("/").status, 200);
        }
        limit(None).unwrap();
        for target in DOCUMENTS {
            let reply = crowd.client.get(target);
            assert_eq!((reply.status, reply.get("Content-Type") != Some("text/plain")), (200, true), "{target}");
        }
    }
    assert_eq!(crowd.worker(), worker);
}

#[test]
fn a_status_can_be_included_in_another_page() {
    let crowd = Crowd::start();
    let included = crowd.client.get("/included").text();
    assert!(included.starts_with("[# ") && included.ends_with(']') && included.len() > 10_000, "{included}");
}

#[test]
fn a_client_that_goes_away_before_its_document_is_made_leaves_nothing_behind() {
    let crowd = Crowd::start();
    let before = tests::process::footprint(crowd.worker()).descriptors;
    for at in 0..50 {
        let mut connection = crowd.client.connect().unwrap();
        connection.write(&tests::http::Request::new("GET", DOCUMENTS[at % DOCUMENTS.len()])).unwrap();
    }
    let Reply { status, .. } = crowd.client.get("/alert/metrics");
    assert_eq!(status, 200);
    wait::until("the end of all connections", LIMIT, || {
        tests::process::footprint(crowd.worker()).descriptors <= before
    });
}
