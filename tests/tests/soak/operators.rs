//! Hostile readers of the documents and senders of commands. Each of their requests has answers that are right.

use tests::http::{Reply, Request};

use crate::dice::Dice;
use crate::fort::Fort;
use crate::table::Table;

const SUBJECT: &str = "Hostile operators";

/// A request, and whether an answer to it is right.
type Attempt = (&'static str, fn(&mut Dice) -> Request, fn(&Reply) -> bool);

const ATTEMPTS: &[Attempt] = &[
    ("the page", |_| get("/alert"), |reply| reply.status == 200 && reply.text().contains("</html>")),
    ("the JSON", |_| get("/alert/status.json"), is_json),
    (
        "the metrics",
        |_| get("/alert/metrics"),
        |reply| reply.status == 200 && reply.text().contains("nginx_alert_build_info"),
    ),
    ("compressed", |_| get("/alert/status.json").header("Accept-Encoding", "gzip"), |reply| reply.status == 200),
    (
        "a huge query",
        |dice| get(&format!("/alert/status.json?{}", "q=%00&".repeat(dice.below(1200) as usize))),
        is_json,
    ),
    (
        "another method",
        |dice| Request::new(dice.word(&["PUT", "DELETE", "POST", "PATCH"]), "/alert/status.json"),
        |reply| reply.status == 405,
    ),
    (
        "a path that is none",
        |dice| get(dice.word(&["/alert/nope", "/alert/status.json/..%2f..%2fetc/passwd", "/alertness", "/alert/%00"])),
        is_refused,
    ),
    ("a command by GET", |_| get("/control/maintenance?monitor=good&on=1"), is_refused),
    (
        "a command that is none",
        |dice| post(dice.word(&["/control/nope", "/control/", "/control", "/controlmaintenance?monitor=good&on=1"])),
        is_refused,
    ),
    ("a bad argument", bad_argument, is_refused),
    ("garbage as an argument", garbage_argument, is_refused),
    (
        "a command from another site",
        |dice| {
            let command =
                post(dice.word(&["/control/maintenance?monitor=good&on=1", "/control/active?monitor=noise&pool=b"]));
            match dice.below(5) {
                0 => command.header("Origin", "http://evil.example"),
                1 => command.header("Origin", "null"),
                2 => command.header("origin", "http://app.example.evil.example"),
                3 => command.header("Origin", "http://app.example").header("Origin", "http://evil.example"),
                _ => command.header("Sec-Fetch-Site", "cross-site"),
            }
        },
        |reply| reply.status == 403,
    ),
    (
        "a command that is right",
        |dice| {
            // A switch is an alert to every sink, so there are few.
            post(match dice.below(30) {
                0 => "/control/active?monitor=noise&pool=b",
                1 => "/control/active?monitor=noise&pool=a",
                2..16 => "/control/maintenance?monitor=noise&on=0",
                _ => "/control/maintenance?monitor=noise&on=1&for=1s",
            })
        },
        |reply| reply.status == 200,
    ),
];

/// One attempt. Where nobody is killed, each is answered.
pub fn attempt(fort: &Fort, dice: &mut Dice, table: &Table) {
    let (name, make, is_right) = *dice.pick(ATTEMPTS);
    let request = make(dice);
    table.count(SUBJECT, name);
    let could_stay_silent = fort.may_stay_silent();
    match fort.client.try_send(&request) {
        Ok(reply) => {
            let text: String = reply.text().chars().take(200).collect();
            let example = || format!("{} {:?}: {} {text}", request.method, cut(&request.target), reply.status);
            if !is_right(&reply) {
                table.lose(&format!("{name}: a wrong answer"), example());
            }
        }
        Err(_) if could_stay_silent || fort.may_stay_silent() => {
            table.count(SUBJECT, "(unanswered, for nginx was killed)")
        }
        Err(error) => {
            table.lose("a document or command that is not answered", format!("{}: {name}: {error}", fort.name))
        }
    }
}

fn cut(target: &str) -> &str {
    &target[..target.len().min(100)]
}

fn get(target: &str) -> Request {
    Request::new("GET", target)
}

fn post(target: &str) -> Request {
    Request::new("POST", target)
}

fn bad_argument(dice: &mut Dice) -> Request {
    post(dice.word(&[
        "/control/maintenance",
        "/control/maintenance?monitor=nobody&on=1",
        "/control/maintenance?monitor=good&on=7",
        "/control/maintenance?monitor=good&on=1&for=-1s",
        "/control/maintenance?monitor=good&on=1&for=99999999999999999999d",
        "/control/maintenance?monitor=good&monitor=exact",
        "/control/active?monitor=good",
        "/control/active?monitor=good&pool=nobody",
        "/control/share?monitor=good&pool=blue&percent=101",
        "/control/share?monitor=good&pool=blue&percent=NaN",
        "/control/rollout?monitor=good&do=dance",
        "/control/rollout?monitor=noise&pool=nobody",
        "/control/rollback?monitor=good",
        "/control/test?monitor=",
    ]))
}

fn garbage_argument(dice: &mut Dice) -> Request {
    let escaped: String = dice.bytes(100).iter().map(|byte| format!("%{byte:02x}")).collect();
    post(&format!(
        "/control/{}?monitor={escaped}",
        dice.word(&["maintenance", "active", "test", "share", "rollout", "rollback"])
    ))
}

fn is_json(reply: &Reply) -> bool {
    reply.status == 200 && serde_json::from_slice::<serde_json::Value>(&reply.body).is_ok()
}

fn is_refused(reply: &Reply) -> bool {
    (400..500).contains(&reply.status)
}
