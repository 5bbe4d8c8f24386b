//! The memory of nginx under valgrind: through the whole story the module adds no error, no leak and no descriptor to
//! what nginx without it has.

use std::fs;
use std::path::Path;

use tests::scene::{Scene, Setup};

use crate::story;

/// What memcheck wrote about each process of one nginx.
struct Findings(Vec<String>);

impl Findings {
    /// Takes an nginx through the story.
    fn of(setup: &Setup, with_module: bool, known: &Path) -> Findings {
        let logs = tempfile::tempdir().expect("a temporary directory");
        let mut scene = Scene::start_with(setup, |config| {
            config.with_module = with_module;
            if !with_module {
                config.http = config.http.as_deref().map(story::without_module);
            }
            // Not what is possibly lost: a standard library's handle of a main thread, of which nothing frees the end. But
            // whether what nginx itself loses is lost for sure is a matter of what lies in memory by chance.
            let kinds = if with_module { "definite,indirect" } else { "definite,indirect,possible" };
            config.wrapper = vec![
                "valgrind".into(),
                "--leak-check=full".into(),
                format!("--show-leak-kinds={kinds}"),
                format!("--errors-for-leak-kinds={kinds}"),
                "--track-fds=yes".into(),
                "--num-callers=40".into(),
                "--gen-suppressions=all".into(),
                format!("--suppressions={}", known.display()),
                format!("--log-file={}/%p", logs.path().display()),
            ];
        });
        story::tell(&mut scene, with_module);
        let files = fs::read_dir(logs.path()).expect("valgrind writes its logs");
        let read = |path| fs::read_to_string(path).expect("a log of valgrind is text");
        Findings(files.map(|file| read(file.expect("a log").path())).collect())
    }

    /// The errors and leaks, as valgrind wants to be told what is known.
    fn suppressions(&self) -> String {
        let mut inside = false;
        let mut text = String::new();
        for line in self.0.iter().flat_map(|log| log.lines()) {
            inside |= line == "{";
            if inside && !line.contains("match-leak-kinds:") {
                text += line;
                text += "\n";
            }
            inside &= line != "}";
        }
        text
    }

    /// How many descriptors each process had open at its end, sorted. The channels between nginx's processes are left out: a
    /// worker gets those of its siblings by birth or by message, and how many of them it holds at its end is a matter of time.
    fn descriptors(&self) -> Vec<usize> {
        let is_channel = |entry: &str| {
            entry.contains("ngx_read_channel") || entry.contains("socketpair") && entry.contains("ngx_spawn_process")
        };
        let open = |log: &String| log.split(" Open ").skip(1).filter(|entry| !is_channel(entry)).count();
        let mut open: Vec<_> = self.0.iter().map(open).collect();
        open.sort_unstable();
        open
    }

    /// How many errors and leaks each process had; one that valgrind did not see to its end has none.
    fn errors(&self) -> Vec<&str> {
        self.0.iter().filter_map(|log| between(log, "ERROR SUMMARY: ", " errors")).collect()
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    Some(text.split_once(before)?.1.split_once(after)?.0)
}

#[test]
fn the_module_adds_no_error_no_leak_and_no_descriptor() {
    let setup = Setup { workers: 2, ..story::setup() };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let known = directory.path().join("known");
    fs::write(&known, "").expect("the test's directory is writable");
    let plain = Findings::of(&setup, false, &known);
    fs::write(&known, plain.suppressions()).expect("the test's directory is writable");
    let found = Findings::of(&setup, true, &known);
    // The master, and both workers before and after the reload.
    assert_eq!(found.errors(), ["0"; 5], "{}", found.0.join("\n"));
    assert_eq!(found.descriptors(), plain.descriptors(), "{}", found.0.join("\n"));
}
