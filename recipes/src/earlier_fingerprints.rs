//! Fingerprints of earlier versions, in which it counted where the files lie that options of a recipe name.

use millstream_pipeline::StreamOptions;
use millstream_schemas::recipe::Definitions;
use millstream_schemas::{Fingerprint, Recipe};
use millstream_training::checkpoint::CheckpointManifest;

use crate::made_of::fixed;

/// What checkpoints call the fingerprint of a recipe.
const RECIPE: &str = "the recipe";

/// Of what of a recipe decides a run's course, wherever its files lie.
pub(crate) fn of_recipe(recipe: &Recipe, definitions: &Definitions) -> Fingerprint {
    Fingerprint::of(&fixed(&recipe.without_paths(definitions)))
}

/// Writes the fingerprints of a checkpoint as this version does, where they are those that an earlier one made of the same recipe and
/// the same training rows. Others stay, and are refused.
pub(crate) fn renew(
    checkpoint: &mut CheckpointManifest,
    recipe: &Recipe,
    definitions: &Definitions,
    rows: &StreamOptions,
) {
    if rows.is_of(&checkpoint.resume.recipe) {
        checkpoint.resume.recipe = rows.fingerprint();
    }
    let earlier = Fingerprint::of(&fixed(recipe));
    for (name, saved) in &mut checkpoint.settings {
        if name == RECIPE && *saved == earlier.0 {
            *saved = of_recipe(recipe, definitions).0;
        }
    }
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

    #[test]
    fn a_checkpoint_of_an_earlier_version_is_gone_on_with_where_its_files_still_lie() {
        let columns = [
            ("text", Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef),
            ("label", Arc::new(Int64Array::from(vec![0, 1])) as ArrayRef),
        ];
        let dataset = Dataset::from_batches("rows", &[RecordBatch::try_from_iter(columns).unwrap()], 9).unwrap();
        let rows = StreamOptions::new(Chain::default(), Encoders::standard(&dataset, Some("text"), "label").unwrap());
        let definitions = Catalogs::default().definitions();
        let here = of_tokens("{tokenizer: /a/tokenizer.json}");
        let there = of_tokens("{tokenizer: /b/tokenizer.json}");
        let renewed = |then: &Recipe, now: &Recipe| {
            let print = Fingerprint::default();
            let resume =
                ResumePoint { version: 1, seed: 0, epoch: 0, position: 0, dataset: print.clone(), recipe: print };
            let mut checkpoint = CheckpointManifest {
                version: CheckpointManifest::VERSION,
                step: 1,
                resume,
                settings: vec![(RECIPE.into(), Fingerprint::of(&fixed(then)).0), ("the optimizer".into(), "x".into())],
                updates: 1,
                averaged: None,
                cohorts: Vec::new(),
                evaluation_due: false,
                parameters: Vec::new(),
                kept: Vec::new(),
                files: Vec::new(),
                history: History::default(),
            };
            renew(&mut checkpoint, now, &definitions, &rows);
            assert_eq!(checkpoint.settings[1].1, "x");
            assert_eq!(checkpoint.resume.recipe, Fingerprint::default(), "of other rows");
            checkpoint.settings[0].1.clone()
        };
        let now = of_recipe(&here, &definitions).0;
        assert_eq!(renewed(&here, &here), now);
        assert_ne!(renewed(&here, &there), now);
    }
}
