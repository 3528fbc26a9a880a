//! Sealing, for the shopper's page.

use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

use super::{read, told};

/// Seals what the shopper pays with to the institution of the binding.
#[expect(unreachable_pub, reason = "wasm-bindgen exports what is public")]
#[wasm_bindgen(skip_typescript)]
pub fn seal(
    instrument: JsValue,
    binding: JsValue,
    seal_keys: JsValue,
    seal_root: JsValue,
) -> Result<JsValue, JsValue> {
    let (instrument, binding) = (read("instrument", &instrument)?, read("binding", &binding)?);
    let (keys, root) = (read("sealKeys", &seal_keys)?, read("sealRoot", &seal_root)?);
    told(crate::functions::seal(instrument, binding, keys, root))
}
