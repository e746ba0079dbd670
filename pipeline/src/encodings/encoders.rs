use std::ops::Range;
use std::sync::Arc;

use millstream_schemas::choice::Catalog;
use millstream_schemas::{BatchSpec, Choice, Fingerprint, Standardization, TensorRole, TensorSpec, shown};
use serde_json::{Value as Json, json};

use super::encode_error::EncodeError;
use super::encoder::{Encoder, RowTensor, StreamFacts, View};
use super::encoding_kind::{EncodingKind, Source};
use super::entry::{Entry, WantedTensor, opened};
use super::followed_image::require_known;
use super::input_range::InputRange;
use super::sample::Sample;
use crate::error::Damage;
use crate::sources::RowValues;
use crate::{Dataset, PipelineError};

/// The encodings of a stream, opened for a dataset: which columns are read, and what is made of them.
#[derive(Clone, Debug)]
pub struct Encoders {
    entries: Vec<Entry>,
    /// Every column that is read, once.
    columns: Vec<String>,
    /// In which rows are encoded.
    order: Vec<usize>,
    /// Names of the model's inputs; none where any are taken.
    inputs: Vec<String>,
}

/// What was learned of other rows for a tensor; null stands for nothing.
fn learned_for<'a>(learned: &'a Json, tensor: &str) -> Option<&'a Json> {
    learned.get(tensor).filter(|learned| !learned.is_null())
}

impl Encoders {
    /// Opens encodings for a dataset; `inputs` are the names of the model's inputs, none where any tensor is wanted.
    ///
    /// # Errors
    /// An unknown encoding or option; a column is missing in some file, occurs twice, or is of a type that the encoding
    /// does not take; it is ambiguous which column is meant, or which image a target moves with; or rows would be read otherwise
    /// than what was learned of others says.
    pub fn open(
        dataset: &Dataset,
        catalog: &Catalog<EncodingKind>,
        wanted: &[WantedTensor],
        inputs: &[String],
    ) -> Result<Self, PipelineError> {
        Self::open_with(dataset, catalog, wanted, inputs, &Json::Null)
    }

    /// As [`Encoders::open`], with what encodings of other rows have learned ([`Encoders::learned`]), by the tensors' names: of
    /// these rows nothing is learned then.
    ///
    /// # Errors
    /// As [`Encoders::open`].
    pub fn open_with(
        dataset: &Dataset,
        catalog: &Catalog<EncodingKind>,
        wanted: &[WantedTensor],
        inputs: &[String],
        learned: &Json,
    ) -> Result<Self, PipelineError> {
        let mut entries = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            let entry = Entry::open(dataset, catalog, wanted, inputs, learned_for(learned, &wanted.name));
            entries.push(
                entry
                    .map_err(|source| PipelineError::Encoding { place: wanted.place.clone(), source: source.into() })?,
            );
        }
        let images = entries.iter().filter(|entry| entry.is_image());
        let images: Vec<(&str, &str)> = images
            .filter_map(|entry| Some((entry.wanted.name.as_str(), entry.encoder.columns().first()?.as_str())))
            .collect();
        for entry in entries.iter().filter(|entry| entry.encoder.follows_input() && !entry.encoder.reads_tokens()) {
            require_known(&images, entry.image.as_deref()).map_err(|source| entry.refused(source))?;
        }
        Ok(Self::of(entries, inputs.to_vec()))
    }

    fn of(mut entries: Vec<Entry>, inputs: Vec<String>) -> Self {
        let mut columns: Vec<String> = Vec::new();
        for entry in &mut entries {
            let place = |column: &String| match columns.iter().position(|known| known == column) {
                Some(place) => place,
                None => {
                    columns.push(column.clone());
                    columns.len() - 1
                }
            };
            entry.places = entry.encoder.columns().iter().map(place).collect();
        }
        let mut order: Vec<usize> = (0..entries.len()).collect();
        // What names its image comes directly behind it: it moves with what was drawn last.
        let image_of = |entry: &Entry| {
            let name = entry.image.as_deref()?;
            entries.iter().position(|image| image.is_image() && image.wanted.name == name)
        };
        order.sort_by_key(|&index| {
            let entry = &entries[index];
            match (entry.wanted.role, entry.encoder.follows_input(), image_of(entry)) {
                (TensorRole::Target, false, _) => (0, 0, 0),
                (TensorRole::Input, false, _) => (1, index, 0),
                (_, true, Some(image)) => (1, image, 1),
                (_, true, None) => (2, 0, 0),
            }
        });
        Self { entries, columns, order, inputs }
    }

    /// The same encodings, with what others learned ([`Encoders::learned`] of the training rows, to evaluate alike); those
    /// that it does not name, by their tensors, stay as they are.
    ///
    /// # Errors
    /// As [`Encoders::open`].
    pub fn relearned(&self, dataset: &Dataset, learned: &Json) -> Result<Self, PipelineError> {
        let mut entries = self.entries.clone();
        for entry in &mut entries {
            if let Some(learned) = learned_for(learned, &entry.wanted.name) {
                let columns = entry.encoder.columns().to_vec();
                let tensor = &entry.wanted.name;
                let source =
                    Source { tensor, dataset, columns: &columns, inputs: &self.inputs, learned: Some(learned) };
                let encoder = opened(&*entry.open, &entry.choice, &entry.paths, &source);
                entry.encoder = encoder.map_err(|source| entry.refused(source))?;
            }
        }
        Ok(Self::of(entries, self.inputs.clone()))
    }

    /// The same encodings for a model whose inputs take these whole numbers alone: a row of which something else is made for one of them
    /// is damaged.
    #[must_use]
    pub fn within(mut self, ranges: &[InputRange]) -> Self {
        let ranges: Arc<[InputRange]> = ranges.into();
        let inputs = self.entries.iter_mut().filter(|entry| entry.wanted.role == TensorRole::Input);
        inputs.for_each(|entry| entry.ranges = Arc::clone(&ranges));
        self
    }

    /// What batches of `capacity` rows hold.
    ///
    /// # Errors
    /// The rows leave open what a shape is, or cannot be read; or two tensors have one name.
    pub fn spec(&self, stream: &StreamFacts<'_>, capacity: usize) -> Result<BatchSpec, PipelineError> {
        Ok(self.tensors(stream, capacity)?.0)
    }

    /// The same, and of each encoder which of the tensors it makes.
    pub(crate) fn tensors(
        &self,
        stream: &StreamFacts<'_>,
        capacity: usize,
    ) -> Result<(BatchSpec, Vec<Range<usize>>), PipelineError> {
        let inputs = self.input_tensors(stream)?;
        let mut tensors: Vec<TensorSpec> = Vec::new();
        let mut ranges = Vec::with_capacity(self.entries.len());
        let mut of_inputs = inputs.iter();
        for entry in &self.entries {
            let of_entry = match entry.wanted.role {
                TensorRole::Input => of_inputs.next().cloned().expect("there is one for each input"),
                _ => entry.encoder.tensors_beside(&entry.wanted.name, stream, &inputs.concat())?,
            };
            ranges.push(tensors.len()..tensors.len() + of_entry.len());
            for mut tensor in of_entry {
                if tensors.iter().any(|known| known.name == tensor.name) {
                    let reason = format!("two tensors are called `{}`", shown(&tensor.name));
                    return Err(PipelineError::Option { option: "data", reason });
                }
                tensor.role = entry.wanted.role;
                tensors.push(tensor);
            }
        }
        Ok((BatchSpec { capacity, tensors }, ranges))
    }

    /// The tensors of each input.
    fn input_tensors(&self, stream: &StreamFacts<'_>) -> Result<Vec<Vec<TensorSpec>>, PipelineError> {
        let inputs = self.entries.iter().filter(|entry| entry.wanted.role == TensorRole::Input);
        inputs.map(|entry| entry.encoder.tensors(&entry.wanted.name, stream)).collect()
    }

    /// What the encodings learned of the rows, by the tensors' names.
    pub fn learned(&self) -> Json {
        let learned = self.entries.iter().map(|entry| (entry.wanted.name.clone(), entry.encoder.learned()));
        Json::Object(learned.collect())
    }

    /// The encodings with every default filled in, by the tensors' names.
    pub fn choices(&self) -> impl Iterator<Item = (&str, TensorRole, &Choice)> {
        self.entries.iter().map(|entry| (entry.wanted.name.as_str(), entry.wanted.role, &entry.choice))
    }

    /// The same encodings, with what they learned, for a tensor of another name.
    #[must_use]
    pub fn renamed(mut self, from: &str, to: &str) -> Self {
        for entry in &mut self.entries {
            if entry.wanted.name == from {
                entry.wanted.name = to.into();
            }
            if entry.image.as_deref() == Some(from) {
                entry.image = Some(to.into());
            }
        }
        self
    }

    /// Every column that is read, once.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The columns that a tensor is made of, in order; none where nothing makes a tensor of this name, or it needs none.
    pub fn columns_in(&self, tensor: &str) -> &[String] {
        let entry = self.entries.iter().find(|entry| entry.wanted.name == tensor);
        entry.map(|entry| entry.encoder.columns()).unwrap_or_default()
    }

    /// The columns that tensors of a role are made of.
    pub fn columns_of(&self, role: TensorRole) -> Vec<String> {
        let entries = self.entries.iter().filter(|entry| entry.wanted.role == role);
        let mut columns: Vec<String> = entries.flat_map(|entry| entry.encoder.columns()).cloned().collect();
        let mut seen = Vec::new();
        columns.retain(|column| {
            !seen.contains(column) && {
                seen.push(column.clone());
                true
            }
        });
        columns
    }

    /// The encodings of the tensors of a role alone.
    #[must_use]
    pub fn of_role(&self, role: TensorRole) -> Self {
        let entries = self.entries.iter().filter(|entry| entry.wanted.role == role);
        Self::of(entries.cloned().collect(), self.inputs.clone())
    }

    /// The inputs alone whose rows have lengths of their own; `None` where there are none.
    pub(crate) fn measuring(&self) -> Option<Self> {
        let measures = |entry: &&Entry| entry.wanted.role == TensorRole::Input && entry.encoder.measures();
        let entries: Vec<Entry> = self.entries.iter().filter(measures).cloned().collect();
        (!entries.is_empty()).then(|| Self::of(entries, self.inputs.clone()))
    }

    /// How long a row is that was read with [`Encoders::columns`]; `None` where no input has lengths of its own.
    pub(crate) fn length(&self, row: RowValues<'_>) -> Option<u32> {
        let inputs = self.entries.iter().filter(|entry| entry.wanted.role == TensorRole::Input);
        inputs.filter_map(|entry| entry.encoder.length(row.of(&entry.places))).max()
    }

    /// The columns of the inputs in which every row must have a value.
    pub fn required_columns(&self) -> Vec<&str> {
        let inputs = self.entries.iter().filter(|entry| entry.wanted.role == TensorRole::Input);
        let required = inputs.filter(|entry| !entry.encoder.takes_null());
        required.flat_map(|entry| entry.encoder.columns()).map(String::as_str).collect()
    }

    /// The first column that is shown as a picture or text, and which.
    pub fn shown_input(&self) -> Option<(&str, View)> {
        let entry = self.shown_entry()?;
        Some((entry.encoder.columns().first()?.as_str(), entry.encoder.view()))
    }

    fn shown_entry(&self) -> Option<&Entry> {
        // Where a target follows tokens, its text is the one to see it in; where one names its image, that.
        let has_tokens = |entry: &Entry| entry.encoder.view() != View::Text || entry.encoder.makes_tokens();
        let can_be_shown = |entry: &&Entry| {
            let is_seen = matches!(entry.encoder.view(), View::Image | View::Text);
            let has_column = !entry.encoder.columns().is_empty();
            entry.is(TensorRole::Input) && is_seen && has_column && (!self.read_tokens() || has_tokens(entry))
        };
        let shown: Vec<&Entry> = self.entries.iter().filter(can_be_shown).collect();
        let followed = self.entries.iter().find_map(|entry| entry.image.as_deref());
        let named = followed.and_then(|name| shown.iter().find(|entry| entry.wanted.name == name));
        named.or(shown.first()).copied()
    }

    /// What the model does to the numbers of a tensor, where it does something.
    pub fn standardizations(&self) -> impl Iterator<Item = (&str, TensorRole, &Standardization)> {
        self.entries
            .iter()
            .filter_map(|entry| Some((entry.wanted.name.as_str(), entry.wanted.role, entry.encoder.standardization()?)))
    }

    /// What the model puts in place of the missing numbers of each input that has some, a number a column.
    pub(crate) fn fills(&self) -> Vec<(String, Vec<f32>)> {
        let inputs = self.standardizations().filter(|(_, role, _)| *role == TensorRole::Input);
        inputs.filter_map(|(name, _, learned)| Some((name.to_owned(), learned.fill.clone()?))).collect()
    }

    /// The inputs that are tokens, with one more than the largest number that each may have.
    pub fn vocabularies(&self) -> impl Iterator<Item = (&str, usize)> {
        let inputs = self.entries.iter().filter(|entry| entry.wanted.role == TensorRole::Input);
        inputs.filter_map(|entry| Some((entry.wanted.name.as_str(), entry.encoder.vocabulary()?)))
    }

    /// The tokens of a text that is no row's, by the first input that makes tokens; nothing where none does.
    ///
    /// # Errors
    /// The text cannot be tokenized: why.
    pub fn tokens_of(&self, text: &str) -> Result<Option<Vec<i64>>, String> {
        let makes = |entry: &&Entry| entry.wanted.role == TensorRole::Input && entry.encoder.makes_tokens();
        self.entries.iter().find(makes).map_or(Ok(None), |entry| entry.encoder.tokens(text))
    }

    /// Names of the classes of the first target that has classes, in the order of the scores; none without.
    pub fn classes(&self) -> &[String] {
        let targets = self.entries.iter().filter(|entry| entry.wanted.role == TensorRole::Target);
        targets.map(|entry| entry.encoder.classes()).find(|classes| !classes.is_empty()).unwrap_or_default()
    }

    /// Whether several of these classes may hold together: the target has a number from 0 to 1 for each.
    pub fn classes_hold_together(&self) -> bool {
        self.target_with_classes().is_some_and(|entry| entry.encoder.classes_hold_together())
    }

    /// Whether nobody has named these classes ([`Encoder::classes_are_presumed`]).
    pub fn classes_are_presumed(&self) -> bool {
        self.target_with_classes().is_some_and(|entry| entry.encoder.classes_are_presumed())
    }

    fn target_with_classes(&self) -> Option<&Entry> {
        let mut targets = self.entries.iter().filter(|entry| entry.wanted.role == TensorRole::Target);
        targets.find(|entry| !entry.encoder.classes().is_empty())
    }

    /// The same encodings with these classes in place of those that the first target with classes has learned of the rows; nothing where
    /// its classes are not learned.
    ///
    /// # Errors
    /// As [`Encoders::open`].
    pub fn of_classes(&self, dataset: &Dataset, classes: &[String]) -> Result<Option<Self>, PipelineError> {
        let learned = self
            .target_with_classes()
            .and_then(|entry| Some(json!({ &entry.wanted.name: entry.encoder.learned_of(classes)? })));
        learned.map(|learned| self.relearned(dataset, &learned)).transpose()
    }

    /// Whether anything is made for the model's output to be held against.
    pub fn have_targets(&self) -> bool {
        self.entries.iter().any(|entry| entry.wanted.role == TensorRole::Target)
    }

    /// The place in the recipe of the first target that moves with the image or text of its row; none without.
    pub fn moving_target(&self) -> Option<&str> {
        let moves = |entry: &&Entry| entry.wanted.role == TensorRole::Target && entry.encoder.follows_input();
        self.entries.iter().find(moves).map(|entry| entry.wanted.place.as_str())
    }

    /// The column of these classes.
    pub fn class_column(&self) -> Option<&str> {
        self.class_entry().map(|entry| entry.encoder.columns()[0].as_str())
    }

    /// The class of a row that was read with [`Encoders::columns`]; −1 where it has none.
    ///
    /// # Errors
    /// It has a class that there is not.
    pub fn class(&self, row: RowValues<'_>) -> Result<i64, Damage> {
        self.class_entry().map_or(Ok(-1), |entry| entry.encoder.class(row.of(&entry.places)))
    }

    /// The class column, and how it is read alone.
    pub(crate) fn class_reading(&self) -> Option<(&str, impl Fn(RowValues<'_>) -> Result<i64, Damage>)> {
        let entry = self.class_entry()?;
        Some((entry.encoder.columns()[0].as_str(), |row: RowValues<'_>| entry.encoder.class(row)))
    }

    /// The tensor with these classes.
    pub fn class_tensor(&self) -> Option<&str> {
        self.class_entry().map(|entry| entry.wanted.name.as_str())
    }

    fn class_entry(&self) -> Option<&Entry> {
        let target = |entry: &&Entry| entry.wanted.role == TensorRole::Target && entry.encoder.view() == View::Class;
        self.entries.iter().find(target)
    }

    /// The encoders by number, in the order in which rows are encoded: what is cheap comes first, so that a row without a
    /// usable label is found out before its image is decoded, and what follows an image comes after it.
    pub(crate) fn cheapest_first(&self) -> &[usize] {
        &self.order
    }

    /// Writes what one of the encoders makes of a row that was read with [`Encoders::columns`].
    ///
    /// # Errors
    /// The row cannot be used, does not fit the tensors, or is not what the model's input takes.
    pub(crate) fn encode(
        &self,
        index: usize,
        row: RowValues<'_>,
        sample: &mut Sample<'_>,
        out: &mut [RowTensor<'_>],
    ) -> Result<(), EncodeError> {
        let entry = &self.entries[index];
        entry.encoder.encode(row.of(&entry.places), sample, out)?;
        for tensor in out.iter() {
            if let Some(range) = entry.ranges.iter().find(|range| range.input == tensor.spec.name) {
                range.require(tensor, entry.encoder.columns(), &entry.choice.name)?;
            }
        }
        Ok(())
    }

    /// What makes a row's text into tokens, and each target that follows the row's image or text: encoders with the places of
    /// their columns and their tensors, in the order in which they are encoded.
    pub(crate) fn shown_targets(&self, stream: &StreamFacts<'_>) -> Result<Vec<ShownEntry<'_>>, PipelineError> {
        // what moves with another image than the one that is shown has no place in it
        let seen = self.shown_entry().map(|entry| entry.wanted.name.as_str());
        let follows = |entry: &Entry| {
            let is_of_shown = entry.image.is_none() || entry.image.as_deref() == seen;
            entry.is(TensorRole::Target) && entry.encoder.follows_input() && is_of_shown
        };
        if !self.entries.iter().any(follows) {
            return Ok(Vec::new());
        }
        let inputs = self.input_tensors(stream)?.concat();
        let mut shown = Vec::new();
        for entry in self.order.iter().map(|&index| &self.entries[index]) {
            let is_target = entry.wanted.role == TensorRole::Target;
            let is_text = !is_target && self.read_tokens() && entry.encoder.makes_tokens();
            if follows(entry) || is_text {
                let tensors = entry.encoder.tensors_beside(&entry.wanted.name, stream, &inputs)?;
                shown.push(ShownEntry { encoder: &*entry.encoder, places: &entry.places, tensors, is_target });
            }
        }
        Ok(shown)
    }

    /// Whether a target needs to know which characters tokens are of.
    pub(crate) fn read_tokens(&self) -> bool {
        self.entries.iter().any(|entry| entry.encoder.reads_tokens())
    }

    pub(crate) fn decode_images(&self) -> bool {
        self.entries.iter().any(|entry| entry.encoder.decodes_images())
    }

    /// Of everything that decides what is made of a row. Names do not, nor where files lie: what these hold is learned.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint_by(Entry::meaning)
    }

    /// As earlier versions made it, where it is another: where files lie decided too.
    pub(crate) fn fingerprint_with_places(&self) -> Option<Fingerprint> {
        self.read_files().then(|| self.fingerprint_by(|entry| entry.choice.clone()))
    }

    /// Whether an encoding reads a file of its own beside the rows.
    pub(crate) fn read_files(&self) -> bool {
        self.entries.iter().any(|entry| !entry.paths.is_empty())
    }

    fn fingerprint_by(&self, choice: impl Fn(&Entry) -> Choice) -> Fingerprint {
        let entry = |entry: &Entry| json!([choice(entry), entry.encoder.columns(), entry.encoder.learned()]);
        Fingerprint::of(&self.entries.iter().map(entry).collect::<Vec<_>>())
    }
}

/// One of the encodings of a stream, with all that it takes to encode a row.
#[derive(Debug)]
pub(crate) struct ShownEntry<'a> {
    pub(crate) encoder: &'a dyn Encoder,
    /// Of each of its columns its place among all columns.
    pub(crate) places: &'a [usize],
    pub(crate) tensors: Vec<TensorSpec>,
    pub(crate) is_target: bool,
}

impl ShownEntry<'_> {
    /// Whether it is of the row's text, and not of its image.
    pub(crate) fn is_of_text(&self) -> bool {
        self.encoder.makes_tokens() || self.encoder.reads_tokens()
    }
}
