//! What `document` writes, held against the public packages that read it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::documents::documented;

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
fn public_validators_take_the_documents() {
    let Some(python) = std::env::var_os(VALIDATORS) else {
        println!("left out, {VALIDATORS} is not set");
        return;
    };
    let Some(place) = documented() else { return };
    place.write("run/statements.yaml", STATED);
    place.run(&["document", "run"]).done();
    let record: Value = serde_json::from_slice(&place.read("run/metrics.json")).unwrap();
    let read = understood(&[place.path("run/documents")]).unwrap();
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
