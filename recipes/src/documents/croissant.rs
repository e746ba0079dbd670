//! A description of the data in Croissant 1.1 (<https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html>).

use serde_json::{Map, Value, json};

use super::ledger::{DataFacts, Ledger};
use super::statements::Statements;

/// A version that says that nobody has stated one: in the form that validators ask for, of no release.
const NO_VERSION: &str = "0.0.0+not.stated";

/// `croissant.json`. What nobody has stated is left out; validators name it then.
pub(super) fn description(ledger: &Ledger) -> Value {
    let said = &ledger.statements;
    let mut value = json!({
        "@context": context(),
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": identifier(&ledger.data_name),
        "distribution": ledger.data.iter().flat_map(distribution).collect::<Vec<_>>(),
        "recordSet": ledger.data.iter().map(record_set).collect::<Vec<_>>(),
    });
    let stated = [
        ("description", &said.data_description),
        ("license", &said.data_license),
        ("url", &said.data_url),
        ("datePublished", &said.data_published),
        ("citeAs", &said.citation),
    ];
    for (key, answer) in stated {
        if let Some(answer) = Statements::answer(answer) {
            value[key] = json!(answer);
        }
    }
    // what a reader is to cite must have a version; without one, all that is known is that nobody has stated it
    value["version"] = json!(Statements::answer(&said.data_version).unwrap_or(NO_VERSION));
    if let Some(creators) = Statements::answer(&said.data_creators) {
        value["creator"] = json!({"@type": "sc:Organization", "name": creators});
    }
    value
}

fn context() -> Value {
    json!({
        "@language": "en",
        "@vocab": "https://schema.org/",
        "arrayShape": "cr:arrayShape",
        "citeAs": "cr:citeAs",
        "column": "cr:column",
        "conformsTo": "dct:conformsTo",
        "containedIn": "cr:containedIn",
        "cr": "http://mlcommons.org/croissant/",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "data": {"@id": "cr:data", "@type": "@json"},
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        "dct": "http://purl.org/dc/terms/",
        "description": {"@container": "@language"},
        "equivalentProperty": "cr:equivalentProperty",
        "examples": {"@id": "cr:examples", "@type": "@json"},
        "extract": "cr:extract",
        "field": "cr:field",
        "fileProperty": "cr:fileProperty",
        "fileObject": "cr:fileObject",
        "fileSet": "cr:fileSet",
        "format": "cr:format",
        "includes": "cr:includes",
        "isArray": "cr:isArray",
        "isLiveDataset": "cr:isLiveDataset",
        "jsonPath": "cr:jsonPath",
        "key": "cr:key",
        "md5": "cr:md5",
        "name": {"@container": "@language"},
        "parentField": "cr:parentField",
        "path": "cr:path",
        "recordSet": "cr:recordSet",
        "references": "cr:references",
        "regex": "cr:regex",
        "repeated": "cr:repeated",
        "replace": "cr:replace",
        "samplingRate": "cr:samplingRate",
        "sc": "https://schema.org/",
        "separator": "cr:separator",
        "source": "cr:source",
        "subField": "cr:subField",
        "transform": "cr:transform",
    })
}

/// Letters, digits, `-` and `_`, as names and references must be.
fn identifier(name: &str) -> String {
    name.chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || "-_".contains(letter) { letter } else { '-' })
        .collect()
}

fn file_id(data: &DataFacts, at: usize) -> String {
    format!("{}-{at}", identifier(&data.split))
}

fn set_id(data: &DataFacts) -> String {
    format!("{}-files", identifier(&data.split))
}

/// The files, and the set of them that rows are read from.
fn distribution(data: &DataFacts) -> Vec<Value> {
    let files = data.files.iter().enumerate().map(|(at, file)| {
        let mut value = json!({
            "@type": "cr:FileObject",
            "@id": file_id(data, at),
            "name": file_id(data, at),
            "contentUrl": file.name,
            "contentSize": format!("{} B", file.bytes),
            "encodingFormat": "application/x-parquet",
        });
        if let Some(sha256) = &file.sha256 {
            value["sha256"] = json!(sha256);
        }
        value
    });
    let mut found: Vec<Value> = files.collect();
    if let [_, _, ..] = data.files.as_slice() {
        let contained: Vec<Value> = (0..data.files.len()).map(|at| json!({"@id": file_id(data, at)})).collect();
        found.push(json!({
            "@type": "cr:FileSet",
            "@id": set_id(data),
            "name": set_id(data),
            "containedIn": contained,
            "encodingFormat": "application/x-parquet",
            "includes": "*.parquet",
        }));
    }
    found
}

fn record_set(data: &DataFacts) -> Value {
    let set = identifier(&data.split);
    let source = match data.files.len() {
        1 => json!({"fileObject": {"@id": file_id(data, 0)}}),
        _ => json!({"fileSet": {"@id": set_id(data)}}),
    };
    let field = |(column, kind): &(String, String)| {
        let mut from: Map<String, Value> = source.as_object().cloned().unwrap_or_default();
        from.insert("extract".into(), json!({"column": column}));
        let name = format!("{set}/{}", identifier(column));
        json!({"@type": "cr:Field", "@id": name, "name": name, "dataType": data_type(kind), "source": from})
    };
    json!({
        "@type": "cr:RecordSet",
        "@id": set,
        "name": set,
        "field": data.columns.iter().map(field).collect::<Vec<_>>(),
    })
}

fn data_type(kind: &str) -> &'static str {
    let is = |starts: &[&str]| starts.iter().any(|start| kind.starts_with(start));
    if kind == "image" {
        "sc:ImageObject"
    } else if is(&["class", "Int", "UInt"]) {
        "sc:Integer"
    } else if is(&["Float", "Decimal"]) {
        "sc:Float"
    } else if kind == "Boolean" {
        "sc:Boolean"
    } else if is(&["Date", "Timestamp"]) {
        "sc:DateTime"
    } else {
        "sc:Text"
    }
}
