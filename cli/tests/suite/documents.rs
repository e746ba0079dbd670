//! What is written about a run.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::dataset;
use crate::public_validators::assert_taken;
use crate::workplace::{Workplace, has_runtime};

const FILES: [&str; 8] = [
    "README.md",
    "datasheet.md",
    "model-card.html",
    "datasheet.html",
    "model.cdx.json",
    "croissant.json",
    "ledger.json",
    "sbom.cdx.json",
];

/// A run, documented.
pub(crate) fn documented() -> Option<Workplace> {
    has_runtime().then(|| {
        let place = Workplace::new();
        place.run_with("train", &["output.folder=run", "evaluation.slices=[label]"]).done();
        let said = place.run(&["document", "run"]).done();
        for name in FILES {
            assert!(said.contains(&format!("run/documents/{name}")), "{said}");
        }
        place
    })
}

fn json(place: &Workplace, name: &str) -> Value {
    serde_json::from_slice(&place.read(&format!("run/documents/{name}"))).unwrap()
}

fn words(place: &Workplace, name: &str) -> String {
    String::from_utf8(place.read(&format!("run/documents/{name}"))).unwrap()
}

#[test]
fn the_card_of_a_mean_of_the_last_states_does_not_say_that_rows_chose_them() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    for (average, is_chosen) in [("null", true), ("{last: 2}", false), ("{best: 2}", true)] {
        let average = format!("training.average={average}");
        place
            .run(&["train", "recipe.yaml", "--overwrite", "--quiet", "--set", "output.folder=run", "--set", &average])
            .done();
        place.run(&["document", "run"]).done();
        let (card, chosen) = (words(&place, "README.md"), "They were used to choose the state that is exported.");
        assert_eq!(json(&place, "ledger.json")["results"]["is_chosen"], is_chosen, "{average}");
        assert_eq!(card.contains(chosen), is_chosen, "{average}: {card}");
        assert_eq!(
            card.contains("The state that is exported was not chosen by them."),
            !is_chosen,
            "{average}: {card}"
        );
    }
}

#[test]
fn the_card_of_a_run_that_went_on_with_other_settings_does_not_say_that_its_recipe_makes_the_model() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let train = |how: &str, epochs: &str| {
        let set = ["--set", "output.folder=run", "--set", epochs];
        place.run(&[&["train", "recipe.yaml", "--quiet", how][..], &set].concat()).done();
        place.run(&["document", "run"]).done();
        words(&place, "README.md")
    };
    let whole = train("--overwrite", "training.epochs=1");
    assert!(whole.contains("makes the same model") && !whole.contains("part by part"), "{whole}");
    let parts = train("--resume", "training.epochs=2");
    assert!(!parts.contains("makes the same model") && parts.contains("repeats the run part by part"), "{parts}");
}

#[test]
fn the_card_says_which_layers_stayed_as_they_were_and_why() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    place.run_with("train", &["output.folder=run", "model.train=head", "training.epochs=1"]).done();
    place.run(&["document", "run"]).done();
    let card = words(&place, "README.md");
    assert!(card.contains("What stayed as it was, and why"), "{card}");
    assert!(card.contains("model.train (head) does not mean them"), "{card}");
    assert!(words(&place, "ledger.json").contains("\"frozen_layers\""));
}

#[test]
fn a_card_says_what_a_program_needs_to_run_the_model_without_the_recipe() {
    let Some(place) = documented() else { return };
    let (card, used) = (words(&place, "README.md"), json(&place, "ledger.json")["model_use"].clone());
    let labels = String::from_utf8(place.read("run/labels.txt")).unwrap();
    let classes: Vec<String> = labels.lines().enumerate().map(|(at, name)| format!("{at} `{name}`")).collect();
    for part in [
        "### Inputs and outputs",
        "`[3, 16, 16]`",
        "3 channels in the order red, green, blue",
        "0 for black and 1 for white",
        "1. `resize: ",
        "stored colours are taken",
        "Scores of the classes before any softmax",
        &format!("In this order: {}.", classes.join(", ")),
    ] {
        assert!(card.contains(part), "{part} is not in\n{card}");
    }
    let input = &used["inputs"][0];
    assert_eq!((&input["encoding"]["image"]["channels"], &input["columns"][0]), (&3.into(), &"image".into()), "{used}");
    assert_eq!(used["output"]["places"].as_array().unwrap().len(), classes.len());
}

#[test]
fn a_readme_of_somebody_else_is_not_replaced_and_an_own_one_is() {
    let Some(place) = documented() else { return };
    std::fs::create_dir(place.path("site")).unwrap();
    place.write("site/README.md", "mine");
    let line = ["document", "run", "-o", "site"];
    place.run(&line).failed_with(&["README.md", "no `document` wrote it"]);
    assert_eq!(place.read("site/README.md"), b"mine");
    std::fs::remove_file(place.path("site/README.md")).unwrap();
    place.run(&line).done();
    place.run(&line).done();
}

#[test]
fn layers_that_a_method_adapts_are_not_said_to_have_stayed_as_they_were() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let lora = "model.methods=[{lora: {rank: 2, layers: convolution}}]";
    for (adapters, wanted, merged) in [
        ("merged", "adapted by lora, merged into the exported weights", true),
        ("unmerged", "adapted by lora, which stands beside the model; their own weights stayed", false),
    ] {
        let adapters = format!("output.adapters={adapters}");
        let settings = ["output.folder=run", "model.train=head", "training.epochs=1", lora, &adapters];
        place.run_with("train", &settings).done();
        place.run(&["document", "run"]).done();
        let (card, ledger) = (words(&place, "README.md"), json(&place, "ledger.json"));
        assert!(card.contains("What methods adapt") && card.contains(wanted), "{card}");
        // what was added is told beside what was trained and what stayed
        assert!(card.contains("- **Added:** a new head, ") && card.contains("; lora, "), "{card}");
        assert!(card.contains("What was added to the model, and trained:\n\n- a new head, "), "{card}");
        let parts = ledger["training"]["added_parts"].as_array().unwrap();
        assert_eq!(parts.len(), 2, "{ledger}");
        assert_eq!((&parts[1]["choice"]["lora"]["rank"], &parts[1]["beside"][0]), (&2.into(), &"conv".into()));
        let shape = parts[0]["weights"][0][1].as_array().unwrap();
        assert!(parts[0]["kind"] == "head" && shape.contains(&3.into()), "{ledger}");
        // the head, and the convolution that A and B stand beside
        assert!(card.contains("numbers, in 2 layers"), "{card}");
        let adapted = &ledger["training"]["adapted_layers"][0];
        assert_eq!((&adapted["layers"][0], &adapted["is_merged"]), (&"conv".into(), &merged.into()), "{ledger}");
        let frozen = ledger["training"]["frozen_layers"].as_array().unwrap();
        let names = frozen.iter().flat_map(|one| one["layers"].as_array().unwrap());
        assert!(names.into_iter().all(|name| name != "conv"), "{ledger}");
        assert!(words(&place, "model.cdx.json").contains(wanted), "{adapters}");
        std::fs::remove_dir_all(place.path("run")).unwrap();
    }
}

#[test]
fn figures_of_a_run_are_told_as_those_of_the_set_that_decides() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    // most of them are wrong, so that there are mistakes to be shown
    let mut rows = dataset::rows(300, 30);
    rows.iter_mut().for_each(|row| row.label = (row.label + 1) % 3);
    dataset::write(&place.path("night.parquet"), &rows);
    let changes = [
        "evaluation={sets: {night: night.parquet, train: test.parquet}, best_on: night}",
        "evaluation.slices=[label]",
        "training.epochs=2",
    ];
    let said = place.run_with("train", &changes).done();
    assert!(said.starts_with("on `night`: accuracy "), "{said}");
    let record: Value = serde_json::from_slice(&place.read("run/metrics.json")).unwrap();
    assert_eq!((&record["evaluated_on"], &record["evaluation"]["rows"]), (&"night".into(), &30.into()));
    let page = String::from_utf8(place.read("run/report.html")).unwrap();
    for part in
        ["accuracy on night", "loss on night", "rows of night", "accuracy on evaluate", "figure title=\"night.parquet"]
    {
        assert!(page.contains(part), "{part} is not in the report");
    }
    place.run(&["document", "run"]).done();
    let (ledger, bill) = (json(&place, "ledger.json"), json(&place, "model.cdx.json"));
    let splits: Vec<&str> =
        ledger["data"].as_array().unwrap().iter().map(|split| split["split"].as_str().unwrap()).collect();
    assert_eq!(splits, ["train", "evaluate", "night", "train"]);
    let hash = millstream::schemas::files::sha256_of_file(&place.path("night.parquet")).unwrap();
    assert_eq!(ledger["data"][2]["files"][0]["sha256"], hash);
    assert_eq!(ledger["results"]["set"], "night");
    let card = words(&place, "README.md");
    for part in [
        "best on the rows of night by accuracy",
        "- **evaluate:** 18 rows in 1 file, measured beside; nothing was chosen by them",
        "- **night:** 30 rows in 1 file, used to choose the state that is exported",
        "On night (30 rows):",
        "### By label, on night",
        "### On evaluate (18 rows)",
    ] {
        assert!(card.contains(part), "{part} is not in\n{card}");
    }
    assert!(words(&place, "datasheet.md").contains("### night"), "its files are in the datasheet");
    let metrics = bill["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"].clone();
    let slices: BTreeSet<&str> =
        metrics.as_array().unwrap().iter().map(|metric| metric["slice"].as_str().unwrap()).collect();
    assert_eq!(slices, BTreeSet::from(["evaluate", "night", "train"]));
    let references: BTreeSet<&str> =
        bill["components"].as_array().unwrap().iter().map(|data| data["bom-ref"].as_str().unwrap()).collect();
    assert_eq!(references, BTreeSet::from(["data-evaluate", "data-night", "data-train", "data-train-2"]));
    // beside a run that is measured on other rows
    place.run_with("train", &["training.epochs=1", "output.folder=other"]).done();
    let said = place.run(&["compare", "run", "other"]).done();
    let sets =
        said.lines().find(|line| line.trim_start().starts_with("measured on")).unwrap_or_else(|| panic!("{said}"));
    assert!(sets.contains("night") && sets.contains("evaluate"), "{said}");
    assert!(place.run(&["runs", "."]).done().contains("% on night"), "{said}");
}

#[test]
fn documents_of_a_run_agree_with_its_record_and_its_files() {
    let Some(place) = documented() else { return };
    let (ledger, bill, croissant) =
        (json(&place, "ledger.json"), json(&place, "model.cdx.json"), json(&place, "croissant.json"));
    let record: Value = serde_json::from_slice(&place.read("run/metrics.json")).unwrap();
    let sha256 = |name: &str| millstream::schemas::files::sha256_of_file(&place.path(name)).unwrap();
    assert_eq!(ledger["exported"]["sha256"], sha256("run/model.onnx"));
    assert_eq!(ledger["base"]["sha256"], sha256("model.onnx"));
    assert_eq!(ledger["data"][0]["files"][1]["sha256"], sha256("train-1.parquet"));
    assert_eq!(ledger["results"]["evaluation"]["accuracy"], record["evaluation"]["accuracy"]);
    assert_eq!(ledger["unchanged"], true);
    assert_eq!(ledger["origin"]["commit"].as_str(), millstream::recipes::commit());
    let commit = |value: &Value| {
        let properties = value["properties"].as_array().unwrap();
        properties.iter().find(|one| one["name"] == "millstream:commit").map(|one| one["value"].clone())
    };
    let tool = &bill["metadata"]["tools"]["components"][0];
    if let Some(built) = millstream::recipes::commit() {
        assert_eq!(commit(tool), Some(built.into()));
        assert_eq!(commit(&bill["metadata"]["component"]), Some(built.into()));
    }
    assert_eq!(ledger["data"][0]["inputs"]["damaged"], 0);
    assert_eq!(ledger["data"][0]["inputs"]["looked_at"], 48);
    let own_name = place.path("").canonicalize().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    assert_eq!(ledger["data_name"], own_name, "after the folder that they lie in, not after the run");
    let model = &bill["metadata"]["component"];
    assert_eq!(model["hashes"][0]["content"], sha256("run/model.onnx"));
    assert_eq!(model["pedigree"]["ancestors"][0]["hashes"][0]["content"], sha256("model.onnx"));
    let accuracy = record["evaluation"]["accuracy"].as_f64().unwrap();
    let metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"].as_array().unwrap();
    let found = metrics.iter().find(|metric| metric["type"] == "accuracy").unwrap();
    assert_eq!(found["value"].as_str().unwrap().parse::<f64>().unwrap(), accuracy);
    let hashes: Vec<&Value> =
        croissant["distribution"].as_array().unwrap().iter().map(|file| &file["sha256"]).collect();
    assert!(hashes.contains(&&Value::from(sha256("test.parquet"))), "{croissant}");
    let card = words(&place, "README.md");
    assert!(!card.contains("datasets:"), "a name that nobody has stated is none of a data set on the Hub:\n{card}");
    for part in [
        "## Model details",
        "## Intended use",
        "## Factors",
        "## Metrics",
        "## Evaluation data",
        "## Training data",
        "## Quantitative analyses",
        "## Ethical considerations",
        "## Caveats and recommendations",
        "### By label",
        "pipeline_tag: image-classification",
        "*not stated*",
        &sha256("run/model.onnx"),
    ] {
        assert!(card.contains(part), "{part} is not in\n{card}");
    }
    let sheet = words(&place, "datasheet.md");
    for part in [
        "## Motivation",
        "## Composition",
        "## Collection process",
        "## Preprocessing, cleaning, labelling",
        "## Uses",
        "## Distribution",
        "## Maintenance",
        "48 rows in 2 files",
        "18 rows in 1 file",
        "5 % are below",
        ", width",
        "Damaged: 0 rows whose image is missing or cannot be decoded.",
    ] {
        assert!(sheet.contains(part), "{part} is not in\n{sheet}");
    }
    assert!(words(&place, "model-card.html").contains("<table>"));
}

#[test]
fn what_people_state_stands_in_the_documents_and_is_never_written_over() {
    let Some(place) = documented() else { return };
    let stated =
        "intended_use: Sorting <b>stripes</b>.\nlicense: mit\nauthors: The makers\ndata_name: makers/stripes\n";
    place.write("run/statements.yaml", stated);
    let said = place.run(&["document", "run", "--json"]).json();
    assert!(!said["not_stated"].as_array().unwrap().contains(&Value::from("intended_use")), "{said}");
    assert_eq!(place.read("run/statements.yaml"), stated.as_bytes());
    let card = words(&place, "README.md");
    assert!(card.contains("datasets:\n- \"makers/stripes\"\n"), "{card}");
    assert!(card.contains("license: \"mit\"") && card.contains("Sorting <b>stripes</b>."), "{card}");
    let page = words(&place, "model-card.html");
    assert!(page.contains("&lt;b&gt;stripes"), "{page}");
    place.write("run/statements.yaml", "intended_usage: x\n");
    place.run(&["document", "run"]).failed_with(&["run/statements.yaml", "intended_usage"]);
}

#[test]
fn a_bill_says_which_network_it_is_where_the_metadata_of_the_base_model_do_and_its_licence_by_identifier() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let (key, value) = (b"model_type", b"resnet");
    // a row of metadata behind the model: a field of the same message
    let entry = [&[0x0a, key.len() as u8][..], key, &[0x12, value.len() as u8], value].concat();
    let model = [place.read("model.onnx"), vec![0x72, entry.len() as u8], entry].concat();
    std::fs::write(place.path("model.onnx"), model).unwrap();
    place.run_with("train", &["output.folder=run", "training.epochs=1"]).done();
    place.write("run/statements.yaml", "license: apache-2.0\n");
    place.run(&["document", "run"]).done();
    let bill = json(&place, "model.cdx.json");
    let component = &bill["metadata"]["component"];
    assert_eq!(component["modelCard"]["modelParameters"]["modelArchitecture"], "resnet", "{bill}");
    assert_eq!(component["licenses"], serde_json::json!([{"license": {"id": "Apache-2.0"}}]), "{bill}");
}

#[test]
fn a_base_model_that_is_another_one_now_is_told() {
    let Some(place) = documented() else { return };
    let began_with = json(&place, "ledger.json")["base"]["sha256"].clone();
    let mut other = place.read("model.onnx");
    // a documentation string behind the model: another file, the same network
    other.extend([0x32, 1, b'x']);
    let told = |what: &str| {
        let ran = place.run(&["document", "run"]);
        assert!(ran.stderr.contains("`model.path` is not what the run began with"), "{what}: {}", ran.stderr);
        ran.done();
        let (ledger, bill) = (json(&place, "ledger.json"), json(&place, "model.cdx.json"));
        assert_eq!((&ledger["unchanged"], &ledger["base"]["sha256"]), (&false.into(), &began_with), "{what}");
        let ancestor = &bill["metadata"]["component"]["pedigree"]["ancestors"][0]["hashes"][0]["content"];
        assert_eq!(*ancestor, began_with, "{what}");
        assert!(words(&place, "README.md").contains(began_with.as_str().unwrap()), "{what}");
        assert!(ledger["data"].as_array().is_some_and(|splits| splits.len() > 1), "{what}: {ledger}");
        place.run(&["reproduce", "run"]).failed_with(&["the run began with", "--set model.path="]);
    };
    std::fs::write(place.path("model.onnx"), other).unwrap();
    told("another file of the same network");
    std::fs::write(place.path("model.onnx"), "no model at all").unwrap();
    told("a file that is no model");
    std::fs::remove_file(place.path("model.onnx")).unwrap();
    told("no file");
}

#[test]
fn an_ensemble_has_documents_with_its_members_as_ancestors() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    for (name, seed) in [("a", "seed=1"), ("b", "seed=2")] {
        place.run_with("train", &["training.epochs=1", &format!("output.folder={name}"), seed]).done();
        let file = format!("{name}/predictions.parquet");
        place.run(&["evaluate", &format!("{name}/recipe.yaml"), "--predictions", &file]).done();
    }
    place.run(&["ensemble", "fit", "a", "b", "-o", "both", "--bootstrap", "0"]).done();
    place.run(&["note", "both", "two seeds of one recipe"]).done();
    place.run(&["document", "both"]).done();
    let of = |name: &str| String::from_utf8(place.read(&format!("both/documents/{name}"))).unwrap();
    let bill: Value = serde_json::from_str(&of("model.cdx.json")).unwrap();
    let ledger: Value = serde_json::from_str(&of("ledger.json")).unwrap();
    let sha256 = |name: &str| millstream::schemas::files::sha256_of_file(&place.path(name)).unwrap();
    let model = &bill["metadata"]["component"];
    assert_eq!(model["hashes"][0]["content"], sha256("both/ensemble.onnx"));
    for (at, name) in ["a", "b"].into_iter().enumerate() {
        let hash = sha256(&format!("{name}/model.onnx"));
        assert_eq!(model["pedigree"]["ancestors"][at]["hashes"][0]["content"], hash);
        assert_eq!((&ledger["members"][at]["run"], &ledger["members"][at]["unchanged"]), (&name.into(), &true.into()));
    }
    for (at, seed) in [1, 2].into_iter().enumerate() {
        let made = &ledger["members"][at]["made"];
        assert_eq!((&made["base_sha256"], &made["recipe"]["seed"]), (&sha256("model.onnx").into(), &seed.into()));
        assert!(made["origin"]["device"].is_string() && made["origin"]["software"].is_string(), "{made}");
        let ancestor = &model["pedigree"]["ancestors"][at]["pedigree"]["ancestors"][0];
        assert_eq!(ancestor["hashes"][0]["content"], sha256("model.onnx"));
    }
    let data = ledger["data"].as_array().unwrap();
    assert_eq!(data.len(), 2, "what both members have in common is told once: {ledger}");
    assert_eq!((&data[0]["split"], &data[0]["is_of_ensemble"]), (&"train".into(), &false.into()));
    assert_eq!((&data[1]["split"], &data[1]["is_of_ensemble"]), (&"evaluate".into(), &true.into()));
    assert_eq!(data[1]["files"][0]["sha256"], sha256("test.parquet"));
    assert_eq!(bill["components"][1]["components"][0]["hashes"][0]["content"], sha256("test.parquet"));
    let metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"].as_array().unwrap();
    assert!(metrics.iter().any(|metric| metric["type"] == "accuracy"), "{bill}");
    let card = of("README.md");
    for hash in [sha256("model.onnx"), sha256("test.parquet"), sha256("train-1.parquet")] {
        assert!(card.contains(&hash), "{hash} is not in\n{card}");
    }
    assert!(card.contains("in test.parquet, the split evaluate of a, b"), "{card}");
    assert!(ledger["origin"]["software"].is_string() && ledger["origin"]["began"].is_string(), "{ledger}");
    assert!(card.contains("- **Made by:** millstream "), "{card}");
    let command = "$ millstream ensemble fit ../a ../b --method weighted --holdout 0.5 --seed 0 --bootstrap 0 --memory 2147483648B -o ../both-again";
    assert!(card.contains(command), "{card}");
    for part in
        ["two seeds of one recipe", "Each member on the same rows, their mean", "mean of the members", "| weight |"]
    {
        assert!(card.contains(part), "{part} is not in\n{card}");
    }
    assert!(card.matches(" to ").count() >= 3, "each member and the ensemble has an interval:\n{card}");
    // a member that is an ensemble itself
    place.run(&["evaluate", "a/recipe.yaml", "--model", "both/ensemble.onnx", "--predictions", "both.parquet"]).done();
    let members = ["both/ensemble.onnx", "a/model.onnx", "--predictions", "both.parquet", "a/predictions.parquet"];
    place.run(&[&["ensemble", "fit", "-o", "nested", "--bootstrap", "0"][..], &members].concat()).done();
    place.run(&["document", "nested"]).done();
    let nested: Value = serde_json::from_slice(&place.read("nested/documents/ledger.json")).unwrap();
    let inner = &nested["members"][0]["ensemble_of"][1];
    assert_eq!((&inner["name"], &inner["sha256"]), (&"ensemble/b".into(), &sha256("b/model.onnx").into()), "{nested}");
    assert_eq!(inner["made"]["recipe"]["seed"], 2, "{nested}");
    // of both, with the name of the data, the figures are understood as well
    place.write("both/statements.yaml", "data_name: makers/stripes\nlicense: MIT OR Apache-2.0\n");
    place.run(&["document", "both"]).done();
    assert_taken(&[place.path("both"), place.path("nested")], |read| {
        let result = &read[0]["results"][0];
        assert_eq!((&result["task"], &result["metric"][0]), (&"image-classification".into(), &"accuracy".into()));
        assert_eq!((&read[0]["bill"], &read[1]["bill"]), (&"both".into(), &"nested".into()), "{read:?}");
        assert_eq!(read[1]["results"], serde_json::json!([]), "nobody has stated what the data are called");
    });
    let card = String::from_utf8(place.read("nested/documents/README.md")).unwrap();
    assert!(card.contains("ensemble of 2 members") && card.contains(&sha256("b/model.onnx")), "{card}");
    assert!(card.contains("--predictions ../both.parquet ../a/predictions.parquet -o ../nested-again"), "{card}");
    let found = place.run(&["runs", ".", "--json"]).json();
    let runs = found["runs"].as_array().unwrap();
    let number = |name: &str| runs.iter().position(|run| run["name"] == name).unwrap();
    let wanted = serde_json::json!({"from": {"run": number("b")}, "to": number("both"), "through": "member"});
    assert!(found["lineage"].as_array().unwrap().contains(&wanted), "{found}");
    // an ensemble does not become a member of itself, and what took a member's place is not told as the member's own
    place
        .run(&[&["ensemble", "fit", "-o", "both", "--overwrite"][..], &members].concat())
        .failed_with(&["both/ensemble.onnx", "is the model of the ensemble that is to be replaced"]);
    place
        .run(&["ensemble", "fit", "b", "a", "-o", "both", "--overwrite", "--bootstrap", "0", "--method", "probability"])
        .done();
    let said = place.run(&["document", "nested"]);
    assert!(said.stderr.contains("the member `ensemble` is another file now"), "{}", said.stderr);
    let nested: Value = serde_json::from_slice(&place.read("nested/documents/ledger.json")).unwrap();
    let member = &nested["members"][0];
    assert_eq!((&member["unchanged"], member.get("ensemble_of")), (&false.into(), None), "{nested}");
    // files of other programs under the names of ours
    for name in ["a/members.json", "a/snapshots.json"] {
        place.write(name, "[]");
    }
    place.run(&["document", "a"]).done();
    let said = place.run(&["document", "both"]);
    assert!(said.stderr.contains("what lies beside the member `a` cannot be read"), "{}", said.stderr);
    said.done();
    let ledger: Value = serde_json::from_slice(&place.read("both/documents/ledger.json")).unwrap();
    assert_eq!(ledger["members"][1]["made"]["recipe"]["seed"], 1, "{ledger}");
}

/// Of the folders `small` and `large` with members on three folds, and of `stacked`, which is made of both.
pub(crate) fn assert_members_on_folds_are_documented(place: &Workplace) {
    let of = |name: &str| String::from_utf8(place.read(name)).unwrap();
    let read = |name: &str| -> Value { serde_json::from_str(&of(name)).unwrap() };
    let sha256 = |name: &str| millstream::schemas::files::sha256_of_file(&place.path(name)).unwrap();
    place.run(&["document", "stacked"]).done();
    let (ledger, card) = (read("stacked/documents/ledger.json"), of("stacked/documents/README.md"));
    for (at, name) in ["small", "large"].into_iter().enumerate() {
        let mean = &ledger["members"][at]["mean_of"];
        assert_eq!((&mean["out_of_fold"], &mean["sampling"]["folds"]["count"]), (&true.into(), &3.into()), "{ledger}");
        let runs = mean["members"].as_array().unwrap();
        assert_eq!(runs.len(), 3, "{ledger}");
        for (fold, run) in runs.iter().enumerate() {
            let own = format!("{name}/fold-{}", fold + 1);
            let model = sha256(&format!("{own}/model.onnx"));
            assert_eq!((&run["name"], &run["sha256"]), (&own.as_str().into(), &model.as_str().into()));
            assert_eq!((&run["unchanged"], &run["made"]["base_sha256"]), (&true.into(), &sha256("model.onnx").into()));
            assert!(run["made"]["origin"]["software"].is_string() && run["made"]["recipe"].is_object(), "{run}");
            assert!(card.contains(&own) && card.contains(&model), "{card}");
        }
    }
    let all = &ledger["data"][0];
    assert_eq!((&all["split"], &all["is_of_ensemble"]), (&"train".into(), &true.into()), "{ledger}");
    assert_eq!(all["members"], serde_json::json!(["small", "large"]));
    for (at, file) in ["train-0.parquet", "train-1.parquet"].into_iter().enumerate() {
        assert_eq!(all["files"][at]["sha256"], sha256(file));
        assert!(card.contains(&sha256(file)), "{card}");
    }
    assert_eq!(ledger["origin"]["commit"].as_str(), millstream::recipes::commit());
    assert_eq!(ledger["origin"]["request"]["members"][1]["fingerprint"], sha256("large/predictions.parquet"));
    for part in [
        "the answers of small, large are out of fold",
        "**small:** the mean of 3 runs",
        "label spread alike",
        "are out of fold: those of runs that were not trained on the row",
        "## How it was made, again",
        "$ millstream ensemble fit ../small ../large --method stacking --holdout 0 --seed 0 --bootstrap 1000 --memory 2147483648B -o ../stacked-again",
    ] {
        assert!(card.contains(part), "{part} is not in\n{card}");
    }
    assert!(!card.contains("nothing is known"), "{card}");
    let bill = read("stacked/documents/model.cdx.json");
    let fold = &bill["metadata"]["component"]["pedigree"]["ancestors"][0]["pedigree"]["ancestors"][2];
    assert_eq!(fold["hashes"][0]["content"], sha256("small/fold-3/model.onnx"));
    assert_eq!(fold["pedigree"]["ancestors"][0]["hashes"][0]["content"], sha256("model.onnx"));
    // the command of the card makes the same
    let mut commands = card.lines().filter_map(|line| line.strip_prefix("$ millstream "));
    let command = commands.find(|command| command.starts_with("ensemble fit ")).unwrap();
    let arguments: Vec<&str> = command.split(' ').collect();
    let ran = place.command(&arguments).current_dir(place.path("stacked")).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(sha256("stacked-again/ensemble.onnx"), sha256("stacked/ensemble.onnx"));
    // an ensemble of a build that noted less is documented all the same
    for name in ["stacked-again/origin.json", "small/recipe.yaml"] {
        std::fs::remove_file(place.path(name)).unwrap();
    }
    let said = place.run(&["document", "stacked-again"]);
    assert!(said.stderr.contains("has not noted where they lie"), "{}", said.stderr);
    let (older, card) = (read("stacked-again/documents/ledger.json"), of("stacked-again/documents/README.md"));
    assert_eq!((&older["origin"], &older["members"][0]["mean_of"]["out_of_fold"]), (&Value::Null, &true.into()));
    assert!(card.contains("has not noted with which options"), "{card}");
    // the folder of the members is documented, too
    place.run(&["note", "large", "three epochs"]).done();
    let said = place.run(&["document", "large"]).done();
    assert!(said.contains("large/documents/README.md"), "{said}");
    for command in [["ensemble", "snapshots", "large", "-o", "x"], ["adapter", "extract", "large", "-o", "x"]] {
        place.run(&command).failed_with(&["it holds members", "name the folder of one of them"]);
    }
    let (ledger, card) = (read("large/documents/ledger.json"), of("large/documents/README.md"));
    assert_eq!(ledger["exported"]["sha256"], sha256("large/model.onnx"));
    assert_eq!(ledger["members"][2]["sha256"], sha256("large/fold-3/model.onnx"));
    assert_eq!(ledger["data"][0]["files"][1]["sha256"], sha256("train-1.parquet"));
    for part in [
        "Out of fold: each row has the answer of members that were not trained on it",
        "three epochs",
        "Each member on the rows that it has not seen",
        "$ millstream ensemble members recipe.yaml --folds 3 --stratify label --seed 0 --bootstrap 50 --memory 2147483648B -o ../large-again",
    ] {
        assert!(card.contains(part), "{part} is not in\n{card}");
    }
    assert_taken(&[place.path("stacked"), place.path("large")], |read| {
        assert_eq!((&read[0]["bill"], &read[1]["bill"]), (&"stacked".into(), &"large".into()), "{read:?}");
    });
    let bill = read("large/documents/model.cdx.json");
    assert_eq!(bill["metadata"]["component"]["pedigree"]["ancestors"].as_array().unwrap().len(), 3, "{bill}");
    // before all are trained there is nothing to tell
    std::fs::create_dir(place.path("half")).unwrap();
    let made_of = read("large/members.json")["made_of"].take();
    place.write("half/members.json", &serde_json::json!({"version": 1, "made_of": made_of}).to_string());
    place.run(&["document", "half"]).failed_with(&["not all members are trained yet", "ensemble members"]);
    assert!(!place.path("half/statements.yaml").exists());
    std::fs::remove_dir_all(place.path("half")).unwrap();
    std::fs::remove_dir_all(place.path("stacked-again")).unwrap();
}

#[test]
fn a_folder_without_a_run_is_told() {
    let place = Workplace::new();
    place.run(&["document", "."]).failed_with(&["metrics.json"]);
    assert!(!place.path("statements.yaml").exists());
}
