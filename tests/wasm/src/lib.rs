//! Every verb of the module, exported from wasm, so that nothing is left out of its size. It is
//! measured and not shipped: texts and JSON go in and out, and nothing is made comfortable.

#[cfg(target_arch = "wasm32")]
pub mod verbs;
