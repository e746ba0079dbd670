//! Columns of numbers and categories, from the command line.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use millstream::OperatorCatalog;
use millstream::compiler::graph::{Constant, Graph, Length, TensorType};
use millstream::compiler::initializers::{Fans, Initializer};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::corpus::{corpus, example};
use crate::public_validators::{STATED, assert_taken};
use crate::workplace::{Ran, Workplace, has_runtime, millstream, text};

/// A network of two dense layers over inputs of these widths, with fresh weights.
pub(crate) fn table_network(path: &Path, inputs: &[(&str, usize)], outputs: usize) {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let values: Vec<_> = inputs
        .iter()
        .map(|(name, width)| graph.input(name, TensorType::f32([Length::named("batch"), (*width).into()])))
        .collect();
    let mut value =
        if values.len() > 1 { graph.add("Concat", &values, &[("axis", 1.into())]).unwrap() } else { values[0] };
    let mut width: usize = inputs.iter().map(|(_, width)| width).sum();
    for (name, wide) in [("hidden", 32), ("answer", outputs)] {
        let weight = Initializer::named("he_normal").expect("it has no options").draw(
            &[wide, width],
            Fans::of_dense(width, wide),
            5,
            name,
        );
        let weight = graph.constant(&format!("{name}.weight"), weight);
        let bias = graph.constant(&format!("{name}.bias"), Constant::f32([wide], &vec![0.0; wide]));
        value = graph.add("Gemm", &[value, weight, bias], &[("transB", 1.into())]).unwrap();
        if name == "hidden" {
            value = graph.add("Relu", &[value], &[]).unwrap();
        }
        width = wide;
    }
    graph.output(value);
    std::fs::write(path, graph.to_onnx("table")).unwrap();
}

pub(crate) fn set(place: &str, path: &Path) -> String {
    format!("{place}={}", text(path))
}

/// Trains an example on a network of its own, and returns the figures of the best epoch, and those of `evaluate`.
fn learned(example_name: &str, inputs: &[(&str, usize)], outputs: usize) -> Option<[Value; 2]> {
    corpus().filter(|_| has_runtime())?;
    let (recipe, folder) = example(example_name);
    let network = folder.path().join("network.onnx");
    table_network(&network, inputs, outputs);
    let (path, output) = (set("model.path", &network), set("output.folder", &folder.path().join("run")));
    let run = |command: &str| {
        let said = millstream(&[command, text(&recipe), "--set", &path, "--set", &output, "--json"]).done();
        // Of a run the last line is its end.
        serde_json::from_str::<Value>(said.trim())
            .unwrap_or_else(|_| serde_json::from_str(said.lines().last().unwrap()).unwrap())
    };
    run("check");
    Some(["train", "evaluate"].map(|command| run(command)["evaluation"].clone()))
}

#[test]
fn tables_are_learned_from_scratch_with_their_statistics_inside_the_model() {
    let species = [("measurements", 5), ("island", 3), ("sex", 2)];
    let mass = [("measurements", 4), ("island", 3), ("sex", 2), ("species", 3)];
    for (name, inputs, outputs, figure, at_least) in [
        ("tables/breast-cancer.yaml", &[("measurements", 30)][..], 2, "accuracy", 0.96),
        ("tables/penguins.yaml", &species[..], 3, "accuracy", 0.97),
        ("tables/penguins-mass.yaml", &mass[..], 1, "r2", 0.8),
    ] {
        let Some(found) = learned(name, inputs, outputs) else { return };
        for evaluation in &found {
            let value = evaluation[figure].as_f64().unwrap_or_else(|| panic!("{name}: {evaluation}"));
            assert!(value >= at_least, "{name}: {figure} {value}");
        }
        assert_eq!(found[0][figure], found[1][figure], "{name}: the exported model is the one that was measured");
    }
}

/// The penguins of all islands but one.
fn without_biscoe(corpus: &Path, to: &Path) {
    let from = corpus.join("data/penguins/penguins-test-00000-of-00001.parquet");
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(from).unwrap()).unwrap().build().unwrap();
    let mut writer: Option<ArrowWriter<std::fs::File>> = None;
    for batch in reader.map(Result::unwrap) {
        let file = || std::fs::File::create(to).unwrap();
        let writer = writer.get_or_insert_with(|| ArrowWriter::try_new(file(), batch.schema(), None).unwrap());
        let islands = batch.column_by_name("island").unwrap().as_string::<i32>().clone();
        for row in (0..batch.num_rows()).filter(|row| islands.value(*row) != "Biscoe") {
            writer.write(&batch.slice(row, 1)).unwrap();
        }
    }
    writer.unwrap().close().unwrap();
}

#[test]
fn rows_that_lack_a_category_are_evaluated_by_what_the_training_rows_have_taught() {
    let Some(corpus) = corpus().filter(|_| has_runtime()) else { return };
    let (recipe, folder) = example("tables/penguins.yaml");
    let (network, fewer) = (folder.path().join("network.onnx"), folder.path().join("fewer.parquet"));
    table_network(&network, &[("measurements", 5), ("island", 3), ("sex", 2)], 3);
    without_biscoe(&corpus, &fewer);
    let (path, output) = (set("model.path", &network), set("output.folder", &folder.path().join("run")));
    millstream(&["train", text(&recipe), "--set", &path, "--set", &output, "--quiet"]).done();
    let said = millstream(&["evaluate", text(&recipe), "--set", &output, "--data", text(&fewer), "--json"]).done();
    let evaluation = &serde_json::from_str::<Value>(said.trim()).unwrap()["evaluation"];
    // As of all islands, these are read with the places of all three.
    assert!(evaluation["accuracy"].as_f64().unwrap() > 0.97 && evaluation["rows"] == 47, "{evaluation}");
}

#[test]
fn the_card_of_a_model_of_a_table_says_columns_in_order_and_what_becomes_of_an_empty_cell() {
    let Some(_) = corpus().filter(|_| has_runtime()) else { return };
    let (recipe, folder) = example("tables/penguins-mass.yaml");
    let (network, run) = (folder.path().join("network.onnx"), folder.path().join("run"));
    table_network(&network, &[("measurements", 4), ("island", 3), ("sex", 2), ("species", 3)], 1);
    let (path, output) = (set("model.path", &network), set("output.folder", &run));
    let short = "training.epochs=1";
    millstream(&["train", text(&recipe), "--set", &path, "--set", &output, "--set", short, "--quiet"]).done();
    std::fs::write(run.join("statements.yaml"), STATED).unwrap();
    millstream(&["document", text(&run)]).done();
    assert_taken(std::slice::from_ref(&run), |read| {
        assert_eq!(read[0]["results"][0]["task"], "tabular-regression", "{read:?}");
        assert!(read[0]["data"]["fields"].to_string().contains("bill_depth_mm"), "{read:?}");
    });
    let card = std::fs::read_to_string(run.join("documents/README.md")).unwrap();
    for part in [
        "#### Input `measurements`",
        "- **Made of:** `bill_length_mm`, `bill_depth_mm`, `flipper_length_mm`, `year`",
        "| 1 | `bill_depth_mm` | ",
        "What is missing is handed over as NaN; the model itself puts the mean of the column in its place.",
        "In this order: 0 `Biscoe`, 1 `Dream`, 2 `Torgersen`.",
        "A row whose value is missing, or none of these, is all zeros.",
        "The target is \\`body\\_mass\\_g\\`, made by \\`number\\`, in its unit: the model itself undoes the standardization.",
        "In this order: 0 `body_mass_g`.",
    ] {
        assert!(card.contains(part), "{part} is not in\n{card}");
    }
}

#[test]
fn members_on_folds_standardize_each_by_its_own_rows_and_become_one_model() {
    let Some(_) = corpus().filter(|_| has_runtime()) else { return };
    let (recipe, folder) = example("tables/breast-cancer.yaml");
    let network = folder.path().join("network.onnx");
    table_network(&network, &[("measurements", 30)], 2);
    let (path, members) = (set("model.path", &network), folder.path().join("members"));
    let way = ["--folds", "3", "--stratify", "label", "--set", &path, "--set", "training.epochs=10"];
    let line = [&["ensemble", "members", text(&recipe), "-o", text(&members)], &way[..]].concat();
    let said = millstream(&line).done();
    assert!(said.contains("fold-3"), "{said}");
    let run = |model: &Path| -> f64 {
        let line = ["evaluate", text(&recipe), "--set", &path, "--model", text(model), "--json"];
        let found: Value = serde_json::from_str(millstream(&line).done().trim()).unwrap();
        found["evaluation"]["accuracy"].as_f64().unwrap()
    };
    assert!(run(&members.join("model.onnx")) > 0.9);
    let parts = ["fold-1", "fold-2", "fold-3"].map(|name| members.join(name));
    let fitted = folder.path().join("fitted");
    let mut line = vec!["ensemble", "fit"];
    line.extend(parts.iter().map(|part| text(part)));
    millstream(&[&line[..], &["--method", "probability", "-o", text(&fitted)]].concat()).done();
    assert!(run(&fitted.join("ensemble.onnx")) > 0.9);
    // a mean of weights has one set of statistics only
    let mean = folder.path().join("mean");
    millstream(&[&line[..], &["--method", "uniform_soup", "-o", text(&mean)]].concat())
        .failed_with(&["its rows are prepared otherwise", "measurements"]);
}

/// A number by one of two values.
const BY_ONE_OF_TWO: &str = "version: 1
seed: 1
model: {path: network.onnx, head: keep, train: all}
data:
  train: rows.csv
  evaluate: rows.csv
  batch: 8
  inputs: {kind: {category: {column: COLUMN, unknown: zeros}}}
  targets: {value: {number: {column: price}}}
training:
  loss: mse
  epochs: 30
  threads: 1
  device: cpu
  optimizer: {adamw: {learning_rate: 0.05}}
output: {folder: run}
";

/// A run that tells the price in `rows.csv`, 1.5 or 5.5, by the column that has one of two values; each fifth row has none.
fn by_one_of_two(column: &str, values: [&str; 2]) -> Workplace {
    let place = Workplace::bare();
    let row = |row: usize| {
        let value = if row % 5 == 4 { "" } else { values[row % 2] };
        format!("{row},{value},{}.5\n", [1, 5][row % 2])
    };
    let rows: String = (0..60).map(row).collect();
    place.write("rows.csv", &format!("id,{column},price\n{rows}"));
    place.write("recipe.yaml", &BY_ONE_OF_TWO.replace("COLUMN", column));
    table_network(&place.path("network.onnx"), &[("kind", 2)], 1);
    place.run(&["train", "recipe.yaml", "--quiet"]).done();
    place
}

/// What a run predicts of these files, a number a row.
fn predicted(place: &Workplace, files: &[&str]) -> Vec<f64> {
    let said = place.run(&[&["predict", "run", "--json"][..], files].concat()).done();
    let rows = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| row["values"][0].as_f64().unwrap_or_else(|| panic!("{row}"))).collect()
}

/// `predict` of a table on the standard input.
fn run_from_input(place: &Workplace, table: &str) -> Ran {
    let mut command = place.command(&["predict", "run", "-", "--json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(table.as_bytes()).unwrap();
    Ran::of(child.wait_with_output().unwrap())
}

/// What a run predicts of a table on the standard input.
fn predicted_from_input(place: &Workplace, table: &str) -> Vec<f64> {
    let said = run_from_input(place, table).done();
    let rows: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(rows[0]["input"].as_str().unwrap().starts_with("-:"), "{said}");
    rows.iter().map(|row| row["values"][0].as_f64().unwrap_or_else(|| panic!("{row}"))).collect()
}

/// The same numbers, whatever was run beside each.
#[track_caller]
fn near(found: &[f64], wanted: &[f64]) {
    let are_near = found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-3);
    assert!(found.len() == wanted.len() && are_near, "{found:?}, wanted {wanted:?}");
}

#[test]
fn an_ensemble_of_numbers_gives_in_one_model_what_was_measured_of_the_predictions() {
    if !has_runtime() {
        return;
    }
    let place = by_one_of_two("kind", ["round", "flat"]);
    for (name, epochs) in [("few", "training.epochs=3"), ("some", "training.epochs=10")] {
        let folder = format!("output.folder={name}");
        place.run(&["train", "recipe.yaml", "--quiet", "--set", &folder, "--set", epochs]).done();
    }
    let members = ["run", "few", "some"];
    for name in members {
        let (recipe, file) = (format!("{name}/recipe.yaml"), format!("{name}/predictions.parquet"));
        place.run(&["evaluate", &recipe, "--predictions", &file]).done();
    }
    for (method, of) in [
        ("logit", &members[..]),
        ("median", &members),
        ("median", &members[..2]),
        ("selection", &members),
        ("stacking", &members),
        ("weighted", &members),
    ] {
        let folder = format!("all/{method}-of-{}", of.len());
        let way = ["--method", method, "--holdout", "0", "--bootstrap", "50", "--json", "-o", &folder];
        let told = place.run(&[&["ensemble", "fit"][..], of, &way].concat()).json();
        let report = &told["ensemble"]["report"];
        let model = format!("{folder}/ensemble.onnx");
        let found = place.run(&["evaluate", "recipe.yaml", "--json", "--model", &model]).json();
        let [own, of_model] =
            [&report["ensemble"], &found["evaluation"]].map(|figures| figures["loss"].as_f64().unwrap());
        assert!((own - of_model).abs() < 1e-5 * own.max(1.0), "{folder}: {own}, {of_model}");
        let all = report["members"].as_array().unwrap().iter().map(|member| &member["evaluation"]);
        for figures in all.chain([&report["ensemble"]]) {
            let interval = figures["intervals"]["loss"].as_array().unwrap_or_else(|| panic!("{folder}: {figures}"));
            assert!(interval[0].as_f64() <= figures["loss"].as_f64(), "{folder}: {figures}");
        }
        // `selection` is by bags of some members each
        if matches!(method, "stacking" | "weighted") {
            let best = report["members"][0]["evaluation"]["loss"].as_f64().unwrap();
            assert!(own <= best + 1e-6, "{folder}: {own}, and the best member {best}");
        }
    }
}

#[test]
fn a_table_on_the_standard_input_is_predicted_as_its_file_is() {
    if !has_runtime() {
        return;
    }
    let place = by_one_of_two("kind", ["round", "flat"]);
    let csv = "id,kind\n1,round\n2,flat\n3,round\n";
    let json = "{\"kind\": \"round\"}\n{\"kind\": \"flat\"}\n{\"kind\": \"round\"}\n";
    place.write("new.csv", csv);
    let wanted = predicted(&place, &["new.csv"]);
    for table in [csv, json] {
        near(&predicted_from_input(&place, table), &wanted);
    }
    let array = "[\n  {\"kind\": \"round\"}\n]\n";
    place.write("new.json", array);
    let wanted = ["a JSON array", "one object a line", "jq -c '.[]'"];
    run_from_input(&place, array).failed_with(&[&["-: "][..], &wanted].concat());
    place.run(&["predict", "run", "new.json"]).failed_with(&[&["new.json: "][..], &wanted].concat());
    // one row of it looks like an object
    place.run(&["import", "new.json", "-o", "imported"]).failed_with(&[&["it holds no row"][..], &wanted].concat());
    place.write("empty.csv", "");
    run_from_input(&place, "").failed_with(&["-: nothing came in", "`kind`"]);
    place.run(&["predict", "run", "empty.csv"]).failed_with(&["empty.csv: the file is empty", "`kind`"]);
}

#[test]
fn a_name_that_an_object_lacks_is_a_value_that_is_missing() {
    if !has_runtime() {
        return;
    }
    let place = by_one_of_two("kind", ["round", "flat"]);
    let of = |lines: &str| {
        place.write("gaps.jsonl", lines);
        predicted(&place, &["gaps.jsonl"])
    };
    let wanted = of("{\"kind\": null}\n{\"kind\": \"flat\"}\n{\"kind\": null, \"id\": 3}\n");
    let gaps = "{}\n{\"kind\": \"flat\"}\n{\"id\": 3}\n";
    near(&of(gaps), &wanted);
    near(&predicted_from_input(&place, gaps), &wanted);
    place.write("none.jsonl", "{\"id\": 3}\n{\"id\": 4, \"kinb\": \"flat\"}\n");
    let wanted = "none.jsonl: it has no column `kind`, it has `id`, `kinb`; did you mean `kinb`?";
    place.run(&["predict", "run", "none.jsonl"]).failed_with(&[wanted]);
}

#[test]
fn a_category_is_known_in_the_tables_that_it_is_predicted_from() {
    if !has_runtime() {
        return;
    }
    for (column, values, in_json) in [
        // which the import makes numbers of, with names
        ("category", ["a", "b"], ["\"a\"", "\"b\""]),
        ("kind", ["1.0", "2.0"], ["1.0", "2"]),
        ("kind", ["False", "True"], ["false", "true"]),
    ] {
        let place = by_one_of_two(column, values);
        let of_table = predicted(&place, &["rows.csv"]);
        let [first, second] = [of_table[0], of_table[1]];
        assert!(first < 3.5 && second > 3.5, "{column} {values:?}: {first} {second}");
        let lines: String = in_json.iter().map(|value| format!("{{\"{column}\": {value}}}\n")).collect();
        place.write("rows.jsonl", &lines);
        near(&predicted(&place, &["rows.jsonl"]), &[first, second]);
        let imported = place.run(&["evaluate", "recipe.yaml", "--json"]).json();
        assert!(imported["evaluation"]["loss"].as_f64().unwrap() < 4.0, "{imported}");
    }
}

#[test]
fn a_second_file_is_predicted_by_its_own_names_of_classes() {
    if !has_runtime() {
        return;
    }
    let place = by_one_of_two("category", ["a", "b"]);
    for (file, names) in [("one.parquet", ["a", "b"]), ("two.parquet", ["b", "a"])] {
        let features = serde_json::json!({"info": {"features": {"category": {"names": names, "_type": "ClassLabel"}}}});
        let metadata = HashMap::from([("huggingface".to_owned(), features.to_string())]);
        let schema = Schema::new_with_metadata(vec![Field::new("category", DataType::Int64, true)], metadata);
        let column: ArrayRef = Arc::new(Int64Array::from(vec![0, 1]));
        let rows = RecordBatch::try_new(Arc::new(schema), vec![column]).unwrap();
        let file = std::fs::File::create(place.path(file)).unwrap();
        let mut writer = ArrowWriter::try_new(file, rows.schema(), None).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
    }
    place.write("three.csv", "category\na\nb\n");
    let alone = predicted(&place, &["three.csv"]);
    let [a, b] = [alone[0], alone[1]];
    assert!(a < b, "{a} {b}");
    near(&predicted(&place, &["one.parquet", "two.parquet", "three.csv"]), &[a, b, b, a, a, b]);
}

#[test]
fn a_quotation_that_is_not_closed_and_a_key_written_twice_are_told_by_imports_and_predictions() {
    let place = Workplace::bare();
    let open = "kind,price\nround,1.5\n\n\"flat,1.5\nround,2.5\n";
    place.write("open.csv", &format!("{open}flat\",3.5\n\"round,1.5\n"));
    place.write("fits.csv", "kind,price\nround,1.5\n\nflat,\"1.5\nround,2.5\n");
    let twice = "{\"kind\": \"flat\"}\n{\"kind\": \"flat\", \"kind\": \"round\"}\n";
    place.write("twice.jsonl", twice);
    let told = [
        ("open.csv", "the record that begins in line 7 goes to the end of the file"),
        ("fits.csv", "the record that begins in line 4 goes to the end of the file"),
        ("twice.jsonl", "line 2 has the key `kind` more than once, and the last is taken"),
    ];
    for (at, (file, wanted)) in told.into_iter().enumerate() {
        let report = place.run(&["import", file, "-o", &format!("made-{at}"), "--json"]).json();
        assert!(report["notes"].to_string().contains(wanted), "{file}: {report}");
    }
    if !has_runtime() {
        return;
    }
    let place = by_one_of_two("kind", ["round", "flat"]);
    place.write("fits.csv", "price,kind\n1.5,round\n\n1.5,\"flat\nround,2.5\n");
    place.write("twice.jsonl", twice);
    for (file, wanted) in told[1..].iter().copied() {
        let ran = place.run(&["predict", "run", file]);
        assert!(ran.stderr.contains(wanted), "{file}: {}", ran.stderr);
        let ran = place.run(&["predict", "run", file, "--quiet"]);
        assert!(!ran.stderr.contains(wanted), "{file}: {}", ran.stderr);
    }
}

/// A workplace with `cells.csv`, 40 rows of numbers with decimal commas, which are imported and trained on.
fn trained_on_decimal_commas() -> Workplace {
    let place = Workplace::bare();
    let row = |row: usize| format!("{},{};{},5\n", row % 4, row % 10, [1, 5][row % 2]);
    let rows: String = (0..40).map(row).collect();
    place.write("cells.csv", &format!("size;price\n{rows}"));
    place.run(&["import", "cells.csv", "-o", "cells", "--decimal-comma"]).done();
    let recipe = BY_ONE_OF_TWO.replace("  evaluate: rows.csv\n", "").replace("rows.csv", "cells");
    let recipe = recipe.replace("{category: {column: COLUMN, unknown: zeros}}", "{number: {column: size}}");
    place.write("recipe.yaml", &recipe.replace("epochs: 30", "epochs: 1"));
    table_network(&place.path("network.onnx"), &[("kind", 1)], 1);
    place.run(&["train", "recipe.yaml", "--quiet"]).done();
    place
}

#[test]
fn a_table_with_decimal_commas_is_predicted_from_as_it_was_imported() {
    if !has_runtime() {
        return;
    }
    let place = trained_on_decimal_commas();
    place.write("new.csv", "size;id\n1,5;a\n2,25;b\n1.000,5;c\n");
    place.write("points.csv", "size,id\n1.5,a\n2.25,b\n1000.5,c\n");
    let of_commas = predicted(&place, &["new.csv", "--decimal-comma"]);
    near(&of_commas, &predicted(&place, &["points.csv"]));
    assert_ne!(of_commas[0].to_bits(), of_commas[1].to_bits());
    place.run(&["predict", "run", "new.csv"]).failed_with(&["none of the 3 rows could be used"]);
    let file = "cells/cells-train-00000-of-00001.parquet";
    place
        .run(&["predict", "run", file, "--decimal-comma"])
        .failed_with(&["--decimal-comma", "none of the inputs is a table"]);
}

#[test]
fn what_a_point_is_beside_decimal_commas_is_decided_by_the_column_for_predictions_as_for_imports() {
    if !has_runtime() {
        return;
    }
    let place = trained_on_decimal_commas();
    // no number has a comma, and one has no thousands: each is what it is with points, the first by its own digits could be thousands
    place.write("points.csv", "size;id\n1.234;a\n12.5;b\n3;c\n");
    near(&predicted(&place, &["points.csv", "--decimal-comma"]), &predicted(&place, &["points.csv"]));
    // the same column is one of numbers for an import, and the others are texts
    for (name, rows, is_number) in [
        ("points", "1.234;a\n12.5;b\n3;c\n", true),
        ("both", "1.234;a\n1,5;b\n3;c\n", false),
        ("decimals", "1.5;a\n1,5;b\n3;c\n", false),
        ("thousands", "1.234;a\n12.500;b\n3;c\n", false),
    ] {
        let file = format!("{name}.csv");
        place.write(&file, &format!("size;id\n{rows}"));
        let imported = place.run(&["import", &file, "-o", name, "--decimal-comma"]).done();
        assert_eq!(!imported.contains("texts"), is_number, "{name}: {imported}");
        let ran = place.run(&["predict", "run", &file, "--decimal-comma", "--json"]);
        let rows: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let used = rows.iter().map(|row| row["error"].is_null()).collect::<Vec<_>>();
        assert_eq!(used, [is_number, is_number, true], "{name}: {rows:?}");
        let wanted = "may be thousands where a comma stands in front of decimals";
        assert_eq!(rows[0].to_string().contains(wanted), name == "thousands", "{name}: {rows:?}");
    }
}

#[test]
fn a_table_with_decimal_commas_is_measured_as_it_was_imported() {
    if !has_runtime() {
        return;
    }
    let place = trained_on_decimal_commas();
    let measured = |more: &[&str]| {
        let report = place.run(&[&["evaluate", "recipe.yaml", "--json", "--data"][..], more].concat()).json();
        assert_eq!(report["evaluation"]["rows"], 40, "{more:?}: {report}");
        report["evaluation"]["loss"].as_f64().unwrap()
    };
    let (of_table, of_import) = (measured(&["cells.csv", "--decimal-comma"]), measured(&["cells"]));
    assert_eq!(of_table.to_bits(), of_import.to_bits());
    // what was imported with points is another import than that with commas
    place.run(&["evaluate", "recipe.yaml", "--data", "cells.csv"]).failed_with(&["size"]);
    let report = place.run(&["errors", "run", "--json", "--data", "cells.csv", "--decimal-comma"]).json();
    assert_eq!(report["parts"][0]["answers"], 40, "{report}");
    for command in [["evaluate", "recipe.yaml"], ["errors", "run"]] {
        let said = |more: &[&str]| place.run(&[&command[..], more].concat());
        said(&["--data", "cells", "--decimal-comma"])
            .failed_with(&["--decimal-comma", "none of the inputs is a table"]);
        said(&["--decimal-comma"]).failed_with(&["--decimal-comma", "name the table by `--data`"]);
    }
}
