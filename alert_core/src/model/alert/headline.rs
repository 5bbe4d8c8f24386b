//! The first line of every message: a symbol, and what happened in one sentence.

use super::{Alert, Kind, LINE_END, Status, WindowFigures, named, plural};

/// The symbols of messages: the Slack-style shortcode and the character.
const SYMBOLS: [(&str, &str); 8] = [
    ("white_check_mark", "✅"),
    ("rotating_light", "🚨"),
    ("information_source", "ℹ️"),
    ("warning", "⚠️"),
    ("rocket", "🚀"),
    ("hourglass_flowing_sand", "⏳"),
    ("leftwards_arrow_with_hook", "↩️"),
    ("no_entry_sign", "🚫"),
];

impl Alert {
    /// The sentence after the symbol, without markup.
    pub fn headline(&self) -> String {
        let sentence = self.sentence();
        match &self.missed.fired {
            Some(fired) => format!("{sentence} (was: {})", fired.headline),
            None => sentence,
        }
    }

    fn sentence(&self) -> String {
        let WindowFigures { filled, failed, retried, abandoned, .. } = self.window;
        let (from, to) = (named(&self.from.name), named(&self.to.name));
        let resolved = self.status == Status::Resolved;
        if self.unwatched {
            return self.unwatched_sentence();
        }
        match self.kind {
            Kind::ErrorRate if resolved => {
                format!("Upstream 5xx rate is back to normal — {} over last {filled} requests", percent(failed, filled))
            }
            Kind::ErrorRate => format!(
                "High upstream 5xx rate — {} 5xx over last {filled} requests ({failed} {}). Threshold: {}",
                percent(failed, filled),
                plural(failed, "error", "errors"),
                self.limit
            ),
            Kind::RetryRate if resolved => format!(
                "Upstream retry rate is back to normal — {} over last {filled} requests",
                percent(retried, filled)
            ),
            Kind::RetryRate => format!(
                "High upstream retry rate — {} retried over last {filled} requests ({retried} {}). Threshold: {}",
                percent(retried, filled),
                plural(retried, "retry", "retries"),
                self.limit
            ),
            Kind::Latency => {
                let percentile = self.limit.split(' ').next().unwrap_or("latency");
                if resolved {
                    format!(
                        "Upstream latency is back to normal — {percentile} {} ms over last {filled} requests",
                        self.latency_ms
                    )
                } else {
                    format!(
                        "High upstream latency — {percentile} {} ms over last {filled} requests. Threshold: {}",
                        self.latency_ms, self.limit
                    )
                }
            }
            Kind::Failover if self.reminder => {
                format!("Still failed over — pool {to} serves instead of {from}")
            }
            Kind::Failover => format!("Failover detected — pool changed from {from} → {to}"),
            Kind::Failback if self.from.name == self.to.name => {
                format!("Failover is over — pool {to} is the active one now")
            }
            Kind::Failback => format!("Recovered — pool is back from {from} → {to}"),
            Kind::Flapping if resolved => "Flapping is over — traffic has not moved between pools for 5 minutes".into(),
            Kind::Flapping => format!(
                "Flapping — traffic keeps moving between pools {from} and {to}. Quiet until 5 minutes were stable"
            ),
            Kind::Switched => format!("Switched — active pool changed from {from} → {to}"),
            Kind::Outage if resolved => "Outage is over — requests are answered again".into(),
            Kind::Outage => format!("Outage — the last {} requests all failed; no pool answers", self.limit),
            Kind::AbandonRate if resolved => format!(
                "Share of clients that gave up is back to normal — {} over last {filled} requests",
                percent(abandoned, filled)
            ),
            Kind::AbandonRate => format!(
                "Clients give up waiting — {} over last {filled} requests ({abandoned} abandoned). Threshold: {}",
                percent(abandoned, filled),
                self.limit
            ),
            Kind::Rollout | Kind::Rollback | Kind::Comparison | Kind::Probe => {
                self.told().map_or("unknown", |(_, sentence)| sentence).into()
            }
            Kind::Test => format!("Test alert — monitor {} can reach you", self.monitor),
        }
    }

    fn unwatched_sentence(&self) -> String {
        let what = match self.kind {
            Kind::ErrorRate => "Upstream 5xx rate is",
            Kind::RetryRate => "Upstream retry rate is",
            Kind::AbandonRate => "Share of clients that gave up is",
            Kind::Latency => "Upstream latency is",
            Kind::Outage => "Outage is",
            Kind::Flapping => "Flapping is",
            Kind::Probe => "Probes of pools are",
            _ => "Failover is",
        };
        let why = match self.kind {
            _ if self.window == WindowFigures::default() => "its monitor was removed",
            Kind::Failover | Kind::Failback => "its rule was switched off, or its pools are no longer those",
            _ => "its rule was switched off",
        };
        format!("{what} no longer watched — {why}")
    }

    /// The first line of the story, and the symbol in front of it.
    fn told(&self) -> Option<(&'static str, &str)> {
        let (shortcode, sentence) = self.story.split(LINE_END).next()?.strip_prefix(':')?.split_once(": ")?;
        let (shortcode, _) = SYMBOLS.iter().find(|(known, _)| *known == shortcode)?;
        Some((shortcode, sentence))
    }

    /// The Slack-style shortcode of the symbol in front of the headline, without colons.
    pub fn shortcode(&self) -> &'static str {
        if let Some((shortcode, _)) = self.told() {
            return shortcode;
        }
        match (self.status, self.kind) {
            (Status::Resolved, _) => "white_check_mark",
            (_, Kind::Failover | Kind::Outage) => "rotating_light",
            (Status::Info, _) => "information_source",
            _ => "warning",
        }
    }

    /// The same symbol as a character, for receivers without shortcodes.
    pub fn symbol(&self) -> &'static str {
        let shortcode = self.shortcode();
        SYMBOLS.iter().find(|(known, _)| *known == shortcode).map_or("⚠️", |(_, symbol)| symbol)
    }
}

fn percent(count: u32, of: u32) -> String {
    let share = if of == 0 { 0.0 } else { f64::from(count) * 100.0 / f64::from(of) };
    format!("{share:.2}%")
}
