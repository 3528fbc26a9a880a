//! What the library must be like to be called, and the names by which it is.

use uniffi_bindgen::interface::{Constructor, Function, Method};

use super::File;
use super::surface::Surface;
use super::text::indented;

pub(super) fn file(surface: &Surface) -> File {
    let ci = &surface.ci;
    let functions = ci.function_definitions().iter().map(Function::ffi_func);
    let made = surface.classes().flat_map(|one| one.constructors());
    let verbs = surface.classes().flat_map(|one| one.methods());
    let calls = functions.chain(made.map(Constructor::ffi_func)).chain(verbs.map(Method::ffi_func));
    let calls: String = calls.map(|one| format!("    '{}',\n", one.ffi_buffer_fn_name())).collect();
    let objects: String = surface
        .classes()
        .map(|object| {
            let class = surface.class(object.name());
            let (lend, free) = (object.ffi_object_clone().name(), object.ffi_object_free().name());
            format!("    \\PosConnect\\{class}::class => ['{lend}', '{free}'],\n")
        })
        .collect();
    let checksums: String =
        ci.iter_checksums().map(|(name, sum)| format!("    '{name}' => {sum},\n")).collect();
    let version = ci.uniffi_contract_version();
    let (version_of, allocate, free) = (
        ci.ffi_uniffi_contract_version().name().to_owned(),
        ci.ffi_rustbuffer_alloc().name().to_owned(),
        ci.ffi_rustbuffer_free().name().to_owned(),
    );
    // Of this workspace, as the library.
    let release = env!("CARGO_PKG_VERSION");
    let (major, minor, patch) = (
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
        env!("CARGO_PKG_VERSION_PATCH"),
    );
    let number = format!("{major}{minor:0>3}{patch:0>3}");
    // PHP would read it as an octal number.
    let number = number.trim_start_matches('0');
    let release_of = format!("ffi_{}_release", ci.crate_name());
    let members = format!(
        "/** The version of the form in which values are passed. */\n\
         public const VERSION = {version};\n\
         public const VERSION_OF = '{version_of}';\n\n\
         /** The release that the classes are of: {release}. */\n\
         public const RELEASE = {number};\n\
         public const RELEASE_OF = '{release_of}';\n\n\
         public const ALLOCATE = '{allocate}';\n\
         public const FREE = '{free}';\n\n\
         /** @var list<string> the functions that are called, in their uniform form */\n\
         public const CALLS = [\n{calls}];\n\n\
         /** @var array<class-string, array{{string, string}}> what lends and frees a handle */\n\
         public const OBJECTS = [\n{objects}];\n\n\
         /** @var array<string, int> what each function of the library must say of itself */\n\
         public const CHECKSUMS = [\n{checksums}];\n"
    );
    let class = format!(
        "/**\n * What the library must be like.\n *\n * @internal\n */\nfinal class Contract\n{{\n{}}}\n",
        indented(&members, 1)
    );
    File::new("Native/Contract.php", "Native", &class)
}
