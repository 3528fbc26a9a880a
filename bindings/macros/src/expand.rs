//! The expansion, on tokens that a test can make as well.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::parse::{Parse, ParseStream};
use syn::{
    Attribute, Error, FnArg, Ident, ImplItem, ImplItemFn, ItemImpl, Pat, ReceiverKind, ReturnType,
    Token, Type, Visibility,
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

            #[cfg(not(feature = "uniffi"))]
            impl #of { #(#methods)* }
        }
    };
    let methods: Vec<_> = verbs_of.iter().map(Verb::method).collect();
    let blocking: Vec<_> = verbs_of.iter().map(Verb::blocking).collect();
    let methods = exported(&quote! { #this }, &methods);
    let blocking = exported(&quote! { #twin }, &blocking);
    let by_name = by_name(&quote! { #twin }, &verbs_of);
    Ok(quote! {
        impl #this { #(#here)* }
        #methods
        #blocking
        #by_name
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

    /// The key of the payment that the verb is about, for what fails before the verb itself.
    fn about(&self) -> TokenStream {
        let key = self.arguments.iter().find(|name| **name == "idempotency_key");
        key.map_or_else(
            || quote! { let about = None; },
            |key| quote! { let about = Some(crate::error::About::from(&#key)); },
        )
    }

    fn is_async(&self) -> bool {
        self.function.sig.asyncness.is_some()
    }

    fn name(&self) -> String {
        self.function.sig.ident.to_string()
    }

    fn arm(&self) -> TokenStream {
        let (name, verb) = (self.name(), &self.function.sig.ident);
        let (arguments, types) = (&self.arguments, &self.types);
        let can_fail = match &self.function.sig.output {
            ReturnType::Type(_, of) => is_named(of, "Result"),
            ReturnType::Default => false,
        };
        let fails = can_fail.then(|| quote!(?));
        quote! {
            #name => {
                #[derive(serde::Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Arguments { #(#arguments: #types),* }
                let Arguments { #(#arguments),* } = crate::json::read("arguments", arguments)?;
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
                self.told(crate::runtime::entered(self.#here(#(#arguments),*)).await, about)
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
    fn an_async_verb_becomes_a_method_and_a_blocking_one() {
        let verbs = parse_quote! {
            impl Line {
                /// Pays.
                pub async fn pay(&self, order: Order, key: Option<String>) -> Result<Done, Error> {
                    todo(order, key)
                }
                /// Closes.
                pub fn close(&self) { self.shut() }
            }
        };
        let wanted = quote! {
            impl Line {
                async fn pay_here(&self, order: Order, key: Option<String>) -> Result<Done, Error> {
                    todo(order, key)
                }
                fn close_here(&self) { self.shut() }
            }

            #[cfg(feature = "uniffi")]
            #[uniffi::export]
            impl Line {
                #[uniffi::method(default(key = None))]
                #[doc = r" Pays."]
                pub async fn pay(&self, order: Order, key: Option<String>) -> Result<Done, Error> {
                    let about = None;
                    self.told(crate::runtime::entered(self.pay_here(order, key)).await, about)
                }
                #[doc = r" Closes."]
                pub fn close(&self) { self.close_here() }
            }

            #[cfg(not(feature = "uniffi"))]
            impl Line {
                #[doc = r" Pays."]
                pub async fn pay(&self, order: Order, key: Option<String>) -> Result<Done, Error> {
                    let about = None;
                    self.told(crate::runtime::entered(self.pay_here(order, key)).await, about)
                }
                #[doc = r" Closes."]
                pub fn close(&self) { self.close_here() }
            }

            #[cfg(feature = "uniffi")]
            #[uniffi::export]
            impl Twin {
                #[uniffi::method(default(key = None))]
                #[doc = r" Pays."]
                pub fn pay(&self, order: Order, key: Option<String>) -> Result<Done, Error> {
                    let about = None;
                    let of = self.connection();
                    of.told(crate::runtime::wait(of.pay_here(order, key)), about)
                }
                #[doc = r" Closes."]
                pub fn close(&self) { self.connection().close_here() }
            }

            #[cfg(not(feature = "uniffi"))]
            impl Twin {
                #[doc = r" Pays."]
                pub fn pay(&self, order: Order, key: Option<String>) -> Result<Done, Error> {
                    let about = None;
                    let of = self.connection();
                    of.told(crate::runtime::wait(of.pay_here(order, key)), about)
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
                            #[derive(serde::Deserialize)]
                            #[serde(deny_unknown_fields)]
                            struct Arguments { order: Order, key: Option<String> }
                            let Arguments { order, key } = crate::json::read("arguments", arguments)?;
                            crate::json::told(&self.pay(order, key)?)
                        }
                        "close" => {
                            #[derive(serde::Deserialize)]
                            #[serde(deny_unknown_fields)]
                            struct Arguments {}
                            let Arguments {} = crate::json::read("arguments", arguments)?;
                            crate::json::told(&self.close())
                        }
                        _ => Err(crate::json::no_such_verb()),
                    };
                    self.connection().spoken(answer())
                }
            }
        };
        assert_eq!(expanded(&verbs), Ok(wanted.to_string()));
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
