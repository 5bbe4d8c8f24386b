//! The library as `make install-lib` installs it, and compilers that find it with pkg-config.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

use tempfile::TempDir;

const PREFIX: &str = "/opt/alert";

/// An installation below a directory of its own, made once for all tests.
pub struct Installed {
    root: TempDir,
}

/// How a program is linked.
#[derive(Clone, Copy, Debug)]
pub enum Link {
    /// With the shared library.
    Shared,
    /// With the static one.
    Static,
}

impl Installed {
    pub fn get() -> &'static Installed {
        static INSTALLED: OnceLock<Installed> = OnceLock::new();
        INSTALLED.get_or_init(|| {
            let root = tempfile::tempdir().expect("a temporary directory");
            let mut make = Command::new("make");
            make.arg("install-lib").arg(format!("PREFIX={PREFIX}")).arg("LIB_PROFILE=dev").arg("PACKAGES=");
            make.arg(format!("DESTDIR={}", root.path().display()));
            make.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
            // Those of a `make test` above would tell this make how to run.
            make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL").env_remove("MFLAGS");
            run(&mut make);
            Installed { root }
        })
    }

    /// A place in the installation.
    pub fn path(&self, below_prefix: &str) -> PathBuf {
        self.root.path().join(&PREFIX[1..]).join(below_prefix)
    }

    /// Where the libraries are.
    pub fn lib(&self) -> PathBuf {
        self.path("lib")
    }

    /// The functions that the shared library exports.
    pub fn symbols(&self) -> Vec<String> {
        let listed = run(Command::new("nm")
            .args(["--dynamic", "--defined-only", "--format=posix"])
            .arg(self.lib().join("libalert_core.so")));
        listed.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
    }

    /// Compiles a program of `tests/programs`.
    pub fn compile(&self, name: &str, link: Link, directory: &Path) -> PathBuf {
        let program = directory.join(format!("{name}-{link:?}"));
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs");
        let mut compiler = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()));
        compiler.args(["-std=c11", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-pthread"]);
        compiler.arg("-o").arg(&program).arg(sources.join(format!("{name}.c")));
        let flags = self.pkg_config(link);
        match link {
            Link::Shared => compiler.args(flags),
            // The linker prefers the shared library where both are there.
            Link::Static => {
                compiler.args(flags.into_iter().map(|flag| flag.replace("-lalert_core", "-l:libalert_core.a")))
            }
        };
        run(&mut compiler);
        program
    }

    fn pkg_config(&self, link: Link) -> Vec<String> {
        let mut pkg_config = Command::new("pkg-config");
        pkg_config.args(["--cflags", "--libs", "alert_core"]);
        if matches!(link, Link::Static) {
            pkg_config.arg("--static");
        }
        pkg_config.env("PKG_CONFIG_PATH", self.lib().join("pkgconfig"));
        pkg_config.env("PKG_CONFIG_SYSROOT_DIR", self.root.path());
        run(&mut pkg_config).split_whitespace().map(str::to_owned).collect()
    }
}

/// Runs a command that has to succeed and returns what it printed.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let [printed, complained] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "{command:?}: {}\n{printed}\n{complained}", output.status);
    printed.into_owned()
}

#[test]
fn the_shared_library_has_a_versioned_name() {
    let lib = Installed::get().lib();
    let dynamic = run(Command::new("readelf").arg("-d").arg(lib.join("libalert_core.so")));
    assert!(dynamic.contains("Library soname: [libalert_core.so.0]"), "{dynamic}");
    let version = concat!("libalert_core.so.", env!("CARGO_PKG_VERSION"));
    for name in ["libalert_core.so", "libalert_core.so.0"] {
        let target = fs::read_link(lib.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(fs::canonicalize(lib.join(&target)).ok(), fs::canonicalize(lib.join(version)).ok(), "{name}");
    }
}

#[test]
fn pkg_config_tells_the_version_and_what_to_link() {
    let file = fs::read_to_string(Installed::get().lib().join("pkgconfig/alert_core.pc")).expect("a file");
    assert!(file.contains("prefix=/opt/alert\n"), "{file}");
    assert!(file.contains(concat!("Version: ", env!("CARGO_PKG_VERSION"), "\n")), "{file}");
    assert!(file.contains("Libs.private: ") && !file.contains('@'), "{file}");
}
