//! What a model's input is made of: images, texts or numbers.

use std::path::{Path, PathBuf};

use millstream_compiler::Model;
use millstream_pipeline::Dataset;
use millstream_schemas::{Feature, shown, shown_path};

use super::image_columns::no_images;
use super::image_preparation::{ImagePreparation, Size};
use super::init_options::InitOptions;
use super::number_columns::{NumberColumns, WrittenForPeople, columns_in_words};
use super::text_columns::{TEXTS, columns_of_texts, text_column, texts_in_words};
use super::told::Told;
use crate::RecipeError;
use crate::preprocessing::Preprocessing;

/// What encoders of texts call the input that holds tokens: as Transformers and as TensorFlow's hub have it.
const TOKENS: [&str; 2] = ["input_ids", "input_word_ids"];
/// Which of them are no padding.
const MASKS: [&str; 2] = ["attention_mask", "input_mask"];
/// Which text each is of.
const KINDS: [&str; 3] = ["token_type_ids", "input_type_ids", "segment_ids"];
/// At which place each is.
const PLACES: [&str; 1] = ["position_ids"];
/// Texts are cut to so many tokens, which most sentences do not reach.
const MOST_TOKENS: usize = 128;
/// Pixels a side of the pictures that most pretrained models take.
const USUAL_SIZE: Size = [224; 2];

/// What the model's input is made of.
#[derive(Clone, Debug)]
pub(super) enum Input {
    Image {
        column: String,
        size: Size,
        preparation: ImagePreparation,
    },
    Text {
        column: String,
        input: String,
        /// What else is made of the text and has another name than usual, by the option that names it.
        beside: Vec<(&'static str, String)>,
        tokenizer: String,
        most: usize,
    },
    Numbers {
        input: String,
        columns: Vec<String>,
        /// Columns that number the rows and are left out.
        row_numbers: Vec<String>,
        /// Whether the model takes whole numbers, which are no matter of scale.
        are_whole: bool,
    },
}

impl Input {
    /// Whether people are shown it.
    pub(super) fn is_shown(&self) -> bool {
        !matches!(self, Self::Numbers { .. })
    }

    /// What a model takes, made of columns of the data.
    ///
    /// # Errors
    /// The data have not what it takes, or its inputs do not say what they are.
    pub(super) fn of_model(
        (dataset, images): (&Dataset, &[String]),
        (model, path): (&Model, &Path),
        told: &Told,
        options: &InitOptions,
    ) -> Result<Self, RecipeError> {
        let inputs = model.inputs();
        if let [(name, shape)] = inputs.as_slice()
            && let [_, axes @ ..] = shape.as_slice()
            && let (Some(image), Ok(axes)) = (model.image_input(name), <[_; 3]>::try_from(axes))
        {
            let [channels, height, width] = image.layout.read(axes);
            let Some(column) = images.iter().find(|name| *name != told.column()) else {
                return Err(RecipeError::mismatch("DATA", no_images(dataset)?));
            };
            let channels = channels.unwrap_or(3);
            if !matches!(channels, 1 | 3) {
                let message = format!(
                    "the model's input is [batch, {channels}, …], and images are made of 1 or 3 \
                     channels"
                );
                return Err(RecipeError::mismatch("MODEL", message));
            }
            let own = Preprocessing::read(model).ok().flatten();
            let own = own.and_then(|own| ImagePreparation::of_transforms(own.transforms(), channels));
            let preparation = own.map_or_else(|| ImagePreparation::beside(path, channels), Ok)?;
            let fixed = width.or(height).zip(height.or(width)).map(|(width, height)| [width as u64, height as u64]);
            let size = fixed.or(preparation.size).unwrap_or(USUAL_SIZE);
            let is_bytes = model.input_type(name) == Some("uint8");
            let preparation = if is_bytes { preparation.of_bytes() } else { preparation };
            return Ok(Self::Image { column: column.clone(), size, preparation });
        }
        if let Some(of_text) = TextInputs::of(&inputs) {
            return text(dataset, path, told, of_text, options);
        }
        if let [(input, shape)] = inputs.as_slice()
            && let [_, Some(width)] = shape.as_slice()
        {
            let is_class = |feature: &Feature| matches!(feature, Feature::ClassLabel { .. });
            let of_numbers = NumberColumns::of(dataset, told)?;
            let name = |(name, _): &(String, Feature)| name.clone();
            let is_plain = |(_, feature): &&(String, Feature)| !is_class(feature);
            let are_whole = model.input_type(input) == Some("int64");
            // numbers of classes, and those of rows, are taken where the model wants as many
            let choices: [Vec<String>; 4] = [
                of_numbers.telling().filter(is_plain).map(name).collect(),
                of_numbers.telling().map(name).collect(),
                of_numbers.all.iter().copied().filter(is_plain).map(name).collect(),
                of_numbers.all.iter().copied().map(name).collect(),
            ];
            let Some(numbers) = choices.into_iter().find(|names| names.len() == *width) else {
                let have = columns_in_words(of_numbers.all.iter().map(|(name, _)| name));
                let texts = columns_of_texts(dataset, told);
                // they are the cause only where they make up for what is missing
                let there = of_numbers.all.len();
                let is_cause = |written: &WrittenForPeople| there < *width && there + written.columns >= *width;
                let what = match WrittenForPeople::among(dataset, &texts)?.filter(is_cause) {
                    Some(written) => format!("; {}", written.cause),
                    None => {
                        let tokens =
                            if are_whole { ", for example `token_ids`, if they are numbers of tokens" } else { "" };
                        let others = texts_in_words(&texts);
                        format!("{others}; write a recipe that says what its input is made of (`data.inputs`){tokens}")
                    }
                };
                let message = format!("the model takes {width} numbers a row, and the data have {have}{what}");
                return Err(RecipeError::mismatch("DATA", message));
            };
            let row_numbers = of_numbers.row_numbers.into_iter().filter(|name| !numbers.contains(name)).collect();
            return Ok(Self::Numbers { input: input.clone(), columns: numbers, row_numbers, are_whole });
        }
        let names: Vec<String> = inputs.iter().take(8).map(|(name, _)| format!("`{}`", shown(name))).collect();
        let message = format!(
            "what its inputs ({}) are made of is not clear; write a recipe that says it (`data.inputs`)",
            names.join(", ")
        );
        Err(RecipeError::mismatch("MODEL", message))
    }

    /// Images come before texts, and texts before numbers, unless there are several of these and no column is called as texts are.
    ///
    /// # Errors
    /// The rows cannot be read, no column holds any of them, or it is not clear which of several texts is read.
    pub(super) fn of_data(dataset: &Dataset, images: &[String], told: &Told) -> Result<Self, RecipeError> {
        let columns = || dataset.features().columns.iter().filter(|(name, _)| name != told.column());
        let image = images.iter().find(|name| *name != told.column());
        let numbers = NumberColumns::of(dataset, told)?;
        let mut texts = columns().filter(|(_, feature)| *feature == Feature::Text);
        let is_of_text = match numbers.all.len() {
            0 | 1 => texts.next().is_some(),
            _ => texts.any(|(name, _)| TEXTS.contains(&name.as_str())),
        };
        Ok(match image {
            Some(column) => {
                let preparation = ImagePreparation::of_no_model();
                Self::Image { column: column.clone(), size: USUAL_SIZE, preparation }
            }
            None if is_of_text => Self::Text {
                column: text_column(dataset, told)?,
                input: TOKENS[0].to_owned(),
                beside: Vec::new(),
                tokenizer: "tokenizer.json".to_owned(),
                most: MOST_TOKENS,
            },
            None if numbers.all.is_empty() => {
                let message = format!("beside `{}`, no column holds images, texts or numbers", shown(told.column()));
                return Err(RecipeError::mismatch("DATA", message));
            }
            None => {
                let columns: Vec<String> = numbers.telling().map(|(name, _)| name.clone()).collect();
                let (columns, row_numbers) = match columns.is_empty() {
                    // there is nothing else
                    true => (numbers.row_numbers, Vec::new()),
                    false => (columns, numbers.row_numbers),
                };
                Self::Numbers { input: "input".to_owned(), columns, row_numbers, are_whole: false }
            }
        })
    }
}

/// An input with the lengths of its axes.
type NamedShape = (String, Vec<Option<usize>>);

/// The inputs of a model that are all made of one text.
struct TextInputs<'a> {
    tokens: &'a NamedShape,
    /// Those that `token_ids` makes beside and that have another name than usual, by the option that names them.
    beside: Vec<(&'static str, String)>,
}

impl<'a> TextInputs<'a> {
    /// Nothing where one of the inputs is of something else.
    fn of(inputs: &'a [NamedShape]) -> Option<Self> {
        let known = [TOKENS.as_slice(), &MASKS, &KINDS, &PLACES].concat();
        if !inputs.iter().all(|(name, _)| known.contains(&name.as_str())) {
            return None;
        }
        let named = |names: &[&str]| inputs.iter().find(|(name, _)| names.contains(&name.as_str()));
        let made = [("attention_mask", MASKS.as_slice()), ("token_type_ids", KINDS.as_slice())];
        let unusual = |(option, names): (&'static str, &[&str])| {
            let (name, _) = named(names)?;
            (name != option).then(|| (option, name.clone()))
        };
        Some(Self { tokens: named(&TOKENS)?, beside: made.into_iter().filter_map(unusual).collect() })
    }
}

fn text(
    dataset: &Dataset,
    path: &Path,
    told: &Told,
    TextInputs { tokens: (input, shape), beside }: TextInputs<'_>,
    options: &InitOptions,
) -> Result<Input, RecipeError> {
    let column = text_column(dataset, told)?;
    let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
    let places: [PathBuf; 2] = [folder.join("tokenizer.json"), folder.join("../tokenizer.json")];
    let Some(tokenizer) = places.iter().find(|place| place.exists()) else {
        let message = format!(
            "the model reads tokens, and there is no `tokenizer.json` beside it in {}; put it there",
            shown_path(&folder)
        );
        return Err(RecipeError::mismatch("MODEL", message));
    };
    let most = shape.get(1).copied().flatten().unwrap_or(MOST_TOKENS);
    let tokenizer = options.named(tokenizer)?;
    Ok(Input::Text { column, input: input.clone(), beside, tokenizer, most })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokens_are_the_input_of_that_name_in_whatever_order_the_inputs_stand() {
        type Beside = &'static [(&'static str, &'static str)];
        let rows: [(&[&str], Option<&str>, Beside); 7] = [
            (&["input_ids", "attention_mask", "token_type_ids"], Some("input_ids"), &[]),
            (&["attention_mask", "input_ids", "token_type_ids"], Some("input_ids"), &[]),
            (
                &["input_mask", "input_type_ids", "input_word_ids"],
                Some("input_word_ids"),
                &[("attention_mask", "input_mask"), ("token_type_ids", "input_type_ids")],
            ),
            (&["input_ids", "segment_ids"], Some("input_ids"), &[("token_type_ids", "segment_ids")]),
            (&["input_ids", "position_ids"], Some("input_ids"), &[]),
            (&["attention_mask"], None, &[]),
            (&["input_ids", "image"], None, &[]),
        ];
        for (names, tokens, beside) in rows {
            let inputs: Vec<NamedShape> = names.iter().map(|&name| (name.to_owned(), vec![None, None])).collect();
            let found = TextInputs::of(&inputs);
            assert_eq!(found.as_ref().map(|found| found.tokens.0.as_str()), tokens, "{names:?}");
            let found = found.map_or_else(Vec::new, |found| found.beside);
            let beside: Vec<(&str, String)> = beside.iter().map(|&(option, name)| (option, name.to_owned())).collect();
            assert_eq!(found, beside, "{names:?}");
        }
    }
}
