//! WebAssembly: the exports of wasm-bindgen.

use std::collections::HashSet;
use std::fs;

use anyhow::bail;
use camino::Utf8Path;
use heck::{ToLowerCamelCase as _, ToSnakeCase as _};
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
    fs::write(&types, in_typescript(&lines.collect::<Vec<_>>())?)?;
    // Nobody imports what the module itself exports.
    fs::remove_file(out.join(format!("{name}_bg.wasm.d.ts")))?;
    Ok(())
}

/// The lines, with what their comments speak of by the names that the other lines have for it: kinds and
/// states by their values, verbs and fields in camelCase.
fn in_typescript(lines: &[&str]) -> anyhow::Result<String> {
    let is_comment = |line: &str| line.trim_start().starts_with(['*', '/']);
    let code = lines.iter().filter(|line| !is_comment(line));
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let names: HashSet<&str> =
        code.flat_map(|line| line.split(|letter| !is_part(letter))).collect();
    let mut out = String::new();
    for line in lines {
        for (nth, piece) in line.split('`').enumerate() {
            let is_quoted = nth % 2 == 1 && is_comment(line);
            out.push_str(if nth > 0 { "`" } else { "" });
            out.push_str(&if is_quoted { spoken(piece, &names)? } else { piece.to_owned() });
        }
        out.push('\n');
    }
    Ok(out)
}

/// A word of a comment. What is no name here is a code, or an example.
fn spoken(word: &str, names: &HashSet<&str>) -> anyhow::Result<String> {
    if word == "Error" {
        // As the package exports it, beside JavaScript's own.
        return Ok("PosError".to_owned());
    }
    if names.contains(word) {
        return Ok(word.to_owned());
    }
    let forms = [word.to_lower_camel_case(), word.to_snake_case()];
    if let Some(name) = forms.into_iter().find(|form| names.contains(form.as_str())) {
        return Ok(name);
    }
    let is_of_rust = word.starts_with(char::is_uppercase) && word.contains(char::is_lowercase);
    if is_of_rust && word.chars().all(char::is_alphanumeric) {
        bail!("the documentation speaks of `{word}`, which TypeScript has not");
    }
    Ok(word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_speak_of_what_typescript_has() {
        let types = [
            "/**",
            " * `AskForStatus` or `Wait` (`not_made`): see `Error`, `sign_out`, `user_id`, `JPY`,",
            " * `Session`, `ERRORS.md`; user_id",
            " */",
            "export type Fault = { kind: \"ask_for_status\" } | { kind: \"wait\" };",
            "export interface Session { userId: string; signOut(`a`): void }",
        ];
        let spoken = [
            "/**",
            " * `ask_for_status` or `wait` (`not_made`): see `PosError`, `signOut`, `userId`, `JPY`,",
            " * `Session`, `ERRORS.md`; user_id",
            " */",
            types[4],
            types[5],
        ];
        assert_eq!(in_typescript(&types).expect("all is known"), spoken.join("\n") + "\n");
        assert!(in_typescript(&[" * `Retry`", "type Fault = string;"]).is_err());
    }
}
