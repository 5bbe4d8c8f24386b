//! System calls that the filter of a container refuses: nothing ends in silence.

use std::time::Duration;

use tests::nginx::Config;
use tests::scene::{Scene, Setup};
use tests::wait;

const FAILOVER: &str = ":rotating_light: Failover detected — pool changed from blue → green";
const LIMIT: Duration = Duration::from_secs(10);

/// What filters refuse that know kernels of some years ago, or that were written by hand, and what nginx can do without.
fn calls() -> String {
    let calls = [
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_faccessat2,
        libc::SYS_statx,
        libc::SYS_openat2,
        libc::SYS_renameat2,
        libc::SYS_close_range,
        libc::SYS_rseq,
        libc::SYS_getrandom,
        libc::SYS_sched_yield,
        libc::SYS_membarrier,
    ];
    calls.map(|call| call.to_string()).join(",")
}

#[test]
fn an_nginx_whose_container_refuses_calls_detects_delivers_saves_and_reports() {
    for errno in [libc::EPERM, libc::ENOSYS] {
        let setup = Setup { workers: 2, http: "alert_state own/state;", ..Setup::default() };
        let refuse = |config: &mut Config| {
            config.user = "www-data";
            config.wrapper = vec![env!("CARGO_BIN_EXE_refuse").into(), errno.to_string(), calls()];
        };
        let mut scene = Scene::start_with(&setup, refuse);
        scene.client.get_many(20, "/");
        scene.wait_filled(20);
        scene.blue.set_status(500);
        // Fast enough that the detectors take naps.
        scene.client.get_concurrently(4, 200, "/");
        scene.sink.wait_for(1, LIMIT);
        scene.assert_told(&[FAILOVER]);
        scene.wait_filled(200);
        wait::until("a save", LIMIT, || scene.nginx.directory().join("own/state").exists());
        scene.reload_with(&setup);
        assert_eq!(scene.client.get("/alert/metrics").status, 200);
        assert!(scene.nginx.log_lines("panic").is_empty(), "{}", scene.nginx.log());
    }
}
