//! What an operator can change while nginx runs: maintenance, the active pool, and a test of the sinks.
//!
//! A command changes words in the board, so it holds for all workers at once. Nothing here waits: how a test alert
//! fares is asked for again and again by the caller ([`TestAlert::outcomes`]).

use std::sync::atomic::Ordering::Relaxed;

use super::rollout::{self, Order as RolloutOrder};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::base::clock::rfc3339;
use crate::base::log::one_line;
use crate::base::name::NameKey;
use crate::base::units::parse_time_ms;
use crate::board::maintenance::Order;
use crate::board::monitor::MonitorBoard;
use crate::board::outbox::Delivery;
use crate::board::settled::Settled;
use crate::board::worker::WorkerBoard;
use crate::deliver::recipients::sinks_for;
use crate::detect::judge::informs;
use crate::model::alert::{Alert, Kind};
use crate::model::ids::PoolId;
use crate::report::view::Source;

/// The longest maintenance with an end: 365 days.
const FOR_MAX_MS: u64 = 365 * 86_400_000;
/// How long a sink has for its answer to a test alert, in milliseconds.
pub const TEST_LIMIT_MS: u64 = 9500;

/// The least time between two test alerts of a monitor, in milliseconds.
const TEST_EVERY_MS: u64 = 1000;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Maintenance of a monitor.
    Maintenance {
        /// The monitor.
        monitor: String,
        /// Whether it begins or ends.
        on: bool,
        /// How long it lasts, in milliseconds; `None` until it is ended.
        for_ms: Option<u64>,
    },
    /// Another active pool.
    Active {
        /// The monitor.
        monitor: String,
        /// The pool that should serve from now on.
        pool: String,
    },
    /// A test alert.
    Test {
        /// The monitor whose sinks get it.
        monitor: String,
    },
    /// Something about a rollout.
    Rollout {
        /// The monitor.
        monitor: String,
        /// What.
        order: RolloutOrder,
    },
}

/// Why a command is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// What is wrong, and what would be right.
    pub text: String,
}

/// A command that was carried out.
#[derive(Debug)]
pub struct Done {
    /// The HTTP status.
    pub status: u16,
    /// The answer.
    pub answer: Value,
    /// What to write to the error log.
    pub log: String,
    /// For a test: the alert, whose delivery decides the answer.
    pub test: Option<TestAlert>,
}

/// A test alert on its way.
#[derive(Clone, Debug)]
pub struct TestAlert {
    id: u64,
    monitor: String,
    decided_ms: u64,
}

impl Refusal {
    pub(super) fn wrong(text: String) -> Refusal {
        Refusal { status: 400, text }
    }

    pub(super) fn unknown(text: String) -> Refusal {
        Refusal { status: 404, text }
    }

    /// The refusal as the body of the answer.
    pub fn to_json(&self) -> Value {
        // It quotes what was asked for.
        json!({ "error": one_line(&self.text) })
    }
}

impl Command {
    /// Reads a command: the path below the location, and the query string.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(path: &str, query: &str) -> Result<Command, Refusal> {
        let rollout = rollout::USAGES.iter().find(|(name, ..)| *name == path);
        let usage = match path {
            "maintenance" => "maintenance?monitor=NAME&on=1[&for=TIME] or maintenance?monitor=NAME&on=0",
            "active" => "active?monitor=NAME&pool=NAME",
            "test" => "test?monitor=NAME",
            _ if rollout.is_some() => rollout.map_or("", |(_, usage, _)| usage),
            _ => {
                let text = format!(
                    "unknown command \"{path}\", the commands are: maintenance, active, test, share, rollout, rollback"
                );
                return Err(Refusal::unknown(text));
            }
        };
        let known: &[&str] = match path {
            "maintenance" => &["monitor", "on", "for"],
            "active" => &["monitor", "pool"],
            _ => rollout.map_or(&["monitor"], |(_, _, arguments)| arguments),
        };
        let arguments = Arguments::parse(query, known, usage)?;
        let monitor = arguments.required("monitor")?;
        match path {
            "maintenance" => {
                let on = match arguments.required("on")?.as_str() {
                    "1" => true,
                    "0" => false,
                    other => return Err(Refusal::wrong(format!("on=\"{other}\" is wrong, expected 1 or 0"))),
                };
                let for_ms = arguments.get("for").map(duration).transpose()?;
                if for_ms.is_some() && !on {
                    return Err(Refusal::wrong(format!("\"for\" goes with on=1 only, write {usage}")));
                }
                Ok(Command::Maintenance { monitor, on, for_ms })
            }
            "active" => Ok(Command::Active { monitor, pool: arguments.required("pool")? }),
            _ if rollout.is_some() => Ok(Command::Rollout { monitor, order: RolloutOrder::parse(path, &arguments)? }),
            _ => Ok(Command::Test { monitor }),
        }
    }

    /// Carries it out. The caller wakes the engine afterwards.
    ///
    /// # Errors
    /// A monitor or a pool that does not exist; nothing has changed.
    pub fn carry_out(&self, at: &Source<'_>) -> Result<Done, Refusal> {
        let target = Target::find(self.monitor(), at)?;
        // Nobody takes for left undone what this is at.
        let worker = at.board.workers().of_process(std::process::id(), at.now_ms);
        let _order = worker.map(WorkerBoard::begin_order);
        match self {
            Command::Maintenance { on, for_ms, .. } => Ok(target.maintenance(*on, *for_ms)),
            Command::Active { pool, .. } => target.active(pool),
            Command::Test { .. } => target.test(),
            Command::Rollout { order, .. } => target.order(order),
        }
    }

    fn monitor(&self) -> &str {
        match self {
            Command::Maintenance { monitor, .. }
            | Command::Active { monitor, .. }
            | Command::Test { monitor }
            | Command::Rollout { monitor, .. } => monitor,
        }
    }
}

pub(super) fn duration(text: &str) -> Result<u64, Refusal> {
    parse_time_ms(text)
        .filter(|ms| (1..=FOR_MAX_MS).contains(ms))
        .ok_or_else(|| Refusal::wrong(format!("for=\"{text}\" is wrong, expected a time, such as \"30m\" or \"2h\"")))
}

/// The arguments of a query string, each at most once.
pub(super) struct Arguments<'a> {
    values: Vec<(&'a str, String)>,
    usage: &'static str,
}

impl<'a> Arguments<'a> {
    fn parse(query: &'a str, known: &[&str], usage: &'static str) -> Result<Arguments<'a>, Refusal> {
        let mut values: Vec<(&str, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !known.contains(&name) {
                return Err(Refusal::wrong(format!("unknown argument \"{name}\", write {usage}")));
            }
            if values.iter().any(|(other, _)| *other == name) {
                return Err(Refusal::wrong(format!("\"{name}\" is given twice, write {usage}")));
            }
            let value = value.replace('+', " ");
            let decoded = percent_decode_str(&value).decode_utf8();
            let decoded = decoded.map_err(|_| Refusal::wrong(format!("\"{name}\" is not valid UTF-8")))?;
            values.push((name, decoded.into_owned()));
        }
        Ok(Arguments { values, usage })
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn required(&self, name: &str) -> Result<String, Refusal> {
        match self.get(name) {
            Some(value) if !value.is_empty() => Ok(value.into()),
            _ => Err(Refusal::wrong(format!("\"{name}\" is missing, write {}", self.usage))),
        }
    }
}

/// The monitor that a command is about.
pub(super) struct Target<'a> {
    pub(super) at: &'a Source<'a>,
    pub(super) number: usize,
    pub(super) name: &'a str,
    pub(super) shared: &'static MonitorBoard,
}

impl<'a> Target<'a> {
    fn find(name: &str, at: &'a Source<'a>) -> Result<Target<'a>, Refusal> {
        let monitors = &at.settings.monitors;
        let found = monitors.iter().position(|monitor| monitor.name == name);
        match found.and_then(|number| Some((number, at.board.monitor(at.plan, number)?))) {
            Some((number, shared)) => Ok(Target { at, number, name: &monitors[number].name, shared }),
            None => {
                let names: Vec<&str> = monitors.iter().map(|monitor| monitor.name.as_str()).collect();
                let text = format!("unknown monitor \"{name}\", the monitors are: {}", names.join(", "));
                Err(Refusal::unknown(text))
            }
        }
    }

    fn maintenance(&self, on: bool, for_ms: Option<u64>) -> Done {
        let now_ms = self.at.now_ms;
        let until_ms = for_ms.map(|ms| now_ms + ms);
        self.shared.maintenance.order(match until_ms {
            _ if !on => Order::Off,
            None => Order::On,
            Some(until_ms) => Order::Until(until_ms),
        });
        let until = until_ms.and_then(|ms| self.at.wall_ms(ms)).map(rfc3339);
        let log = match (on, &until) {
            (false, _) => format!("maintenance of monitor \"{}\" is ended by control", self.name),
            (true, None) => format!("maintenance of monitor \"{}\" is begun by control", self.name),
            (true, Some(until)) => {
                format!("maintenance of monitor \"{}\" until {until} is begun by control", self.name)
            }
        };
        let answer = json!({ "monitor": self.name, "maintenance": on, "until": until });
        Done { status: 200, answer, log, test: None }
    }

    fn active(&self, name: &str) -> Result<Done, Refusal> {
        let pool = self.pool(name)?;
        let was_active = self.shared.active();
        let before = self.shared.switch(pool, self.at.now_ms);
        self.end_rollout(was_active);
        // Not as it was asked for: a name is known by its beginning.
        let of = |pool: PoolId| self.shared.pool(pool).name.load();
        let previous = of(before.unwrap_or(pool));
        let log = match before {
            Some(before) => {
                let alert = self.info(Kind::Switched, before, pool);
                let held_back = self.shared.maintenance.is_on(self.at.now_ms);
                self.publish(&alert, if held_back { Delivery::HeldBack } else { Delivery::Pending });
                self.shared.active_settled.store(Settled { pool, at_ms: self.at.now_ms });
                format!("{} (monitor \"{}\"), by control", alert.headline(), self.name)
            }
            None => format!("pool {} is the active one of monitor \"{}\" already", of(pool), self.name),
        };
        let answer = json!({
            "monitor": self.name,
            "active_pool": of(pool),
            "previous": (!previous.is_empty()).then_some(previous),
            "changed": before.is_some(),
        });
        Ok(Done { status: 200, answer, log, test: None })
    }

    /// A pool that the configuration lists, or one that answers taught where it lists none.
    pub(super) fn pool(&self, name: &str) -> Result<PoolId, Refusal> {
        let listed = &self.at.settings.monitors[self.number].pools;
        let found = if listed.is_empty() {
            self.shared.find_pool(NameKey::of(name.as_bytes()))
        } else {
            let at = listed.iter().position(|(listed, _)| listed == name);
            at.and_then(|at| self.at.plan.pools(self.number).get(at).copied())
        };
        found.filter(|pool| pool.is_known()).ok_or_else(|| {
            let known: Vec<String> = if listed.is_empty() {
                let named = self.shared.pools.iter().skip(1).map(|pool| pool.name.load());
                named.filter(|name| !name.is_empty()).collect()
            } else {
                listed.iter().map(|(name, _)| name.clone()).collect()
            };
            let text = format!("unknown pool \"{name}\", the pools of this monitor are: {}", known.join(", "));
            Refusal::unknown(text)
        })
    }

    fn test(&self) -> Result<Done, Refusal> {
        let (last, now_ms) = (&self.shared.incident(Kind::Test).since_ms, self.at.now_ms);
        let last_ms = last.load(Relaxed);
        let ago_ms = now_ms.checked_sub(last_ms).unwrap_or(TEST_EVERY_MS);
        let too_soon = |ago_ms: u64| {
            let [ago, left] = [ago_ms, TEST_EVERY_MS.saturating_sub(ago_ms)].map(|ms| ms as f64 / 1000.0);
            let text = format!(
                "a test alert of monitor \"{}\" was sent {ago} s ago, another can be sent in {left} s",
                self.name
            );
            Refusal { status: 429, text }
        };
        if ago_ms < TEST_EVERY_MS {
            return Err(too_soon(ago_ms));
        }
        // Another worker may have been asked at the same moment.
        last.compare_exchange(last_ms, now_ms, Relaxed, Relaxed).map_err(|_| too_soon(0))?;
        let alert = self.info(Kind::Test, PoolId::NONE, self.shared.serving());
        let id = self.publish(&alert, Delivery::Pending);
        let test = TestAlert { id, monitor: self.name.into(), decided_ms: self.at.now_ms };
        let log = format!("a test alert of monitor \"{}\" is sent by control", self.name);
        Ok(Done { status: 200, answer: Value::Null, log, test: Some(test) })
    }

    fn publish(&self, alert: &Alert, state: Delivery) -> u64 {
        self.shared.incident(alert.kind).count(state);
        let sinks = sinks_for(self.at.plan, self.at.settings, self.number, alert.kind);
        self.at.board.outbox().publish(alert, &sinks, state)
    }

    fn info(&self, kind: Kind, from: PoolId, to: PoolId) -> Alert {
        let alert = Alert { instance: self.at.settings.instance.clone(), ..Alert::info(kind, self.at.now_ms) };
        informs(self.at.board, self.shared, &self.at.settings.monitors[self.number], [from, to], alert)
    }
}

impl TestAlert {
    /// How the sinks took it, and whether that is final: every sink has answered, or its time is over.
    pub fn outcomes(&self, at: &Source<'_>) -> (Value, bool) {
        let outbox = at.board.outbox();
        let mut sinks = Map::new();
        let mut is_final = true;
        for (settings, id) in at.settings.sinks.iter().zip(at.plan.sinks()) {
            if !self.is_for(*id, at) {
                continue;
            }
            let last_error = || Some(at.board.sinks().get(*id).last_error.load()).filter(|error| !error.is_empty());
            let (result, error) = match outbox.delivery(self.id, *id) {
                Delivery::Sent => ("sent", None),
                Delivery::Pending => ("pending", last_error()),
                Delivery::None => ("failed", Some("newer alerts took its place before it was sent".into())),
                Delivery::Failed | Delivery::HeldBack => ("failed", last_error()),
            };
            is_final &= result != "pending";
            sinks.insert(settings.name.clone(), json!({ "result": result, "error": error }));
        }
        let over = at.now_ms.saturating_sub(self.decided_ms) >= TEST_LIMIT_MS;
        (json!({ "sinks": sinks }), is_final || over)
    }

    fn is_for(&self, sink: crate::board::sink::SinkId, at: &Source<'_>) -> bool {
        let monitor = at.settings.monitors.iter().position(|monitor| monitor.name == self.monitor);
        monitor.is_some_and(|number| sinks_for(at.plan, at.settings, number, Kind::Test).contains(&sink))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::region::Region;
    use crate::board::tests::settings;
    use crate::board::{Board, Plan};
    use crate::settings::Settings;
    use crate::sink::settings::{SinkSettings, SystemSource};

    const T0: u64 = 1_790_000_000_000;

    struct Rig {
        board: Board,
        plan: Plan,
        settings: Settings,
    }

    impl Rig {
        fn new() -> Rig {
            let mut settings = settings(&["pool blue b:1", "pool green g:1", "active blue"]);
            let mut sink = SinkSettings::parse(&["slack", "http://127.0.0.1:9/"], &SystemSource).expect("a sink");
            sink.name = "slack".into();
            settings.sinks = vec![sink];
            let board = Board::open(Region::private(1 << 20), T0).expect("a board");
            let plan = board.activate(board.reserve(&settings, T0).expect("room"), &settings);
            Rig { board, plan, settings }
        }

        fn at(&self, now_ms: u64) -> Source<'_> {
            Source { board: self.board, plan: &self.plan, settings: &self.settings, now_ms, step_ms: 0 }
        }

        fn send(&self, path: &str, query: &str) -> Result<Done, Refusal> {
            Command::parse(path, query)?.carry_out(&self.at(T0))
        }

        fn monitor(&self) -> &'static MonitorBoard {
            self.board.monitor(&self.plan, 0).expect("a monitor")
        }
    }

    #[test]
    fn maintenance_begins_and_ends() {
        let rig = Rig::new();
        let done = rig.send("maintenance", "monitor=app&on=1&for=30m").expect("a command");
        assert_eq!(done.answer["until"], rfc3339(T0 + 1_800_000));
        assert!(rig.monitor().maintenance.is_on(T0) && !rig.monitor().maintenance.is_on(T0 + 1_800_000));
        rig.send("maintenance", "monitor=app&on=0").expect("a command");
        assert!(!rig.monitor().maintenance.is_on(T0));
    }

    #[test]
    fn a_change_of_the_active_pool_is_told_once_and_survives_a_reload() {
        let mut rig = Rig::new();
        let done = rig.send("active", "monitor=app&pool=green").expect("a command");
        assert_eq!((&done.answer["previous"], &done.answer["changed"]), (&"blue".into(), &true.into()));
        let done = rig.send("active", "pool=gre%65n&monitor=app").expect("a command");
        assert_eq!(done.answer["changed"], false);
        let alerts: Vec<Alert> = rig.board.outbox().alerts().collect();
        assert_eq!(alerts.len(), 1);
        assert_eq!(alerts[0].headline(), "Switched — active pool changed from blue → green");
        let plan = rig.board.activate(rig.board.reserve(&rig.settings, T0).expect("room"), &rig.settings);
        rig.plan = plan;
        let monitor = rig.monitor();
        assert_eq!(monitor.pool(monitor.active()).name.load(), "green");
        assert_eq!(monitor.active(), monitor.serving());
    }

    #[test]
    fn what_is_asked_for_is_quoted_as_plain_text_and_a_pool_is_called_what_it_is_called() {
        let rig = Rig::new();
        let refusal = rig.send("active", "monitor=%0a%1b[2Jx&pool=blue").expect_err("a mistake");
        assert!(refusal.to_json()["error"].as_str().is_some_and(|text| text.starts_with("unknown monitor \"  [2Jx\"")));
        let mut settings = settings(&["active blue"]);
        settings.monitors[0].pools.clear();
        let board = Board::open(Region::private(1 << 20), T0).expect("a board");
        let plan = board.activate(board.reserve(&settings, T0).expect("room"), &settings);
        let long = "x".repeat(crate::base::name::NAME_MAX);
        board.monitor(&plan, 0).expect("a monitor").learn_pool(long.as_bytes(), T0);
        let at = Source { board, plan: &plan, settings: &settings, now_ms: T0, step_ms: 0 };
        let command = Command::parse("active", &format!("monitor=app&pool={long}%0aforged")).expect("a command");
        for _ in 0..2 {
            let done = command.carry_out(&at).expect("a pool that is known by its beginning");
            assert!(!done.log.contains("forged") && !done.answer.to_string().contains("forged"), "{done:?}");
        }
    }

    #[test]
    fn times_are_answered_as_people_read_them_also_after_a_step_of_the_clock() {
        let rig = Rig::new();
        let at = Source { step_ms: -3_600_000, ..rig.at(T0) };
        let command = Command::parse("maintenance", "monitor=app&on=1&for=30m").expect("a command");
        let done = command.carry_out(&at).expect("carried out");
        assert_eq!(done.answer["until"], rfc3339(T0 - 1_800_000));
        assert!(rig.monitor().maintenance.is_on(T0 + 1_799_999), "it lasts as long as was said");
    }

    #[test]
    fn a_test_alert_reports_each_sink() {
        let rig = Rig::new();
        let test = rig.send("test", "monitor=app").expect("a command").test.expect("an alert");
        let pending = json!({ "sinks": { "slack": { "result": "pending", "error": null } } });
        assert_eq!(test.outcomes(&rig.at(T0)), (pending.clone(), false));
        assert_eq!(test.outcomes(&rig.at(T0 + 10_000)), (pending, true), "nobody waits longer");
        rig.board.outbox().mark(test.id, rig.plan.sinks()[0], Delivery::Failed);
        rig.board.sinks().get(rig.plan.sinks()[0]).last_error.store(b"404 Not Found");
        let failed = json!({ "sinks": { "slack": { "result": "failed", "error": "404 Not Found" } } });
        assert_eq!(test.outcomes(&rig.at(T0 + 1)), (failed, true));
    }

    #[test]
    fn a_monitor_sends_a_test_alert_once_a_second() {
        let rig = Rig::new();
        let send = |now_ms| Command::parse("test", "monitor=app").and_then(|test| test.carry_out(&rig.at(now_ms)));
        assert!(send(T0).is_ok());
        let refusal = send(T0 + 300).expect_err("too soon");
        let said = "a test alert of monitor \"app\" was sent 0.3 s ago, another can be sent in 0.7 s";
        assert_eq!((refusal.status, refusal.text.as_str()), (429, said));
        assert!(send(T0 + 1000).is_ok() && send(T0 + 1999).is_err());
        rig.monitor().incident(Kind::Test).since_ms.store(u64::MAX, Relaxed);
        assert!(send(T0 + 5000).is_ok(), "a time that has not come yet holds nothing up");
        assert_eq!(rig.board.outbox().alerts().count(), 3);
    }

    #[test]
    fn every_mistake_says_what_would_be_right_and_changes_nothing() {
        let rig = Rig::new();
        for (path, query, status, expected) in [
            ("", "", 404, "the commands are: maintenance, active, test"),
            ("maintenance", "on=1", 400, "\"monitor\" is missing, write maintenance?monitor=NAME&on=1"),
            ("maintenance", "monitor=app", 400, "\"on\" is missing"),
            ("maintenance", "monitor=app&on=yes", 400, "expected 1 or 0"),
            ("maintenance", "monitor=app&on=1&for=soon", 400, "expected a time"),
            ("maintenance", "monitor=app&on=1&for=0", 400, "expected a time"),
            ("maintenance", "monitor=app&on=0&for=1m", 400, "goes with on=1 only"),
            ("maintenance", "monitor=app&on=1&on=0", 400, "given twice"),
            ("active", "monitor=app&pool=red", 404, "the pools of this monitor are: blue, green"),
            ("active", "monitor=other&pool=blue", 404, "the monitors are: app"),
            ("active", "monitor=%ff&pool=blue", 400, "not valid UTF-8"),
            ("test", "monitor=app&pool=blue", 400, "unknown argument \"pool\""),
        ] {
            let refusal = rig.send(path, query).expect_err("a mistake");
            assert_eq!(refusal.status, status, "{path}?{query}");
            assert!(refusal.text.contains(expected), "{path}?{query}: {}", refusal.text);
        }
        assert!(!rig.monitor().maintenance.is_on(T0));
        assert_eq!(rig.board.outbox().alerts().count(), 0);
    }
}
