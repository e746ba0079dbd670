//! Everything that is decided before a stream's first thread starts.

use std::sync::Arc;

use millstream_schemas::recipe::{DamagedPolicy, OrderStrength};
use millstream_schemas::{ResumePoint, count};
use millstream_transforms::DrawKey;

use crate::budget::{Held, Share};
use crate::division::{Division, Needs};
use crate::order::Order;
use crate::sources::FileColumns;
use crate::stages::batches::{Mould, Pool, Shape, WorkTimes};
use crate::stages::feeder::Feeder;
use crate::stages::worker::Workshop;
use crate::{Dataset, InputKind, PipelineError, StreamOptions};

/// Rows read together when the order is `global`, at most.
const LARGEST_BLOCK: u64 = 4096;

pub(crate) struct Plan {
    pub(crate) shop: Workshop,
    pub(crate) feeder: Feeder,
    pub(crate) workers: usize,
    pub(crate) held: Arc<Held>,
}

impl Plan {
    pub(crate) fn new(
        dataset: &Dataset,
        options: StreamOptions,
        from: Option<&ResumePoint>,
    ) -> Result<Self, PipelineError> {
        check_options(dataset, &options)?;
        let from = start(dataset, &options, from)?;
        let workers = match options.workers {
            0 => std::thread::available_parallelism().map_or(1, |cores| cores.get()),
            workers => workers,
        };
        let label = options.columns.label.as_deref();
        let files = dataset.files().iter().map(|file| file.columns(Some(&options.columns.input), label).map(Arc::new));
        let files: Vec<Arc<FileColumns>> = files.collect::<Result<_, _>>()?;
        let groups = dataset.inner.groups.clone();
        let order = Order::new(options.order, options.window, options.seed, groups.iter().map(|group| group.rows));
        let shape = shape(dataset, &options)?;
        let mut mould = Mould {
            capacity: options.batch,
            classes: options.columns.classes.len(),
            input: options.input_name.clone(),
            shape,
            chain: options.chain.clone(),
            seed: options.seed,
            pool: Pool::new(0, []),
            mailbox: Arc::default(),
        };
        let group_bytes: Vec<u64> =
            groups.iter().map(|group| files[group.file as usize].group_bytes(group.group as usize).0).collect();
        let dearest_row = || files.iter().map(|file| file.dearest_row()).max().unwrap_or(0);
        let dearest_row = if options.order == OrderStrength::Global { dearest_row() } else { 0 };
        let (unit_name, unit) = largest_unit(&options, group_bytes, dearest_row);
        let needs = Needs { batch: mould.batch_bytes(), unit, unit_name, images: shape != Shape::Text };
        let in_flight = (workers * 4).div_ceil(options.batch).max(2) + 2;
        let division = Division::new(options.memory, &needs, in_flight as u64)?;
        let buffers = [shape.floats(), mould.classes].map(|floats| floats * mould.capacity);
        mould.pool = Pool::new((division.batches / needs.batch.max(1)) as usize + 2, buffers);
        let held = Arc::default();
        let shop = Workshop {
            chain: options.chain.clone(),
            columns: options.columns.clone(),
            shape,
            seed: options.seed,
            transparency: options.transparency,
            fail_on_damage: options.damaged == DamagedPolicy::Fail,
            decoding: Share::new(division.decoding, &held),
            largest_image: division.largest_image,
            times: WorkTimes::default(),
            stop: false.into(),
        };
        let feeder = Feeder {
            block: (division.rows / 2 / dearest_row.max(1)).clamp(1, LARGEST_BLOCK),
            order,
            groups,
            files,
            classes: dataset.classes(&options.columns)?,
            mould: Arc::new(mould),
            rows_share: Share::new(division.rows, &held),
            batches_share: Share::new(division.batches, &held),
            ceiling: options.memory,
            from,
            epochs: options.epochs,
            drop_last: options.drop_last,
            chunk: match shape {
                Shape::Image { .. } => options.batch.div_ceil(workers * 2).clamp(1, 8),
                Shape::Text => options.batch.div_ceil(workers).clamp(1, 64),
            },
            stop: Arc::default(),
        };
        Ok(Self { shop, feeder, workers, held })
    }
}

impl Plan {
    /// What deserves a look before the stream is started.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.reads_again().into_iter().collect()
    }

    /// Under the order `global`, files that do not say where their pages are give whole row groups for single rows.
    fn reads_again(&self) -> Option<String> {
        let Feeder { order, groups, files, block, .. } = &self.feeder;
        if !order.is_global() {
            return None;
        }
        let without = files.iter().filter(|file| !file.has_page_locations()).count();
        let blocks = order.rows().div_ceil(*block);
        let times = blocks.saturating_mul((*block).min(groups.len() as u64)) / groups.len() as u64;
        (without > 0 && times > 1).then(|| {
            format!(
                "order `global` reads single rows, and {without} of {} {} no page index: row groups without one are \
                 read whole, about {times} times an epoch; write the files with a page index, or use `order: windowed`",
                count(files.len(), "file"),
                if without == 1 { "has" } else { "have" }
            )
        })
    }
}

fn check_options(dataset: &Dataset, options: &StreamOptions) -> Result<(), PipelineError> {
    let refuse = |option, reason: String| Err(PipelineError::Option { option, reason });
    if options.batch == 0 {
        return refuse("batch", "a batch needs at least one row".into());
    }
    if options.window == 0 {
        return refuse("window", "a window needs at least one row group".into());
    }
    if options.workers > 4096 {
        return refuse("workers", format!("{} threads; at most 4096", options.workers));
    }
    if options.drop_last && dataset.rows() < options.batch as u64 {
        let reason = format!("{} rows make no batch of {}: nothing would be left", dataset.rows(), options.batch);
        return refuse("drop_last", reason);
    }
    Ok(())
}

/// Where the stream begins, checked against the data and options.
fn start(dataset: &Dataset, options: &StreamOptions, from: Option<&ResumePoint>) -> Result<ResumePoint, PipelineError> {
    let now = ResumePoint {
        version: ResumePoint::VERSION,
        seed: options.seed,
        epoch: 0,
        position: 0,
        dataset: dataset.fingerprint_with_labels(&options.columns)?,
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
    if then.recipe != now.recipe {
        return changed("columns, transforms, order or batch size", then.recipe.to_string(), now.recipe.to_string());
    }
    if then.position >= dataset.rows() {
        return changed("the number of rows", format!("more than {}", then.position), dataset.rows().to_string());
    }
    Ok(then.clone())
}

/// What a slot of the input holds.
fn shape(dataset: &Dataset, options: &StreamOptions) -> Result<Shape, PipelineError> {
    if options.columns.kind == InputKind::Text {
        let key = DrawKey { seed: options.seed, epoch: 0, row: 0 };
        let refused = |source| PipelineError::Transform { row: dataset.row_at(0), source };
        options.chain.draw_text("", &key).map_err(refused)?;
        return Ok(Shape::Text);
    }
    let (width, height) = dataset.image_size(&options.columns, &options.chain, options.seed)?;
    Ok(Shape::Image { width, height })
}

/// What must be held together at least, and its bytes.
fn largest_unit(options: &StreamOptions, mut group_bytes: Vec<u64>, dearest_row: u64) -> (String, u64) {
    group_bytes.sort_unstable_by(|a, b| b.cmp(a));
    match options.order {
        OrderStrength::Sequential => ("the largest row group".into(), group_bytes.first().copied().unwrap_or(0)),
        OrderStrength::Windowed => {
            let window = options.window.min(group_bytes.len());
            let bytes = group_bytes[..window].iter().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
            (format!("a window of {}", count(window, "row group")), bytes)
        }
        OrderStrength::Global => ("the pages that hold one row".into(), dearest_row),
    }
}
