//! Which requests a monitor watches, where there are several or where one is used in many places.

use tests::address;
use tests::client::Client;
use tests::scene::{Scene, Setup};

#[test]
fn monitors_do_not_mix() {
    let scene = Scene::start(&Setup {
        workers: 2,
        http: "alert_monitor shop { window 10; error_rate 20%; }",
        server: "location /shop { alert shop; proxy_pass http://{green}; }",
        ..Setup::default()
    });
    scene.client.get_many(5, "/");
    scene.wait_filled(5);
    scene.green.set_status(503);
    scene.client.get_many(3, "/shop");
    scene.assert_told(&[
        ":warning: High upstream 5xx rate — 100.00% 5xx over last 3 requests (3 errors). Threshold: 20%",
    ]);
    let text = scene.sink.posts()[0].text().to_owned();
    assert!(text.contains("shop"), "{text}");
    let monitors = scene.status()["monitors"].take();
    assert_eq!((&monitors["app"]["window"]["filled"], &monitors["app"]["window"]["failed"]), (&5.into(), &0.into()));
    assert_eq!((&monitors["shop"]["window"]["size"], &monitors["shop"]["window"]["failed"]), (&10.into(), &3.into()));
}

#[test]
fn one_monitor_watches_many_locations_and_servers() {
    let second = address::free();
    let http = format!("server {{ listen {second}; location / {{ alert app; proxy_pass http://{{green}}; }} }}");
    let scene = Scene::start(&Setup {
        http: &http,
        server: "location /a { proxy_pass http://app; }
                 location /b { proxy_pass http://app; location /b/quiet { alert off; proxy_pass http://app; } }",
        ..Setup::default()
    });
    for path in ["/", "/a", "/b", "/b/quiet"] {
        assert_eq!(scene.client.get(path).status, 200, "{path}");
    }
    assert_eq!(Client::new(second).get("/").status, 200);
    let monitor = scene.wait_filled(4);
    assert_eq!((&monitor["pools"]["blue"]["answered"], &monitor["pools"]["green"]["answered"]), (&3.into(), &1.into()));
}

#[test]
fn an_if_can_take_requests_out_or_to_another_monitor() {
    let scene = Scene::start(&Setup {
        http: "alert_monitor bots { }",
        location: "if ($arg_health) { alert off; } if ($arg_bot) { alert bots; } proxy_pass http://app;",
        ..Setup::default()
    });
    scene.client.get_many(3, "/?health=1");
    scene.client.get_many(2, "/?bot=1");
    scene.client.get("/");
    scene.wait_filled(1);
    assert_eq!(scene.status()["monitors"]["bots"]["window"]["filled"], 2);
}
