//! Fingerprints of earlier versions, in which it counted where the files lie that options of a recipe name, and how much memory a run has
//! that leaves open whether it keeps what a frozen prefix gives.

use millstream_pipeline::StreamOptions;
use millstream_schemas::recipe::Definitions;
use millstream_schemas::{Fingerprint, Recipe};
use millstream_training::checkpoint::CheckpointManifest;
use serde_json::Value;

use crate::made_of::{MEMORY, fixed};
use crate::setting_changes::put;

/// What checkpoints call the fingerprint of a recipe.
const RECIPE: &str = "the recipe";
/// And the number of a run's epochs.
const EPOCHS: &str = "the number of epochs";

/// Of what of a recipe decides a run's course, wherever its files lie and whatever memory it has.
pub(crate) fn of_recipe(recipe: &Recipe, definitions: &Definitions) -> Fingerprint {
    with_memory(&recipe.without_paths(definitions), &Value::Null)
}

/// Of a recipe with this memory; null for any.
fn with_memory(recipe: &Recipe, memory: &Value) -> Fingerprint {
    let mut value = fixed(recipe);
    put(&mut value, MEMORY, memory.clone());
    Fingerprint::of(&value)
}

/// Writes the fingerprints of a checkpoint as this version does, where they are those that an earlier one made of the same recipe and
/// the same training rows. Others stay, and are refused. `memory` is what the recipe gave that the run had so far, where that counted; null
/// otherwise.
pub(crate) fn renew(
    checkpoint: &mut CheckpointManifest,
    (recipe, memory): (&Recipe, &Value),
    definitions: &Definitions,
    rows: &StreamOptions,
) {
    if rows.is_of(&checkpoint.resume.recipe) || of_fewer_draws(checkpoint, recipe, rows) {
        checkpoint.resume.recipe = rows.fingerprint();
    }
    let of_earlier = [recipe, &recipe.without_paths(definitions)]
        .map(|recipe| [Fingerprint::of(&fixed(recipe)), with_memory(recipe, memory)]);
    for (name, saved) in &mut checkpoint.settings {
        if name == RECIPE && of_earlier.as_flattened().iter().any(|earlier| earlier.0 == *saved) {
            *saved = of_recipe(recipe, definitions).0;
        }
    }
}

/// Whether the rows are those of a version that counted no more draws of a row than the run had epochs: in these they are the same.
fn of_fewer_draws(checkpoint: &CheckpointManifest, recipe: &Recipe, rows: &StreamOptions) -> bool {
    let Some(draws) = rows.draws else { return false };
    // of a run that goes on with more of them, as many as it had
    let saved = checkpoint.settings.iter().find(|(name, _)| name == EPOCHS).and_then(|(_, value)| value.parse().ok());
    let epochs: u64 = saved.unwrap_or(recipe.training.epochs).max(1);
    draws > epochs && StreamOptions { draws: Some(epochs), ..rows.clone() }.is_of(&checkpoint.resume.recipe)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use millstream_pipeline::Dataset;
    use millstream_pipeline::arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use millstream_pipeline::encodings::Encoders;
    use millstream_schemas::ResumePoint;
    use millstream_training::History;
    use millstream_transforms::Chain;

    use super::*;
    use crate::Catalogs;
    use crate::made_of::tests::recipe;

    fn of_tokens(options: &str) -> Recipe {
        recipe(&[&format!("data.inputs={{input_ids: {{token_ids: {options}}}}}")])
    }

    #[test]
    fn a_recipe_is_the_same_wherever_the_files_lie_that_its_options_name() {
        let definitions = Catalogs::default().definitions();
        let of = |recipe: &Recipe| of_recipe(recipe, &definitions);
        let here = of_tokens("{tokenizer: /a/tokenizer.json}");
        let there = of_tokens("{tokenizer: /b/words.json}");
        assert_ne!(fixed(&here), fixed(&there));
        assert_eq!(of(&here), of(&there));
        assert_ne!(of(&here), of(&of_tokens("{tokenizer: /a/tokenizer.json, max_length: 9}")));
        let loss = |path: &str| recipe(&[&format!("training.loss={{onnx: {{file: {path}}}}}")]);
        assert_eq!(of(&loss("/a/loss.onnx")), of(&loss("/b/loss.onnx")));
        // What names none has the fingerprint that it had.
        let plain = recipe(&["data.damaged={quarantine: /a/bad.jsonl}"]);
        assert_eq!(of(&plain), Fingerprint::of(&fixed(&plain)));
    }

    fn rows() -> StreamOptions {
        let columns = [
            ("text", Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef),
            ("label", Arc::new(Int64Array::from(vec![0, 1])) as ArrayRef),
        ];
        let dataset = Dataset::from_batches("rows", &[RecordBatch::try_from_iter(columns).unwrap()], 9).unwrap();
        StreamOptions::new(Chain::default(), Encoders::standard(&dataset, Some("text"), "label").unwrap())
    }

    fn checkpoint(rows: Fingerprint, settings: [(&str, String); 2]) -> CheckpointManifest {
        let dataset = Fingerprint::default();
        CheckpointManifest {
            version: CheckpointManifest::VERSION,
            step: 1,
            resume: ResumePoint { version: 1, seed: 0, epoch: 0, position: 0, dataset, recipe: rows },
            settings: settings.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            updates: 1,
            averaged: None,
            cohorts: Vec::new(),
            evaluation_due: false,
            parameters: Vec::new(),
            kept: Vec::new(),
            files: Vec::new(),
            history: History::default(),
        }
    }

    #[test]
    fn a_checkpoint_of_a_version_that_counted_draws_by_epochs_is_gone_on_with_where_there_are_more_variants() {
        let definitions = Catalogs::default().definitions();
        let of = |draws: u64| StreamOptions { draws: Some(draws), ..rows() };
        let now = of(5);
        // (epochs of the run, epochs that it is given, draws of the checkpoint, whether it is gone on with)
        for (epochs, given, draws, is_renewed) in
            [(3, 3, 3, true), (3, 9, 3, true), (3, 3, 5, true), (9, 9, 5, true), (3, 3, 2, false), (9, 9, 9, false)]
        {
            let settings = [(RECIPE, "x".to_owned()), (EPOCHS, epochs.to_string())];
            let mut checkpoint = checkpoint(of(draws).fingerprint(), settings);
            let recipe = recipe(&[&format!("training.epochs={given}")]);
            renew(&mut checkpoint, (&recipe, &Value::Null), &definitions, &now);
            let wanted = if is_renewed { now.fingerprint() } else { of(draws).fingerprint() };
            assert_eq!(checkpoint.resume.recipe, wanted, "{epochs}, {given}, {draws}");
        }
    }

    #[test]
    fn a_checkpoint_of_an_earlier_version_is_gone_on_with_where_its_files_still_lie() {
        let rows = rows();
        let definitions = Catalogs::default().definitions();
        let here = of_tokens("{tokenizer: /a/tokenizer.json}");
        let there = of_tokens("{tokenizer: /b/tokenizer.json}");
        let renewed = |then: &Recipe, now: &Recipe| {
            let settings = [(RECIPE, Fingerprint::of(&fixed(then)).0), ("the optimizer", "x".to_owned())];
            let mut checkpoint = checkpoint(Fingerprint::default(), settings);
            renew(&mut checkpoint, (now, &Value::Null), &definitions, &rows);
            assert_eq!(checkpoint.settings[1].1, "x");
            assert_eq!(checkpoint.resume.recipe, Fingerprint::default(), "of other rows");
            checkpoint.settings[0].1.clone()
        };
        let now = of_recipe(&here, &definitions).0;
        assert_eq!(renewed(&here, &here), now);
        assert_ne!(renewed(&here, &there), now);
    }

    #[test]
    fn a_checkpoint_in_whose_fingerprint_memory_counted_is_gone_on_with_whatever_memory_there_is() {
        let definitions = Catalogs::default().definitions();
        let of = |prefix: &str, memory: &str| {
            recipe(&[&format!("training.frozen_prefix={prefix}"), &format!("data.memory={memory}")])
        };
        let (then, now) = (of("auto", "2 GiB"), of("auto", "64 MiB"));
        assert_eq!(of_recipe(&then, &definitions), of_recipe(&now, &definitions));
        let memory = fixed(&then)["data"]["memory"].clone();
        for (noted, recipe, is_renewed) in
            [(&memory, &now, true), (&memory, &then, true), (&Value::Null, &then, true), (&Value::Null, &now, false)]
        {
            let saved = Fingerprint::of(&fixed(&then.without_paths(&definitions)));
            let settings = [(RECIPE, saved.0.clone()), ("the optimizer", "x".to_owned())];
            let mut checkpoint = checkpoint(Fingerprint::default(), settings);
            renew(&mut checkpoint, (recipe, noted), &definitions, &rows());
            let wanted = if is_renewed { of_recipe(recipe, &definitions) } else { saved };
            assert_eq!(checkpoint.settings[0].1, wanted.0, "{noted}, {is_renewed}");
        }
        // where memory decided nothing the fingerprint is what it was
        let kept = of("kept", "2 GiB");
        assert_eq!(of_recipe(&kept, &definitions), Fingerprint::of(&fixed(&kept)));
    }
}
