//! What the migrations of every engine keep to (`payments.md` 6.5).

use std::fs;
use std::path::Path;

/// What a table's key may lead with.
const LEADS: [&str; 3] = ["institution", "shop", "writer"];

/// Tables whose key leads with something else, and why.
const EXCEPTIONS: [(&str, &str, &str); 9] = [
    // These are the tenants themselves.
    ("*", "shop", "id"),
    ("*", "institution", "id"),
    ("postgres", "writer", "id"),
    // Of the database as a whole.
    ("*", "schema_migration", "version"),
    ("*", "time_gap", "from_ms"),
    // A call names its key and nothing else: `docs/adr/0160-lookups-without-a-shop.md`.
    ("sqlite", "key_record", "id"),
    // One file is spread over nothing: `docs/adr/0164-hot-trees-grow-at-their-end.md`.
    ("sqlite", "nullifier", "not_after"),
    ("sqlite", "operation", "row"),
    ("sqlite", "payment", "row"),
];

/// All statements of an engine's migrations, without comments.
fn schema(engine: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(engine);
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let text: Vec<_> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let lines = text.iter().flat_map(|text| text.lines());
    let bare = lines.map(|line| line.split("--").next().unwrap_or_default());
    bare.collect::<Vec<_>>().join("\n")
}

/// Every table with the first column of its primary key.
fn keys(schema: &str) -> Vec<(String, String)> {
    let tables = schema.split("CREATE TABLE ").skip(1);
    let key = |table: &str| {
        let name = table.split_whitespace().next().unwrap().to_owned();
        let body = table.split(';').next().unwrap();
        let lead = match body.split_once("PRIMARY KEY (") {
            Some((_, columns)) => columns.split([',', ')']).next().unwrap().trim().to_owned(),
            None => {
                let line = body.lines().find(|line| line.contains("PRIMARY KEY"));
                line.unwrap_or_else(|| panic!("{name} has no key"))
                    .split_whitespace()
                    .next()
                    .unwrap()
                    .to_owned()
            }
        };
        (name, lead)
    };
    tables.map(key).collect()
}

fn stray(engine: &str) -> Vec<(String, String)> {
    let excepted = |name: &str, lead: &str| {
        EXCEPTIONS.iter().any(|(of, table, column)| {
            (*of == "*" || *of == engine) && (*table == "*" || *table == name) && *column == lead
        })
    };
    keys(&schema(engine))
        .into_iter()
        .filter(|(name, lead)| !LEADS.contains(&lead.as_str()) && !excepted(name, lead))
        .collect()
}

#[test]
fn every_tables_key_leads_with_its_tenant() {
    for engine in ["postgres", "sqlite"] {
        assert!(keys(&schema(engine)).len() > 12, "{engine}: the tables are read");
        assert_eq!(stray(engine), [], "{engine}");
    }
    let stray = keys(
        "CREATE TABLE a (id bytea NOT NULL PRIMARY KEY);\nCREATE TABLE b (\n x int,\n shop int,\n PRIMARY KEY (x, shop)\n)",
    );
    assert_eq!(stray, [("a".into(), "a".into()), ("b".into(), "x".into())]);
}

#[test]
fn the_tables_of_both_engines_are_the_same() {
    let names = |engine: &str| {
        let mut names: Vec<_> = keys(&schema(engine)).into_iter().map(|(name, _)| name).collect();
        // What stands for columns of the other engine, or for its one writer.
        names.retain(|name| !["open_operation", "writer"].contains(&name.as_str()));
        names.sort();
        names
    };
    assert_eq!(names("postgres"), names("sqlite"));
}

/// What PostgreSQL-compatible databases over many machines do not take.
#[test]
fn nothing_is_asked_that_a_distributed_database_lacks() {
    let mut text = schema("postgres").to_lowercase();
    let engine = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/postgres");
    for file in fs::read_dir(engine).unwrap() {
        let file = file.unwrap().path();
        if !file.ends_with("tests.rs") {
            text.push_str(&fs::read_to_string(file).unwrap().to_lowercase());
        }
    }
    for word in [
        "bigserial",
        "create sequence",
        "nextval",
        "advisory",
        "identity",
        "pg_notify",
        "lock table",
    ] {
        let found = text.lines().find(|line| line.contains(word) && !line.trim().starts_with("//"));
        assert_eq!(found, None, "{word}");
    }
}
