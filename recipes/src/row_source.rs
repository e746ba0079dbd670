use std::path::Path;

use millstream_pipeline::encodings::{Encoders, StreamFacts, View, WantedTensor, short_form};
use millstream_pipeline::{Dataset, PipelineError, SplitRole, row_in_words};
use millstream_schemas::recipe::{DataRecipe, Patterns};
use millstream_schemas::{BatchSpec, Choice, SchemaError, TARGETS, TensorRole};
use millstream_transforms::Chain;

use crate::imported::NamedRows;
use crate::input_types::InputTypes;
use crate::{Catalogs, RecipeError};

/// Rows of one split and what happens to them.
#[derive(Clone, Debug)]
pub struct RowSource {
    /// Where they lie.
    pub dataset: Dataset,
    /// Which columns are read, and what tensors are made of them.
    pub encoders: Encoders,
    /// What happens to each row.
    pub chain: Chain,
    /// How they became Parquet, where they were none.
    pub(crate) notes: Vec<String>,
    /// Whether an import of ours made their files, of which it says itself what is to be known.
    pub(crate) is_imported: bool,
}

/// Which rows to open, and as what.
pub(crate) struct Wanted<'a> {
    pub(crate) data: &'a DataRecipe,
    pub(crate) catalogs: &'a Catalogs,
    /// Where the recipe names the rows.
    pub(crate) place: &'a str,
    pub(crate) patterns: &'a Patterns,
    /// Whether numbers of tables among them may have a comma in front of their decimals.
    pub(crate) decimal_comma: bool,
    pub(crate) role: SplitRole,
    /// The model's inputs; none where there is no model.
    pub(crate) inputs: &'a [String],
    /// What these take.
    pub(crate) types: &'a InputTypes,
    /// The folder of the results, beside which rows are imported that are no Parquet.
    pub(crate) output: &'a Path,
    /// The rows, where they are open already.
    pub(crate) known: Option<&'a Dataset>,
}

impl RowSource {
    pub(crate) fn open(wanted: &Wanted<'_>, chain: Chain) -> Result<Self, RecipeError> {
        let Wanted { data, place, .. } = *wanted;
        let (dataset, notes) = match wanted.known {
            Some(known) => (known.clone(), Vec::new()),
            None => {
                let rows = NamedRows::of(data, wanted.patterns, wanted.output).with_decimal_comma(wanted.decimal_comma);
                rows.open(wanted.role).map_err(RecipeError::at(place))?
            }
        };
        let encoders = encoders(&dataset, wanted).map_err(|error| match column_of(&error) {
            Some(column) if data.input.as_deref() == Some(column) => RecipeError::at("data.input")(error),
            Some(column) if data.targets.is_empty() && data.label() == column => RecipeError::at("data.label")(error),
            _ => match error {
                // What a short form says is found by its column alone.
                PipelineError::Encoding { place: encoding, source } if is_long(&encoding) => match *source {
                    PipelineError::Choice(error) => error.into(),
                    source => RecipeError::at(&encoding)(source),
                },
                PipelineError::Encoding { source, .. } => RecipeError::at(place)(*source),
                error => RecipeError::at(place)(error),
            },
        })?;
        let is_imported = !notes.is_empty();
        Ok(Self { dataset, encoders, chain, notes, is_imported })
    }

    /// What was noticed while the files were chosen, or made.
    pub(crate) fn notes_of_files(&self) -> impl Iterator<Item = &String> {
        let chosen: &[String] = if self.is_imported { &[] } else { self.dataset.notes() };
        self.notes.iter().chain(chosen)
    }

    /// What batches of these rows hold.
    pub(crate) fn spec(&self, place: &str, seed: u64, batch: usize) -> Result<BatchSpec, RecipeError> {
        let stream = StreamFacts { dataset: &self.dataset, chain: &self.chain, seed };
        self.encoders.spec(&stream, batch).map_err(|error| match error {
            PipelineError::Damaged { row, image, damage } => {
                let row = row_in_words(&row, image.as_deref());
                let message = format!("the first image decides the size of all, and none can be used; {row}: {damage}");
                RecipeError::mismatch(place, message)
            }
            // Before a row is read, what a transform refuses is no fault of a row.
            PipelineError::Transform { source, .. } => source.into(),
            error => error.into(),
        })
    }

    /// The column that is shown to people, and as what.
    pub(crate) fn shown_column(&self) -> Result<(String, View), RecipeError> {
        let shown = self.encoders.shown_input().map(|(column, view)| (column.to_owned(), view));
        shown.ok_or_else(|| RecipeError::mismatch("data.inputs", "there is neither an image nor a text to be shown"))
    }

    /// Names of the classes, in the order of the scores; none without.
    pub(crate) fn classes(&self) -> &[String] {
        self.encoders.classes()
    }
}

fn encoders(dataset: &Dataset, wanted: &Wanted<'_>) -> Result<Encoders, PipelineError> {
    let data = wanted.data;
    // What the only input is called where the recipe does not say.
    let only = wanted.inputs.first().map_or("input", String::as_str);
    let list = |choices: &std::collections::BTreeMap<String, Choice>, role, place: &str| -> Vec<WantedTensor> {
        let tensor = |(name, encoding): (&String, &Choice)| WantedTensor {
            name: if role == TensorRole::Target { TARGETS.to_owned() } else { name.clone() },
            role,
            encoding: encoding.clone(),
            place: format!("{place}.{name}"),
        };
        choices.iter().map(tensor).collect()
    };
    let label = if data.targets.is_empty() { data.label() } else { "" };
    let mut tensors = match data.inputs.is_empty() {
        true => short_form(dataset, data.input.as_deref(), label, only)?,
        false => {
            let mut inputs = list(&data.inputs, TensorRole::Input, "data.inputs");
            if !label.is_empty() {
                inputs.push(WantedTensor {
                    name: TARGETS.into(),
                    role: TensorRole::Target,
                    encoding: Choice::new("class_label", serde_json::json!({ "column": label })),
                    place: "data.label".into(),
                });
            }
            inputs
        }
    };
    for tensor in tensors.iter_mut().filter(|tensor| tensor.role == TensorRole::Input) {
        wanted.types.state(&tensor.name, &mut tensor.encoding);
    }
    tensors.extend(list(&data.targets, TensorRole::Target, "data.targets"));
    let encoders = Encoders::open(dataset, &wanted.catalogs.encodings, &tensors, wanted.inputs)?;
    Ok(encoders.within(wanted.types.ranges()))
}

fn is_long(place: &str) -> bool {
    place.starts_with("data.inputs.") || place.starts_with("data.targets.")
}

/// The column that an error of a short form is about.
fn column_of(error: &PipelineError) -> Option<&str> {
    match error {
        PipelineError::Encoding { place, source } if !is_long(place) => column_of(source),
        PipelineError::Schema(SchemaError::MissingColumn { column, .. } | SchemaError::ColumnType { column, .. }) => {
            Some(column)
        }
        _ => None,
    }
}
