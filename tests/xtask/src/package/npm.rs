//! JavaScript: the npm package, and what a browser loads of it.

use std::path::Path;

use super::{Built, Figure, Language, Output, archive, shipping};
use crate::bindings::npm::{self, Module, Size};
use crate::{child::Children, failure::Failure};

pub(super) const LANGUAGE: Language =
    Language { name: "npm", page: "bindings/wasm/npm/README.md", build, pay };

fn build(children: &Children<'_>, output: &Output) -> Result<Built, Failure> {
    let tools = npm::install(children)?;
    let package = output.target.join("xtask/packed/npm");
    npm::assemble(children, &tools, &output.target, &package)?;
    archive::add_licences(children, &package)?;
    shipping::tell_no_path(children, &package)?;
    let packed = npm::pack(children, &package, &output.packages)?;
    let sizes = npm::sizes(children, &package)?;
    for (module, size) in npm::MODULES.iter().zip(&sizes) {
        println!("{} (the goal is {})", size.line, module.goal_brotli);
    }
    let figure = |(module, size): (&Module, &Size)| Figure {
        name: module.figure,
        is: size.brotli,
        at_most: module.goal_brotli,
    };
    let figures = npm::MODULES.iter().zip(&sizes).map(figure).collect();
    Ok(Built { files: vec![packed], figures })
}

/// There is one package and one way to it.
fn pay(_: &Children<'_>, _: &Built, _: &Path) -> Result<(), Failure> {
    Ok(())
}
