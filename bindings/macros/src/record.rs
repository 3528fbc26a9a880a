//! What the generators of every language are told of a record or an enum, on tokens that a test can
//! make as well.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Error, Field, Fields, Ident, Item, ItemEnum, Type, parse_quote};

use crate::expand::camel_case;

/// The argument, `request` or nothing.
pub(crate) struct Given {
    by_the_host: bool,
}

impl Parse for Given {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.is_empty() {
            return Ok(Self { by_the_host: false });
        }
        let word: Ident = input.parse()?;
        if word == "request" {
            return Ok(Self { by_the_host: true });
        }
        Err(Error::new(word.span(), "must be `request` or nothing"))
    }
}

pub(crate) fn expand(given: &Given, mut item: Item) -> syn::Result<TokenStream> {
    let (uniffi, json, of_js) = match &item {
        Item::Struct(_) => (quote!(Record), quote!(), quote!(rename_all = "camelCase")),
        Item::Enum(of) if are_words(of) => {
            (quote!(Enum), quote!(rename_all = "snake_case",), quote!())
        }
        Item::Enum(_) => (
            quote!(Enum),
            quote!(tag = "type", rename_all = "snake_case",),
            quote!(rename_all_fields = "camelCase"),
        ),
        other => return Err(Error::new_spanned(other, "must be a record or an enum")),
    };
    let (written, read, of_js) = if given.by_the_host {
        let read = read(&item);
        mark_what_may_be_left_out(&mut item);
        (quote!(), read, quote!(#json #of_js))
    } else {
        let written = quote! {
            #[cfg_attr(feature = "json", derive(serde::Serialize), serde(#json))]
        };
        (written, quote!(), of_js)
    };
    // What of it there is, the crate of the surface decides by its features, and not this one.
    Ok(quote! {
        #[cfg_attr(feature = "uniffi", derive(uniffi::#uniffi))]
        #written
        #[cfg_attr(
            all(feature = "wasm", target_arch = "wasm32"),
            derive(tsify::Tsify), tsify(missing_as_null, hashmap_as_object), serde(#of_js)
        )]
        #item
        #read
    })
}

fn are_words(of: &ItemEnum) -> bool {
    of.variants.iter().all(|one| one.fields.is_empty())
}

/// How it is read from JSON.
fn read(item: &Item) -> TokenStream {
    let (name, read) = match item {
        Item::Struct(record) => {
            let fields = taken(&record.fields);
            (&record.ident, quote! { json.fields(|fields| Ok(Self { #(#fields),* })) })
        }
        Item::Enum(of) => {
            let words = of.variants.iter().map(|one| snake_case(&one.ident.to_string()));
            let variants = of.variants.iter().map(|one| &one.ident);
            let read = if are_words(of) {
                quote! { json.one_of(&[#((#words, Self::#variants)),*]) }
            } else {
                let fields = of.variants.iter().map(|one| {
                    let fields = taken(&one.fields);
                    quote! { #(#fields),* }
                });
                quote! {
                    json.fields(|fields| fields.variant(&[
                        #((#words, |fields| Ok(Self::#variants { #fields }))),*
                    ]))
                }
            };
            (&of.ident, read)
        }
        _ => return TokenStream::new(),
    };
    quote! {
        impl crate::given::FromJson for #name {
            fn from_json(json: crate::given::Json) -> Result<Self, crate::given::Wrong> {
                #read
            }
        }
    }
}

/// Each field out of those that were given.
fn taken(fields: &Fields) -> Vec<TokenStream> {
    let taken = fields.iter().filter_map(|field| {
        let name = field.ident.as_ref()?;
        let (here, of_js) = (name.to_string(), camel_case(&name.to_string()));
        // An option knows itself what it is where it was left out.
        let take = match outer(field).as_deref() {
            Some("bool" | "HashMap") => quote!(take_or_default),
            _ => quote!(take),
        };
        Some(quote! { #name: fields.#take(crate::given::name!(#here, #of_js))? })
    });
    taken.collect()
}

/// Options, flags and maps, for those who are told by attributes. UniFFI knows no variants whose
/// fields may be left out.
fn mark_what_may_be_left_out(item: &mut Item) {
    match item {
        Item::Struct(record) => {
            for field in &mut record.fields {
                let uniffi = match outer(field).as_deref() {
                    Some("Option") => quote!(default = None),
                    Some("bool") => quote!(default = false),
                    Some("HashMap") => quote!(default),
                    _ => continue,
                };
                field.attrs.push(parse_quote!(#[cfg_attr(feature = "uniffi", uniffi(#uniffi))]));
                field.attrs.push(in_typescript());
            }
        }
        Item::Enum(of) => {
            let fields = of.variants.iter_mut().flat_map(|one| &mut one.fields);
            let left_out = |field: &&mut Field| {
                matches!(outer(field).as_deref(), Some("Option" | "bool" | "HashMap"))
            };
            fields.filter(left_out).for_each(|field| field.attrs.push(in_typescript()));
        }
        _ => {}
    }
}

fn in_typescript() -> Attribute {
    parse_quote!(#[cfg_attr(all(feature = "wasm", target_arch = "wasm32"), serde(default))])
}

fn outer(field: &Field) -> Option<String> {
    let Type::Path(path) = &field.ty else { return None };
    path.path.segments.last().map(|last| last.ident.to_string())
}

fn snake_case(camel: &str) -> String {
    let mut snake = String::new();
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(given: &Given, item: Item) -> String {
        expand(given, item).unwrap().to_string()
    }

    #[test]
    fn a_request_says_what_may_be_left_out() {
        let request: Given = parse_quote!(request);
        let record = parse_quote! {
            struct Order { order_id: String, pos: Option<String>, partly: bool, more: HashMap<String, u8> }
        };
        let wanted = quote! {
            #[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
            #[cfg_attr(
                all(feature = "wasm", target_arch = "wasm32"),
                derive(tsify::Tsify), tsify(missing_as_null, hashmap_as_object),
                serde(rename_all = "camelCase")
            )]
            struct Order {
                order_id: String,
                #[cfg_attr(feature = "uniffi", uniffi(default = None))]
                #[cfg_attr(all(feature = "wasm", target_arch = "wasm32"), serde(default))]
                pos: Option<String>,
                #[cfg_attr(feature = "uniffi", uniffi(default = false))]
                #[cfg_attr(all(feature = "wasm", target_arch = "wasm32"), serde(default))]
                partly: bool,
                #[cfg_attr(feature = "uniffi", uniffi(default))]
                #[cfg_attr(all(feature = "wasm", target_arch = "wasm32"), serde(default))]
                more: HashMap<String, u8>
            }
            impl crate::given::FromJson for Order {
                fn from_json(json: crate::given::Json) -> Result<Self, crate::given::Wrong> {
                    json.fields(|fields| Ok(Self {
                        order_id: fields.take(crate::given::name!("order_id", "orderId"))?,
                        pos: fields.take(crate::given::name!("pos", "pos"))?,
                        partly: fields.take_or_default(crate::given::name!("partly", "partly"))?,
                        more: fields.take_or_default(crate::given::name!("more", "more"))?
                    }))
                }
            }
        };
        assert_eq!(expanded(&request, record), wanted.to_string());
    }

    #[test]
    fn an_answer_is_only_written_and_has_all_its_fields() {
        let answer: Given = parse_quote!();
        let wanted = quote! {
            #[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
            #[cfg_attr(feature = "json", derive(serde::Serialize), serde())]
            #[cfg_attr(
                all(feature = "wasm", target_arch = "wasm32"),
                derive(tsify::Tsify), tsify(missing_as_null, hashmap_as_object),
                serde(rename_all = "camelCase")
            )]
            struct Done { at: Option<u64> }
        };
        let done = parse_quote!(
            struct Done {
                at: Option<u64>,
            }
        );
        assert_eq!(expanded(&answer, done).replace(" , }", " }"), wanted.to_string());
    }

    #[test]
    fn words_are_texts_and_variants_name_their_type() {
        let (answer, request): (Given, Given) = (parse_quote!(), parse_quote!(request));
        let words: Item = parse_quote!(
            enum State {
                Done,
                NotSent,
            }
        );
        let written = expanded(&answer, words.clone());
        assert!(written.contains(r#"serde (rename_all = "snake_case" ,)"#), "{written}");
        let read = expanded(&request, words);
        let table = quote! { json.one_of(&[("done", Self::Done), ("not_sent", Self::NotSent)]) };
        assert!(read.contains(&table.to_string()), "{read}");
        let variants: Item = parse_quote!(
            enum Paid {
                ByCard { number: String, holder: Option<String> },
                Prepaid { pin: String },
            }
        );
        let written = expanded(&answer, variants.clone());
        let tagged = r#"serde (tag = "type" , rename_all = "snake_case" ,)"#;
        assert!(written.contains(tagged), "{written}");
        let read = expanded(&request, variants);
        let table = quote! {
            json.fields(|fields| fields.variant(&[
                ("by_card", |fields| Ok(Self::ByCard {
                    number: fields.take(crate::given::name!("number", "number"))?,
                    holder: fields.take(crate::given::name!("holder", "holder"))?
                })),
                ("prepaid", |fields| Ok(Self::Prepaid {
                    pin: fields.take(crate::given::name!("pin", "pin"))?
                }))
            ]))
        };
        assert!(read.contains(&table.to_string()), "{read}");
        let left_out = quote! {
            number: String,
            #[cfg_attr(all(feature = "wasm", target_arch = "wasm32"), serde(default))]
            holder: Option<String>
        };
        assert!(read.contains(&left_out.to_string()), "{read}");
    }
}
