//! What `make module` says where it cannot build: one sentence, with what would be right.
//!
//! The Makefile runs in a directory of its own, with stand-ins for nginx, its source and cargo, so nothing is built.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const VERSION: &str = "1.99.9";

/// A directory with an nginx that knows its version only, and its configured source.
struct Workshop(TempDir);

impl Workshop {
    fn new() -> Workshop {
        let workshop = Workshop(tempfile::tempdir().unwrap());
        workshop.script("nginx", &format!("echo 'nginx version: nginx/{VERSION}' >&2"));
        workshop.script("cargo", "exit 1");
        workshop.write("source/src/core/nginx.h", &format!("#define NGINX_VERSION      \"{VERSION}\"\n"));
        workshop.write("source/objs/ngx_auto_config.h", "");
        workshop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), content).unwrap();
    }

    fn script(&self, name: &str, body: &str) {
        self.write(name, &format!("#!/bin/sh\n{body}\n"));
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs a target with the stand-ins, unless other values are given, and returns whether it worked and what it said.
    fn make(&self, target: &str, values: &[&str]) -> (bool, String) {
        let makefile = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("Makefile");
        let mut command = Command::new("make");
        command.arg("-f").arg(makefile).arg(target).current_dir(self.0.path());
        command.args(["NGINX=./nginx", "CARGO=./cargo", "NGINX_SOURCE_DIR=source", "PACKAGES="]).args(values);
        // What the make that runs these tests was told is not for this one.
        for name in ["MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "MAKELEVEL", "LIBCLANG_PATH"] {
            command.env_remove(name);
        }
        let output = command.output().expect("make can be started");
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed).replace(&self.0.path().display().to_string(), ".");
        (output.status.success(), printed)
    }

    /// Checks that `make module` refuses with exactly this sentence.
    #[track_caller]
    fn refused(&self, values: &[&str], sentence: &str) {
        let (worked, said) = self.make("module", values);
        let said: Vec<&str> = said.lines().filter(|line| !line.starts_with("make: ***")).collect();
        assert!(!worked, "{values:?} works: {said:?}");
        assert_eq!(said.join(" "), sentence, "with {values:?}");
    }
}

#[test]
fn what_a_build_lacks_is_named_with_what_would_be_right() {
    let workshop = Workshop::new();
    workshop.script("angie", "echo 'Angie version: Angie/1.13.0' >&2");
    workshop.script("apache", "echo 'Server version: Apache/2.4' >&2");
    workshop.write("old/src/core/nginx.h", "#define NGINX_VERSION      \"1.0.0\"\n");
    workshop.write("bare/src/core/nginx.h", &format!("#define NGINX_VERSION      \"{VERSION}\"\n"));
    // As an interrupted or failed ./configure leaves it.
    workshop.write("begun/src/core/nginx.h", &format!("#define NGINX_VERSION      \"{VERSION}\"\n"));
    workshop.write("begun/objs/autoconf.err", "");
    for (values, sentence) in [
        (&["CARGO=./none"][..], r#"there is no "./none": install Rust 1.85 or later, or set CARGO to its cargo"#),
        (&["NGINX=./none"], r#""./none" is no nginx that runs here: set NGINX to the nginx to build for"#),
        (&["NGINX=./apache"], r#""./apache" is no nginx that runs here: set NGINX to the nginx to build for"#),
        (
            &["NGINX=./angie"],
            "\"./angie\" is Angie, for which this module cannot be built: modules are signed and logging is called in \
             another way there. nginx 1.22 and later, freenginx and Tengine are fine",
        ),
        (
            &["NGINX_SOURCE_DIR=", "packaged_source=./none"],
            "there are no headers in \"./none\": install nginx-dev of nginx 1.99.9, or set NGINX_SOURCE_DIR to a configured \
             source of it",
        ),
        (
            &["NGINX_SOURCE_DIR=./none"],
            r#""./none" is no source of nginx: set NGINX_SOURCE_DIR to a configured source of nginx 1.99.9"#,
        ),
        (
            &["NGINX_SOURCE_DIR=", "packaged_source=./old"],
            "./nginx is nginx 1.99.9, but \"./old\" is the source of nginx 1.0.0: set NGINX_SOURCE_DIR to a configured source \
             of 1.99.9, or NGINX to a binary of 1.0.0",
        ),
        (
            &["NGINX_SOURCE_DIR=old"],
            "./nginx is nginx 1.99.9, but \"old\" is the source of nginx 1.0.0: set NGINX_SOURCE_DIR to a configured source \
             of 1.99.9, or NGINX to a binary of 1.0.0",
        ),
        (
            &["NGINX_SOURCE_DIR=bare"],
            r#""bare" is not configured: run ./configure there with the arguments that ./nginx -V shows"#,
        ),
        (
            &["NGINX_SOURCE_DIR=begun"],
            r#""begun" is not configured: run ./configure there with the arguments that ./nginx -V shows"#,
        ),
    ] {
        workshop.refused(values, sentence);
    }
}

#[test]
fn libclang_is_missed_where_cargo_says_so_and_only_there() {
    let workshop = Workshop::new();
    workshop.script("cargo", "echo 'Unable to find libclang: \"nowhere\"' >&2; exit 101");
    workshop.refused(
        &[],
        "Unable to find libclang: \"nowhere\" the build reads nginx's headers by libclang, which is not found: install it \
         (Debian's package is libclang-dev), or set LIBCLANG_PATH to its directory",
    );
    workshop.script("cargo", "echo 'error: could not compile'; exit 101");
    workshop.refused(&[], "error: could not compile");
}

#[test]
fn what_stops_the_stack_builds_nothing() {
    let workshop = Workshop::new();
    workshop.script("cargo", "echo 'cargo was called'; exit 101");
    for (target, works) in [("status", true), ("down", true), ("clean", true), ("chaos", false), ("traffic", false)] {
        let (worked, said) = workshop.make(target, &[]);
        assert_eq!(worked, works, "{target}: {said}");
        assert_eq!(said.lines().next(), Some("nothing runs: \"make up\" starts the stack"), "{target}");
    }
}

#[test]
fn a_source_is_found_from_wherever_cargo_builds() {
    let workshop = Workshop::new();
    workshop.script("cargo", r#"echo "$NGINX_SOURCE_DIR $NGINX_BUILD_DIR""#);
    // Nothing was built, so there is nothing to put anywhere.
    let (_, said) = workshop.make("module", &[]);
    assert_eq!(said.lines().next(), Some("./source ./source/objs"));
    let (_, said) = workshop.make("module", &["NGINX_SOURCE_DIR=source/../source/"]);
    assert_eq!(said.lines().next(), Some("./source ./source/objs"));
}

#[test]
fn a_module_is_taken_from_where_cargo_builds_and_its_symbols_are_kept_beside_it() {
    let workshop = Workshop::new();
    // Any program that has symbols.
    let program = std::env::current_exe().unwrap();
    let build = format!("mkdir -p elsewhere/release; cp {program:?} elsewhere/release/libngx_http_alert_module.so");
    workshop.script("cargo", &build);
    let (worked, said) = workshop.make("module", &["CARGO_TARGET_DIR=elsewhere"]);
    assert!(worked, "{said}");
    let module = fs::read(workshop.path("target/ngx_http_alert_module.so")).unwrap();
    let link = b"ngx_http_alert_module.so.debug\0";
    assert!(module.windows(link.len()).any(|bytes| bytes == link), "a debugger does not find the symbols");
    assert!(workshop.path("target/ngx_http_alert_module.so.debug").is_file());
}

#[test]
fn a_configure_of_nginx_says_what_it_lacks_too() {
    let workshop = Workshop::new();
    let configure = |cargo: &str| {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("ngx_module/config");
        // As nginx's ./configure reads it.
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            "HTTP=YES ngx_module_link=DYNAMIC NGX_OBJS=objs; . \"$1\"; echo $ngx_module_libs",
            "./configure",
        ]);
        let output = shell.arg(config).current_dir(workshop.0.path()).env("NGX_CARGO", cargo).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.success(), said.replace('\n', " "))
    };
    workshop.script("cargo", "exit 0");
    workshop.write("auto/module", "");
    let (worked, said) = configure("./cargo");
    assert!(worked && said.starts_with("objs/ngx_http_alert_module/release/libngx_http_alert_module.a "), "{said}");

    let (worked, said) = configure("./none");
    assert!(!worked);
    assert_eq!(
        said,
        "./configure: error: ngx_http_alert_module needs Rust 1.85 or later, and there is no ./none: install it, or set \
         NGX_CARGO to its cargo "
    );
    workshop.write("src/core/angie.h", "");
    let (worked, said) = configure("./cargo");
    assert!(!worked && said.starts_with("./configure: error: this is Angie, for which"), "{said}");
}

#[test]
fn what_was_not_built_is_not_installed() {
    let workshop = Workshop::new();
    let (worked, said) = workshop.make("install", &["CARGO=./none", "DESTDIR=./root"]);
    assert!(!worked);
    assert_eq!(said.lines().next(), Some(r#"there is no target/ngx_http_alert_module.so: run "make module" first"#));
}
