//! The surface as the library tells it.
//!
//! UniFFI reads what it wrote by the symbol table, which a library that is shipped has lost. The same
//! symbols are exported, so they are found in the dynamic table as well: what is read here is the very file
//! that goes to shops, and nothing has to be stripped in the right moment.

use std::fs;

use anyhow::Context as _;
use camino::Utf8Path;
use goblin::elf::{Elf, Sym};
use uniffi_bindgen::bindings::python;
use uniffi_bindgen::{BindgenLoader, BindgenPaths, ComponentInterface, GlobalConfig};
use uniffi_meta::Metadata;

use crate::words;

/// Begins the name of every symbol that holds a piece of it.
const SYMBOL: &str = "UNIFFI_META_";

/// Reads it.
///
/// # Errors
/// When the file cannot be read, or holds no surface, or more than one.
pub fn read(library: &Utf8Path) -> anyhow::Result<ComponentInterface> {
    let loader = loader();
    let mut told = loader.load_cis(loader.load_metadata_specialized(library, exported)?)?;
    let one = told.pop().context("the library exports nothing")?;
    anyhow::ensure!(told.is_empty(), "the library exports more than the one surface");
    Ok(one)
}

/// Writes the Python module that loads the library.
///
/// # Errors
/// When the library cannot be read or the folder not be written.
pub fn write_python(library: &Utf8Path, out: &Utf8Path) -> anyhow::Result<()> {
    let loader = loader();
    let metadata = loader.load_metadata_specialized(library, exported)?;
    python::run_pipeline(loader.load_pipeline_initial_root(library, metadata)?, out, None)?;
    let surface = read(library)?;
    let module = out.join(format!("{}.py", surface.namespace()));
    fs::write(&module, words::in_python(&surface, &fs::read_to_string(&module)?))
        .with_context(|| format!("writing {module}"))
}

fn loader() -> BindgenLoader {
    BindgenLoader::new(BindgenPaths::default(), GlobalConfig::default())
}

/// What an ELF file exports of it; for other files UniFFI's own reader is as good.
fn exported(path: &Utf8Path, octets: &[u8]) -> anyhow::Result<Option<Vec<Metadata>>> {
    if !octets.starts_with(goblin::elf::header::ELFMAG) {
        return Ok(None);
    }
    let elf = Elf::parse(octets)?;
    let symbols = elf.dynsyms.iter().filter(|symbol| {
        elf.dynstrtab.get_at(symbol.st_name).is_some_and(|name| name.starts_with(SYMBOL))
    });
    let found = symbols.map(|symbol| piece(&elf, octets, &symbol)).collect::<Result<Vec<_>, _>>();
    found.map(Some).with_context(|| format!("reading what {path} exports"))
}

/// One of them: its address lies in a section, and as far into that section in the file.
fn piece(elf: &Elf<'_>, octets: &[u8], symbol: &Sym) -> anyhow::Result<Metadata> {
    let section = elf.section_headers.get(symbol.st_shndx).context("a symbol has no section")?;
    let inside = symbol.st_value.checked_sub(section.sh_addr);
    let at = inside.and_then(|inside| section.sh_offset.checked_add(inside));
    let rest = at.and_then(|at| octets.get(usize::try_from(at).ok()?..));
    Metadata::read(rest.context("a symbol lies outside its section")?)
}
