//! Pictures with boxes, captions and masks made into Parquet, previewed and trained on.

use std::fs;
use std::io::Cursor;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, BinaryArray, ListArray, StringArray, StructArray};
use arrow_schema::{DataType, Field};
use image::{GrayImage, ImageFormat, Luma};
use millstream::schemas::Features;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use crate::import::{batches, parquet};
use crate::onnx::{model, node, tensor, weight};
use crate::workplace::{Workplace, has_runtime};
use crate::{columns, dataset};

/// A picture of 20 by 24 pixels.
fn put(place: &Workplace, name: &str, number: usize) {
    let path = place.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, dataset::rows(number, 1).remove(0).image.unwrap()).unwrap();
}

fn write(place: &Workplace, name: &str, text: &str) {
    fs::create_dir_all(place.path(name).parent().unwrap()).unwrap();
    place.write(name, text);
}

fn left_out(report: &Value) -> String {
    report["left_out"]["first"].to_string()
}

/// Path, boxes and classes of each row, by path.
fn objects(place: &Workplace, folder: &str) -> Vec<(String, Vec<Vec<f64>>, Vec<i64>)> {
    let mut found = Vec::new();
    for file in parquet(&place.path(folder)) {
        for batch in batches(&place.path(&format!("{folder}/{file}"))) {
            let objects = batch["objects"].as_struct();
            let boxes = objects.column_by_name("bbox").unwrap().as_list::<i32>();
            let classes = objects.column_by_name("category").unwrap().as_list::<i32>();
            for row in 0..batch.num_rows() {
                let path = batch["image"].as_struct().column(1).as_string::<i32>().value(row).to_owned();
                let of_row = boxes.value(row);
                let of_row = of_row.as_list::<i32>();
                let sides =
                    (0..of_row.len()).map(|at| of_row.value(at).as_primitive::<Float64Type>().values().to_vec());
                let classes = classes.value(row).as_primitive::<Int64Type>().values().to_vec();
                found.push((path, sides.collect(), classes));
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn class_names(place: &Workplace, file: &str) -> Vec<String> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(place.path(file)).unwrap()).unwrap();
    Features::classes_in_lists(builder.schema(), file, "objects", Some("category")).unwrap().unwrap()
}

/// The sheet of the training rows with their boxes, on the originals too, whether or not the model is asked for their classes.
fn preview(place: &Workplace) {
    let sheet = |name: &str, more: &str| {
        let recipe = format!(
            "version: 1\ndata:\n  train: data\n  inputs: {{image: {{image: {{column: image}}}}}}\n  targets: {{boxes: {{boxes: {{column: \
             objects, convention: coco, most: 4{more}}}}}}}\ntransforms: {{train: [{{resize: {{size: 16}}}}, horizontal_flip]}}\noutput: \
             {{folder: run}}\n"
        );
        place.write("boxes.yaml", &recipe);
        place.run(&["preview", "boxes.yaml", "-o", name]).done();
        image::open(place.path(name)).unwrap().to_rgb8()
    };
    let named = sheet("sheet.png", "");
    // the first column, where the pictures are as they were: boxes in the colours of their classes
    for colour in [[86, 180, 233], [230, 159, 0]] {
        let found = named.enumerate_pixels().filter(|(x, _, pixel)| *x < 168 && pixel.0 == colour).count();
        assert!(found > 100, "{found} pixels of {colour:?}");
    }
    assert!(
        sheet("plain.png", ", class_field: ''") == named,
        "classes are shown whether or not the model is asked for them"
    );
}

#[test]
fn coco_annotations_of_images_that_are_not_listed_are_told_and_categories_of_one_name_are_one_class() {
    let place = Workplace::bare();
    put(&place, "coco/a.png", 0);
    let annotations = json!({
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "gone.png"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4]},
            {"id": 2, "image_id": 1, "category_id": 9, "bbox": [1, 2, 3, 4]},
            {"id": 3, "image_id": 2, "category_id": 7, "bbox": [1, 2, 3, 4]},
            {"id": 4, "image_id": 77, "category_id": 7, "bbox": [1, 2, 3, 4]},
        ],
        "categories": [{"id": 7, "name": "cat"}, {"id": 8, "name": "dog"}, {"id": 9, "name": "cat"}],
    });
    write(&place, "coco/annotations.json", &annotations.to_string());
    let report = place.run(&["import", "coco", "-o", "data", "--json"]).json();
    let told = left_out(&report);
    assert!(told.contains("annotation 4") && told.contains("its image is not among the images"), "{told}");
    assert!(told.contains("image `gone.png`") && !told.contains("annotation 3"), "{told}");
    assert_eq!(report["columns"][2]["holds"], "boxes of 2 classes", "{report}");
    assert!(report["notes"].to_string().contains("3 categories have 2 names"), "{report}");
}

#[test]
fn one_box_of_coco_that_is_no_numbers_is_left_out_alone_and_images_that_are_left_out_lack_no_box() {
    let place = Workplace::bare();
    for (at, name) in ["a.png", "b.png", "c.png"].iter().enumerate() {
        put(&place, &format!("coco/{name}"), at);
    }
    std::fs::write(place.path("coco/broken.png"), "no image").unwrap();
    let annotations = json!({
        "images": [
            {"id": 1, "file_name": "a.png"},
            {"id": 2, "file_name": "b.png"},
            {"id": 3, "file_name": "c.png", "width": 999, "height": 24},
            {"id": 4, "file_name": "broken.png"},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4], "area": 12},
            {"id": 2, "image_id": 1, "category_id": 7, "bbox": [1, "2", 3, 4]},
            {"id": 3, "image_id": 1, "category_id": 7, "bbox": {"left": 1}},
            {"id": 4, "image_id": 1, "category_id": "cat", "bbox": [1, 2, 3, 4]},
            {"id": 5, "image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4], "area": "large"},
            {"id": 6, "image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4], "caption": ["a"]},
        ],
        "categories": [{"id": 7, "name": "cat"}],
    });
    write(&place, "coco/annotations.json", &annotations.to_string());
    let report = place.run(&["import", "coco", "-o", "data", "--json"]).json();
    let told = left_out(&report);
    for part in
        ["annotation 2", "annotation 3", "no box of four numbers", "annotation 4", "its category is no whole number"]
    {
        assert!(told.contains(part), "wanted {part} in {told}");
    }
    for part in ["annotation 5", "its area is no number", "annotation 6", "its caption is no text", "broken.png"] {
        assert!(told.contains(part), "wanted {part} in {told}");
    }
    assert!(!told.contains("annotation 1"), "{told}");
    assert_eq!(report["rows"], 2, "{report}");
    assert!(report["notes"].to_string().contains("\"1 image without a box\""), "{report}");
    let rows = objects(&place, "data");
    assert_eq!(rows[0], ("a.png".into(), vec![vec![1.0, 2.0, 3.0, 4.0]; 2], vec![0, 0]));
    assert_eq!(rows[1], ("b.png".into(), vec![], vec![]));
}

#[test]
fn coco_gives_boxes_in_pixels_with_the_names_of_their_categories() {
    let place = Workplace::bare();
    for (at, name) in
        ["train2017/a.png", "train2017/b.png", "val2017/a.png", "train2017/unknown.png"].iter().enumerate()
    {
        put(&place, &format!("coco/{name}"), at);
    }
    let categories = json!([{"id": 7, "name": "dog", "supercategory": "animal"}, {"id": 3, "name": "cat"}]);
    let annotations = json!({
        "info": {"year": 2017},
        "images": [
            {"id": 11, "file_name": "a.png", "width": 20, "height": 24},
            {"id": 12, "file_name": "b.png", "width": 20, "height": 24},
            {"id": 13, "file_name": "gone.png", "width": 20, "height": 24},
        ],
        "annotations": [
            {"id": 1, "image_id": 11, "category_id": 7, "bbox": [1.5, 2, 10, 4.25], "area": 40.5, "iscrowd": 0, "segmentation": [[1, 2, 3, 4, 5, 6]]},
            {"id": 2, "image_id": 11, "category_id": 3, "bbox": [0, 0, 20, 24], "area": 480, "iscrowd": 1, "segmentation": {"counts": [1], "size": [24, 20]}},
            {"id": 3, "image_id": 11, "category_id": 3, "bbox": [0, 0, 0, 24]},
            {"id": 4, "image_id": 11, "category_id": 99, "bbox": [0, 0, 3, 24]},
            {"id": 5, "image_id": 13, "category_id": 3, "bbox": [0, 0, 3, 24]},
        ],
        "categories": categories,
    });
    write(&place, "coco/annotations/instances_train2017.json", &annotations.to_string());
    let other = json!({
        "images": [{"id": 21, "file_name": "a.png", "width": 20, "height": 24}],
        "annotations": [{"id": 9, "image_id": 21, "category_id": 3, "bbox": [5, 5, 5, 5], "area": 25, "iscrowd": 0}],
        "categories": categories,
    });
    write(&place, "coco/annotations/instances_val2017.json", &other.to_string());
    let captions = json!({
        "images": [{"id": 11, "file_name": "a.png"}],
        "annotations": [{"id": 1, "image_id": 11, "caption": "two animals"}, {"id": 2, "image_id": 11, "caption": "a dog"}],
    });
    write(&place, "coco/annotations/captions_train2017.json", &captions.to_string());
    // one level too deep, or the file itself
    for source in ["coco/annotations", "coco/annotations/instances_train2017.json"] {
        let told = ["annotations as COCO has them", "no pictures beside it", "/coco, or the folder of the pictures"];
        place.run(&["import", source, "-o", "wrong"]).failed_with(&told);
    }
    assert!(!place.path("wrong").exists());
    let report = place.run(&["import", "coco", "-o", "data", "--json"]).json();
    assert_eq!((&report["rows"], &report["read_as"]), (&3.into(), &"coco".into()), "{report}");
    let told = left_out(&report);
    for part in [
        "instances_train2017.json: annotation 3",
        "no area",
        "annotation 4",
        "not among the categories",
        "image `gone.png`",
        "train2017/unknown.png",
        "no file of annotations names it",
    ] {
        assert!(told.contains(part), "wanted {part} in {told}");
    }
    let rows = objects(&place, "data");
    let boxes = vec![vec![1.5, 2.0, 10.0, 4.25], vec![0.0, 0.0, 20.0, 24.0]];
    assert_eq!(rows[0], ("train2017/a.png".into(), boxes, vec![1, 0]));
    assert_eq!(rows[1], ("train2017/b.png".into(), vec![], vec![]));
    assert_eq!(rows[2], ("val2017/a.png".into(), vec![vec![5.0; 4]], vec![0]));
    let file = "data/coco-train-00000-of-00001.parquet";
    assert_eq!(class_names(&place, file), ["cat", "dog"]);
    let batch = batches(&place.path(file)).remove(0);
    let row = (0..2).find(|row| batch["image_id"].as_primitive::<Int64Type>().value(*row) == 11).unwrap();
    let captions = batch["captions"].as_list::<i32>().value(row);
    assert_eq!(captions.as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["two animals", "a dog"]);
    let crowds = batch["objects"].as_struct().column_by_name("iscrowd").unwrap().as_list::<i32>().value(row);
    assert_eq!(crowds.as_boolean().iter().flatten().collect::<Vec<_>>(), [false, true]);
    assert_eq!(parquet(&place.path("data"))[1], "coco-validation-00000-of-00001.parquet");
    assert!(place.run(&["inspect", "data"]).done().contains("objects"));
    preview(&place);

    // annotations of other sizes are of other pictures
    let of_b = |height: u32| format!("\"b.png\",\"width\":20,\"height\":{height}");
    let wrong = annotations.to_string().replace(&of_b(24), &of_b(48));
    assert!(wrong.contains(&of_b(48)));
    write(&place, "coco/annotations/instances_train2017.json", &wrong);
    let report = place.run(&["import", "coco", "-o", "other", "--json"]).json();
    assert!(left_out(&report).contains("20×24 pixels, and its annotations are of 20×48"), "{report}");
    write(&place, "coco/annotations/instances_train2017.json", &wrong.replace("\"file_name\"", "\"name\""));
    place.run(&["import", "coco", "-o", "wrong"]).failed_with(&["instances_train2017.json", "file_name"]);
}

#[test]
fn rows_whose_classes_cannot_be_used_are_previewed_where_the_recipe_leaves_classes_out() {
    let place = Workplace::bare();
    let pictures: BinaryArray = dataset::rows(0, 5).into_iter().map(|row| row.image).collect();
    let names = StringArray::from(vec!["a.png", "b.png", "c.png", "d.png", "e.png"]);
    let fields = vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)];
    let images = StructArray::new(fields.into(), vec![Arc::new(pictures), Arc::new(names)], None);
    // the last box of all has three numbers
    let mut boxes = vec![vec![vec![0.0, 0.0, 20.0, 24.0], vec![3.0, 3.0, 10.0, 10.0]]; 4];
    boxes.push(vec![vec![1.0, 1.0, 5.0]]);
    let boxes = columns::lists_of_lists(boxes);
    // classes; one that is null, −1, one too few
    let of_rows = [vec![Some(0), Some(1)], vec![Some(0), None], vec![Some(-1), Some(0)], vec![Some(1)], vec![Some(0)]];
    let of_rows = ListArray::from_iter_primitive::<Int64Type, _, _>(of_rows.into_iter().map(Some));
    let fields = vec![
        Field::new("bbox", boxes.data_type().clone(), true),
        Field::new("category", of_rows.data_type().clone(), true),
    ];
    let objects = StructArray::new(fields.into(), vec![boxes, Arc::new(of_rows)], None);
    let shared: [(&str, ArrayRef); 2] = [("image", Arc::new(images)), ("objects", Arc::new(objects))];
    dataset::write_columns(&place.path("rows.parquet"), &shared, false);
    let sheet = |more: &str, damaged: &str| {
        let recipe = format!(
            "version: 1\ndata:\n  train: rows.parquet\n  damaged: {damaged}\n  inputs: {{image: {{image: {{column: image}}}}}}\n  \
             targets: {{boxes: {{boxes: {{column: objects, convention: coco, most: 4{more}}}}}}}\ntransforms: {{train: [{{resize: {{size: \
             16}}}}]}}\noutput: {{folder: run}}\n"
        );
        place.write("boxes.yaml", &recipe);
        place.run(&["preview", "boxes.yaml", "-n", "5", "-k", "1", "-o", "sheet.png"])
    };
    let left_out = |more: &str| {
        let ran = sheet(more, "skip");
        let lines: Vec<String> =
            ran.stderr.lines().filter(|line| line.contains("is left out")).map(str::to_owned).collect();
        ran.done();
        lines
    };
    let lines = left_out(", class_field: ''");
    assert!(lines.len() == 1 && lines[0].contains("`e.png` (rows"), "{lines:?}");
    // the one row whose classes are known has the colours of two
    let shown = image::open(place.path("sheet.png")).unwrap().to_rgb8();
    for colour in [[86, 180, 233], [230, 159, 0]] {
        let found = shown.enumerate_pixels().filter(|(x, _, pixel)| *x < 168 && pixel.0 == colour).count();
        assert!(found > 100, "{found} pixels of {colour:?}");
    }
    assert_eq!(left_out("").len(), 4);
    sheet(", class_field: ''", "fail").failed_with(&["`e.png` (rows", "where four are wanted"]);
}

#[test]
fn boxes_that_reach_out_of_their_pictures_are_kept_cut_or_left_out_with_their_rows() {
    let place = Workplace::bare();
    put(&place, "photos/a.png", 0);
    put(&place, "photos/b.png", 1);
    let row = |name: &str, boxes: Value, classes: Value| {
        let objects = json!({"bbox": boxes, "categories": classes});
        format!("{}\n", json!({"file_name": name, "objects": objects}))
    };
    let a = row("a.png", json!([[1, 2, 3, 4], [15, 20, 10, 10], [30, 0, 5, 5]]), json!(["cat", "dog", "cat"]));
    let b = row("b.png", json!([[0, 0, 20, 24]]), json!(["dog"]));
    write(&place, "photos/metadata.jsonl", &(a + &b));
    let import = |folder: &str, more: &[&str]| {
        place.run(&[&["import", "photos", "-o", folder, "--json"][..], more].concat()).json()
    };
    let preview = |folder: &str| {
        let recipe = format!(
            "version: 1\ndata:\n  train: {folder}\n  inputs: {{image: {{image: {{column: image}}}}}}\n  targets: {{boxes: {{boxes: {{column: \
             objects, convention: coco, most: 4}}}}}}\ntransforms: {{train: [{{resize: {{size: 16}}}}]}}\noutput: {{folder: run}}\n"
        );
        place.write("boxes.yaml", &recipe);
        place.run(&["preview", "boxes.yaml", "-n", "2", "-k", "1", "-o", "sheet.png"])
    };

    let kept = import("kept", &[]);
    let note = kept["notes"].to_string();
    assert!(note.contains("2 boxes in 1 row reach more than a pixel out") && note.contains("--boxes clip"), "{kept}");
    let whole = vec![vec![0.0, 0.0, 20.0, 24.0]];
    let rows = objects(&place, "kept");
    assert_eq!((&rows[0].1[1..], &rows[1].1), (&[vec![15.0, 20.0, 10.0, 10.0], vec![30.0, 0.0, 5.0, 5.0]][..], &whole));
    preview("kept").failed_with(&["is not in the image of 20×24 pixels"]);

    let clipped = import("clipped", &["--boxes", "clip"]);
    let note = clipped["notes"].to_string();
    assert!(note.contains("were cut at its edges") && note.contains("of 1 of them nothing lay"), "{clipped}");
    let rows = objects(&place, "clipped");
    let cut = vec![vec![1.0, 2.0, 3.0, 4.0], vec![15.0, 20.0, 5.0, 4.0]];
    assert_eq!((&rows[0].1, &rows[0].2, &rows[1].1), (&cut, &vec![0, 1], &whole));
    preview("clipped").done();
    let again = import("clipped", &["--boxes", "clip"]);
    assert_eq!(again["splits"][0]["files"][0]["kept"], true, "{again}");

    let fewer = import("fewer", &["--boxes", "leave-out"]);
    assert_eq!(fewer["rows"], 1, "{fewer}");
    assert!(left_out(&fewer).contains("from (15, 20) to (25, 30) that is not in its picture"), "{fewer}");
    assert_eq!(objects(&place, "fewer")[0].1, whole);

    place.write("rows.csv", "a,b\n1,2\n");
    let told = ["--boxes", "rows.csv has no pictures with boxes"];
    place.run(&["import", "rows.csv", "-o", "none", "--boxes", "clip"]).failed_with(&told);
}

#[test]
fn yolo_gives_boxes_in_pixels_with_the_names_of_data_yaml() {
    let place = Workplace::bare();
    for (at, name) in
        ["train/images/1.png", "train/images/2.png", "train/images/3.png", "valid/images/4.png"].iter().enumerate()
    {
        put(&place, &format!("yolo/{name}"), at);
    }
    write(&place, "yolo/data.yaml", "train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['leaf', 'root']\n");
    write(&place, "yolo/train/labels/1.txt", "1 0.5 0.5 0.5 0.25\n0 0.25 0.25 0.5 0.5\n");
    write(&place, "yolo/train/labels/2.txt", "0 0.5 0.5 0.2 0.2\n5 0.5 0.5 0.2 0.2\n");
    write(&place, "yolo/train/labels/9.txt", "0 0.5 0.5 0.2 0.2\n");
    write(&place, "yolo/valid/labels/4.txt", "0 0.0 0.0 0.5 0.0 0.5 0.5\n");
    let report = place.run(&["import", "yolo", "-o", "data", "--json"]).json();
    assert_eq!((&report["rows"], &report["read_as"]), (&3.into(), &"yolo".into()), "{report}");
    let told = left_out(&report);
    for part in ["train/images/2.png", "train/labels/2.txt:2", "of class 5, and there are 2", "train/labels/9.txt"] {
        assert!(told.contains(part), "wanted {part} in {told}");
    }
    let rows = objects(&place, "data");
    assert_eq!(rows[0].1, [[5.0, 9.0, 10.0, 6.0], [0.0, 0.0, 10.0, 12.0]]);
    assert_eq!((&rows[0].2, &rows[1].2, &rows[2].1), (&vec![1, 0], &vec![], &vec![vec![0.0, 0.0, 10.0, 12.0]]));
    assert_eq!(class_names(&place, "data/yolo-train-00000-of-00001.parquet"), ["leaf", "root"]);
    assert_eq!(report["splits"][1]["split"], "validation");
    assert!(report["notes"].to_string().contains("1 image without a file of boxes"), "{report}");
    preview(&place);
}

#[test]
fn masks_of_the_same_names_are_embedded_as_they_are_and_trained_on() {
    let place = Workplace::bare();
    let mask = |at: u8| {
        let mut bytes = Cursor::new(Vec::new());
        let picture = GrayImage::from_fn(20, 24, |x, y| Luma([u8::from(x > 8 && y > u32::from(at) / 4)]));
        picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    for at in 0..24_u8 {
        let split = if at < 18 { "training" } else { "validation" };
        put(&place, &format!("ade/images/{split}/{at:02}.png"), at.into());
        fs::create_dir_all(place.path(&format!("ade/annotations/{split}"))).unwrap();
        fs::write(place.path(&format!("ade/annotations/{split}/{at:02}.png")), mask(at)).unwrap();
    }
    put(&place, "ade/images/training/90.png", 90);
    fs::write(place.path("ade/annotations/training/91.png"), mask(0)).unwrap();
    put(&place, "ade/images/training/92.png", 92);
    let small = dataset::rows(0, 1).remove(0).image.unwrap();
    let small = image::load_from_memory(&small).unwrap().thumbnail(8, 8).to_luma8();
    small.save(place.path("ade/annotations/training/92.png")).unwrap();
    let report = place.run(&["import", "ade", "-o", "data", "--json"]).json();
    assert_eq!((&report["rows"], &report["read_as"]), (&24.into(), &"masks".into()), "{report}");
    let told = left_out(&report);
    for part in ["images/training/90.png", "no mask of its name", "annotations/training/91.png", "and the image is not"]
    {
        assert!(told.contains(part), "wanted {part} in {told}");
    }
    let names = ["ade-train-00000-of-00001.parquet", "ade-validation-00000-of-00001.parquet"];
    assert_eq!(parquet(&place.path("data")), names);
    let batch = batches(&place.path(&format!("data/{}", names[1]))).remove(0);
    let masks = batch["mask"].as_struct();
    for row in 0..batch.num_rows() {
        let path = masks.column(1).as_string::<i32>().value(row);
        assert_eq!(masks.column(0).as_binary::<i32>().value(row), place.read(&format!("ade/{path}")));
    }
    if !has_runtime() {
        return;
    }
    let nodes = vec![node("Conv", &["picture", "w", "b"], "scores", &[])];
    let weights = vec![weight("w", &[2, 3, 1, 1]), weight("b", &[2])];
    let inputs = vec![tensor("picture", false, &["batch", "3", "16", "16"])];
    let network = model(nodes, weights, inputs, vec![tensor("scores", false, &["batch", "2", "16", "16"])]);
    fs::write(place.path("model.onnx"), network).unwrap();
    place.write(
        "recipe.yaml",
        "version: 1\nmodel: {path: model.onnx, train: all}\ndata:\n  train: data\n  evaluate: data\n  batch: 6\n  inputs: {picture: {image: \
         {column: image}}}\n  targets: {mask: {mask: {column: mask, classes: [back, front]}}}\ntransforms:\n  train: [{resize: {size: 16}}]\n  \
         evaluate: [{resize: {size: 16}}]\ntraining: {epochs: 1, threads: 1, device: cpu, loss: sparse_cross_entropy, metrics: [mean_iou]}\n\
         output: {folder: run}\n",
    );
    place.run(&["train", "recipe.yaml"]).done();
}
