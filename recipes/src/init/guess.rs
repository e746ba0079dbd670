use std::collections::BTreeMap;
use std::path::Path;

use millstream_compiler::losses::classes_among;
use millstream_compiler::{Model, ModelReport, OperatorCatalog, describe};
use millstream_pipeline::{Dataset, SplitRole};
use millstream_schemas::{AxisLength, Feature, count, grouped, shown, shown_path};

use super::boxes::BoxTask;
use super::image_columns::columns_of_images;
use super::init_options::InitOptions;
use super::input::Input;
use super::number_columns::{WrittenForPeople, named, numbers_in_words};
use super::text_columns::columns_of_texts;
use super::told::{Asked, Told};
use crate::imported::NamedRows;
use crate::{RecipeError, labels_file};

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
    /// Names of classes, where the data have them.
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
    /// A new one that tells boxes at the places of the model's last map.
    Boxes,
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
        let (classes, class_count) = seen.told.counted_classes(&dataset)?;
        Ok(Self {
            model: options.model.as_deref().map(|path| options.named(path)).transpose()?,
            train: data.clone(),
            evaluate,
            output: options.named(output)?,
            rows: dataset.rows(),
            input: seen.input,
            classes,
            class_count,
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
        if let (Input::Image { .. }, Told::Boxes { boxes, .. }) = (&self.input, &self.told) {
            return match boxes.task {
                BoxTask::Places if self.knows_classes => vec![Head::Keep, Head::Boxes],
                BoxTask::Places => vec![Head::Boxes],
                BoxTask::PlacesOrFirst => vec![Head::Boxes, Head::New, Head::OnFeatures],
                BoxTask::InOrder => vec![Head::Keep],
                BoxTask::First if self.knows_classes => vec![Head::Keep, Head::New, Head::OnFeatures],
                BoxTask::First => vec![Head::New, Head::OnFeatures, Head::Keep],
            };
        }
        match (&self.input, self.is_of_tokens) {
            (Input::Text { .. }, true) => vec![Head::Pooled],
            (Input::Text { .. }, false) => vec![Head::New, Head::Keep, Head::OnFeatures],
            (Input::Numbers { .. }, _) => vec![Head::Keep, Head::New, Head::OnFeatures],
            // what stands behind a map of scores would be of the whole picture
            (Input::Image { .. }, _) if matches!(self.told, Told::Mask { .. }) => match self.knows_classes {
                true => vec![Head::Keep, Head::New],
                false => vec![Head::New, Head::Keep],
            },
            (Input::Image { .. }, _) if matches!(self.told, Told::Points { .. }) => vec![Head::Keep],
            (Input::Image { .. }, _) if self.knows_classes => vec![Head::Keep, Head::New, Head::OnFeatures],
            (Input::Image { .. }, _) => vec![Head::New, Head::OnFeatures, Head::Keep],
        }
    }

    /// Whether boxes are told at the places of a map, by this last layer, or by one that would be where there is no model.
    pub(super) fn is_at_places(&self, head: Option<Head>) -> bool {
        self.told.is_at_places(head.map(|head| head == Head::Boxes))
    }

    /// What the last layer is called, if it begins anew.
    pub(super) fn new_layer(&self, head: Head) -> Option<&str> {
        match head {
            Head::Keep => None,
            Head::New => self.last_layer.as_deref(),
            Head::Pooled | Head::OnFeatures | Head::Boxes => Some("head"),
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
        let told = self.told.in_words(self.class_count, self.is_at_places(Some(head)));
        let head = match head {
            Head::Keep => "its own last layer is trained on",
            Head::New => "a new last layer takes the place of the model's",
            Head::Pooled => "a new last layer stands on the mean of its tokens",
            Head::OnFeatures => "a new last layer stands behind the model",
            Head::Boxes => "a new last layer tells boxes at the places of the model's last map",
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
        let told = self.told.in_words(self.class_count, self.is_at_places(None));
        let decided = [told, self.rows_in_words(), model];
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
        let input = Input::of_model((dataset, images), (&model, path), &told, options)?;
        require_scores_of_pixels(&told, &input, scores)?;
        let classes = told.classes(dataset);
        let gives = scores.get(1).copied().flatten();
        let knows_classes = match &told {
            Told::Class { .. } => !classes.is_empty() && known == classes && gives == Some(classes.len()),
            Told::Mask { masks, .. } => gives == Some(classes.len()) || masks.is_one_score,
            Told::Boxes { column, boxes } if boxes.task == BoxTask::Places => {
                let are_told = scores.len() == 4 && gives.and_then(classes_among) == Some(known.len());
                are_told && boxes.are_of(dataset, column, &known)?
            }
            Told::Boxes { boxes, .. } => boxes.task == BoxTask::InOrder || gives == Some(4),
            Told::Labels { .. } | Told::Number { .. } | Told::Points { .. } => false,
        };
        let is_of_tokens = scores.len() == 3 && matches!(input, Input::Text { .. });
        let last_layer = report.layers.last().map(|layer| layer.name.clone());
        Ok(Self { input, told, is_of_tokens, knows_classes, last_layer })
    }

    fn of_data(dataset: &Dataset, images: &[String], label: Option<&str>) -> Result<Self, RecipeError> {
        let takes_images = !images.is_empty();
        let told = Told::of(dataset, &Asked { label, scores: None, names: &[], takes_images, images })?;
        let input = Input::of_data(dataset, images, &told)?;
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

/// That the texts that are told as classes look like numbers as people write them, and what to do; nothing where they do not.
fn numbers_as_classes(dataset: &Dataset, told: &Told) -> Result<Option<String>, RecipeError> {
    let column = match (told, dataset.features().get(told.column())) {
        (Told::Class { column }, Some(Feature::Text)) => column,
        _ => return Ok(None),
    };
    let written = WrittenForPeople::among(dataset, std::slice::from_ref(column))?;
    Ok(written.map(|written| format!("`{}` is told as classes: {}", shown(column), written.cause)))
}
