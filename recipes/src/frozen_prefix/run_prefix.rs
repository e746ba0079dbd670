use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use millstream_pipeline::encodings::Encoders;
use millstream_pipeline::{Beside, Monitor, PipelineError, SharedResources, StreamOptions};
use millstream_runtime::Device;
use millstream_schemas::recipe::{ByteSize, OrderStrength};
use millstream_schemas::{Fingerprint, TensorRole, count, shown_path};
use millstream_training::{PrefixRunner, Until};

use super::activations::{Activations, Places};
use super::activations_file::{Contents, forget_unfinished};
use super::filling::Filling;
use super::plan::PrefixPlan;
use super::serving::Serving;
use super::store::{PrefixStore, Room};
use crate::{Event, Events, Opened, RecipeError, RowSource, Stop};

/// Of what is counted into the keys of activations: another way of computing them takes another number.
const VERSION: u32 = 2;

/// A run's part in what is kept of the frozen prefix.
pub(crate) struct RunPrefix {
    plan: Arc<PrefixPlan>,
    store: PrefixStore,
    /// Where files lie until the run ends.
    folder: PathBuf,
    runner: Option<PrefixRunner>,
    /// Of each evaluation set, once it is filled.
    sets: Vec<Option<Serving>>,
}

/// What a run has around it.
pub(crate) struct Around<'a> {
    pub(crate) opened: &'a Opened,
    pub(crate) device: &'a Device,
    pub(crate) shared: Option<&'a SharedResources>,
    /// Of the stream of training rows, and what serves them.
    pub(crate) monitor: Monitor,
    pub(crate) serving: &'a mut Option<Serving>,
    pub(crate) stop: &'a Stop,
}

/// Rows of a dataset as they are filled.
struct Rows<'a> {
    what: String,
    source: &'a RowSource,
    options: StreamOptions,
    epoch: u64,
    batches: u64,
}

impl RunPrefix {
    pub(crate) fn new(plan: Arc<PrefixPlan>, store: PrefixStore, output: &Path) -> Self {
        // a place in common is others' too, who may be filling files there
        let folder = store.files().map_or_else(|| output.join("activations"), Path::to_owned);
        if store.files().is_none() {
            forget_unfinished(&folder);
        }
        Self { plan, store, folder, runner: None, sets: Vec::new() }
    }

    /// How the training rows are streamed where only their targets are read, in the order in which they would come anyway.
    ///
    /// # Errors
    /// The rows cannot be streamed.
    pub(crate) fn train_stream(opened: &Opened, usual: StreamOptions) -> Result<StreamOptions, PipelineError> {
        let filling = of_training(usual.clone(), 0).least_memory(&opened.train.dataset)?;
        let beside = match usual.beside {
            Beside::Later(least) => Beside::Later(least.max(filling)),
            _ => Beside::Later(filling),
        };
        Ok(StreamOptions { beside, ..targets_alone(usual) })
    }

    /// What serves the training rows; it is filled by [`RunPrefix::fill`].
    pub(crate) fn training(&self, opened: &Opened) -> Serving {
        Serving::of(opened, &opened.train, self.plan.prefix.border(), self.plan.variants)
    }

    /// What serves an evaluation set, by its place among [`crate::OpenedParts::evaluation_sets`].
    pub(crate) fn of_set(&self, set: usize) -> Option<&Serving> {
        self.sets.get(set)?.as_ref()
    }

    /// Computes what is not there of the rows that the evaluations and the epoch need; `false` when it was asked to stop before.
    ///
    /// # Errors
    /// A row is damaged under the policy `fail`, ONNX Runtime fails, or a file cannot be used.
    pub(crate) fn fill(
        &mut self,
        epoch: u64,
        around: Around<'_>,
        events: &mut dyn Events,
    ) -> Result<bool, RecipeError> {
        let Around { opened, device, shared, monitor, serving, stop } = around;
        let beside = || Beside::Stream(monitor.clone());
        let sets = opened.evaluation_sets();
        self.sets.resize(sets.len(), None);
        for (at, (name, source)) in sets.into_iter().enumerate() {
            if self.sets[at].is_some() {
                continue;
            }
            let rows = opened.evaluated_rows(source);
            let batch = opened.recipe.data.batch.max(1) as u64;
            let options = StreamOptions { beside: beside(), ..opened.stream_of(source, shared) };
            let batches = if rows < source.dataset.rows() { rows.div_ceil(batch) } else { u64::MAX };
            let what = format!("{} of `{name}`", count(rows, "evaluation row"));
            let mut serving = Serving::of(opened, source, self.plan.prefix.border(), 1);
            let rows = Rows { what, source, options, epoch: 0, batches };
            let Some(kept) = self.kept(rows, &serving, (opened, device, stop), events)? else { return Ok(false) };
            serving.take(0, kept);
            self.sets[at] = Some(serving);
        }
        let Some(serving) = serving else { return Ok(true) };
        let variant = serving.variant_of(epoch);
        if serving.lacks(variant) {
            let source = &opened.train;
            let usual = opened.train_stream(shared)?;
            let options = StreamOptions { beside: beside(), ..of_training(usual, variant as u64) };
            let mut what = count(source.dataset.rows(), "training row");
            if self.plan.variants > 1 {
                what = format!("{what}, variant {} of {}", variant + 1, self.plan.variants);
            }
            let rows = Rows { what, source, options, epoch: variant as u64, batches: u64::MAX };
            let Some(kept) = self.kept(rows, serving, (opened, device, stop), events)? else { return Ok(false) };
            serving.take(variant, kept);
        }
        if !serving.lacks_any() {
            // what it holds is not needed any more
            self.runner = None;
        }
        Ok(true)
    }

    /// How far a run can go with what was filled for an epoch.
    pub(crate) fn reach(serving: Option<&Serving>, epoch: u64, steps_per_epoch: u64, until: Until) -> Until {
        if serving.is_none_or(|serving| !serving.lacks_any()) {
            return until;
        }
        let next = epoch + 1;
        match until {
            Until::Step(step) if step <= next.saturating_mul(steps_per_epoch) => until,
            Until::Epoch(wanted) if wanted <= next => until,
            _ => Until::Epoch(next),
        }
    }

    fn kept(
        &mut self,
        rows: Rows<'_>,
        serving: &Serving,
        (opened, device, stop): (&Opened, &Device, &Stop),
        events: &mut dyn Events,
    ) -> Result<Option<Arc<Activations>>, RecipeError> {
        let Self { plan, store, folder, runner, .. } = self;
        let key = key(plan, &rows, opened, device)?;
        let contents =
            Contents { key: key.clone(), rows: serving.index().rows(), numbers: plan.prefix.numbers_per_row() };
        let own = (contents.rows as u64).saturating_mul(4 * contents.numbers as u64);
        let memory = (u128::from(plan.memory) * u128::from(own) / u128::from(plan.bytes.max(1))) as u64;
        let file = plan.folder.as_deref().map_or((folder.as_path(), false), |folder| (folder, true));
        let places = Places { memory, file: plan.has_files.then_some(file) };
        let needed = Activations::bytes_of_passing_file(&contents, places);
        store.get(&key, Room { memory: plan.memory, disk: plan.disk }, needed, |beyond| {
            if beyond > 0 {
                let message = format!(
                    "training.frozen_prefix: files of runs at the same time take {} more than `disk` says, which is {}; give it the room that \
                     all of them need, or train fewer at a time",
                    ByteSize(beyond),
                    ByteSize(plan.disk)
                );
                events.event(&Event::Warning { message });
            }
            match Activations::found(&contents, places) {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                Err(reason) => {
                    let folder = shown_path(file.0);
                    let message = format!("a file of activations in {folder} is not used, and made anew: {reason}");
                    events.event(&Event::Warning { message });
                }
            }
            let began = Instant::now();
            let what = rows.what;
            let message = format!("training.frozen_prefix: the frozen part is run for {what}");
            events.event(&Event::Note { message });
            let runner = match runner {
                Some(runner) => runner,
                None => {
                    let opened = PrefixRunner::open(&plan.prefix, device, opened.recipe.training.threads)?;
                    if let Some(message) = opened.warning() {
                        events.event(&Event::Warning { message: message.to_owned() });
                    }
                    runner.insert(opened)
                }
            };
            let opening = RecipeError::io("write", file.0);
            let mut activations = Activations::open(&contents, places).map_err(opening)?;
            let filling = Filling {
                dataset: &rows.source.dataset,
                options: rows.options,
                epoch: rows.epoch,
                batches: rows.batches,
                spec: &opened.spec,
            };
            if !filling.fill(runner, serving.index(), &mut activations, stop)? {
                return Ok(None);
            }
            let message =
                format!("training.frozen_prefix: {what} are kept, after {:.1} s", began.elapsed().as_secs_f64());
            events.event(&Event::Note { message });
            Ok(Some(activations))
        })
    }
}

/// All rows in the order of their files, with the draws of an epoch.
fn of_training(usual: StreamOptions, epoch: u64) -> StreamOptions {
    StreamOptions {
        epochs: epoch + 1,
        order: OrderStrength::Sequential,
        sampling: None,
        drop_last: false,
        beside: Beside::Nothing,
        ..usual
    }
}

/// The same rows in the same order, without their inputs.
pub(crate) fn targets_alone(usual: StreamOptions) -> StreamOptions {
    let encoders: Encoders = usual.encoders.of_role(TensorRole::Target);
    StreamOptions { encoders, images_beside: true, group_by_length: Some(false), ..usual }
}

/// Of all that decides the numbers that are kept, and which rows are left out.
fn key(plan: &PrefixPlan, rows: &Rows<'_>, opened: &Opened, device: &Device) -> Result<Fingerprint, RecipeError> {
    let (dataset, options) = (&rows.source.dataset, &rows.options);
    // in files that are found again rows may have changed in place
    let of_rows = match plan.folder {
        Some(_) => dataset.fingerprint_with(rows.source.encoders.columns())?,
        None => dataset.fingerprint().clone(),
    };
    let is_drawn = options.chain.is_random() || rows.batches < u64::MAX;
    let of_stream = (
        options.fingerprint(),
        is_drawn.then_some((options.seed, rows.epoch)),
        rows.batches,
        &options.damaged,
        ByteSize(options.memory.0),
    );
    let training = &opened.recipe.training;
    let of_device =
        (device.kind.to_string(), device.runtime().version(), threads(device, training.threads), training.precision);
    Ok(Fingerprint::of(&(VERSION, &plan.fingerprint, of_rows, of_stream, of_device)))
}

/// Threads of ONNX Runtime.
fn threads(device: &Device, asked: usize) -> usize {
    let shared = device.runtime().shared_threads().filter(|_| device.shares_threads());
    shared.unwrap_or(if asked == 0 { std::thread::available_parallelism().map_or(1, usize::from) } else { asked })
}
