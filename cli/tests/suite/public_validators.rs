//! What `document` writes, held against the public packages that read it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::documents::documented;
use crate::workplace::Workplace;

/// Names a Python with the packages `huggingface_hub`, `mlcroissant`, `cyclonedx-python-lib[json-validation]` and `onnxruntime`.
const VALIDATORS: &str = "MILLSTREAM_DOCUMENT_VALIDATORS";

/// Statements with all that a description of data asks for.
pub(crate) const STATED: &str = "\
license: mit
data_name: makers/stripes
data_description: Stripes.
data_license: https://creativecommons.org/licenses/by/4.0/
base_model: google/mobilenet_v2_1.0_224
data_url: https://example.org/stripes
data_creators: The makers
data_published: '2026-11-26'
data_version: '1.2.0'
citation: The makers, 2026
version: '1.0.0'
";

/// What the packages understand of folders with documents, and of bills alone, one value each; nothing where no Python has them.
fn understood(documents: &[PathBuf]) -> Option<Vec<Value>> {
    let python = std::env::var_os(VALIDATORS)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/validate_documents.py");
    let ran = Command::new(python).arg(script).args(documents).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    let read: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read.len(), documents.len(), "{said}");
    Some(read)
}

/// The documents of these folders are read without an error and without a warning, where a Python has the packages; what they say is
/// looked at by `look`, in the same order.
pub(crate) fn assert_taken(runs: &[PathBuf], look: impl FnOnce(&[Value])) {
    let documents: Vec<PathBuf> = runs.iter().map(|run| run.join("documents")).collect();
    if let Some(read) = understood(&documents) {
        look(&read);
    }
}

#[test]
fn the_program_alone_says_which_crates_it_is_made_of() {
    let place = Workplace::bare();
    let bill = place.run(&["document", "--sbom"]).json();
    let of = |part: &Value| -> [String; 2] {
        [&part["name"], &part["version"]].map(|value| value.as_str().unwrap().to_owned())
    };
    let parts = bill["components"].as_array().unwrap();
    let crates: Vec<[String; 2]> = parts.iter().map(of).collect();
    let has = |name: &str| crates.iter().any(|own| own[0] == name);
    assert!(has("parquet") && has("ort") && has("millstream-compiler"), "{crates:?}");
    assert!(!has("arrow-cast") && !has("xtask"), "what only tests and the repository need is no part: {crates:?}");
    // each crate of a registry has the checksum that Cargo.lock has
    let lock = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock")).unwrap();
    for (part, [name, version]) in parts.iter().zip(&crates) {
        let (name_line, version_line) = (format!("\nname = \"{name}\"\n"), format!("\nversion = \"{version}\"\n"));
        let entry = lock.split("[[package]]").find(|entry| entry.contains(&name_line) && entry.contains(&version_line));
        let entry = entry.unwrap_or_else(|| panic!("{name} {version} is not in Cargo.lock"));
        match part["hashes"][0]["content"].as_str() {
            Some(sum) => assert!(entry.contains(&format!("checksum = \"{sum}\"")), "{part}"),
            None => assert!(!entry.contains("checksum") && name.starts_with("millstream"), "{part}"),
        }
    }
    // whatever is needed is there
    let depends = bill["dependencies"].as_array().unwrap();
    assert_eq!(depends.len(), parts.len() + 1);
    let known: Vec<&Value> = depends.iter().map(|one| &one["ref"]).collect();
    assert!(depends.iter().flat_map(|one| one["dependsOn"].as_array().unwrap()).all(|need| known.contains(&need)));
    let ran = place.run(&["document"]);
    assert_eq!(ran.code, Some(2), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn public_validators_take_the_documents() {
    let Some(python) = std::env::var_os(VALIDATORS) else {
        println!("left out, {VALIDATORS} is not set");
        return;
    };
    let Some(place) = documented() else { return };
    place.write("run/statements.yaml", STATED);
    place.run(&["document", "run"]).done();
    let record: Value = serde_json::from_slice(&place.read("run/metrics.json")).unwrap();
    let read = understood(&[place.path("run/documents"), place.path("run/documents/sbom.cdx.json")]).unwrap();
    assert_eq!(read[1]["bill"], "millstream-cli");
    let card = &read[0]["card"];
    assert_eq!((&card["license"], &card["pipeline_tag"]), (&"mit".into(), &"image-classification".into()), "{card}");
    assert_eq!(card["base_model"], "google/mobilenet_v2_1.0_224");
    assert_eq!((&card["datasets"], &card["metrics"][0]), (&json!(["makers/stripes"]), &"accuracy".into()), "{card}");
    // the figure is understood as one of this task on these data
    let result = read[0]["results"].as_array().unwrap().iter().find(|one| one["metric"][0] == "accuracy").unwrap();
    assert_eq!(result["task"], "image-classification");
    assert_eq!(result["dataset"], json!(["makers/stripes", "makers/stripes", "evaluate"]));
    let [understood, measured] = [&result["metric"][1], &record["evaluation"]["accuracy"]].map(Value::as_f64);
    assert_eq!(understood, measured);
    assert!(understood.is_some(), "{result}");
    let fields = read[0]["data"]["fields"].as_object().unwrap();
    assert_eq!((fields.len(), &read[0]["data"]["version"]), (2, &"1.2.0".into()), "{}", read[0]);
    // the lines of Python on the card run the model
    let card = String::from_utf8(place.read("run/documents/README.md")).unwrap();
    let section = card.split_once("\n## How to get started\n").unwrap().1;
    let code = section.split_once("```python\n").unwrap().1.split_once("```").unwrap().0;
    let ran = Command::new(python).args(["-c", code]).current_dir(place.path("run")).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{code}\n{}", String::from_utf8_lossy(&ran.stderr));
    // one score for each of three classes
    assert_eq!(said.trim().trim_matches(['[', ']']).split_whitespace().count(), 3, "{said}");
}
