//! What a trained model says of new rows, from the command line.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type};
use millstream::training::metrics::Detecting;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::corpus::{corpus, example};
use crate::dataset::{self, CLASSES};
use crate::onnx::{floats, model, node, tensor};
use crate::tables::{set, table_network};
use crate::workplace::{Ran, Workplace, forget_wishes_about_colour, has_runtime, millstream, text};

/// A run of the small network, and pictures of three classes in a folder beside a file of another kind and a damaged one.
fn trained() -> Workplace {
    let place = Workplace::new();
    place.run_with("train", &[]).done();
    fs::create_dir_all(place.path("photos/more")).unwrap();
    for (at, row) in dataset::rows(200, 6).iter().enumerate() {
        let folder = if at < 3 { "photos" } else { "photos/more" };
        fs::write(place.path(&format!("{folder}/{at}.png")), row.image.as_ref().unwrap()).unwrap();
    }
    place.write("photos/notes.md", "not a picture");
    place.write("photos/broken.jpg", "not a picture either");
    place
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_folder_of_pictures_is_predicted_by_the_preprocessing_inside_the_model() {
    if !has_runtime() {
        return;
    }
    let place = trained();
    let ran = place.run(&["predict", "run", "photos", "--json"]);
    let (said, told) = (lines(&ran.stdout), ran.stderr.clone());
    let inputs: Vec<&str> = said.iter().map(|row| row["input"].as_str().unwrap()).collect();
    let wanted = ["0.png", "1.png", "2.png", "broken.jpg", "more/3.png", "more/4.png", "more/5.png"];
    assert_eq!(inputs, wanted.map(|name| format!("photos/{name}")));
    assert!(said[3]["error"].as_str().unwrap().contains("image"), "{}", said[3]);
    let named = said.iter().filter(|row| row["class"].is_string());
    for row in named {
        let top = row["top"].as_array().unwrap();
        let sum: f64 = top.iter().map(|class| class["probability"].as_f64().unwrap()).sum();
        assert!(top.len() == 3 && (sum - 1.0).abs() < 1e-5 && top[0]["class"] == row["class"], "{row}");
        assert_eq!(CLASSES[row["index"].as_u64().unwrap() as usize], row["class"].as_str().unwrap());
    }
    for part in ["6 rows in ", "1 row could not be used", "1 other file passed over"] {
        assert!(told.contains(part), "wanted {part} in {told}");
    }
    // one picture has the same numbers by itself, whatever is run beside it
    let alone = lines(&place.run(&["predict", "run/model.onnx", "photos/more/4.png", "--json"]).done());
    assert_eq!(alone[0], said[5]);
    let table = place.run(&["predict", "run", "photos/0.png"]).done();
    assert!(table.contains("photos/0.png") && table.contains(said[0]["class"].as_str().unwrap()), "{table}");
    let one = place.run(&["predict", "run", "photos/0.png", "--top", "1", "--json"]).done();
    assert_eq!(lines(&one)[0]["top"].as_array().unwrap().len(), 1);
    place
        .run(&["predict", "run", "photos/0.png", "--top", "1", "-o", "all.csv"])
        .failed_with(&["`--top`", "has the probabilities of all"]);
}

#[test]
fn predictions_of_labelled_rows_are_those_that_evaluate_measures() {
    if !has_runtime() {
        return;
    }
    let place = trained();
    place.run(&["predict", "run", "test.parquet", "-o", "new/rows.parquet"]).done();
    place.run(&["evaluate", "run/recipe.yaml", "--predictions", "kept.parquet"]).done();
    let read = |name: &str| {
        let file = fs::File::open(place.path(name)).unwrap();
        let batches = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        let mut batches: Vec<_> = batches.map(Result::unwrap).collect();
        assert_eq!(batches.len(), 1);
        batches.remove(0)
    };
    let (new, kept) = (read("new/rows.parquet"), read("kept.parquet"));
    assert_eq!((new.num_rows(), kept.num_rows()), (18, 18));
    let index = new["class_index"].as_primitive::<Int64Type>();
    let (probabilities, logits) = (new["probabilities"].as_list::<i32>(), kept["logits"].as_list::<i32>());
    let (of_row, of_kept) = (kept["row"].as_primitive::<Int64Type>(), new["input"].as_string::<i32>());
    for row in 0..18 {
        // the order of both is that of the file
        assert!(of_kept.value(row).contains(&of_row.value(row).to_string()), "{}", of_kept.value(row));
        let logits = logits.value(row);
        let exponents: Vec<f64> =
            logits.as_primitive::<Float32Type>().values().iter().map(|logit| f64::from(*logit).exp()).collect();
        let sum: f64 = exponents.iter().sum();
        let row_of = probabilities.value(row);
        for (probability, exponent) in row_of.as_primitive::<Float32Type>().values().iter().zip(&exponents) {
            assert!((f64::from(*probability) - exponent / sum).abs() < 1e-6);
        }
        let highest = (0..3).max_by(|a, b| exponents[*a].total_cmp(&exponents[*b])).unwrap();
        assert_eq!(index.value(row), highest as i64);
    }
}

#[test]
fn tables_name_pictures_and_files_are_written_as_their_names_end() {
    if !has_runtime() {
        return;
    }
    let place = trained();
    place.write("photos/list.csv", "file,image,note\n1,0.png,\"a, b\"\n2,gone.png,\n3,more/5.png,\n");
    place.write("photos/list.jsonl", "{\"image\": \"1.png\"}\n\n{\"image\": \"more/3.png\", \"x\": [1]}\n");
    let files = ["photos/list.csv", "photos/list.jsonl"];
    let said = lines(&place.run(&["predict", "run", files[0], files[1], "--json"]).done());
    let inputs: Vec<&str> = said.iter().map(|row| row["input"].as_str().unwrap()).collect();
    assert_eq!(
        inputs,
        ["photos/list.csv:2", "photos/list.csv:3", "photos/list.csv:4", "photos/list.jsonl:1", "photos/list.jsonl:3"]
    );
    assert!(said[1]["error"].as_str().unwrap().contains("photos/gone.png: No such file"), "{said:?}");
    place.run(&["predict", "run", files[0], "-o", "rows.csv"]).done();
    let csv = String::from_utf8(place.read("rows.csv")).unwrap();
    let first: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
    let of_classes = CLASSES.map(|class| format!("probability of {class}"));
    assert_eq!(first[..4], ["input", "class", "probability", "error"]);
    assert_eq!(first[4..], of_classes);
    assert!(
        csv.lines()
            .nth(1)
            .unwrap()
            .starts_with(&format!("photos/list.csv:2,{},0.", said[0]["class"].as_str().unwrap()))
    );
    place.run(&["predict", "run", files[0], "-o", "rows.jsonl"]).done();
    assert_eq!(lines(&String::from_utf8(place.read("rows.jsonl")).unwrap()), said[..3]);
    place
        .run(&["predict", "run", files[0], "-o", "rows.txt"])
        .failed_with(&["rows.txt", "`.jsonl`, `.csv` or `.parquet`"]);
    place.write("photos/bad.csv", "picture,label\na.png,1\n");
    place.run(&["predict", "run", "photos/bad.csv"]).failed_with(&["photos/bad.csv", "no column `image`", "`picture`"]);
    place.write("photos/bad.jsonl", "{\"image\": \"1.png\"}\nnonsense\n");
    let said = lines(&place.run(&["predict", "run", "photos/bad.jsonl", "--json"]).done());
    assert!(said.len() == 2 && said[0]["class"].is_string() && said[1]["input"] == "photos/bad.jsonl:2", "{said:?}");
    assert!(said[1]["error"].as_str().unwrap().contains("no JSON object"), "{said:?}");
}

#[test]
fn pictures_in_avif_heic_jpeg_xl_and_svg_are_told_as_such_with_what_to_do() {
    if !has_runtime() {
        return;
    }
    let place = trained();
    for (ending, bytes, wanted) in [
        ("avif", &b"\0\0\0\x18ftypavif\0\0\0\0mif1miaf"[..], ["AVIF is not read", "avifdec"]),
        ("heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", ["HEIC is not read", "heif-convert"]),
        ("jxl", b"\xff\x0a\xfa\x7f\x90\0\0\0\0", ["JPEG XL is not read", "djxl"]),
        ("svg", b"<?xml version=\"1.0\"?>\n<svg/>\n", ["SVG is not read", "rsvg-convert"]),
    ] {
        // by its name, and by its bytes where it is called otherwise
        for (folder, file) in
            [(format!("of-{ending}"), format!("a.{ending}")), (format!("{ending}-as-jpg"), "a.jpg".into())]
        {
            let kind = place.path(&folder).join("kind");
            fs::create_dir_all(&kind).unwrap();
            fs::write(kind.join(&file), bytes).unwrap();
            place.run(&["import", &folder, "-o", "imported"]).failed_with(&wanted);
            place.run(&["train", &folder, "run/model.onnx", "-o", "other"]).failed_with(&wanted);
            let ran = place.run(&["predict", "run", &format!("{folder}/kind/{file}"), "--json"]);
            assert_eq!(ran.code, Some(1), "{}", ran.stderr);
            let row: Value = serde_json::from_str(ran.stdout.lines().next().unwrap()).unwrap();
            let error = row["error"].as_str().unwrap();
            assert!(wanted.iter().all(|part| error.contains(part)), "{folder}/{file}: {error}");
        }
        place.run(&["predict", "run", &format!("of-{ending}")]).failed_with(&wanted);
        // beside pictures that are read it is passed over, and told
        let read = place.path(&format!("of-{ending}/kind/b.png"));
        fs::copy(place.path("photos/2.png"), read).unwrap();
        let ran = place.run(&["predict", "run", &format!("of-{ending}"), "--json"]);
        assert!(ran.code == Some(0) && wanted.iter().all(|part| ran.stderr.contains(part)), "{}", ran.stderr);
    }
}

#[test]
fn the_standard_input_is_a_picture_and_what_cannot_be_predicted_is_told() {
    if !has_runtime() {
        return;
    }
    let place = trained();
    let mut child = place
        .command(&["predict", "run", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&place.read("photos/2.png")).unwrap();
    let piped = lines(&Ran::of(child.wait_with_output().unwrap()).done());
    let mut of_file = lines(&place.run(&["predict", "run", "photos/2.png", "--json"]).done());
    of_file[0]["input"] = "-".into();
    assert_eq!(piped, of_file);
    let run = place.path("run");
    self::piped(&["predict", text(&run), "-", "--decimal-comma"], &place.read("photos/2.png"))
        .failed_with(&["--decimal-comma", "none of the inputs is a table"]);

    place.run(&["predict", "run", "--text", "words"]).failed_with(&["--text", "the model takes an image, and no text"]);
    place.run(&["predict", "run", "gone.png"]).failed_with(&["gone.png", "there is no such file or folder"]);
    place.run(&["predict", "run", "photos/broken.jpg"]).failed_with(&["none of the 1 rows could be used"]);
    fs::create_dir(place.path("empty")).unwrap();
    place.run(&["predict", "run", "empty"]).failed_with(&["empty", "no file that the model can read"]);
    place.run(&["predict", "empty", "photos"]).failed_with(&["no `model.onnx`", "`train` writes it"]);
    // the pretrained network says nothing of its preprocessing, until a recipe does
    place
        .run(&["predict", "model.onnx", "photos/0.png"])
        .failed_with(&["does not say how rows are prepared", "--recipe"]);
    let said =
        lines(&place.run(&["predict", "model.onnx", "photos/0.png", "--json", "--recipe", "recipe.yaml"]).done());
    assert!(said[0]["class"] == said[0]["index"].to_string().as_str(), "{said:?}");
}

/// A model of an `image` [batch, 3, 8, 8] that gives `boxes`, the same of each picture, and `scores` of three classes.
fn boxes_and_scores(rows: &str) -> Vec<u8> {
    let nodes = vec![
        node("GlobalAveragePool", &["image"], "mean", &[]),
        node("Flatten", &["mean"], "features", &[("axis", &[1])]),
        node("Gemm", &["features", "box.weight", "box.bias"], "box", &[("transB", &[1])]),
        match rows {
            "batch" => node("Identity", &["box"], "boxes", &[]),
            _ => node("Concat", &["box", "box"], "boxes", &[("axis", &[0])]),
        },
        node("Gemm", &["features", "class.weight", "class.bias"], "scores", &[("transB", &[1])]),
    ];
    let weights = vec![
        floats("box.weight", &[4, 3], &[0.0; 12]),
        floats("box.bias", &[4], &[0.25, 0.5, 0.75, 1.0]),
        floats("class.weight", &[3, 3], &[0.0; 9]),
        floats("class.bias", &[3], &[0.0, 2.0, 1.0]),
    ];
    let outputs = vec![tensor("boxes", false, &[rows, "4"]), tensor("scores", false, &["batch", "3"])];
    model(nodes, weights, vec![tensor("image", false, &["batch", "3", "8", "8"])], outputs)
}

#[test]
fn a_box_is_told_with_the_class_of_another_output_and_rows_of_detections_are_refused() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::bare();
    fs::write(place.path("model.onnx"), boxes_and_scores("batch")).unwrap();
    fs::write(place.path("a.png"), dataset::rows(0, 1)[0].image.as_ref().unwrap()).unwrap();
    let recipe = "version: 1\nmodel: {path: model.onnx, output: boxes}\ndata:\n  train: rows.parquet\n  inputs: {image: {image: {column: \
         image}}}\n  targets: {boxes: {boxes: {column: objects, convention: coco, most: 1, as: flat}}}\ntransforms: {evaluate: [{resize: \
         {size: 8}}]}\ntraining: {loss: huber, epochs: 1}\noutput: {folder: run}\n";
    place.write("recipe.yaml", recipe);
    place.write("labels.txt", "ant\nbee\ncat\n");
    let said = lines(&place.run(&["predict", "model.onnx", "a.png", "--recipe", "recipe.yaml", "--json"]).done());
    assert_eq!(said[0]["class"], "bee", "{said:?}");
    assert_eq!(said[0]["box"].as_array().map(Vec::len), Some(4), "{said:?}");
    let table = place.run(&["predict", "model.onnx", "a.png", "--recipe", "recipe.yaml"]).done();
    assert!(table.contains("class") && table.contains("bee"), "{table}");
    // why another is not usable stands behind the numbers, and leaves the names in one line each
    fs::write(place.path("b.png"), "not a picture, and with more letters than a number has").unwrap();
    let table = place.run(&["predict", "model.onnx", "a.png", "b.png", "--recipe", "recipe.yaml"]).done();
    let heading = table.lines().next().unwrap();
    assert!(heading.ends_with("not usable") && heading.find("left").is_some_and(|at| at < 24), "{table}");
    assert!(table.lines().any(|line| line.trim_start().starts_with("b.png ")), "{table}");
    // as many names as scores, or none is told
    place.write("labels.txt", "ant\nbee\n");
    let said = lines(&place.run(&["predict", "model.onnx", "a.png", "--recipe", "recipe.yaml", "--json"]).done());
    assert!(said[0]["class"].is_null(), "{said:?}");
    place.write("both.yaml", &recipe.replace(", output: boxes", ""));
    place
        .run(&["predict", "model.onnx", "a.png", "--recipe", "both.yaml"])
        .failed_with(&["2 outputs (boxes, scores)", "model.output"]);
    fs::write(place.path("model.onnx"), boxes_and_scores("found")).unwrap();
    place
        .run(&["predict", "model.onnx", "a.png", "--recipe", "recipe.yaml"])
        .failed_with(&["[64, 4] for a batch of 32 rows", "a row for each row of the batch"]);
}

#[test]
fn pictures_of_which_none_tells_a_size_that_is_open_are_told_without_an_option_that_predict_lacks() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::bare();
    fs::write(place.path("model.onnx"), boxes_and_scores("batch")).unwrap();
    let recipe = "version: 1\nmodel: {path: model.onnx, output: boxes}\ndata:\n  train: rows.parquet\n  inputs: {image: {image: {column: \
         image}}}\n  targets: {boxes: {boxes: {column: objects, convention: coco, most: 1, as: flat}}}\ntraining: {loss: huber, epochs: \
         1}\noutput: {folder: run}\n";
    place.write("recipe.yaml", recipe);
    place.write("broken.png", "not a picture");
    let wanted = ["broken.png", "the first image decides the size of all"];
    let said = place.run(&["predict", "model.onnx", "broken.png", "--recipe", "recipe.yaml"]).failed_with(&wanted);
    assert!(!said.contains("--set"), "{said}");
}

#[test]
fn a_recipe_helps_where_the_model_says_how_rows_are_prepared_in_a_form_that_is_not_read() {
    if !has_runtime() {
        return;
    }
    let place = trained();
    let mut bytes = place.read("run/model.onnx");
    let find = |bytes: &[u8], wanted: &[u8]| bytes.windows(wanted.len()).position(|part| part == wanted).unwrap();
    let key = find(&bytes, b"millstream.preprocess");
    let version = key + find(&bytes[key..], b"\"version\":2,") + 10;
    bytes[version] = b'9';
    fs::write(place.path("later.onnx"), bytes).unwrap();
    let line = ["predict", "later.onnx", "photos/0.png", "--json"];
    place.run(&line).failed_with(&["in a form that this version does not read", "`--recipe`"]);
    let ran = place.run(&[&line[..], &["--recipe", "recipe.yaml"]].concat());
    assert!(ran.stderr.contains("the recipe decides"), "{}", ran.stderr);
    let usual = lines(&place.run(&["predict", "run", "photos/0.png", "--json"]).done());
    assert_eq!(lines(&ran.done())[0]["class"], usual[0]["class"]);
}

#[test]
fn texts_and_columns_of_numbers_are_predicted_as_the_model_was_trained() {
    let Some(corpus) = corpus().filter(|_| has_runtime()) else { return };
    let (recipe, folder) = example("reviews/head.yaml");
    let run = folder.path().join("run");
    let changes = [
        format!("data.train={}", text(&corpus.join("data/sst2/sst2-validation-00000-of-00001.parquet"))),
        format!("output.folder={}", text(&run)),
        "training.epochs=3".to_owned(),
        // what is predicted is not what is measured
        "evaluation={rows: 32, every: {epochs: 3}}".to_owned(),
    ];
    let set = changes.iter().flat_map(|change| ["--set", change.as_str()]);
    let arguments: Vec<&str> = ["train", text(&recipe)].into_iter().chain(set).collect();
    millstream(&arguments).done();
    let texts = ["a delight from beginning to end", "dull, lifeless and far too long"];
    let said = lines(&millstream(&["predict", text(&run), "--text", texts[0], "--text", texts[1], "--json"]).done());
    assert_eq!(said.iter().map(|row| row["input"].as_str().unwrap()).collect::<Vec<_>>(), texts);
    assert_ne!(said[0]["class"], said[1]["class"], "{said:?}");
    let file = folder.path().join("reviews.txt");
    fs::write(&file, format!("{}\r\n\n{}\n", texts[0], texts[1])).unwrap();
    let of_file = lines(&millstream(&["predict", text(&run), text(&file), "--json"]).done());
    assert_eq!(of_file[1]["input"].as_str().unwrap(), format!("{}:3", text(&file)));
    assert_eq!([&of_file[0]["top"], &of_file[1]["top"]], [&said[0]["top"], &said[1]["top"]]);
    tables_of_texts_on_the_standard_input_are_read_as_the_files_would_be(&run, &folder.path().join("reviews"), &said);
}

/// `said` is what is predicted of the two texts.
fn tables_of_texts_on_the_standard_input_are_read_as_the_files_would_be(run: &Path, stem: &Path, said: &[Value]) {
    let texts = [0, 1].map(|row: usize| said[row]["input"].as_str().unwrap());
    let [first, second] = texts.map(|text| Value::from(text).to_string());
    let objects = |name: &str| format!("\n{{\"{name}\": {first}, \"id\": 1}}\n{{\"{name}\": {second}, \"id\": 2}}\n");
    let csv = format!("id,text\n1,{first}\n2,{second}\n");
    let tops = |rows: &[Value]| rows.iter().map(|row| row["top"].clone()).collect::<Vec<_>>();
    // what is written, how it is said to be, rows, and what is told
    let none: &[&str] = &[];
    for (written, format, rows, told) in [
        (objects("text"), none, 2, ""),
        (csv.clone(), &["--format", "csv"], 2, ""),
        (objects("text"), &["--format", "jsonl"], 2, ""),
        (csv.clone(), none, 3, "may be the heading of a table with `text`; `--format csv`"),
        (csv.clone(), &["--format", "text"], 3, ""),
        (objects("words"), none, 2, "is a JSON object without `text`; `jq -c"),
        (format!("{}\n{}\n", texts[0], texts[1]), none, 2, ""),
    ] {
        let line = [&["predict", text(run), "-", "--json"][..], format].concat();
        let ran = piped(&line, written.as_bytes());
        let stderr = ran.stderr.clone();
        let found = lines(&ran.done());
        assert_eq!(found.len(), rows, "{written} {format:?}: {found:?}");
        let is_read = rows == 2 && told.is_empty();
        assert_eq!(tops(&found) == tops(said), is_read, "{written} {format:?}: {found:?}");
        assert_eq!(stderr.contains("each line is read as a text"), !told.is_empty(), "{written} {format:?}: {stderr}");
        assert!(stderr.contains(told), "{written} {format:?}: {stderr}");
    }
    let line = format!("{}\n", texts[0]);
    piped(&["predict", text(run), "-", "--decimal-comma"], line.as_bytes())
        .failed_with(&["--decimal-comma", "none of the inputs is a table"]);
    // as the file by its name, and one whose name says nothing
    for (end, is_told) in [("jsonl", false), ("rows", false), ("txt", true)] {
        let file = stem.with_extension(end);
        fs::write(&file, objects("text")).unwrap();
        let ran = millstream(&["predict", text(run), text(&file), "--json"]);
        assert_eq!(ran.stderr.contains("name the file `.jsonl`"), is_told, "{end}: {}", ran.stderr);
        assert_eq!(tops(&lines(&ran.done())) == tops(said), !is_told, "{end}");
    }
    let file = stem.with_extension("jsonl");
    millstream(&["predict", text(run), text(&file), "--format", "csv"]).failed_with(&["`--format`", "`-` is none"]);
}

/// The binary with something on its standard input.
fn piped(line: &[&str], bytes: &[u8]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
    forget_wishes_about_colour(&mut command);
    command.args(line).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    Ran::of(child.wait_with_output().unwrap())
}

#[test]
fn a_table_of_one_row_may_lack_what_the_model_fills_in_and_a_typo_is_no_missing_number() {
    let Some(corpus) = corpus().filter(|_| has_runtime()) else { return };
    let (recipe, folder) = example("tables/penguins-mass.yaml");
    let (network, run) = (folder.path().join("network.onnx"), folder.path().join("run"));
    table_network(&network, &[("measurements", 4), ("island", 3), ("sex", 2), ("species", 3)], 1);
    let (path, output) = (set("model.path", &network), set("output.folder", &run));
    millstream(&["train", text(&recipe), "--set", &path, "--set", &output, "--set", "training.epochs=10"]).done();
    let predicted = |name: &str, rows: &str| {
        let file = folder.path().join(name);
        fs::write(&file, rows).unwrap();
        lines(&millstream(&["predict", text(&run), text(&file), "--json"]).done())
    };
    let heading = "bill_length_mm,bill_depth_mm,flipper_length_mm,year,island,sex,label\n";
    // nothing is learned of the rows that are predicted: a column without any number is filled as in training
    let alone = predicted("alone.csv", &format!("{heading}39.1,,181,2007,Torgersen,male,0\n"));
    assert!(alone[0]["values"][0].as_f64().unwrap() > 2000.0, "{alone:?}");
    let wrong = predicted(
        "wrong.csv",
        &format!(
            "{heading}39.1,NA,181,2007,Torgersen,male,0\n39.1,\"18,7\",181,2007,Torgersen,male,0\n39.1\n39.1,18.7,181,2007,Torgersen,male,0\n"
        ),
    );
    assert_eq!((&wrong[0]["values"], wrong.len()), (&alone[0]["values"], 4));
    // a decimal comma is told with what reads it
    let error = wrong[1]["error"].as_str().unwrap();
    assert!(error.starts_with("`18,7` is no number") && error.contains("--decimal-comma"), "{error}");
    assert!(wrong[2]["error"].is_string() && wrong[3]["values"].is_array(), "{wrong:?}");
    // a number has no likeliest classes
    let file = folder.path().join("alone.csv");
    millstream(&["predict", text(&run), text(&file), "--top", "3"]).failed_with(&["--top", "a class or labels"]);
    // Parquet, whose rows may lack the same
    let pattern = corpus.join("data/penguins/penguins-test-*.parquet");
    let all = lines(&millstream(&["predict", text(&run), text(&pattern), "--json"]).done());
    assert!(all.len() == 84 && all.iter().all(|row| row["values"].is_array()), "{}", all.len());
}

#[test]
fn an_archive_of_pictures_is_predicted_as_the_folder_that_it_holds() {
    if !has_runtime() {
        return;
    }
    let place = trained();
    let rows = dataset::rows(200, 3);
    let mut zip = zip::ZipWriter::new(fs::File::create(place.path("pics.zip")).unwrap());
    fs::create_dir_all(place.path("in/a")).unwrap();
    let packed = fs::File::create(place.path("pics.tar.gz")).unwrap();
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(packed, flate2::Compression::fast()));
    for (at, row) in rows.iter().enumerate() {
        let (name, image) = (format!("a/{at}.png"), row.image.as_ref().unwrap());
        fs::write(place.path(&format!("in/{name}")), image).unwrap();
        zip.start_file(&name, zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut zip, image).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(image.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, &name, image.as_slice()).unwrap();
    }
    zip.start_file("a/notes.txt", zip::write::SimpleFileOptions::default()).unwrap();
    zip.finish().unwrap();
    tar.into_inner().unwrap().finish().unwrap();
    let said = |input: &str| {
        let ran = place.run(&["predict", "run", input, "--json"]);
        let told = ran.stderr.clone();
        (lines(&ran.done()), told)
    };
    let probabilities =
        |all: &[Value]| all.iter().map(|row| row["probability"].as_f64().unwrap()).collect::<Vec<f64>>();
    let (wanted, _) = said("in");
    let (zipped, told) = said("pics.zip");
    assert_eq!(zipped[0]["input"], "pics.zip/a/0.png");
    assert_eq!((zipped.len(), probabilities(&zipped)), (3, probabilities(&wanted)));
    assert!(told.contains("1 other file passed over"), "{told}");
    assert_eq!(probabilities(&said("pics.tar.gz").0), probabilities(&wanted));
    pack(&place.path("none.zip"), &[("a.xyz", b"".as_slice())]);
    place.run(&["predict", "run", "none.zip"]).failed_with(&["none.zip", "it takes an image"]);
}

/// A zip of files.
fn pack(path: &Path, files: &[(&str, &[u8])]) {
    let mut zip = zip::ZipWriter::new(fs::File::create(path).unwrap());
    for (name, bytes) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut zip, bytes).unwrap();
    }
    zip.finish().unwrap();
}

#[test]
fn tables_in_an_archive_are_predicted_as_the_files_themselves() {
    if !has_runtime() {
        return;
    }
    let place = trained();
    let said = |input: &str| lines(&place.run(&["predict", "run", input, "--json"]).done());
    let without_name = |mut rows: Vec<Value>| {
        rows.iter_mut().for_each(|row| drop(row.as_object_mut().unwrap().remove("input")));
        rows
    };
    let rows = place.read("test.parquet");
    pack(
        &place.path("rows.zip"),
        &[("deep/test.parquet", &rows[..]), ("README.md", b"# rows"), ("deep/more.parquet", &rows[..])],
    );
    let (wanted, zipped) = (said("test.parquet"), said("rows.zip"));
    assert_eq!(zipped.len(), 2 * wanted.len());
    assert_eq!(zipped[0]["input"], "rows.zip/deep/more.parquet, row group 0, row 0");
    assert_eq!(without_name(zipped[wanted.len()..].to_vec()), without_name(wanted));
    // a damaged file behind a whole one is told before any row is
    pack(&place.path("cut.zip"), &[("a.parquet", &rows[..]), ("b.parquet", &rows[..rows.len() / 2])]);
    let ran = place.run(&["predict", "run", "cut.zip", "--json"]);
    assert!(!ran.stdout.contains("cut.zip/a.parquet"), "{}", ran.stdout);
    ran.failed_with(&["cut.zip/b.parquet"]);
    // a table whose pictures lie beside it, in the archive
    let image = dataset::rows(200, 1).remove(0).image.unwrap();
    fs::create_dir_all(place.path("t/parts")).unwrap();
    fs::write(place.path("t/parts/0.bin"), &image).unwrap();
    place.write("t/list.csv", "image\nparts/0.bin\nparts/9.bin\n");
    let table = place.read("t/list.csv");
    pack(&place.path("table.zip"), &[("t/list.csv", &table[..]), ("t/parts/0.bin", &image[..])]);
    let (wanted, zipped) = (said("t/list.csv"), said("table.zip"));
    assert_eq!((zipped.len(), &zipped[0]["input"]), (2, &Value::from("table.zip/t/list.csv:2")));
    assert!(wanted[0]["class"].is_string(), "{wanted:?}");
    assert_eq!(zipped[0]["probability"], wanted[0]["probability"]);
    assert_eq!(zipped[1]["error"], "there is no file `t/parts/9.bin`");
    // a folder of tables is read as such an archive is
    assert_eq!(said("t").len(), 2);
}

#[test]
fn an_input_is_not_replaced_by_what_is_predicted_or_measured_of_it() {
    if !has_runtime() {
        return;
    }
    let place = trained();
    place.write("photos/list.csv", "image\n0.png\n");
    let refusal = "it is read, and would be replaced";
    for (input, output) in [
        ("photos/list.csv", "photos/list.csv"),
        ("photos/list.csv", "photos/more/../list.csv"),
        ("test.parquet", "./test.parquet"),
        ("test*.parquet", "test.parquet"),
    ] {
        let before = place.read(output);
        place.run(&["predict", "run", input, "-o", output]).failed_with(&[output, refusal]);
        assert!(place.read(output) == before, "{output}");
    }
    let before = place.read("test.parquet");
    place.run(&["evaluate", "recipe.yaml", "--predictions", "test.parquet"]).failed_with(&["test.parquet", refusal]);
    assert!(place.read("test.parquet") == before);
    place.run(&["predict", "run", "photos/list.csv", "-o", "photos/other.csv"]).done();
    // nothing that was begun stays
    let mut names = fs::read_dir(place.path("photos")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.all(|name| !name.to_string_lossy().contains(".tmp-")));
}

#[test]
fn the_least_probability_of_a_thing_is_one_number_wherever_it_is_said() {
    let least = Detecting::LEAST_TOLD;
    let help = millstream(&["predict", "--help"]).done();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |file: &str| fs::read_to_string(root.join(file)).unwrap();
    for (text, wanted) in [
        (help, format!("that finds several [default: {least}]")),
        (read("docs/predict.md"), format!("from a probability of {least} on (`--least-probability`")),
        (read("docs/tasks/boxes.md"), format!("from a probability of {least} on (`--least-probability`)")),
        (read("docs/tasks/boxes.md"), format!("from a probability of {least} on (`mistaken_pictures`")),
        (read("training/src/report/page.html"), format!("told with {} % or more", (100.0 * least).round())),
    ] {
        assert!(text.contains(&wanted), "{wanted}");
    }
}
