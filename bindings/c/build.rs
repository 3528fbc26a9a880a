//! How the library is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        // A host may unload it while its I/O thread lives: then it stays.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
        // What programs that were linked with it look for, wherever it lay then.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libpos_connect_c.so");
    }
}
