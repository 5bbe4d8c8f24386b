//! Reloads: what they keep, what they must not leak, and that the module comes and goes with one.

use std::time::Duration;

use tests::process::{self, Signal};
use tests::scene::{Scene, Setup};
use tests::wait;

const LIMIT: Duration = Duration::from_secs(5);

#[test]
fn a_single_process_whose_reload_drops_the_module_has_no_thread_of_it_left() {
    for workers in [1, 2] {
        let mut scene = Scene::start(&Setup { workers, single_process: workers == 1, ..Setup::default() });
        scene.client.get_many(3, "/");
        scene.wait_filled(3);
        let old = scene.nginx.workers();
        scene.nginx.rewrite(|config| {
            config.with_module = false;
            config.http = Some(String::new());
        });
        let reloads = scene.nginx.log_lines("using the \"epoll\"").len();
        scene.nginx.signal(Signal::HUP);
        wait::until("the reload", LIMIT, || scene.nginx.log_lines("using the \"epoll\"").len() > reloads);
        wait::until("the end of the threads", LIMIT, || {
            let one = process::threads(scene.nginx.master()) == 1;
            one && !old.iter().any(|pid| process::is_alive(*pid))
        });
        assert!(scene.nginx.stop(Signal::TERM) < Duration::from_secs(1));
    }
}
