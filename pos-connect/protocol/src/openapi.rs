//! Schemas of enums that travel as one text; the derive knows only enums of variants.

use crate::payment::OperationKind;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{RefOr, extensions::ExtensionsBuilder};

/// A text that is one of `known` today; readers must bear others.
pub(crate) fn open_text<'a>(
    description: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> RefOr<Schema> {
    let known: Vec<_> = known.into_iter().collect();
    let example = known.first().copied().unwrap_or_default().to_owned();
    let extension = ExtensionsBuilder::new().add("x-known-values", known).build();
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .examples([example])
        .extensions(Some(extension))
        .into()
}

/// A text that must be one of `all`.
pub(crate) fn closed_text<'a>(
    description: &str,
    all: impl IntoIterator<Item = &'a str>,
) -> RefOr<Schema> {
    let all: Vec<_> = all.into_iter().map(str::to_owned).collect();
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .enum_values(Some(all))
        .into()
}

/// The operations that begin a payment.
pub(crate) fn beginning() -> RefOr<Schema> {
    let kinds = OperationKind::ALL.iter().filter(|kind| kind.begins_payment());
    closed_text("What to do.", kinds.map(|kind| kind.wire()))
}

macro_rules! text_schema {
    ($name:ident, $schema:expr) => {
        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                $schema
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    };
}

pub(crate) use text_schema;
