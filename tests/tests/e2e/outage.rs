//! An outage is told at once, whatever the rates say, and so is its end.

use tests::scene::{Scene, Setup};

const OUTAGE: &str = ":rotating_light: Outage — the last 10 requests all failed; no pool answers";
const OVER: &str = ":white_check_mark: Outage is over — requests are answered again";

#[test]
fn ten_failures_in_a_row_are_an_outage_whichever_worker_sees_them_and_ten_answers_its_end() {
    for workers in [1, 4] {
        let scene = Scene::start(&Setup { workers, rules: "error_rate off;", ..Setup::default() });
        scene.client.get_many(20, "/");
        scene.fail(9);
        scene.blue.set_status(200);
        scene.client.get("/");
        scene.wait_filled(30);
        scene.assert_told(&[]);
        scene.fail(10);
        scene.assert_told(&[OUTAGE]);
        scene.blue.set_status(200);
        scene.client.get_many(10, "/");
        scene.assert_told(&[OUTAGE, OVER]);
    }
}
