//! Surfaces of every kind, also of kinds that ours does not have yet.

use uniffi_bindgen::ComponentInterface;

use super::files;
use super::surface::Surface;

/// The files by their paths.
fn made(definition: &str) -> anyhow::Result<Vec<(String, String)>> {
    let surface = Surface::of(ComponentInterface::from_webidl(definition, "shop")?)?;
    Ok(files(&surface)?.into_iter().map(|file| (file.path, file.text)).collect())
}

fn text(files: &[(String, String)], path: &str) -> String {
    let found = files.iter().find(|(one, _)| one == path);
    found.unwrap_or_else(|| panic!("no {path}")).1.clone()
}

fn refused(definition: &str) -> String {
    made(definition).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn numbers_are_held_to_what_they_can_be() {
    let files = made(
        "namespace shop { void f(Numbers numbers); };
         dictionary Numbers { u8 a; i8 b; u16 c; i16 d; u32 e; i32 f; u64 g; i64 h; };",
    );
    let files = files.unwrap();
    let record = text(&files, "Numbers.php");
    for (check, told) in [
        ("'a', $a, 0, 255)", "int<0, 255>"),
        ("'b', $b, -128, 127)", "int<-128, 127>"),
        ("'c', $c, 0, 65535)", "int<0, 65535>"),
        ("'d', $d, -32768, 32767)", "int<-32768, 32767>"),
        ("'e', $e, 0, 4294967295)", "int<0, 4294967295>"),
        ("'f', $f, -2147483648, 2147483647)", "int<-2147483648, 2147483647>"),
        ("'g', $g, 0, PHP_INT_MAX)", "int<0, max>"),
    ] {
        assert!(record.contains(&format!("Check::number(__METHOD__, {check};")), "{check}");
        assert!(record.contains(&format!("@var {told}\n")), "{told}");
    }
    assert!(record.contains("'h', $h, PHP_INT_MIN, PHP_INT_MAX)"), "a broken number is refused");
    assert!(record.contains("public int|float $g,"), "and not cut before");
    assert!(text(&files, "Native/Codec.php").contains("Wire::i8($value->b)\n"));
}

#[test]
fn an_answer_is_read_and_not_checked() {
    let files = made(
        "namespace shop { Page f(); };
         dictionary Page { string next; sequence<string> names; record<string, u8> marks; };",
    );
    let files = files.unwrap();
    assert!(!text(&files, "Page.php").contains("Check::"));
    let codec = text(&files, "Native/Codec.php");
    assert!(!codec.contains("writePage"), "{codec}");
    assert!(codec.contains("names: $in->list(static fn (Reader $in): string => $in->text())"));
    assert!(codec.contains("marks: $in->map(static fn (Reader $in): int => $in->u8())"));
}

#[test]
fn what_need_not_be_given_stands_last() {
    let files = made(
        "namespace shop { void f(Query query); };
         dictionary Query { string? after = null; u8 limit = 50; string shop; };",
    );
    let record = text(&files.unwrap(), "Query.php");
    let at = |part: &str| record.find(part).unwrap_or_else(|| panic!("no {part}"));
    assert!(at("public string $shop,") < at("public ?string $after = null,"));
    assert!(at("$after = null,") < at("public int|float $limit = 50,"));
}

#[test]
fn secrets_are_hidden() {
    let files = made(
        "namespace shop { void login(string user, string password); void f(Instrument instrument); };
         [Enum] interface Instrument { Card(string number, string? pin); };
         dictionary Reason { string code; };
         dictionary Registration { string panic_code; string shop_id; };
         [Trait, WithForeign] interface Vault { boolean replace(string? old, string new); };",
    );
    let files = files.unwrap();
    let functions = text(&files, "functions.php");
    assert!(functions.contains("(string $user, #[\\SensitiveParameter] string $password): void"));
    let card = text(&files, "Instrument/Card.php");
    assert_eq!(card.matches("#[\\SensitiveParameter]").count(), 2);
    assert!(card.contains("['number', 'pin']"), "{card}");
    // What the server tells once is a secret too.
    assert!(text(&files, "Registration.php").contains("['panicCode']"));
    assert!(!text(&files, "Reason.php").contains("Secret"));
    // And what a host keeps, on the way to it as well.
    let vault = text(&files, "Vault.php");
    assert_eq!(vault.matches("#[\\SensitiveParameter] ").count(), 2, "{vault}");
    let calls = text(&files, "Native/HostCalls.php");
    let hidden = "(\\PosConnect\\Vault $host, #[\\SensitiveParameter] array $arguments): int {";
    assert!(calls.contains(hidden), "{calls}");
}

#[test]
fn variants_are_classes_whatever_they_are_called() {
    let files = made(
        "namespace shop { void f(Way way); };
         [Enum] interface Way { Empty(); List(string names); Card(u8 month); };",
    );
    let files = files.unwrap();
    assert!(
        text(&files, "Way/Empty_.php")
            .contains("final readonly class Empty_ extends \\PosConnect\\Way")
    );
    assert!(text(&files, "Way/List_.php").contains("namespace PosConnect\\Way;"));
    let codec = text(&files, "Native/Codec.php");
    assert!(codec.contains("\\PosConnect\\Way\\Empty_::class => Wire::i32(1) . '',"), "{codec}");
    assert!(codec.contains("3 => new \\PosConnect\\Way\\Card("), "{codec}");
}

#[test]
fn the_blocking_class_takes_the_place_of_the_awaited_one() {
    let files = made(
        "namespace shop {};
         interface Line { constructor(); [Async] u8 pay(); };
         interface BlockingLine { constructor(); u8 pay(); };",
    );
    let files = files.unwrap();
    let class = text(&files, "Line.php");
    assert!(class.contains("'uniffi_ffibuffer_shop_fn_method_blockingline_pay'"), "{class}");
    assert!(!files.iter().any(|(path, _)| path == "BlockingLine.php"));
    let contract = text(&files, "Native/Contract.php");
    assert!(contract.contains("'uniffi_shop_checksum_method_line_pay' => "), "{contract}");
}

#[test]
fn the_fields_of_an_error_do_not_meet_those_of_an_exception() {
    let files = made(
        "namespace shop { [Throws=Wrong] void f(); };
         [Error] interface Wrong { Gone(string code, string text); Late(string code, string text); };",
    );
    let files = files.unwrap();
    let error = text(&files, "Wrong.php");
    assert!(error.contains("public readonly string $errorCode,"), "{error}");
    assert!(error.contains("parent::__construct($text, 0, $previous);"), "{error}");
    assert!(text(&files, "Native/Codec.php").contains("errorCode: $in->text(),"));
}

#[test]
fn what_has_no_form_stops_the_generator() {
    for (definition, why) in [
        ("namespace shop { void f(f64 rate); };", "Float64"),
        ("namespace shop { timestamp f(); };", "Timestamp"),
        ("namespace shop { i8 f(); };", "an answer of Int8"),
        ("namespace shop {}; interface Line { [Async] u8 pay(); };", "awaited"),
        ("namespace shop { void f(record<u8, string> map); };", "keys of a PHP array"),
        ("namespace shop {}; callback interface Keys { string load(); };", "with_foreign"),
        (
            "namespace shop { [Throws=Wrong] void f(); };
             [Error] interface Wrong { Gone(string text); Late(string text, u8 days); };",
            "same fields",
        ),
        (
            "namespace shop { [Throws=Wrong] void f(); }; [Error] interface Wrong { Gone(u8 days); };",
            "sentence",
        ),
    ] {
        let told = refused(definition);
        assert!(told.contains(why), "{definition}: {told}");
    }
}
