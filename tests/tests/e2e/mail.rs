//! Mail through a real SMTP server: in plain text on this machine, by STARTTLS, and by TLS from the first byte.

use std::time::Duration;

use tests::mail::{Encryption, MailServer};
use tests::scene::{Scene, Setup};
use tests::wait;

const LIMIT: Duration = Duration::from_secs(15);
const NERVOUS: &str = "window 10; cooldown 0s; failover off; retry_rate off;";
const ADDRESSES: &str = "from=nginx@example.com to=ops@example.com,dev@example.com";

fn certificate(name: &str) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn set_status(scene: &Scene, status: u16, requests: usize) {
    scene.blue.set_status(status);
    scene.green.set_status(status);
    scene.client.get_many(requests, "/");
}

fn header<'a>(mail: &'a str, name: &str) -> &'a str {
    let line = mail.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in {mail}"))
}

#[test]
fn an_incident_is_two_mails_in_one_thread() {
    let server = MailServer::start(Encryption::None, certificate);
    let notify = format!("alert_notify email smtp://{} {ADDRESSES};", server.address());
    let scene = Scene::start(&Setup { workers: 2, rules: NERVOUS, notify: &notify, ..Setup::default() });
    set_status(&scene, 500, 1);
    let fired = server.wait_for(1, LIMIT).remove(0);
    wait::until("the first is sent", LIMIT, || scene.status()["alerts"][0].to_string().contains("\"sent\""));
    set_status(&scene, 200, 10);
    let over = server.wait_for(2, LIMIT).into_iter().find(|mail| *mail != fired).expect("another mail");
    assert_eq!(header(&fired, "X-RcptTo"), "ops@example.com, dev@example.com");
    assert_eq!(header(&fired, "References"), header(&over, "References"));
    wait::until("both are sent", LIMIT, || scene.status()["sinks"]["email"]["sent"] == 2);
}

#[test]
fn tls_is_begun_and_the_certificate_verified() {
    for (encryption, scheme) in [(Encryption::StartTls, "smtp"), (Encryption::Implicit, "smtps")] {
        let server = MailServer::start(encryption, certificate);
        let url = format!("{scheme}://{}", server.address());
        let notify = format!("alert_notify email {url} {ADDRESSES};");
        let mut scene = Scene::start(&Setup { rules: NERVOUS, notify: &notify, ..Setup::default() });
        set_status(&scene, 500, 1);
        let error = || scene.status()["sinks"]["email"]["last_error"].as_str().map(str::to_owned);
        let said = wait::find(LIMIT, error).expect("an error");
        assert!(said.contains("certificate") || said.contains("UnknownIssuer"), "{said}");
        assert!(server.mails().is_empty());
        let notify = format!("alert_notify email {url} {ADDRESSES} ca={};", server.certificate().display());
        scene.reload_with(&Setup { rules: NERVOUS, notify: &notify, ..Setup::default() });
        server.wait_for(1, LIMIT);
    }
}
