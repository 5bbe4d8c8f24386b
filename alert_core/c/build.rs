//! Link options of the shared library.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The number changes when a program that was built with an earlier header would no longer work.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libalert_core.so.0");
    // LuaJIT unloads a library with its state, while threads may still run in this code.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
