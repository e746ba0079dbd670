//! What the transforms of a recipe do to real rows, to be looked at before anything is trained.

mod contact_sheet;
mod drawn;
mod lettering;
mod overlay;
mod rows;
mod text;
mod word_diff;

use std::io::Cursor;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use millstream_pipeline::SplitRole;
use millstream_pipeline::encodings::View;
use millstream_schemas::Recipe;
use millstream_schemas::choice::Catalog;
use millstream_schemas::recipe::DataRecipe;
use millstream_schemas::shown_path;
use millstream_transforms::{Chain, Kind, RgbImage, Transform};

pub use drawn::{Drawing, DrawnPreview, DrawnRow, PreviewOptions};
pub(crate) use overlay::{colour as class_colour, draw as draw_marks};
pub use text::{TextPreview, TextPreviewRow, TextSpan, TextVariant};
pub use word_diff::{TextChange, TextPiece};

use crate::input_types::InputTypes;
use crate::row_source::{RowSource, Wanted};
use crate::{Catalogs, Opened, OpenedParts, RecipeError};

/// More than this cannot be looked at, and would not fit into memory.
const MOST_ROWS: usize = 200;
const MOST_DRAWS: usize = 50;
const MOST_PICTURES: usize = 1000;

/// A rendered preview.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PreviewSheet {
    /// A contact sheet: a row of the data a line, first the original with its boxes and points, then the draws, each with its steps as a
    /// caption and its targets over it, read back from the tensors that training would see.
    Image(RgbImage),
    /// The texts and their variants.
    Text(TextPreview),
}

/// Opened training data of a recipe. No model is needed.
#[derive(Clone, Debug)]
pub struct Preview {
    recipe: Recipe,
    source: RowSource,
    /// The same rows with the classes of boxes that a model is not asked for: whoever looks at pictures wants to see them.
    with_classes: Option<RowSource>,
    transforms: Catalog<Transform>,
}

impl Preview {
    /// Opens the data and checks the transforms.
    ///
    /// # Errors
    /// The data cannot be opened, or a transform is wrong.
    pub fn open(recipe: &Recipe, catalogs: &Catalogs) -> Result<Self, RecipeError> {
        let chain = Chain::parse_from(&catalogs.transforms, "transforms.train", &recipe.transforms.train)?;
        // Labels are for the captions: data without them can be looked at all the same.
        let data = &recipe.data;
        let wanted = Wanted {
            data,
            catalogs,
            place: "data.train",
            patterns: &data.train,
            decimal_comma: false,
            role: SplitRole::Train,
            inputs: &[],
            types: &InputTypes::default(),
            output: &recipe.output.folder,
            known: None,
        };
        let source = match RowSource::open(&wanted, chain.clone()) {
            Err(error) if data.label.is_none() && data.targets.is_empty() => {
                let without_label = DataRecipe { label: Some(String::new()), ..data.clone() };
                RowSource::open(&Wanted { data: &without_label, ..wanted }, chain.clone()).map_err(|_| error)?
            }
            other => other?,
        };
        // what training does not read is no reason to show nothing
        let with_classes = with_classes_of_boxes(data).and_then(|data| {
            RowSource::open(&Wanted { data: &data, known: Some(&source.dataset), ..wanted }, chain).ok()
        });
        Ok(Self { recipe: recipe.clone(), source, with_classes, transforms: catalogs.transforms.clone() })
    }

    /// Of data that are opened already, for training.
    pub fn of(opened: &Opened) -> Self {
        let OpenedParts { recipe, train, catalogs, .. } = &**opened;
        let (source, transforms) = (train.clone(), catalogs.transforms.clone());
        Self { recipe: recipe.clone(), source, with_classes: None, transforms }
    }

    /// What the pictures do not show: transforms of whole batches, and labels that may no longer fit.
    pub fn notes(&self) -> Vec<String> {
        let of_batches = |name: &str| self.transforms.get(name).is_some_and(|row| row.kind() == Kind::Batch);
        let names = self.source.chain.specs().iter().map(|spec| spec.name.as_str()).filter(|name| of_batches(name));
        let notes = names.map(|name| format!("`{name}` acts on whole batches and is not shown"));
        notes.chain(self.source.chain.label_warnings()).chain(self.source.chain.border_warnings()).collect()
    }

    /// Draws what training would draw for some rows, spread evenly over the data.
    ///
    /// # Errors
    /// A row cannot be read or is damaged (unless the recipe says to leave such rows out).
    pub fn draw(&self, options: &PreviewOptions) -> Result<DrawnPreview, RecipeError> {
        for (place, got, most) in [("rows", options.rows, MOST_ROWS), ("draws", options.draws, MOST_DRAWS)] {
            if !(1..=most).contains(&got) {
                return Err(RecipeError::mismatch(place, format!("wanted 1 to {most}, got {got}")));
            }
        }
        if options.rows * options.draws > MOST_PICTURES {
            let message =
                format!("{} rows of {} draws are more than {MOST_PICTURES} pictures", options.rows, options.draws);
            return Err(RecipeError::mismatch("rows", message));
        }
        let seed = options.seed.unwrap_or(self.recipe.seed);
        let rows = rows::draw(&self.source, &self.recipe.data, options, seed)?;
        Ok(DrawnPreview { version: 1, seed, dataset: self.source.dataset.fingerprint().clone(), rows })
    }

    /// Renders drawn steps, those of [`Preview::draw`] or of an earlier run.
    ///
    /// # Errors
    /// The steps were drawn for another dataset, or a row cannot be read.
    pub fn render(&self, drawn: &DrawnPreview) -> Result<PreviewSheet, RecipeError> {
        if drawn.version != 1 {
            return Err(RecipeError::ReplayVersion { wanted: 1, got: drawn.version });
        }
        if drawn.dataset != *self.source.dataset.fingerprint() {
            return Err(RecipeError::ReplayData);
        }
        match self.source.shown_column()?.1 {
            View::Text => text::render(&self.source, &self.recipe.data, drawn).map(PreviewSheet::Text),
            _ => {
                let classes = self.with_classes.as_ref();
                rows::render(&self.source, classes, &self.recipe.data, drawn).map(PreviewSheet::Image)
            }
        }
    }
}

/// With the classes of boxes that a model is not asked for. None where nothing is different.
fn with_classes_of_boxes(data: &DataRecipe) -> Option<DataRecipe> {
    let mut shown = data.clone();
    let mut is_other = false;
    for target in shown.targets.values_mut().filter(|target| target.name == "boxes") {
        if let Some(options) = target.options.as_object_mut()
            && options.get("class_field").and_then(|field| field.as_str()) == Some("")
        {
            options.remove("class_field");
            is_other = true;
        }
    }
    is_other.then_some(shown)
}

/// How a sheet is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SheetFormat {
    /// PNG, which loses nothing.
    Png,
    /// JPEG of a quality of 92.
    Jpeg,
}

impl SheetFormat {
    /// As the name of a file says; PNG where it says nothing.
    ///
    /// # Errors
    /// It says another kind of file.
    pub fn of(path: &Path) -> Result<Self, RecipeError> {
        match path.extension().unwrap_or_default().to_string_lossy().to_lowercase().as_str() {
            "png" | "" => Ok(Self::Png),
            "jpg" | "jpeg" => Ok(Self::Jpeg),
            _ => Err(RecipeError::mismatch(shown_path(path), "a sheet is written as `.png` or `.jpg`")),
        }
    }
}

/// An image as the bytes of a file.
///
/// # Errors
/// The image has no pixels, or not as many as its size says.
pub fn encoded(image: &RgbImage, format: SheetFormat) -> Result<Vec<u8>, RecipeError> {
    let mut bytes = Cursor::new(Vec::new());
    let pixels = image::RgbImage::from_raw(image.width, image.height, image.pixels.clone());
    let written = pixels.ok_or_else(|| "it has too few pixels for its size".to_owned()).and_then(|pixels| {
        let written = match format {
            SheetFormat::Png => pixels.write_to(&mut bytes, image::ImageFormat::Png),
            SheetFormat::Jpeg => pixels.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 92)),
        };
        written.map_err(|error| error.to_string())
    });
    written.map_err(|message| RecipeError::mismatch("the contact sheet", message))?;
    Ok(bytes.into_inner())
}
