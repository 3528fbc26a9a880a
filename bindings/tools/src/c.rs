//! C: the header, of the functions' own signatures and comments.

use std::fs;

use camino::Utf8Path;
use cbindgen::{Builder, Config, DocumentationStyle, Language, Style};

const HEAD: &str = "\
/* The connection module of the payment operator, for C and for every language that calls C.
 *
 * Texts are UTF-8 and end with a NUL; what they hold is JSON. Every text that a function gives is
 * to be freed by pos_free. Link with -lpos_connect_c, or with libpos_connect_c.a and -lm.
 *
 * Made by cbindgen of bindings/c/src. */";

pub(crate) fn write(source: &Utf8Path, out: &Utf8Path) -> anyhow::Result<()> {
    let config = Config {
        language: Language::C,
        header: Some(HEAD.to_owned()),
        include_guard: Some("POS_CONNECT_H".to_owned()),
        cpp_compat: true,
        style: Style::Both,
        documentation_style: DocumentationStyle::Doxy,
        usize_is_size_t: true,
        line_length: 100,
        ..Config::default()
    };
    let builder = Builder::new().with_config(config);
    let builder = ["src/lib.rs", "src/storage.rs"]
        .into_iter()
        .fold(builder, |builder, file| builder.with_src(source.join(file)));
    let mut header = Vec::new();
    builder.generate()?.write(&mut header);
    // What Rust calls the safety of a call is its precondition.
    let header = String::from_utf8(header)?.replace(" * # Safety\n * ", " * \\pre ");
    fs::write(out, header)?;
    Ok(())
}
