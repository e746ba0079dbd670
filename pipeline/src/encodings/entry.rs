use std::fmt;
use std::sync::Arc;

use millstream_schemas::choice::{Catalog, Row};
use millstream_schemas::{Choice, TensorRole, count, shown, shown_path};
use serde_json::Value as Json;

use super::encoder::{Encoder, View};
use super::encoding_kind::{EncodingKind, Open, Source};
use super::input_range::InputRange;
use super::learned::require_same;
use crate::sources::Holds;
use crate::{Dataset, PipelineError};

/// A tensor (or several whose names begin alike) that a stream is to have, and the encoding that makes it.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedTensor {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: TensorRole,
    /// The encoding.
    pub encoding: Choice,
    /// Where a recipe says so, for messages.
    pub place: String,
}

/// One encoding of a stream, opened.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) wanted: WantedTensor,
    /// With every default filled in.
    pub(super) choice: Choice,
    /// Its options that are paths of files; what these hold is learned.
    pub(super) paths: Vec<String>,
    pub(super) encoder: Arc<dyn Encoder>,
    pub(super) open: Arc<Open>,
    /// The input whose image it moves with, where it names one.
    pub(super) image: Option<String>,
    /// Of each of the encoder's columns its place among all columns.
    pub(super) places: Vec<usize>,
    /// What the model's inputs take, of those that do not take all whole numbers.
    pub(super) ranges: Arc<[InputRange]>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("wanted", &self.wanted).field("encoder", &self.encoder).finish_non_exhaustive()
    }
}

impl Entry {
    pub(super) fn open(
        dataset: &Dataset,
        catalog: &Catalog<EncodingKind>,
        wanted: &WantedTensor,
        inputs: &[String],
        learned: Option<&Json>,
    ) -> Result<Self, PipelineError> {
        let kind = catalog.find(&wanted.encoding, &wanted.place)?;
        let read = (kind.build.read)(&wanted.encoding.options, &format!("{}.{}", wanted.place, kind.name))?;
        let columns = match read.columns.as_slice() {
            [] if kind.most_columns == 0 => Vec::new(),
            [] => vec![by_itself(dataset, kind)?],
            columns => columns.to_vec(),
        };
        if columns.len() > kind.most_columns {
            let option = "column";
            let reason = match kind.most_columns {
                0 => format!("`{}` reads no column, got {}", kind.name, columns.len()),
                most => {
                    format!("`{}` reads {} at most, got {}", kind.name, count(most as u64, "column"), columns.len())
                }
            };
            return Err(PipelineError::Option { option, reason });
        }
        for column in &columns {
            dataset.holds(column, wanted_of(kind), kind.takes)?;
        }
        let (choice, paths) = (Choice::new(kind.name, read.whole), kind.path_options());
        let source = Source { tensor: &wanted.name, dataset, columns: &columns, inputs, learned };
        let encoder = opened(&*read.open, &choice, &paths, &source)?;
        let image = encoder.followed_image().map(str::to_owned);
        let (places, ranges) = (Vec::new(), Arc::default());
        Ok(Self { wanted: wanted.clone(), choice, paths, encoder, open: read.open, image, places, ranges })
    }

    /// An error of it with its place.
    pub(super) fn refused(&self, source: PipelineError) -> PipelineError {
        PipelineError::Encoding { place: self.wanted.place.clone(), source: source.into() }
    }

    pub(super) fn is(&self, role: TensorRole) -> bool {
        self.wanted.role == role
    }

    /// Whether it is an input of pictures for which steps are drawn.
    pub(super) fn is_image(&self) -> bool {
        self.is(TensorRole::Input) && self.encoder.view() == View::Image && !self.encoder.follows_input()
    }

    /// Its encoding without what says only where files lie.
    pub(super) fn meaning(&self) -> Choice {
        let mut choice = self.choice.clone();
        if let Some(options) = choice.options.as_object_mut() {
            options.retain(|option, _| !self.paths.contains(option));
        }
        choice
    }
}

/// Makes an encoder, and refuses one that does not read rows as what was learned of others says.
pub(super) fn opened(
    open: &Open,
    choice: &Choice,
    paths: &[String],
    source: &Source<'_>,
) -> Result<Arc<dyn Encoder>, PipelineError> {
    let encoder = open(source)?;
    if let Some(learned) = source.learned {
        require_same(source.tensor, choice, paths, [learned, &encoder.learned()])?;
    }
    Ok(encoder)
}

/// The column that a kind reads when none is named.
fn by_itself(dataset: &Dataset, kind: &EncodingKind) -> Result<String, PipelineError> {
    for holds in kind.takes.iter().filter(|holds| matches!(holds, Holds::Bytes | Holds::Text)) {
        if let Some(column) = dataset.only(*holds, "")? {
            return Ok(column);
        }
    }
    let columns: Vec<String> =
        dataset.features().columns.iter().take(40).map(|(name, _)| format!("`{}`", shown(name))).collect();
    let reason = format!(
        "`{}` finds none that it reads by itself in {}, which has {}; name one, if it can be read",
        kind.name,
        shown_path(&*dataset.first().name),
        columns.join(", ")
    );
    Err(PipelineError::Option { option: "column", reason })
}

fn wanted_of(kind: &EncodingKind) -> &'static str {
    match kind.takes {
        [Holds::Bytes] => "image",
        [Holds::Text] => "text",
        [Holds::Numbers] => "numbers",
        [Holds::Lists] => "lists",
        [Holds::Text, Holds::Numbers] => "a class (whole numbers, booleans or strings)",
        [Holds::Text, Holds::Lists] => "text or lists",
        [Holds::Numbers, Holds::Lists] => "numbers or lists of them",
        _ => "images, text or numbers",
    }
}
