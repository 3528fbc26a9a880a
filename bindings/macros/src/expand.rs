//! The expansion, on tokens that a test can make as well.

use proc_macro2::TokenStream;
use quote::{ToTokens as _, format_ident, quote};
use syn::parse::{Parse, ParseStream};
use syn::{
    Attribute, Error, FnArg, GenericArgument, Ident, ImplItem, ImplItemFn, ItemImpl, Pat,
    PathArguments, ReceiverKind, ReturnType, Token, Type, Visibility,
};

/// The argument `blocking = Name`.
pub(crate) struct Twin(Ident);

impl Parse for Twin {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name: Ident = input.parse()?;
        if name != "blocking" {
            return Err(Error::new(name.span(), "must be `blocking = Name`"));
        }
        input.parse::<Token![=]>()?;
        input.parse().map(Self)
    }
}

pub(crate) fn expand(twin: &Twin, verbs: &ItemImpl) -> syn::Result<TokenStream> {
    if verbs.trait_.is_some() || !verbs.generics.params.is_empty() {
        return Err(Error::new_spanned(&verbs.self_ty, "must be a plain impl of one type"));
    }
    let verbs_of = verbs.items.iter().map(|item| match item {
        ImplItem::Fn(function) => Verb::read(function),
        other => Err(Error::new_spanned(other, "only methods can be verbs")),
    });
    let verbs_of = verbs_of.collect::<syn::Result<Vec<_>>>()?;
    let (this, twin) = (&verbs.self_ty, &twin.0);
    let here = verbs_of.iter().map(Verb::here);
    let exported = |of: &TokenStream, methods: &[TokenStream]| {
        let defaults = verbs_of.iter().map(Verb::defaults);
        quote! {
            #[cfg(feature = "uniffi")]
            #[uniffi::export]
            impl #of { #(#defaults #methods)* }

            #[cfg(not(any(feature = "uniffi", target_arch = "wasm32")))]
            impl #of { #(#methods)* }
        }
    };
    let methods: Vec<_> = verbs_of.iter().map(Verb::method).collect();
    let blocking: Vec<_> = verbs_of.iter().map(Verb::blocking).collect();
    let methods = exported(&quote! { #this }, &methods);
    let blocking = exported(&quote! { #twin }, &blocking);
    let by_name = by_name(&quote! { #twin }, &verbs_of);
    let class = this.to_token_stream().to_string();
    let in_a_browser = verbs_of.iter().map(Verb::in_a_browser).collect::<syn::Result<Vec<_>>>()?;
    Ok(quote! {
        impl #this { #(#here)* }

        #methods
        #blocking
        #by_name

        #[cfg(all(feature = "wasm-connection", target_arch = "wasm32"))]
        const _: () = {
            use crate::wasm::Line;

            #[wasm_bindgen::prelude::wasm_bindgen(js_class = #class)]
            impl Line { #(#in_a_browser)* }
        };
    })
}

/// The verbs for languages that have nothing but texts: each by its name, with its arguments as one
/// JSON object.
fn by_name(twin: &TokenStream, verbs: &[Verb<'_>]) -> TokenStream {
    let names = verbs.iter().map(Verb::name);
    let arms = verbs.iter().map(Verb::arm);
    quote! {
        #[cfg(all(feature = "json", not(target_arch = "wasm32")))]
        impl #twin {
            /// The name of every verb.
            pub const VERBS: &'static [&'static str] = &[#(#names),*];

            /// Calls a verb by its name, with its arguments as a JSON object by their names, and gives
            /// its answer as JSON.
            ///
            /// # Errors
            /// As the verb; `FixTheRequest` (`invalid_field`) for another name (`verb`) and for
            /// arguments that are missing, unknown or of another type.
            pub fn call_by_name(&self, verb: &str, arguments: &str) -> Result<String, Error> {
                let answer = || match verb {
                    #(#arms)*
                    _ => Err(crate::json::no_such_verb()),
                };
                self.connection().spoken(answer())
            }
        }
    }
}

/// One method, read.
struct Verb<'a> {
    function: &'a ImplItemFn,
    docs: Vec<&'a Attribute>,
    arguments: Vec<&'a Ident>,
    types: Vec<&'a Type>,
    /// Those that a caller may leave out.
    optional: Vec<&'a Ident>,
}

impl<'a> Verb<'a> {
    fn read(function: &'a ImplItemFn) -> syn::Result<Self> {
        let refuse = |why: &str| Err(Error::new_spanned(&function.sig, why));
        if !matches!(function.vis, Visibility::Public(_)) {
            return refuse("a verb is public; put helpers into an impl block of their own");
        }
        let docs: Vec<_> = function.attrs.iter().filter(|one| one.path().is_ident("doc")).collect();
        if docs.is_empty() {
            return refuse("a verb needs documentation: every language shows it");
        }
        if docs.len() != function.attrs.len() {
            return refuse("a verb takes no attributes but its documentation");
        }
        let (mut arguments, mut types, mut optional) = (Vec::new(), Vec::new(), Vec::new());
        let mut inputs = function.sig.inputs.iter();
        match inputs.next() {
            Some(FnArg::Receiver(this))
                if matches!(&this.kind, ReceiverKind::Reference(_, _, None)) => {}
            _ => return refuse("a verb takes `&self`"),
        }
        for input in inputs {
            match input {
                FnArg::Typed(typed) => match &*typed.pat {
                    Pat::Ident(name) => {
                        arguments.push(&name.ident);
                        types.push(&*typed.ty);
                        if is_option(&typed.ty) {
                            optional.push(&name.ident);
                        }
                    }
                    other => return Err(Error::new_spanned(other, "must be a plain name")),
                },
                FnArg::Receiver(this) => return Err(Error::new_spanned(this, "comes first")),
            }
        }
        Ok(Self { function, docs, arguments, types, optional })
    }

    /// What UniFFI is to know of arguments that may be left out.
    fn defaults(&self) -> TokenStream {
        let optional = &self.optional;
        if optional.is_empty() {
            TokenStream::new()
        } else {
            quote! { #[uniffi::method(default(#(#optional = None),*))] }
        }
    }

    /// The argument that is a payment's key, with its type: of a verb that acts on the payment or finds out
    /// what became of it, and so gives an `Operation`, or that forgets it, and gives nothing. Others with a
    /// key (`check`, `operation`) move nothing, and no error of theirs may say that something was.
    fn payment_key(&self) -> Option<(&'a Ident, &'a Type)> {
        let answer = given(&self.function.sig.output).ok()?;
        let is_nothing = matches!(answer, Type::Tuple(nothing) if nothing.elems.is_empty());
        let mut arguments = self.arguments.iter().copied().zip(self.types.iter().copied());
        let key = arguments.find(|(name, _)| *name == "idempotency_key");
        key.filter(|_| is_nothing || is_named(answer, "Operation"))
    }

    /// The payment that the verb is about, for what fails outside the verb itself.
    fn about(&self) -> TokenStream {
        self.payment_key().map_or_else(
            || quote! { let about = None; },
            |(key, _)| quote! { let about = Some(crate::error::About::from(&#key)); },
        )
    }

    /// The method of JavaScript: its arguments are read within, so that a wrong one is refused and
    /// nothing leaks.
    fn in_a_browser(&self) -> syn::Result<TokenStream> {
        let (docs, here) = (&self.docs, self.here_name());
        let name = &self.function.sig.ident;
        let rust = format_ident!("{name}_of_js");
        let js = camel_case(&name.to_string());
        let (mut inputs, mut read) = (Vec::new(), Vec::new());
        for (argument, ty) in self.arguments.iter().zip(&self.types) {
            let js = camel_case(&argument.to_string());
            let (ts, is_optional) = typescript(ty)?;
            let ts = if is_optional {
                quote! { unchecked_optional_param_type = #ts }
            } else {
                quote! { unchecked_param_type = #ts }
            };
            inputs.push(
                quote! { #[wasm_bindgen(js_name = #js, #ts)] #argument: wasm_bindgen::JsValue },
            );
            read.push(quote! { let #argument: #ty = crate::wasm::read(#js, &#argument)?; });
        }
        let arguments = &self.arguments;
        if !self.is_async() {
            return Ok(quote! {
                #(#docs)*
                #[wasm_bindgen(js_name = #js)]
                pub fn #rust(&self) { self.line().#here() }
            });
        }
        let gives = format!("Promise<{}>", typescript(given(&self.function.sig.output)?)?.0);
        // Not `async`, which makes code of its own for every promise.
        Ok(quote! {
            #(#docs)*
            #[wasm_bindgen(js_name = #js, unchecked_return_type = #gives)]
            pub fn #rust(&self, #(#inputs),*) -> wasm_bindgen::JsValue {
                let line = self.line();
                crate::wasm::promise(async move {
                    #(#read)*
                    crate::wasm::told(line.spoken(line.#here(#(#arguments),*).await))
                })
            }
        })
    }

    fn is_async(&self) -> bool {
        self.function.sig.asyncness.is_some()
    }

    fn name(&self) -> String {
        self.function.sig.ident.to_string()
    }

    fn arm(&self) -> TokenStream {
        let (name, verb) = (self.name(), &self.function.sig.ident);
        let arguments = &self.arguments;
        let can_fail = match &self.function.sig.output {
            ReturnType::Type(_, of) => is_named(of, "Result"),
            ReturnType::Default => false,
        };
        let fails = can_fail.then(|| quote!(?));
        let key = self.payment_key();
        let taken = arguments.iter().map(|argument| match key {
            Some((key, _)) if *argument == key => quote!(#key),
            _ => {
                let name = argument.to_string();
                quote!(given.take(#name)?)
            }
        });
        let given = if arguments.is_empty() { quote!(_) } else { quote!(given) };
        let read = if let Some((key, ty)) = key {
            let name = key.to_string();
            // First, because what is wrong with the others must not say of an open payment that nothing
            // was moved.
            quote! {
                let mut about: Option<String> = None;
                let read = crate::json::arguments(arguments, |given| {
                    let #key: #ty = given.take(#name)?;
                    about = #key.clone().into();
                    Ok((#(#taken,)*))
                });
                let (#(#arguments,)*) =
                    read.map_err(|error| self.connection().refused(about.as_deref(), error))?;
            }
        } else {
            quote! {
                let (#(#arguments,)*) = crate::json::arguments(arguments, |#given| {
                    Ok((#(#taken,)*))
                })?;
            }
        };
        quote! {
            #name => {
                #read
                crate::json::told(&self.#verb(#(#arguments),*) #fails)
            }
        }
    }

    fn here_name(&self) -> Ident {
        format_ident!("{}_here", self.function.sig.ident)
    }

    /// The body as it was written.
    fn here(&self) -> TokenStream {
        let mut signature = self.function.sig.clone();
        signature.ident = self.here_name();
        let body = &self.function.block;
        quote! { #signature #body }
    }

    fn method(&self) -> TokenStream {
        let (docs, signature) = (&self.docs, &self.function.sig);
        let (here, arguments) = (self.here_name(), &self.arguments);
        let body = if self.is_async() {
            let about = self.about();
            quote! {
                #about
                self.told(crate::runtime::entered(Box::pin(self.#here(#(#arguments),*))).await, about)
            }
        } else {
            quote! { self.#here(#(#arguments),*) }
        };
        quote! { #(#docs)* pub #signature { #body } }
    }

    fn blocking(&self) -> TokenStream {
        let docs = &self.docs;
        let mut signature = self.function.sig.clone();
        signature.asyncness = None;
        let (here, arguments) = (self.here_name(), &self.arguments);
        let about = self.about();
        let body = if self.is_async() {
            quote! {
                #about
                let of = self.connection();
                of.told(crate::runtime::wait(of.#here(#(#arguments),*)), about)
            }
        } else {
            quote! { self.connection().#here(#(#arguments),*) }
        };
        quote! { #(#docs)* pub #signature { #body } }
    }
}

/// What an async verb gives when it does not fail.
fn given(output: &ReturnType) -> syn::Result<&Type> {
    if let ReturnType::Type(_, ty) = output
        && let Some(first) = first_argument(ty)
    {
        return Ok(first);
    }
    Err(Error::new_spanned(output, "an async verb gives `Result<_, Error>`"))
}

/// The name of a type in TypeScript, and whether it may be left out. Records and enums have the same
/// there.
fn typescript(of: &Type) -> syn::Result<(String, bool)> {
    let wrong = || Error::new_spanned(of, "has no name in JavaScript");
    let Type::Path(path) = of else {
        return match of {
            Type::Tuple(none) if none.elems.is_empty() => Ok(("void".into(), false)),
            _ => Err(wrong()),
        };
    };
    let name = path.path.segments.last().ok_or_else(wrong)?.ident.to_string();
    Ok(match name.as_str() {
        "String" => ("string".into(), false),
        "bool" => ("boolean".into(), false),
        "u8" | "u16" | "u32" | "u64" => ("number".into(), false),
        "Option" => {
            (format!("{} | null", typescript(first_argument(of).ok_or_else(wrong)?)?.0), true)
        }
        "Vec" => (format!("{}[]", typescript(first_argument(of).ok_or_else(wrong)?)?.0), false),
        _ => (name, false),
    })
}

fn first_argument(of: &Type) -> Option<&Type> {
    let Type::Path(path) = of else { return None };
    let PathArguments::AngleBracketed(arguments) = &path.path.segments.last()?.arguments else {
        return None;
    };
    match arguments.args.first()? {
        GenericArgument::Type(first) => Some(first),
        _ => None,
    }
}

pub(crate) fn camel_case(snake: &str) -> String {
    let mut words = snake.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(1);
        camel.push_str(&first.to_ascii_uppercase());
        camel.push_str(rest);
    }
    camel
}

fn is_option(of: &Type) -> bool {
    is_named(of, "Option")
}

fn is_named(of: &Type, name: &str) -> bool {
    matches!(of, Type::Path(path)
        if path.path.segments.last().is_some_and(|last| last.ident == name))
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn expanded(verbs: &ItemImpl) -> Result<String, String> {
        let twin: Twin = parse_quote!(blocking = Twin);
        expand(&twin, verbs).map(|made| made.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_async_verb_becomes_a_method_a_blocking_one_and_one_of_javascript() {
        let verbs = parse_quote! {
            impl Line {
                /// Pays.
                pub async fn pay(&self, order: Order, the_key: Option<String>) -> Result<Done, Error> {
                    todo(order, the_key)
                }
                /// Closes.
                pub fn close(&self) { self.shut() }
            }
        };
        let wanted = quote! {
            impl Line {
                async fn pay_here(&self, order: Order, the_key: Option<String>) -> Result<Done, Error> {
                    todo(order, the_key)
                }
                fn close_here(&self) { self.shut() }
            }

            #[cfg(feature = "uniffi")]
            #[uniffi::export]
            impl Line {
                #[uniffi::method(default(the_key = None))]
                #[doc = r" Pays."]
                pub async fn pay(&self, order: Order, the_key: Option<String>) -> Result<Done, Error> {
                    let about = None;
                    self.told(crate::runtime::entered(Box::pin(self.pay_here(order, the_key))).await, about)
                }
                #[doc = r" Closes."]
                pub fn close(&self) { self.close_here() }
            }

            #[cfg(not(any(feature = "uniffi", target_arch = "wasm32")))]
            impl Line {
                #[doc = r" Pays."]
                pub async fn pay(&self, order: Order, the_key: Option<String>) -> Result<Done, Error> {
                    let about = None;
                    self.told(crate::runtime::entered(Box::pin(self.pay_here(order, the_key))).await, about)
                }
                #[doc = r" Closes."]
                pub fn close(&self) { self.close_here() }
            }

            #[cfg(feature = "uniffi")]
            #[uniffi::export]
            impl Twin {
                #[uniffi::method(default(the_key = None))]
                #[doc = r" Pays."]
                pub fn pay(&self, order: Order, the_key: Option<String>) -> Result<Done, Error> {
                    let about = None;
                    let of = self.connection();
                    of.told(crate::runtime::wait(of.pay_here(order, the_key)), about)
                }
                #[doc = r" Closes."]
                pub fn close(&self) { self.connection().close_here() }
            }

            #[cfg(not(any(feature = "uniffi", target_arch = "wasm32")))]
            impl Twin {
                #[doc = r" Pays."]
                pub fn pay(&self, order: Order, the_key: Option<String>) -> Result<Done, Error> {
                    let about = None;
                    let of = self.connection();
                    of.told(crate::runtime::wait(of.pay_here(order, the_key)), about)
                }
                #[doc = r" Closes."]
                pub fn close(&self) { self.connection().close_here() }
            }

            #[cfg(all(feature = "json", not(target_arch = "wasm32")))]
            impl Twin {
                /// The name of every verb.
                pub const VERBS: &'static [&'static str] = &["pay", "close"];

                /// Calls a verb by its name, with its arguments as a JSON object by their names, and gives
                /// its answer as JSON.
                ///
                /// # Errors
                /// As the verb; `FixTheRequest` (`invalid_field`) for another name (`verb`) and for
                /// arguments that are missing, unknown or of another type.
                pub fn call_by_name(&self, verb: &str, arguments: &str) -> Result<String, Error> {
                    let answer = || match verb {
                        "pay" => {
                            let (order, the_key,) = crate::json::arguments(arguments, |given| {
                                Ok((given.take("order")?, given.take("the_key")?,))
                            })?;
                            crate::json::told(&self.pay(order, the_key)?)
                        }
                        "close" => {
                            let () = crate::json::arguments(arguments, |_| {
                                Ok(())
                            })?;
                            crate::json::told(&self.close())
                        }
                        _ => Err(crate::json::no_such_verb()),
                    };
                    self.connection().spoken(answer())
                }
            }
            #[cfg(all(feature = "wasm-connection", target_arch = "wasm32"))]
            const _: () = {
                use crate::wasm::Line;

                #[wasm_bindgen::prelude::wasm_bindgen(js_class = "Line")]
                impl Line {
                #[doc = r" Pays."]
                #[wasm_bindgen(js_name = "pay", unchecked_return_type = "Promise<Done>")]
                pub fn pay_of_js(
                    &self,
                    #[wasm_bindgen(js_name = "order", unchecked_param_type = "Order")]
                    order: wasm_bindgen::JsValue,
                    #[wasm_bindgen(
                        js_name = "theKey", unchecked_optional_param_type = "string | null"
                    )]
                    the_key: wasm_bindgen::JsValue
                ) -> wasm_bindgen::JsValue {
                    let line = self.line();
                    crate::wasm::promise(async move {
                        let order: Order = crate::wasm::read("order", &order)?;
                        let the_key: Option<String> = crate::wasm::read("theKey", &the_key)?;
                        crate::wasm::told(line.spoken(line.pay_here(order, the_key).await))
                    })
                }
                #[doc = r" Closes."]
                #[wasm_bindgen(js_name = "close")]
                pub fn close_of_js(&self) { self.line().close_here() }
            }
            };
        };
        assert_eq!(expanded(&verbs), Ok(wanted.to_string()));
    }

    #[test]
    fn a_payment_s_key_is_known_before_all_else() {
        let verbs = parse_quote! {
            impl Line {
                /// Pays.
                pub async fn pay(&self, order: Order, idempotency_key: Option<String>) -> Result<Operation, Error> {
                    todo(order, idempotency_key)
                }
                /// Forgets.
                pub async fn dismiss(&self, idempotency_key: String) -> Result<(), Error> {
                    todo(idempotency_key)
                }
                /// Looks.
                pub async fn check(&self, idempotency_key: Option<String>) -> Result<Check, Error> {
                    todo(idempotency_key)
                }
            }
        };
        let made = expanded(&verbs).unwrap();
        let verb = |name: &str, about: TokenStream, arguments: TokenStream| {
            let here = format_ident!("{name}_here");
            let wanted = quote! {
                #about
                let of = self.connection();
                of.told(crate::runtime::wait(of.#here(#arguments)), about)
            };
            assert!(made.contains(&wanted.to_string()), "{name}: {made}");
        };
        let about = quote! { let about = Some(crate::error::About::from(&idempotency_key)); };
        verb("pay", about.clone(), quote! { order, idempotency_key });
        verb("dismiss", about, quote! { idempotency_key });
        verb("check", quote! { let about = None; }, quote! { idempotency_key });
        let arm = quote! {
            "pay" => {
                let mut about: Option<String> = None;
                let read = crate::json::arguments(arguments, |given| {
                    let idempotency_key: Option<String> = given.take("idempotency_key")?;
                    about = idempotency_key.clone().into();
                    Ok((given.take("order")?, idempotency_key,))
                });
                let (order, idempotency_key,) =
                    read.map_err(|error| self.connection().refused(about.as_deref(), error))?;
                crate::json::told(&self.pay(order, idempotency_key)?)
            }
        };
        assert!(made.contains(&arm.to_string()), "{made}");
    }

    #[test]
    fn what_no_host_could_call_is_refused() {
        let refused = |verbs: ItemImpl| expanded(&verbs).unwrap_err();
        for (verbs, why) in [
            (parse_quote!(impl Line { pub async fn a(&self) {} }), "documentation"),
            (
                parse_quote!(impl Line { /// x
                fn a(&self) {} }),
                "public",
            ),
            (
                parse_quote!(impl Line { /// x
                pub fn a() {} }),
                "`&self`",
            ),
            (
                parse_quote!(impl Line { /// x
                pub fn a(&mut self) {} }),
                "`&self`",
            ),
            (
                parse_quote!(impl Line { /// x
                pub fn a(&self, (b, c): (u8, u8)) {} }),
                "plain name",
            ),
            (
                parse_quote!(impl Line { /// x
                #[must_use] pub fn a(&self) {} }),
                "no attributes",
            ),
            (parse_quote!(impl Line { const A: u8 = 1; }), "only methods"),
            (parse_quote!(impl Other for Line {}), "plain impl"),
        ] {
            let message = refused(verbs);
            assert!(message.contains(why), "{message}");
        }
    }
}
