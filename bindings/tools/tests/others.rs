//! The languages that UniFFI knows and that are not shipped stay possible: its own generators take the surface as it
//! is, out of the library that the workspace builds.

use std::{env, fs};

use camino::Utf8PathBuf;
use uniffi_bindgen::bindings::{GenerateOptions, TargetLanguage, generate};

#[test]
fn kotlin_swift_and_ruby_are_generated() -> anyhow::Result<()> {
    // Beside the folder in which this test is.
    let built = Utf8PathBuf::try_from(env::current_exe()?)?;
    let built = built.ancestors().nth(2).expect("a target folder");
    let library = built.join("libpos_connect_native.so");
    assert!(library.exists(), "build pos-connect-uniffi first: {library} is not there");
    let scratch = built.join("others");
    for (language, ending, verb) in [
        (TargetLanguage::Kotlin, "kt", "suspend fun `paymentOfOrder`"),
        (TargetLanguage::Swift, "swift", "func paymentOfOrder"),
        (TargetLanguage::Ruby, "rb", "def payment_of_order"),
    ] {
        let folder = scratch.join(ending);
        let _ = fs::remove_dir_all(&folder);
        generate(GenerateOptions {
            languages: vec![language],
            source: library.clone(),
            out_dir: folder.clone(),
            metadata_no_deps: true,
            ..GenerateOptions::default()
        })?;
        let files = walked(&folder)?;
        let generated = files.iter().find(|file| file.extension() == Some(ending));
        let text = fs::read_to_string(generated.expect("a file of the language"))?;
        assert!(text.contains(verb), "{files:?} have no `{verb}`");
    }
    Ok(())
}

/// The files in a folder and below it.
fn walked(folder: &camino::Utf8Path) -> anyhow::Result<Vec<Utf8PathBuf>> {
    let mut files = Vec::new();
    for entry in folder.read_dir_utf8()? {
        let path = entry?.into_path();
        if path.is_dir() {
            files.extend(walked(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}
