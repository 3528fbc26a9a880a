//! WebAssembly: the exports of wasm-bindgen.

use std::fs;

use camino::Utf8Path;
use wasm_bindgen_cli_support::Bindgen;

/// One ES module for all hosts, which are told by its users where the file is.
pub(crate) fn generate(module: &Utf8Path, out: &Utf8Path) -> anyhow::Result<()> {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).web(true)?.typescript(true);
    // The library's default is the opposite of the program's, and would leave out where the file is.
    bindgen.omit_default_module_path(false);
    bindgen.generate(out)?;
    let name = module.file_stem().unwrap_or_default();
    let types = out.join(name).with_extension("d.ts");
    let text = fs::read_to_string(&types)?;
    // Only the newest library of TypeScript knows of it, and `free` does the same.
    let lines = text.lines().filter(|line| !line.contains("Symbol.dispose"));
    fs::write(&types, lines.flat_map(|line| [line, "\n"]).collect::<String>())?;
    // Nobody imports what the module itself exports.
    fs::remove_file(out.join(format!("{name}_bg.wasm.d.ts")))?;
    Ok(())
}
