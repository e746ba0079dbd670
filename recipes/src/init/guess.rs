use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use millstream_compiler::{Model, ModelReport, OperatorCatalog, describe};
use millstream_pipeline::{Dataset, SplitRole, Value};
use millstream_schemas::{AxisLength, Feature, count, grouped, shown, shown_path};

use super::image_columns::columns_of_images;
use super::image_preparation::{ImagePreparation, Size};
use super::init_options::InitOptions;
use super::most_rows::MOST_ROWS;
use super::number_columns::{NumberColumns, WrittenForPeople, named};
use super::told::{Asked, Told};
use crate::folder_files::is_image;
use crate::imported::NamedRows;
use crate::preprocessing::Preprocessing;
use crate::{RecipeError, labels_file};

/// Names of columns that hold texts.
const TEXTS: [&str; 6] = ["text", "sentence", "review", "content", "question", "premise"];
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
/// Height and width of pictures by which a model is asked that takes those of any size: networks halve them several times.
const SOME_SIDES: [usize; 2] = [256, 320];
/// Pictures of fewer pixels a side are drawings and digits more often than photographs.
pub(super) const SMALL: u64 = 64;

/// What was seen of data and model, and what follows from that.
#[derive(Clone, Debug)]
pub(super) struct Guess {
    /// As the recipe names it, where there is one.
    pub(super) model: Option<String>,
    /// Of the recipe's data.
    pub(super) train: Vec<String>,
    pub(super) evaluate: Vec<String>,
    pub(super) output: String,
    /// Rows to train on.
    pub(super) rows: u64,
    pub(super) input: Input,
    pub(super) told: Told,
    /// Names of classes in the order of the scores, where the data have them.
    pub(super) classes: Vec<String>,
    /// How many there are; 0 where that is not known.
    class_count: usize,
    /// Whether the model's output is one vector for each token.
    is_of_tokens: bool,
    /// Whether the model already tells these classes.
    knows_classes: bool,
    /// How the data became Parquet, where they were none.
    pub(super) imported: Vec<String>,
    /// Its last layer, where it has layers.
    last_layer: Option<String>,
    /// Columns of texts beside those of numbers that a model takes.
    left_out: Vec<String>,
    /// Why the classes that are told are texts, where they look like numbers.
    numbers_as_classes: Option<String>,
}

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
}

/// The last layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// The model's own.
    Keep,
    /// A new linear layer in place of the last.
    New,
    /// A new linear layer on the mean of the tokens.
    Pooled,
    /// A new linear layer behind the model.
    OnFeatures,
}

impl Guess {
    /// # Errors
    /// Data or model cannot be read, or it cannot be told what is input and what is to be told.
    pub(super) fn of(options: &InitOptions) -> Result<Self, RecipeError> {
        let InitOptions { data, evaluate, folder, output, .. } = options;
        let named = |is_divided| NamedRows { patterns: data, base: folder, output, is_divided, decimal_comma: false };
        let is_divided = evaluate.is_empty() || evaluate == data;
        let (dataset, imported) = named(is_divided).open(SplitRole::Train).map_err(RecipeError::at("DATA"))?;
        let evaluate = match evaluate.as_slice() {
            [] => other_split(data, &named(true), &dataset),
            named => named.to_vec(),
        };
        let images = columns_of_images(&dataset)?;
        let seen = match &options.model {
            Some(path) => Seen::of_model(&dataset, &images, path, options)?,
            None => Seen::of_data(&dataset, &images, options.label.as_deref())?,
        };
        let left_out = match &seen.input {
            Input::Numbers { .. } => columns_of_texts(&dataset, &seen.told),
            _ => Vec::new(),
        };
        let numbers_as_classes = numbers_as_classes(&dataset, &seen.told)?;
        Ok(Self {
            model: options.model.as_deref().map(|path| options.named(path)).transpose()?,
            train: data.clone(),
            evaluate,
            output: options.named(output)?,
            rows: dataset.rows(),
            input: seen.input,
            classes: seen.told.classes(&dataset),
            class_count: seen.told.class_count(&dataset)?,
            told: seen.told,
            is_of_tokens: seen.is_of_tokens,
            knows_classes: seen.knows_classes,
            imported,
            last_layer: seen.last_layer,
            left_out,
            numbers_as_classes,
        })
    }

    /// Last layers that are tried, the likeliest first.
    pub(super) fn heads(&self) -> Vec<Head> {
        match (&self.input, self.is_of_tokens) {
            (Input::Text { .. }, true) => vec![Head::Pooled],
            (Input::Text { .. }, false) => vec![Head::New, Head::Keep, Head::OnFeatures],
            (Input::Numbers { .. }, _) => vec![Head::Keep, Head::New, Head::OnFeatures],
            (Input::Image { .. }, _) if matches!(&self.told, Told::Boxes { boxes, .. } if !boxes.is_flat) => {
                vec![Head::Keep]
            }
            // what stands behind a map of scores would be of the whole picture
            (Input::Image { .. }, _) if matches!(self.told, Told::Mask { .. }) => match self.knows_classes {
                true => vec![Head::Keep, Head::New],
                false => vec![Head::New, Head::Keep],
            },
            (Input::Image { .. }, _) if self.knows_classes => vec![Head::Keep, Head::New, Head::OnFeatures],
            (Input::Image { .. }, _) => vec![Head::New, Head::OnFeatures, Head::Keep],
        }
    }

    /// What the last layer is called, if it begins anew.
    pub(super) fn new_layer(&self, head: Head) -> Option<&str> {
        match head {
            Head::Keep => None,
            Head::New => self.last_layer.as_deref(),
            Head::Pooled | Head::OnFeatures => Some("head"),
        }
    }

    /// What was decided, and why; and the decision about the last layer, without what is trained.
    pub(super) fn decisions(&self, head: Head, trained: usize) -> (Vec<String>, &'static str) {
        let input = match &self.input {
            Input::Image { column, size, preparation } => {
                let how = if preparation.mean.is_empty() { "" } else { "normalized " };
                let (column, [width, height]) = (shown(column), size);
                format!("the model sees the images of `{column}` at {width}×{height} pixels, {how}{}", preparation.from)
            }
            Input::Text { column, tokenizer, most, .. } => format!(
                "the model reads the texts of `{}`, cut to {most} tokens by {}",
                shown(column),
                shown_path(tokenizer)
            ),
            Input::Numbers { columns, row_numbers, are_whole, .. } => {
                let how = if *are_whole { "as they are, whole ones" } else { "standardized" };
                format!("the model takes the numbers of {}, {how}", numbers_in_words(columns, row_numbers))
            }
        };
        let told = self.told.in_words(self.class_count);
        let head = match head {
            Head::Keep => "its own last layer is trained on",
            Head::New => "a new last layer takes the place of the model's",
            Head::Pooled => "a new last layer stands on the mean of its tokens",
            Head::OnFeatures => "a new last layer stands behind the model",
        };
        let all = format!("all {} parameters are trained", grouped(trained as u64));
        let decided = [told, format!("{head}; {all}"), self.rows_in_words()];
        let otherwise = match &self.input {
            Input::Image { preparation, .. } => preparation.otherwise().cloned().collect(),
            _ => Vec::new(),
        };
        let input = std::iter::once(input).chain(otherwise).chain(self.left_out_in_words());
        let decisions = self.imported.iter().cloned().chain(input).chain(decided).chain(self.to_look_at());
        (decisions.collect(), head)
    }

    /// What was decided of the data alone.
    pub(super) fn decisions_of_data(&self) -> Vec<String> {
        let input = match &self.input {
            Input::Image { column, size: [width, height], preparation } => format!(
                "a model sees the images of `{}` at {width}×{height} pixels, normalized: {}",
                shown(column),
                preparation.from
            ),
            Input::Text { column, .. } => format!("a model reads the texts of `{}`", shown(column)),
            Input::Numbers { columns, row_numbers, .. } => {
                format!("a model takes the numbers of {}, standardized", numbers_in_words(columns, row_numbers))
            }
        };
        let model = "the model is missing: fill it in under `model`, or name it behind the data".to_owned();
        let decided = [self.told.in_words(self.class_count), self.rows_in_words(), model];
        let input = std::iter::once(input).chain(self.left_out_in_words());
        self.imported.iter().cloned().chain(input).chain(decided).chain(self.to_look_at()).collect()
    }

    /// What is to be looked at in the recipe.
    fn to_look_at(&self) -> impl Iterator<Item = String> {
        self.told.to_look_at().into_iter().chain(self.numbers_as_classes.clone())
    }

    fn left_out_in_words(&self) -> Option<String> {
        (!self.left_out.is_empty())
            .then(|| format!("the texts of {} are left out, which are no numbers", named(&self.left_out)))
    }

    fn rows_in_words(&self) -> String {
        match self.evaluate.as_slice() {
            [] => format!(
                "{} are trained on; there are none to evaluate on, so nothing is measured: name some by `--evaluate`",
                count(self.rows, "row")
            ),
            _ => format!("{} are trained on", count(self.rows, "row")),
        }
    }
}

/// What data and model, or data alone, say.
struct Seen {
    input: Input,
    told: Told,
    is_of_tokens: bool,
    knows_classes: bool,
    last_layer: Option<String>,
}

impl Seen {
    fn of_model(dataset: &Dataset, images: &[String], path: &Path, options: &InitOptions) -> Result<Self, RecipeError> {
        let model = Model::read(path)?;
        let known = labels_file::of_model(&model, path)?.unwrap_or_default();
        let report = describe(&model, None, &OperatorCatalog::standard())?;
        let scores = scores(&model, &report)?;
        let scores = scores.as_slice();
        let asked = Asked {
            label: options.label.as_deref(),
            scores: Some(scores),
            names: &known,
            takes_images: takes_images(&model),
            images,
        };
        let told = Told::of(dataset, &asked)?;
        let input = input((dataset, images), (&model, path), &told, options)?;
        require_scores_of_pixels(&told, &input, scores)?;
        let classes = told.classes(dataset);
        let gives = scores.get(1).copied().flatten();
        let knows_classes = match &told {
            Told::Class { .. } => !classes.is_empty() && known == classes && gives == Some(classes.len()),
            Told::Mask { masks, .. } => gives == Some(classes.len()) || masks.is_one_score,
            Told::Boxes { boxes, .. } => !boxes.is_flat || gives == Some(4),
            Told::Labels { .. } | Told::Number { .. } => false,
        };
        let is_of_tokens = scores.len() == 3 && matches!(input, Input::Text { .. });
        let last_layer = report.layers.last().map(|layer| layer.name.clone());
        Ok(Self { input, told, is_of_tokens, knows_classes, last_layer })
    }

    /// Images come before texts, and texts before numbers, unless there are several of these and no column is called as texts are.
    fn of_data(dataset: &Dataset, images: &[String], label: Option<&str>) -> Result<Self, RecipeError> {
        let takes_images = !images.is_empty();
        let told = Told::of(dataset, &Asked { label, scores: None, names: &[], takes_images, images })?;
        let columns = || dataset.features().columns.iter().filter(|(name, _)| name != told.column());
        let image = images.iter().find(|name| *name != told.column());
        let numbers = NumberColumns::of(dataset, &told)?;
        let mut texts = columns().filter(|(_, feature)| *feature == Feature::Text);
        let is_of_text = match numbers.all.len() {
            0 | 1 => texts.next().is_some(),
            _ => texts.any(|(name, _)| TEXTS.contains(&name.as_str())),
        };
        let input = match image {
            Some(column) => {
                let preparation = ImagePreparation::of_no_model();
                Input::Image { column: column.clone(), size: USUAL_SIZE, preparation }
            }
            None if is_of_text => Input::Text {
                column: text_column(dataset, &told)?,
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
                Input::Numbers { input: "input".to_owned(), columns, row_numbers, are_whole: false }
            }
        };
        Ok(Self { input, told, is_of_tokens: false, knows_classes: false, last_layer: None })
    }
}

/// The column of classes that a recipe of the data tells, and whether it tells them by several columns of numbers; none where it tells
/// something else.
///
/// # Errors
/// The rows cannot be read, or it is not clear what is told or by what: the question.
pub(crate) fn class_column(dataset: &Dataset, label: Option<&str>) -> Result<Option<(String, bool)>, RecipeError> {
    let seen = Seen::of_data(dataset, &columns_of_images(dataset)?, label)?;
    let is_by_numbers = matches!(seen.input, Input::Numbers { .. });
    Ok(match seen.told {
        Told::Class { column } => Some((column, is_by_numbers)),
        _ => None,
    })
}

/// The lengths of what the model gives; of scores of places as a loss reads them, `[batch, classes, height, width]`, in whatever order the
/// model has their axes, one score for each pixel as of one class.
fn scores(model: &Model, report: &ModelReport) -> Result<Vec<Option<usize>>, RecipeError> {
    let Some((name, stated)) = report.outputs.first() else { return Ok(Vec::new()) };
    if let [rows, height, width] = stated.as_slice()
        && is_of_pixels(model, name, [*height, *width])
    {
        return Ok(vec![*rows, Some(1), *height, *width]);
    }
    if stated.len() != 4 {
        return Ok(stated.clone());
    }
    let laid = model.score_shape(Some(name), None, &OperatorCatalog::standard())?;
    // behind operators that have no rule the file alone says it
    Ok(laid.unwrap_or_else(|| stated.clone()))
}

/// Whether these are height and width of the only input of a model, images: then it gives one score for each of their pixels. Of images
/// of any size it is told of one.
fn is_of_pixels(model: &Model, output: &str, sides: [Option<usize>; 2]) -> bool {
    let inputs = model.inputs();
    let [(name, shape)] = inputs.as_slice() else { return false };
    let (Some(image), [rows, axes @ ..]) = (model.image_input(name), shape.as_slice()) else { return false };
    let Ok(axes) = <[Option<usize>; 3]>::try_from(axes) else { return false };
    let [channels, height, width] = image.layout.read(axes);
    if sides.iter().all(Option::is_some) {
        return sides == [height, width];
    }
    let [height, width] = [height.unwrap_or(SOME_SIDES[0]), width.unwrap_or(SOME_SIDES[1])];
    let rows = rows.map_or_else(|| AxisLength::from("batch"), AxisLength::from);
    let lengths = image.layout.shape(channels.unwrap_or(3), height, width).map(AxisLength::from);
    let images = BTreeMap::from([(name.clone(), std::iter::once(rows).chain(lengths).collect())]);
    let given = model.output_shape(output, &images, &OperatorCatalog::standard());
    given.is_some_and(|given| given.get(1..) == Some(&[Some(height), Some(width)][..]))
}

fn takes_images(model: &Model) -> bool {
    matches!(model.inputs().as_slice(), [(_, shape)] if shape.len() == 4)
}

/// A model of masks gives scores for as many places as its images have pixels.
fn require_scores_of_pixels(told: &Told, input: &Input, scores: &[Option<usize>]) -> Result<(), RecipeError> {
    let (Told::Mask { column, .. }, Input::Image { size: [across, down], .. }) = (told, input) else { return Ok(()) };
    let &[_, _, Some(height), Some(width)] = scores else { return Ok(()) };
    if [width as u64, height as u64] == [*across, *down] {
        return Ok(());
    }
    let message = format!(
        "it gives scores for {width}×{height} places of an image of {across}×{down} pixels, and `{}` has a class for each pixel; export it with \
         its scores enlarged to the image's size (in PyTorch `interpolate(scores, size=({down}, {across}), mode=\"bilinear\")`)",
        shown(column)
    );
    Err(RecipeError::mismatch("MODEL", message))
}

/// The same folders, where they have another split.
fn other_split(data: &[String], rows: &NamedRows<'_>, train: &Dataset) -> Vec<String> {
    let Ok((other, _)) = rows.open(SplitRole::Evaluate) else { return Vec::new() };
    let is_trained_on = other.files().iter().any(|file| train.files().iter().any(|own| own.path == file.path));
    if is_trained_on { Vec::new() } else { data.to_vec() }
}

fn input(
    (dataset, images): (&Dataset, &[String]),
    (model, path): (&Model, &Path),
    told: &Told,
    options: &InitOptions,
) -> Result<Input, RecipeError> {
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
        return Ok(Input::Image { column: column.clone(), size, preparation });
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
        return Ok(Input::Numbers { input: input.clone(), columns: numbers, row_numbers, are_whole });
    }
    let names: Vec<String> = inputs.iter().take(8).map(|(name, _)| format!("`{}`", shown(name))).collect();
    let message = format!(
        "what its inputs ({}) are made of is not clear; write a recipe that says it (`data.inputs`)",
        names.join(", ")
    );
    Err(RecipeError::mismatch("MODEL", message))
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

/// What numbers a model takes, in words, and which it does not.
fn numbers_in_words(columns: &[String], row_numbers: &[String]) -> String {
    let taken = format!("{} ({})", count(columns.len() as u64, "column"), named(columns));
    match row_numbers {
        [] => taken,
        left_out => format!("{taken}, without {}, which number the rows", named(left_out)),
    }
}

/// The columns of numbers that there are.
fn columns_in_words<'a>(names: impl ExactSizeIterator<Item = &'a String>) -> String {
    match names.len() {
        0 => "no column of numbers".to_owned(),
        several => format!("{} of numbers ({})", count(several as u64, "column"), named(names)),
    }
}

/// The columns beside them that are none.
fn texts_in_words(texts: &[String]) -> String {
    if texts.is_empty() { String::new() } else { format!("; of texts are {}", named(texts)) }
}

/// That the texts that are told as classes look like numbers as people write them, and what to do; nothing where they do not.
fn numbers_as_classes(dataset: &Dataset, told: &Told) -> Result<Option<String>, RecipeError> {
    let column = match (told, dataset.features().get(told.column())) {
        (Told::Class { column }, Some(Feature::Text)) => column,
        _ => return Ok(None),
    };
    let written = WrittenForPeople::among(dataset, std::slice::from_ref(column))?;
    Ok(written.map(|written| format!("`{}` is told as classes: {}", shown(column), written.cause)))
}

/// The columns of texts beside the one that is told.
fn columns_of_texts(dataset: &Dataset, told: &Told) -> Vec<String> {
    let columns = dataset.features().columns.iter();
    let texts = columns.filter(|(name, feature)| *feature == Feature::Text && name != told.column());
    texts.map(|(name, _)| name.clone()).collect()
}

/// Why there is no image to take, and what to do.
fn no_images(dataset: &Dataset) -> Result<String, RecipeError> {
    let features = dataset.features().columns.iter();
    let texts: Vec<String> =
        features.filter(|(_, feature)| *feature == Feature::Text).map(|(name, _)| name.clone()).collect();
    let mut rows = 0_usize;
    let named = match texts.is_empty() {
        true => None,
        false => dataset.find_row(&texts, |row| {
            rows += 1;
            let named = texts.iter().enumerate().find_map(|(at, name)| match row.get(at) {
                Value::Text(text) if is_image(text) => Some((name.clone(), text.to_owned())),
                _ => None,
            });
            (named.is_some() || rows >= MOST_ROWS).then_some(named)
        })?,
    };
    let named = named.flatten();
    let what = "the model takes images, and no column holds any";
    Ok(match named {
        None => what.to_owned(),
        Some((column, path)) => {
            let (column, path) = (shown(column), shown(path));
            format!(
                "{what}; `{column}` has names of images (`{path}`), which count from the folder of the table and lie below it: \
                 `millstream import TABLE --image {column} -o FOLDER` embeds them, and says of each that is not there why"
            )
        }
    })
}

/// The column of texts that are read.
fn text_column(dataset: &Dataset, told: &Told) -> Result<String, RecipeError> {
    let all = columns_of_texts(dataset, told);
    let texts: Vec<&str> = all.iter().map(String::as_str).collect();
    let by_name = || TEXTS.iter().find(|wanted| texts.contains(*wanted)).copied();
    let column = match texts.as_slice() {
        [only] => Some(*only),
        _ => by_name(),
    };
    if let Some(column) = column {
        return Ok(column.to_owned());
    }
    let named: Vec<String> = texts.iter().take(20).map(|name| format!("`{}`", shown(name))).collect();
    let message: String = match texts.as_slice() {
        [] => "the model reads text, and no column beside the one that is to be told holds any; another is told by `--label`".into(),
        _ => format!(
            "the model reads text, and which column holds it is not clear: {} do; call the one that is read `text`, or take the others out",
            named.join(", ")
        ),
    };
    let written = WrittenForPeople::among(dataset, &all)?;
    let cause = written.map_or_else(String::new, |written| format!("; {}", written.cause));
    Err(RecipeError::mismatch("DATA", message + &cause))
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
