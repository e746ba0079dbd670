use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use millstream_pipeline::encodings::Encoders;
use millstream_pipeline::{Beside, Monitor, PipelineError, SharedResources, StreamOptions};
use millstream_runtime::Device;
use millstream_schemas::recipe::{ByteSize, FrozenPrefixRecipe, OrderStrength};
use millstream_schemas::{Fingerprint, TensorRole, count, shown_path};
use millstream_training::{PrefixRunner, Until};
use serde::Serialize;

use super::activations::{Activations, Places};
use super::activations_file::{Contents, forget_unfinished};
use super::filling::Filling;
use super::padded::PaddedRows;
use super::plan::{BEGAN_KEPT, Keeping, PrefixPlan, keeping};
use super::serving::{Kept, Serving};
use super::store::{PrefixStore, Reservation, Room};
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
    /// Of rows that have lengths of their own.
    padded: Option<PaddedRows>,
    /// Of each evaluation set, once it is filled.
    sets: Vec<Option<Serving>>,
    /// Room in memory; none where batches are run whole by the steps that follow the frozen part.
    reserved: Option<Reservation>,
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
    /// How many they are.
    count: u64,
}

impl<'a> Rows<'a> {
    /// Those of an evaluation set.
    fn of_set(opened: &'a Opened, (name, source): (&str, &'a RowSource), shared: Option<&SharedResources>) -> Self {
        let rows = opened.evaluated_rows(source);
        let batch = opened.recipe.data.batch.max(1) as u64;
        let options = opened.stream_of(source, shared);
        let batches = if rows < source.dataset.rows() { rows.div_ceil(batch) } else { u64::MAX };
        let what = format!("{} of `{name}`", count(rows, "evaluation row"));
        Self { what, source, options, epoch: 0, batches, count: rows }
    }

    /// Those of training with the draws of a variant.
    fn of_variant(
        plan: &PrefixPlan,
        opened: &'a Opened,
        variant: u64,
        shared: Option<&SharedResources>,
    ) -> Result<Self, PipelineError> {
        let source = &opened.train;
        let options = of_training(opened.train_stream(shared)?, variant);
        let rows = source.dataset.rows();
        let mut what = count(rows, "training row");
        if plan.variants > 1 {
            what = format!("{what}, variant {} of {}", variant + 1, plan.variants);
        }
        Ok(Self { what, source, options, epoch: variant, batches: u64::MAX, count: rows })
    }

    fn beside(self, monitor: &Monitor) -> Self {
        Self { options: StreamOptions { beside: Beside::Stream(monitor.clone()), ..self.options }, ..self }
    }

    /// Bytes of all of them, and those that may lie in memory.
    fn bytes(&self, plan: &PrefixPlan) -> (u64, u64) {
        let own = self.count.saturating_mul(4 * plan.prefix.numbers_per_row() as u64);
        (own, (u128::from(plan.memory) * u128::from(own) / u128::from(plan.bytes.max(1))) as u64)
    }
}

impl RunPrefix {
    /// Keeps room in memory for all that the run will hold; nothing where the recipe leaves it open whether anything is kept, runs beside
    /// it leave no room, and it cannot wait for them. A run that goes on has the steps that it began with: `was_kept` says which these
    /// are, where they are those of either. Without room for what it kept, batches of rows that have lengths of their own are run whole by
    /// these steps; those of other rows hold no inputs.
    ///
    /// # Errors
    /// Runs beside it leave none that it needs, or it was asked to stop while it waited for them.
    pub(crate) fn open(
        plan: Arc<PrefixPlan>,
        store: PrefixStore,
        (opened, device): (&Opened, &Device),
        (shared, was_kept): (Option<&SharedResources>, Option<bool>),
        events: &mut dyn Events,
        stop: &Stop,
    ) -> Result<Option<Self>, RecipeError> {
        let began_kept = was_kept == Some(true);
        let is_needed = plan.is_needed || (began_kept && plan.keeping != Keeping::PaddedRows);
        if !is_needed && was_kept == Some(false) {
            let message = "training.frozen_prefix: it is run at each step, as where the run began".into();
            events.event(&Event::Note { message });
            return Ok(None);
        }
        // a run alone has all that its plan allows
        let wanted = if store.is_shared() { wanted(&plan, opened, device, shared)? } else { Vec::new() };
        let mut told = |message: String| events.event(&Event::Note { message });
        let reserved = store.reserve(&wanted, plan.memory, is_needed, stop, &mut told);
        let reserved = reserved.map_err(|error| if began_kept { of_one_that_began_kept(error) } else { error })?;
        if reserved.is_none() && !began_kept {
            return Ok(None);
        }
        // a place in common is others' too, who may be filling files there
        let folder = store.files().map_or_else(|| opened.recipe.output.folder.join("activations"), Path::to_owned);
        if store.files().is_none() {
            forget_unfinished(&folder);
        }
        Ok(Some(Self { plan, store, folder, runner: None, padded: None, sets: Vec::new(), reserved }))
    }

    /// Whether there is room for what the frozen part gives.
    pub(crate) fn keeps(&self) -> bool {
        self.reserved.is_some()
    }

    /// How the training rows are streamed where what is kept serves them, in the order in which they would come anyway.
    ///
    /// # Errors
    /// The rows cannot be streamed.
    pub(crate) fn train_stream(&self, opened: &Opened, usual: StreamOptions) -> Result<StreamOptions, PipelineError> {
        served_training(self.plan.keeping, self.plan.draws, opened, usual)
    }

    /// What of rows is read that what is kept serves: their targets alone where these follow no input and the rows are of one length.
    pub(crate) fn served(&self, usual: StreamOptions) -> StreamOptions {
        served(self.plan.keeping, self.plan.draws, usual)
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
        let sets = opened.evaluation_sets();
        self.sets.resize(sets.len(), None);
        if self.plan.keeping == Keeping::PaddedRows {
            self.serve_padded(opened, device, serving, events)?;
            return Ok(true);
        }
        for (at, set) in sets.into_iter().enumerate() {
            if self.sets[at].is_some() {
                continue;
            }
            let rows = Rows::of_set(opened, set, shared).beside(&monitor);
            let mut serving = Serving::of(opened, set.1, self.plan.prefix.border(), 1);
            let Some(kept) = self.kept(rows, &serving, (opened, device, stop), events)? else { return Ok(false) };
            serving.take(0, Kept::Rows(kept));
            self.sets[at] = Some(serving);
        }
        let Some(serving) = serving else { return Ok(true) };
        let variant = serving.variant_of(epoch);
        if serving.lacks(variant) {
            let rows = Rows::of_variant(&self.plan, opened, variant as u64, shared)?.beside(&monitor);
            let Some(kept) = self.kept(rows, serving, (opened, device, stop), events)? else { return Ok(false) };
            serving.take(variant, Kept::Rows(kept));
        }
        if !serving.lacks_any() {
            // what it holds is not needed any more
            self.runner = None;
        }
        Ok(true)
    }

    /// Lets batches of rows that have lengths of their own be served: what is not kept of them is computed when they come.
    fn serve_padded(
        &mut self,
        opened: &Opened,
        device: &Device,
        serving: &mut Option<Serving>,
        events: &mut dyn Events,
    ) -> Result<(), RecipeError> {
        let most = self.keeps().then(|| self.plan.in_memory());
        let Self { plan, store, padded, sets, .. } = self;
        let rows = match padded {
            Some(rows) => rows,
            None => {
                let kept = store.padded(&padded_key(plan, opened, device), most);
                let runner = open_runner(plan, opened, device, events)?;
                padded.insert(PaddedRows::new(kept, runner, &plan.prefix))
            }
        };
        let kept = Kept::Padded(rows.clone());
        for ((_, source), own) in opened.evaluation_sets().into_iter().zip(sets) {
            let own = own.get_or_insert_with(|| Serving::of(opened, source, plan.prefix.border(), 1));
            own.take_for_all(&kept);
        }
        if let Some(serving) = serving {
            serving.take_for_all(&kept);
        }
        Ok(())
    }

    /// How many batches found all their rows, where rows have lengths of their own; nothing where there was no room for any.
    pub(crate) fn told(&self) -> Option<String> {
        let [found, run] = self.padded.as_ref().filter(|_| self.keeps())?.counts();
        let all = found.saturating_add(run);
        (all > 0).then(|| {
            format!("training.frozen_prefix: {found} of {} had all their rows among what is kept", count(all, "batch"))
        })
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
        let (_, memory) = rows.bytes(plan);
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
                None => runner.insert(open_runner(plan, opened, device, events)?),
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

/// Why a run that goes on needs the room that it does not find.
fn of_one_that_began_kept(error: RecipeError) -> RecipeError {
    match error {
        RecipeError::Mismatch { place, message } => RecipeError::mismatch(place, format!("{BEGAN_KEPT}: {message}")),
        other => other,
    }
}

/// [`RunPrefix::served`] of a way of keeping.
fn served(keeping: Keeping, draws: Option<u64>, usual: StreamOptions) -> StreamOptions {
    match keeping {
        Keeping::Rows => targets_alone(usual),
        // what is kept has these draws, and what follows it has them too
        Keeping::RowsBesideInputs | Keeping::PaddedRows => {
            let draws = draws.filter(|_| usual.chain.is_random());
            StreamOptions { draws, ..usual }
        }
    }
}

/// [`RunPrefix::train_stream`] of a way of keeping: it leaves room for the stream that fills what is kept.
fn served_training(
    keeping: Keeping,
    draws: Option<u64>,
    opened: &Opened,
    usual: StreamOptions,
) -> Result<StreamOptions, PipelineError> {
    if keeping == Keeping::PaddedRows {
        return Ok(served(keeping, draws, usual));
    }
    let filling = of_training(usual.clone(), 0).least_memory(&opened.train.dataset)?;
    let beside = match usual.beside {
        Beside::Later(least) => Beside::Later(least.max(filling)),
        _ => Beside::Later(filling),
    };
    Ok(StreamOptions { beside, ..served(keeping, draws, usual) })
}

/// Each way in which a run may stream its training rows, as far as that decides how much memory it needs: with what is kept of a frozen
/// prefix, and without.
///
/// # Errors
/// The rows cannot be streamed.
pub(crate) fn training_streams(
    opened: &Opened,
    shared: Option<&SharedResources>,
) -> Result<Vec<StreamOptions>, PipelineError> {
    let usual = opened.train_stream(shared)?;
    let kept = |usual: StreamOptions| served_training(keeping(opened), None, opened, usual);
    Ok(match opened.recipe.training.frozen_prefix {
        FrozenPrefixRecipe::Recomputed => vec![usual],
        // of rows that are others in each epoch nothing is kept
        FrozenPrefixRecipe::Auto if usual.chain.is_random() => vec![usual],
        // where it is filled and measured, rows are read as if nothing were kept
        FrozenPrefixRecipe::Auto | FrozenPrefixRecipe::Kept { .. } => vec![kept(usual.clone())?, usual],
    })
}

/// What a run will hold in memory, by its keys.
fn wanted(
    plan: &PrefixPlan,
    opened: &Opened,
    device: &Device,
    shared: Option<&SharedResources>,
) -> Result<Vec<(Fingerprint, u64)>, RecipeError> {
    if plan.keeping == Keeping::PaddedRows {
        return Ok(vec![(padded_key(plan, opened, device), plan.in_memory())]);
    }
    let mut all: Vec<Rows<'_>> =
        opened.evaluation_sets().into_iter().map(|set| Rows::of_set(opened, set, shared)).collect();
    for variant in 0..plan.variants {
        all.push(Rows::of_variant(plan, opened, variant, shared)?);
    }
    let of_rows = |rows: &Rows<'_>| -> Result<(Fingerprint, u64), RecipeError> {
        let (own, memory) = rows.bytes(plan);
        Ok((key(plan, rows, opened, device)?, if plan.has_files { own.min(memory) } else { own }))
    };
    all.iter().map(of_rows).collect()
}

/// Opens what runs the frozen part, and tells what should be known of it.
fn open_runner(
    plan: &PrefixPlan,
    opened: &Opened,
    device: &Device,
    events: &mut dyn Events,
) -> Result<PrefixRunner, RecipeError> {
    let runner = PrefixRunner::open(&plan.prefix, device, opened.recipe.training.threads)?;
    if let Some(message) = runner.warning() {
        events.event(&Event::Warning { message: message.to_owned() });
    }
    Ok(runner)
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
fn targets_alone(usual: StreamOptions) -> StreamOptions {
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
    Ok(Fingerprint::of(&(VERSION, &plan.fingerprint, of_rows, of_stream, of_device(opened, device))))
}

/// Of all that decides what the frozen part gives for rows with lengths of their own, but for the rows.
fn padded_key(plan: &PrefixPlan, opened: &Opened, device: &Device) -> Fingerprint {
    let batch = opened.recipe.data.batch;
    Fingerprint::of(&(VERSION, "padded", &plan.fingerprint, batch, of_device(opened, device)))
}

/// How sums are added up.
fn of_device(opened: &Opened, device: &Device) -> impl Serialize {
    let training = &opened.recipe.training;
    let threads = threads(device, training.threads);
    (device.kind.to_string(), device.runtime().version().to_owned(), threads, training.precision)
}

/// Threads of ONNX Runtime.
fn threads(device: &Device, asked: usize) -> usize {
    let shared = device.runtime().shared_threads().filter(|_| device.shares_threads());
    shared.unwrap_or(if asked == 0 { std::thread::available_parallelism().map_or(1, usize::from) } else { asked })
}
