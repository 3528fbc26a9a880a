//! C: header, library in both its forms, a file for pkg-config, and the example.

use std::path::Path;

use super::archive::Archive;
use super::{Built, Language, Output, shipping};
use crate::bindings::{c, copy, make, pays_at_a_bed, read, scenarios, write};
use crate::{child::Children, failure::Failure, workspace::VERSION};

pub(super) const LANGUAGE: Language =
    Language { name: "c", page: "bindings/c/README.md", build, pay };

fn build(children: &Children<'_>, output: &Output) -> Result<Built, Failure> {
    let package = Archive::begin(children, output, "pos-connect-c")?;
    let (folder, source) = (package.folder(), children.workspace.root.join(c::SOURCE));
    let lib = folder.join("lib");
    make(&lib.join("pkgconfig"))?;
    for library in shipping::c_libraries(children, &output.target)? {
        let packed = lib.join(library.file_name().unwrap_or_default());
        // The linker has stripped the one; the other still has what C's compiler notes for debuggers.
        let mut strip = children.command("strip");
        strip.args(["--strip-debug", "--enable-deterministic-archives", "-o"]).arg(packed);
        children.run(strip.arg(&library))?;
    }
    copy(&source.join("include"), &folder.join("include"))?;
    copy(&source.join("examples"), &folder.join("examples"))?;
    write(&folder.join("README.md"), &read(&source.join("README.md"))?)?;
    let settings = read(&source.join("pos_connect_c.pc.in"))?;
    let settings = String::from_utf8_lossy(&settings).replace("@VERSION@", VERSION);
    write(&lib.join("pkgconfig/pos_connect_c.pc"), settings.as_bytes())?;
    Ok(Built { files: vec![package.pack(children, output)?], figures: Vec::new() })
}

/// The page's commands take the shared library; here it is the archive, in a program of its own.
fn pay(children: &Children<'_>, _: &Built, shop: &Path) -> Result<(), Failure> {
    let program = shop.join("pay-static");
    let mut compile = children.command("cc");
    compile.arg("-I").arg(shop.join("include")).arg(shop.join("examples/pay.c"));
    compile.arg(shop.join("lib/libpos_connect_c.a")).args(["-lm", "-lcjson", "-o"]).arg(&program);
    children.run(&mut compile)?;
    pays_at_a_bed(children, &mut children.command(&program))?;
    scenarios::play_c(children, &c::runners(children, shop)?)
}
