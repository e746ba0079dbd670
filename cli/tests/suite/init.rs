//! A recipe that is made of data and a model, and the folder of a run in place of a recipe.

use std::fs;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, BinaryArray, Int64Array};

use crate::corpus::corpus;
use crate::dataset;
use crate::import::{batches, class_folders};
use crate::onnx::{model, node, tensor, weight};
use crate::tables::table_network;
use crate::workplace::{Workplace, has_runtime, text};

/// Rows of two splits in one folder beside the small network.
fn place() -> Workplace {
    let place = Workplace::new();
    fs::create_dir(place.path("colours")).unwrap();
    dataset::write(&place.path("colours/x-train-00000-of-00001.parquet"), &dataset::rows(0, 40));
    dataset::write(&place.path("colours/x-test-00000-of-00001.parquet"), &dataset::rows(100, 12));
    place
}

#[test]
fn numbers_with_decimal_commas_are_told_as_the_cause_and_read_where_that_is_asked_for() {
    let place = Workplace::bare();
    let row = |row: usize| {
        let class = ["rund", "flach"][row % 2];
        format!("{},{};{};{class}\n", row % 7, 100 + row, ["2", "1.000,25"][row % 2])
    };
    let rows: String = (0..40).map(row).collect();
    place.write("cells.csv", &format!("Laenge;Breite;Klasse\n{rows}"));
    table_network(&place.path("model.onnx"), &[("input", 2)], 2);
    let wanted = [
        "the model takes 2 numbers a row, and the data have no column of numbers; the values of `Laenge`, `Breite` look like numbers \
         written for people (`0,100`)",
        "`millstream import TABLE --decimal-comma -o FOLDER`",
    ];
    place.run(&["init", "cells.csv", "model.onnx", "--label", "Klasse", "-o", "-"]).failed_with(&wanted);
    if has_runtime() {
        place.run(&["train", "cells.csv", "model.onnx", "--label", "Klasse"]).failed_with(&wanted);
    }
    place.run(&["import", "cells.csv", "-o", "cells", "--label", "Klasse", "--decimal-comma"]).done();
    let batch = batches(&place.path("cells/cells-train-00000-of-00001.parquet")).remove(0);
    for (column, wanted) in [("Laenge", [0.1, 1.101]), ("Breite", [2.0, 1000.25])] {
        let values = batch[column].as_primitive::<Float64Type>();
        assert_eq!([values.value(0), values.value(1)], wanted, "{column}");
    }
    let said = place.run(&["init", "cells", "model.onnx", "--label", "Klasse", "-o", "made.yaml"]).done();
    assert!(said.contains("2 columns (`Laenge`, `Breite`)"), "{said}");
    fs::create_dir_all(place.path("photos")).unwrap();
    class_folders(&place, "photos", 0, 6);
    place
        .run(&["import", "photos", "-o", "pictures", "--decimal-comma"])
        .failed_with(&["--decimal-comma", "no table that is read"]);
}

#[test]
fn numbers_written_for_people_are_the_cause_only_where_they_are_missing_and_are_told_where_they_are_classes() {
    let place = Workplace::bare();
    let row = |row: usize| {
        let [a, b, c, d] = [2, 3, 5, 7].map(|by| format!("{}.5", row % by));
        format!("{a};{b};{c};{d};{} %;{row},25;{}\n", row % 9, ["rund", "flach"][row % 2])
    };
    let rows: String = (0..40).map(row).collect();
    place.write("rows.csv", &format!("a;b;c;d;discount;price;kind\n{rows}"));
    table_network(&place.path("two.onnx"), &[("input", 2)], 2);
    place.run(&["init", "rows.csv", "two.onnx", "--label", "kind", "-o", "-"]).failed_with(&[
        "the model takes 2 numbers a row, and the data have 4 columns of numbers (`a`, `b`, `c`, `d`); of texts are `discount`, `price`; \
         write a recipe that says what its input is made of (`data.inputs`)",
    ]);
    table_network(&place.path("five.onnx"), &[("input", 5)], 2);
    place.run(&["init", "rows.csv", "five.onnx", "--label", "kind", "-o", "-"]).failed_with(&[
        "the model takes 5 numbers a row, and the data have 4 columns of numbers (`a`, `b`, `c`, `d`); the values of `discount`, `price` \
         look like numbers written for people",
    ]);
    let said = place.run(&["init", "rows.csv", "--label", "price", "-o", "made.yaml"]).done();
    assert!(
        said.contains("`price` is told as classes: the values of `price` look like numbers written for people"),
        "{said}"
    );
    assert!(
        said.contains("`millstream import TABLE --decimal-comma -o FOLDER` reads a comma as the decimal point"),
        "{said}"
    );
    let said = place.run(&["init", "rows.csv", "--label", "kind", "-o", "other.yaml"]).done();
    assert!(!said.contains("is told as classes"), "{said}");
}

#[test]
fn a_label_of_numbers_with_decimal_commas_is_told_where_it_becomes_classes() {
    let place = Workplace::bare();
    let rows: String = (0..40).map(|row| format!("{row}.5;{},5\n", row % 4)).collect();
    place.write("rows.csv", &format!("size;label\n{rows}"));
    let said = place.run(&["init", "rows.csv", "-o", "made.yaml"]).done();
    for part in
        ["`label` is a label by its name and told as classes", "(`0,5`)", "`millstream import TABLE --decimal-comma"]
    {
        assert!(said.contains(part), "wanted {part} in {said}");
    }
    place.run(&["import", "rows.csv", "-o", "numbers", "--decimal-comma"]).done();
    let said = place.run(&["init", "numbers", "-o", "other.yaml"]).done();
    assert!(!said.contains("told as classes"), "{said}");
}

#[test]
fn a_table_is_inspected_with_the_one_question_that_init_asks_of_it() {
    let place = Workplace::bare();
    let row = |row: usize| format!("{row}.5,{}.25,{},{}\n", row % 7, ["a", "b"][row % 2], ["x", "y", "z"][row % 3]);
    let rows: String = (0..60).map(row).collect();
    place.write("rows.csv", &format!("length,width,kind,place\n{rows}"));
    place.run(&["import", "rows.csv", "-o", "open"]).done();
    let notes = place.run(&["inspect", "open", "--json"]).json()["notes"].take();
    let notes = notes.as_array().unwrap();
    assert_eq!(notes.len(), 1, "{notes:?}");
    let question = notes[0].as_str().unwrap();
    assert!(question.contains("`kind`, `place`") && question.contains("--label"), "{question}");
    place.run(&["init", "open", "-o", "-"]).failed_with(&[question]);
    place.run(&["import", "rows.csv", "-o", "named", "--label", "kind"]).done();
    let report = place.run(&["inspect", "named", "--json"]).json();
    assert_eq!((&report["notes"], &report["label"]), (&serde_json::json!([]), &"kind".into()));
    // the model takes `length` and `width`, and not the only texts
    assert_eq!(report["input"], serde_json::Value::Null);
    let ran = place.run(&["inspect", "named", "--label", "knid"]);
    assert!(ran.code == Some(1) && ran.stdout.matches("note:").count() == 1, "{}", ran.stdout);
    // one that is asked for is missed, be it called as the usual one
    let ran = place.run(&["inspect", "named", "--label", "label"]);
    assert!(ran.code == Some(1) && ran.stdout.contains("there is no column `label`"), "{}", ran.stdout);
}

#[test]
fn a_recipe_is_made_of_data_and_a_model_and_trains() {
    if !has_runtime() {
        return;
    }
    let place = place();
    let said = place.run(&["init", "colours", "model.onnx", "-o", "made.yaml"]).done();
    for part in [
        "the images of `image` at 16×16 pixels",
        "the class in `label`, one of 3",
        "40 rows are trained on",
        "next: millstream train made.yaml",
    ] {
        assert!(said.contains(part), "wanted {part} in {said}");
    }
    let recipe = String::from_utf8(place.read("made.yaml")).unwrap();
    for part in ["path: model.onnx", "train: colours", "evaluate: colours", "folder: runs/made", "- horizontal_flip"] {
        assert!(recipe.contains(part), "wanted {part} in {recipe}");
    }
    assert!(place.run(&["check", "made.yaml"]).done().contains("ready to train"));
    place
        .run(&["init", "colours", "model.onnx", "-o", "made.yaml"])
        .failed_with(&["made.yaml is there already", "--overwrite"]);
    let printed = place.run(&["init", "colours", "model.onnx", "-o", "-", "--run", "runs/made"]).done();
    assert_eq!(printed.trim(), recipe.trim());
}

#[test]
fn data_and_a_model_are_trained_without_a_recipe_and_the_run_can_be_moved() {
    if !has_runtime() {
        return;
    }
    let place = place();
    place.run(&["train", "colours", "model.onnx", "--set", "training.epochs=2", "--set", "training.threads=1"]).done();
    let evaluated = place.run(&["evaluate", "runs/colours", "--json"]).json();
    fs::rename(place.path("runs/colours"), place.path("moved")).unwrap();
    let again = place.run(&["evaluate", "moved", "--json"]).json();
    assert_eq!(again["evaluation"]["loss"], evaluated["evaluation"]["loss"]);
    assert_eq!(again["model"].as_str().unwrap(), text(&place.path("moved/model.onnx")));
    // a run that is at its end is there to be gone on with as any other
    place.run(&["train", "moved", "--resume"]).done();
    assert!(!place.path("runs/colours").exists());

    place.run(&["evaluate", "colours"]).failed_with(&["colours is a folder", "`millstream init` makes a recipe"]);
    place.run(&["train", "recipe.yaml", "model.onnx"]).failed_with(&["recipe.yaml is a recipe", "`model.path`"]);
}

#[test]
fn without_a_model_there_is_a_recipe_of_the_data_that_previews_and_takes_one() {
    let place = place();
    let said = place.run(&["init", "colours", "-o", "made.yaml"]).done();
    for part in [
        "the images of `image` at 224×224",
        "the class in `label`, one of 3",
        "the model is missing",
        "next: millstream preview made.yaml",
    ] {
        assert!(said.contains(part), "wanted {part} in {said}");
    }
    let recipe = String::from_utf8(place.read("made.yaml")).unwrap();
    for part in
        ["\n# model:\n#   path: model.onnx", "docs/getting-a-model.md", "evaluate: colours", "- horizontal_flip"]
    {
        assert!(recipe.contains(part), "wanted {part} in {recipe}");
    }
    place.run(&["preview", "made.yaml", "-o", "sheet.png"]).done();
    assert!(place.path("sheet.png").exists());
    place.run(&["train", "made.yaml"]).failed_with(&["model", "missing; `training` needs a model"]);
    let filled: String = recipe
        .replace("# model:\n#   path", "model:\n  path")
        .replace("#   head:", "  head:")
        .replace("#   train:", "  train:")
        .replace("224", "16")
        .replace("256", "18");
    place.write("filled.yaml", &filled);
    if has_runtime() {
        assert!(place.run(&["check", "filled.yaml"]).done().contains("ready to train"));
    }

    // texts and numbers
    let rows = |row: usize| format!("{{\"text\": \"seen as number {row}\", \"label\": \"c{}\"}}\n", row % 2);
    place.write("texts.jsonl", &(0..20).map(rows).collect::<String>());
    place.run(&["init", "texts.jsonl", "-o", "texts.yaml"]).done();
    let texts = String::from_utf8(place.read("texts.yaml")).unwrap();
    for part in ["  input: text\n", "  # inputs:\n  #   input_ids:\n  #     token_ids: {column: text"] {
        assert!(texts.contains(part), "wanted {part} in {texts}");
    }
    assert!(place.run(&["preview", "texts.yaml"]).done().contains("seen as number"));
    let rows: String = (0..20).map(|row| format!("{row}.5,{},of {row},{}\n", row % 5, ["x", "y"][row % 2])).collect();
    place.write("numbers.csv", &format!("a,b,kind,label\n{rows}"));
    let said = place.run(&["init", "numbers.csv", "-o", "numbers.yaml"]).done();
    assert!(
        said.contains("the numbers of 2 columns (`a`, `b`)") && said.contains("texts of `kind` are left out"),
        "{said}"
    );
    // there is nothing to be shown of them
    assert!(said.contains("next: millstream init numbers.csv MODEL.onnx -o numbers.yaml --overwrite"), "{said}");
    let numbers = String::from_utf8(place.read("numbers.yaml")).unwrap();
    assert!(numbers.contains("these lines without their `#`"), "{numbers}");
    assert!(!said.contains("preview") && !numbers.contains("preview"), "{said} {numbers}");
}

#[test]
fn a_text_that_is_called_category_is_not_told_where_a_label_of_numbers_stands_beside_it() {
    let place = Workplace::bare();
    let row = |row: usize| format!("{row}.5,{row},{},{}\n", ["a", "b"][row / 2 % 2], row % 2);
    let rows: String = (0..40).map(row).collect();
    for feature in ["category", "class", "target", "y", "sentiment", "score"] {
        place.write("rows.csv", &format!("size,weight,{feature},label\n{rows}"));
        let said = place.run(&["init", "rows.csv", "-o", "rows.yaml", "--overwrite"]).done();
        assert!(said.contains("the class in `label`"), "{said}");
        assert!(said.contains(&format!("texts of `{feature}` are left out")), "{said}");
    }
}

#[test]
fn images_in_a_plain_binary_column_and_a_class_in_capitals_are_found() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let rows = dataset::rows(0, 40);
    let bytes: BinaryArray = rows.iter().map(|row| row.image.as_deref()).collect();
    let other: BinaryArray = rows.iter().map(|row| Some(vec![row.label as u8; 5])).collect();
    let label: Int64Array = rows.iter().map(|row| Some(row.label)).collect();
    let whole: Int64Array = (0..40).map(|row| Some(row % 2)).collect();
    let (bytes, label): (ArrayRef, ArrayRef) = (Arc::new(bytes), Arc::new(label));
    let columns: [(&str, ArrayRef); 4] = [
        ("checksum", Arc::new(other)),
        ("picture", Arc::clone(&bytes)),
        ("kind", Arc::new(whole)),
        ("Class", label.clone()),
    ];
    dataset::write_columns(&place.path("plain.parquet"), &columns, false);
    for model in [&["model.onnx"][..], &[]] {
        let said =
            place.run(&[&["init", "plain.parquet", "-o", "made.yaml", "--overwrite"][..], model].concat()).done();
        assert!(said.contains("the images of `picture`") && said.contains("the class in `Class`"), "{said}");
    }
    // and by an encoding that names no column
    dataset::write_columns(&place.path("two.parquet"), &[("picture", bytes), ("label", label.clone())], false);
    let set = ["data.train=two.parquet", "data.inputs={image: {image: {}}}"];
    let checked = place.run_with("check", &set).stderr;
    assert!(!checked.contains("finds none"), "{checked}");
    dataset::write_columns(&place.path("none.parquet"), &[("label", label)], false);
    let set = ["data.train=none.parquet", "data.inputs={image: {image: {}}}"];
    place.run_with("check", &set).failed_with(&[
        "`image` finds none that it reads by itself",
        "none.parquet",
        "`label`",
    ]);
}

#[test]
fn running_numbers_of_rows_are_no_features() {
    let place = Workplace::bare();
    let row = |row: usize| format!("{row},{row}.5,{},{}\n", row % 7, ["x", "y"][row % 2]);
    place.write("rows.csv", &format!("id,size,rooms,label\n{}", (0..40).map(row).collect::<String>()));
    let said = place.run(&["init", "rows.csv", "-o", "rows.yaml"]).done();
    assert!(said.contains("2 columns (`size`, `rooms`), without `id`, which number the rows"), "{said}");
    let recipe = String::from_utf8(place.read("rows.yaml")).unwrap();
    assert!(recipe.contains("# left out, since they number the rows and say nothing of them: `id`"), "{recipe}");
    assert!(recipe.contains("column: [size, rooms]"), "{recipe}");
}

#[test]
fn a_table_with_its_target_under_class_in_capitals_is_told_by_it() {
    let place = Workplace::bare();
    let rows: String = (0..40).map(|row| format!("{row}.5,{},{}\n", row % 5, ["a", "b"][row % 2])).collect();
    for name in ["Class", "LABEL", "Target"] {
        place.write("rows.csv", &format!("size,rooms,{name}\n{rows}"));
        let said = place.run(&["init", "rows.csv", "-o", "rows.yaml", "--overwrite"]).done();
        assert!(said.contains(&format!("the class in `{name}`, one of 2")), "{said}");
    }
}

#[test]
fn a_model_in_front_of_its_data_is_told_with_the_command_turned_round() {
    let place = place();
    for command in ["init", "train"] {
        place.run(&[command, "model.onnx", "colours", "--label", "label"]).failed_with(&[
            "model.onnx is a model, and the data come first",
            &format!("millstream {command} colours model.onnx --label label"),
        ]);
    }
    place.run(&["init", "model.onnx"]).failed_with(&["model.onnx is a model", "the data in front"]);
    place.run(&["train", "model.onnx"]).failed_with(&["model.onnx is a model", "`millstream init DATA model.onnx`"]);
}

#[test]
fn what_cannot_be_guessed_is_told_with_what_is_missing() {
    let place = place();
    place.run(&["init", "colours", "model.onnx", "-o", "new.yaml", "--label", "colour"]).failed_with(&[
        "--label",
        "no column `colour`",
        "`label`",
    ]);
    place.run(&["init", "gone", "model.onnx", "-o", "new.yaml"]).failed_with(&["gone"]);
    place.run(&["init", "colours", "gone.onnx", "-o", "new.yaml"]).failed_with(&["gone.onnx"]);
    place.write("preprocess.json", "{");
    place.run(&["init", "colours", "model.onnx", "-o", "new.yaml"]).failed_with(&["preprocess.json", "no JSON"]);
    assert!(!place.path("new.yaml").exists());
}

#[test]
fn texts_and_a_known_model_are_guessed_on_real_data() {
    let Some(corpus) = corpus().filter(|_| has_runtime()) else { return };
    let place = Workplace::bare();
    let at = |path: &str| text(&corpus.join(path)).to_owned();
    let init = |data: &str, model: &str, file: &str| {
        place.run(&["init", &at(data), &at(model), "-o", file]).done();
        String::from_utf8(place.read(file)).unwrap()
    };
    let reviews = init("data/sst2", "models/minilm-l6-h384-v12k/model.onnx", "reviews.yaml");
    for part in ["head: {pooled: mean}", "token_ids: {column: text, tokenizer:", "adamw: {learning_rate: 0.00005}"] {
        assert!(reviews.contains(part), "wanted {part} in {reviews}");
    }
    let pictures = init("data/cifar10-mini", "models/resnet20_cifar10/model.onnx", "pictures.yaml");
    assert!(pictures.contains("head: keep") && pictures.contains("mean: [0.485, 0.456, 0.406]"), "{pictures}");
    let flowers = init("data/flowers-mini", "models/mobilenet_v2_1.0_224/model.onnx", "flowers.yaml");
    for part in ["head: {new_with: zeros}", "{match: classifier, multiplier: 10}", "resize: {shorter_side: 256}"] {
        assert!(flowers.contains(part), "wanted {part} in {flowers}");
    }
}

#[test]
fn the_only_column_like_a_class_is_told_and_train_takes_a_label() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    class_folders(&place, "birds/pictures", 0, 45);
    let table = |more: &dyn Fn(usize) -> String, heading: &str| {
        let row = |row: usize| {
            let class = dataset::CLASSES[dataset::rows(row, 1)[0].label as usize];
            format!("pictures/{class}/{row:03}.png,{class},seen as number {row}{}\n", more(row))
        };
        let rows: String = (0..45).map(row).collect();
        place.write("birds/metadata.csv", &format!("file_name,species,remark{heading}\n{rows}"));
    };
    table(&|_| String::new(), "");
    let said = place.run(&["init", "birds", "model.onnx", "-o", "a.yaml"]).done();
    assert!(said.contains("the class in `species`"), "{said}");
    table(&|row| format!(",{}", ["north", "south"][row % 2]), ",place");
    let train = |more: &[&str]| {
        let line = ["train", "birds", "model.onnx", "--overwrite", "--set", "training.epochs=1"];
        place.run(&[&line[..], more].concat())
    };
    train(&[]).failed_with(&["birds: ", "`species`, `place` may be", "`--label`"]);
    for (more, told) in [(&["--label", "place"][..], "place"), (&["--set", "data.label=species"], "species")] {
        let ran = train(more);
        assert!(ran.stderr.contains(&format!("the class in `{told}`")), "{}", ran.stderr);
        ran.done();
    }
    train(&["--label", "place", "--set", "data.label=species"]).failed_with(&[
        "`--label place`",
        "`--set data.label=species`",
        "leave one of them out",
    ]);
    let ran = place.run(&["train", "recipe.yaml", "--label", "label"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);

    // pictures with nothing to be told of them
    fs::create_dir(place.path("flat")).unwrap();
    for row in 0..3 {
        fs::write(place.path(&format!("flat/{row}.png")), dataset::rows(row, 1).remove(0).image.unwrap()).unwrap();
    }
    place.run(&["train", "flat", "model.onnx"]).failed_with(&["flat: ", "a folder for each class"]);
    fs::create_dir(place.path("one")).unwrap();
    fs::rename(place.path("flat"), place.path("one/red")).unwrap();
    place.run(&["train", "one", "model.onnx"]).failed_with(&["one: ", "all rows are of one class, `red`"]);
    fs::create_dir(place.path("empty")).unwrap();
    place.run(&["train", "empty", "model.onnx"]).failed_with(&[
        "empty: ",
        "no *.parquet file",
        "a folder for each class",
    ]);
    // a model of texts, and two columns of them
    let nodes = vec![
        node("Gather", &["table", "input_ids"], "vectors", &[]),
        node("Flatten", &["vectors"], "flat", &[("axis", &[1])]),
        node("Gemm", &["flat", "w", "b"], "scores", &[("transB", &[1])]),
    ];
    let weights = vec![weight("table", &[10, 4]), weight("w", &[2, 32]), weight("b", &[2])];
    let (inputs, outputs) =
        (vec![tensor("input_ids", true, &["batch", "8"])], tensor("scores", false, &["batch", "2"]));
    fs::write(place.path("texts.onnx"), model(nodes, weights, inputs, vec![outputs])).unwrap();
    let rows = |row: usize| format!("{{\"title\": \"t {row}\", \"body\": \"b {row}\", \"label\": \"c{}\"}}\n", row % 2);
    place.write("two.jsonl", &(0..20).map(rows).collect::<String>());
    place.run(&["train", "two.jsonl", "texts.onnx"]).failed_with(&["two.jsonl: ", "`title`, `body` do", "`text`"]);
}
