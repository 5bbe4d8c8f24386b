//! Mail, by SMTP: `email smtp://USER:PASSWORD@HOST:587 from=ADDRESS to=ADDRESS,…`.
//!
//! `smtps://` speaks TLS from the first byte (port 465 unless one is written), `smtp://` begins it by STARTTLS (587). A
//! server without STARTTLS is refused, unless it is on this machine or `tls=off` says that plain text is good enough.
//! All mails about one incident are one thread.

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Mailboxes};
use ring::digest::{SHA256, digest as hash};

use super::digest;
use super::http::Reply;
use super::service::{Configured, Info, Message, Service, Transport, Verdict};
use super::settings::words::Words;
use super::settings::{SettingsError, SinkSettings};
use super::smtp::{Client, Security};
use super::text::cut;
use crate::model::alert::Alert;

const SUBJECT_MAX: usize = 200;
const RECIPIENTS_MAX: usize = 20;

pub(super) const INFO: Info = Info {
    name: "email",
    target: "the URL of a mail server (smtp:// or smtps://)",
    parameters: &["from", "to", "tls"],
    read: Email::read,
};

struct Email {
    from: Mailbox,
    to: Vec<Mailbox>,
    security: Security,
}

impl Email {
    fn read(words: &Words<'_>) -> Result<Configured, SettingsError> {
        let endpoint = words.mail_url()?;
        let from = addresses("from", &words.required("from", "from=ADDRESS")?)?;
        let to = addresses("to", &words.required("to", "to=ADDRESS")?)?;
        let security = match words.text("tls")?.as_deref() {
            None if endpoint.is_smtps() => Security::Tls,
            None if endpoint.is_local() => Security::StartTlsIfOffered,
            None => Security::StartTls,
            Some("off") if !endpoint.is_smtps() => Security::Plain,
            Some(_) => {
                let expected = "\"off\", and that with smtp:// only".into();
                return Err(SettingsError::Value { parameter: "tls", quoted: None, expected });
            }
        };
        // There is one sender, and the first is it.
        let from = from.into_iter().next().ok_or_else(|| wrong_address("from"))?;
        Ok(Configured::new(Email { from, to, security }, endpoint))
    }

    fn mail(&self, alerts: &[Alert], now_ms: u64) -> Option<lettre::Message> {
        let (subject, text) = match alerts {
            [alert] => (format!("{} ({} on {})", alert.headline(), alert.monitor, alert.instance), alert.plain_text()),
            alerts => (digest::headline(alerts), several(alerts)),
        };
        let first = alerts.first()?;
        let mut builder = lettre::Message::builder()
            .from(self.from.clone())
            .subject(cut(&subject, SUBJECT_MAX))
            .date(std::time::UNIX_EPOCH + std::time::Duration::from_millis(now_ms.min(LAST_MS)))
            // So that nobody's absence answers it.
            .raw_header(raw("Auto-Submitted", "auto-generated")?);
        builder = self.to.iter().fold(builder, |builder, to| builder.to(to.clone()));
        builder = builder.message_id(Some(message_id(&format!("{} {} {now_ms}", first.id, incident(first)))));
        if let [alert] = alerts {
            // What all mails of an incident refer to need not exist.
            let root = message_id(&incident(alert));
            builder = builder.in_reply_to(root.clone()).references(root);
        }
        builder.header(ContentType::TEXT_PLAIN).body(text).ok()
    }
}

/// The last second that a date of a mail can be.
const LAST_MS: u64 = 253_402_300_799_000;

fn raw(name: &'static str, value: &str) -> Option<HeaderValue> {
    Some(HeaderValue::new(HeaderName::new_from_ascii(name.into()).ok()?, value.into()))
}

fn incident(alert: &Alert) -> String {
    let Alert { instance, monitor, kind, since_ms, .. } = alert;
    format!("{instance} {monitor} {} {since_ms}", kind.incident())
}

fn message_id(of: &str) -> String {
    let hash = hash(&SHA256, of.as_bytes());
    let id: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("<{id}@nginx-alert>")
}

fn several(alerts: &[Alert]) -> String {
    let lines = alerts.iter().map(|alert| format!("{} {}", alert.headline(), digest::origin(alert)));
    let full = alerts.iter().map(|alert| format!("\n{}", alert.plain_text()));
    digest::obsolete(alerts).into_iter().chain(lines).chain(full).collect::<Vec<_>>().join("\n")
}

fn addresses(parameter: &'static str, written: &str) -> Result<Vec<Mailbox>, SettingsError> {
    let wrong = || wrong_address(parameter);
    let found: Mailboxes = written.parse().map_err(|_| wrong())?;
    let found: Vec<Mailbox> = found.into_iter().collect();
    if (1..=RECIPIENTS_MAX).contains(&found.len()) { Ok(found) } else { Err(wrong()) }
}

fn wrong_address(parameter: &'static str) -> SettingsError {
    let expected = format!("1 to {RECIPIENTS_MAX} addresses such as ops@example.com, separated by commas");
    SettingsError::Value { parameter, quoted: None, expected }
}

impl Service for Email {
    fn message(&self, alerts: &[Alert], now_ms: u64) -> Message {
        let bytes = self.mail(alerts, now_ms).map(|mail| mail.formatted()).unwrap_or_default();
        // The body is encoded, so that all of it is ASCII.
        Message::text("message/rfc822", String::from_utf8_lossy(&bytes).into())
    }

    /// By the first digit of SMTP: 2 is success, 4 can be tried again, 5 cannot.
    fn verdict(&self, reply: &Reply) -> Verdict {
        match reply.status {
            200..300 => Verdict::Sent,
            400..500 => Verdict::Retry,
            _ => Verdict::Permanent,
        }
    }

    fn digests(&self) -> bool {
        true
    }

    fn fitting(&self, alerts: &[Alert]) -> usize {
        alerts.len().min(digest::ALERTS_MAX)
    }

    fn transport(&self, settings: &SinkSettings) -> Box<dyn Transport> {
        let addresses = |boxes: &[Mailbox]| boxes.iter().map(|mailbox| mailbox.email.clone()).collect::<Vec<_>>();
        Box::new(Client::new(settings, self.security, self.from.email.clone(), addresses(&self.to)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::alert::tests::failover;
    use crate::model::alert::{Kind, Status};
    use crate::sink::settings::tests::{error, settings};
    use crate::sink::tests::{named_alerts, sink};

    const WORDS: &str = "email smtp://127.0.0.1:25 from=nginx@example.com to=ops@example.com,dev@example.com";

    fn mail(alert: Alert) -> String {
        sink(WORDS).bodies(&[alert], 1_790_000_200_000).remove(0)
    }

    fn header<'a>(mail: &'a str, name: &str) -> &'a str {
        let line = mail.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no {name} in {mail}"))
    }

    #[test]
    fn a_mail_says_who_what_and_where() {
        let mail = mail(failover());
        assert_eq!(header(&mail, "From"), "nginx@example.com");
        assert_eq!(header(&mail, "To"), "ops@example.com, dev@example.com");
        assert_eq!(header(&mail, "Auto-Submitted"), "auto-generated");
        assert_eq!(header(&mail, "Date"), "Mon, 21 Sep 2026 14:16:40 +0000");
        assert!(mail.is_ascii() && mail.contains("Users saw: 16 retries absorbed"), "{mail}");
    }

    #[test]
    fn all_mails_of_an_incident_are_one_thread() {
        let fired = mail(failover());
        let over = mail(Alert { id: 8, kind: Kind::Failback, status: Status::Resolved, ..failover() });
        assert_eq!(header(&fired, "References"), header(&over, "References"));
        assert_ne!(header(&fired, "Message-ID"), header(&over, "Message-ID"));
    }

    #[test]
    fn mistakes_are_told_with_what_would_be_right() {
        for (words, said) in [
            ("email smtp://a", "\"email\" needs \"from=ADDRESS\" too"),
            ("email smtp://a from=x@y.example", "\"email\" needs \"to=ADDRESS\" too"),
            ("email smtp://a from=x@y.example to=nobody", "of \"to=\", it must be 1 to 20 addresses"),
            ("email https://a from=x@y.example to=x@y.example", "must begin with \"smtp://\" or \"smtps://\""),
            ("email smtps://a from=x@y.example to=x@y.example tls=off", "\"tls=\", it must be \"off\""),
            ("slack smtp://a", "must begin with \"http://\" or \"https://\""),
        ] {
            let error = error(words);
            assert!(error.contains(said), "{words} gives {error}");
        }
        let shown = settings("email smtps://me:s3cr3t@mail.example from=x@y.example to=x@y.example").display_target();
        assert_eq!(shown, "smtps://mail.example/…");
    }

    proptest::proptest! {
        #![proptest_config(crate::sink::tests::cases())]

        #[test]
        fn no_name_breaks_a_header(alerts in named_alerts()) {
            let mail = sink(WORDS).bodies(&alerts[..1], 0).remove(0);
            let (head, _) = mail.split_once("\r\n\r\n").expect("a head");
            for line in head.lines().filter(|line| !line.starts_with([' ', '\t'])) {
                let known = ["From", "To", "Subject", "Date", "Auto-Submitted", "Message-ID", "In-Reply-To", "References",
                    "Content-Type", "Content-Transfer-Encoding", "MIME-Version"];
                assert!(known.contains(&line.split(':').next().expect("a name")), "{line:?}");
            }
        }
    }
}
