//! The generic webhook: the alert as JSON, one a request, signed where a secret is given.

use std::fmt::Write as _;

use ring::hmac;
use serde_json::Value;

use super::secret::Secret;
use super::service::{Configured, Info, Message, Service};
use crate::model::alert::Alert;

/// `sha256=` and the HMAC-SHA256 of the body in hexadecimal, as GitHub and many others sign theirs.
const SIGNATURE_HEADER: &str = "X-Alert-Signature";

pub(super) const INFO: Info = Info {
    name: "webhook",
    target: "a URL",
    parameters: &["secret"],
    read: |words| Ok(Configured::new(Webhook { secret: words.secret("secret")? }, words.url()?)),
};

/// Any receiver of JSON.
struct Webhook {
    secret: Option<Secret>,
}

impl Service for Webhook {
    fn message(&self, alerts: &[Alert], _now_ms: u64) -> Message {
        let body: String = alerts.iter().map(|alert| object(alert).to_string()).collect();
        let signature = self.secret.as_ref().map(|secret| (SIGNATURE_HEADER.to_owned(), signature(secret, &body)));
        Message { headers: signature.into_iter().collect(), ..Message::text("application/json", body) }
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
    use crate::sink::tests::{body, hostile, named_alerts};

    #[test]
    fn the_body_is_the_alert() {
        assert_eq!(body(&Webhook { secret: None }, &[failover()]), failover().to_json());
        assert!(Webhook { secret: None }.message(&[failover()], 0).headers.is_empty());
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
        let body = body(&Webhook { secret: None }, &[hostile(&"x".repeat(10_000))]);
        assert!(body.to_string().len() < 10_000);
    }

    proptest::proptest! {
        #![proptest_config(crate::sink::tests::cases())]

        #[test]
        fn any_name_gives_valid_json(alerts in named_alerts()) {
            body(&Webhook { secret: None }, &alerts[..1]);
        }
    }
}
