//! `#[pos_api]`: from one definition of a verb the async method, its blocking twin, and JavaScript's. `#[record]`: what
//! every language is told of a record or an enum.

mod expand;
mod record;

use proc_macro::TokenStream;
use syn::{Item, ItemImpl, parse_macro_input};

/// Put on the one `impl` block that defines the verbs, with the name of the blocking twin:
///
/// ```text
/// #[pos_api(blocking = BlockingConnection)]
/// impl Connection {
///     /// Says what the method does, in every language.
///     pub async fn payment(&self, payment_id: String) -> Result<Payment, Error> { … }
/// }
/// ```
///
/// Of each `async fn` it makes
/// - the body, private, under the name that it has here with `_here` behind it;
/// - the async method of `Connection`, which runs on this process's runtime and is exported to
///   UniFFI where the feature `uniffi` is on;
/// - the method of the twin, which waits on the calling thread;
/// - on wasm32 neither of these, but the method of JavaScript, under its name in `camelCase`, where
///   the feature `wasm-connection` is on.
///
/// and, where the feature `json` is on, `call_by_name` on the twin: a verb by its name, with JSON
/// arguments, for languages that have nothing but texts.
///
/// A `fn` that is not async is the same on both. The twin is a struct whose method `connection()`
/// gives the `Connection` that it stands for. An async method returns `Result<_, Error>`, takes
/// `&self`, and its arguments by value under plain names: a host has nothing else to give.
#[proc_macro_attribute]
pub fn pos_api(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let twin = parse_macro_input!(arguments as expand::Twin);
    let verbs = parse_macro_input!(item as ItemImpl);
    expand::expand(&twin, &verbs).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Put on each record and enum of the surface; on one that a host gives as `#[record(request)]`: its
/// options, flags and maps may then be left out.
///
/// It makes a UniFFI record or enum of it where the feature `uniffi` is on. What the host gives is read
/// from JSON, and all else becomes it where `json` is on: fields under their names here, words in
/// `snake_case`, a variant with fields as an object whose `type` names it; what is not known is refused.
/// For `wasm` the fields are in `camelCase`.
#[proc_macro_attribute]
pub fn record(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let given = parse_macro_input!(arguments as record::Given);
    let item = parse_macro_input!(item as Item);
    record::expand(&given, item).unwrap_or_else(|error| error.to_compile_error()).into()
}
