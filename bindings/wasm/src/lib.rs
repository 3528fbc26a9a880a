//! The connection module for JavaScript. Everything is exported by the surface.

#[cfg(target_arch = "wasm32")]
use pos_connect_api as _;
