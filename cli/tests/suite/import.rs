//! Folders of pictures and tables made into Parquet, read back, and trained on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use millstream::pipeline::arrow_schema::DataType;
use millstream::schemas::{Feature, Features};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::PageIndexPolicy;

use crate::dataset::{self, CLASSES};
use crate::workplace::{Workplace, has_runtime};

/// A folder of class folders, with so many pictures of each of three classes.
pub(crate) fn class_folders(place: &Workplace, folder: &str, first: usize, count: usize) {
    for (at, row) in dataset::rows(first, count).iter().enumerate() {
        let class = place.path(&format!("{folder}/{}", CLASSES[row.label as usize]));
        fs::create_dir_all(&class).unwrap();
        fs::write(class.join(format!("{:03}.png", first + at)), row.image.as_ref().unwrap()).unwrap();
    }
}

pub(crate) fn parquet(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(crate) fn batches(path: &Path) -> Vec<RecordBatch> {
    let file = fs::File::open(path).unwrap();
    ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().map(Result::unwrap).collect()
}

/// Path, bytes and class of each row.
pub(crate) fn pictures(path: &Path) -> Vec<(String, Vec<u8>, Option<i64>)> {
    let mut found = Vec::new();
    for batch in batches(path) {
        let image = batch["image"].as_struct();
        let (bytes, paths) = (image.column(0).as_binary::<i32>(), image.column(1).as_string::<i32>());
        for row in 0..batch.num_rows() {
            let class = batch.column_by_name("label").map(|label| label.as_primitive::<Int64Type>().value(row));
            found.push((paths.value(row).to_owned(), bytes.value(row).to_vec(), class));
        }
    }
    found
}

pub(crate) fn features(path: &Path) -> Features {
    let builder = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
    Features::from_arrow(builder.schema(), "file").unwrap()
}

#[test]
fn class_folders_become_shards_with_the_same_bytes_and_names_and_are_trained_on() {
    let place = Workplace::new();
    class_folders(&place, "photos", 0, 30);
    fs::write(place.path("photos/red/notes.txt"), "no picture").unwrap();
    fs::write(place.path("photos/red/empty.png"), "").unwrap();
    fs::write(place.path("photos/blue/broken.jpg"), "no picture either").unwrap();
    fs::create_dir(place.path("photos/violet")).unwrap();
    fs::write(place.path("photos/stray.png"), place.read("photos/green/001.png")).unwrap();
    fs::copy(place.path("photos/red/000.png"), place.path("photos/blue/again.png")).unwrap();
    let arguments = ["import", "photos", "-o", "data", "--split", "test=0.2", "--json"];
    let report = place.run(&arguments).json();
    assert_eq!(
        parquet(&place.path("data")),
        ["photos-test-00000-of-00001.parquet", "photos-train-00000-of-00001.parquet"]
    );
    assert_eq!(
        (&report["rows"], &report["read_as"], &report["classes"]),
        (&31.into(), &"class_folders".into(), &serde_json::json!(["blue", "green", "red"]))
    );
    let left_out: BTreeMap<&str, &str> = report["left_out"]["first"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["name"].as_str().unwrap(), one["reason"].as_str().unwrap()))
        .collect();
    let names: Vec<&str> = left_out.keys().copied().collect();
    assert_eq!(names, ["blue/broken.jpg", "red/empty.png", "red/notes.txt", "stray.png", "violet"]);
    assert_eq!(left_out["violet"], "there is no image in it");
    assert!(left_out["red/empty.png"].contains("empty") && left_out["stray.png"].contains("no folder of a class"));
    assert_eq!((&report["duplicates"]["rows"], &report["duplicates"]["across_classes"]), (&1.into(), &2.into()));

    let files = ["photos-train-00000-of-00001.parquet", "photos-test-00000-of-00001.parquet"]
        .map(|file| place.path(&format!("data/{file}")));
    let all: Vec<_> = files.iter().flat_map(|file| pictures(file)).collect();
    assert_eq!(all.len(), 31);
    let sorted = ["blue", "green", "red"];
    for (path, bytes, class) in &all {
        assert_eq!(*bytes, place.read(&format!("photos/{path}")), "{path}");
        assert_eq!(path.split('/').next().unwrap(), sorted[class.unwrap() as usize]);
    }
    // of each class its share
    let test = pictures(&files[1]);
    (0..3).for_each(|class| assert!((1..=3).contains(&test.iter().filter(|row| row.2 == Some(class)).count())));
    let names = sorted.map(str::to_owned).to_vec();
    assert_eq!(features(&files[0]).get("label"), Some(&Feature::ClassLabel { names }));
    assert!(matches!(features(&files[0]).get("image"), Some(Feature::Image(_))));
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let builder =
        ParquetRecordBatchReaderBuilder::try_new_with_options(fs::File::open(&files[0]).unwrap(), options).unwrap();
    assert!(builder.metadata().page_index_for_row_group(0).offset_index(0).is_some());

    let text = place.run(&arguments[..6]).done();
    for part in [
        "31 rows",
        "was there already",
        "left out: 5",
        "photos-test-00000-of-00001.parquet",
        "the same as one of other classes",
    ] {
        assert!(text.contains(part), "wanted {part} in {text}");
    }
    if has_runtime() {
        place.run_with("train", &["data.train=data", "data.evaluate=data", "training.epochs=1"]).done();
    }
}

#[test]
fn splits_of_the_source_stay_and_an_import_goes_on_where_it_was() {
    let place = Workplace::bare();
    for (split, first) in [("train", 0), ("val", 60), ("test", 70)] {
        class_folders(&place, &format!("set/{split}"), first, if first == 0 { 60 } else { 10 });
    }
    let arguments = ["import", "set", "-o", "data", "--name", "three", "--shard-size", "24 KB", "--json"];
    let report = place.run(&arguments).json();
    let rows: Vec<u64> =
        report["splits"].as_array().unwrap().iter().map(|split| split["rows"].as_u64().unwrap()).collect();
    assert_eq!(rows, [60, 10, 10]);
    let names = parquet(&place.path("data"));
    let train: Vec<&String> = names.iter().filter(|name| name.starts_with("three-train-")).collect();
    assert!(train.len() > 1 && train[0].ends_with(&format!("-of-{:05}.parquet", train.len())), "{names:?}");
    let before: Vec<Vec<u8>> = names.iter().map(|name| place.read(&format!("data/{name}"))).collect();
    assert!(before.iter().all(|bytes| bytes.len() < 24_000));

    // what is gone is written again, to the byte, and the rest is kept
    fs::remove_file(place.path(&format!("data/{}", train[0]))).unwrap();
    let report = place.run(&arguments).json();
    let kept = report["splits"].as_array().unwrap().iter().flat_map(|split| split["files"].as_array().unwrap());
    let written: Vec<&str> =
        kept.filter(|file| file["kept"] == false).map(|file| file["file"].as_str().unwrap()).collect();
    assert_eq!(written, [train[0].as_str()]);
    let after: Vec<Vec<u8>> = names.iter().map(|name| place.read(&format!("data/{name}"))).collect();
    assert_eq!(before, after);

    // other rows are not put beside them
    fs::remove_file(place.path("set/train/red/000.png")).unwrap();
    place.run(&arguments).failed_with(&["data", "an import of other rows", "--overwrite"]);
    let overwrite: Vec<&str> = arguments.into_iter().chain(["--overwrite"]).collect();
    assert_eq!(place.run(&overwrite).json()["rows"], 79);
    fs::write(place.path("data/other.parquet"), "x").unwrap();
    place.run(&overwrite).failed_with(&["`other.parquet`", "no import wrote"]);
    place
        .run(&["import", "set", "-o", "new", "--split", "test=0.1"])
        .failed_with(&["--split", "a split `test` of its own"]);
    place.run(&["import", "set", "-o", "set/new"]).failed_with(&["set/new", "it lies in the source"]);
}

#[test]
fn metadata_beside_images_has_further_columns() {
    let place = Workplace::bare();
    class_folders(&place, "set/images", 0, 6);
    let table = "file_name,caption,score,kind\nimages/red/000.png,\"a, red one\",1,warm\nimages/green/001.png,,2.5,cold\nimages/gone.png,x,1,warm\n../out.png,x,1,warm\nimages/blue/002.png,blue,NA,cold\n";
    place.write("set/metadata.csv", table);
    let report = place.run(&["import", "set", "-o", "data", "--label", "kind", "--json"]).json();
    assert_eq!((&report["rows"], &report["read_as"]), (&3.into(), &"metadata".into()));
    let told = report["left_out"].to_string();
    for part in [
        "metadata.csv:4",
        "no file `images/gone.png`",
        "metadata.csv:5",
        "leads out",
        "images/red/003.png",
        "no table names it",
    ] {
        assert!(told.contains(part), "wanted {part} in {told}");
    }
    let file = place.path("data/set-train-00000-of-00001.parquet");
    let mut rows = BTreeMap::new();
    for batch in batches(&file) {
        for row in 0..batch.num_rows() {
            let path = batch["image"].as_struct().column(1).as_string::<i32>().value(row).to_owned();
            let caption = batch["caption"].as_string::<i32>();
            let score = batch["score"].as_primitive::<Float64Type>();
            let caption = caption.is_valid(row).then(|| caption.value(row).to_owned());
            let score = score.is_valid(row).then(|| score.value(row));
            rows.insert(path, (caption, score, batch["kind"].as_primitive::<Int64Type>().value(row)));
        }
    }
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(rows["images/red/000.png"], (text("a, red one"), Some(1.0), 1));
    assert_eq!(rows["images/green/001.png"], (None, Some(2.5), 0));
    assert_eq!(rows["images/blue/002.png"], (text("blue"), None, 0));
    let names = ["cold", "warm"].map(str::to_owned).to_vec();
    assert_eq!(features(&file).get("kind"), Some(&Feature::ClassLabel { names }));
}

#[test]
fn columns_of_tables_have_types_and_splits_by_name() {
    let place = Workplace::bare();
    place.write("train.csv", "id,price,sold,zip,tags,grade\n1,2.5,true,01234,\"[1, 2]\",10\n2,,false,99999,[],9\n3,1\n4,1,true,1,\"[3]\",10\n");
    place.write("test.csv", "id,price,sold,zip,tags,grade\n5,7,false,00001,\"[4]\",9\n");
    let report =
        place.run(&["import", "train.csv", "test.csv", "-o", "data/prices", "--label", "grade", "--json"]).json();
    assert!(report["left_out"].to_string().contains("train.csv:4"), "{report}");
    assert_eq!(report["classes"], serde_json::json!(["9", "10"]));
    let file = place.path("data/prices/prices-train-00000-of-00001.parquet");
    let batch = batches(&file).remove(0);
    let types: Vec<DataType> = batch.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    assert_eq!(types[..4], [DataType::Int64, DataType::Float64, DataType::Boolean, DataType::Utf8]);
    assert_eq!(batch["id"].as_primitive::<Int64Type>().values().to_vec(), [1, 2, 4]);
    assert_eq!(batch["zip"].as_string::<i32>().value(0), "01234");
    assert_eq!(batch["tags"].as_list::<i32>().value(0).as_primitive::<Int64Type>().values().to_vec(), [1, 2]);
    assert_eq!(batch["grade"].as_primitive::<Int64Type>().values().to_vec(), [1, 0, 1]);
    assert_eq!(batches(&place.path("data/prices/prices-test-00000-of-00001.parquet"))[0].num_rows(), 1);

    place.write("rows.jsonl", "{\"a\": 1, \"b\": \"x\"}\n[1]\n{\"a\": 2.5, \"c\": {\"d\": 1}}\nnonsense\n{\"b\": 3}\n");
    let report = place.run(&["import", "rows.jsonl", "-o", "lines", "--json"]).json();
    assert_eq!((&report["rows"], &report["left_out"]["count"]), (&3.into(), &2.into()));
    let batch = batches(&place.path("lines/rows-train-00000-of-00001.parquet")).remove(0);
    assert_eq!(batch["a"].as_primitive::<Float64Type>().iter().collect::<Vec<_>>(), [Some(1.0), Some(2.5), None]);
    assert_eq!(batch["b"].as_string::<i32>().iter().collect::<Vec<_>>(), [Some("x"), None, Some("3")]);
    assert_eq!(batch["c"].as_string::<i32>().value(1), "{\"d\":1}");
    // 2^64 and more, one below the other
    place.write("long.jsonl", "{\"id\": 12345678901234567890}\n{\"id\": 98765432109876543210}\n{\"id\": 7}\n");
    let report = place.run(&["import", "long.jsonl", "-o", "long", "--json"]).json();
    assert!(report["notes"].to_string().contains("no digit is lost"), "{report}");
    let batch = batches(&place.path("long/long-train-00000-of-00001.parquet")).remove(0);
    let ids: Vec<_> = batch["id"].as_string::<i32>().iter().flatten().collect();
    assert_eq!(ids, ["12345678901234567890", "98765432109876543210", "7"]);
    place
        .run(&["import", "rows.jsonl", "-o", "more", "--label", "lable"])
        .failed_with(&["no table has a column `lable`"]);
}

#[test]
fn what_is_no_source_is_refused_in_words() {
    let place = Workplace::bare();
    fs::create_dir_all(place.path("empty/in/it")).unwrap();
    place.run(&["import", "empty", "-o", "out"]).failed_with(&["empty", "it holds no file"]);
    place.run(&["import", "gone", "-o", "out"]).failed_with(&["gone", "no such file or folder"]);
    fs::create_dir_all(place.path("broken/a")).unwrap();
    fs::write(place.path("broken/a/1.png"), "").unwrap();
    fs::write(place.path("broken/a/2.png"), [0x89, 0x50, 0x4e, 0x47]).unwrap();
    place.run(&["import", "broken", "-o", "out"]).failed_with(&["none of its rows can be used", "a/1.png"]);
    place.write("twice.csv", "a,a\n1,2\n");
    place.run(&["import", "twice.csv", "-o", "out"]).failed_with(&["twice.csv", "two columns are called `a`"]);
    place.write("open.csv", "a,b\n1,\"x\n2,y\n");
    place.run(&["import", "open.csv", "-o", "out"]).done();
    place.write("none.csv", "a,b\n1\n");
    place.run(&["import", "none.csv", "-o", "other"]).failed_with(&["it holds no row", "none.csv:2"]);
    assert!(!place.path("other").exists());
    for share in ["test", "test=2", "train=0.1"] {
        let ran = place.run(&["import", "twice.csv", "-o", "out", "--split", share]);
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    }
}

#[cfg(unix)]
#[test]
fn loops_of_links_and_names_that_are_no_text_are_told() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let place = Workplace::bare();
    class_folders(&place, "set", 0, 6);
    std::os::unix::fs::symlink(place.path("set"), place.path("set/red/loop")).unwrap();
    std::os::unix::fs::symlink(place.path("nowhere"), place.path("set/red/broken.png")).unwrap();
    fs::write(place.path("set/red").join(OsStr::from_bytes(b"\xff.png")), "x").unwrap();
    let report = place.run(&["import", "set", "-o", "data", "--json"]).json();
    assert_eq!((&report["rows"], &report["left_out"]["count"]), (&6.into(), &3.into()), "{report}");
    let told = report["left_out"].to_string();
    assert!(told.contains("a link to a folder that it lies in") && told.contains("no UTF-8"), "{told}");
}
