//! The surface as PHP shows it.

use std::collections::{HashMap, HashSet};

use anyhow::bail;
use camino::Utf8Path;
use heck::ToLowerCamelCase as _;
use pos_connect_tools::surface;
use uniffi_bindgen::ComponentInterface;
use uniffi_bindgen::interface::{
    Argument, AsType, Constructor, Enum, Function, Method, Object, Record, Type,
};

use crate::secrets;

/// What a class of this name stands before in the metadata: PHP's programs wait, so that its
/// connection is the blocking one, under the plain name.
const TWIN: &str = "Blocking";

pub(super) struct Surface {
    pub(super) ci: ComponentInterface,
    /// The objects that PHP shows, without those whose verbs are awaited.
    objects: Vec<Object>,
    /// Records and enums that a program gives: their values are checked where they are made.
    given: HashSet<String>,
    /// The names that comments may speak of, as they are in the metadata and in PHP.
    spoken: HashMap<String, String>,
}

impl Surface {
    pub(super) fn load(library: &Utf8Path) -> anyhow::Result<Self> {
        let ci = surface::read(library)?;
        secrets::check(&ci)?;
        Self::of(ci)
    }

    pub(super) fn of(mut ci: ComponentInterface) -> anyhow::Result<Self> {
        ci.derive_ffi_funcs()?;
        let twin = |name: &str| ci.get_object_definition(&format!("{TWIN}{name}")).is_some();
        let shown = ci.object_definitions().iter().filter(|object| !twin(object.name()));
        let objects: Vec<_> = shown.cloned().collect();
        for object in &objects {
            if object.has_async_method() {
                bail!("{} has awaited methods and no {TWIN}{0} beside it", object.name());
            }
            if !object.uniffi_traits().is_empty() {
                bail!("{}: PHP has no form for exported traits", object.name());
            }
        }
        if !ci.callback_interface_definitions().is_empty() {
            bail!("a host's object is a trait exported `with_foreign`, not a callback interface");
        }
        for record in ci.record_definitions() {
            if !record.methods().is_empty() || !record.constructors().is_empty() {
                bail!("{}: PHP has no form for methods of records", record.name());
            }
        }
        for one in ci.enum_definitions() {
            if !one.methods().is_empty() || !one.constructors().is_empty() {
                bail!("{}: PHP has no form for methods of enums", one.name());
            }
        }
        let mut surface = Self { ci, objects, given: HashSet::new(), spoken: HashMap::new() };
        surface.given = surface.find_given();
        surface.spoken = surface.find_spoken();
        Ok(surface)
    }

    /// The classes that stand for something in Rust.
    pub(super) fn classes(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter().filter(|object| !object.has_callback_interface())
    }

    /// The interfaces that a program implements.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter().filter(|object| object.has_callback_interface())
    }

    pub(super) fn host(&self, name: &str) -> Option<&Object> {
        self.hosts().find(|host| host.name() == name)
    }

    /// What a class is called in PHP.
    pub(super) fn class<'n>(&self, name: &'n str) -> &'n str {
        match name.strip_prefix(TWIN) {
            Some(plain) if self.ci.get_object_definition(plain).is_some() => plain,
            _ => name,
        }
    }

    /// What is said of a class: where its twin was left out, that one's words, which name it plainly.
    pub(super) fn about<'a>(&'a self, object: &'a Object) -> Option<&'a str> {
        let plain = self.class(object.name());
        self.ci.get_object_definition(plain).unwrap_or(object).docstring()
    }

    pub(super) fn errors(&self) -> impl Iterator<Item = &Enum> {
        self.ci.enum_definitions().iter().filter(|one| self.is_error(one))
    }

    pub(super) fn is_error(&self, one: &Enum) -> bool {
        self.ci.is_name_used_as_error(one.name())
    }

    /// Whether a program makes values of this type, not only the library.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.given.contains(name)
    }

    pub(super) fn spoken(&self, word: &str) -> Option<&str> {
        self.spoken.get(word).map(String::as_str)
    }

    fn find_given(&self) -> HashSet<String> {
        let functions = self.ci.function_definitions().iter().flat_map(Function::arguments);
        let made = self.classes().flat_map(Object::constructors).flat_map(Constructor::arguments);
        let asked = self.classes().flat_map(Object::methods).flat_map(Method::arguments);
        let arguments = functions.chain(made).chain(asked).map(Argument::as_type);
        // A host answers with values too, and fails with its own errors.
        let answers = self.hosts().flat_map(Object::methods);
        let answers = answers.flat_map(|method| {
            method.return_type().into_iter().chain(method.throws_type()).cloned()
        });
        let mut open: Vec<Type> = arguments.chain(answers).collect();
        let mut given = HashSet::new();
        while let Some(one) = open.pop() {
            for inner in one.iter_types() {
                if let Type::Record { name, .. } | Type::Enum { name, .. } = inner
                    && given.insert(name.clone())
                {
                    let record = self.ci.get_record_definition(name).map(Record::iter_types);
                    let words = self.ci.get_enum_definition(name).map(Enum::iter_types);
                    open.extend(record.into_iter().chain(words).flatten().cloned());
                }
            }
        }
        given
    }

    fn find_spoken(&self) -> HashMap<String, String> {
        let records = self.ci.record_definitions().iter().flat_map(|one| one.fields());
        let variants = self.ci.enum_definitions().iter().flat_map(Enum::variants);
        let fields = records.chain(variants.flat_map(|one| one.fields())).map(|one| one.name());
        let verbs = self.objects.iter().flat_map(Object::methods);
        let arguments = verbs.clone().flat_map(Method::arguments).map(Argument::name);
        let names = fields.chain(arguments).chain(verbs.map(Method::name));
        names.map(|name| (name.to_owned(), name.to_lower_camel_case())).collect()
    }
}
