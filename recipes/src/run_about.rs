//! What the page of a run says beside its record: how it came about, its recipe, and rows that it was wrong about.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use millstream_pipeline::encodings::{Mark, View};
use millstream_pipeline::{Value, decode};
use millstream_schemas::recipe::{EvaluationRecipe, TransparencyPolicy};
use millstream_schemas::{RowId, count, percent};
use millstream_training::RunRecord;
use millstream_training::metrics::{BoxRole, ClassMap, Mistake, MistakenMask, MistakenPicture, PictureBox};
use millstream_training::report::{About, BoxLook, Example, ShownBox, WrongMask, WrongPicture, WrongRow};
use millstream_transforms::RgbImage;

use crate::origin::Origin;
use crate::predict::PictureSpace;
use crate::preview::{class_colour, draw_marks};
use crate::run_folder::RunFolder;
use crate::{Opened, RecipeError, RowSource};

/// The longest side of a small picture, in pixels.
const SIDE: u32 = 160;
/// The same of pictures that boxes or masks are drawn in.
const SIDE_WITH_TARGETS: u32 = 320;
const QUALITY: u8 = 82;
/// Bytes of a recipe that are shown.
const MOST_RECIPE: u64 = 1 << 20;

/// Of the run in a folder. What cannot be read of it is not said: the figures stand by themselves.
pub(crate) fn of_folder(folder: &RunFolder) -> About {
    let recipe = folder.recipe();
    let is_small = fs::metadata(&recipe).is_ok_and(|file| file.len() <= MOST_RECIPE);
    let recipe = is_small.then(|| fs::read_to_string(recipe).ok()).flatten();
    About { facts: facts(folder), recipe, ..About::default() }
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
        let pictures: Vec<&MistakenPicture> =
            record.evaluation.iter().flat_map(|evaluation| &evaluation.mistaken_pictures).collect();
        let drawn =
            |picture: &&MistakenPicture| wrong_picture(source, transparency, &record.classes, picture).ok().flatten();
        about.pictures = pictures.iter().filter_map(drawn).collect();
        let masks: Vec<&MistakenMask> =
            record.evaluation.iter().flat_map(|evaluation| &evaluation.mistaken_masks).collect();
        let tinted = |mask: &&MistakenMask| wrong_mask(source, transparency, mask).ok().flatten();
        about.masks = masks.iter().filter_map(tinted).collect();
        about.mask_classes = mask_classes(&masks, &record.classes);
        let missing = (pictures.len() + masks.len()) - (about.pictures.len() + about.masks.len());
        if missing > 0 {
            let said = format!(
                "{} not drawn: they cannot be read, or what was told of them cannot be led back through the transforms of the evaluation",
                count(missing, "picture")
            );
            about.facts.push(("what it was most wrong about".into(), said));
        }
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
        Some(Value::Bytes(bytes)) if view != View::Text => match small_picture(bytes, transparency, SIDE) {
            Some(small) => Example::Jpeg(jpeg(&small.image)?),
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    Ok(Some(WrongRow {
        example,
        truth: name_of(classes, mistake.truth),
        predicted: name_of(classes, mistake.predicted),
        probability: mistake.probability,
        probability_of_truth: mistake.probability_of_truth,
        row: id.to_string(),
    }))
}

/// A picture as it stands in a page.
struct SmallPicture {
    image: image::RgbImage,
    /// Width and height in pixels of the picture that it was made of.
    source: [u32; 2],
}

impl SmallPicture {
    /// Width and height in pixels.
    fn size(&self) -> [u32; 2] {
        [self.image.width(), self.image.height()]
    }
}

/// As a JPEG file.
fn jpeg(image: &image::RgbImage) -> Result<Vec<u8>, RecipeError> {
    let mut jpeg = Vec::new();
    let written = image.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, QUALITY));
    written.map_err(|error| RecipeError::mismatch("the report's pictures", error.to_string()))?;
    Ok(jpeg)
}

/// With a longest side of so many pixels; none of what is no picture.
fn small_picture(bytes: &[u8], transparency: TransparencyPolicy, longest: u32) -> Option<SmallPicture> {
    let image = decode::decode(bytes, transparency).ok()?;
    let (width, height) = (image.width, image.height);
    let image = image::RgbImage::from_raw(width, height, image.pixels)?;
    let share = f64::from(longest) / f64::from(width.max(height).max(1));
    let side = |length: u32| ((f64::from(length) * share).round() as u32).max(1);
    let small = match share < 1.0 {
        true => imageops::resize(&image, side(width), side(height), FilterType::Triangle),
        // of a few pixels: each is seen
        false if share >= 2.0 => {
            imageops::resize(&image, width * share as u32, height * share as u32, FilterType::Nearest)
        }
        false => image,
    };
    Some(SmallPicture { image: small, source: [width, height] })
}

/// A row's picture, and how places in it as it was prepared lie in it; none where the row is no picture, or is prepared by what cannot be
/// led back: chance, or a step that is no projective map.
fn led_back(
    source: &RowSource,
    transparency: TransparencyPolicy,
    id: &RowId,
) -> Result<Option<(PictureSpace, SmallPicture)>, RecipeError> {
    let (column, view) = source.shown_column()?;
    let row = source.dataset.read_row(id, source.encoders.columns())?;
    let Some(Value::Bytes(bytes)) = row.get(&column).filter(|_| view != View::Text && !source.chain.is_random()) else {
        return Ok(None);
    };
    let Ok(header) = decode::header(bytes) else { return Ok(None) };
    let Some(space) = PictureSpace::of(&source.chain, &header.facts)? else { return Ok(None) };
    let small = small_picture(bytes, transparency, SIDE_WITH_TARGETS);
    let small = small.filter(|small| small.source == [header.facts.width, header.facts.height]);
    Ok(small.map(|small| (space, small)))
}

/// None where the picture cannot be drawn in.
fn wrong_picture(
    source: &RowSource,
    transparency: TransparencyPolicy,
    classes: &[String],
    mistaken: &MistakenPicture,
) -> Result<Option<WrongPicture>, RecipeError> {
    let id = mistaken.row_id();
    let Some((space, small)) = led_back(source, transparency, &id)? else { return Ok(None) };
    let size = small.size();
    let shown_box = |one: &PictureBox| {
        let [across, down] = space.prepared();
        let [left, top, right, bottom] = one.bounds.map(f64::from);
        let [left, top, right, bottom] =
            space.bounds([left * across, top * down, right * across, bottom * down]).map(f64::from);
        let along = |place: f64, axis: usize| place * f64::from(size[axis]) / f64::from(small.source[axis]);
        let told = one.probability.map(|probability| format!(" {}", percent(f64::from(probability))));
        let (look, before) = match one.role {
            BoxRole::There => (BoxLook::There, ""),
            BoxRole::Crowd => (BoxLook::Ignored, "a crowd of "),
            BoxRole::Right => (BoxLook::Right, ""),
            BoxRole::Wrong => (BoxLook::Wrong, ""),
            BoxRole::InCrowd => (BoxLook::Ignored, "in a crowd: "),
        };
        ShownBox {
            look,
            label: format!("{before}{}{}", name_of(classes, one.class), told.unwrap_or_default()),
            bounds: [along(left, 0), along(top, 1), along(right, 0), along(bottom, 1)],
        }
    };
    Ok(Some(WrongPicture {
        boxes: mistaken.boxes.iter().map(shown_box).collect(),
        jpeg: jpeg(&small.image)?,
        size,
        missed: mistaken.missed,
        wrong: mistaken.wrong,
        row: id.to_string(),
    }))
}

/// None where the picture cannot be drawn in.
fn wrong_mask(
    source: &RowSource,
    transparency: TransparencyPolicy,
    mistaken: &MistakenMask,
) -> Result<Option<WrongMask>, RecipeError> {
    let id = mistaken.row_id();
    let Some((space, small)) = led_back(source, transparency, &id)? else { return Ok(None) };
    let [columns, rows] = small.size();
    let width = mistaken.width.max(1);
    let tinted = |map: &ClassMap| {
        let class = |x: u32, y: u32| {
            let x = (f64::from(x) + 0.5) * f64::from(small.source[0]) / f64::from(columns);
            let y = (f64::from(y) + 0.5) * f64::from(small.source[1]) / f64::from(rows);
            map.0.get(space.place((x, y), [width, map.0.len() / width])?).copied().flatten()
        };
        let pixels = (0..rows).flat_map(|y| (0..columns).map(move |x| (x, y)));
        let classes = pixels.map(|(x, y)| class(x, y)).collect();
        let mut picture = RgbImage { width: columns, height: rows, pixels: small.image.as_raw().clone() };
        let regions = Mark::Regions { width: columns as usize, classes, names: Arc::from(Vec::new()) };
        draw_marks(&mut picture, (1.0, 1.0), &[regions]);
        let picture = image::RgbImage::from_raw(columns, rows, picture.pixels).expect("as many pixels as before");
        jpeg(&picture)
    };
    let (truth, told) = (tinted(&mistaken.truth)?, tinted(&mistaken.told)?);
    Ok(Some(WrongMask { truth, told, wrong: mistaken.wrong, row: id.to_string() }))
}

/// The classes that occur in masks, with the colours that they are tinted with.
fn mask_classes(masks: &[&MistakenMask], classes: &[String]) -> Vec<(String, [u8; 3])> {
    let maps = masks.iter().flat_map(|mask| [&mask.truth, &mask.told]);
    let found: BTreeSet<usize> = maps.flat_map(|map| map.0.iter().flatten()).map(|class| usize::from(*class)).collect();
    found.into_iter().map(|class| (name_of(classes, class), class_colour(class))).collect()
}

/// What a class is called, or its number.
fn name_of(classes: &[String], class: usize) -> String {
    classes.get(class).cloned().unwrap_or_else(|| class.to_string())
}
