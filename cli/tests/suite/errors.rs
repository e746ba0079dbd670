//! Why a model errs.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, StringArray};
use serde_json::Value;

use crate::dataset;
use crate::workplace::{Workplace, has_runtime};

/// A run of which the model errs where `wear` is above 6.5, as the labels there are those of another class, and where chance wants it.
fn worn() -> Workplace {
    let place = Workplace::new();
    let count = 240;
    let mut rows = dataset::rows(100, count);
    let wear: Vec<f64> = (0..count).map(|at| (at * 37 % 100) as f64 / 10.0).collect();
    for (row, wear) in rows.iter_mut().zip(&wear) {
        if *wear > 6.5 {
            row.label = (row.label + 1) % 3;
        }
    }
    let mut columns = dataset::columns(&rows);
    let noise: Float64Array = (0..count).map(|at| Some((at * 53 % 97) as f64)).collect();
    let site: StringArray = (0..count).map(|at| (at % 7 != 0).then(|| ["north", "south"][at / 3 % 2])).collect();
    columns.push(("wear", Arc::new(Float64Array::from(wear)) as ArrayRef));
    columns.push(("noise", Arc::new(noise)));
    columns.push(("site", Arc::new(site)));
    dataset::write_columns(&place.path("test.parquet"), &columns, true);
    place.run_with("train", &["evaluation.slices=[site]"]).done();
    place
}

fn factor<'a>(part: &'a Value, name: &str) -> &'a Value {
    let factors = part["factors"].as_array().unwrap();
    factors.iter().find(|factor| factor["name"] == name).unwrap_or_else(|| panic!("{name} is not in {part}"))
}

#[test]
fn a_column_that_errors_depend_on_is_found_and_confirmed_and_others_are_not() {
    if !has_runtime() {
        return;
    }
    let place = worn();
    let found = place.run(&["errors", "run", "--json"]).json();
    let part = &found["parts"][0];
    let metrics: Value = serde_json::from_slice(&place.read("run/metrics.json")).unwrap();
    let accuracy = metrics["evaluation"]["accuracy"].as_f64().unwrap();
    assert!((1.0 - part["rate"]["share"].as_f64().unwrap() - accuracy).abs() < 1e-12, "{part}");
    assert_eq!(part["answers"], 240);
    let wear = &part["factors"][0];
    assert_eq!(wear["name"], "wear", "{part}");
    let split = &wear["split"];
    let threshold: f64 = split["rule"].as_str().unwrap().strip_prefix("above ").unwrap().parse().unwrap();
    // between the values of that half on both sides of it
    assert!((6.4..6.8).contains(&threshold) && split["confirmed"] == true, "{split}");
    assert!(split["p_adjusted"].as_f64().unwrap() >= split["p"].as_f64().unwrap());
    let rows: u64 = wear["bins"].as_array().unwrap().iter().map(|bin| bin["rate"]["of"].as_u64().unwrap()).sum();
    assert_eq!(rows, 240);
    for name in ["noise", "site"] {
        assert_ne!(factor(part, name)["split"]["confirmed"], true, "{name}: {part}");
    }
    let labels: Vec<&Value> =
        factor(part, "site")["bins"].as_array().unwrap().iter().map(|bin| &bin["label"]).collect();
    assert!(labels.contains(&&Value::from("no value")), "{labels:?}");
    let said = place.run(&["errors", "run"]).done();
    assert!(
        said.contains(&format!("more err where wear above {threshold}: ")) && said.contains("run/errors.html"),
        "{said}"
    );
    let page = String::from_utf8(place.read("run/errors.html")).unwrap();
    for part in ["<svg", "wear", "interval of 95 %", "Divisions"] {
        assert!(page.contains(part), "wanted {part} in\n{page}");
    }
    // kept answers are as good as a pass of the model
    place.run(&["evaluate", "run/recipe.yaml", "--predictions", "run/predictions.parquet"]).done();
    assert_eq!(place.run(&["errors", "run", "--json"]).json(), found);
    // other rows
    let others = place.run(&["errors", "run", "--data", "train-*.parquet", "--json"]).json();
    assert_eq!(others["parts"][0]["answers"], 48);
}

#[test]
fn what_training_draws_is_looked_into_draw_by_draw() {
    if !has_runtime() {
        return;
    }
    let place = worn();
    let found = place.run(&["errors", "run", "--augmented", "2", "--json"]).json();
    let part = &found["parts"][1];
    assert_eq!((&part["seen"], &part["answers"], &part["draws"]), (&"as_drawn".into(), &480.into(), &2.into()));
    let degrees = factor(part, "rotate: degrees, either way");
    let last = degrees["bins"].as_array().unwrap().last().unwrap();
    let high = last["range"][1].as_f64().unwrap();
    assert!((9.0..=10.0).contains(&high), "the recipe turns by 10 degrees at most: {degrees}");
    let area = factor(part, "random_resized_crop: share of the area")["bins"][0]["range"][0].as_f64().unwrap();
    assert!((0.55..0.7).contains(&area), "{area}");
    factor(part, "horizontal_flip: happens");
    assert_eq!(place.run(&["errors", "run", "--augmented", "2", "--json"]).json(), found);
    // with other draws than those of training
    let colours = "transforms.train=[{resize: {size: 16}}, {rotate: {degrees: 90}}, {color_jitter: {hue: 0.5}}]";
    for draws in ["1", "4"] {
        let other = place.run(&["errors", "run", "--augmented", draws, "--json", "--set", colours]).json();
        let turn = factor(&other["parts"][1], "color_jitter: hue turn, either way");
        // a third of a turn makes green of red
        assert!(draws == "1" || turn["split"]["confirmed"] == true, "{other}");
        let bins = factor(&other["parts"][1], "rotate: degrees, either way")["bins"].as_array().unwrap().clone();
        assert!(bins.last().unwrap()["range"][1].as_f64().unwrap() > 80.0, "{other}");
        let names: Vec<&str> =
            other["parts"][1]["factors"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert!(!names.iter().any(|name| name.starts_with("resize")), "what is the row's own is no draw: {names:?}");
    }
    let still = ["output.folder=still", "transforms.train=[{resize: {size: 16}}]", "training.epochs=1"];
    place.run_with("train", &still).done();
    let ran = place.run(&["errors", "still", "--augmented"]);
    assert!(ran.stderr.contains("draw nothing"), "{}", ran.stderr);
    place.run(&["errors", "nothing"]).failed_with(&["nothing"]);
}
