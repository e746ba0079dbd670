//! Texts of any length through one training step, from the command line.

use std::path::Path;

use serde_json::Value;

use crate::corpus::{corpus, example};
use crate::dataset;
use crate::workplace::{Workplace, has_runtime, millstream, text};

/// One pass over the first reviews, cut to 24 tokens: enough to be far from chance.
fn fewer(corpus: &Path, folder: &Path, train: usize, evaluate: usize) -> Vec<String> {
    let first = |set: &str, rows: usize| {
        let path = folder.join(format!("{set}.parquet"));
        dataset::write_first(&corpus.join(format!("data/sst2/sst2-{set}-00000-of-00001.parquet")), rows, &path);
        path
    };
    vec![
        format!("data.train={}", text(&first("validation", train))),
        format!("data.evaluate={}", text(&first("test", evaluate))),
        format!("output.folder={}", text(&folder.join("run"))),
        "data.inputs.input_ids.token_ids.max_length=24".to_owned(),
        "training.epochs=1".to_owned(),
        "training.optimizer.adamw.learning_rate=0.01".to_owned(),
    ]
}

#[test]
fn reviews_of_any_length_are_learned_by_one_training_step_and_told_by_the_exported_model() {
    let Some(corpus) = corpus().filter(|_| has_runtime()) else { return };
    let (recipe, folder) = example("reviews/head.yaml");
    let changes = fewer(&corpus, folder.path(), 872, 300);
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
    assert!(accuracy > 0.62, "{accuracy}");
    let evaluated = run("evaluate");
    assert_eq!(evaluated["evaluation"]["accuracy"].as_f64(), Some(accuracy));
}

#[test]
fn virtual_tokens_begin_as_a_text_and_the_exported_model_tells_reviews_by_itself() {
    let Some(corpus) = corpus().filter(|_| has_runtime()) else { return };
    let (recipe, folder) = example("reviews/head.yaml");
    let mut common = fewer(&corpus, folder.path(), 400, 200);
    common.push("data.batch=16".to_owned());
    let run = |command: &str, further: &[&str]| {
        let set = common.iter().map(String::as_str).chain(further.iter().copied()).flat_map(|change| ["--set", change]);
        let arguments: Vec<&str> = [command, text(&recipe), "--json"].into_iter().chain(set).collect();
        let said = millstream(&arguments).done();
        let last = said.trim().lines().last().unwrap_or_default().to_owned();
        serde_json::from_str::<Value>(said.trim()).unwrap_or_else(|_| serde_json::from_str(&last).unwrap())
    };
    let prompt = "model.methods=[{prompt_tuning: {length: 8, start: {text: a film review that is good or bad}}}]";
    let check = run("check", &[prompt]).to_string();
    for told in [
        "8 virtual token(s) in front of each row of `input_ids` (`attention_mask` has 1, `token_type_ids` has 0 there)",
        "`prompt_tuning` adds 3,072 numbers beside 1 layer",
    ] {
        assert!(check.contains(told), "wanted {told} in\n{check}");
    }
    let of = |report: &Value, figure: &str| report["evaluation"][figure].as_f64().unwrap();
    let trained = run("train", &[prompt]);
    assert!(of(&trained, "accuracy") > 0.6, "{trained}");
    assert_eq!(of(&run("evaluate", &[prompt]), "accuracy"), of(&trained, "accuracy"));

    let folder = format!("output.folder={}", text(&folder.path().join("other")));
    let other = [
        "model.methods=[{p_tuning: {length: 4, encoder: lstm, hidden_size: 16}}]",
        "training.max_steps=4",
        folder.as_str(),
    ];
    let trained = run("train", &other);
    let evaluated = run("evaluate", &other);
    assert!((of(&evaluated, "loss") - of(&trained, "loss")).abs() < 1e-4, "{evaluated}, {trained}");
}

#[test]
fn a_text_without_a_tokenizer_is_refused() {
    let place = Workplace::new();
    let method = "model.methods=[{prompt_tuning: {start: {text: good or bad}}}]";
    place
        .run_with("check", &[method])
        .failed_with(&["model.methods[0].prompt_tuning", "no input of `data.inputs` is made by `token_ids`"]);
}
