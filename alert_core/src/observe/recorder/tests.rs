//! What is counted, sentence by sentence of the contract.

use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::board::monitor::MonitorBoard;
use crate::board::region::Region;
use crate::board::tests::settings;
use crate::model::ids::PoolId;
use crate::model::outcome::Outcome;
use crate::rules::failover::State;

const NOW_MS: u64 = 1_790_000_000_000;
const BLUE: &str = "10.0.0.1:80";
const GREEN: &str = "10.0.0.2:80";
const ELSEWHERE: &str = "10.0.0.3:80";
const BLUE_POOL: PoolId = PoolId::new(1);
const GREEN_POOL: PoolId = PoolId::new(2);

/// A finished request: what a test does not say is usual.
#[derive(Clone)]
struct Told<'a> {
    attempts: Vec<Attempt<'a>>,
    intent: Intent,
    status: u16,
    age_ms: u64,
    began_ago_ms: Option<u64>,
    is_cut: bool,
    has_kept_header: bool,
    pool: &'a str,
    release: &'a str,
    is_failure: bool,
}

impl Request for Told<'_> {
    fn last(&self) -> Option<Attempt<'_>> {
        self.attempts.last().copied()
    }

    fn earlier(&self) -> impl Iterator<Item = Attempt<'_>> {
        self.attempts.iter().copied().take(self.attempts.len().saturating_sub(1))
    }

    fn intent(&self) -> Intent {
        self.intent
    }

    fn client_status(&self) -> u16 {
        self.status
    }

    fn ended_ms(&self) -> u64 {
        NOW_MS
    }

    fn age_ms(&self) -> u64 {
        self.age_ms
    }

    fn last_began_ago_ms(&self) -> Option<u64> {
        self.began_ago_ms
    }

    fn is_cut(&self) -> bool {
        self.is_cut
    }

    fn has_kept_header(&self) -> bool {
        self.has_kept_header
    }

    fn pool(&self) -> &[u8] {
        self.pool.as_bytes()
    }

    fn release(&self) -> &[u8] {
        self.release.as_bytes()
    }

    fn is_failure(&self) -> bool {
        self.is_failure
    }

    fn line(&self) -> (&[u8], &[u8]) {
        (b"GET", b"/cart")
    }
}

fn request<'a>(attempts: &[Attempt<'a>], status: u16) -> Told<'a> {
    let attempts = attempts.to_vec();
    let (intent, age_ms, began_ago_ms) = (Intent::Upstream, 10, None);
    let (is_cut, has_kept_header, is_failure) = (false, false, false);
    let (pool, release) = ("", "");
    Told { attempts, intent, status, age_ms, began_ago_ms, is_cut, has_kept_header, pool, release, is_failure }
}

/// An attempt whose header came after 5 ms, and all of the answer after 10.
fn answer(address: &str, status: u16) -> Attempt<'_> {
    let (address, header_ms) = (Some(address.as_bytes()), Some(5));
    Attempt { address, status, connected: true, header_ms, response_ms: 10, pool: &[], lies_at: 0 }
}

/// An attempt to which no header came.
fn silence(address: &str, status: u16, connected: bool) -> Attempt<'_> {
    Attempt { status, connected, header_ms: None, ..answer(address, status) }
}

/// An attempt that nginx could not begin: an entry without a peer that is no separator.
const STILLBORN: Attempt<'static> =
    Attempt { address: None, status: 0, connected: false, header_ms: None, response_ms: 0, pool: &[], lies_at: 0 };

/// A monitor of a blue and a green pool, of which blue serves.
struct Rig {
    shared: &'static MonitorBoard,
    recorder: Recorder,
}

impl Rig {
    fn new() -> Rig {
        Rig::of(&[&format!("pool blue {BLUE}"), &format!("pool green {GREEN}"), "active blue"])
    }

    fn of(lines: &[&str]) -> Rig {
        let settings: Settings = settings(lines);
        let board = Board::open(Region::private(1 << 20), 0).expect("a board");
        let plan: Plan = board.activate(board.reserve(&settings, 0).expect("room"), &settings);
        let recorder = Recorder::of_monitors(board, &plan, &settings).remove(0);
        Rig { shared: board.monitor(&plan, 0).expect("a monitor"), recorder }
    }

    /// What comes of a request, a success as an event.
    fn events(&self, request: &Told<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        self.recorder.each_event(request, |event| events.push(event));
        events
    }

    fn event(&self, request: &Told<'_>) -> Option<Event> {
        let events = self.events(request);
        assert!(events.len() <= 1, "{events:?}");
        events.first().copied()
    }

    #[track_caller]
    fn outcome(&self, attempts: &[Attempt<'_>], status: u16) -> Option<Outcome> {
        self.event(&request(attempts, status))?.outcome(false)
    }

    /// The cause by which the last attempt failed.
    fn cause(&self, request: &Told<'_>) -> Option<Cause> {
        match self.event(request)?.last()?.end {
            AttemptEnd::Failed(cause) => Some(cause),
            _ => None,
        }
    }
}

#[test]
fn a_request_with_attempts_counts() {
    let rig = Rig::new();
    for status in [200, 301, 404, 418] {
        assert_eq!(rig.outcome(&[answer(BLUE, status)], status), Some(Outcome::Answered), "{status}");
    }
}

#[test]
fn a_failure_before_the_first_attempt_counts() {
    let rig = Rig::new();
    for status in [500, 502, 503, 504] {
        let event = rig.event(&request(&[], status)).expect("counted");
        assert_eq!((event.outcome(false), event.unasked()), (Some(Outcome::Failed), Some(Cause::Local)), "{status}");
        assert_eq!(event.attempts(), [], "an attempt is what upstream_states has");
        let prepared = Told { intent: Intent::Prepared, ..request(&[], status) };
        assert_eq!(rig.event(&prepared).and_then(|event| event.outcome(false)), Some(Outcome::Failed));
    }
    // A body that was too large, or cut off by its sender.
    for status in [400, 413, 499, 200] {
        assert!(rig.event(&Told { intent: Intent::Prepared, age_ms: 5000, ..request(&[], status) }).is_none());
    }
}

#[test]
fn an_authorisation_service_that_is_down_counts_and_what_limits_and_returns_say_does_not() {
    let rig = Rig::new();
    let of_location = |status| Told { intent: Intent::Location, ..request(&[], status) };
    for status in [500, 502, 504] {
        let event = rig.event(&of_location(status)).expect("counted");
        assert_eq!((event.outcome(false), event.unasked()), (Some(Outcome::Failed), Some(Cause::Local)));
    }
    for status in [200, 301, 401, 403, 404, 429, 503] {
        assert!(rig.event(&of_location(status)).is_none(), "{status}");
    }
}

#[test]
fn an_authorisation_service_that_is_down_counts_behind_an_error_page_and_a_return_does_not() {
    let rig = Rig::new();
    let behind_page = |status| rig.event(&Told { intent: Intent::Forgotten, age_ms: 5000, ..request(&[], status) });
    assert_eq!(behind_page(500).and_then(|event| event.unasked()), Some(Cause::Local));
    assert!([200, 404, 499, 502, 503, 504].into_iter().all(|status| behind_page(status).is_none()));
}

#[test]
fn a_5xx_out_of_the_cache_counts_and_other_hits_do_not() {
    let rig = Rig::new();
    let cached = |status| rig.event(&Told { intent: Intent::Cache, ..request(&[], status) });
    let event = cached(503).expect("counted");
    assert_eq!((event.outcome(false), event.unasked()), (Some(Outcome::Failed), Some(Cause::Status)));
    assert!([200, 404, 499, 600].into_iter().all(|status| cached(status).is_none()));
    let event = rig.event(&Told { intent: Intent::Cache, is_cut: true, ..request(&[], 200) });
    assert_eq!(event.and_then(|event| event.unasked()), Some(Cause::Cut), "a slice of it was not there");
}

#[test]
fn what_nginx_answers_by_itself_does_not_count() {
    let rig = Rig::new();
    for status in [200, 301, 404, 499, 500, 502, 503, 504] {
        let own = Told { intent: Intent::None, age_ms: 5000, ..request(&[], status) };
        assert!(rig.event(&own).is_none(), "{status}");
    }
}

#[test]
fn the_attempts_before_a_redirect_count() {
    let rig = Rig::new();
    // `error_page 502 = @green`.
    let event = rig.event(&request(&[silence(BLUE, 502, false), answer(GREEN, 200)], 200)).expect("counted");
    assert_eq!(event.outcome(false), Some(Outcome::Retried));
    assert_eq!((event.attempts()[0].pool, event.answered_by()), (BLUE_POOL, Some(GREEN_POOL)));
}

#[test]
fn an_attempt_that_could_not_begin_is_one_that_failed() {
    let rig = Rig::new();
    let event = rig.event(&request(&[STILLBORN], 500)).expect("counted");
    assert_eq!(event.outcome(false), Some(Outcome::Failed));
    assert_eq!(event.last().map(|last| last.end), Some(AttemptEnd::Failed(Cause::Local)));
    assert_eq!(rig.outcome(&[answer(BLUE, 503), STILLBORN], 500), Some(Outcome::Failed));
}

#[test]
fn every_attempt_of_a_request_counts() {
    let rig = Rig::new();
    let attempts = [vec![silence(BLUE, 502, false); 60], vec![answer(GREEN, 200)]].concat();
    let events = rig.events(&request(&attempts, 200));
    assert_eq!(events.iter().map(|event| event.attempts().len()).sum::<usize>(), 61);
    let (last, parts) = events.split_last().expect("events");
    assert!(parts.iter().all(Event::is_part));
    assert_eq!((last.outcome(false), last.latency_ms), (Some(Outcome::Retried), 605));
    events.iter().for_each(|event| _ = rig.shared.count(event, event.outcome(false)));
    assert_eq!(rig.shared.pool(BLUE_POOL).failed_attempts.load(Relaxed), 60);
    assert_eq!(rig.shared.retried.load(Relaxed), 1);
}

#[test]
fn an_attempt_fails_for_a_cause() {
    let rig = Rig::new();
    let cut = Told { is_cut: true, ..request(&[answer(BLUE, 200)], 200) };
    for (told, cause) in [
        (request(&[silence(BLUE, 502, false)], 502), Cause::Connect),
        (request(&[silence("app", 502, false)], 502), Cause::Connect),
        (request(&[silence(BLUE, 504, false)], 504), Cause::Timeout),
        (request(&[silence(BLUE, 504, true)], 504), Cause::Timeout),
        (request(&[answer(BLUE, 500)], 500), Cause::Status),
        (request(&[answer(BLUE, 504)], 504), Cause::Status),
        (request(&[answer(BLUE, 599)], 599), Cause::Status),
        (request(&[silence(BLUE, 502, true)], 502), Cause::Cut),
        (request(&[silence(BLUE, 200, true)], 500), Cause::Cut),
        (cut, Cause::Cut),
        (request(&[STILLBORN], 500), Cause::Local),
        (request(&[silence(BLUE, 0, false)], 500), Cause::Local),
    ] {
        assert_eq!(rig.cause(&told), Some(cause), "{:?}", told.attempts);
        assert_eq!(rig.event(&told).and_then(|event| event.outcome(false)), Some(Outcome::Failed));
    }
}

#[test]
fn a_status_of_600_and_above_is_no_failure() {
    let rig = Rig::new();
    for status in [600, 700, 999] {
        assert_eq!(rig.outcome(&[answer(BLUE, status)], status), Some(Outcome::Answered));
    }
}

#[test]
fn failure_if_makes_an_answer_a_failure_and_the_request_too() {
    let rig = Rig::new();
    let told = Told { is_failure: true, ..request(&[answer(BLUE, 200)], 200) };
    assert_eq!(rig.cause(&told), Some(Cause::Status));
    assert_eq!(rig.event(&told).and_then(|event| event.outcome(false)), Some(Outcome::Failed));
    // It says nothing of an attempt that got no header, nor of what the cache kept.
    let stale = Told { has_kept_header: true, ..told.clone() };
    assert_eq!(rig.event(&stale).and_then(|event| event.outcome(false)), Some(Outcome::Answered));
}

#[test]
fn a_request_fails_when_its_client_got_a_5xx_or_an_answer_that_was_cut() {
    let rig = Rig::new();
    assert_eq!(rig.outcome(&[answer(BLUE, 503)], 503), Some(Outcome::Failed));
    // The page comes from a service that is well, with the status of the failure.
    assert_eq!(rig.outcome(&[answer(BLUE, 503), answer(ELSEWHERE, 200)], 503), Some(Outcome::Failed));
    let cut = Told { is_cut: true, ..request(&[answer(BLUE, 200)], 200) };
    assert_eq!(rig.event(&cut).and_then(|event| event.outcome(false)), Some(Outcome::Failed));
}

#[test]
fn an_answer_without_a_valid_header_is_a_failure_though_nginx_passes_it_on() {
    let rig = Rig::new();
    for status in [0, 9] {
        let passed_on = Told { is_cut: true, ..request(&[answer(BLUE, 200)], status) };
        let event = rig.event(&passed_on).expect("counted");
        assert_eq!((event.outcome(false), rig.cause(&passed_on)), (Some(Outcome::Failed), Some(Cause::Cut)));
    }
}

#[test]
fn a_request_is_retried_when_a_failure_was_hidden_from_its_client() {
    let rig = Rig::new();
    assert_eq!(rig.outcome(&[answer(BLUE, 500), answer(GREEN, 200)], 200), Some(Outcome::Retried));
    assert_eq!(rig.outcome(&[answer(BLUE, 503)], 200), Some(Outcome::Retried), "an error page that is an answer");
    let stale = Told { has_kept_header: true, ..request(&[silence(BLUE, 504, true)], 200) };
    assert_eq!(rig.event(&stale).and_then(|event| event.outcome(false)), Some(Outcome::Retried), "a stale cache");
    assert_eq!(rig.outcome(&[answer(BLUE, 404), answer(GREEN, 200)], 200), Some(Outcome::Answered), "no failure");
}

#[test]
fn a_client_that_waited_a_second_without_a_header_abandoned_its_request() {
    let rig = Rig::new();
    let hung = |ms| Attempt { response_ms: ms, ..silence(BLUE, 0, true) };
    for status in [499, 0] {
        let event = rig.event(&request(&[hung(1000)], status)).expect("counted");
        assert_eq!((event.outcome(false), event.pool()), (Some(Outcome::Abandoned), BLUE_POOL));
        assert_eq!(event.last().map(|last| last.end), Some(AttemptEnd::Abandoned));
        assert!(rig.event(&request(&[hung(999)], status)).is_none());
    }
    let event = rig.event(&request(&[Attempt { response_ms: 700, ..silence(BLUE, 504, true) }, hung(300)], 499));
    let event = event.expect("all attempts together took a second");
    assert_eq!((event.outcome(false), event.attempts()[0].failed()), (Some(Outcome::Abandoned), true));
    // A name that takes forever to resolve, and an authorisation service that hangs.
    for intent in [Intent::Upstream, Intent::Location] {
        let event = rig.event(&Told { intent, age_ms: 1500, ..request(&[], 499) }).expect("counted");
        assert_eq!(event.outcome(false), Some(Outcome::Abandoned));
        assert!(rig.event(&Told { intent, age_ms: 500, ..request(&[], 499) }).is_none());
    }
}

#[test]
fn a_client_that_went_away_sooner_moves_nothing() {
    let rig = Rig::new();
    assert_eq!(rig.outcome(&[silence(BLUE, 0, true)], 499), None);
    assert_eq!(rig.outcome(&[answer(BLUE, 500), silence(GREEN, 0, true)], 499), None);
    // Its body was refused while it was passed on.
    assert!([400, 408, 413].into_iter().all(|status| rig.outcome(&[silence(BLUE, 0, true)], status).is_none()));
    // The header came, and nobody was there.
    assert_eq!(rig.outcome(&[answer(BLUE, 200)], 499), None);
    assert_eq!(rig.outcome(&[answer(BLUE, 499)], 499), Some(Outcome::Answered), "the upstream's own status");
}

#[test]
fn the_table_decides_whose_an_attempt_is_then_the_answer_then_what_answers_taught() {
    let rig = Rig::new();
    let pool_of = |told: &Told<'_>| rig.event(told).and_then(|event| event.last().map(|last| last.pool));
    assert_eq!(pool_of(&Told { pool: "green", ..request(&[answer(BLUE, 200)], 200) }), Some(BLUE_POOL));
    assert_eq!(pool_of(&request(&[answer(ELSEWHERE, 200)], 200)), Some(PoolId::NONE));
    assert_eq!(pool_of(&Told { pool: "green", ..request(&[answer(ELSEWHERE, 200)], 200) }), Some(GREEN_POOL));
    assert_eq!(pool_of(&request(&[silence(ELSEWHERE, 502, false)], 502)), Some(GREEN_POOL), "answers taught it");
    assert_eq!(pool_of(&Told { pool: "blue", ..request(&[answer(ELSEWHERE, 200)], 200) }), Some(BLUE_POOL), "it moved");
}

#[test]
fn an_attempt_without_a_header_of_its_own_takes_none_from_before_it() {
    let rig = Rig::new();
    // The request still holds the header of the first attempt.
    let told = Told { pool: "green", release: "v9", ..request(&[answer(BLUE, 500), silence("app", 502, false)], 502) };
    let event = rig.event(&told).expect("counted");
    assert_eq!(event.attempts().iter().map(|attempt| attempt.pool).collect::<Vec<_>>(), [BLUE_POOL, PoolId::NONE]);
    assert_eq!(rig.shared.pool(GREEN_POOL).release.load(), "");
    assert!(rig.shared.peers.iter().all(|peer| peer.text() != "app"), "the upstream's name is no address");
    let told = Told { pool: "green", ..request(&[silence(ELSEWHERE, 502, false)], 502) };
    assert_eq!(rig.event(&told).and_then(|event| event.last().map(|last| last.pool)), Some(PoolId::NONE));
    // What a cache kept is of an earlier answer.
    let kept = Told { pool: "green", release: "v0", has_kept_header: true, ..request(&[answer(ELSEWHERE, 304)], 200) };
    assert_eq!(rig.event(&kept).and_then(|event| event.last().map(|last| last.pool)), Some(PoolId::NONE));
    assert_eq!(rig.shared.pool(PoolId::NONE).release.load(), "");
}

#[test]
fn the_release_is_that_of_the_pool_that_named_it() {
    let rig = Rig::new();
    rig.event(&Told { release: "v1", ..request(&[answer(BLUE, 200)], 200) });
    rig.event(&Told { release: "v2", ..request(&[answer(BLUE, 500), answer(GREEN, 200)], 200) });
    let releases = [BLUE_POOL, GREEN_POOL].map(|pool| rig.shared.pool(pool).release.load());
    assert_eq!(releases, ["v1", "v2"]);
}

#[test]
fn a_header_that_contradicts_the_table_is_one_warning() {
    let rig = Rig::new();
    rig.event(&Told { pool: "blue", ..request(&[answer(BLUE, 200)], 200) });
    assert_eq!(rig.shared.warnings(), Vec::<String>::new());
    (0..2).for_each(|_| _ = rig.event(&Told { pool: "green", ..request(&[answer(BLUE, 200)], 200) }));
    let warnings = rig.shared.warnings();
    let expected = "\"10.0.0.1:80\" says that it is pool \"green\", but \"pool\" of monitor \"app\" says otherwise";
    assert!(matches!(warnings.as_slice(), [warning] if warning.starts_with(expected)), "{warnings:?}");
    rig.event(&Told { pool: "green", ..request(&[answer(BLUE, 200)], 200) });
    assert_eq!(rig.shared.warnings(), Vec::<String>::new(), "once");
}

#[test]
fn addresses_are_compared_whole() {
    let path = |pool: &str| format!("unix:/var/lib/docker/volumes/shop_sockets_of_the_app/_data/{pool}.sock");
    let (blue, green) = (path("blue"), path("green"));
    let rig = Rig::of(&[&format!("pool blue {blue}"), &format!("pool green {green}"), "active blue"]);
    let event = rig.event(&request(&[answer(&blue, 500), answer(&green, 200)], 200)).expect("counted");
    assert_eq!(event.attempts().iter().map(|attempt| attempt.pool).collect::<Vec<_>>(), [BLUE_POOL, GREEN_POOL]);
}

#[test]
fn requests_to_an_address_of_no_pool_are_counted_as_such_and_told_once() {
    let rig = Rig::new();
    let count = |event: Event| rig.shared.count(&event, event.outcome(false));
    count(rig.event(&request(&[answer(ELSEWHERE, 200)], 200)).expect("counted"));
    count(rig.event(&request(&[silence(ELSEWHERE, 502, false), answer(BLUE, 200)], 200)).expect("counted"));
    count(rig.event(&request(&[silence("app", 502, false)], 502)).expect("counted"));
    count(rig.event(&request(&[answer(BLUE, 200)], 200)).expect("counted"));
    let unmatched = &rig.shared.unmatched;
    assert_eq!((unmatched.requests.load(Relaxed), unmatched.address.load().as_str()), (2, ELSEWHERE));
    let warnings = rig.shared.warnings();
    assert!(matches!(warnings.as_slice(), [warning] if warning.contains(ELSEWHERE)), "{warnings:?}");
    assert_eq!(rig.shared.warnings(), Vec::<String>::new());

    let without = Rig::of(&[]);
    let event = without.event(&request(&[answer(ELSEWHERE, 200)], 200)).expect("counted");
    without.shared.count(&event, event.outcome(false));
    assert_eq!(without.shared.unmatched.requests.load(Relaxed), 0, "no pools are listed");
}

#[test]
fn an_answer_says_who_serves_as_of_when_its_header_came() {
    let rig = Rig::new();
    // A WebSocket: its header came after 40 ms, an hour ago.
    let socket = Attempt { header_ms: Some(40), response_ms: 3_600_000, ..answer(BLUE, 101) };
    let event = rig.event(&request(&[socket], 101)).expect("counted");
    assert_eq!((event.time_ms, event.began_ms), (NOW_MS, NOW_MS - 3_600_000));
    assert_eq!((event.header_ms, event.latency_ms), (NOW_MS - 3_599_960, 40));
    // A client that reads slowly: the upstream was done long before the end.
    let slow = Told { began_ago_ms: Some(90_000), ..request(&[answer(BLUE, 200)], 200) };
    let event = rig.event(&slow).expect("counted");
    assert_eq!((event.began_ms, event.header_ms), (NOW_MS - 90_000, NOW_MS - 89_995));
}

#[test]
fn latency_is_the_time_of_all_attempts_until_the_header_or_until_the_end() {
    for (line, latency_ms) in [("latency p95 500ms", 15), ("latency p95 500ms of=response", 20)] {
        let rig = Rig::of(&[&format!("pool blue {BLUE}"), line]);
        let event = rig.event(&request(&[answer(BLUE, 500), answer(BLUE, 200)], 200)).expect("counted");
        assert_eq!(event.latency_ms, latency_ms, "{line}");
    }
}

#[test]
fn only_an_answer_that_changes_nothing_about_who_serves_is_a_mere_success() {
    let rig = Rig::new();
    let is_success = |told: &Told<'_>| {
        let record = rig.recorder.record(told, &mut rig.recorder.begin(told), |_| ());
        matches!(record, Record::Success(..))
    };
    assert!(is_success(&request(&[answer(BLUE, 200)], 200)));
    assert!(is_success(&request(&[answer(ELSEWHERE, 200)], 200)), "an unknown pool moves nothing");
    assert!(!is_success(&request(&[answer(GREEN, 200)], 200)));
    assert!(!is_success(&request(&[answer(BLUE, 500), answer(BLUE, 200)], 200)));
    assert!(!is_success(&request(&[answer(BLUE, 503)], 200)));
    rig.shared.set_failover(State::serving(GREEN_POOL));
    assert!(!is_success(&request(&[answer(BLUE, 200)], 200)));
}

#[test]
fn requests_that_failed_are_kept_to_show_them() {
    let rig = Rig::new();
    rig.event(&request(&[answer(BLUE, 200)], 200));
    rig.event(&request(&[answer(BLUE, 500), answer(GREEN, 200)], 200));
    assert_eq!(rig.shared.examples.recent(), [], "their clients got answers");
    rig.event(&request(&[silence(BLUE, 502, false), answer(ELSEWHERE, 200)], 502));
    rig.event(&request(&[], 500));
    let recent = rig.shared.examples.recent();
    let shown = |at: usize| {
        let (pool, example) = (recent[at].pool, &recent[at].example);
        (example.status, example.address.as_str(), example.path.as_str(), pool)
    };
    assert_eq!(shown(0), (500, "", "/cart", PoolId::NONE));
    assert_eq!(shown(1), (502, BLUE, "/cart", BLUE_POOL));
}
