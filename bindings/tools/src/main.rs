//! The generators: from the library that was built, and nothing else, to the files of a language.

mod php;
mod python;
mod secrets;
mod surface;

use camino::Utf8PathBuf;
use clap::{Parser, Subcommand};
use uniffi_bindgen::bindings::{GenerateOptions, TargetLanguage, generate};

/// Makes the files of a language from the library's own metadata.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    language: Language,
}

#[derive(Subcommand)]
enum Language {
    /// The module `pos_connect.py`, which loads the library that lies beside it.
    Python {
        /// The library, not stripped of its symbols.
        library: Utf8PathBuf,
        /// The folder to write into; made if need be.
        out: Utf8PathBuf,
    },
    /// The classes of the namespace `PosConnect`, without those that need no generator.
    Php {
        /// The library, not stripped of its symbols.
        library: Utf8PathBuf,
        /// The folder to write into; made if need be.
        out: Utf8PathBuf,
    },
    /// The package's own module `__init__.py`, and the types in `__init__.pyi`.
    PythonStubs {
        /// The library, not stripped of its symbols.
        library: Utf8PathBuf,
        /// The folder of the package.
        out: Utf8PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().language {
        Language::Python { library, out } => generate(GenerateOptions {
            languages: vec![TargetLanguage::Python],
            source: library,
            out_dir: out,
            ..GenerateOptions::default()
        }),
        Language::Php { library, out } => php::generate(&library, &out),
        Language::PythonStubs { library, out } => python::write(&library, &out),
    }
}
