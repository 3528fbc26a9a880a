//! Ed25519 for browsers whose WebCrypto has none. The private key is octets here, which whoever can run
//! a script in the page can read and take away.

#[cfg(target_arch = "wasm32")]
pub mod exports;
