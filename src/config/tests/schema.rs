//! The configuration's JSON Schema, made of the types that read it. `RECORD=1 cargo test --lib schema` writes it anew.

use std::fs;
use std::path::Path;

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::config::File;

/// What the loader takes besides what types say: numbers and truths for texts, one value for a list, nothing for anything.
fn as_lenient_as_the_loader(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            for (key, inner) in map.iter_mut() {
                match inner {
                    // Names, not keywords.
                    Value::Object(named) if key == "properties" || key == "definitions" => {
                        named.values_mut().for_each(as_lenient_as_the_loader);
                    }
                    inner => as_lenient_as_the_loader(inner),
                }
            }
            // What may be left out has `null` besides.
            let kinds = map.get("type").cloned().unwrap_or_default();
            let mut kinds = kinds.as_array().cloned().unwrap_or_else(|| vec![kinds]);
            kinds.retain(|kind| kind != "null");
            match kinds.first().and_then(Value::as_str) {
                Some("string") if !map.contains_key("enum") && !map.contains_key("const") => {
                    map["type"] = json!(["string", "number", "boolean", "null"]);
                }
                Some(kind @ ("boolean" | "integer" | "number")) => {
                    // A variable of the environment, which is a text until it is filled in.
                    map["type"] = json!([kind, "string", "null"]);
                    map.insert("pattern".to_owned(), "^\\$".into());
                }
                Some("object") => {
                    map["type"] = json!(["object", "null"]);
                    // Unknown keys are told, by `check` too.
                    if map.contains_key("properties") {
                        map.insert("additionalProperties".to_owned(), false.into());
                    }
                }
                Some("array") => {
                    map.remove("type");
                    let items = map.remove("items").unwrap_or_default();
                    map.insert(
                        "anyOf".to_owned(),
                        json!([{"type": "array", "items": items}, items, {"type": "null"}]),
                    );
                }
                _ => {}
            }
            // Every key has a default; the reference says which.
            for key in ["default", "required", "format"] {
                map.remove(key);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(as_lenient_as_the_loader),
        _ => {}
    }
}

#[test]
fn the_schema_is_that_of_the_types() {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = generator.into_root_schema_for::<File>().to_value();
    as_lenient_as_the_loader(&mut schema);
    schema["title"] = "Configuration of kubernetes-event-exporter".into();
    let text = format!("{schema:#}\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/schema.json");
    if std::env::var_os("RECORD").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert!(
        fs::read_to_string(path).unwrap_or_default() == text,
        "src/config/schema.json is not what the types say: RECORD=1 cargo test --lib schema writes it anew"
    );
}
