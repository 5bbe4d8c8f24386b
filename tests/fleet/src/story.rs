//! What happens to the fleet, and what must be seen of it: by Prometheus, by Alertmanager, by those on call.

use std::time::Duration;

use tests::prometheus;

use crate::host::Host;
use crate::table::Table;
use crate::watch::{NOTIFIED, Notification, Watch};

/// All hosts together are asked this often a second at least, so that few have enough traffic too.
const REQUESTS_A_SECOND: u64 = 200;
/// The least of one host.
const OF_A_HOST: u64 = 10;
/// A scrape of all hosts, and more than a loaded machine takes.
const SCRAPED: Duration = Duration::from_secs(45);
/// What Prometheus says of many hosts is there within a minute.
const TOLD: Duration = Duration::from_secs(60);
/// Longer than hosts wait until they repeat what fires, so that it fails.
const AWAY: Duration = Duration::from_secs(20);
/// Hosts repeat what fires every 15 s, also what did not arrive.
const KNOWN_AGAIN: Duration = Duration::from_secs(20);
/// How long nothing more may come. Alertmanager adds to what it told once a minute.
const QUIET: Duration = Duration::from_secs(65);
/// What the shortened rules say, which is there within their windows.
const SHORTENED: Duration = Duration::from_secs(120);

/// Plays it with so many hosts; whether all was as expected.
pub fn play(count: usize) -> bool {
    let watch = Watch::start();
    let pause = Duration::from_millis(1000 / (REQUESTS_A_SECOND / count as u64).max(OF_A_HOST));
    let mut hosts: Vec<Host> =
        (1..=count).map(|number| Host::start(&format!("edge-{number:02}"), watch.alertmanager.url(), pause)).collect();
    watch.scrape(&hosts);
    let mut story = Story { watch, table: Table::new(), told: 0 };
    story.begins(&hosts);
    story.one_fails(&hosts);
    story.all_fail(&hosts);
    story.alertmanager_restarts(&hosts);
    story.all_recover(&hosts);
    story.watch.scrape_in_haste(&hosts);
    story.a_host_is_silent(&mut hosts);
    story.burns_slowly(&hosts);
    story.nobody_is_served(&hosts);
    story.table.finish()
}

struct Story {
    watch: Watch,
    table: Table,
    /// Notifications that belong to what happened before.
    told: usize,
}

impl Story {
    fn act(&mut self, what: &str) {
        self.told = self.watch.notifications().len();
        self.table.act(what);
    }

    /// Waits for one notification of this kind, and that nothing else is told.
    fn expect_told(&mut self, expected: &str, is_it: impl Fn(&Notification) -> bool) {
        let (watch, told) = (&self.watch, self.told);
        self.table.expect(expected, NOTIFIED, || {
            let new = watch.notifications().split_off(told);
            (new.len() == 1 && is_it(&new[0]), titles(&new))
        });
        self.told = self.watch.notifications().len();
    }

    fn expect_quiet(&mut self, expected: &str, time: Duration) {
        let (watch, told) = (&self.watch, self.told);
        self.table.expect_throughout(expected, time, || {
            let new = watch.notifications().split_off(told);
            (new.is_empty(), titles(&new))
        });
    }

    fn expect_alert(&mut self, limit: Duration, name: &str, labels: &str) {
        let watch = &self.watch;
        self.table.expect(&format!("{name}{{{labels}}}"), limit, || {
            let labels = if labels.is_empty() { String::new() } else { format!(", {labels}") };
            let fires = watch.fires(name, &labels);
            (fires, if fires { "fires" } else { "does not fire" }.into())
        });
    }

    fn expect_number(&mut self, expected: &str, expression: &str, number: usize) {
        let watch = &self.watch;
        self.table.expect(expected, SCRAPED, || {
            let value = watch.prometheus.ask(expression).ok().and_then(|found| Some(found.first()?.value));
            let value = value.unwrap_or(0.0);
            (value == number as f64, value.to_string())
        });
    }

    fn begins(&mut self, hosts: &[Host]) {
        self.act("All hosts work");
        self.expect_number("all hosts are scraped", "sum(up)", hosts.len());
        let watch = &self.watch;
        self.table.expect("by which Prometheus calls it too", SCRAPED, || {
            let found = watch.prometheus.ask("nginx_alert_build_info").unwrap_or_default();
            let differs = found.iter().find(|one| one.label("exported_instance") != one.label("instance"));
            (differs.is_none(), differs.map_or("all".into(), |one| one.labels.to_string()))
        });
        self.expect_quiet("nothing is told", Duration::from_secs(5));
    }

    fn one_fails(&mut self, hosts: &[Host]) {
        let host = &hosts[0];
        self.act(&format!("Blue fails on {} alone", host.name));
        host.break_blue(true);
        let link = format!("/d/nginx-alert?var-instance={}&var-monitor=shop|{0}>", host.name);
        self.expect_told("one notification, which names the host and leads to it", |told| {
            told.title.contains("Failover detected") && told.text.contains(&link)
        });
        let watch = &self.watch;
        self.table.expect_throughout("it is not said of all hosts", Duration::from_secs(10), || {
            let fires = watch.fires("NginxPoolFailsFleetWide", "");
            (!fires, if fires { "NginxPoolFailsFleetWide" } else { "not said" }.into())
        });
        self.act("It works again");
        host.break_blue(false);
        self.expect_told("one notification that it is over", Notification::is_over);
    }

    fn all_fail(&mut self, hosts: &[Host]) {
        self.act("Blue fails on all hosts");
        hosts.iter().for_each(|host| host.break_blue(true));
        self.expect_alert(TOLD, "NginxPoolFailsFleetWide", "pool=\"blue\"");
        let all = format!("Pool blue of shop fails on {0} of {0} hosts", hosts.len());
        self.expect_told("one notification of all hosts", |told| told.title.contains(&all));
        self.expect_quiet("nothing of each host", QUIET);
    }

    /// It forgets what fires, and remembers what it told.
    fn alertmanager_restarts(&mut self, hosts: &[Host]) {
        self.act("Alertmanager is away for 20 s and starts anew, and blue works again on one host");
        self.watch.alertmanager.restart_after(AWAY);
        hosts[0].break_blue(false);
        let watch = &self.watch;
        self.table.expect("it knows again what fires, by the hosts", KNOWN_AGAIN, || {
            let firing = watch.alertmanager.firing();
            let names = firing.iter().filter(|alert| alert["labels"]["alertname"] == "NginxFailover").count();
            (names == hosts.len() - 1, format!("{names} hosts"))
        });
        let (watch, told) = (&self.watch, self.told);
        self.table.expect_throughout("nobody is told that it is over", QUIET, || {
            let new = watch.notifications().split_off(told);
            (!new.iter().any(Notification::is_over), titles(&new))
        });
    }

    fn all_recover(&mut self, hosts: &[Host]) {
        self.act("Blue works again on all hosts");
        hosts.iter().for_each(|host| host.break_blue(false));
        let (watch, told) = (&self.watch, self.told);
        self.table.expect("the last notification says that it is over", 2 * NOTIFIED, || {
            let new = watch.notifications().split_off(told);
            (new.last().is_some_and(Notification::is_over), titles(&new))
        });
        self.table.expect("nothing fires", SCRAPED, || {
            let firing = watch.alertmanager.firing();
            (firing.is_empty(), format!("{} alerts", firing.len()))
        });
    }

    fn a_host_is_silent(&mut self, hosts: &mut [Host]) {
        self.act("nginx stops on one host (from here on minutes of the rules are seconds)");
        let host = hosts.last_mut().expect("some hosts");
        host.go_silent();
        let named = format!("instance=\"{}\"", host.name);
        self.expect_alert(SHORTENED, "NginxAlertHostSilent", &named);
        self.expect_told("one notification, which names the host", |told| {
            told.title.contains(&format!("{} stopped reporting", host.name))
        });
        host.come_back();
        self.expect_number("it reports again", "sum(up)", hosts.len());
    }

    fn burns_slowly(&mut self, hosts: &[Host]) {
        self.act("One request of 200 fails, everywhere, and goes on failing");
        hosts.iter().for_each(|host| host.poison(true));
        self.expect_alert(SHORTENED, "NginxErrorBudgetBurnsSlowly", "monitor=\"shop\"");
        let watch = &self.watch;
        self.table.expect_throughout("that is no fast burn, and no host's alert", Duration::from_secs(5), || {
            let firing = watch.prometheus.firing();
            let names: Vec<_> = firing.iter().map(|alert| alert.label("alertname")).collect();
            (names == ["NginxErrorBudgetBurnsSlowly"], names.join(", "))
        });
        hosts.iter().for_each(|host| host.poison(false));
    }

    fn nobody_is_served(&mut self, hosts: &[Host]) {
        self.act("Both pools fail on all hosts");
        hosts.iter().for_each(|host| host.break_both(true));
        self.expect_alert(SHORTENED, "NginxRuleBrokenFleetWide", "kind=\"error_rate\"");
        self.expect_alert(SHORTENED, "NginxErrorBudgetBurnsFast", "monitor=\"shop\"");
        let all = format!("on {0} of {0} hosts", hosts.len());
        let (watch, told) = (&self.watch, self.told);
        self.table.expect("a notification of all hosts", 2 * NOTIFIED, || {
            let new = watch.notifications().split_off(told);
            (new.iter().any(|told| told.text.contains(&all)), titles(&new))
        });
        self.expect_answers(&hosts[0].name);
        hosts.iter().for_each(|host| host.break_both(false));
    }

    /// The dashboard, of all hosts and of one.
    fn expect_answers(&mut self, host: &str) {
        let watch = &self.watch;
        for instance in [".*", host] {
            self.table.expect(&format!("the dashboard has answers for {instance}"), SCRAPED, || {
                let expressions = prometheus::dashboard();
                let ask = |(title, expression): &(String, String)| {
                    let asked = prometheus::chosen(expression, ".*", instance);
                    watch.prometheus.ask(&asked).err().map(|error| format!("{title}: {error}"))
                };
                let errors: Vec<_> = expressions.iter().filter_map(ask).collect();
                (errors.is_empty(), format!("{} expressions {}", expressions.len(), errors.join(", ")))
            });
        }
    }
}

fn titles(notifications: &[Notification]) -> String {
    if notifications.is_empty() {
        return "no notification".into();
    }
    notifications.iter().map(|one| one.title.replace('\n', " ")).collect::<Vec<_>>().join(" | ")
}
