//! The search that is guided by coverage: libFuzzer on the target that `FUZZ_TARGET` names. `make fuzz` builds it.
#![no_main]

use std::sync::OnceLock;

use fuzz::Target;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    static TARGET: OnceLock<&Target> = OnceLock::new();
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        fuzz::target(&name).unwrap_or_else(|| panic!("FUZZ_TARGET=\"{name}\" is no target"))
    });
    (target.run)(bytes);
});
