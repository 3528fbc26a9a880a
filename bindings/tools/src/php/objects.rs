//! Objects with their verbs, the interfaces that a host implements, and free functions.

use heck::ToLowerCamelCase as _;
use uniffi_bindgen::interface::ffi::FfiFunction;
use uniffi_bindgen::interface::{
    Argument, AsType as _, Constructor, Function, Method, Object, Type,
};

use super::File;
use super::checks::Place;
use super::codec::size;
use super::surface::Surface;
use super::text::{default, indented};
use super::types::ROOT;
use crate::secrets;

pub(super) fn files(surface: &Surface) -> anyhow::Result<Vec<File>> {
    let mut files = vec![functions(surface)?];
    for object in surface.classes() {
        files.push(class(surface, object)?);
    }
    for host in surface.hosts() {
        files.push(interface(surface, host)?);
    }
    Ok(files)
}

/// What stands for a call: of a method, a constructor or a function.
struct Call<'a> {
    surface: &'a Surface,
    /// As the metadata has it, and as PHP does.
    verb: &'a str,
    name: String,
    words: Option<&'a str>,
    arguments: Vec<&'a Argument>,
    answer: Option<&'a Type>,
    throws: Option<&'a Type>,
    symbol: String,
}

impl<'a> Call<'a> {
    fn method(surface: &'a Surface, method: &'a Method) -> Self {
        Self {
            surface,
            verb: method.name(),
            name: method.name().to_lower_camel_case(),
            words: method.docstring(),
            arguments: method.arguments(),
            answer: method.return_type(),
            throws: method.throws_type(),
            symbol: symbol(method.ffi_func()),
        }
    }

    fn constructor(surface: &'a Surface, constructor: &'a Constructor) -> Self {
        Self {
            surface,
            verb: constructor.name(),
            name: constructor.name().to_lower_camel_case(),
            words: constructor.docstring(),
            arguments: constructor.arguments(),
            answer: None,
            throws: constructor.throws_type(),
            symbol: symbol(constructor.ffi_func()),
        }
    }

    fn function(surface: &'a Surface, function: &'a Function) -> Self {
        Self {
            surface,
            verb: function.name(),
            name: function.name().to_lower_camel_case(),
            words: function.docstring(),
            arguments: function.arguments(),
            answer: function.return_type(),
            throws: function.throws_type(),
            symbol: symbol(function.ffi_func()),
        }
    }

    fn comment(&self, answer: Option<String>) -> anyhow::Result<String> {
        let mut tags = Vec::new();
        for argument in &self.arguments {
            let told = self.surface.told(&argument.as_type(), ROOT)?;
            tags.push(format!("@param {told} ${}", argument.name().to_lower_camel_case()));
        }
        tags.extend(answer.map(|told| format!("@return {told}")));
        if let Some(Type::Enum { name, .. }) = self.throws {
            tags.push(format!("@throws {name}"));
        }
        Ok(self.surface.comment(self.words, &tags))
    }

    /// The arguments as they are declared.
    fn parameters(&self) -> anyhow::Result<String> {
        let mut parameters = Vec::new();
        for argument in &self.arguments {
            let of = argument.as_type();
            let is_secret = secrets::is_masked_argument(self.verb, argument.name());
            let hidden = if is_secret { "#[\\SensitiveParameter] " } else { "" };
            let unless = match argument.default_value() {
                Some(value) => format!(" = {}", default(value, &of)?),
                None => String::new(),
            };
            let native = self.surface.taken(&of, ROOT)?;
            let name = argument.name().to_lower_camel_case();
            parameters.push(format!("{hidden}{native} ${name}{unless}"));
        }
        let line = parameters.join(", ");
        Ok(if line.len() > 60 {
            format!("(\n    {},\n)", parameters.join(",\n    "))
        } else {
            format!("({line})")
        })
    }

    fn checks(&self) -> String {
        let checks = self.arguments.iter().filter_map(|argument| {
            Place::argument(&argument.name().to_lower_camel_case(), |place| {
                self.surface.check(&argument.as_type(), place, ROOT)
            })
        });
        let checks: String = checks.map(|check| check + "\n").collect();
        if checks.is_empty() { checks } else { checks + "\n" }
    }

    /// The expression that calls.
    fn call(&self, this: Option<&str>, size: &str) -> anyhow::Result<String> {
        let mut lowered: Vec<String> = this.into_iter().map(Into::into).collect();
        for argument in &self.arguments {
            let variable = format!("${}", argument.name().to_lower_camel_case());
            lowered.push(self.surface.lower(&argument.as_type(), &variable, ROOT)?);
        }
        let error = match self.throws {
            Some(Type::Enum { name, .. }) => format!("    Native\\Codec::read{name}(...),\n"),
            _ => String::new(),
        };
        let (symbol, lowered) = (&self.symbol, lowered.join(", "));
        Ok(format!(
            "Native\\Library::call(\n    '{symbol}',\n    Native\\Bridge::{size},\n    \
             [{lowered}],\n{error})"
        ))
    }

    /// The whole, for what is called on an object or on nothing.
    fn text(&self, declared: &str, this: Option<&str>) -> anyhow::Result<String> {
        let call = self.call(this, size(self.answer))?;
        let (told, native, body) = match self.answer {
            Some(of) => {
                let lifted = self.surface.lift(of, ROOT)?;
                let body = format!("$answer = {call};\n\nreturn {lifted};\n");
                (self.surface.told(of, ROOT)?, self.surface.native(of, ROOT)?, body)
            }
            None => ("void".into(), "void".into(), format!("{call};\n")),
        };
        let (comment, name) = (self.comment(Some(told))?, &self.name);
        let (parameters, body) = (self.parameters()?, indented(&(self.checks() + &body), 1));
        let opens = opens(&parameters);
        Ok(format!("{comment}{declared} {name}{parameters}: {native}{opens}\n{body}}}\n\n"))
    }
}

/// What opens the body behind such parameters, after PSR-12.
fn opens(parameters: &str) -> &'static str {
    if parameters.contains('\n') { " {" } else { "\n{" }
}

/// The uniform form of a function, which both bridges call.
fn symbol(function: &FfiFunction) -> String {
    function.ffi_buffer_fn_name()
}

fn class(surface: &Surface, object: &Object) -> anyhow::Result<File> {
    let name = surface.class(object.name());
    let mut members = String::from(
        "/** @internal what stands for it in the library */\n\
         public readonly Native\\Handle $handle;\n\n",
    );
    match object.primary_constructor() {
        Some(constructor) => {
            let call = Call::constructor(surface, constructor);
            let made = call.call(None, "WORD")?;
            let body = format!(
                "{}$this->handle = new Native\\Handle({made}, self::class);\n",
                call.checks()
            );
            let (comment, parameters) = (call.comment(None)?, call.parameters()?);
            let (opens, body) = (opens(&parameters), indented(&body, 1));
            members.push_str(&format!(
                "{comment}public function __construct{parameters}{opens}\n{body}}}\n\n"
            ));
        }
        None => members.push_str("private function __construct()\n{\n}\n\n"),
    }
    for constructor in object.alternate_constructors() {
        let call = Call::constructor(surface, constructor);
        let made = call.call(None, "WORD")?;
        let body = format!(
            "{}return self::ofHandle(new Native\\Handle({made}, self::class));\n",
            call.checks()
        );
        let (comment, parameters) = (call.comment(Some("self".into()))?, call.parameters()?);
        let (name, opens, body) = (&call.name, opens(&parameters), indented(&body, 1));
        members.push_str(&format!(
            "{comment}public static function {name}{parameters}: self{opens}\n{body}}}\n\n"
        ));
    }
    for method in object.methods() {
        let call = Call::method(surface, method);
        members.push_str(&call.text("public function", Some("$this->handle"))?);
    }
    members.push_str(
        "/**\n * @internal\n *\n * @param Native\\Handle $handle\n * @return self\n */\n\
         public static function ofHandle(Native\\Handle $handle): self\n{\n    \
             $made = (new \\ReflectionClass(self::class))->newInstanceWithoutConstructor();\n    \
             $made->handle = $handle;\n\n    return $made;\n}\n",
    );
    let comment = surface.comment(surface.about(object), &[]);
    let body = format!("{comment}final class {name}\n{{\n{}}}\n", indented(&members, 1));
    Ok(File::new(format!("{name}.php"), "", &body))
}

fn interface(surface: &Surface, host: &Object) -> anyhow::Result<File> {
    let name = host.name();
    let mut members = String::new();
    for method in host.methods() {
        let call = Call::method(surface, method);
        let (told, native) = match call.answer {
            Some(of) => (surface.told(of, ROOT)?, surface.native(of, ROOT)?),
            None => ("void".into(), "void".into()),
        };
        let (comment, parameters) = (call.comment(Some(told))?, call.parameters()?);
        let called = &call.name;
        members.push_str(&format!("{comment}public function {called}{parameters}: {native};\n\n"));
    }
    let comment = surface.comment(host.docstring(), &[]);
    let members = indented(members.trim_end(), 1);
    let body = format!("{comment}interface {name}\n{{\n{members}}}\n");
    Ok(File::new(format!("{name}.php"), "", &body))
}

fn functions(surface: &Surface) -> anyhow::Result<File> {
    let mut functions = String::new();
    for function in surface.ci.function_definitions() {
        functions.push_str(&Call::function(surface, function).text("function", None)?);
    }
    Ok(File::new("functions.php", "", &functions))
}
