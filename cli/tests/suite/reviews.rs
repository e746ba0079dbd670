//! Texts of any length through one training step, from the command line.

use serde_json::Value;

use crate::corpus::{corpus, example};
use crate::workplace::{has_runtime, millstream, text};

#[test]
fn reviews_of_any_length_are_learned_by_one_training_step_and_told_by_the_exported_model() {
    let Some(corpus) = corpus().filter(|_| has_runtime()) else { return };
    let (recipe, folder) = example("reviews/head.yaml");
    let changes = [
        format!("data.train={}", text(&corpus.join("data/sst2/sst2-validation-00000-of-00001.parquet"))),
        format!("output.folder={}", text(&folder.path().join("run"))),
        "training.epochs=2".to_owned(),
    ];
    let run = |command: &str| {
        let set = changes.iter().flat_map(|change| ["--set", change.as_str()]);
        let arguments: Vec<&str> = [command, text(&recipe), "--json"].into_iter().chain(set).collect();
        let said = millstream(&arguments).done();
        let last = said.trim().lines().last().unwrap_or_default().to_owned();
        serde_json::from_str::<Value>(said.trim()).unwrap_or_else(|_| serde_json::from_str(&last).unwrap())
    };
    let check = run("check");
    let shapes: Vec<&Value> = check["inputs"].as_array().unwrap().iter().map(|input| &input["shape"]).collect();
    assert_eq!(shapes, [&serde_json::json!([null]); 3], "{check}");
    let trained = run("train");
    let accuracy = trained["evaluation"]["accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.7, "{accuracy}");
    let evaluated = run("evaluate");
    assert_eq!(evaluated["evaluation"]["accuracy"].as_f64(), Some(accuracy));
}
