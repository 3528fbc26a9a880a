//! `#[pos_api]`: from one definition of a verb the async method and its blocking twin.

mod expand;

use proc_macro::TokenStream;
use syn::{ItemImpl, parse_macro_input};

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
/// - the method of the twin, which waits on the calling thread.
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
