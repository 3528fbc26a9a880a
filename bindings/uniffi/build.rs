//! How the library is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A host may unload it while its I/O thread lives: then it stays.
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
