//! Everything that is decided before a stream's first thread starts.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use millstream_schemas::recipe::{ByteSize, DamagedPolicy, OrderStrength, SamplingRecipe};
use millstream_schemas::{BatchSpec, BufferPool, Fingerprint, ResumePoint, TensorRole, count, shown};

use crate::budget::{Held, Share};
use crate::class_draws::ClassDraws;
use crate::dataset::GroupPlace;
use crate::division::{Ceiling, Division, Needs, Portion};
use crate::encodings::{Encoders, RowWork, StreamFacts};
use crate::length_groups::LengthGroups;
use crate::order::Order;
use crate::row_lengths::row_lengths;
use crate::sources::{FileColumns, row_bytes};
use crate::stages::batches::BatchLayout;
use crate::stages::feeder::Feeder;
use crate::stages::tensor_parts::is_supported;
use crate::stages::worker::WorkerContext;
use crate::stages::workers::number_of;
use crate::work_times::WorkTimes;
use crate::{Beside, Dataset, PipelineError, SharedResources, StreamOptions};

/// Pages that are read more often than this in an epoch are not worth it: such an order is refused.
const MOST_READ_AGAIN: u64 = 250;
/// What to do about pages that are read again because of the order.
const READ_LESS: &str = "a larger `memory`, a smaller `window` or smaller row groups read less";
/// The same where rows come by their classes, whatever the order.
const WITHOUT_SAMPLING: &str = "raise `memory`, or leave `sampling` out";

pub(crate) struct StreamPlan {
    pub(crate) context: WorkerContext,
    pub(crate) feeder: Feeder,
    /// The inputs by whose lengths rows are put together, where they are.
    measuring: Option<Encoders>,
    /// How rows are drawn by their classes, where they are.
    sampling: Option<SamplingRecipe>,
    pub(crate) workers: usize,
    pub(crate) held: Arc<Held>,
    /// Bytes of the ceiling that are left to a stream beside this one.
    pub(crate) left: u64,
}

impl StreamPlan {
    pub(crate) fn new(
        dataset: &Dataset,
        options: StreamOptions,
        from: Option<&ResumePoint>,
    ) -> Result<Self, PipelineError> {
        Self::keeping(dataset, options, from, 0)
    }

    /// As [`StreamPlan::new`], with room for so many more batches as are kept when they were taken.
    pub(crate) fn keeping(
        dataset: &Dataset,
        options: StreamOptions,
        from: Option<&ResumePoint>,
        kept: u64,
    ) -> Result<Self, PipelineError> {
        check_options(dataset, &options)?;
        let options = options.in_own_order();
        let from = start(dataset, &options, from)?;
        let workers = match &options.shared {
            None => number_of(options.workers)?,
            Some(shared) => shared.workers(),
        };
        let ceiling = ceiling(&options)?;
        let files = dataset.files().iter().map(|file| file.columns(options.encoders.columns()).map(Arc::new));
        let files: Vec<Arc<FileColumns>> = files.collect::<Result<_, _>>()?;
        let groups = dataset.inner.groups.clone();
        let order = Order::new(options.order, options.window, options.seed, groups.iter().map(|group| group.rows));
        let stream = StreamFacts { dataset, chain: &options.chain, seed: options.seed };
        let (spec, tensors_of) = options.encoders.tensors(&stream, options.batch)?;
        require_supported(&spec)?;
        let any_length = spec.of_role(TensorRole::Input).any(|tensor| tensor.shape.contains(&None));
        let measuring = options.group_by_length.unwrap_or(any_length).then(|| measuring(&options)).transpose()?;
        let mut layout = BatchLayout {
            spec,
            chain: options.chain.clone(),
            fills: options.encoders.fills(),
            seed: options.seed,
            pool: BufferPool::default(),
            finished: Arc::default(),
        };
        let images = options.encoders.decode_images();
        let (unit_name, unit) = smallest_unit(&options, &groups, &files);
        let needs = Needs { batch: layout.batch_bytes(), unit, unit_name, images: images || options.images_beside };
        let in_flight = (workers * 4).div_ceil(options.batch).max(2) + 2;
        let portion = match &options.beside {
            Beside::Nothing => Portion::Whole,
            Beside::Later(least) => Portion::Leaving(least.0),
            Beside::Stream(first) => Portion::Left(first.left()),
        };
        let division = Division::new(ceiling, &needs, in_flight as u64 + kept, portion)?;
        layout.pool = BufferPool::new((division.batches / needs.batch.max(1)) as usize + 2);
        let (held, decoding) = match (&options.beside, &options.shared) {
            (Beside::Stream(first), _) => first.shared(),
            (_, Some(shared)) => shared.shared(),
            (_, None) => {
                let held = Arc::default();
                let decoding = Share::new(division.decoding, &held);
                (held, decoding)
            }
        };
        let work = RowWork {
            chain: options.chain.clone(),
            seed: options.seed,
            transparency: options.transparency,
            decoding,
            largest_image: division.largest_image,
            times: WorkTimes::default(),
            parts_left_out: AtomicU64::new(0),
            tokens_are_read: options.encoders.read_tokens(),
        };
        let context = WorkerContext {
            encoders: options.encoders.clone(),
            tensors: layout.spec.tensors.clone(),
            tensors_of,
            work,
            fail_on_damage: options.damaged == DamagedPolicy::Fail,
            draws: options.draws,
            stop: false.into(),
        };
        let feeder = Feeder {
            order,
            groups,
            files,
            layout: Arc::new(layout),
            rows_share: Share::new(division.rows, &held),
            batches_share: Share::new(division.batches, &held),
            ceiling,
            from,
            epochs: options.epochs,
            drop_last: options.drop_last,
            chunk: match images {
                true => options.batch.div_ceil(workers * 2).clamp(1, 8),
                false => options.batch.div_ceil(workers).clamp(1, 64),
            },
            stop: Arc::default(),
        };
        let plan = Self { context, feeder, measuring, sampling: options.sampling, workers, held, left: division.left };
        plan.refuse_endless_reading()?;
        Ok(plan)
    }

    /// Learns how long the rows are, where rows of like lengths come together, and of what class, where they come by that: for
    /// this all of them are read, once for a dataset and what reads them.
    pub(crate) fn with_learned(mut self, dataset: &Dataset) -> Result<Self, PipelineError> {
        if let Some(sampling) = &self.sampling {
            let encoders = &self.context.encoders;
            let by = Fingerprint::of(&("classes", encoders.fingerprint(), self.context.fail_on_damage));
            let learn = || dataset.row_classes(encoders, self.context.fail_on_damage);
            let classes = dataset.of_each_row(by, learn)?;
            let of_row = |class: &u32| usize::try_from(*class).ok()?.checked_sub(1);
            let classes: Vec<Option<usize>> = classes.iter().flatten().map(of_row).collect();
            let draws = ClassDraws::new(sampling, &classes, encoders.classes().len());
            let draws = draws.map_err(|reason| PipelineError::Option { option: "sampling", reason })?;
            self.feeder.order = self.feeder.order.by_class(draws);
        }
        if let Some(measuring) = &self.measuring {
            let learn = || row_lengths(dataset, measuring, self.workers, &self.feeder.rows_share);
            let lengths = dataset.of_each_row(measuring.fingerprint(), learn)?;
            let batch = self.feeder.layout.spec.capacity;
            self.feeder.order = self.feeder.order.by_length(LengthGroups::new(batch, lengths));
        }
        Ok(self)
    }

    /// The least that a stream needs of the ceiling, without what decoding needs.
    pub(crate) fn least_memory(dataset: &Dataset, options: &StreamOptions) -> Result<u64, PipelineError> {
        let options = &options.clone().in_own_order();
        let whole =
            StreamOptions { memory: ByteSize(u64::MAX), beside: Beside::Nothing, shared: None, ..options.clone() };
        let plan = Self::new(dataset, whole, None)?;
        let (unit_name, unit) = smallest_unit(options, &plan.feeder.groups, &plan.feeder.files);
        Ok(Needs { batch: plan.feeder.layout.batch_bytes(), unit, unit_name, images: false }.least())
    }

    /// What deserves a look before the stream is started.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.reads_again().into_iter().collect()
    }

    /// Pages of rows that come together and do not fit into memory are read once for each block of them.
    fn reads_again(&self) -> Option<String> {
        let times = self.times_read();
        let (what, instead) = match (&self.sampling, self.feeder.order.is_global()) {
            (Some(_), _) => ("`sampling`", WITHOUT_SAMPLING),
            (None, true) => ("order `global`", READ_LESS),
            (None, false) => ("order `windowed`", READ_LESS),
        };
        (times > 1).then(|| {
            format!(
                "{what}: the rows that come together do not fit under the memory ceiling of {}, so pages are read about \
                 {times} times an epoch; {instead}",
                self.feeder.ceiling.bytes()
            )
        })
    }

    fn refuse_endless_reading(&self) -> Result<(), PipelineError> {
        let times = self.times_read();
        let (option, instead) = match &self.sampling {
            Some(_) => ("sampling", WITHOUT_SAMPLING),
            None => ("order", "raise `memory`, or use `order: windowed` with a small `window`"),
        };
        match times > MOST_READ_AGAIN {
            false => Ok(()),
            true => Err(PipelineError::Option {
                option,
                reason: format!(
                    "pages would be read about {times} times an epoch, since only a small part of what comes together \
                     fits under the memory ceiling of {}; {instead}",
                    self.feeder.ceiling.bytes()
                ),
            }),
        }
    }

    /// How often a page is read in an epoch, about: as often as there are blocks with a row in it.
    fn times_read(&self) -> u64 {
        let Feeder { order, groups, files, rows_share, .. } = &self.feeder;
        let Some(together) = order.groups_together() else { return 1 };
        let size = |group: &GroupPlace| files[group.file as usize].group_bytes(group.group as usize).0;
        let mut sizes: Vec<u64> = groups.iter().map(size).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let sum = |sizes: &[u64]| sizes.iter().fold(0_u64, |sum, size| sum.saturating_add(*size));
        let largest = sum(&sizes[..together]);
        if !order.is_global() && largest <= rows_share.limit() {
            return 1;
        }
        // Of all bytes, rows and pages, the part that comes together.
        let part = largest as f64 / sum(&sizes).max(1) as f64;
        let of_row = row_bytes(files.first().map_or(0, |file| file.columns.len()));
        let bytes = unpacked(groups, files).saturating_add(order.rows().saturating_mul(of_row));
        let pages = files.iter().map(|file| file.pages_at_least()).sum::<u64>().max(bytes / USUAL_PAGE).max(1);
        let blocks = (bytes as f64 * part / (rows_share.limit() / 2).max(1) as f64).ceil().max(1.0);
        let (rows, pages) = (order.rows() as f64 * part, (pages as f64 * part).max(1.0));
        // A block has a row in no more pages than it has rows.
        (blocks * (rows / blocks).min(pages) / pages).round().max(1.0) as u64
    }
}

/// Bytes of the columns that are read once decompressed, as the footers say.
fn unpacked(groups: &[GroupPlace], files: &[Arc<FileColumns>]) -> u64 {
    let of_group = |group: &GroupPlace| files[group.file as usize].unpacked(group.group as usize);
    groups.iter().map(of_group).fold(0, u64::saturating_add)
}

/// Bytes of a page as most writers make them.
const USUAL_PAGE: u64 = 1 << 20;

fn check_options(dataset: &Dataset, options: &StreamOptions) -> Result<(), PipelineError> {
    let refuse = |option, reason: String| Err(PipelineError::Option { option, reason });
    if options.batch == 0 {
        return refuse("batch", "a batch needs at least one row".into());
    }
    if options.window == 0 {
        return refuse("window", "a window needs at least one row group".into());
    }
    number_of(options.workers)?;
    if options.sampling.is_some() && options.encoders.class_column().is_none() {
        return refuse("sampling", "rows have no class to be drawn by".into());
    }
    if options.drop_last && dataset.rows() < options.batch as u64 {
        let reason = format!("{} rows make no batch of {}: nothing would be left", dataset.rows(), options.batch);
        return refuse("drop_last", reason);
    }
    Ok(())
}

/// Images that a stream takes by its own ceiling must fit under the one that it shares.
fn ceiling(options: &StreamOptions) -> Result<Ceiling, PipelineError> {
    let (own, shared) = (options.memory, options.shared.as_ref().map(SharedResources::part));
    match shared {
        Some(part) if part.of < own => Err(PipelineError::SharedBelowOwn { shared: part.of, own }),
        _ => Ok(Ceiling { own, shared }),
    }
}

/// Where the stream begins, checked against the data and options.
pub(crate) fn start(
    dataset: &Dataset,
    options: &StreamOptions,
    from: Option<&ResumePoint>,
) -> Result<ResumePoint, PipelineError> {
    let now = ResumePoint {
        version: ResumePoint::VERSION,
        seed: options.seed,
        epoch: 0,
        position: 0,
        dataset: dataset.fingerprint_with(&options.encoders.columns_of(TensorRole::Target))?,
        recipe: options.fingerprint(),
    };
    let Some(then) = from else { return Ok(now) };
    let changed = |what, then: String, now: String| Err(PipelineError::ResumeChanged { what, then, now });
    if then.version != now.version {
        return changed("the format of resume points", then.version.to_string(), now.version.to_string());
    }
    if then.seed != now.seed {
        return changed("the seed", then.seed.to_string(), now.seed.to_string());
    }
    if then.dataset != now.dataset {
        return changed("the dataset", then.dataset.to_string(), now.dataset.to_string());
    }
    if !options.is_of(&then.recipe) {
        let what = match options.encoders.read_files() {
            false => "columns, transforms, order or batch size",
            true => {
                "columns, the content of a file that an encoding reads (in resume points of earlier versions its place too), transforms, \
                 order or batch size"
            }
        };
        return changed(what, then.recipe.to_string(), now.recipe.to_string());
    }
    if then.position >= dataset.rows() {
        return changed("the number of rows", format!("more than {}", then.position), dataset.rows().to_string());
    }
    Ok(ResumePoint { recipe: now.recipe, ..then.clone() })
}

/// The inputs whose rows have lengths of their own.
fn measuring(options: &StreamOptions) -> Result<Encoders, PipelineError> {
    options.encoders.measuring().ok_or_else(|| {
        let reason = "no input has rows of different lengths".into();
        PipelineError::Option { option: "group_by_length", reason }
    })
}

fn require_supported(spec: &BatchSpec) -> Result<(), PipelineError> {
    match spec.tensors.iter().find(|tensor| !is_supported(tensor)) {
        None => Ok(()),
        Some(tensor) => {
            let (name, element_type) = (shown(&tensor.name), tensor.element_type.name());
            let reason = format!("tensor `{name}` of {element_type} {:?} is none that batches can have", tensor.shape);
            Err(PipelineError::Option { option: "data", reason })
        }
    }
}

/// What must be held together at least, and its bytes: what comes together, or the pages of one row where that is less.
/// (Where a file does not say how large its pages are, they are told to be too large when they are met.)
fn smallest_unit(options: &StreamOptions, groups: &[GroupPlace], files: &[Arc<FileColumns>]) -> (String, u64) {
    let bytes = groups.iter().map(|group| files[group.file as usize].group_bytes(group.group as usize).0);
    let mut bytes: Vec<u64> = bytes.collect();
    bytes.sort_unstable_by(|a, b| b.cmp(a));
    let (name, together) = match options.order {
        OrderStrength::Sequential => ("the largest row group".into(), bytes.first().copied().unwrap_or(0)),
        OrderStrength::Windowed => {
            let window = options.window.min(bytes.len());
            let sum = bytes[..window].iter().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
            (format!("a window of {}", count(window, "row group")), sum)
        }
        OrderStrength::Global => (String::new(), u64::MAX),
    };
    let memory = options.shared.as_ref().map_or(options.memory.0, |shared| shared.part().bytes());
    if together <= memory / 8 {
        return (name, together);
    }
    let of_row = |file: &Arc<FileColumns>| if file.has_page_locations() { file.dearest_row() } else { 0 };
    let of_row = files.iter().map(of_row).max().unwrap_or(0);
    if of_row < together { ("the pages that hold one row".into(), of_row) } else { (name, together) }
}
