//! The status page in a real browser: live, by its own policy, on a phone, and without JavaScript.

use std::time::Duration;

use serde_json::Value;
use tests::browser::Browser;
use tests::http::Request;
use tests::process::{self, Signal};
use tests::scene::{ASSIGNED_FIRST, Scene, Setup};
use tests::wait;

const SETUP: Setup = Setup {
    workers: 2,
    single_process: false,
    reuseport: true,
    http: "",
    notify: "alert_notify slack {sink};",
    pools: "pool blue {blue}; pool green {green};",
    rules: "active blue;",
    upstream: "server {blue} max_fails=0; server {green} backup max_fails=0;",
    server: "location /control { alert_control; }",
    location: "proxy_pass http://app;",
};

#[test]
fn a_failover_shows_without_a_reload_of_the_page() {
    let mut scene = Scene::start(&SETUP);
    scene.client.get_many(60, "/");
    scene.wait_filled(60);
    let mut page = Browser::open(&scene.url("/alert/"), 1200, 900);
    assert_eq!(page.text("h1"), "blue serves");
    page.evaluate("window.mark = document.querySelector('h1')");
    page.evaluate("document.querySelector('footer a').focus()");

    scene.blue.set_status(500);
    scene.client.get_many(20, "/");
    page.wait("the failover", "document.querySelector('h1').innerText == 'green serves instead of blue'");
    page.wait("the alert", "document.querySelector('.alerts').innerText.includes('pool changed from blue → green')");
    page.wait("its delivery", "document.querySelector('.alerts').innerText.includes('slack: sent')");
    assert_eq!(page.evaluate("window.mark === document.querySelector('h1')"), true, "the page was loaded anew");
    assert_eq!(page.evaluate("document.activeElement.tagName"), "A", "the focus was lost");
    assert!(page.evaluate("document.title").as_str().is_some_and(|title| title.starts_with("failed over")));
    page.screenshot("status-page-desktop");
    page.resize(390, 844);
    assert_eq!(page.evaluate("document.documentElement.scrollWidth <= innerWidth"), true, "a phone must not scroll");
    page.set_dark(true);
    page.screenshot("status-page-phone-dark");
    assert_eq!(page.complaints(), [""; 0]);

    scene.nginx.stop(Signal::TERM);
    page.wait("the loss of contact", "document.getElementById('contact').innerText.includes('Lost contact')");
}

/// Looks at a page as people do, on a desktop and on a phone, by day and by night, and keeps pictures of it.
#[track_caller]
fn look(page: &mut Browser, url: &str, name: &str, heading: &str) {
    page.resize(1280, 900);
    page.set_dark(false);
    page.go(url);
    let quoted = Value::from(heading);
    page.wait("the heading", &format!("document.querySelector('h1').innerText == {quoted}"));
    for (width, height, is_dark, view) in [
        (1280, 900, false, "desktop"),
        (1280, 900, true, "desktop-dark"),
        (390, 844, false, "phone"),
        (390, 844, true, "phone-dark"),
    ] {
        page.resize(width, height);
        page.set_dark(is_dark);
        assert_eq!(
            page.evaluate("document.documentElement.scrollWidth <= innerWidth"),
            true,
            "{name} scrolls on a {view}"
        );
        page.screenshot(&format!("{name}-{view}"));
    }
    assert_eq!(page.complaints(), [""; 0], "{name}");
}

#[test]
fn the_page_says_what_is_so_in_every_state() {
    let scene = Scene::start(&Setup { rules: "active blue; window 40; latency p95 500ms; cooldown 0s;", ..SETUP });
    let url = scene.url("/alert/");
    let mut page = Browser::open(&url, 1280, 900);
    look(&mut page, &url, "no-requests", "No requests yet");
    scene.client.get_many(30, "/");
    scene.wait_filled(30);
    look(&mut page, &url, "serves", "blue serves");
    scene.blue.set_status(500);
    scene.client.get_many(6, "/");
    look(&mut page, &url, "failed-over", "green serves instead of blue");
    scene.green.set_status(503);
    scene.client.get_many(40, "/");
    look(&mut page, &url, "outage", "Nothing works: no pool answers");
    let maintenance = scene.client.send(&Request::new("POST", "/control/maintenance?monitor=app&on=1&for=30m"));
    assert_eq!(maintenance.status, 200, "{}", maintenance.text());
    look(&mut page, &url, "outage-in-maintenance", "Nothing works: no pool answers");
}

#[test]
fn the_page_says_so_where_no_pool_is_known() {
    let silent = [("X-Other", "1")];
    let scene = Scene::start(&Setup { pools: "pool blue 192.0.2.1:80; pool green 192.0.2.2:80;", rules: "", ..SETUP });
    [&scene.blue, &scene.green].into_iter().for_each(|pool| pool.set_headers(&silent));
    scene.client.get_many(30, "/");
    scene.wait_filled(30);
    let mut page = Browser::open(&scene.url("/alert/"), 1280, 900);
    look(&mut page, &scene.url("/alert/"), "unmatched", "No listed pool answers");
    assert_eq!(scene.monitor()["unmatched"]["address"], scene.blue.address().to_string());
    let metrics = scene.client.get("/alert/metrics").text();
    assert!(metrics.contains("nginx_alert_unmatched_requests_total{monitor=\"app\"} 30\n"), "{metrics}");

    let scene = Scene::start(&Setup { pools: "", rules: "", ..SETUP });
    [&scene.blue, &scene.green].into_iter().for_each(|pool| pool.set_headers(&silent));
    scene.client.get_many(30, "/");
    scene.wait_filled(30);
    look(&mut page, &scene.url("/alert/"), "no-pools", "Requests are answered");
}

#[test]
fn the_page_is_small_and_complete_without_javascript() {
    let scene = Scene::start(&SETUP);
    scene.client.get_many(250, "/");
    scene.wait_filled(200);
    let reply = scene.client.send(&Request::new("GET", "/alert/").header("Accept", "text/html,*/*;q=0.8"));
    assert_eq!((reply.status, reply.get("Content-Type")), (200, Some("text/html; charset=utf-8")));
    assert!(reply.body.len() < 40_000, "{} bytes", reply.body.len());
    assert_eq!(reply.get("Cache-Control"), Some("no-store"));
    let policy = reply.get("Content-Security-Policy").unwrap_or_default();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let html = reply.text();
    for part in [" serves</h1>", ">v1<", ">slack<", "href=\"metrics\"", "<noscript>"] {
        assert!(html.contains(part), "{part:?} is missing in {html}");
    }
    assert!(html.contains("formaction=\"../control/active?monitor=app&amp;pool=green\""), "{html}");
    for outside in ["http://", "https://"] {
        assert!(!html.replace("http://www.w3.org/2000/svg", "").contains(outside), "the page asks others");
    }
    let bare = scene.client.get("/alert").text();
    assert!(bare.contains("href=\"alert/metrics\""), "{bare}");
    let head = scene.client.send(&Request::new("HEAD", "/alert/"));
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn no_name_of_an_upstream_becomes_markup() {
    let scene = Scene::start(&Setup { pools: "", rules: "", ..SETUP });
    let evil = "<img src=x onerror=alert(1)>\"'&";
    scene.blue.set_headers(&[("X-App-Pool", evil), ("X-Release-Id", "</table><script>alert(2)</script>")]);
    scene.client.get_many(30, "/");
    scene.wait_filled(30);
    let mut page = Browser::open(&scene.url("/alert/"), 800, 600);
    assert_eq!(page.text("h1"), format!("{evil} serves"));
    assert_eq!(page.evaluate("document.querySelectorAll('img, table script').length"), 0);
    assert_eq!(page.complaints(), [""; 0]);
    let metrics = scene.client.get("/alert/metrics").text();
    assert!(metrics.contains("pool=\"<img src=x onerror=alert(1)>\\\"'&\""), "{metrics}");
}

#[test]
fn each_of_several_monitors_has_its_page() {
    let second = "alert_monitor 'second & last' { window 50; } ";
    let scene = Scene::start(&Setup { http: second, ..SETUP });
    scene.blue.set_status(500);
    scene.green.set_status(500);
    scene.client.get_many(10, "/");
    scene.wait_filled(10);
    wait::until("the alert", Duration::from_secs(5), || scene.sink.posts().len() == 1);
    let mut page = Browser::open(&scene.url("/alert/"), 800, 600);
    look(&mut page, &scene.url("/alert/"), "overview", "1 of 2 monitors is in trouble");
    assert_eq!(page.text("h1"), "1 of 2 monitors is in trouble");
    assert_eq!(page.text(".monitors tbody tr:first-child th"), "app", "the worst comes first");
    page.evaluate("document.querySelector('.monitors tbody tr:nth-child(2) a').click()");
    page.wait("the other monitor", "document.querySelector('nav [aria-current]')?.innerText == 'second & last'");
    assert_eq!(page.text("h1"), "No requests yet");
    assert!(page.text("nav").contains("app"), "the one in trouble is named on the other's page");
    page.evaluate("document.querySelector('nav li:first-child a').click()");
    page.wait("the overview", "document.querySelector('.monitors') != null");
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn a_hundred_monitors_take_no_two_milliseconds_of_the_event_loop() {
    const REQUESTS: u32 = 100;
    let monitors: String = (0..99)
        .map(|n| format!("alert_monitor m{n} {{ pool blue 192.0.2.1:{0}; pool green 192.0.2.2:{0}; }} ", 1000 + n))
        .collect();
    let scene = Scene::start(&Setup { workers: 1, http: &format!("alert_zone zone=alert:16m; {monitors}"), ..SETUP });
    scene.blue.queue_status(500, 20);
    scene.client.get_many(250, "/");
    scene.wait_filled(200);
    let mut connection = scene.client.connect().unwrap();
    let worker = scene.nginx.workers()[0];
    for path in ["/alert/", "/alert/metrics", "/alert/status.json"] {
        // The worker's own time and not that of the clock, which other tests use up too.
        let before = process::cpu_time(worker);
        for _ in 0..REQUESTS {
            let reply = connection.send(&Request::new("GET", path)).unwrap();
            assert_eq!(reply.status, 200);
            assert!(path != "/alert/" || reply.body.len() < 64_000, "{} bytes", reply.body.len());
        }
        let each = (process::cpu_time(worker) - before) / REQUESTS;
        println!("{path}: {each:?}");
        assert!(each < Duration::from_millis(2), "{path} takes {each:?}");
    }
}

/// Routed by the module, with rollouts; and with probes that pass.
const OPERATED: Setup = Setup {
    http: ASSIGNED_FIRST,
    rules: "active blue; probe /healthz interval=100ms; rollout 5% every=60s requests=50; split_by $arg_client;",
    location: "proxy_pass http://$first;",
    ..SETUP
};

/// Opens what is to be done and presses its button.
fn press(page: &mut Browser, action: &str, button: &str) {
    let details = format!("document.getElementById('do-{action}')");
    page.wait("the action", &format!("{details} != null"));
    page.evaluate(&format!("{details}.open = true"));
    page.evaluate(&format!(
        "[...{details}.querySelectorAll('button')].find(button => button.innerText == '{button}').click()"
    ));
}

#[test]
fn whoever_may_send_commands_operates_from_the_page() {
    let scene = Scene::start(&OPERATED);
    scene.client.get_many(30, "/");
    scene.wait_filled(30);
    let url = scene.url("/alert/");
    let mut page = Browser::open(&url, 1280, 900);
    press(&mut page, "rollout-2", "Begin the rollout");
    page.wait("the answer", "document.getElementById('said').innerText.startsWith('Done. ') && document.getElementById('said').innerText.includes('phase: probing')");
    page.wait("the share", "document.querySelector('[aria-labelledby=rollout]')?.innerText.includes('5 %')");
    page.wait("why it waits", "document.querySelector('[aria-labelledby=rollout]').innerText.includes('seconds left')");
    (0..400).for_each(|client| drop(scene.client.get(&format!("/?client={client}"))));
    page.wait(
        "requests of both",
        "/of [1-9].*of [1-9]/s.test(document.querySelector('[aria-labelledby=rollout]').innerText)",
    );
    page.evaluate("document.getElementById('do-abort-0').open = true");
    page.wait(
        "a look",
        "document.getElementById('do-abort-0').open && document.getElementById('said').checkVisibility()",
    );
    look(&mut page, &url, "rollout", "blue serves");
    press(&mut page, "abort-0", "Abort now");
    page.wait("the end", "document.querySelector('[aria-labelledby=rollout]').innerText.includes('cancelled')");
    press(&mut page, "switch-2", "Switch now");
    page.wait("the switch", "document.getElementById('said').innerText.includes('active pool: green')");
    press(&mut page, "maintenance-0", "For 30 min");
    page.wait("maintenance", "document.querySelector('.state').innerText.includes('alerts are held back until')");
    page.evaluate("document.getElementById('do-rollout-1').open = true");
    page.screenshot("operate");
    press(&mut page, "rollout-1", "Begin the rollout");
    page.wait(
        "the refusal",
        "document.getElementById('said').innerText == 'Refused: the monitor is in maintenance; end that first'",
    );
    let monitor = scene.monitor();
    assert_eq!((&monitor["active_pool"], &monitor["maintenance"]), (&"green".into(), &true.into()));
    // A browser takes the refusal for an error; nothing else is one.
    let complaints = page.complaints().to_vec();
    assert!(complaints.iter().all(|text| text.contains("409")), "{complaints:?}");
}

#[test]
fn the_buttons_work_without_javascript_and_are_hidden_from_whoever_may_not_send_commands() {
    let scene = Scene::start(&OPERATED);
    let mut page = Browser::open(&scene.url("/alert/"), 800, 600);
    page.set_scripts(false);
    page.go(&scene.url("/alert/?"));
    press(&mut page, "switch-2", "Switch now");
    wait::until("the switch", Duration::from_secs(10), || scene.monitor()["active_pool"] == "green");
    page.wait("its answer", "document.body.innerText.includes('active_pool')");
    page.set_scripts(true);

    for (server, is_shown) in [
        ("location /control { alert_control; deny all; }", false),
        ("location ~ ^/control/.*$ { alert_control; }", false),
        ("location /control { alert_control; auth_basic operators; auth_basic_user_file /dev/null; }", true),
        ("location /alert/control/ { alert_control; }", true),
    ] {
        let scene = Scene::start(&Setup { server, ..OPERATED });
        page.go(&scene.url("/alert/"));
        let buttons = "document.getElementById('operate')?.checkVisibility() == true";
        page.wait(server, &format!("({buttons}) == {is_shown}"));
    }
}
