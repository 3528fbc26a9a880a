//! Sealing for the shopper's page. It is exported by the surface.

#[cfg(target_arch = "wasm32")]
use pos_connect_api as _;
