//! The generic webhook: the alert as JSON, one a request, signed where a secret is given.

use std::fmt::Write as _;

use ring::hmac;
use serde_json::Value;

use super::Outcome;
use super::secret::Secret;
use super::service::{Configured, Info, Line, Message, Service};
use super::settings::SettingsError;
use super::settings::words::Words;
use super::template::Template;
use crate::model::alert::Alert;

/// `sha256=` and the HMAC-SHA256 of the body in hexadecimal, as GitHub and many others sign theirs.
const SIGNATURE_HEADER: &str = "X-Alert-Signature";

/// Headers that this side sets, or that would change how a request is read.
const OWN_HEADERS: [&str; 5] = ["Content-Length", "Host", "Transfer-Encoding", "Connection", "User-Agent"];

pub(super) const INFO: Info = Info {
    name: "webhook",
    target: "a URL",
    parameters: &["secret", "token", "header", "body"],
    read: |words| {
        let service = Webhook { secret: words.secret("secret")?, headers: headers(words)?, template: template(words)? };
        Ok(Configured::new(service, words.url()?.with_token(words.token()?)))
    },
};

/// Any receiver of JSON, or of what a template makes.
struct Webhook {
    secret: Option<Secret>,
    headers: Vec<(String, Secret)>,
    template: Option<Template>,
}

/// The headers of `header=`, each as `Name: value`.
fn headers(words: &Words<'_>) -> Result<Vec<(String, Secret)>, SettingsError> {
    let header = |written: Secret| {
        let (name, value) = written.reveal().split_once(':')?;
        let (name, value) = (name.trim(), value.trim());
        let is_name =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        let is_free = !OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name));
        let is_value = value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        (is_name && is_free && is_value).then(|| (name.to_owned(), Secret::new(value)))
    };
    let wrong = || SettingsError::Value {
        parameter: "header",
        quoted: None,
        expected: format!("\"Name: value\" of plain characters, and none of {}", OWN_HEADERS.join(", ")),
    };
    words.secrets_of("header")?.into_iter().map(|written| header(written).ok_or_else(wrong)).collect()
}

/// The template of `body=`.
fn template(words: &Words<'_>) -> Result<Option<Template>, SettingsError> {
    let Some(text) = words.text("body")? else { return Ok(None) };
    let wrong = |cause| SettingsError::Value {
        parameter: "body",
        quoted: None,
        expected: format!("a template that can be filled with an alert: {cause}"),
    };
    Template::parse(text).map(Some).map_err(wrong)
}

impl Webhook {
    fn render(&self, alert: &Alert) -> Result<Message, String> {
        let (content_type, body) = match &self.template {
            None => ("application/json", object(alert).to_string()),
            Some(template) if template.is_json => ("application/json", template.fill(alert)?),
            Some(template) => ("text/plain; charset=utf-8", template.fill(alert)?),
        };
        let signature = self.secret.as_ref().map(|secret| (SIGNATURE_HEADER.to_owned(), signature(secret, &body)));
        let own = self.headers.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned()));
        Ok(Message { headers: signature.into_iter().chain(own).collect(), ..Message::text(content_type, body) })
    }
}

impl Service for Webhook {
    fn message(&self, alerts: &[Alert], _now_ms: u64) -> Message {
        // What cannot be filled is not sent either.
        let rendered = alerts.first().and_then(|alert| self.render(alert).ok());
        rendered.unwrap_or_else(|| Message::text("application/json", String::new()))
    }

    fn exchange(&self, alerts: &[Alert], _now_ms: u64, line: &Line<'_>) -> Outcome {
        for alert in alerts {
            let sent = match self.render(alert) {
                Ok(message) => line.send(&message),
                Err(cause) => Err(Outcome::Permanent { error: format!("the template of \"body=\" fails: {cause}") }),
            };
            if let Err(outcome) = sent {
                return outcome;
            }
        }
        Outcome::Sent
    }
}

/// The object of the status document. Where the operator gives no labels it has none: some receivers take everything
/// with labels for an alert of Prometheus.
fn object(alert: &Alert) -> Value {
    let mut object = alert.to_json();
    if let Some(keys) = object.as_object_mut().filter(|_| alert.labels.is_empty()) {
        keys.remove("labels");
    }
    object
}

fn signature(secret: &Secret, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes());
    let mut text = String::from("sha256=");
    for byte in hmac::sign(&key, body.as_bytes()).as_ref() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::alert::tests::failover;
    use crate::sink::Sink;
    use crate::sink::server::{Answer, Server};
    use crate::sink::settings::SinkSettings;
    use crate::sink::settings::tests::FakeSource;
    use crate::sink::tests::{body, hostile, named_alerts};

    fn service() -> Webhook {
        Webhook { secret: None, headers: Vec::new(), template: None }
    }

    #[test]
    fn headers_a_token_and_a_template_are_the_operators() {
        let server = Server::start([Answer::status(200)]);
        let words = [
            "webhook",
            &format!("http://{}/hook", server.address()),
            "header=X-Api-Key: s3cr3t",
            "header=env:SECOND",
            "token=t0k3n",
            "body=file:/template",
        ];
        let source = FakeSource {
            env: FakeSource::with_env(&[("SECOND", "X-Team: shop")]).env,
            ..FakeSource::with_file("/template", "{\"content\": {{ text | tojson }}}\n")
        };
        let settings = SinkSettings::parse(&words, &source).expect("valid");
        assert_eq!(Sink::new(&settings).deliver(&[failover()]), Outcome::Sent);
        let request = &server.requests()[0];
        assert_eq!(request.header("x-api-key"), Some("s3cr3t"));
        assert_eq!(request.header("x-team"), Some("shop"));
        assert_eq!(request.header("authorization"), Some("Bearer t0k3n"));
        assert_eq!(request.header("content-type"), Some("application/json"));
        let body: Value = serde_json::from_str(&request.body).expect("JSON");
        assert_eq!(body, serde_json::json!({ "content": failover().headline() }));
        for (word, said) in [
            ("header=X-Api-Key", "\"Name: value\""),
            ("header=Host: elsewhere", "none of Content-Length, Host"),
            ("header=X: a\r\nY: b", "\"Name: value\""),
            ("body={{ txet }}", "a word in line 1 does not exist"),
            ("body=file:/none", "\"/none\", which gives the value of \"body=\""),
        ] {
            let error = SinkSettings::parse(&["webhook", "http://a/", word], &source).expect_err("refused").to_string();
            assert!(error.contains(said), "{word} gives {error}");
        }
    }

    #[test]
    fn the_body_is_the_alert() {
        assert_eq!(body(&service(), &[failover()]), failover().to_json());
        assert!(service().message(&[failover()], 0).headers.is_empty());
    }

    #[test]
    fn the_signature_is_that_of_the_standard() {
        // Test case 2 of RFC 4231.
        assert_eq!(
            signature(&Secret::new("Jefe"), "what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn a_name_of_any_length_is_cut() {
        let body = body(&service(), &[hostile(&"x".repeat(10_000))]);
        assert!(body.to_string().len() < 10_000);
    }

    proptest::proptest! {
        #![proptest_config(crate::sink::tests::cases())]

        #[test]
        fn any_name_gives_valid_json(alerts in named_alerts()) {
            body(&service(), &alerts[..1]);
        }
    }
}
