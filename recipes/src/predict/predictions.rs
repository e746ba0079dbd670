use std::path::{Path, PathBuf};
use std::time::Instant;

use millstream_compiler::Model;
use millstream_compiler::losses::PredictionKind;
use millstream_pipeline::encodings::{Encoders, StreamFacts, WantedTensor};
use millstream_pipeline::{Batches, Dataset, PipelineError, StreamOptions};
use millstream_runtime::{Device, DeviceKind, DeviceRequest};
use millstream_schemas::recipe::{DamagedPolicy, MemoryCheck, OrderStrength};
use millstream_schemas::{BatchSpec, Feature, RowId, count, shown, shown_path};
use millstream_training::Predictor;
use millstream_transforms::Chain;

use super::answers::Answers;
use super::box_form::BoxForm;
use super::input_columns::InputColumns;
use super::input_files::{self, Piece, PredictInput};
use super::picture_space::{PictureSizes, PictureSpace};
use super::predict_options::PredictOptions;
use super::predict_report::{PredictReport, PredictedBy};
use super::predicted_as::PredictedAs;
use super::predicted_row::{PredictedRow, RowAnswer};
use super::row_names::RowNames;
use crate::calibrated::thresholds_of;
use crate::input_types::InputTypes;
use crate::machine_memory::machine_memory;
use crate::memory_check::{MemoryFinding, inference_finding};
use crate::model_inputs::{require_embeddings, require_inputs};
use crate::preprocessing::Preprocessing;
use crate::run_folder::RunFolder;
use crate::{Event, Events, MemoryEstimate, RecipeError, Stop, labels_file};

/// How many rows a model was made for; none of one that takes any number of them.
fn fixed_batch(predictor: &Predictor) -> Option<usize> {
    let (_, shape) = predictor.inputs().first()?;
    usize::try_from(*shape.first()?).ok().filter(|rows| *rows > 0)
}

/// Rows that are run together: those that were asked for, of a model that takes any number of them.
fn rows_of_batch(asked: Option<usize>, fixed: Option<usize>) -> Result<usize, RecipeError> {
    match (asked, fixed) {
        (Some(asked), Some(fixed)) if asked != fixed => {
            let rows = count(fixed as u64, "row");
            Err(RecipeError::mismatch(
                "--batch",
                format!("the model takes batches of {rows} and no others; leave it out"),
            ))
        }
        (_, Some(fixed)) => Ok(fixed),
        (asked, None) => Ok(asked.unwrap_or(PredictOptions::BATCH).max(1)),
    }
}

/// A model, ready to be asked.
pub struct Predictions {
    by: PredictedBy,
    options: PredictOptions,
    columns: InputColumns,
    preprocessing: Preprocessing,
    inputs: Vec<String>,
    model: Model,
    chain: Chain,
    predictor: Predictor,
    answers: Answers,
    /// The output with a score of each class, of a model that tells a box.
    class_scores: Option<String>,
    /// Whether each row has one picture that is prepared without chance.
    of_pictures: bool,
    batch: usize,
    on_cpu: bool,
    /// Each opened with the first rows whose columns of its names hold what stands beside it, and used for all such rows: the last for
    /// those that are predicted now.
    encoders: Vec<(Encoders, Vec<Option<Feature>>)>,
}

impl Predictions {
    /// Opens a model with what its file says of the preparation of rows, of classes and of thresholds.
    ///
    /// # Errors
    /// It cannot be read or run, or neither it nor a recipe says how rows are prepared and what its scores mean.
    pub fn open(options: &PredictOptions) -> Result<Self, RecipeError> {
        let path = file_of(&options.model)?;
        let model = Model::read(&path)?;
        let mut warnings = Vec::new();
        let preprocessing = match &options.recipe {
            Some(recipe) => {
                warnings.extend(Preprocessing::unread(&model));
                Preprocessing::of_recipe(recipe, &model, &options.catalogs)?
            }
            None => Preprocessing::read(&model)?.ok_or_else(|| {
                let message = format!(
                    "{} does not say how rows are prepared for it, as models that were trained here do; name a recipe that does \
                     by `--recipe`",
                    shown_path(&path)
                );
                RecipeError::mismatch("model", message)
            })?,
        };
        let columns = InputColumns::of(&preprocessing, &options.catalogs)?;
        let chain = Chain::parse_from(&options.catalogs.transforms, "transforms.evaluate", preprocessing.transforms())?;
        let classes = labels_file::of_model(&model, &path)?.unwrap_or_default();
        let reads = preprocessing.reads(&classes);
        let counted = Some(classes.len()).filter(|count| *count > 0);
        let (output, axes) = (preprocessing.output(), preprocessing.prediction_axes(reads));
        let scoring = model.evaluated_for(output, reads, counted, axes, &options.catalogs.operators)?;
        let runtime = millstream_runtime::ready(options.library.as_deref())?;
        let device = Device::resolve(options.device.parse::<DeviceRequest>()?, runtime)?;
        let predictor = Predictor::open_graph(&scoring.model, &device, options.threads, Some(&scoring.scores))?;
        warnings.extend(scoring.note);
        warnings.extend(predictor.warning().map(str::to_owned));
        // places are told of a picture where it is the only one, and prepared without chance
        let of_pictures = columns.0.iter().filter(|column| column.is_image()).count() == 1 && !chain.is_random();
        let boxes = BoxForm::of(&preprocessing).filter(|_| of_pictures && reads == PredictionKind::Numbers);
        let class = boxes.as_ref().and_then(BoxForm::class).cloned();
        let not_told = boxes.as_ref().and_then(BoxForm::not_told);
        let axes = predictor.axes().or(axes);
        let answers = Answers::new(reads, axes, classes.clone(), thresholds_of(&model)?, boxes, of_pictures, options)?;
        let predicts = answers.kind();
        let is_open = predicts == PredictedAs::Box && class.is_none();
        let class_scores = if is_open { class_scores(&predictor, classes.len()) } else { None };
        warnings.extend(not_told.filter(|_| class_scores.is_none()));
        let classes = match predicts {
            PredictedAs::Box | PredictedAs::Boxes if class_scores.is_none() => class.into_iter().collect(),
            _ => classes,
        };
        let by = PredictedBy { model: path, predicts, classes, device: device.kind.to_string(), warnings };
        let inputs = model.inputs().into_iter().map(|(name, _)| name).collect();
        let batch = rows_of_batch(options.batch, fixed_batch(&predictor))?;
        let options = options.clone();
        Ok(Self {
            by,
            options,
            columns,
            preprocessing,
            inputs,
            model,
            chain,
            predictor,
            answers,
            class_scores,
            of_pictures,
            batch,
            on_cpu: device.kind == DeviceKind::Cpu,
            encoders: Vec::new(),
        })
    }

    /// What is the same for all rows.
    pub fn by(&self) -> &PredictedBy {
        &self.by
    }

    /// Predicts all rows of the inputs, in their order, and hands each to `take`.
    ///
    /// # Errors
    /// An input is not there or holds nothing that the model takes, the model fails, or `take` does. A single row that cannot be
    /// used is no error: it is handed on as [`RowAnswer::Unusable`].
    pub fn predict(
        &mut self,
        inputs: Vec<PredictInput>,
        take: &mut dyn FnMut(PredictedRow) -> Result<(), RecipeError>,
        events: &mut dyn Events,
        stop: &Stop,
    ) -> Result<PredictReport, RecipeError> {
        let tells_masks = self.preprocessing.targets().any(|(encoding, _)| encoding.name == "mask");
        let mut files = input_files::list(inputs, &self.columns, tells_masks, stop)?;
        if self.options.decimal_comma && !stop.is_requested() {
            files.take_decimal_commas()?;
        }
        files.require_kept(self.options.output.as_deref(), self.options.masks.as_deref())?;
        let total = files.total();
        let started = Instant::now();
        let (passed_over, masks) = (files.passed_over(), files.masks());
        let mut report = PredictReport {
            rows: 0,
            unusable: 0,
            passed_over,
            masks,
            notes: Vec::new(),
            seconds: 0.0,
            stopped: stop.is_requested(),
        };
        while !report.stopped
            && let Some(piece) = files.next_piece(&self.columns, events)?
        {
            if stop.is_requested() {
                report.stopped = true;
                break;
            }
            let encoders = self.encoders_of(&piece, events)?;
            let mut told = |report: &PredictReport| {
                let rows = report.rows + report.unusable;
                let samples_per_second = rows as f64 / started.elapsed().as_secs_f64().max(1e-9);
                let total = total.unwrap_or(rows).max(rows);
                let seconds_left = (total - rows) as f64 / samples_per_second.max(1e-9);
                events.event(&Event::Evaluating {
                    epoch: None,
                    epochs: None,
                    rows,
                    total,
                    samples_per_second,
                    seconds_left,
                });
            };
            if !self.predict_piece((piece, encoders), take, &mut report, &mut told, stop)? {
                report.stopped = true;
            }
        }
        report.notes = files.take_notes();
        report.seconds = started.elapsed().as_secs_f64();
        Ok(report)
    }

    /// Whether it was not asked to stop.
    fn predict_piece(
        &mut self,
        (piece, encoders): (Piece, Encoders),
        take: &mut dyn FnMut(PredictedRow) -> Result<(), RecipeError>,
        report: &mut PredictReport,
        told: &mut dyn FnMut(&PredictReport),
        stop: &Stop,
    ) -> Result<bool, RecipeError> {
        let options = StreamOptions {
            batch: self.batch,
            order: OrderStrength::Sequential,
            group_by_length: Some(false),
            damaged: DamagedPolicy::Skip,
            transparency: self.preprocessing.transparency(),
            ..StreamOptions::new(self.chain.clone(), encoders)
        };
        let mut batches = Batches::open(&piece.dataset, options, None)?.without_warnings();
        let places = input_files::places(&piece.dataset);
        let mut sizes = PictureSizes::default();
        loop {
            if stop.is_requested() {
                return Ok(false);
            }
            let batch = batches.next().transpose()?;
            let is_last = batch.is_none();
            let ran = match batch.filter(|batch| !batch.is_empty()) {
                Some(batch) => {
                    let other = self.class_scores.as_deref();
                    let (batch, prediction, of_classes) = self.predictor.predict_with(batch, other)?;
                    let spaces = match prediction.shape.len() == 4 || self.by.predicts != PredictedAs::Classes {
                        true => self.spaces(&piece, &batch.rows, &mut sizes)?,
                        false => Vec::new(),
                    };
                    Some((batch, prediction, of_classes, spaces))
                }
                None => None,
            };
            // rows with their slots, or why they have none
            let left_out = batches.take_left_out().into_iter().map(|(row, error)| (row, Err(error)));
            let mut rows: Vec<(RowId, Result<_, String>)> = left_out.collect();
            if let Some(ran) = &ran {
                let slots = ran.0.rows.iter().enumerate();
                rows.extend(slots.filter_map(|(slot, row)| Some((row.clone()?, Ok((slot, ran))))));
            }
            rows.sort_by_key(|(row, _)| (places.get(&row.file).copied(), row.row_group, row.row));
            for (row, found) in rows {
                let (input, file) = piece.names.of(&row);
                // what an encoding may fill in is nevertheless not what the row says
                let found = piece.names.reason(&row).map_or(found, Err);
                let answer = match found {
                    Err(error) => RowAnswer::Unusable { error },
                    Ok((slot, (batch, prediction, of_classes, spaces))) => {
                        let space = spaces.get(slot).and_then(Option::as_ref);
                        let answer = self.answers.of_slot(batch, prediction, slot, space, &file)?;
                        match of_classes {
                            Some(scores) => self.answers.with_class(answer, scores, slot),
                            None => answer,
                        }
                    }
                };
                match answer {
                    RowAnswer::Unusable { .. } => report.unusable += 1,
                    _ => report.rows += 1,
                }
                take(PredictedRow { input, answer })?;
            }
            if is_last {
                return Ok(true);
            }
            told(report);
        }
    }

    /// How the pictures of rows are prepared; nothing where that is not asked for.
    fn spaces(
        &self,
        piece: &Piece,
        rows: &[Option<RowId>],
        sizes: &mut PictureSizes,
    ) -> Result<Vec<Option<PictureSpace>>, RecipeError> {
        let column = self.encoders.last().and_then(|(encoders, _)| self.image_column(encoders));
        let Some(column) = column.filter(|_| self.of_pictures && self.answers.are_of_places()) else {
            return Ok(Vec::new());
        };
        let space = |row: &Option<RowId>| {
            let Some(row) = row else { return Ok(None) };
            match sizes.of(&piece.dataset, &column, row)? {
                Some(facts) => PictureSpace::of(&self.chain, &facts),
                None => Ok(None),
            }
        };
        rows.iter().map(space).collect()
    }

    /// The column with the pictures.
    fn image_column(&self, encoders: &Encoders) -> Option<String> {
        let columns = encoders.columns();
        match columns {
            [only] => Some(only.clone()),
            _ => {
                let own = self.columns.0.iter().find(|column| column.is_image())?.name();
                columns.iter().find(|column| *column == own).cloned()
            }
        }
    }

    /// Refuses batches that the machine has no room for, before the first of them. What a CUDA device has is not known here.
    fn require_memory(&self, spec: &BatchSpec, events: &mut dyn Events) -> Result<(), RecipeError> {
        if !self.on_cpu {
            return Ok(());
        }
        let policy = self.options.recipe.as_ref().map_or(MemoryCheck::Refuse, |recipe| recipe.training.memory_check);
        let estimate = MemoryEstimate::of_inference(&self.model, spec, self.batch, &self.options.catalogs.operators);
        let (place, fewer) = match fixed_batch(&self.predictor) {
            Some(_) => ("model", "model, or one that takes any number of rows"),
            None => ("--batch", "`--batch`"),
        };
        let finding = estimate.and_then(|held| inference_finding(&held, machine_memory(), policy, (self.batch, fewer)));
        match finding {
            Some(MemoryFinding::Problem(message) | MemoryFinding::TooMany(message)) => {
                return Err(RecipeError::mismatch(place, message));
            }
            Some(MemoryFinding::Warning(message)) => events.event(&Event::Warning { message }),
            None => {}
        }
        Ok(())
    }

    fn encoders_of(&mut self, piece: &Piece, events: &mut dyn Events) -> Result<Encoders, RecipeError> {
        let dataset = &piece.dataset;
        let fits =
            |(encoders, features): &(Encoders, Vec<Option<Feature>>)| features_of(encoders, dataset) == *features;
        if let Some(at) = self.encoders.iter().position(fits) {
            let known = self.encoders.remove(at);
            let encoders = known.0.clone();
            self.encoders.push(known);
            return Ok(encoders);
        }
        let (catalog, learned) = (&self.options.catalogs.encodings, self.preprocessing.learned_values());
        let mut wanted: Vec<WantedTensor> = self.preprocessing.wanted(&self.by.model, catalog);
        if let (RowNames::Read(_), Some(only)) = (&piece.names, self.columns.only()) {
            wanted.iter_mut().for_each(|tensor| only.name_in(&mut tensor.encoding));
        }
        let encoders = Encoders::open_with(dataset, catalog, &wanted, &self.inputs, &learned)?;
        let encoders = encoders.within(InputTypes::of(&self.model).ranges());
        let facts = StreamFacts { dataset, chain: &self.chain, seed: 0 };
        let spec = encoders.spec(&facts, self.batch).map_err(|error| no_size(&piece.names, error))?;
        require_inputs(&self.model, &spec, "transforms.evaluate")?;
        require_embeddings(&self.model, &encoders)?;
        self.require_memory(&spec, events)?;
        let features = features_of(&encoders, dataset);
        self.encoders.push((encoders.clone(), features));
        Ok(encoders)
    }
}

/// Without how a recipe leaves such rows out, which is no option here.
fn no_size(names: &RowNames, error: PipelineError) -> RecipeError {
    match error {
        PipelineError::Damaged { row, damage, .. } => {
            let message = format!(
                "{damage}; the first image decides the size of all, since the transforms leave it open, and none that was looked at can be \
                 used"
            );
            RecipeError::mismatch(shown(names.of(&row).0), message)
        }
        error => error.into(),
    }
}

/// What each of the columns of encoders holds in a dataset; none for one that it lacks.
fn features_of(encoders: &Encoders, dataset: &Dataset) -> Vec<Option<Feature>> {
    encoders.columns().iter().map(|column| dataset.features().get(column).cloned()).collect()
}

/// Predicts all rows of the inputs, in their order.
///
/// # Errors
/// As [`Predictions::open`] and [`Predictions::predict`]; or no row could be used.
pub fn predict(
    options: &PredictOptions,
    inputs: Vec<PredictInput>,
    take: &mut dyn FnMut(PredictedRow) -> Result<(), RecipeError>,
    events: &mut dyn Events,
    stop: &Stop,
) -> Result<PredictReport, RecipeError> {
    Predictions::open(options)?.predict(inputs, take, events, stop)
}

/// The one output beside that of the boxes that has a score for each of so many classes, two or more: `[batch, classes]`.
fn class_scores(predictor: &Predictor, classes: usize) -> Option<String> {
    let fits = |shape: &[i64]| matches!(shape, [_, count] if classes > 1 && usize::try_from(*count) == Ok(classes));
    let mut found = predictor.others().iter().filter(|(_, shape)| fits(shape));
    found.next().filter(|_| found.next().is_none()).map(|(name, _)| name.clone())
}

/// The model's file: as given, or that of a run.
fn file_of(given: &Path) -> Result<PathBuf, RecipeError> {
    if !given.is_dir() {
        return Ok(given.to_owned());
    }
    let candidates = [RunFolder(given.to_owned()).model(), given.join("ensemble.onnx")];
    if let Some(found) = candidates.iter().find(|path| path.exists()) {
        return Ok(found.clone());
    }
    let message = format!("there is no `model.onnx` in {}; `train` writes it when a run is done", shown_path(given));
    Err(RecipeError::mismatch("model", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_a_model_was_not_made_for_is_refused_and_not_ignored() {
        for (asked, fixed, wanted) in [
            (None, None, Ok(PredictOptions::BATCH)),
            (Some(4), None, Ok(4)),
            (Some(0), None, Ok(1)),
            (None, Some(8), Ok(8)),
            (Some(8), Some(8), Ok(8)),
            (Some(4), Some(8), Err("--batch: the model takes batches of 8 rows and no others; leave it out")),
        ] {
            let found = rows_of_batch(asked, fixed).map_err(|error| error.to_string());
            assert_eq!(found, wanted.map_err(str::to_owned), "{asked:?} of {fixed:?}");
        }
    }
}
