//! How the library calls what a program implements: tables of functions, one for each interface.

use std::fmt::Write as _;

use anyhow::bail;
use heck::ToLowerCamelCase as _;
use uniffi_bindgen::interface::ffi::FfiType;
use uniffi_bindgen::interface::{AsType as _, Method, Object, Type};

use super::File;
use super::codec::size;
use super::surface::Surface;
use super::text::indented;
use super::types::NATIVE;

/// What a host is given may be a secret, whatever it is called: these are its octets, in order.
const HIDDEN: &str = "#[\\SensitiveParameter]";

pub(super) fn files(surface: &Surface) -> anyhow::Result<Vec<File>> {
    let (mut tables, mut calls) = (String::new(), String::new());
    for host in surface.hosts() {
        let name = host.name();
        let class = format!("\\PosConnect\\{name}::class");
        let (table, init) = (table(host)?, host.ffi_init_callback().name());
        tables.push_str(&format!(
            "{class} => [\n    'init' => '{init}',\n    'type' => 'Table{name}',\n    \
             'c' => <<<'C'\n{}        C,\n],\n",
            indented(&table, 2)
        ));
        let mut methods = String::new();
        for method in host.methods() {
            methods.push_str(&closure(surface, host, method)?);
        }
        calls.push_str(&format!("{class} => [\n{}],\n", indented(&methods, 1)));
    }
    let class = format!(
        "/**\n * How the library calls what a program implements.\n *\n * @internal\n */\n\
         final class HostCalls\n{{\n    \
             /** @var array<class-string, array{{init: string, type: string, c: string}}> */\n    \
             public const TABLES = [\n{}    ];\n\n    \
             /**\n     * What each function of a table does.\n     *\n     \
              * @return array<class-string, array<string, \\Closure>>\n     */\n    \
             public static function all(): array\n    {{\n        return [\n{}        ];\n    }}\n}}\n",
        indented(&tables, 2),
        indented(&calls, 3)
    );
    Ok(vec![File::new("Native/HostCalls.php", "Native", &class)])
}

/// The table in C, its functions in the order of the trait.
fn table(host: &Object) -> anyhow::Result<String> {
    let mut functions = String::from(
        "    void (*uniffi_free)(uint64_t);\n    uint64_t (*uniffi_clone)(uint64_t);\n",
    );
    for method in host.methods() {
        if method.is_async() {
            bail!("{}::{}: a host is never awaited in PHP", host.name(), method.name());
        }
        write!(functions, "    void (*{})(uint64_t", method.name())?;
        for argument in method.arguments() {
            write!(functions, ", {}", c_type(&argument.as_type())?)?;
        }
        let answer = match method.return_type() {
            Some(of) => c_type(of)?,
            None => "void",
        };
        writeln!(functions, ", {answer} *, Status *);")?;
    }
    let (name, init) = (host.name(), host.ffi_init_callback().name());
    Ok(format!("typedef struct {{\n{functions}}} Table{name};\nvoid {init}(Table{name} *);\n"))
}

fn c_type(of: &Type) -> anyhow::Result<&'static str> {
    Ok(match FfiType::from(of) {
        FfiType::RustBuffer(_) => "Octets",
        FfiType::Int8 => "int8_t",
        FfiType::UInt64 => "uint64_t",
        other => bail!("PHP has no form for {other:?} in a call of a host"),
    })
}

/// What a function of the table does: `$arguments` hold words and octets, and so does its answer.
fn closure(surface: &Surface, host: &Object, method: &Method) -> anyhow::Result<String> {
    let mut arguments = Vec::new();
    for (at, argument) in method.arguments().into_iter().enumerate() {
        let of = argument.as_type();
        arguments.push(surface.lift(&of, NATIVE)?.replace("$answer", &format!("$arguments[{at}]")));
    }
    let called = method.name().to_lower_camel_case();
    let call = format!("$host->{called}({})", arguments.join(", "));
    let (native, body) = match method.return_type() {
        Some(of) => {
            let native = if size(Some(of)) == "OCTETS" { "string" } else { "int" };
            let lowered = surface.lower(of, "$answer", NATIVE)?;
            (native, format!("    $answer = {call};\n\n    return {lowered};\n"))
        }
        None => ("void", format!("    {call};\n")),
    };
    let (name, class) = (method.name(), host.name());
    let error = match method.throws_type() {
        Some(Type::Enum { name, .. }) => format!(
            "'{called}Error' => static fn (\\Throwable $error): ?string =>\n    \
             $error instanceof \\PosConnect\\{name} ? Codec::write{name}($error) : null,\n"
        ),
        _ => format!("'{called}Error' => static fn (\\Throwable $error): ?string => null,\n"),
    };
    let error = error.replacen(&format!("'{called}Error'"), &format!("'{name}_error'"), 1);
    Ok(format!(
        "'{name}' => static function (\\PosConnect\\{class} $host, {HIDDEN} array $arguments): {native} {{\n\
         {body}}},\n{error}"
    ))
}
