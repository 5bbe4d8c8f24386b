//! Every input of the corpus, and a bounded number that is made of it, the same at every run.
//!
//! An input that fails is kept in `corpus/NAME/` with the change that mends it.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use fuzz::search::{Search, inputs};
use fuzz::{TARGETS, target};

/// Runs a target, and keeps the input that it fails on.
fn hold(name: &str) {
    let target = target(name).expect("a target");
    let corpus = inputs(target);
    for (path, input) in &corpus {
        catch_unwind(AssertUnwindSafe(|| (target.run)(input))).unwrap_or_else(|panic| {
            eprintln!("the input is {}", path.display());
            resume_unwind(panic)
        });
    }
    let corpus = corpus.iter().map(|(_, input)| input.as_slice()).collect();
    for input in Search::new(corpus, target.words, 1).take(target.runs as usize) {
        catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).unwrap_or_else(|panic| {
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-failed"));
            std::fs::write(&path, &input).expect("a file can be written");
            eprintln!("the input is in {}: keep it in corpus/{name}/", path.display());
            resume_unwind(panic)
        });
    }
}

/// A test for each target, and one that none is forgotten.
macro_rules! targets {
    ($($name:ident: $test:ident,)*) => {
        $(
            #[test]
            fn $test() {
                hold(stringify!($name));
            }
        )*

        #[test]
        fn every_target_has_a_test() {
            assert_eq!(TARGETS.map(|target| target.name), [$(stringify!($name)),*]);
        }
    };
}

targets! {
    values: any_text_is_a_value_in_bounds_or_none,
    sinks: any_words_make_a_sink_or_an_error_without_a_secret,
    configuration: any_text_is_a_sane_configuration_or_an_error_with_its_place,
    commands: any_query_is_a_command_or_a_refusal,
    messages: any_name_leaves_every_message_valid_and_bounded,
    pages: any_name_is_escaped_in_metrics_and_page,
    board: any_damage_leaves_a_board_that_works_and_foreign_memory_is_refused,
    snapshot: any_state_file_is_refused_or_harmless,
}
