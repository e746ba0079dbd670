//! Recipes that are wrong: exit code 1, the place and what to do.

use crate::workplace::{Workplace, has_runtime};

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
        ("training.precision=half", &["training.precision", "`half`", "float16"]),
        ("training.loss=focl", &["training.loss: ", "did you mean `focal`?"]),
        ("training.loss={focal: {gamma: -1}}", &["training.loss.focal.gamma: wanted 0 or more, got -1"]),
        ("training.loss={focal: {alpha: [1, 2]}}", &["training.loss", "a factor for each class, wanted 3, got 2"]),
        ("training.loss=mse", &["training.loss: the loss `mse` wants numbers", "the labels give"]),
        ("training.loss=sparse_cross_entropy", &["training.loss", "int64 [", "such as `cross_entropy`"]),
        ("training.metrics=[acuracy]", &["training.metrics[0]", "did you mean `accuracy`?"]),
        ("training.metrics=[accuracy, mse]", &["training.metrics[1]: `mse` measures numbers"]),
        ("training.metrics=[{top_k: {k: 0}}]", &["training.metrics[0].top_k.k: wanted 1 or more, got 0"]),
        ("training.metrics=[{f1: {average: both}}]", &["training.metrics[0].f1.average", "`both`"]),
        (
            "training.metrics=[{f1: {average: binary}}]",
            &["`f1` cannot be measured", "for two classes, and there are 3"],
        ),
        ("training.best=acuracy", &["training.best: no figure is called `acuracy`", "accuracy, top_5, loss"]),
        ("version=2", &["version: wanted 1, got 2"]),
        ("model.train={match: [\"convx.*\"]}", &["`convx.*` matches no layer and no parameter"]),
        ("model.train={last: 9}", &["model.train.last", "1 to 2"]),
        ("model.train=[norms]", &["model.train[0]: nothing fits `norms`", "--set model.train"]),
        ("model.train=[head, {last: 9}]", &["model.train[1].last", "1 to 2"]),
        (
            "model.batch_normalization=reestimated",
            &["model.batch_normalization", "the model has no BatchNormalization"],
        ),
        ("model.stochastic_depth={probability: 0.1}", &["model.stochastic_depth", "the model has no residual branch"]),
        ("model.head=keep", &["7", "3", "`head: new`"]),
        ("model.output=logit", &["no output `logit`", "did you mean `logits`?"]),
        ("data.input=picture", &["no column `picture`", "image, label"]),
        ("data.label=lable", &["no column `lable`", "did you mean `label`?"]),
        ("data.inputs={image: {image: {column: pictur}}}", &["no column `pictur`", "--set data.inputs"]),
        ("data.inputs={image: {image: {channels: 2}}}", &["data.inputs.image.image", "channels is 1 or 3, got 2"]),
        ("data.inputs={image: {imge: {}}}", &["data.inputs.image", "did you mean `image`?"]),
        (
            "transforms.train=[{resize: {size: 16}}, {normalize: {mean: [0.5], std: [0.5]}}]",
            &["transforms.train[1]", "channel"],
        ),
        ("data.inputs={picture: {image: {}}}", &["data.inputs", "takes an input `image`, and the data make `picture`"]),
        ("data.targets={y: {number: {column: label}}}", &["training.loss", "the data give numbers", "such as `mse`"]),
        ("transforms.train.0.random_resized_crop.size=32", &["transforms.train", "32×32", "takes 16×16"]),
        ("transforms.evaluate.0.resize.size=[16, 8]", &["transforms.evaluate", "16×8", "takes 16×16"]),
    ];
    for (change, wanted) in rows {
        place.run_with("check", &[change]).failed_with(wanted);
    }
}

#[test]
fn precisions_that_the_cpu_does_not_have_are_refused_before_anything_is_written() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    for precision in ["tf32", "bfloat16", "float16"] {
        let change = format!("training.precision={precision}");
        let reason = format!("`{precision}` is for CUDA devices, and steps would run on the CPU (asked for)");
        let wanted = ["training.precision: ", reason.as_str(), "`precision: float32`"];
        let ran = place.run_with("check", &[&change]);
        let said = [ran.stdout.as_str(), ran.stderr.as_str()].concat();
        assert_eq!(ran.code, Some(1), "{said}");
        assert!(wanted.iter().all(|wanted| said.contains(wanted)), "{said}");
        let counted = format!("precision: {precision}: ");
        assert!(said.contains(&counted) && said.contains("run in 16 bits") || precision == "tf32", "{said}");
        place.run_with("train", &[&change]).failed_with(&[wanted[0], &reason]);
        assert!(!place.path("run").exists());
    }
}

#[test]
fn files_that_are_no_recipes() {
    let place = Workplace::new();
    place.run(&["check", "missing.yaml"]).failed_with(&["cannot read missing.yaml", "No such file", "recipe.yaml"]);
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

/// Several mistakes of one recipe, each with its line, its place in it and the line to write instead.
const WRONG: &str = "\
version: 1
model: {path: model.onnx}
data:
  train: train-*.parquet
  batch_size: 32
training:
  lr: 0.01
  epochs: 0
transforms:
  train:
    - RandomHorizontalFlip
    - rotate: {degrees: [-15, 15], p: 0.5}
";

#[test]
fn all_mistakes_of_a_recipe_are_told_at_once_at_their_lines() {
    let place = Workplace::new();
    place.write("wrong.yaml", WRONG);
    let wanted = [
        "wrong.yaml:5:3",
        "  batch_size: 32",
        "  ^^^^^^^^^^",
        "      data:\n        batch: 32",
        "          adamw:\n            learning_rate: 0.01",
        "wrong.yaml:8:11",
        "wanted 1 or more, got 0",
        "      - horizontal_flip",
        "      - rotate: {degrees: 15, probability: 0.5}",
        "6 errors in wrong.yaml",
    ];
    for command in ["check", "train", "evaluate", "preview"] {
        let said = place.run(&[command, "wrong.yaml"]).failed_with(&wanted);
        assert!(!said.contains('\u{1b}'), "{said}");
    }
}

#[test]
fn a_wrong_option_in_a_list_is_one_error() {
    let place = Workplace::new();
    for (change, wanted) in [
        ("model.methods=[{lora: {rnk: 8}}]", "unknown key `rnk` in model.methods[0].lora"),
        ("output.logs=[{csv: {fil: a}}]", "unknown key `fil` in output.logs[0].csv"),
        ("training.metrics=[{top_k: {kk: 2}}]", "unknown key `kk` in training.metrics[0].top_k"),
    ] {
        let said = place.run_with("check", &[change]).failed_with(&[wanted]);
        assert!(!said.contains("got null") && said.matches("error").count() == 1, "{change}: {said}");
    }
}

#[test]
fn errors_are_json_where_json_is_asked_for() {
    let place = Workplace::new();
    place.write("wrong.yaml", WRONG);
    let ran = place.run(&["check", "wrong.yaml", "--json"]);
    assert_eq!(ran.code, Some(1));
    let error: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&error["event"], &error["message"]), (&"error".into(), &"6 errors in wrong.yaml".into()));
    let first = &error["places"][0];
    assert_eq!((&first["line"], &first["column"], &first["key"]), (&5.into(), &3.into(), &"data.batch_size".into()));
    let ran = place.run(&["inspect", "nowhere", "--json"]);
    assert!(ran.stdout.contains("\"event\":\"error\""), "{}", ran.stdout);
}

#[test]
fn what_is_found_after_reading_is_shown_at_its_place_too() {
    let place = Workplace::new();
    let text = String::from_utf8(place.read("recipe.yaml")).unwrap();
    for (from, to, wanted) in [
        ("model.onnx", "nowhere.onnx", ["nowhere.onnx", "recipe.yaml:4:9", "^^^^^^^^^^^^"]),
        ("train-*.parquet", "none-*.parquet", ["matches no file", "recipe.yaml:7:10", "^^^^^^^^^^^^^^"]),
        ("size: 16}", "size: 8}", ["takes 16×16", "recipe.yaml:", "^"]),
    ] {
        place.write("recipe.yaml", &text.replacen(from, to, 1));
        place.run_with("check", &[]).failed_with(&wanted);
    }
    place.write("recipe.yaml", &text);
    let change = "model.path=nowhere.onnx";
    place.run_with("check", &[change]).failed_with(&["nowhere.onnx", "--> --set model.path=nowhere.onnx"]);
}

#[test]
fn what_does_not_fit_the_model_is_shown_where_it_is_written() {
    let place = Workplace::new();
    let text = String::from_utf8(place.read("recipe.yaml")).unwrap();
    for (from, to, wanted) in [
        ("  train: all", "  train: {match: [convv]}", ["`convv`", "recipe.yaml:5:", "^"]),
        ("  train: all", "  train: {last: 9}", ["model.train.last", "recipe.yaml:5:", "^"]),
        ("  train: all", "  train: all\n  output: scores", ["no output `scores`", "recipe.yaml:6:", "^"]),
        (
            "  epochs: 3",
            "  epochs: 3\n  learning_rate_multipliers: [{match: heat, multiplier: 2}]",
            ["matches no layer; did you mean `head`?", "recipe.yaml:21:", "^"],
        ),
    ] {
        assert!(text.contains(from), "{from} in {text}");
        place.write("recipe.yaml", &text.replacen(from, to, 1));
        place.run_with("check", &[]).failed_with(&wanted);
    }
}

#[test]
fn no_text_of_a_library_reaches_a_person() {
    let place = Workplace::new();
    for change in [
        "model.head={keep: {classes: 3}}",
        "model.head={pooled: middle}",
        "model.head={on_features: {dropout: 1}}",
        "training.average=often",
        "training.early_stopping={patience: 0}",
        "training.schedule=exponentially",
        "training.schedule={cosine: {warmup: 5 hours}}",
        "training.schedule={cosine: {warmup: true}}",
        "training.optimizer=[adamw]",
        "training.optimizer={}",
        "data.order=3",
        "data.drop_last=maybe",
        "model.train={last: 1, match: [a]}",
        "model.train=[norm]",
        "model.train=[{kind: nroms}]",
        "model.train=[[head]]",
        "model.train=[]",
        "model.batch_normalization=reestimate",
        "model.batch_normalization={reestimated: {rows: 0}}",
        "model.batch_normalization={frozen: {rows: 4}}",
        "model.stochastic_depth=0.1",
        "model.stochastic_depth={probability: 1}",
        "model.stochastic_depth={mode: rows}",
        "seed=1.5",
        "data.train=[[a]]",
        "transforms.train.0=3",
        "transforms.train.1.rotate.fill=[1]",
        "training.gradient_clip_norm=.inf",
        "seed=!!int x",
        "output.checkpoint=none",
        "data.memory=true",
        "training.learning_rate_multipliers={a: 1}",
        "training.groups={kind: norms}",
        "training.groups=[{kind: nroms, weight_decay: 0}]",
        "training.groups=[{kind: norms, learning_rate: fast}]",
        "training.groups=[{kind: norms, learning_rate: true}]",
        "training.groups=[{last: many, weight_decay: 0}]",
        "training.head_first=1",
        "training.unfreeze=[{at: 3, layers: {last: 1}}]",
        "training.freeze=[{at: {epoch: 1}, layers: all}]",
        "training.schedule={reduce_on_plateau: {threshold_mode: relativ}}",
        "seed=[",
    ] {
        let said = place.run_with("check", &[change]).failed_with(&["--set"]);
        for foreign in ["variant", "invalid type", "expected", "untagged", "YAML parse", "at line", "struct"] {
            assert!(!said.contains(foreign), "{change}: {said}");
        }
    }
}

#[test]
fn no_text_of_a_library_comes_from_arguments_and_drawn_steps() {
    let place = Workplace::new();
    place.write("steps.json", "[]");
    place.write("more.json", r#"{"version": "one"}"#);
    for (arguments, wanted) in [
        (&["--replay", "steps.json"][..], "steps.json does not hold drawn steps"),
        (&["--replay", "more.json"], "line 1, column "),
        (&["-n", "1.5"], "wanted a whole number of 0 or more"),
        (&["--seed=-1"], "wanted a whole number of 0 or more"),
    ] {
        let ran = place.run(&[&["preview", "recipe.yaml", "-o", "p.png"][..], arguments].concat());
        assert!(matches!(ran.code, Some(1 | 2)) && ran.stderr.contains(wanted), "{arguments:?}: {}", ran.stderr);
        for foreign in ["expected", "struct", "invalid digit", "invalid type"] {
            assert!(!ran.stderr.contains(foreign), "{arguments:?}: {}", ran.stderr);
        }
    }
}
