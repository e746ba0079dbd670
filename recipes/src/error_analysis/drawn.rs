//! What transforms drew for rows, as numbers that people know: degrees, shares of the area, factors.

use std::collections::BTreeMap;

use millstream_pipeline::{Value, decode};
use millstream_schemas::RowId;
use millstream_transforms::{Chain, DrawKey, ImageDrawing, TextDrawing};
use serde_json::Value as Json;

use super::factor::Factor;
use super::report::FactorOf;
use crate::{RecipeError, RowSource};

/// Which noise is no size of anything; sizes and colours of what is beside the picture are settings.
const NO_DRAWS: [&str; 4] = ["seed", "fill", "width", "height"];

/// What was drawn for each answer, by what it is called.
pub(super) struct Draws {
    numbers: BTreeMap<String, Vec<Option<f64>>>,
    applied: BTreeMap<String, Vec<Option<String>>>,
    answers: usize,
}

impl Draws {
    pub(super) fn new() -> Self {
        Self { numbers: BTreeMap::new(), applied: BTreeMap::new(), answers: 0 }
    }

    /// Draws again what a pass over rows has drawn with this seed.
    ///
    /// # Errors
    /// A row cannot be read, or the transforms do not fit it.
    pub(super) fn add(
        &mut self,
        source: &RowSource,
        chain: &Chain,
        seed: u64,
        rows: &[RowId],
    ) -> Result<(), RecipeError> {
        let (column, _) = source.shown_column()?;
        // in the order of the files, so that each row group is read once
        let places: std::collections::HashMap<&RowId, usize> =
            rows.iter().enumerate().map(|(at, row)| (row, at)).collect();
        let first = self.answers;
        self.grow(rows.len());
        let (mut index, mut problem) = (0, None);
        source.dataset.each_row(std::slice::from_ref(&column), |values| {
            let row = source.dataset.row_at(index);
            index += 1;
            let Some(at) = places.get(&row).filter(|_| problem.is_none()) else { return };
            let key = DrawKey { seed, epoch: 0, row: row.key() };
            let drawn = match values.get(0) {
                Value::Text(text) => {
                    chain.draw_text(text, &key).map(|drawing| self.take_text(first + at, text, &drawing))
                }
                Value::Bytes(bytes) => match decode::header(bytes) {
                    Ok(header) => {
                        chain.draw_image(&header.facts, &key).map(|drawing| self.take_image(first + at, &drawing))
                    }
                    Err(_) => Ok(()),
                },
                _ => Ok(()),
            };
            problem = drawn.err();
        })?;
        problem.map_or(Ok(()), |error| Err(error.into()))
    }

    fn grow(&mut self, by: usize) {
        self.answers += by;
        self.numbers.values_mut().for_each(|numbers| numbers.resize(self.answers, None));
        self.applied.values_mut().for_each(|names| names.resize(self.answers, None));
    }

    fn set(&mut self, name: String, answer: usize, number: f64) {
        let answers = self.answers;
        // what differs by rounding alone is the same
        let number = (number * 1e9).round() / 1e9;
        self.numbers.entry(name).or_insert_with(|| vec![None; answers])[answer] = Some(number);
    }

    fn applied(&mut self, transform: &str, answer: usize) {
        let answers = self.answers;
        self.applied.entry(transform.to_owned()).or_insert_with(|| vec![None; answers])[answer] = Some("yes".into());
    }

    fn take_image(&mut self, answer: usize, drawing: &ImageDrawing) {
        let mut facts = drawing.source;
        for drawn in &drawing.steps {
            let transform = drawn.transform.as_ref();
            self.applied(transform, answer);
            let after = drawn.step.output(&facts);
            let Ok(Json::Object(step)) = serde_json::to_value(&drawn.step) else { continue };
            for (name, options) in step {
                let sizes = [facts.width, facts.height, after.width, after.height].map(f64::from);
                match options.get("matrix").and_then(matrix) {
                    Some(matrix) => {
                        for (what, number) in placed(matrix, sizes) {
                            self.set(format!("{transform}: {what}"), answer, number);
                        }
                    }
                    None => {
                        let numbers = options.as_object().into_iter().flatten();
                        for (option, number) in numbers.filter(|(option, _)| !NO_DRAWS.contains(&option.as_str())) {
                            if let Some(number) = number.as_f64() {
                                let step = if name == transform { String::new() } else { format!("{name} ") };
                                self.set(format!("{transform}: {step}{option}"), answer, number);
                            }
                        }
                    }
                }
            }
            facts = after;
        }
    }

    fn take_text(&mut self, answer: usize, text: &str, drawing: &TextDrawing) {
        let letters = text.chars().count().max(1) as f64;
        for edit in &drawing.edits {
            let transform = edit.transform.as_ref();
            self.applied(transform, answer);
            let (edits, changed) = (format!("{transform}: edits"), format!("{transform}: share of letters"));
            let so_far = |name: &str| self.numbers.get(name).and_then(|numbers| numbers[answer]).unwrap_or(0.0);
            let (count, share) = (so_far(&edits) + 1.0, so_far(&changed) + (edit.end - edit.start) as f64 / letters);
            self.set(edits, answer, count);
            self.set(changed, answer, share);
        }
    }

    /// Every number, and of each transform whether it happened.
    pub(super) fn factors(self) -> Vec<Factor> {
        let applied = self.applied.into_iter().filter_map(|(transform, values)| {
            let values = values.into_iter().map(|value| Some(value.unwrap_or_else(|| "no".into()))).collect();
            Factor::names(format!("{transform}: happens"), FactorOf::Draw, values)
        });
        let numbers = self.numbers.into_iter().map(|(name, numbers)| Factor::numbers(name, FactorOf::Draw, numbers));
        numbers.chain(applied).collect()
    }
}

fn matrix(value: &Json) -> Option<[f64; 9]> {
    let numbers: Vec<f64> = value.as_array()?.iter().filter_map(Json::as_f64).collect();
    numbers.try_into().ok()
}

/// What a matrix from the output to the input does to an image: turn, part of the area, shape, and how far off the middle. Sizes are
/// width and height of the input, then of the output.
fn placed(m: [f64; 9], [width, height, across, down]: [f64; 4]) -> Vec<(&'static str, f64)> {
    let determinant = m[0] * m[4] - m[1] * m[3];
    let depth = m[6] * across / 2.0 + m[7] * down / 2.0 + m[8];
    let middle = [0, 3].map(|row| (m[row] * across / 2.0 + m[row + 1] * down / 2.0 + m[row + 2]) / depth);
    let mut found = Vec::new();
    let mirrored = determinant < 0.0;
    // a mirror image's turn is that of its first axis, which points the other way
    let turn = if mirrored { (-m[3]).atan2(-m[0]) } else { m[3].atan2(m[0]) };
    found.push(("degrees, either way", turn.to_degrees().abs()));
    found.push(("share of the area", determinant.abs() * across * down / (width * height)));
    let sides = [m[0].hypot(m[3]) * across, m[1].hypot(m[4]) * down];
    found.push(("width / height", sides[0] / sides[1]));
    found.push(("off the middle across", (middle[0] / width - 0.5).abs()));
    found.push(("off the middle down", (middle[1] / height - 0.5).abs()));
    found
}

#[cfg(test)]
mod tests {
    use millstream_schemas::Choice;
    use millstream_transforms::ImageFacts;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_drawn_has_the_numbers_that_the_recipe_speaks_of() {
        let specs = [
            Choice::new("rotate", json!({"degrees": 30})),
            Choice::new("random_resized_crop", json!({"size": 16, "area": [0.3, 0.9]})),
            Choice::named("horizontal_flip"),
            Choice::new("color_jitter", json!({"brightness": 0.4})),
        ];
        let chain = Chain::parse(&specs).unwrap();
        let mut draws = Draws::new();
        draws.grow(500);
        for row in 0..500 {
            let key = DrawKey { seed: 3, epoch: 0, row };
            let drawing = chain.draw_image(&ImageFacts::new(40, 30), &key).unwrap();
            draws.take_image(row as usize, &drawing);
        }
        let factors = draws.factors();
        let apart: Vec<&str> =
            factors.iter().filter(|factor| factor.tells_apart()).map(|factor| factor.name.as_str()).collect();
        for name in [
            "rotate: degrees, either way",
            "random_resized_crop: share of the area",
            "random_resized_crop: width / height",
            "horizontal_flip: happens",
            "color_jitter: brightness factor",
        ] {
            assert!(apart.contains(&name), "{name} is not in {apart:?}");
        }
        for name in [
            "rotate: share of the area",
            "rotate: happens",
            "rotate: off the middle across",
            "horizontal_flip: degrees, either way",
        ] {
            assert!(!apart.contains(&name), "{name} is in {apart:?}");
        }
        let range = |name: &str| {
            let super::super::factor::Values::Numbers(numbers) =
                &factors.iter().find(|factor| factor.name == name).unwrap().values
            else {
                panic!()
            };
            let known = || numbers.iter().flatten().copied();
            (known().fold(f64::INFINITY, f64::min), known().fold(0.0, f64::max))
        };
        let (low, high) = range("rotate: degrees, either way");
        assert!(low < 1.0 && (29.0..=30.0).contains(&high), "{low} {high}");
        let (low, high) = range("random_resized_crop: share of the area");
        assert!((0.28..0.34).contains(&low) && (0.86..0.92).contains(&high), "{low} {high}");
    }
}
