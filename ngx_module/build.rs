//! Link options of the module.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // nginx unmaps modules before it exits and when a reload drops them, while our threads may still run in this code.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
