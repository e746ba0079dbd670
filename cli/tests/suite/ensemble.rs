//! One model of several: predictions kept, ensembles fitted, exported and measured.

use std::time::{Duration, Instant};

use ort::session::Session;
use ort::value::Tensor;
use serde_json::Value;

use crate::corpus::corpus;
use crate::workplace::{Workplace, has_runtime, millstream, text};
use crate::{dataset, documents};

/// Three runs of new heads on one network, with what each gives for rows of which every fifth has another label than its colour says.
fn runs() -> Workplace {
    let place = Workplace::new();
    let mut rows = dataset::rows(100, 60);
    rows.iter_mut().enumerate().filter(|(at, _)| at % 5 == 0).for_each(|(_, row)| row.label = (row.label + 1) % 3);
    dataset::write(&place.path("test.parquet"), &rows);
    for (name, seed, epochs) in [("a", 1, 1), ("b", 2, 2), ("c", 3, 1)] {
        let (folder, seed, epochs) =
            (format!("output.folder={name}"), format!("seed={seed}"), format!("training.epochs={epochs}"));
        place.run_with("train", &["model.train=head", "model.head=new", &folder, &seed, &epochs]).done();
        predict(&place, name);
    }
    place
}

fn predict(place: &Workplace, name: &str) {
    let (recipe, file) = (format!("{name}/recipe.yaml"), format!("{name}/predictions.parquet"));
    let said = place.run(&["evaluate", &recipe, "--predictions", &file]).done();
    assert!(said.contains("predictions: ") && place.path(&file).exists(), "{said}");
}

fn fit(place: &Workplace, method: &str, more: &[&str]) -> Value {
    let folder = format!("both/{method}");
    let arguments =
        ["ensemble", "fit", "a", "b", "c", "--json", "--method", method, "--bootstrap", "50", "-o", &folder];
    place.run(&[&arguments, more].concat()).json()
}

/// What `evaluate` finds of a model.
fn evaluated(place: &Workplace, model: &str) -> Value {
    place.run(&["evaluate", "recipe.yaml", "--json", "--model", model]).json()["evaluation"].take()
}

#[track_caller]
fn assert_near(a: &Value, b: &Value, what: &str) {
    let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
    // ranks rise fast between known scores that lie close together
    let within = if what == "rank" { 1e-3 } else { 1e-5 };
    assert!((a - b).abs() < within, "{what}: {a}, {b}");
}

#[test]
fn rows_that_chose_the_epochs_of_members_are_told() {
    if !has_runtime() {
        return;
    }
    let place = runs();
    let found = fit(&place, "weighted", &[]);
    let notes: Vec<&str> =
        found["ensemble"]["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap()).collect();
    // the two others have one epoch each, and nothing to choose among
    assert!(notes.iter().any(|note| note.starts_with("b: which state is exported was chosen")), "{notes:?}");
    assert_eq!(found["ensemble"]["files"], serde_json::json!(["test.parquet"]));
    let page = String::from_utf8(place.read("both/weighted/report.html")).unwrap();
    assert!(page.contains("b: which state is exported was chosen") && page.contains("The rows lie in test.parquet"));
}

#[test]
fn what_was_measured_of_predictions_is_what_the_model_does() {
    if !has_runtime() {
        return;
    }
    let place = runs();
    for (method, more) in [
        ("probability", &[][..]),
        ("logit", &["--option", "calibrate=true"]),
        ("median", &[]),
        ("hard_vote", &["--option", "weights=[1, 2, 1]"]),
        ("soft_vote", &[]),
        ("weighted", &[]),
        ("selection", &["--option", "by=accuracy", "--metric", "accuracy", "--metric", "f1"]),
        ("rank", &[]),
        ("stacking", &["--option", "l2=0.01"]),
        ("uniform_soup", &[]),
        ("greedy_soup", &[]),
    ] {
        // all rows are measured, so that the same can be measured of the model
        let told = fit(&place, method, &[more, &["--holdout", "0"]].concat());
        let found = evaluated(&place, &format!("both/{method}/ensemble.onnx"));
        let report = &told["ensemble"]["report"];
        // of classes whose ranks are equal, as they often are among known rows, the last bit of a float decides
        let of_one_row = if method == "rank" { 1.01 / 60.0 } else { 1e-9 };
        let accuracies = [&report["ensemble"], &found].map(|figures| figures["accuracy"].as_f64().unwrap());
        assert!((accuracies[0] - accuracies[1]).abs() < of_one_row, "{method}: {accuracies:?}");
        assert_near(&report["ensemble"]["loss"], &found["loss"], method);
        assert_eq!(
            (&report["ensemble"]["rows"], report["members"].as_array().unwrap().len()),
            (&60.into(), 3),
            "{method}"
        );
        let of_member = evaluated(&place, "b/model.onnx");
        assert_near(&report["members"][1]["evaluation"]["loss"], &of_member["loss"], method);
        if let Some(nodes) = told["exported"]["nodes"].as_u64() {
            let apart: u64 =
                told["exported"]["member_nodes"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum();
            assert!(
                told["exported"]["member_nodes"].as_array().unwrap().len() == 3 && nodes < apart + 30,
                "{method}: {told}"
            );
        }
        let page = String::from_utf8(place.read(&format!("both/{method}/report.html"))).unwrap();
        assert!(
            page.contains("mean of the members") && place.path(&format!("both/{method}/labels.txt")).exists(),
            "{page}"
        );
    }
    let said = place.run(&["ensemble", "fit", "a", "b", "c", "-o", "told", "--seed", "4"]).done();
    for part in [
        "weighted, fitted to 30 rows, measured on 30 others, drawn by the seed 4",
        "members' mean",
        "ensemble",
        "the best member",
    ] {
        assert!(said.contains(part), "wanted {part} in\n{said}");
    }
    // what to name in its place is told of a folder that has no model of its own
    let line = ["ensemble", "fit", "a", "told", "-o", "none"];
    place.run(&line).failed_with(&["it holds an ensemble; name its model", "told/ensemble.onnx"]);
    // a fitted ensemble is exported again, and measured on other rows; it may be moved with its members
    place.run(&["ensemble", "export", "told", "-o", "again.onnx"]).done();
    assert!(place.read("again.onnx") == place.read("told/ensemble.onnx"));
    let said = place.run(&["ensemble", "export", "told", "-o", "mirrored.onnx", "--flips"]).done();
    assert!(said.contains("the model sees each image mirrored too"), "{said}");
    assert!(evaluated(&place, "mirrored.onnx")["accuracy"].as_f64().unwrap() > 0.3);
    let files = ["a-train.parquet", "b-train.parquet", "c-train.parquet"];
    for (name, file) in ["a", "b", "c"].into_iter().zip(files) {
        place
            .run(&["evaluate", &format!("{name}/recipe.yaml"), "--data", "train-*.parquet", "--predictions", file])
            .done();
    }
    let told = place.run(&[&["ensemble", "evaluate", "told", "--json", "--predictions"][..], &files].concat()).json();
    assert_eq!(told["ensemble"]["rows"], 48, "{told}");
    let said = place.run(&[&["ensemble", "evaluate", "told", "--predictions"][..], &files].concat()).done();
    assert!(said.contains("members' mean"), "{said}");
}

/// Other systems take no such names.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_whose_name_is_no_utf_8_gets_its_documents_and_no_panic() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    if !has_runtime() {
        return;
    }
    let place = runs();
    fit(&place, "weighted", &[]);
    let named = place.path("both").with_file_name(OsStr::from_bytes(b"b\xffth"));
    std::fs::rename(place.path("both"), &named).unwrap();
    let of = |arguments: &[&str], folder: &std::path::Path| {
        let ran = place.command(arguments).arg(folder).output().unwrap();
        let told = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(!told.contains("panicked"), "{told}");
        (ran.status.success(), String::from_utf8(ran.stdout).unwrap() + &told)
    };
    let (is_done, said) = of(&["document", "--json"], &named.join("weighted"));
    assert!(is_done && said.contains("b\u{fffd}th/weighted/documents"), "{said}");
    let ledger = std::fs::read(named.join("weighted/documents/ledger.json")).unwrap();
    let ledger: Value = serde_json::from_slice(&ledger).unwrap();
    assert!(ledger["folder"].as_str().unwrap().ends_with("b\u{fffd}th/weighted"), "{}", ledger["folder"]);
    // recipes of members name their folder
    let (is_done, said) = of(&["ensemble", "members", "recipe.yaml", "--folds", "2", "-o"], &named.join("parts"));
    assert!(!is_done && said.contains("no UTF-8") && said.contains("choose another folder"), "{said}");
    assert!(!named.join("parts").exists());
}

#[test]
fn where_a_run_is_wanted_an_ensemble_is_refused_as_such_with_what_to_do() {
    if !has_runtime() {
        return;
    }
    let place = runs();
    fit(&place, "weighted", &[]);
    let members = ["it is an ensemble (of ", "a/model.onnx, ", "and no run"];
    let and = |more: &'static str| [&members[..], &[more]].concat();
    place.run(&["compare", "a", "both/weighted"]).failed_with(&and("`millstream ensemble evaluate`"));
    place.run(&["reproduce", "both/weighted"]).failed_with(&and("name the run of a member"));
    for command in ["report", "watch", "errors"] {
        place.run(&[command, "both/weighted"]).failed_with(&["is the folder of an ensemble", "`report.html`"]);
    }
    place.run(&["evaluate", "both/weighted"]).failed_with(&["has no recipe", "--model both/weighted/ensemble.onnx"]);
    place.run(&["note", "both/weighted", "of three heads"]).done();
    place.run(&["document", "both/weighted"]).done();
}

#[test]
fn members_that_do_not_belong_together_are_refused_with_the_reason() {
    if !has_runtime() {
        return;
    }
    let place = runs();
    let fit = |more: &[&str]| place.run(&[&["ensemble", "fit", "-o", "new"][..], more].concat());
    fit(&["a", "b", "--method", "wieghted"])
        .failed_with(&["unknown ensemble method `wieghted`", "did you mean `weighted`?"]);
    fit(&["a", "b", "--option", "weights=[1]", "--method", "soft_vote"]).failed_with(&["1 weights for 2 members"]);
    fit(&["a", "b", "--holdout", "1"]).failed_with(&["is 0 to below 1, got 1"]);
    fit(&["a", "b", "-p", "a/predictions.parquet"]).failed_with(&["1 files for 2 members"]);
    fit(&["a", "b", "-p", "a/predictions.parquet", "test.parquet"])
        .failed_with(&["test.parquet", "it is no file of predictions"]);
    fit(&["a", "b", "-p", "b/predictions.parquet", "a/predictions.parquet"])
        .failed_with(&["it is of another model than", "predict anew"]);
    fit(&["a", "nothing"]).failed_with(&["nothing"]);
    // other rows
    place.run(&["evaluate", "b/recipe.yaml", "--data", "train-0.parquet", "--predictions", "other.parquet"]).done();
    fit(&["a", "b", "-p", "a/predictions.parquet", "other.parquet"]).failed_with(&["b: it is of 24 rows, and a of 60"]);
    // a model that was trained further has no predictions any more
    std::fs::remove_file(place.path("c/predictions.parquet")).unwrap();
    fit(&["a", "c"]).failed_with(&["there are no predictions of c", "millstream evaluate"]);
    // rows are prepared otherwise
    let otherwise = [
        "model.train=head",
        "output.folder=d",
        "training.epochs=1",
        "transforms.evaluate=[{resize: {size: 16}}, {normalize: {mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}}]",
    ];
    place.run_with("train", &otherwise).done();
    predict(&place, "d");
    fit(&["a", "d"]).failed_with(&["its rows are prepared otherwise than those of a", "normalize"]);
    // other classes
    dataset::write_named(&place.path("named.parquet"), &dataset::rows(0, 24), &["red", "blue", "green"]);
    let named = [
        "data.train=named.parquet",
        "data.evaluate=named.parquet",
        "data.allow_overlap=true",
        "model.head=new",
        "model.train=head",
        "training.epochs=1",
        "output.folder=e",
    ];
    place.run_with("train", &named).done();
    predict(&place, "e");
    fit(&["a", "e"]).failed_with(&["class "]);
    assert!(!place.path("new").exists(), "nothing is left behind");
    // an ensemble is not replaced unasked
    fit(&["a", "b"]).done();
    fit(&["a", "b"]).failed_with(&["it holds an ensemble already", "--overwrite"]);
    fit(&["a", "b", "--overwrite", "--method", "uniform_soup"]).done();
    let measure = ["ensemble", "evaluate", "new", "--predictions", "a/predictions.parquet", "b/predictions.parquet"];
    place.run(&measure).failed_with(&["it is a mean of weights, which has to be run"]);
    place.run(&["ensemble", "export", "a"]).failed_with(&["it holds no ensemble"]);
    std::fs::write(place.path("a/model.onnx"), place.read("b/model.onnx")).unwrap();
    place.run(&["ensemble", "export", "new"]).failed_with(&["it has changed since the ensemble was fitted"]);
}

/// The mean of the kept states is the model of the run, and each of them is a member.
#[test]
fn members_on_folds_and_bags_answer_for_rows_that_they_have_not_seen_and_are_stacked() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let train = |folder: &str, way: &[&str], changes: &[&str]| {
        let mut line = vec!["ensemble", "members", "recipe.yaml", "-o", folder, "--bootstrap", "50"];
        line.extend(changes.iter().flat_map(|change| ["--set", *change]));
        place.run(&[&line[..], way].concat())
    };
    let small = ["training.epochs=1", "model.train=head", "model.head=new"];
    let folds = ["--folds", "3", "--stratify", "label"];
    let said = train("small", &folds, &small).done();
    for part in ["fold-3", "all, unseen rows", "48 training rows, of which 48"] {
        assert!(said.contains(part), "wanted {part} in\n{said}");
    }
    assert!(place.path("small/fold-1/held-out.parquet").exists());
    // there are three classes
    assert!(!said.contains("top 5") && !said.contains("top-5"), "{said}");
    let large = [&small[..], &["training.epochs=3", "training.optimizer.adamw.learning_rate=0.02"]].concat();
    train("large", &folds, &large).done();
    // what is finished is not done again, and another recipe is refused
    let written = |file: &str| std::fs::metadata(place.path(file)).unwrap().modified().unwrap();
    let results = || {
        let of_fold =
            |fold| ["model.onnx", "held-out.parquet"].map(|file| written(&format!("small/fold-{fold}/{file}")));
        [1, 2, 3].map(of_fold)
    };
    let before = results();
    train("small", &folds, &small).done();
    assert_eq!(results(), before);
    train("small", &["--folds", "4"], &small).failed_with(&["members of another recipe"]);
    let none = train("none", &[], &small);
    assert!(none.code == Some(2) && none.stderr.contains("--folds"), "{}", none.stderr);
    train("one", &["--bags", "1"], &small).failed_with(&["wanted 2 to 64"]);
    // before a member is trained, not after all of them
    let vectors = [&small[..], &["training.loss=triplet"]].concat();
    train("vectors", &folds, &vectors).failed_with(&["training.loss", "members answer with classes"]);
    assert!(!place.path("vectors").exists());
    // what is damaged is told as such
    std::fs::create_dir(place.path("torn")).unwrap();
    place.write("torn/members.json", "{\"version\": 1, \"made");
    train("torn", &folds, &small).failed_with(&["torn/members.json", "it is damaged"]);
    std::fs::remove_dir_all(place.path("torn")).unwrap();
    // each row's answer is that of the fold's run that had not seen it
    let report: Value = serde_json::from_slice(&place.read("small/members.json")).unwrap();
    let report = &report["report"];
    let weighted = report["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member["rows"].as_u64().unwrap() as f64 * member["evaluation"]["accuracy"].as_f64().unwrap());
    let mean = weighted.sum::<f64>() / 48.0;
    assert!((report["out_of_fold"]["accuracy"].as_f64().unwrap() - mean).abs() < 1e-9, "{report}");
    // the mean of the members stands for the folder
    assert!(evaluated(&place, "small/model.onnx")["accuracy"].as_f64().unwrap() > 0.3);
    let stacked = place
        .run(&[
            "ensemble",
            "fit",
            "small",
            "large",
            "--method",
            "stacking",
            "--holdout",
            "0",
            "--json",
            "-o",
            "stacked",
        ])
        .json();
    assert_eq!(stacked["ensemble"]["report"]["ensemble"]["rows"], 48);
    assert!(evaluated(&place, "stacked/ensemble.onnx")["accuracy"].as_f64().unwrap() > 0.3);
    documents::assert_members_on_folds_are_documented(&place);
    a_folder_of_members_stands_for_its_runs_where_weights_are_averaged(&place);
    let said = train("bagged", &["--bags", "3", "--seed", "5"], &small).done();
    assert!(said.contains("bag-3"), "{said}");
    let rows: Vec<u64> = ["bag-1", "out-of-bag-1"]
        .map(|file| {
            place.run(&["inspect", &format!("bagged/rows/{file}.parquet"), "--json"]).json()["rows"].as_u64().unwrap()
        })
        .to_vec();
    assert!(rows[0] == 48 && (8..30).contains(&rows[1]), "{rows:?}");
    // each bagged folder answers for rows of its own, and they are combined on those that both have
    train("bagged-again", &["--bags", "3", "--seed", "6"], &small).done();
    let line = ["ensemble", "fit", "bagged", "bagged-again", "--method", "probability", "--json", "-o", "of-bags"];
    let fitted = place.run(&line).json().to_string();
    assert!(fitted.contains("that all members answer for"), "{fitted}");
    // each member has answers for the recipe's own rows too
    let fitted = place.run(&["ensemble", "fit", "bagged/bag-1", "bagged/bag-2", "bagged/bag-3", "-o", "mean"]).done();
    assert!(fitted.contains("members' mean"), "{fitted}");
    let found = place.run(&["runs", ".", "--json"]).json();
    let runs = found["runs"].as_array().unwrap();
    let number = |name: &str| runs.iter().position(|run| run["name"] == name).unwrap_or_else(|| panic!("{found}"));
    let lineage = found["lineage"].as_array().unwrap();
    for (from, to) in [("small/fold-2", "small"), ("small", "stacked"), ("bagged/bag-1", "bagged")] {
        let wanted = serde_json::json!({"from": {"run": number(from)}, "to": number(to), "through": "member"});
        assert!(lineage.contains(&wanted), "{from} {to} {found}");
    }
}

/// In a place with the folder `small`, whose runs are all evaluated on the recipe's rows.
fn a_folder_of_members_stands_for_its_runs_where_weights_are_averaged(place: &Workplace) {
    let soup = ["ensemble", "fit", "small", "--method", "uniform_soup", "--holdout", "0", "--json", "-o", "soup"];
    let souped = place.run(&soup).json();
    assert_eq!(souped["ensemble"]["model"]["mean_of_weights"], serde_json::json!([0, 1, 2]), "{souped}");
    assert!(souped["ensemble"]["notes"].to_string().contains("small stands for its 3 runs"), "{souped}");
    let report = &souped["ensemble"]["report"]["ensemble"];
    assert_eq!(report["rows"], 18, "{souped}");
    assert_near(&report["loss"], &evaluated(place, "soup/ensemble.onnx")["loss"], "uniform_soup");
    // without rows that are the same for all there are none to measure a mean of weights on
    let line = ["ensemble", "members", "recipe.yaml", "-o", "own", "--folds", "2", "--set", "data.evaluate=null"];
    let small = ["--set", "training.epochs=1", "--set", "model.train=head", "--set", "model.head=new"];
    place.run(&[&line[..], &small].concat()).done();
    let wanted = ["rows that none of them was trained on", "own/fold-1/recipe.yaml --data FILES", "--recipe RECIPE"];
    place.run(&["ensemble", "fit", "own", "--method", "greedy_soup", "-o", "none"]).failed_with(&wanted);
    std::fs::create_dir(place.path("under-way")).unwrap();
    let mut begun: Value = serde_json::from_slice(&place.read("small/members.json")).unwrap();
    begun.as_object_mut().unwrap().remove("report").unwrap();
    place.write("under-way/members.json", &begun.to_string());
    for method in ["uniform_soup", "weighted"] {
        let line = ["ensemble", "fit", "under-way", "small", "--method", method, "-o", "none"];
        place.run(&line).failed_with(&["its members are not all trained yet", "`millstream ensemble members`"]);
    }
}

#[test]
fn adapters_of_three_runs_are_merged_and_averaged_as_whole_weights() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let lora = "model.methods=[{lora: {rank: 2, layers: convolution}}]";
    for (name, seed) in [("a", "seed=1"), ("b", "seed=2"), ("c", "seed=3")] {
        let folder = format!("output.folder={name}");
        place.run_with("train", &[lora, "training.epochs=1", &folder, seed]).done();
        predict(&place, name);
    }
    let told = fit(&place, "uniform_soup", &["--holdout", "0"]);
    let found = evaluated(&place, "both/uniform_soup/ensemble.onnx");
    let report = &told["ensemble"]["report"];
    assert_near(&report["ensemble"]["loss"], &found["loss"], "uniform_soup");
    assert!(report["figures"].as_array().unwrap().iter().all(|kind| kind["name"] != "top_5_accuracy"), "{report}");
    let greedy = fit(&place, "greedy_soup", &["--holdout", "0"]);
    assert!(greedy["ensemble"]["model"].is_object(), "{greedy}");
    // what one model is alone is no mean
    let kept = greedy["ensemble"]["model"]["mean_of_weights"].as_array().unwrap().len();
    let notes = greedy["ensemble"]["notes"].to_string();
    assert_eq!(kept == 1, notes.contains("no weights are averaged") && notes.contains("is kept alone"), "{greedy}");
    assert_eq!(kept > 1, notes.contains("numbers are means") && notes.contains("are in the mean"), "{greedy}");
    let alone = ["ensemble", "fit", "a", "--method", "uniform_soup", "-o", "alone"];
    let said = place.run(&alone).done();
    assert!(said.contains("the model is a alone: no weights are averaged"), "{said}");
    assert!(!said.contains("numbers are means") && !said.contains("same weights"), "{said}");
    // means of weights are run, which is on record
    let origin: Value = serde_json::from_slice(&place.read("both/uniform_soup/origin.json")).unwrap();
    assert!(origin["onnx_runtime"].is_string() && origin["device"] == "cpu", "{origin}");
    let line = ["ensemble", "fit", "a", "b", "--method", "uniform_soup", "--memory", "1 KiB", "-o", "none"];
    place.run(&line).failed_with(&["--memory"]);
    // factors are not averaged
    let open = ["output.adapters=unmerged", "output.folder=open", "training.epochs=1", lora];
    place.run_with("train", &open).done();
    predict(&place, "open");
    place
        .run(&["ensemble", "fit", "a", "open", "--method", "uniform_soup", "-o", "none"])
        .failed_with(&["holds adapters beside its weights"]);
}

#[test]
fn states_of_one_run_are_members() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    place
        .run_with("train", &["model.train=head", "model.head=new", "training.epochs=3", "training.average={last: 3}"])
        .done();
    let written = place.run(&["ensemble", "snapshots", "run", "-o", "members", "--json"]).json();
    let members: Vec<&str> = written.as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    assert_eq!(
        members.iter().map(|path| path.rsplit('/').next().unwrap()).collect::<Vec<_>>(),
        ["step-6.onnx", "step-12.onnx", "step-18.onnx"]
    );
    let files: Vec<String> = members.iter().map(|path| path.replace(".onnx", ".predictions.parquet")).collect();
    for (model, file) in members.iter().zip(&files) {
        place.run(&["evaluate", "recipe.yaml", "--model", model, "--predictions", file]).done();
    }
    let arguments = ["ensemble", "fit", "--json", "--method", "uniform_soup", "--recipe", "recipe.yaml", "-o", "soup"];
    let told = place.run(&[&arguments[..], &members].concat()).json();
    let (soup, run) = (evaluated(&place, "soup/ensemble.onnx"), evaluated(&place, "run/model.onnx"));
    assert_near(&soup["loss"], &run["loss"], "the mean of the states is what the run exports");
    assert_near(&told["ensemble"]["report"]["ensemble"]["loss"], &soup["loss"], "told");
    place.run(&[&["ensemble", "fit", "--method", "probability", "-o", "snapshots"][..], &members].concat()).done();
    // whose states they are is told
    place.run(&["document", "snapshots"]).done();
    let ledger: Value = serde_json::from_slice(&place.read("snapshots/documents/ledger.json")).unwrap();
    let member = &ledger["members"][1];
    let facts = (&member["run"], &member["made"]["selection"]);
    assert_eq!(facts, (&"run".into(), &"the state after step 12".into()), "{ledger}");
    place.run(&["ensemble", "snapshots", "members", "-o", "x"]).failed_with(&["no run has begun there"]);
    // another run in its folder is not theirs
    let head =
        ["--set", "model.train=head", "--set", "model.head=new", "--set", "training.epochs=1", "--set", "seed=9"];
    place.run(&[&["train", "recipe.yaml", "--overwrite"][..], &head].concat()).done();
    let said = place.run(&["document", "snapshots"]);
    assert!(said.stderr.contains("the run of the state `step-12` is another one now"), "{}", said.stderr);
    let ledger: Value = serde_json::from_slice(&place.read("snapshots/documents/ledger.json")).unwrap();
    let member = &ledger["members"][1];
    assert_eq!((&member["unchanged"], &member["run"], &member["made"]), (&true.into(), &Value::Null, &Value::Null));
}

#[test]
fn the_ways_are_listed_and_explained() {
    let said = millstream(&["ensemble", "methods"]).done();
    for name in [
        "greedy_soup",
        "hard_vote",
        "logit",
        "median",
        "probability",
        "rank",
        "selection",
        "soft_vote",
        "stacking",
        "uniform_soup",
        "weighted",
    ] {
        assert!(said.contains(name), "{name} in\n{said}");
    }
    let said = millstream(&["ensemble", "methods", "selection"]).done();
    assert!(said.contains("Caruana") && said.contains("--option bag_share=…"), "{said}");
    millstream(&["ensemble", "methods", "selektion"]).failed_with(&["did you mean `selection`?"]);
    let rows = millstream(&["ensemble", "methods", "--json"]).json();
    assert_eq!(rows.as_array().unwrap().len(), 11);
}

/// The shortest times that two models take for a batch of images of 32 × 32, by turns: what else the machine does falls on both. A busy
/// one gets more turns, until the times are as they are wanted, and so many at most that both models have it to themselves at some time.
fn shortest(files: [&std::path::Path; 2], are_wanted: impl Fn([Duration; 2]) -> bool) -> [Duration; 2] {
    let environment = millstream::runtime::ready(None).unwrap().environment();
    let mut sessions = files.map(|file| {
        Session::builder(environment).unwrap().with_intra_threads(1).unwrap().commit_from_file(file).unwrap()
    });
    let mut shortest = [Duration::MAX; 2];
    for turn in 1..=400 {
        for (session, shortest) in sessions.iter_mut().zip(&mut shortest) {
            let images = Tensor::from_array(([16, 3, 32, 32], vec![0.25_f32; 16 * 3 * 1024])).unwrap();
            let began = Instant::now();
            session.run(ort::inputs!["image" => images]).unwrap();
            *shortest = began.elapsed().min(*shortest);
        }
        if turn >= 12 && are_wanted(shortest) {
            break;
        }
    }
    shortest
}

/// Three heads on the frozen network of the corpus: the ensemble runs it once.
#[test]
fn three_heads_on_one_frozen_network_cost_one_network() {
    let Some(corpus) = corpus().filter(|_| has_runtime()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let recipe = format!(
        "version: 1\n\
         model: {{path: {model}, head: new, train: head}}\n\
         data: {{train: {data}-train-*.parquet, evaluate: {data}-test-*.parquet, batch: 50}}\n\
         transforms:\n  \
           train: [{{normalize: &n {{mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}}}}]\n  \
           evaluate: [{{normalize: *n}}]\n\
         training:\n  \
           epochs: 1\n  \
           optimizer: {{adamw: {{learning_rate: 0.01}}}}\n  \
           frozen_prefix: {{kept: {{disk: 1 GB, folder: activations}}}}\n\
         output: {{folder: run}}\n",
        model = text(&corpus.join("models/resnet20_cifar10/model.onnx")),
        data = text(&corpus.join("data/cifar10-mini/cifar10-mini")),
    );
    std::fs::write(path("recipe.yaml"), recipe).unwrap();
    let recipe = path("recipe.yaml");
    for name in ["a", "b", "c"] {
        let (seed, run) = (format!("seed={}", name.as_bytes()[0]), path(name));
        millstream(&["train", text(&recipe), "--quiet", "--set", &seed, "--output", text(&run)]).done();
        let (own, file) = (run.join("recipe.yaml"), run.join("predictions.parquet"));
        millstream(&["evaluate", text(&own), "--quiet", "--predictions", text(&file)]).done();
    }
    let members = ["a", "b", "c"].map(path);
    let members: Vec<&str> = members.iter().map(|member| text(member)).collect();
    let all = path("all");
    let told = millstream(
        &[&["ensemble", "fit", "--json", "--method", "probability", "-o", text(&all)][..], &members].concat(),
    )
    .json();
    let exported = &told["exported"];
    let alone = exported["member_nodes"][0].as_u64().unwrap();
    let nodes = exported["nodes"].as_u64().unwrap();
    assert!(nodes < alone + 16, "{nodes} nodes together, {alone} alone: one network, three heads");
    let files = [path("a").join("model.onnx"), all.join("ensemble.onnx")];
    let [one, whole] = shortest([&files[0], &files[1]], |[one, whole]| whole < 2 * one);
    println!("{nodes} nodes together, {alone} alone; one member {one:?}, the ensemble {whole:?} for 16 images");
    assert!(
        whole < 2 * one,
        "one member {one:?}, the ensemble {whole:?}: three networks would take three times as long"
    );
    let found = millstream(&["evaluate", text(&recipe), "--json", "--model", text(&all.join("ensemble.onnx"))]).json();
    let report = &told["ensemble"]["report"];
    assert_near(&found["evaluation"]["accuracy"], &report["ensemble"]["accuracy"], "accuracy");
    assert_near(&found["evaluation"]["loss"], &report["ensemble"]["loss"], "loss");
    let mean = report["mean_of_members"]["accuracy"].as_f64().unwrap();
    println!("members {mean:.4} in the mean, the ensemble {}", report["ensemble"]["accuracy"]);
    assert!(report["ensemble"]["accuracy"].as_f64().unwrap() > 0.6, "{report}");
}
