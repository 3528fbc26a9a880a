//! What the generators of every language are told of a record or an enum, on tokens that a test can
//! make as well.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Field, Fields, Ident, Item, Type, parse_quote};

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
    let told = match &mut item {
        Item::Struct(record) => {
            if given.by_the_host {
                optional_fields(&mut record.fields);
            }
            told(&quote!(uniffi::Record), &quote!(), &quote!(rename_all = "camelCase"))
        }
        Item::Enum(words) if words.variants.iter().all(|one| one.fields.is_empty()) => {
            told(&quote!(uniffi::Enum), &quote!(, rename_all = "snake_case"), &quote!())
        }
        Item::Enum(variants) => {
            if given.by_the_host {
                variants.variants.iter_mut().for_each(|one| none_may_be_left_out(&mut one.fields));
            }
            told(
                &quote!(uniffi::Enum),
                &quote!(, tag = "type", rename_all = "snake_case"),
                &quote!(rename_all_fields = "camelCase"),
            )
        }
        other => return Err(Error::new_spanned(other, "must be a record or an enum")),
    };
    Ok(quote! { #told #item })
}

/// Attributes that the crate of the surface decides on by its features, and not this one.
fn told(uniffi: &TokenStream, json: &TokenStream, browser: &TokenStream) -> TokenStream {
    quote! {
        #[cfg_attr(feature = "uniffi", derive(#uniffi))]
        #[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
        #[cfg_attr(feature = "json", serde(deny_unknown_fields #json))]
        #[cfg_attr(
            all(feature = "wasm", target_arch = "wasm32"),
            derive(tsify::Tsify), tsify(missing_as_null, hashmap_as_object), serde(#browser)
        )]
    }
}

/// Options, flags and maps may be left out of what a host gives.
fn optional_fields(fields: &mut Fields) {
    for field in fields {
        let uniffi = match outer(field).as_deref() {
            Some("Option") => quote!(default = None),
            Some("bool") => quote!(default = false),
            Some("HashMap") => quote!(default),
            _ => continue,
        };
        field.attrs.push(parse_quote!(#[cfg_attr(feature = "uniffi", uniffi(#uniffi))]));
        field.attrs.push(parse_quote!(#[cfg_attr(feature = "json", serde(default))]));
    }
}

/// The same in JSON alone, of the fields of variants.
fn none_may_be_left_out(fields: &mut Fields) {
    for field in fields {
        if outer(field).as_deref() == Some("Option") {
            field.attrs.push(parse_quote!(#[cfg_attr(feature = "json", serde(default))]));
        }
    }
}

fn outer(field: &Field) -> Option<String> {
    let Type::Path(path) = &field.ty else { return None };
    path.path.segments.last().map(|last| last.ident.to_string())
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
            struct Order { id: String, pos: Option<String>, partly: bool, more: HashMap<String, u8> }
        };
        let wanted = quote! {
            #[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
            #[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
            #[cfg_attr(feature = "json", serde(deny_unknown_fields))]
            #[cfg_attr(
                all(feature = "wasm", target_arch = "wasm32"),
                derive(tsify::Tsify), tsify(missing_as_null, hashmap_as_object),
                serde(rename_all = "camelCase")
            )]
            struct Order {
                id: String,
                #[cfg_attr(feature = "uniffi", uniffi(default = None))]
                #[cfg_attr(feature = "json", serde(default))]
                pos: Option<String>,
                #[cfg_attr(feature = "uniffi", uniffi(default = false))]
                #[cfg_attr(feature = "json", serde(default))]
                partly: bool,
                #[cfg_attr(feature = "uniffi", uniffi(default))]
                #[cfg_attr(feature = "json", serde(default))]
                more: HashMap<String, u8>
            }
        };
        assert_eq!(expanded(&request, record), wanted.to_string());
    }

    #[test]
    fn an_answer_has_all_its_fields() {
        let answer: Given = parse_quote!();
        let made = expanded(
            &answer,
            parse_quote!(
                struct Done {
                    at: Option<u64>,
                }
            ),
        );
        assert!(made.ends_with("struct Done { at : Option < u64 > , }"), "{made}");
    }

    #[test]
    fn words_are_texts_and_variants_name_their_type() {
        let answer: Given = parse_quote!();
        let words = expanded(
            &answer,
            parse_quote!(
                enum State {
                    Done,
                    NotSent,
                }
            ),
        );
        assert!(words.contains(r#"serde (deny_unknown_fields , rename_all = "snake_case")"#));
        let variants = expanded(
            &answer,
            parse_quote!(
                enum Paid {
                    Card { number: String },
                }
            ),
        );
        assert!(variants.contains(r#"tag = "type" , rename_all = "snake_case""#), "{variants}");
        let request: Given = parse_quote!(request);
        let given = parse_quote!(
            enum Paid {
                Card { number: String, holder: Option<String> },
            }
        );
        let given = expanded(&request, given);
        let left_out = r#"# [cfg_attr (feature = "json" , serde (default))] holder"#;
        assert!(given.contains(&format!("number : String , {left_out}")), "{given}");
    }
}
