//! Recipes that are wrong: exit code 1, the place and what to do.

use crate::workplace::Workplace;

#[test]
fn keys_units_and_ranges() {
    let place = Workplace::new();
    let rows: &[(&str, &[&str])] = &[
        ("training.epocs=3", &["unknown key `epocs` in training", "did you mean `epochs`?"]),
        ("data.memory=512", &["data.memory: ", "has no unit of bytes", "512 MiB"]),
        ("data.memory=512 pixels", &["data.memory: ", "has no unit of bytes"]),
        ("transforms.train.1.rotate.degrees=15px", &["transforms.train[1].rotate", "degrees", "15px"]),
        ("transforms.train.1.rotate.degree=15", &["transforms.train[1].rotate", "`degree`", "did you mean `degrees`?"]),
        ("transforms.train.1.rotate.degrees=400", &["transforms.train[1].rotate", "400"]),
        ("transforms.train.2=horizontal_flop", &["transforms.train[2]", "did you mean `horizontal_flip`?"]),
        ("transforms.evaluate.0=horizontal_flip", &["transforms.evaluate[0]", "`horizontal_flip` is random"]),
        ("training.epochs=0", &["training.epochs: wanted 1 or more, got 0"]),
        ("training.device=gpu", &["training.device", "`gpu`"]),
        ("version=2", &["version: wanted 1, got 2"]),
        ("model.train={match: [\"convx.*\"]}", &["no layer matches `convx.*`"]),
        ("model.train={last: 9}", &["model.train.last", "1 to 2"]),
        ("model.head=keep", &["7", "3", "`head: new`"]),
        ("model.output=logit", &["no output `logit`", "did you mean `logits`?"]),
        ("data.input=picture", &["no column `picture`", "image, label"]),
        ("data.label=lable", &["no column `lable`", "did you mean `label`?"]),
        ("transforms.train.0.random_resized_crop.size=32", &["transforms.train", "32×32", "takes 16×16"]),
        ("transforms.evaluate.0.resize.size=[16, 8]", &["transforms.evaluate", "16×8", "takes 16×16"]),
    ];
    for (change, wanted) in rows {
        place.run_with("check", &[change]).failed_with(wanted);
    }
}

#[test]
fn files_that_are_no_recipes() {
    let place = Workplace::new();
    place.run(&["check", "missing.yaml"]).failed_with(&["cannot read missing.yaml", "No such file"]);
    place.write("broken.yaml", "version: 1\nmodel: [");
    place.run(&["check", "broken.yaml"]).failed_with(&["broken.yaml"]);
    place.write("other.yaml", "just text");
    place.run(&["check", "other.yaml"]).failed_with(&["other.yaml", "key: value"]);
    place.write("short.yaml", "version: 1\ndata: {}\n");
    place.run(&["check", "short.yaml"]).failed_with(&["data: missing key `train`"]);
    place.write("modelless.yaml", "version: 1\ndata: {train: train-0.parquet}\n");
    place.run(&["check", "modelless.yaml"]).failed_with(&["model: missing"]);
    place.run(&["check", "model.onnx"]).failed_with(&["model.onnx"]);
}
