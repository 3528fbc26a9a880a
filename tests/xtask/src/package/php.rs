//! PHP: the Composer package with its library, and the extension's sources as a package of their own.

use std::path::Path;

use super::archive::{Archive, unpacked};
use super::{Built, Language, Output, shipping};
use crate::bindings::{pays_at_a_bed, php, scenarios};
use crate::{child::Children, failure::Failure};

pub(super) const LANGUAGE: Language =
    Language { name: "php", page: "bindings/php/README.md", build, pay };

fn build(children: &Children<'_>, output: &Output) -> Result<Built, Failure> {
    let package = Archive::begin(children, output, "pos-connect-php")?;
    let library = shipping::library(children, &output.target)?;
    php::assemble(children, &library, package.folder())?;
    let bridge = Archive::begin(children, output, "pos-connect-bridge")?;
    php::assemble_extension(children, bridge.folder())?;
    let files = vec![package.pack(children, output)?, bridge.pack(children, output)?];
    Ok(Built { files, figures: Vec::new() })
}

/// The page's commands pay over FFI; here it is the extension, as a shop builds it from its package.
fn pay(children: &Children<'_>, built: &Built, shop: &Path) -> Result<(), Failure> {
    let [_, bridge] = &built.files[..] else {
        return Err(Failure::Check(format!("not two packages, but {:?}", built.files)));
    };
    let extension = php::extension(children, &unpacked(children, bridge, "shop-php-extension")?)?;
    let package = shop.join("vendor/pos-connect/pos-connect");
    let flags = php::extension_flags(&extension, &package);
    let mut php = children.command("php");
    php.args(&flags);
    // Without FFI there is no other way to the library.
    php.args(["-d", "ffi.enable=false"]).arg(shop.join("pay.php"));
    pays_at_a_bed(children, &mut php)?;
    scenarios::play_php(children, &shop.join("vendor/autoload.php"), &flags)
}
