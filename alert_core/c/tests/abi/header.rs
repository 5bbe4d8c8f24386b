//! The header is what the source says, and reads back as what the library was built with.

use std::collections::BTreeSet;
use std::mem::{align_of, offset_of, size_of};
use std::path::{Path, PathBuf};
use std::{env, fs};

use alert_core_c::abi::{alert_attempt, alert_code, alert_request};

use crate::installed::Installed;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn header() -> PathBuf {
    Path::new(ROOT).join("../include/alert_core.h")
}

#[test]
fn the_checked_in_header_is_current() {
    let config = cbindgen::Config::from_file(Path::new(ROOT).join("cbindgen.toml")).expect("a configuration");
    let mut generated = Vec::new();
    cbindgen::Builder::new()
        .with_config(config)
        .with_src(Path::new(ROOT).join("src/abi.rs"))
        .generate()
        .expect("a header")
        .write(&mut generated);
    let generated = String::from_utf8(generated).expect("UTF-8");
    if env::var_os("UPDATE_HEADER").is_some() {
        fs::write(header(), &generated).expect("the header is writable");
    }
    let checked_in = fs::read_to_string(header()).unwrap_or_default();
    assert!(checked_in == generated, "it is not: run `make header` and commit what it writes");
}

/// What bindgen reads out of the header.
fn bindings() -> String {
    bindgen::builder()
        .header(header().to_string_lossy())
        .allowlist_file(".*/alert_core\\.h")
        .layout_tests(true)
        .generate()
        .expect("bindings: this test needs libclang, `make test` installs it")
        .to_string()
        .replace('\n', " ")
}

/// The number at the end of bindgen's assertion of this name.
fn asserted(bindings: &str, name: &str) -> usize {
    let start = bindings.find(&format!("[\"{name}\"]")).unwrap_or_else(|| panic!("no {name:?} in the bindings"));
    let (_, rest) = bindings[start..].split_once(" - ").expect("an assertion");
    let (number, _) = rest.split_once("usize").expect("a number");
    number.trim().parse().expect("a number")
}

#[test]
fn structures_have_the_same_layout_on_both_sides() {
    let bindings = bindings();
    let mut fields = 0;
    let mut check = |name: &str, here: usize| {
        assert_eq!(asserted(&bindings, name), here, "{name}");
        fields += usize::from(name.starts_with("Offset"));
    };
    macro_rules! layout {
        ($type:ident: $($field:ident)*) => {
            check(concat!("Size of ", stringify!($type)), size_of::<$type>());
            check(concat!("Alignment of ", stringify!($type)), align_of::<$type>());
            $(check(concat!("Offset of field: ", stringify!($type), "::", stringify!($field)),
                offset_of!($type, $field));)*
        };
    }
    layout!(alert_attempt: address address_len pool pool_len status time_ms);
    layout!(alert_request: monitor monitor_len attempts attempts_len release release_len time_ms status);
    assert_eq!(fields, bindings.matches("Offset of field").count(), "a field is not compared");
}

#[test]
fn codes_have_the_same_numbers_on_both_sides() {
    let bindings = bindings();
    let numbers: BTreeSet<(String, i32)> = bindings
        .split("pub const alert_code_")
        .skip(1)
        .map(|rest| {
            let (name, rest) = rest.split_once(": alert_code = ").expect("a constant of the enumeration");
            (name.into(), rest.split(';').next().and_then(|number| number.trim().parse().ok()).expect("a number"))
        })
        .collect();
    for (code, number) in [
        (alert_code::ALERT_OK, 0),
        (alert_code::ALERT_EMPTY, 1),
        (alert_code::ALERT_EHANDLE, -1),
        (alert_code::ALERT_EDEFECT, -14),
    ] {
        assert_eq!(code as i32, number);
        assert!(numbers.contains(&(format!("{code:?}"), number)), "{code:?} in {numbers:?}");
    }
    assert_eq!(numbers.len(), 16);
    assert_eq!(size_of::<alert_code>(), size_of::<std::ffi::c_int>());
}

#[test]
fn the_shared_library_exports_what_the_header_declares() {
    let bindings = bindings();
    let declared: BTreeSet<&str> =
        bindings.split("pub fn ").skip(1).filter_map(|rest| rest.split('(').next()).map(str::trim).collect();
    let exported = Installed::get().symbols();
    assert_eq!(exported.iter().map(String::as_str).collect::<BTreeSet<_>>(), declared);
    assert!(declared.len() > 10 && declared.iter().all(|name| name.starts_with("alert_")), "{declared:?}");
}
