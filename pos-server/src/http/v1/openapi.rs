//! The OpenAPI 3.1 document, made from the route table and the wire types.

use std::collections::BTreeMap;

use pos_protocol::ErrorCode;
use pos_protocol::wire::{CONTENT_TYPE, Problem};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApiBuilder, PathItem, PathsBuilder, Ref,
    RefOr, Required,
};
use utoipa::{PartialSchema, ToSchema};

use super::routes::{Caller, Route, table};

/// A body by its schema.
#[derive(Clone)]
pub(super) struct Body {
    name: String,
    schemas: Vec<(String, RefOr<Schema>)>,
}

impl Body {
    pub(super) fn of<T: ToSchema>() -> Self {
        let name = T::name().into_owned();
        let mut schemas = vec![(name.clone(), <T as PartialSchema>::schema())];
        T::schemas(&mut schemas);
        Self { name, schemas }
    }

    fn reference(&self) -> Ref {
        Ref::from_schema_name(&self.name)
    }
}

/// The document as JSON, with a newline at its end; the same octets at every call.
pub fn document() -> String {
    let problem = Body::of::<Problem>();
    let mut schemas: BTreeMap<String, RefOr<Schema>> = problem.schemas.iter().cloned().collect();
    let mut paths = PathsBuilder::new();
    for route in table() {
        for body in [&route.takes, &route.gives].into_iter().flatten() {
            schemas.extend(body.schemas.iter().cloned());
        }
        let method = if route.method == "GET" { HttpMethod::Get } else { HttpMethod::Post };
        paths = paths.path(route.path, PathItem::new(method, operation(&route, &problem)));
    }
    schemas.values_mut().for_each(never_null);
    let components = schemas
        .into_iter()
        .fold(ComponentsBuilder::new(), |components, schema| components.schema(schema.0, schema.1));
    let info = InfoBuilder::new()
        .title("pos-server")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .build();
    let document = OpenApiBuilder::new()
        .info(info)
        .paths(paths.build())
        .components(Some(components.build()))
        .build();
    let text = document.to_pretty_json().expect("a document of strings and schemas is JSON");
    text + "\n"
}

const DESCRIPTION: &str = "Calls of a shop's connection module. Every call but those marked \
    unsigned carries an RFC 9421 signature of profile `pos-connect/1`, every answer one of the \
    server; docs/PROTOCOL.md has the exact form.";

fn operation(route: &Route, problem: &Body) -> OperationBuilder {
    let mut operation = OperationBuilder::new()
        .operation_id(Some(operation_id(route)))
        .summary(Some(route.summary))
        .description(Some(match route.caller {
            Caller::Anybody => "Unsigned.",
            Caller::Unproven => "Signed by the key in the body.",
            Caller::Shop => "Signed by a registered key of the shop.",
        }));
    for name in route.path.split('{').skip(1).filter_map(|part| part.split('}').next()) {
        operation = operation.parameter(parameter(name, ParameterIn::Path, None, named(name)));
    }
    for (name, meaning) in route.query {
        let schema = named(name);
        operation = operation.parameter(parameter(name, ParameterIn::Query, Some(meaning), schema));
    }
    if route.caller != Caller::Anybody {
        operation = operation
            .parameter(header(SIGNATURE_INPUT, "RFC 9421", text("^pos=\\(.*\\);.*$")))
            .parameter(header(SIGNATURE, "RFC 9421", text("^pos=:[A-Za-z0-9+/]{86}==:$")));
        if route.takes.is_some() {
            operation = operation.parameter(header(DIGEST, "RFC 9530", text(DIGEST_PATTERN)));
        }
    }
    if route.mutation {
        let meaning = "Names this call for ever: the same key never acts twice.";
        let key = named("idempotency_key");
        operation = operation.parameter(header("Idempotency-Key", meaning, key));
    }
    if let Some(body) = &route.takes {
        let body = RequestBodyBuilder::new()
            .content(CONTENT_TYPE, content(body))
            .required(Some(Required::True));
        operation = operation.request_body(Some(body.build()));
    }
    let is_signed = route.caller != Caller::Anybody;
    let answer = |description: &str, body: Option<&Body>| {
        let mut answer = ResponseBuilder::new().description(description);
        if let Some(body) = body {
            answer = answer.content(CONTENT_TYPE, content(body));
        }
        if is_signed { signed(answer) } else { answer }
    };
    operation = operation.response("200", answer("Done.", route.gives.as_ref()));
    if route.may_be_open {
        let open = "Open: ask at `status_path` after `ask_after_ms`.";
        operation = operation.response("202", answer(open, route.gives.as_ref()));
    }
    if is_signed {
        for (status, codes) in refusals(route) {
            let description = format!("One of: {}.", codes.join(", "));
            operation = operation.response(status.to_string(), answer(&description, Some(problem)));
        }
    }
    operation
}

const SIGNATURE_INPUT: &str = "Signature-Input";
const SIGNATURE: &str = "Signature";
const DIGEST: &str = "Content-Digest";
const DIGEST_PATTERN: &str = "^sha-256=:[A-Za-z0-9+/]{43}=:$";

/// The headers that sign an answer.
fn signed(answer: ResponseBuilder) -> ResponseBuilder {
    let header = |schema: ObjectBuilder| HeaderBuilder::new().schema(Some(schema)).build();
    answer
        .header(SIGNATURE_INPUT, header(text("^pos-answer=\\(.*\\);.*$")))
        .header(SIGNATURE, header(text("^pos-answer=:[A-Za-z0-9+/]{86}==:$")))
        .header(DIGEST, header(text(DIGEST_PATTERN)))
}

/// The codes of a route by status: its own, and those that it shares with every route that is
/// called in the same way.
fn refusals(route: &Route) -> BTreeMap<u16, Vec<&'static str>> {
    use ErrorCode as E;
    const ALWAYS: &[E] = &[
        E::BodyTooLarge,
        E::BodyTooSlow,
        E::DigestMismatch,
        E::IdempotencyKeyInvalid,
        E::Internal,
        E::InvalidField,
        E::NotReady,
        E::Overloaded,
        E::SignatureInvalid,
        E::SignatureMissing,
        E::SignatureStale,
        E::TooManyRequests,
        E::UnsupportedMediaType,
    ];
    const BY_SHOPS_KEY: &[E] = &[E::KeyRevoked, E::KeyUnknown, E::SessionEnded];
    const WITH_KEY: &[E] = &[E::IdempotencyKeyMissing, E::IdempotencyKeyReused];
    const WITH_BODY: &[E] = &[E::InvalidJson];
    let shared = [
        (true, ALWAYS),
        (route.caller == Caller::Shop, BY_SHOPS_KEY),
        (route.mutation, WITH_KEY),
        (route.takes.is_some(), WITH_BODY),
        (true, route.refusals),
    ];
    let has = |code: &E| shared.iter().any(|(applies, codes)| *applies && codes.contains(code));
    let mut by_status: BTreeMap<u16, Vec<&'static str>> = BTreeMap::new();
    for code in E::ALL.iter().filter(|code| has(code)) {
        by_status.entry(code.status()).or_default().push(code.wire());
    }
    by_status
}

/// `postPaymentsVoids` for `POST /v1/payments/{payment_id}/voids`.
fn operation_id(route: &Route) -> String {
    let words = route.path.split(['/', '-', '.', '_', '{', '}']).filter(|word| !word.is_empty());
    let mut id = route.method.to_ascii_lowercase();
    for word in words.skip(1) {
        let mut letters = word.chars();
        id.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        id.push_str(letters.as_str());
    }
    id
}

fn content(body: &Body) -> utoipa::openapi::Content {
    ContentBuilder::new().schema(Some(body.reference())).build()
}

fn header(name: &str, meaning: &str, schema: impl Into<RefOr<Schema>>) -> ParameterBuilder {
    parameter(name, ParameterIn::Header, Some(meaning), schema).required(Required::True)
}

fn parameter(
    name: &str,
    place: ParameterIn,
    meaning: Option<&str>,
    schema: impl Into<RefOr<Schema>>,
) -> ParameterBuilder {
    let required = if place == ParameterIn::Query { Required::False } else { Required::True };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(meaning)
        .schema(Some(schema))
}

/// What a part of a path or query is.
fn named(name: &str) -> RefOr<Schema> {
    let schema = match name {
        "after" | "payment_id" => "PaymentId",
        "idempotency_key" => "IdempotencyKey",
        "key_id" => "KeyId",
        "order_id" => "OrderId",
        "pos" => "PosId",
        "limit" => {
            let number = ObjectBuilder::new().schema_type(Type::Integer);
            return number.minimum(Some(1)).maximum(Some(100)).into();
        }
        _ => return ObjectBuilder::new().schema_type(Type::String).into(),
    };
    Ref::from_schema_name(schema).into()
}

fn text(pattern: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern))
}

/// Members that may be absent are left out and never `null`, in requests and in answers.
fn never_null(schema: &mut RefOr<Schema>) {
    let RefOr::T(whole) = schema else { return };
    match whole {
        Schema::Object(object) => {
            if let SchemaType::Array(types) = &object.schema_type
                && let [one, Type::Null] = &types[..]
            {
                object.schema_type = SchemaType::Type(one.clone());
            }
            object.properties.values_mut().for_each(never_null);
        }
        Schema::OneOf(choice) => {
            choice.items.retain(|item| !is_null(item));
            choice.items.iter_mut().for_each(never_null);
            if let [only] = &choice.items[..] {
                *schema = only.clone();
            }
        }
        Schema::AllOf(parts) => parts.items.iter_mut().for_each(never_null),
        Schema::Array(list) => {
            if let SchemaType::Array(types) = &list.schema_type
                && let [one, Type::Null] = &types[..]
            {
                list.schema_type = SchemaType::Type(one.clone());
            }
        }
        _ => {}
    }
}

fn is_null(schema: &RefOr<Schema>) -> bool {
    let RefOr::T(Schema::Object(object)) = schema else { return false };
    matches!(object.schema_type, SchemaType::Type(Type::Null))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_every_route_and_no_dangling_reference() {
        let text = document();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["openapi"], "3.1.0");
        let mut ids = Vec::new();
        for route in table() {
            let operation = &json["paths"][route.path][route.method.to_ascii_lowercase()];
            ids.push(operation["operationId"].as_str().unwrap_or_else(|| panic!("{}", route.path)));
        }
        let known = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), known, "operation ids are unique");
        for absent in ["\"null\"", "[`", "crate::", "::"] {
            assert!(!text.contains(absent), "{absent} says nothing to a reader of the document");
        }
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(json["components"]["schemas"][name].is_object(), "{name} is missing");
        }
    }
}
