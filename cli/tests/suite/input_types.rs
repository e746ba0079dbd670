//! Models whose inputs are of other types than batches hold: checked, trained, resumed, measured, exported and asked, each beside a twin
//! that takes what batches hold.

use std::fs;

use arrow_array::ArrayRef;
use millstream::OperatorCatalog;
use millstream::compiler::Model;
use millstream::compiler::graph::{Constant, ElementType, Graph, Length, TensorType, ValueId};
use serde_json::{Value, json};

use crate::columns::{numbers, texts, whole};
use crate::dataset;
use crate::learning::{noise, place, recipe};
use crate::losses_of_places::{sentence, tokenizer};
use crate::public_validators::{STATED, assert_taken};
use crate::workplace::{Workplace, has_runtime};

const WORDS: [&str; 8] = ["ada", "alan", "london", "paris", "is", "in", "and", "was"];

fn lines(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// What is on one line, however wide the screen is.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Numbers of this type, the same for the same name.
fn weight(graph: &mut Graph, name: &str, dtype: ElementType, shape: &[usize]) -> ValueId {
    let (seed, count): (usize, usize) = (name.bytes().map(usize::from).sum(), shape.iter().product());
    let values = (0..count).map(|at| noise(1000 * seed + at) * 0.5);
    let constant = match dtype {
        ElementType::F64 => {
            let bytes: Vec<u8> = values.flat_map(|value| f64::from(value).to_le_bytes()).collect();
            Constant { dtype, shape: shape.to_vec(), bytes: bytes.into() }
        }
        _ => Constant::f32(shape, &values.collect::<Vec<f32>>()),
    };
    graph.constant(name, constant)
}

fn dense(graph: &mut Graph, x: ValueId, name: &str, [from, to]: [usize; 2]) -> ValueId {
    let dtype = graph.tensor_type(x).unwrap().dtype;
    let matrix = weight(graph, &format!("{name}.weight"), dtype, &[to, from]);
    let bias = weight(graph, &format!("{name}.bias"), dtype, &[to]);
    graph.add("Gemm", &[x, matrix, bias], &[("transB", 1.into())]).unwrap()
}

/// Two layers and scores of two classes.
fn scored(mut graph: Graph, x: ValueId, width: usize) -> Vec<u8> {
    let hidden = dense(&mut graph, x, "hidden", [width, 16]);
    let hidden = graph.add("Relu", &[hidden], &[]).unwrap();
    let scores = dense(&mut graph, hidden, "classifier", [16, 2]);
    graph.rename(scores, "scores").unwrap();
    graph.set_outputs(&[scores]);
    graph.to_onnx("network")
}

/// Scores of the sum of a text's vectors, from tokens and their mask of these types: the mask comes first, as TensorFlow sorts inputs.
fn reader(ids: ElementType, mask: ElementType, length: Length) -> Vec<u8> {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let rows = |dtype| TensorType::new(dtype, [Length::named("batch"), length.clone()]);
    let mask = graph.input("attention_mask", rows(mask));
    let ids = graph.input("input_ids", rows(ids));
    let table = weight(&mut graph, "embedding.weight", ElementType::F32, &[12, 8]);
    let words = graph.add("Gather", &[table, ids], &[]).unwrap();
    let counted = graph.cast(mask, ElementType::F32).unwrap();
    let last = graph.integers(&[2]);
    let by_feature = graph.add("Unsqueeze", &[counted, last], &[]).unwrap();
    let seen = graph.times(words, by_feature).unwrap();
    let sum = graph.reduce_sum(seen, &[1], false).unwrap();
    scored(graph, sum, 8)
}

fn of_texts(first: usize, count: usize) -> Vec<(&'static str, ArrayRef)> {
    let rows = || first..first + count;
    let is_name = |row: usize| WORDS[..4].contains(&sentence(row, &WORDS)[0]);
    let labels = rows().map(|row| if is_name(row) { "name" } else { "word" });
    vec![("text", texts(rows().map(|row| sentence(row, &WORDS).join(" ")))), ("label", texts(labels))]
}

/// A folder with texts, a tokenizer, a model and a recipe: rows are as long as they are, or have a length that the model states.
fn of_tokens(ids: ElementType, mask: ElementType, length: Option<usize>) -> Workplace {
    let place = place(of_texts, reader(ids, mask, length.map_or_else(|| Length::named("sequence"), Length::from)));
    tokenizer(&place.path("tokenizer.json"), &WORDS);
    let (longest, multiple) = (length.unwrap_or(16), length.unwrap_or(1));
    let tokens = json!({
        "column": "text", "tokenizer": "tokenizer.json", "max_length": longest, "pad_to_multiple_of": multiple,
    });
    let data = json!({"inputs": {"input_ids": {"token_ids": tokens}}, "label": "label"});
    place.write("recipe.yaml", &recipe(data, json!({"epochs": 2})).to_string());
    place
}

/// What a run says: losses of its steps, the loss that is measured with the exported model, and answers to the rows of a file.
#[track_caller]
fn told(place: &Workplace, changes: &[&str]) -> [Vec<Value>; 3] {
    let run = |command: &str, more: &[&str]| {
        let mut arguments = vec![command, "recipe.yaml", "--json"];
        arguments.extend_from_slice(more);
        arguments.extend(changes.iter().flat_map(|change| ["--set", *change]));
        place.run(&arguments).done()
    };
    let steps = lines(&run("train", &["--overwrite"]));
    let losses: Vec<Value> =
        steps.iter().filter(|event| event["event"] == "step").map(|step| step["loss"].clone()).collect();
    let measured: Value = serde_json::from_str(&run("evaluate", &[])).unwrap();
    let measured = measured["evaluation"]["loss"].clone();
    let answers = lines(&place.run(&["predict", "run", "test.parquet", "--json"]).done());
    assert!(losses.len() > 4 && measured.is_number() && answers.len() > 10, "{losses:?} {measured} {answers:?}");
    assert!(answers.iter().all(|answer| answer["class"].is_string()), "{answers:?}");
    [losses, vec![measured], answers]
}

/// What the exported model's inputs and outputs are.
fn exported(place: &Workplace, names: &[&str]) -> Vec<&'static str> {
    let types = Model::read(&place.path("run/model.onnx")).unwrap().element_types();
    names.iter().map(|name| types[*name]).collect()
}

#[test]
fn tokens_of_int32_and_masks_of_truth_values_train_as_int64_does_to_the_bit() {
    use ElementType::{Bool, I8, I32, I64, U8};
    if !has_runtime() {
        return;
    }
    let twin = of_tokens(I64, I64, None);
    let selections: [&[&str]; 4] = [
        &[],
        &["model.train=head"],
        &["model.train=head", "model.methods=[{lora: {rank: 2}}]"],
        &["model.train=head", "model.methods=[{prompt_tuning: {length: 3}}]"],
    ];
    for (at, changes) in selections.into_iter().enumerate() {
        let wanted = told(&twin, changes);
        // of all types with the first selection
        let others = [(I32, I32), (I32, Bool), (I64, U8), (I32, I8)];
        for (ids, mask) in others.into_iter().take(if at == 0 { 4 } else { 2 }) {
            let place = of_tokens(ids, mask, None);
            assert_eq!(told(&place, changes), wanted, "{ids:?} {mask:?} {changes:?}");
            assert_eq!(exported(&place, &["input_ids", "attention_mask"]), [ids.name(), mask.name()], "{changes:?}");
        }
    }
}

#[test]
fn a_model_of_int32_is_described_with_its_own_type_and_what_batches_hold() {
    if !has_runtime() {
        return;
    }
    let place = of_tokens(ElementType::I32, ElementType::Bool, None);
    let checked = flat(&place.run_with("check", &[]).done());
    for part in [
        "input `input_ids` takes int32 [batch, ?]",
        "input `attention_mask` takes bool [batch, ?]",
        "input `input_ids` is of int32: batches hold int64, of which training and evaluation make int32; the exported model takes int32",
    ] {
        assert!(checked.contains(part), "wanted {part} in {checked}");
    }
    let inspected = place.run(&["inspect", "model.onnx"]).done();
    for part in
        ["input input_ids [?, ?] int32\n", "input attention_mask [?, ?] bool\n", "output scores [?, 2] float32\n"]
    {
        assert!(inspected.contains(part), "wanted {part} in {inspected}");
    }
    let types = place.run(&["inspect", "model.onnx", "--json"]).json()["element_types"].take();
    assert_eq!(types, json!({"attention_mask": "bool", "input_ids": "int32", "scores": "float32"}));
}

#[test]
fn a_recipe_is_made_for_tokens_of_int32_and_a_run_of_it_goes_on_as_if_it_had_not_ended() {
    if !has_runtime() {
        return;
    }
    let place = of_tokens(ElementType::I32, ElementType::I32, None);
    place.run(&["init", "train.parquet", "model.onnx", "--evaluate", "test.parquet", "-o", "made.yaml"]).done();
    let made = String::from_utf8(place.read("made.yaml")).unwrap();
    assert!(made.contains("input_ids:\n      token_ids: {column: text"), "{made}");
    assert!(place.run(&["check", "made.yaml"]).done().contains("ready to train"));
    place.run_with("train", &["training.epochs=3", "output.folder=whole"]).done();
    place.run_with("train", &["training.epochs=1"]).done();
    place.run(&["train", "recipe.yaml", "--resume", "--set", "training.epochs=3"]).done();
    assert!(place.read("run/model.onnx") == place.read("whole/model.onnx"), "the models differ");
    // what is written about the run says the type
    place.run(&["document", "run"]).done();
    let card = String::from_utf8(place.read("run/documents/README.md")).unwrap();
    assert!(card.contains("| input | `input_ids` | int32 | `[?, ?]` |"), "{card}");
    let bill = String::from_utf8(place.read("run/documents/model.cdx.json")).unwrap();
    assert!(bill.contains("tensor input_ids int32 [?, ?]"), "{bill}");
    place.write("run/statements.yaml", STATED);
    place.run(&["document", "run"]).done();
    assert_taken(&[place.path("run")], |read| {
        assert!(read[0]["data"]["fields"].to_string().contains("train/text"), "{read:?}");
    });
}

#[test]
fn the_frozen_part_of_a_model_of_int32_is_kept_as_that_of_int64_is() {
    if !has_runtime() {
        return;
    }
    let changes = ["model.train=head", "training.frozen_prefix=kept"];
    let number = || json!({"column": ["a", "b", "c"]});
    let [place, twin] =
        [ElementType::I32, ElementType::I64].map(|ends| of_table(of_numbers(ends, ElementType::F32), number()));
    assert_eq!(told(&place, &changes), told(&twin, &changes));
}

#[test]
fn members_of_int32_become_one_model_of_int32() {
    if !has_runtime() {
        return;
    }
    let place = of_tokens(ElementType::I32, ElementType::Bool, None);
    for (folder, seed) in [("a", "1"), ("b", "2")] {
        let (output, seed) = (format!("output.folder={folder}"), format!("seed={seed}"));
        place.run_with("train", &[&output, &seed]).done();
        let (recipe, file) = (format!("{folder}/recipe.yaml"), format!("{folder}/predictions.parquet"));
        place.run(&["evaluate", &recipe, "--predictions", &file]).done();
    }
    place.run(&["ensemble", "fit", "a", "b", "--method", "soft_vote", "-o", "both"]).done();
    let types = Model::read(&place.path("both/ensemble.onnx")).unwrap().element_types();
    assert_eq!((types["input_ids"], types["attention_mask"], types.len()), ("int32", "bool", 3), "{types:?}");
    let answers = lines(&place.run(&["predict", "both", "test.parquet", "--json"]).done());
    assert!(answers.len() > 10 && answers.iter().all(|answer| answer["class"].is_string()), "{answers:?}");
}

/// Scores of three numbers of this type, which are made floats of `within` before the first layer.
fn of_numbers(ends: ElementType, within: ElementType) -> Vec<u8> {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::new(ends, [Length::named("batch"), 3.into()]));
    let floats = if ends == within { x } else { graph.cast(x, within).unwrap() };
    scored(graph, floats, 3)
}

/// Three columns of whole numbers, one of which decides the class.
fn of_columns(first: usize, count: usize) -> Vec<(&'static str, ArrayRef)> {
    let rows = || first..first + count;
    // without a sign of zero, which integers have not
    let number = |row: usize, column: usize| (noise(10 * row + column) * 4.0).round() + 0.0;
    let column = |of: usize| numbers(rows().map(|row| Some(f64::from(number(row, of)))));
    let labels = rows().map(|row| if number(row, 1) > 0.0 { "high" } else { "low" });
    vec![("a", column(0)), ("b", column(1)), ("c", column(2)), ("label", texts(labels))]
}

/// A folder with such columns, this model and a recipe.
fn of_table(model: Vec<u8>, number: Value) -> Workplace {
    let place = place(of_columns, model);
    let data = json!({"inputs": {"x": {"number": number}}, "label": "label"});
    place.write("recipe.yaml", &recipe(data, json!({"epochs": 2})).to_string());
    place
}

#[test]
fn floats_of_other_widths_train_as_those_of_32_bits_and_are_exported_as_they_came() {
    use ElementType::{F16, F32, F64};
    if !has_runtime() {
        return;
    }
    let number = || json!({"column": ["a", "b", "c"]});
    let wanted = told(&of_table(of_numbers(F32, F32), number()), &[]);
    for (ends, within) in [(F16, F32), (F64, F32), (F64, F64)] {
        let place = of_table(of_numbers(ends, within), number());
        assert_eq!(told(&place, &[]), wanted, "{ends:?} {within:?}");
        assert_eq!(exported(&place, &["x", "scores"]), [ends.name(), within.name()]);
        let checked = flat(&place.run_with("check", &["output.folder=other"]).done());
        let own = ends.name();
        let note = format!(
            "what the file has in {own} is trained and evaluated in float32; the exported model has it in {own} again"
        );
        assert!(checked.contains(&note) && checked.contains(&format!("input `x` takes {own} [batch, 3]")), "{checked}");
    }
    // what the model does to raw numbers is of doubles too
    let standardized = ["data.inputs.x.number.standardize=true", "data.inputs.x.number.missing=mean"];
    let [twin, place] = [F32, F64].map(|kind| of_table(of_numbers(kind, kind), number()));
    assert_eq!(told(&place, &standardized), told(&twin, &standardized));
    assert_eq!(exported(&place, &["x", "scores"]), ["float64"; 2]);
}

#[test]
fn columns_of_whole_numbers_are_taken_by_models_of_integers() {
    use ElementType::{F32, I32, I64};
    if !has_runtime() {
        return;
    }
    let number = || json!({"column": ["a", "b", "c"]});
    let wanted = told(&of_table(of_numbers(F32, F32), number()), &[]);
    for ends in [I64, I32] {
        let place = of_table(of_numbers(ends, F32), number());
        assert_eq!(told(&place, &[]), wanted, "{ends:?}");
        assert_eq!(exported(&place, &["x"]), [ends.name()]);
        place.run(&["init", "train.parquet", "model.onnx", "-o", "made.yaml"]).done();
        let made = String::from_utf8(place.read("made.yaml")).unwrap();
        assert!(made.contains("number: {column: [a, b, c]}"), "{made}");
        place
            .run_with("check", &["data.inputs.x.number.standardize=true"])
            .failed_with(&["`values: int64`", "leave them out"]);
        place.run_with("check", &["data.inputs.x.number.values=float32"]).failed_with(&[
            &format!("the model's input `x` takes {}, and the data make float32", ends.name()),
            "`values: int64`",
        ]);
    }
}

#[test]
fn a_value_that_does_not_fit_int32_is_told_with_its_column_and_row() {
    if !has_runtime() {
        return;
    }
    let number = json!({"column": ["a", "b", "c"]});
    let place = of_table(of_numbers(ElementType::I32, ElementType::F32), number);
    let mut columns = of_columns(0, 60);
    columns[1].1 = whole((0..60).map(|row| if row == 13 { 3_000_000_000 } else { row % 5 }));
    dataset::write_columns(&place.path("train.parquet"), &columns, false);
    let wanted = [
        "train.parquet, row group 1, row 5",
        "column `b` becomes 3000000000, and the model's input `x` is int32, which holds -2147483648 to 2147483647",
    ];
    let said = place.run_with("train", &["training.epochs=1"]);
    let said = flat(&said.failed_with(&["error: "]));
    assert!(wanted.iter().all(|part| said.contains(part)), "{said}");
    let ran =
        place.run(&["train", "recipe.yaml", "--overwrite", "--set", "training.epochs=1", "--set", "data.damaged=skip"]);
    assert!(ran.stderr.contains("1 damaged row was left out of training"), "{}", ran.stderr);
    ran.done();
    fs::write(place.path("new.csv"), "a,b,c\n1,2,3\n1,-3000000000,3\n1,0.5,3\n").unwrap();
    let answers = lines(&place.run(&["predict", "run", "new.csv", "--json"]).done());
    assert!(answers[0]["class"].is_string(), "{answers:?}");
    for (answer, part) in answers[1..].iter().zip(["column `b` becomes -3000000000", "column `b` is 0.5"]) {
        assert!(answer["error"].as_str().is_some_and(|error| error.contains(part)), "{answers:?}");
    }
}

/// Pixels of this type, brought to 0 to 1, → convolution → mean → scores.
fn of_pixels(pixels: ElementType) -> Vec<u8> {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let axes = [Length::named("batch"), 3.into(), 16.into(), 16.into()];
    let image = graph.input("image", TensorType::new(pixels, axes));
    let floats = graph.cast(image, ElementType::F32).unwrap();
    let white = graph.constant("white", Constant::f32([], &[255.0]));
    let scaled = graph.divided_by(floats, white).unwrap();
    let kernel = weight(&mut graph, "conv.weight", ElementType::F32, &[8, 3, 3, 3]);
    let mixed = graph.add("Conv", &[scaled, kernel], &[("strides", vec![2, 2].into())]).unwrap();
    let bent = graph.add("Relu", &[mixed], &[]).unwrap();
    let mean = graph.add("GlobalAveragePool", &[bent], &[]).unwrap();
    let features = graph.add("Flatten", &[mean], &[]).unwrap();
    scored(graph, features, 8)
}

#[test]
fn images_of_int32_are_given_as_bytes() {
    if !has_runtime() {
        return;
    }
    let transforms = "transforms={train: [{center_crop: {size: 16}}], evaluate: [{center_crop: {size: 16}}]}";
    let run = |pixels: ElementType| {
        let place = Workplace::new();
        fs::write(place.path("model.onnx"), of_pixels(pixels)).unwrap();
        let told = told(&place, &[transforms, "training.epochs=2"]);
        (told, exported(&place, &["image"]))
    };
    let (wanted, own) = run(ElementType::U8);
    assert_eq!(own, ["uint8"]);
    assert_eq!(run(ElementType::I32), (wanted, vec!["int32"]));
}
