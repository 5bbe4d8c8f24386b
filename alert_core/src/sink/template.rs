//! The body of a webhook as the operator writes it: a template in the language of Jinja, filled with the alert object.
//!
//! It is tried with an alert of every kind when the configuration is read, so that a word which does not exist is told
//! there, and so is JSON that a name with a quotation mark would break.

use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use serde_json::{Value, json};

use crate::model::alert::{Alert, Example, Kind, Links, Missed, PoolFigures, PoolLabel, Status, WindowFigures};

const NAME: &str = "body";
/// Steps that one message may take: far more than any that ends by itself.
const FUEL: u64 = 200_000;

/// A template that can be filled.
pub(super) struct Template {
    environment: Environment<'static>,
    /// Whether what it makes is JSON.
    pub(super) is_json: bool,
}

impl Template {
    /// Reads a template and tries it.
    ///
    /// # Errors
    /// What is wrong with it, and in which line.
    pub(super) fn parse(text: String) -> Result<Template, String> {
        let start = text.trim_start();
        let is_json = start.starts_with(['{', '[']) && !start.starts_with("{{") && !start.starts_with("{%");
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.add_template_owned(NAME, text).map_err(|error| sentence(&error))?;
        let template = Template { environment, is_json };
        for (kind, status) in Kind::ALL.into_iter().flat_map(|kind| [(kind, Status::Firing), (kind, Status::Resolved)])
        {
            let body = template.fill(&sample(kind, status))?;
            if template.is_json && serde_json::from_str::<Value>(&body).is_err() {
                return Err("it makes no JSON where a name has a quotation mark; write {{ text | tojson }}, without \
                            quotation marks around it"
                    .into());
            }
        }
        Ok(template)
    }

    /// The body for an alert.
    ///
    /// # Errors
    /// What is wrong with the template, and in which line.
    pub(super) fn fill(&self, alert: &Alert) -> Result<String, String> {
        let template = self.environment.get_template(NAME).map_err(|error| sentence(&error))?;
        // Everything that JSON can hold is a value there.
        let context: minijinja::Value = serde_json::from_value(context(alert)).map_err(|error| error.to_string())?;
        template.render(context).map_err(|error| sentence(&error))
    }
}

/// The alert object, and what is made of it for people.
fn context(alert: &Alert) -> Value {
    let mut object = alert.to_json();
    object["symbol"] = alert.symbol().into();
    object["plain_text"] = alert.plain_text().into();
    object["details"] =
        alert.details().iter().map(|(label, value)| json!({ "label": label, "value": value })).collect();
    object
}

fn sentence(error: &minijinja::Error) -> String {
    let line = error.line().map_or_else(String::new, |line| format!(" in line {line}"));
    match (error.kind(), error.detail()) {
        (ErrorKind::UndefinedError, _) => format!("a word{line} does not exist in an alert"),
        (ErrorKind::OutOfFuel, _) => format!("it takes too long{line}"),
        (_, Some(detail)) => format!("{detail}{line}"),
        (kind, None) => format!("{kind}{line}"),
    }
}

/// An alert with names that break what is not escaped.
fn sample(kind: Kind, status: Status) -> Alert {
    let name = || "\"a\\b\"<&>'{}".to_owned();
    let pool = || PoolLabel { name: name(), release: name(), address: name() };
    Alert {
        id: 1,
        time_ms: 1_790_000_000_000,
        monitor: name(),
        instance: name(),
        labels: vec![("env".into(), name())],
        links: Links { status: name(), runbook: name() },
        kind,
        status,
        reminder: false,
        since_ms: 1_790_000_000_000,
        limit: "2%".into(),
        latency_ms: 1,
        from: pool(),
        to: pool(),
        no_failure_seen: false,
        unwatched: false,
        pools: vec![PoolFigures {
            name: name(),
            requests: 1,
            count: 1,
            latency_ms: 1,
            release: name(),
            release_since_ms: 1_790_000_000_000,
        }],
        window: WindowFigures { size: 200, filled: 200, failed: 5, retried: 5, abandoned: 5 },
        failed_attempts: 1,
        retries_absorbed: 1,
        errors_reached_users: 1,
        story: String::new(),
        cause: name(),
        examples: vec![Example { method: name(), path: name(), status: 502, address: name() }],
        held_back: 1,
        missed: Missed::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::alert::tests::failover;

    fn parse(text: &str) -> Result<Template, String> {
        Template::parse(text.into())
    }

    #[test]
    fn a_template_is_filled_with_the_alert() {
        let template = parse(
            "{\"msgtype\": \"text\", \"text\": {{ text | tojson }}, \"to\": {{ to.pool | tojson }},
              \"rows\": [{% for row in details %}{{ row.label | tojson }}{% if not loop.last %}, {% endif %}{% endfor %}]}",
        )
        .expect("a template");
        let json: Value = serde_json::from_str(&template.fill(&failover()).expect("a body")).expect("JSON");
        assert_eq!(json["text"], failover().headline());
        assert_eq!((&json["to"], &json["rows"][0]), (&json!("green"), &json!("Users saw")));
        assert!(template.is_json);
        let plain = parse("{{ symbol }} {{ text }} ({{ monitor }}){% if status == 'resolved' %} over{% endif %}");
        let plain = plain.expect("a template");
        assert!(!plain.is_json);
        let body = plain.fill(&failover()).expect("a body");
        assert_eq!(body, "🚨 Failover detected — pool changed from blue → green (app)");
    }

    #[test]
    fn a_mistake_is_told_when_the_template_is_read_with_its_line() {
        for (text, said) in [
            ("{{ text", "in line 1"),
            ("ok\n{{ txet }}", "a word in line 2 does not exist"),
            ("{{ to.pol }}", "does not exist"),
            ("{{ text | shout }}", "in line 1"),
            ("{\"text\": \"{{ text }}\"}\n{{ monitor }}", "write {{ text | tojson }}"),
            ("{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}", "it takes too long"),
        ] {
            let error = parse(text).err().unwrap_or_default();
            assert!(error.contains(said), "{text:?} gives {error:?}");
        }
    }
}
