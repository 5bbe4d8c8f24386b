//! `docker/packages.sh` on a machine on which somebody's nginx runs already. dpkg, apt and systemctl are stand-ins, so
//! nothing is installed.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A machine of which only the states of some packages are known.
struct Machine(TempDir);

impl Machine {
    /// Its packages and their states, as dpkg names them.
    fn with(packages: &[(&str, &str)]) -> Machine {
        let machine = Machine(tempfile::tempdir().unwrap());
        let states: String =
            packages.iter().map(|(name, state)| format!("{name}) echo {state}; exit 0 ;;\n")).collect();
        machine.program("dpkg-query", &format!("case $3 in\n{states}esac\nexit 1"));
        machine.program("apt-get", "echo \"apt-get $*\" >> \"$LOG\"");
        machine.program("systemctl", "echo \"systemctl $*\" >> \"$LOG\"");
        machine.program("id", "echo 0");
        machine
    }

    fn program(&self, name: &str, body: &str) {
        let path = self.0.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Asks for packages and returns whether that worked, what was said, and which commands were run.
    fn ask_for(&self, packages: &[&str]) -> (bool, String, String) {
        let place = self.0.path();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker/packages.sh");
        let output = Command::new("sh")
            .arg(script)
            .args(packages)
            .env("PATH", format!("{}:/usr/bin:/bin", place.display()))
            .env("LOG", place.join("log"))
            .env("POLICY", place.join("policy-rc.d"))
            .env("NGINX_PID", place.join("nginx.pid"))
            .output()
            .unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.success(), said, fs::read_to_string(place.join("log")).unwrap_or_default())
    }
}

#[test]
fn what_is_installed_is_left_alone_also_while_its_triggers_are_pending() {
    let machine =
        Machine::with(&[("nginx", "triggers-pending"), ("gcc", "installed"), ("prometheus", "triggers-awaited")]);
    assert_eq!(machine.ask_for(&["nginx", "gcc", "prometheus"]), (true, String::new(), String::new()));
}

#[test]
fn only_a_service_that_is_new_here_is_disabled() {
    let machine = Machine::with(&[("nginx", "half-configured"), ("prometheus", "config-files")]);
    let (worked, said, log) = machine.ask_for(&["nginx", "prometheus", "curl"]);
    assert!(worked, "{said}");
    assert!(log.contains("apt-get install -y --no-install-recommends nginx prometheus curl\n"), "{log}");
    assert!(log.ends_with("\nsystemctl disable prometheus\n") && !log.contains("disable nginx"), "{log}");
    assert!(said.contains("disabled: prometheus ("), "{said}");
    assert!(!machine.0.path().join("policy-rc.d").exists(), "the policy ends with the installation");

    let (_, _, log) = Machine::with(&[]).ask_for(&["nginx"]);
    assert!(log.ends_with("\nsystemctl disable nginx\n"), "{log}");
}

#[test]
fn an_nginx_that_runs_is_not_upgraded() {
    let machine = Machine::with(&[("nginx", "installed")]);
    machine.program(
        "apt-get",
        "echo \"apt-get $*\" >> \"$LOG\"; case $* in *--simulate*) echo 'Inst nginx-common [1.22.1-9] (1.22.1-10 Debian)'; \
         echo 'Inst nginx-dev (1.22.1-10 Debian)';; esac",
    );
    fs::write(machine.0.path().join("nginx.pid"), "1\n").unwrap();
    let (worked, said, log) = machine.ask_for(&["nginx", "nginx-dev"]);
    assert!(!worked);
    assert!(said.contains("This would upgrade nginx-common, and nginx runs here, so it is left to you:"), "{said}");
    assert!(said.ends_with("    sudo apt-get install -y --no-install-recommends nginx-dev\n"), "{said}");
    assert!(!log.contains("install -y"), "{log}");

    fs::remove_file(machine.0.path().join("nginx.pid")).unwrap();
    assert!(machine.ask_for(&["nginx-dev"]).0);
}
