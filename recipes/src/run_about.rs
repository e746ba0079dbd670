//! What the page of a run says beside its record: how it came about, its recipe, and rows that it was wrong about.

use std::fs;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use millstream_pipeline::encodings::View;
use millstream_pipeline::{Value, decode};
use millstream_schemas::count;
use millstream_schemas::recipe::{EvaluationRecipe, TransparencyPolicy};
use millstream_training::RunRecord;
use millstream_training::metrics::Mistake;
use millstream_training::report::{About, Example, WrongRow};

use crate::origin::Origin;
use crate::run_folder::RunFolder;
use crate::{Opened, RecipeError, RowSource};

/// The longest side of a small picture, in pixels.
const SIDE: u32 = 160;
const QUALITY: u8 = 82;
/// Bytes of a recipe that are shown.
const MOST_RECIPE: u64 = 1 << 20;

/// Of the run in a folder. What cannot be read of it is not said: the figures stand by themselves.
pub(crate) fn of_folder(folder: &RunFolder) -> About {
    let recipe = folder.recipe();
    let is_small = fs::metadata(&recipe).is_ok_and(|file| file.len() <= MOST_RECIPE);
    let recipe = is_small.then(|| fs::read_to_string(recipe).ok()).flatten();
    About { facts: facts(folder), recipe, mistakes: Vec::new() }
}

/// Of a run whose data are open.
pub(crate) fn of_run(folder: &RunFolder, opened: &Opened, record: &RunRecord) -> About {
    let mut about = of_folder(folder);
    let rows = |source: &RowSource| count(source.dataset.rows(), "row");
    about.facts.push(("training data".into(), rows(&opened.train)));
    for (set, source) in opened.evaluation_sets() {
        about.facts.push(match set {
            EvaluationRecipe::MAIN => ("evaluation data".into(), rows(source)),
            set => (format!("evaluation data {set}"), rows(source)),
        });
    }
    if let Some((_, source)) = opened.deciding_set() {
        let transparency = opened.recipe.data.transparency;
        let mistakes = record.evaluation.iter().flat_map(|evaluation| &evaluation.mistakes);
        let wrong = |mistake| wrong_row(source, transparency, &record.classes, mistake).ok().flatten();
        about.mistakes = mistakes.filter_map(wrong).collect();
    }
    about
}

fn facts(folder: &RunFolder) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut say = |name: &str, value: Option<String>| facts.extend(value.map(|value| (name.to_owned(), value)));
    if let Ok(Some(origin)) = Origin::of_run(folder) {
        let Origin { began, software, onnx_runtime, device, processor, threads, host, parent, .. } = origin;
        say("begun", Some(began));
        say("host", host);
        say("machine", Some(format!("{}, {}", processor.unwrap_or(device), count(threads as u64, "thread"))));
        say("software", Some(format!("{software}, ONNX Runtime {onnx_runtime}")));
        say("goes on from", parent.map(|parent| parent.run));
    }
    if let Ok(Some(made_of)) = folder.made_of() {
        say("SHA-256 of the model", Some(made_of.model.0));
        say("fingerprint of the training data", Some(made_of.train.0));
        say("fingerprint of the evaluation data", made_of.evaluate.map(|print| print.0));
    }
    facts
}

/// None where the row is neither an image nor a text.
fn wrong_row(
    source: &RowSource,
    transparency: TransparencyPolicy,
    classes: &[String],
    mistake: &Mistake,
) -> Result<Option<WrongRow>, RecipeError> {
    let (column, view) = source.shown_column()?;
    let id = mistake.row_id();
    let row = source.dataset.read_row(&id, source.encoders.columns())?;
    let example = match row.get(&column) {
        Some(Value::Text(text)) => Example::Text(text.to_owned()),
        Some(Value::Bytes(bytes)) if view != View::Text => {
            let Ok(image) = decode::decode(bytes, transparency) else { return Ok(None) };
            let (width, height) = (image.width, image.height);
            let Some(image) = image::RgbImage::from_raw(width, height, image.pixels) else { return Ok(None) };
            let share = f64::from(SIDE) / f64::from(width.max(height).max(1));
            let side = |length: u32| ((f64::from(length) * share).round() as u32).max(1);
            let small = match share < 1.0 {
                true => imageops::resize(&image, side(width), side(height), FilterType::Triangle),
                // of a few pixels: each is seen
                false if share >= 2.0 => {
                    imageops::resize(&image, width * share as u32, height * share as u32, FilterType::Nearest)
                }
                false => image,
            };
            let mut bytes = Vec::new();
            let encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
            let written = small.write_with_encoder(encoder);
            written.map_err(|error| RecipeError::mismatch("the report's pictures", error.to_string()))?;
            Example::Jpeg(bytes)
        }
        _ => return Ok(None),
    };
    let class = |index: usize| classes.get(index).cloned().unwrap_or_else(|| index.to_string());
    Ok(Some(WrongRow {
        example,
        truth: class(mistake.truth),
        predicted: class(mistake.predicted),
        probability: mistake.probability,
        probability_of_truth: mistake.probability_of_truth,
        row: id.to_string(),
    }))
}
