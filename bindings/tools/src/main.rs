//! The generators: from the library that was built, and nothing else, to the files of a language.

mod c;
mod php;
mod python;
mod secrets;
mod wasm;

use camino::Utf8PathBuf;
use clap::{Parser, Subcommand};
use pos_connect_tools::surface;

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
        /// The library.
        library: Utf8PathBuf,
        /// The folder to write into; made if need be.
        out: Utf8PathBuf,
    },
    /// The classes of the namespace `PosConnect`, without those that need no generator.
    Php {
        /// The library.
        library: Utf8PathBuf,
        /// The folder to write into; made if need be.
        out: Utf8PathBuf,
    },
    /// The header of the C library.
    C {
        /// The folder of the crate that defines its functions.
        source: Utf8PathBuf,
        /// The header to write.
        out: Utf8PathBuf,
    },
    /// The package's own module `__init__.py`, and the types in `__init__.pyi`.
    PythonStubs {
        /// The library.
        library: Utf8PathBuf,
        /// The folder of the package.
        out: Utf8PathBuf,
    },
    /// The module that browsers, Node and bundlers load, with its types.
    Wasm {
        /// What cargo built for wasm32.
        module: Utf8PathBuf,
        /// The folder to write into; made if need be.
        out: Utf8PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().language {
        Language::C { source, out } => c::write(&source, &out),
        Language::Php { library, out } => php::generate(&library, &out),
        Language::Python { library, out } => surface::write_python(&library, &out),
        Language::PythonStubs { library, out } => python::write(&library, &out),
        Language::Wasm { module, out } => wasm::generate(&module, &out),
    }
}
