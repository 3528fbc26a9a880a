//! The OpenAPI 3.1 document, made from the route table and the wire types.

use std::collections::BTreeMap;

use pos_protocol::ErrorCode;
use pos_protocol::wire::{CONTENT_TYPE, Problem};
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
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
        operation = operation.parameter(text_parameter(name, ParameterIn::Path, None));
    }
    for (name, meaning) in route.query {
        operation = operation.parameter(text_parameter(name, ParameterIn::Query, Some(meaning)));
    }
    if route.caller != Caller::Anybody {
        for name in ["Signature-Input", "Signature"] {
            operation = operation.parameter(header(name, "RFC 9421"));
        }
        if route.takes.is_some() {
            operation = operation.parameter(header("Content-Digest", "RFC 9530, sha-256"));
        }
    }
    if route.mutation {
        let meaning = "16 to 64 of A-Z, a-z, 0-9, hyphen and underscore; names this call for ever";
        operation = operation.parameter(header("Idempotency-Key", meaning));
    }
    if let Some(body) = &route.takes {
        let body = RequestBodyBuilder::new()
            .content(CONTENT_TYPE, content(body))
            .required(Some(Required::True));
        operation = operation.request_body(Some(body.build()));
    }
    let mut done = ResponseBuilder::new().description("Done.");
    if let Some(body) = &route.gives {
        done = done.content(CONTENT_TYPE, content(body));
        if route.may_be_open {
            let open = "Open: ask at `status_path` after `ask_after_ms`.";
            let open =
                ResponseBuilder::new().description(open).content(CONTENT_TYPE, content(body));
            operation = operation.response("202", open);
        }
    }
    operation = operation.response("200", done);
    if route.caller != Caller::Anybody {
        for (status, codes) in refusals() {
            let description = format!("One of: {}.", codes.join(", "));
            let refusal = ResponseBuilder::new()
                .description(description)
                .content(CONTENT_TYPE, content(problem));
            operation = operation.response(status.to_string(), refusal);
        }
    }
    operation
}

fn refusals() -> BTreeMap<u16, Vec<&'static str>> {
    let mut by_status: BTreeMap<u16, Vec<&'static str>> = BTreeMap::new();
    for code in ErrorCode::ALL {
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

fn header(name: &str, meaning: &str) -> ParameterBuilder {
    text_parameter(name, ParameterIn::Header, Some(meaning)).required(Required::True)
}

fn text_parameter(name: &str, place: ParameterIn, meaning: Option<&str>) -> ParameterBuilder {
    let required = if place == ParameterIn::Query { Required::False } else { Required::True };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(meaning)
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
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
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(json["components"]["schemas"][name].is_object(), "{name} is missing");
        }
    }
}
