//! Folders of pictures, archives and tables, trained on as they are.

use std::fs::{self, File};
use std::io::{Cursor, Write};

use image::{ImageFormat, Rgb, RgbImage};
use millstream::schemas::Feature;
use serde_json::Value;
use zip::write::SimpleFileOptions;

use crate::dataset;
use crate::import::{class_folders, features, parquet};
use crate::workplace::{Workplace, has_runtime};

/// The folders that sources were imported into.
fn imports(place: &Workplace, folder: &str) -> Vec<String> {
    let all = parquet(&place.path(folder));
    all.into_iter().filter(|name| !name.ends_with(".lock")).collect()
}

#[test]
fn a_picture_that_is_cut_off_is_left_out_by_its_name_and_one_that_does_not_decode_is_named() {
    let place = Workplace::new();
    class_folders(&place, "photos", 0, 45);
    let change = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = place.read(name);
        change(&mut bytes);
        fs::write(place.path(name), bytes).unwrap();
    };
    let mut jpeg = Cursor::new(Vec::new());
    let grain = |x: u32, y: u32| Rgb([x, y, x ^ y].map(|value| (value * 53 % 256) as u8));
    RgbImage::from_fn(64, 64, grain).write_to(&mut jpeg, ImageFormat::Jpeg).unwrap();
    fs::write(place.path("photos/red/cut.jpg"), jpeg.into_inner()).unwrap();
    for name in ["photos/red/000.png", "photos/red/cut.jpg"] {
        change(name, &|bytes| bytes.truncate(bytes.len() / 2));
    }
    // all there, and not what was written
    change("photos/green/001.png", &|bytes| {
        let data = bytes.windows(4).position(|word| word == b"IDAT").unwrap();
        bytes[data + 30] ^= 0xff;
    });
    let report = place.run(&["import", "photos", "-o", "data", "--json"]).json();
    let left_out = &report["left_out"];
    assert_eq!((&report["rows"], &left_out["count"]), (&44.into(), &2.into()), "{left_out}");
    for (at, name) in ["red/000.png", "red/cut.jpg"].into_iter().enumerate() {
        assert_eq!(left_out["first"][at]["name"], name);
        assert!(left_out["first"][at]["reason"].as_str().unwrap().contains("is cut off"), "{left_out}");
    }
    if !has_runtime() {
        return;
    }
    let train = |output: &str, more: &[&str]| {
        let line = ["train", "photos", "model.onnx", "-o", output, "--set", "training.epochs=1"];
        place.run(&[&line[..], &["--set", "training.threads=1"], more].concat())
    };
    let said =
        train("runs/failed", &[]).failed_with(&["`green/001.png` (photos-", "row group", "`--set data.damaged=skip`"]);
    assert!(said.contains("2 files or rows left out") && said.contains("`red/000.png`"), "{said}");
    let ran = train("runs/skipped", &["--set", "data.damaged={quarantine: bad.jsonl}"]);
    ran.done();
    let noted: Value = serde_json::from_slice(&place.read("bad.jsonl")).unwrap();
    assert_eq!((&noted["image"], noted["row_group"].is_u64()), (&"green/001.png".into(), true), "{noted}");
    let ran = train("runs/told", &["--set", "data.damaged=skip"]);
    assert!(ran.stderr.contains("`green/001.png` (photos-") && ran.stderr.contains("is left out"), "{}", ran.stderr);
    ran.done();
}

#[test]
fn a_folder_of_pictures_is_trained_on_as_it_is_and_imported_once() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    class_folders(&place, "photos", 0, 45);
    fs::write(place.path("photos/red/notes.txt"), "no picture").unwrap();
    place.run(&["inspect", "photos"]).failed_with(&["photos", "`millstream import`"]);
    let ran =
        place.run(&["train", "photos", "model.onnx", "--set", "training.epochs=1", "--set", "training.threads=1"]);
    assert!(ran.stderr.contains("`red/notes.txt`"), "{}", ran.stderr);
    // each is told once, and what the import made is no choice
    assert_eq!(ran.stderr.matches("imported into").count(), 1, "{}", ran.stderr);
    assert!(!ran.stderr.contains("is taken"), "{}", ran.stderr);
    // a fifth of each class is set aside
    assert!(ran.done().contains("of 9 rows"));
    let folders = imports(&place, "runs/.data");
    assert!(folders.len() == 1 && folders[0].starts_with("photos-"), "{folders:?}");
    let file = place.path(&format!("runs/.data/{}/photos-train-00000-of-00001.parquet", folders[0]));
    let written = fs::metadata(&file).unwrap().modified().unwrap();

    let recipe = String::from_utf8(place.read("runs/photos/recipe.yaml")).unwrap();
    assert!(recipe.contains("photos") && !recipe.contains(".data"), "{recipe}");
    let evaluated = place.run(&["evaluate", "runs/photos", "--json"]).json();
    assert_eq!(evaluated["evaluation"]["rows"], 9);
    assert!(!evaluated["notes"].to_string().contains("imported into"), "{}", evaluated["notes"]);
    let evaluated = place.run(&["evaluate", "runs/photos", "--data", "photos", "--json"]).json();
    assert!(evaluated["notes"].to_string().contains("imported into"), "{}", evaluated["notes"]);
    place.run(&["predict", "runs/photos", "photos/red"]).done();
    place.run(&["train", "runs/photos", "--resume"]).done();
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), written);

    // a recipe that was written for it, and an archive of the same
    place.run(&["init", "photos", "model.onnx", "-o", "photos.yaml", "--run", "runs/other"]).done();
    place.run(&["check", "photos.yaml"]).done();
    assert_eq!(imports(&place, "runs/.data").len(), 1);

    // what was imported is gone: it is imported again, in sight
    fs::remove_dir_all(place.path("runs/.data")).unwrap();
    let ran = place.run(&["errors", "runs/photos"]);
    assert!(ran.stderr.contains("/45 rows"), "{}", ran.stderr);
    ran.done();
    fs::remove_dir_all(place.path("runs/.data")).unwrap();
    let ran = place.run(&["reproduce", "runs/photos", "-o", "again/photos"]);
    assert!(ran.stderr.contains("/45 rows"), "{}", ran.stderr);
    assert!(ran.done().contains("same"));
    assert_eq!([imports(&place, "runs/.data").len(), imports(&place, "again/.data").len()], [1, 1]);

    fs::write(place.path("photos/red/more.png"), dataset::rows(90, 1).remove(0).image.unwrap()).unwrap();
    place.run(&["train", "runs/photos", "--resume"]).failed_with(&["data.train"]);
}

#[test]
fn members_of_a_folder_of_pictures_are_evaluated_on_what_was_set_aside_and_not_on_what_they_learned() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    class_folders(&place, "photos", 0, 45);
    let members = |folder: &str, evaluate: &str| {
        let line = ["ensemble", "members", "recipe.yaml", "--folds", "3", "--stratify", "label", "-o", folder];
        let evaluate = format!("data.evaluate={evaluate}");
        let changes = ["data.train=photos", evaluate.as_str(), "training.epochs=1"];
        let changes: Vec<&str> = changes.iter().flat_map(|change| ["--set", *change]).collect();
        place.run(&[&line[..], &changes].concat()).done()
    };
    let rows = |folder: &str| place.run(&["evaluate", folder, "--json"]).json()["evaluation"]["rows"].clone();
    // a fifth is set aside once, for all members
    let said = members("both", "photos");
    assert!(said.contains("36 training rows, of which 36"), "{said}");
    assert_eq!([rows("both/fold-1"), rows("both/fold-3")], [9, 9]);
    assert!(place.path("both/fold-1/held-out.parquet").exists() && !place.path("both/.data").exists());
    assert_eq!(imports(&place, ".data").len(), 1);
    // and where there is nothing else, each is evaluated once, on what it has not seen
    let said = members("alone", "null");
    assert!(said.contains("45 training rows, of which 45"), "{said}");
    assert_eq!(rows("alone/fold-2"), 15);
    assert!(place.path("alone/fold-2/predictions.parquet").exists());
    assert!(!place.path("alone/fold-2/held-out.parquet").exists());
}

#[test]
fn a_study_of_a_folder_of_pictures_imports_it_once_whatever_its_trials_are_made_of() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    class_folders(&place, "photos", 0, 45);
    let open = [
        "data.train=photos",
        "data.evaluate=photos",
        "evaluation.sets={again: photos}",
        "training.optimizer={adamw: {learning_rate: {choose: [0.003, 0.01]}}}",
        "training.epochs=1",
    ];
    let changes = |of: [&str; 2]| -> Vec<String> {
        let all = open.iter().copied().chain(of).map(str::to_owned);
        all.flat_map(|change| ["--set".to_owned(), change]).collect()
    };
    for (folder, search) in [
        ("seeds", "search={objective: accuracy, proposer: grid, trials: 2, repeats: 2}"),
        ("folds", "search={objective: accuracy, proposer: grid, trials: 2, folds: {count: 3, stratify: label}}"),
    ] {
        let output = format!("output.folder=all/{folder}/study");
        let changes = changes([search, &output]);
        let line = ["search", "run", "recipe.yaml", "--parallel", "2"];
        let line: Vec<&str> = line.into_iter().chain(changes.iter().map(String::as_str)).collect();
        let ran = place.run(&line);
        assert!(ran.stderr.contains("imported into"), "{}", ran.stderr);
        let said = ran.done();
        assert!(said.contains("2 of 2 trials finished (2 complete)"), "{said}");
        let study = format!("all/{folder}/study");
        place.run(&["search", "resume", &study]).done();
        place.run(&["search", "best", &study, "--refit"]).done();
        place.run(&["train", &format!("{study}/best.yaml")]).done();
        let mut found = Vec::new();
        let mut folders = vec![place.path(&format!("all/{folder}"))];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
            {
                if entry.ends_with(".data") { found.push(entry) } else { folders.push(entry) }
            }
        }
        assert_eq!(found, [place.path(&format!("all/{folder}/.data"))]);
        assert_eq!(imports(&place, &format!("all/{folder}/.data")).len(), 1);
    }
    // what was set aside is no part of a fold
    let run = "all/folds/study/trials/0001/fold-2";
    let metrics: Value = serde_json::from_slice(&place.read(&format!("{run}/metrics.json"))).unwrap();
    assert_eq!(metrics["evaluation"]["rows"], 12, "{metrics}");
}

#[test]
fn recipes_name_archives_and_tables_too() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let mut zip = zip::ZipWriter::new(File::create(place.path("photos.zip")).unwrap());
    for (at, row) in dataset::rows(0, 24).into_iter().enumerate() {
        let name = format!("{}/{at}.png", dataset::CLASSES[row.label as usize]);
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(&row.image.unwrap()).unwrap();
    }
    zip.finish().unwrap();
    let changes = ["data.train=photos.zip", "data.evaluate=null", "training.epochs=1"];
    place.run_with("train", &changes).done();
    assert_eq!(imports(&place, ".data").len(), 1);
    let rows = "text,label\n".to_owned() + &"good,yes\nbad,no\n".repeat(10);
    place.write("reviews.csv", &rows);
    place.write(
        "texts.yaml",
        "version: 1\ndata: {train: reviews.csv, evaluate: reviews.csv, input: text}\noutput: {folder: texts/run}\n",
    );
    place.run(&["preview", "texts.yaml"]).done();
    // of equal rows all stay to be trained on, so each class is whole; the label has names
    let folder = imports(&place, "texts/.data").remove(0);
    let file = place.path(&format!("texts/.data/{folder}/reviews-train-00000-of-00001.parquet"));
    let names = ["no", "yes"].map(str::to_owned).to_vec();
    assert_eq!(features(&file).get("label"), Some(&Feature::ClassLabel { names }));
    place.write("wrong.csv", "text,text\na,b\n");
    place
        .run(&["train", "recipe.yaml", "--set", "data.train=wrong.csv", "--set", "output.folder=other"])
        .failed_with(&["wrong.csv", "two columns are called `text`"]);
}

#[test]
fn an_import_is_seen_in_every_command_that_makes_one() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    class_folders(&place, "photos", 0, 45);
    place.run(&["init", "photos", "model.onnx", "-o", "photos.yaml", "--run", "runs/one"]).done();
    let rates = "training.optimizer.adamw.learning_rate={choose: [0.001, 0.01]}";
    for command in [
        &["check", "photos.yaml"][..],
        &["preview", "photos.yaml", "-o", "sheet.png"],
        &["lr-find", "photos.yaml", "--steps", "20", "-o", "rates.svg"],
        &["compile", "photos.yaml", "-o", "step"],
        &["search", "run", "photos.yaml", "--set", rates, "--set", "search={trials: 1}", "--set", "training.epochs=1"],
    ] {
        fs::remove_dir_all(place.path("runs/.data")).unwrap();
        let ran = place.run(command);
        assert!(ran.stderr.contains("/45 rows"), "{command:?}: {}", ran.stderr);
        ran.done();
    }
    // of rows that trials choose, beside their names
    class_folders(&place, "others", 7, 45);
    let open = "data.train={choose: [photos, others]}";
    let set = ["--set", open, "--set", "search={trials: 2, proposer: grid}", "--set", "training.epochs=1"];
    let ran = place.run(&[&["search", "run", "photos.yaml", "--output", "runs/two"][..], &set].concat());
    assert!(ran.stderr.contains("trial 1: ") && ran.stderr.contains("/45 rows"), "{}", ran.stderr);
    ran.done();
}

#[test]
fn a_table_of_paths_and_labels_is_trained_on_with_the_pictures_that_it_names() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    class_folders(&place, "own/pics/all", 0, 45);
    let class = |row: usize| dataset::CLASSES[dataset::rows(row, 1)[0].label as usize];
    let table = |heading: &str, between: &str| -> String {
        let rows = (0..45).map(|row| format!("pics/all/{0}/{row:03}.png{between}{0}\n", class(row)));
        format!("{heading}\n{}", rows.collect::<String>())
    };
    place.write("own/labels.csv", &table("path,label", ","));
    place.write("own/semicolons.csv", &table("filename;class", ";"));
    for (file, input) in [("labels", "path"), ("semicolons", "filename")] {
        let run = format!("runs/{file}");
        let data = format!("own/{file}.csv");
        let ran = place.run(&["train", &data, "model.onnx", "--set", "training.epochs=1"]);
        assert!(ran.stderr.contains(&format!("the values of `{input}` are files of images")), "{}", ran.stderr);
        assert_eq!(ran.stderr.contains("lie between semicolons"), file == "semicolons", "{}", ran.stderr);
        // a fifth of each class
        assert!(ran.done().contains("of 9 rows"));
        let recipe = String::from_utf8(place.read(&format!("{run}/recipe.yaml"))).unwrap();
        assert!(recipe.contains(input), "{recipe}");
        place.run(&["predict", &run, "own/pics"]).done();
        place.run(&["predict", &run, &data]).done();
    }
    let before = imports(&place, "runs/.data");
    // a picture that is not any more what it was is imported anew
    fs::write(place.path("own/pics/all/red/000.png"), dataset::rows(90, 1).remove(0).image.unwrap()).unwrap();
    place.run(&["init", "own/labels.csv", "model.onnx", "-o", "a.yaml", "--run", "runs/other"]).done();
    assert_eq!(imports(&place, "runs/.data").len(), before.len() + 1);

    // a folder of pictures in one place with a table beside them is that table
    fs::remove_file(place.path("own/semicolons.csv")).unwrap();
    for row in 0..45 {
        let name = format!("own/pics/all/{}/{row:03}.png", class(row));
        fs::rename(place.path(&name), place.path(&format!("own/pics/{row:03}.png"))).unwrap();
    }
    let rows: String = (0..45).map(|row| format!("pics/{row:03}.png,{}\n", class(row))).collect();
    place.write("own/labels.csv", &format!("path,label\n{rows}"));
    let report = place.run(&["import", "own", "-o", "imported", "--json"]).json();
    assert_eq!((&report["rows"], &report["read_as"]), (&45.into(), &"tables".into()));
    // and one that names pictures which are not there says so
    place.write("lost.csv", "path,label\nx/1.png,a\nx/2.png,b\n");
    place.run(&["train", "lost.csv", "model.onnx"]).failed_with(&[
        "lost.csv: the model takes images, and no column holds any",
        "`path` has names of images (`x/1.png`)",
        "--image path",
    ]);
}
