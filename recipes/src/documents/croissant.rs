//! A description of the data in Croissant 1.1 (<https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html>).

use serde_json::{Map, Value, json};

use super::ledger::Ledger;
use super::statements::Statements;
use super::unique_names::UniqueNames;
use crate::data_facts::DataFacts;

/// A version that says that nobody has stated one: in the form that validators ask for, of no release.
const NO_VERSION: &str = "0.0.0+not.stated";

/// `croissant.json`. What nobody has stated is left out; validators name it then.
pub(super) fn description(ledger: &Ledger) -> Value {
    let said = &ledger.statements;
    let ids = ids(&ledger.data);
    let splits = || ledger.data.iter().zip(&ids);
    let mut value = json!({
        "@context": context(),
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": ledger.data_name,
        "distribution": splits().flat_map(distribution).collect::<Vec<_>>(),
        "recordSet": splits().map(record_set).collect::<Vec<_>>(),
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

/// Letters, digits, `-` and `_`, as references must be.
fn identifier(name: &str) -> String {
    name.chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || "-_".contains(letter) { letter } else { '-' })
        .collect()
}

/// What parts of a split are called: no two of a description are called alike, whatever letters their names lose.
struct SplitIds {
    records: String,
    files: Vec<String>,
    /// Of the set that several files are, and one without a hash.
    file_set: Option<String>,
}

/// Of each split, in order.
fn ids(splits: &[DataFacts]) -> Vec<SplitIds> {
    let mut names = UniqueNames::default();
    let records: Vec<String> = splits.iter().map(|data| names.name(&identifier(&data.split))).collect();
    let of_split = |(data, records): (&DataFacts, String)| {
        let split = identifier(&data.split);
        let files: Vec<String> = (0..data.files.len()).map(|at| names.name(&format!("{split}-{at}"))).collect();
        let is_described = matches!(data.files.as_slice(), [file] if file.sha256.is_some());
        let file_set = (!is_described).then(|| names.name(&format!("{split}-files")));
        SplitIds { records, files, file_set }
    };
    splits.iter().zip(records).map(of_split).collect()
}

/// The files, and the set of them that rows are read from. A file is described where its hash is known, without which a description is not
/// valid; others are named by their set.
fn distribution((data, ids): (&DataFacts, &SplitIds)) -> Vec<Value> {
    let files = data.files.iter().zip(&ids.files).filter_map(|(file, id)| {
        let sha256 = file.sha256.as_ref()?;
        Some(json!({
            "@type": "cr:FileObject",
            "@id": id,
            "name": id,
            "contentUrl": file.name,
            "contentSize": format!("{} B", file.bytes),
            "encodingFormat": "application/x-parquet",
            "sha256": sha256,
        }))
    });
    let mut found: Vec<Value> = files.collect();
    if let Some(id) = &ids.file_set {
        let mut set = json!({
            "@type": "cr:FileSet",
            "@id": id,
            "name": id,
            "encodingFormat": "application/x-parquet",
            "includes": "*.parquet",
        });
        match (found.len(), data.files.len()) {
            (_, 0) => {}
            (described, all) if described == all => {
                set["containedIn"] = ids.files.iter().map(|file| json!({"@id": file})).collect();
            }
            _ => set["includes"] = data.files.iter().map(|file| json!(file.name)).collect(),
        }
        found.push(set);
    }
    found
}

/// Names are those of the data, letter by letter; what refers to a field is its id.
fn record_set((data, ids): (&DataFacts, &SplitIds)) -> Value {
    let (set, mut names) = (&ids.records, UniqueNames::default());
    let source = match (&ids.file_set, ids.files.first()) {
        (None, Some(file)) => json!({"fileObject": {"@id": file}}),
        (file_set, _) => json!({"fileSet": {"@id": file_set}}),
    };
    let field = |(column, kind): &(String, String)| {
        let mut from: Map<String, Value> = source.as_object().cloned().unwrap_or_default();
        from.insert("extract".into(), json!({"column": column}));
        json!({
            "@type": "cr:Field",
            "@id": format!("{set}/{}", names.name(&identifier(column))),
            "name": format!("{}/{column}", data.split),
            "dataType": data_type(kind),
            "source": from,
        })
    };
    json!({
        "@type": "cr:RecordSet",
        "@id": set,
        "name": data.split,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::data_facts::DataFile;

    fn split(name: &str, files: usize, columns: &[&str]) -> DataFacts {
        let file = |at: usize| DataFile {
            name: format!("{at}.parquet"),
            bytes: 1,
            rows: 1,
            sha256: Some("0".repeat(64)),
            created_by: None,
        };
        DataFacts {
            split: name.into(),
            files: (0..files).map(file).collect(),
            not_listed: 0,
            rows: files as u64,
            columns: columns.iter().map(|column| ((*column).to_owned(), "Utf8".to_owned())).collect(),
            nulls: Vec::new(),
            inputs: None,
            label: None,
            classes: Vec::new(),
            unlabelled: 0,
            bad_labels: 0,
        }
    }

    /// All `@id`s that say what something is, and not what it refers to.
    fn given(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                if let (Some(id), true) = (map.get("@id").and_then(Value::as_str), map.contains_key("@type")) {
                    found.push(id.to_owned());
                }
                map.values().for_each(|value| given(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| given(value, found)),
            _ => {}
        }
    }

    #[test]
    fn files_without_a_hash_are_named_by_their_set_and_have_no_description_that_is_not_valid() {
        for files in [1, 2] {
            let mut data = split("train", files, &["label"]);
            data.files[0].sha256 = None;
            let ids = ids(std::slice::from_ref(&data));
            let found = distribution((&data, &ids[0]));
            let (set, described) = found.split_last().unwrap();
            assert_eq!(described.len(), files - 1);
            assert!(described.iter().all(|file| file["sha256"].is_string()), "{described:?}");
            let names: Vec<&str> = data.files.iter().map(|file| file.name.as_str()).collect();
            assert_eq!((&set["includes"], &set["containedIn"]), (&json!(names), &Value::Null));
            assert_eq!(record_set((&data, &ids[0]))["field"][0]["source"]["fileSet"]["@id"], set["@id"]);
        }
        let none = split("train", 0, &["label"]);
        let found = distribution((&none, &ids(std::slice::from_ref(&none))[0]));
        assert_eq!(
            (found.len(), &found[0]["includes"], &found[0]["containedIn"]),
            (1, &json!("*.parquet"), &Value::Null)
        );
    }

    #[test]
    fn columns_and_splits_whose_names_lose_letters_keep_references_and_names_of_their_own() {
        let splits = [
            split("train", 1, &["年齢", "性別", "a b", "a-b", "label"]),
            split("夜", 2, &["label"]),
            split("train-0", 1, &["label"]),
            split("昼", 1, &["label"]),
        ];
        let ids = ids(&splits);
        let sets: Vec<Value> = splits.iter().zip(&ids).map(record_set).collect();
        let files: Vec<Value> = splits.iter().zip(&ids).flat_map(distribution).collect();
        let mut found = Vec::new();
        sets.iter().chain(&files).for_each(|value| given(value, &mut found));
        assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len(), "{found:?}");
        assert!(found.iter().all(|id| id.is_ascii() && !id.contains(' ')), "{found:?}");
        let fields = sets[0]["field"].as_array().unwrap();
        let names: Vec<&str> = fields.iter().filter_map(|field| field["name"].as_str()).collect();
        assert_eq!(names, ["train/年齢", "train/性別", "train/a b", "train/a-b", "train/label"]);
        assert_eq!(fields[4]["@id"], "train/label", "what is as it was is called as it was");
        assert_eq!(fields[1]["source"]["extract"]["column"], "性別");
        assert_eq!((&sets[1]["name"], &sets[3]["name"]), (&json!("夜"), &json!("昼")));
        assert_eq!(files[0]["@id"], fields[0]["source"]["fileObject"]["@id"]);
        let file_set = files.iter().find(|file| file["@type"] == "cr:FileSet").unwrap();
        assert_eq!(file_set["@id"], sets[1]["field"][0]["source"]["fileSet"]["@id"]);
    }
}
