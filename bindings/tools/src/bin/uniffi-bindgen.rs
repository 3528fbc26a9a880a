//! The generator by the name and the arguments by which maturin calls it while it makes a wheel.

use camino::Utf8PathBuf;
use clap::{Parser, Subcommand, ValueEnum};
use pos_connect_tools::surface;

/// What maturin asks for, and nothing else.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes the module that loads the library.
    Generate {
        /// Nothing is ever formatted.
        #[arg(long)]
        no_format: bool,
        #[arg(long, value_enum)]
        language: Language,
        #[arg(long)]
        out_dir: Utf8PathBuf,
        #[arg(long)]
        library: Utf8PathBuf,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Language {
    Python,
}

fn main() -> anyhow::Result<()> {
    let Command::Generate { no_format: _, language: Language::Python, out_dir, library } =
        Arguments::parse().command;
    surface::write_python(&library, &out_dir)
}
