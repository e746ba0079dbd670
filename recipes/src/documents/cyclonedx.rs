//! A bill of materials of a model, CycloneDX 1.6 (<https://cyclonedx.org/docs/1.6/json/>).

use millstream_training::Evaluation;
use millstream_training::metrics::FigureKind;
use serde_json::{Map, Value, json};

use super::chosen::ChosenTrial;
use super::frozen::AdaptedLayers;
use super::ledger::Ledger;
use super::license::licenses;
use super::model_facts::ModelFacts;
use super::statements::Statements;
use super::unique_names::UniqueNames;
use crate::data_facts::{DataFacts, DataFile};
use crate::model_inputs::shown_shape;
use crate::origin::commit;

/// `model.cdx.json`.
pub(super) fn bill(ledger: &Ledger) -> Value {
    let said = &ledger.statements;
    let subject = ledger.exported.as_ref().unwrap_or(&ledger.base);
    let mut model = component("model", &ledger.name, &subject.sha256);
    if let Some(version) = Statements::answer(&said.version) {
        model.insert("version".into(), json!(version));
    }
    if let Some(description) = Statements::answer(&said.description) {
        model.insert("description".into(), json!(description));
    }
    if let Some(license) = Statements::answer(&said.license) {
        model.insert("licenses".into(), licenses(license));
    }
    if let Some(authors) = Statements::answer(&said.authors) {
        model.insert("authors".into(), json!([{"name": authors}]));
    }
    model.insert("modelCard".into(), model_card(ledger, subject));
    model.insert("pedigree".into(), json!({"ancestors": [component("base", &ledger.base.file, &ledger.base.sha256)]}));
    model.insert("properties".into(), properties(ledger));
    let of_data = references(ledger);
    let of_split = |(data, reference): (&DataFacts, &String)| data_component(reference, &data.split, &data.files);
    let data: Vec<Value> = ledger.data.iter().zip(&of_data).map(of_split).collect();
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial_number(subject),
        "version": 1,
        "metadata": {
            "tools": tools(),
            "component": model,
        },
        "components": data,
        "dependencies": [{"ref": "model", "dependsOn": of_data}],
    })
}

/// The same model has the same number: a UUID of version 8 from its hash.
pub(super) fn serial_number(model: &ModelFacts) -> String {
    let hash = &model.sha256;
    format!("urn:uuid:{}-{}-8{}-a{}-{}", &hash[..8], &hash[8..12], &hash[12..15], &hash[15..18], &hash[18..30])
}

/// This software, as what made the bill.
pub(super) fn tools() -> Value {
    let mut tool = json!({"type": "application", "name": "millstream", "version": env!("CARGO_PKG_VERSION")});
    if let Some(commit) = commit() {
        tool["properties"] = json!([{"name": "millstream:commit", "value": commit}]);
    }
    json!({ "components": [tool] })
}

/// A model by its hash.
pub(super) fn component(reference: &str, name: &str, sha256: &str) -> Map<String, Value> {
    let value = json!({
        "type": "machine-learning-model",
        "bom-ref": reference,
        "name": name,
        "hashes": [{"alg": "SHA-256", "content": sha256}],
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn model_card(ledger: &Ledger, subject: &ModelFacts) -> Value {
    let said = &ledger.statements;
    let parameters = parameters(ledger.task.as_deref(), &references(ledger), subject, Some(&ledger.base));
    let mut card = json!({"modelParameters": parameters});
    let mut metrics = Vec::new();
    if let Some(evaluation) = &ledger.results.evaluation {
        metrics.extend(measured(evaluation, &ledger.results.figures, ledger.results.named_set()));
    }
    for set in &ledger.results.others {
        metrics.extend(measured(&set.evaluation, &ledger.results.figures, Some(&set.name)));
    }
    if !metrics.is_empty() {
        card["quantitativeAnalysis"] = json!({"performanceMetrics": metrics});
    }
    let mut considerations = Map::new();
    for (key, answer) in
        [("users", &said.users), ("useCases", &said.intended_use), ("technicalLimitations", &said.limitations)]
    {
        if let Some(answer) = Statements::answer(answer) {
            considerations.insert(key.into(), json!([answer]));
        }
    }
    if let Some(answer) = Statements::answer(&said.ethical_considerations) {
        considerations.insert("ethicalConsiderations".into(), json!([{"name": answer}]));
    }
    if !considerations.is_empty() {
        card["considerations"] = Value::Object(considerations);
    }
    card
}

/// What a model does, the data by their references, its inputs and outputs, and what network it is where its file says so, or that of the
/// model that it was made of.
pub(super) fn parameters(
    task: Option<&str>,
    datasets: &[String],
    subject: &ModelFacts,
    base: Option<&ModelFacts>,
) -> Value {
    let format_of = |values: &[(String, Vec<Option<usize>>)]| -> Vec<Value> {
        let format = |(name, shape): &(String, Vec<Option<usize>>)| {
            let format = format!("tensor {name} {} {}", subject.element_type(name), shown_shape(shape));
            json!({ "format": format })
        };
        values.iter().map(format).collect()
    };
    let datasets: Vec<Value> = datasets.iter().map(|data| json!({"ref": data})).collect();
    let mut value = json!({
        "approach": {"type": "supervised"},
        "task": task.unwrap_or("not stated"),
        "datasets": datasets,
        "inputs": format_of(&subject.inputs),
        "outputs": format_of(&subject.outputs),
    });
    let models = || [Some(subject), base].into_iter().flatten();
    if let Some(family) = models().find_map(|model| model.architecture_family.as_deref()) {
        value["architectureFamily"] = json!(family);
    }
    if let Some(architecture) = models().find_map(|model| model.architecture.as_deref()) {
        value["modelArchitecture"] = json!(architecture);
    }
    value
}

/// The figures of an evaluation with their intervals; `slice` says of which rows, where there are several.
pub(super) fn measured(evaluation: &Evaluation, kinds: &[FigureKind], slice: Option<&str>) -> Vec<Value> {
    let of = |kind: &FigureKind| {
        let mut metric = json!({"type": kind.name, "value": evaluation.figure(&kind.name)?.to_string()});
        if let Some([low, high]) = evaluation.interval(&kind.name) {
            metric["confidenceInterval"] = json!({"lowerBound": low.to_string(), "upperBound": high.to_string()});
        }
        if let Some(slice) = slice {
            metric["slice"] = json!(slice);
        }
        Some(metric)
    };
    kinds.iter().filter_map(of).collect()
}

fn properties(ledger: &Ledger) -> Value {
    let facts = &ledger.training;
    let made_by = ledger.origin.as_ref().map(|origin| (&origin.software, &origin.commit));
    let adapted: Vec<String> = facts.adapted_layers.iter().map(AdaptedLayers::in_words).collect();
    let rows = [
        ("millstream:software", made_by.map_or_else(String::new, |(software, _)| software.clone())),
        ("millstream:commit", made_by.and_then(|(_, commit)| commit.clone()).unwrap_or_default()),
        ("millstream:ending", ledger.ending.clone()),
        ("millstream:device", facts.device.clone()),
        ("millstream:onnx_runtime", facts.onnx_runtime.clone()),
        ("millstream:trained_parameters", facts.trained.to_string()),
        ("millstream:frozen_parameters", facts.frozen.to_string()),
        ("millstream:adapted_layers", adapted.join("; ")),
        ("millstream:steps", facts.steps.to_string()),
        ("millstream:recipe", facts.recipe.to_string()),
        ("millstream:selection", ledger.results.selection.clone()),
        ("millstream:search", ledger.chosen.as_ref().map(ChosenTrial::in_words).unwrap_or_default()),
    ];
    stated(rows)
}

/// Properties by their names; those without a value are left out.
pub(super) fn stated(rows: impl IntoIterator<Item = (&'static str, String)>) -> Value {
    let known = rows.into_iter().filter(|(_, value)| !value.is_empty());
    known.map(|(name, value)| json!({"name": name, "value": value})).collect()
}

/// What the splits are called, in order; one that is called as another before it has a number.
fn references(ledger: &Ledger) -> Vec<String> {
    let mut names = UniqueNames::default();
    ledger.data.iter().map(|data| names.name(&format!("data-{}", data.split))).collect()
}

/// Data with their files by their hashes.
pub(super) fn data_component(reference: &str, name: &str, files: &[DataFile]) -> Value {
    let files = files.iter().map(|file| {
        let mut properties = vec![
            json!({"name": "millstream:rows", "value": file.rows.to_string()}),
            json!({"name": "millstream:bytes", "value": file.bytes.to_string()}),
        ];
        properties.retain(|property| property["value"] != "");
        let mut value = json!({"type": "file", "name": file.name, "properties": properties});
        if let Some(sha256) = &file.sha256 {
            value["hashes"] = json!([{"alg": "SHA-256", "content": sha256}]);
        }
        value
    });
    json!({
        "type": "data",
        "bom-ref": reference,
        "name": name,
        "data": [{"type": "dataset", "name": name}],
        "components": files.collect::<Vec<_>>(),
    })
}
