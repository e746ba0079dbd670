//! On the real data sets and models, where they are.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::dataset::{self, Row};
use crate::workplace::{has_runtime, millstream, text};

/// The corpus. Says so when it is not there: the test is left out.
pub(crate) fn corpus() -> Option<PathBuf> {
    let found = std::env::var_os("MILLSTREAM_CORPUS").map(PathBuf::from).map(|path| {
        let above = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(&path);
        // A relative path is one from the root of the repository.
        if path.is_absolute() { path } else { above }
    });
    if found.is_none() {
        println!("left out: MILLSTREAM_CORPUS is not set");
    }
    found
}

/// The recipes of the examples, with the corpus put in by an absolute path.
pub(crate) fn example(name: &str) -> (PathBuf, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name);
    let corpus = corpus().expect("asked before");
    let recipe = std::fs::read_to_string(source).unwrap().replace("${MILLSTREAM_CORPUS}", text(&corpus));
    let path = folder.path().join("recipe.yaml");
    std::fs::write(&path, recipe).unwrap();
    (path, folder)
}

#[test]
fn check_says_what_the_flower_recipes_train() {
    if corpus().is_none() || !has_runtime() {
        return;
    }
    for (name, wanted) in [("head", "6,405 trained"), ("last_blocks", "conv45"), ("all", "2,213,221 trained")] {
        let (recipe, _folder) = example(&format!("flowers/{name}.yaml"));
        let said = millstream(&["check", text(&recipe)]).done();
        for part in [wanted, "280 rows in 2 files", "140 rows in 1 file", "5 classes", "tulips", "ready to train"] {
            assert!(said.contains(part), "{name}: wanted {part} in\n{said}");
        }
    }
}

#[test]
fn the_search_over_flowers_has_two_methods_with_three_rates_and_checks_each_method() {
    if corpus().is_none() || !has_runtime() {
        return;
    }
    let (recipe, _folder) = example("flowers/search.yaml");
    let said = millstream(&["check", text(&recipe)]).done();
    for part in ["2 values left open, 6 combinations", "tries 6 of them", "280 rows in 2 files", "6,405 trained"] {
        assert!(said.contains(part), "wanted {part} in\n{said}");
    }
}

/// The corpus' data sheet has 116 of 140 for logistic regression on the frozen network, with a standard error of four rows. Two draws
/// of each photograph go through the network, which is most of the time.
#[test]
fn a_new_head_for_flowers_is_as_good_as_logistic_regression_on_the_features() {
    if corpus().is_none() || !has_runtime() {
        return;
    }
    let (recipe, folder) = example("flowers/head.yaml");
    let run = folder.path().join("run");
    let kept = "training.frozen_prefix={kept: {variants: 2}}";
    millstream(&["train", text(&recipe), "--quiet", "--set", kept, "--output", text(&run)]).done();
    let output = format!("output.folder={}", text(&run));
    let report = millstream(&["evaluate", text(&recipe), "--json", "--set", &output]).json();
    let metrics = std::fs::read(run.join("metrics.json")).unwrap();
    let metrics: serde_json::Value = serde_json::from_slice(&metrics).unwrap();
    let figure = |report: &serde_json::Value, name: &str| report["evaluation"][name].as_f64().unwrap();
    assert!(figure(&report, "accuracy") >= 112.0 / 140.0, "{report}");
    assert_eq!(report["evaluation"]["confusion_matrix"], metrics["evaluation"]["confusion_matrix"]);
    assert!((figure(&report, "loss") - figure(&metrics, "loss")).abs() < 1e-4, "{report} {metrics}");
}

#[test]
fn datasets_are_inspected() {
    let Some(corpus) = corpus() else { return };
    let inspect = |path: &str| millstream(&["inspect", "--json", text(&corpus.join(path))]).json();
    let flowers = inspect("data/flowers-mini");
    assert_eq!((&flowers["rows"], &flowers["row_groups"]), (&420.into(), &6.into()));
    assert_eq!((&flowers["input"], &flowers["label"]), (&"image".into(), &"label".into()));
    assert_eq!(flowers["classes"][0], serde_json::json!({"name": "daisy", "rows": 84}));
    let reviews = inspect("data/sst2/sst2-train-*.parquet");
    assert_eq!((&reviews["rows"], &reviews["input"]), (&6920.into(), &"text".into()));
    let penguins = inspect("data/penguins/penguins-train-00000-of-00001.parquet");
    assert_eq!(penguins["classes"].as_array().unwrap().len(), 3);
}

#[test]
fn models_are_inspected() {
    let Some(corpus) = corpus() else { return };
    let model = corpus.join("models/mobilenet_v2_1.0_224/model.onnx");
    let report = millstream(&["inspect", "--json", text(&model), "-p", "conv5*", "-p", "classifier"]).json();
    assert_eq!(report["layers"].as_array().unwrap().len(), 53);
    assert_eq!(report["patterns"][0]["layers"], serde_json::json!(["conv5", "conv50", "conv51"]));
    assert_eq!(report["patterns"][1]["parameters"], 1280 * 1001 + 1001);
    let map = &report["box_maps"][0]["maps"][0];
    assert_eq!((&map["places"], &map["pixels"]), (&serde_json::json!([7, 7]), &serde_json::json!([32, 32])), "{map}");
    let said = millstream(&["inspect", text(&model)]).done();
    assert!(said.contains("maps that a detector can stand on") && said.contains("pixels a place"), "{said}");
    let of_texts = corpus.join("models/minilm-l6-h384-v12k/model.onnx");
    assert!(!millstream(&["inspect", text(&of_texts)]).done().contains("a detector can stand on"));
    for name in ["mobilenet_v1_0.25_128", "resnet20_cifar10", "resnet20_cifar10_opset20", "minilm-l6-h384-v12k"] {
        let said = millstream(&["inspect", text(&corpus.join("models").join(name).join("model.onnx"))]).done();
        assert!(said.contains("layers") && said.contains("operators"), "{name}: {said}");
    }
}

#[test]
fn a_model_of_text_is_refused_with_the_reason() {
    let Some(corpus) = corpus() else { return };
    let (recipe, _folder) = example("flowers/head.yaml");
    let path = format!("model.path={}", text(&corpus.join("models/minilm-l6-h384-v12k/model.onnx")));
    millstream(&["check", text(&recipe), "--set", &path]).failed_with(&[
        "data.inputs",
        "3 inputs",
        "`input_ids`",
        "token_ids",
    ]);
}

#[test]
fn awkward_parquet_gives_a_report_or_a_clear_error() {
    let Some(corpus) = corpus() else { return };
    for entry in std::fs::read_dir(corpus.join("awkward/parquet")).unwrap() {
        let path = entry.unwrap().path();
        let ran = millstream(&["inspect", text(&path)]);
        assert!(matches!(ran.code, Some(0 | 1)), "{}: {:?} {}", path.display(), ran.code, ran.stderr);
        assert!(!ran.stderr.contains("panicked"), "{}: {}", path.display(), ran.stderr);
    }
}

#[test]
fn reviews_are_previewed_as_text() {
    if corpus().is_none() {
        return;
    }
    let (recipe, _folder) = example("preview-text.yaml");
    let said = millstream(&["preview", text(&recipe), "-n", "2", "-k", "3"]).done();
    for part in ["original", "epoch 3", "swap_words: ", "keyboard_typos: "] {
        assert!(said.contains(part), "wanted {part} in\n{said}");
    }
}

/// On request: it writes a gigabyte. Prints the peak memory of each process.
#[test]
#[ignore = "takes minutes and a gigabyte of disk; docs/performance.md has the command"]
#[cfg(target_os = "linux")]
fn a_gigabyte_of_photographs_in_one_row_group_is_trained_on_within_the_ceiling() {
    let Some(corpus) = corpus().filter(|_| has_runtime()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let flowers = corpus.join("data/flowers-mini");
    let files = std::fs::read_dir(&flowers).unwrap().map(|entry| entry.unwrap().path());
    let photographs: Vec<Row> =
        files.filter(|path| text(path).contains("-train-")).flat_map(|path| rows(&path)).collect();
    let many: Vec<Row> = (0..40_000_u32)
        .map(|number| {
            let mut row = photographs[number as usize * 7 % photographs.len()].clone();
            row.image.as_mut().unwrap().extend(number.to_le_bytes());
            row
        })
        .collect();
    dataset::write_one_group(&folder.path().join("train.parquet"), &many);
    dataset::write_one_group(&folder.path().join("test.parquet"), &many[..2000]);
    let recipe = format!(
        "version: 1\n\
         model: {{path: {}, head: new, train: head}}\n\
         data: {{train: train.parquet, evaluate: test.parquet, batch: 64, memory: 256 MiB, allow_overlap: true}}\n\
         transforms: {{train: [{{resize: {{size: 32}}}}], evaluate: [{{resize: {{size: 32}}}}]}}\n\
         training: {{epochs: 1, optimizer: adamw}}\n\
         output: {{folder: run}}\n",
        text(&corpus.join("models/resnet20_cifar10/model.onnx")),
    );
    std::fs::write(folder.path().join("recipe.yaml"), recipe).unwrap();
    let path = folder.path().join("recipe.yaml");
    for order in ["sequential", "windowed", "global"] {
        let order = format!("data.order={order}");
        let said = millstream(&["train", text(&path), "--overwrite", "--set", &order]).done();
        let figure = said.split_once("at most ").and_then(|(_, rest)| rest.split_once(" MB of memory")).unwrap().0;
        println!("{order}: at most {figure} MB");
        assert!(figure.replace(',', "").parse::<u64>().unwrap() < 420, "{said}");
    }
}

/// The photographs of a file, in three classes.
#[cfg(target_os = "linux")]
fn rows(path: &Path) -> Vec<Row> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    let batches = reader.map(Result::unwrap).flat_map(|batch| {
        let images = batch.column_by_name("image").unwrap().as_struct().column_by_name("bytes").unwrap().clone();
        let labels = batch.column_by_name("label").unwrap().as_primitive::<Int64Type>().clone();
        (0..batch.num_rows())
            .map(|row| Row { image: Some(images.as_binary::<i32>().value(row).to_vec()), label: labels.value(row) % 3 })
            .collect::<Vec<_>>()
    });
    batches.collect()
}
