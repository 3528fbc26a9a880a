//! Who draws keys, signs and verifies: ed25519-dalek natively; in a browser whoever holds the key,
//! because the best key is one that this module never sees.

#[cfg(target_arch = "wasm32")]
mod host;
#[cfg(not(target_arch = "wasm32"))]
mod native;

#[cfg(target_arch = "wasm32")]
pub use host::Crypto;
#[cfg(target_arch = "wasm32")]
pub(crate) use host::Signer;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::Signer;
