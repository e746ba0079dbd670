//! Everything that is decided before a stream's first thread starts.

use std::sync::Arc;

use millstream_schemas::ResumePoint;
use millstream_schemas::recipe::{ByteSize, OrderStrength};
use millstream_transforms::DrawKey;

use crate::budget::{Held, Share};
use crate::decode;
use crate::order::Order;
use crate::sources::FileColumns;
use crate::stages::batches::{Counts, Mould, Pool, Shape};
use crate::stages::damage::DamagedRows;
use crate::stages::feeder::Feeder;
use crate::stages::worker::Workshop;
use crate::{Dataset, InputKind, PipelineError, RowInput, StreamOptions};

/// Rows that are looked at to learn the images' size, when the transforms leave it open.
const ROWS_LOOKED_AT: u64 = 16;
/// Rows read together when the order is `global`, at most.
const LARGEST_BLOCK: u64 = 4096;

pub(crate) struct Plan {
    pub(crate) shop: Workshop,
    pub(crate) feeder: Feeder,
    pub(crate) workers: usize,
    pub(crate) held: Arc<Held>,
}

/// How the ceiling is divided.
#[derive(Debug)]
struct Division {
    batches: u64,
    rows: u64,
    decoding: u64,
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
            pool: Pool::default(),
            mailbox: Arc::default(),
        };
        let group_bytes: Vec<u64> =
            groups.iter().map(|group| files[group.file as usize].group_bytes(group.group as usize).0).collect();
        let dearest_row = || files.iter().map(|file| file.dearest_row()).max().unwrap_or(0);
        let dearest_row = if options.order == OrderStrength::Global { dearest_row() } else { 0 };
        let unit = largest_unit(&options, group_bytes, dearest_row);
        let in_flight = (workers * 4).div_ceil(options.batch).max(2) + 2;
        let division = divide(options.memory, mould.batch_bytes(), in_flight as u64, &unit, shape)?;
        mould.pool = Pool::new((division.batches / mould.batch_bytes().max(1)) as usize + 2);
        let held = Arc::default();
        let shop = Workshop {
            chain: options.chain.clone(),
            columns: options.columns.clone(),
            shape,
            seed: options.seed,
            transparency: options.transparency,
            damaged: DamagedRows::new(&options.damaged)?,
            decoding: Share::new(division.decoding, &held),
            ceiling: options.memory,
            batch_bytes: division.batches,
            counts: Counts::default(),
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
        dataset: dataset.fingerprint().clone(),
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
    let key = DrawKey { seed: options.seed, epoch: 0, row: 0 };
    if options.columns.kind == InputKind::Text {
        let refused = |source| PipelineError::Transform { row: dataset.row_at(0), source };
        options.chain.draw_text("", &key).map_err(refused)?;
        return Ok(Shape::Text);
    }
    if let Some((width, height)) = options.chain.image_output_size() {
        return Ok(Shape::Image { width, height });
    }
    let mut first_error = None;
    for index in 0..dataset.rows().min(ROWS_LOOKED_AT) {
        let id = dataset.row_at(index);
        let facts = match dataset.read_row(&id, &options.columns).map(|row| row.input) {
            Ok(RowInput::Image(bytes)) => decode::header(&bytes).map(|header| header.facts),
            Ok(RowInput::Text(_)) => unreachable!("the column holds images"),
            Err(error @ PipelineError::Damaged { .. }) => {
                first_error.get_or_insert(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        match facts {
            Ok(facts) => {
                let drawing = options.chain.draw_image(&facts, &key);
                let drawing = drawing.map_err(|source| PipelineError::Transform { row: id, source })?;
                let (width, height) = drawing.output_size(&facts);
                return Ok(Shape::Image { width, height });
            }
            Err(error) => {
                first_error.get_or_insert(PipelineError::Damaged { row: id, damage: error.into() });
            }
        }
    }
    Err(first_error.expect("a dataset has rows, and each was either returned or refused"))
}

/// What must be held together at least, and its bytes.
fn largest_unit(options: &StreamOptions, mut group_bytes: Vec<u64>, dearest_row: u64) -> (String, u64) {
    group_bytes.sort_unstable_by(|a, b| b.cmp(a));
    match options.order {
        OrderStrength::Sequential => ("the largest row group".into(), group_bytes.first().copied().unwrap_or(0)),
        OrderStrength::Windowed => {
            let window = options.window.min(group_bytes.len());
            let bytes = group_bytes[..window].iter().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
            (format!("a window of {window} row group(s)"), bytes)
        }
        OrderStrength::Global => ("the pages that hold one row".into(), dearest_row),
    }
}

fn divide(
    ceiling: ByteSize,
    batch: u64,
    in_flight: u64,
    (unit, unit_bytes): &(String, u64),
    shape: Shape,
) -> Result<Division, PipelineError> {
    let batches = batch * in_flight.min(ceiling.0 / 2 / batch.max(1)).max(2);
    let too_small = |what: String, needed: u64, enough: u64| {
        Err(PipelineError::Memory { ceiling, what, needed: ByteSize(needed), enough: ByteSize(enough) })
    };
    // Images get a quarter of what the batches leave, and what reading ahead by three units does not need.
    let enough = batches.saturating_add(match shape {
        Shape::Image { .. } => unit_bytes.saturating_mul(4) / 3 + 64,
        Shape::Text => *unit_bytes,
    });
    let Some(left) = ceiling.0.checked_sub(batches) else {
        return too_small("two batches".into(), batches, enough);
    };
    let decoding = match shape {
        Shape::Image { .. } => (left / 4).max(left.saturating_sub(unit_bytes.saturating_mul(4))),
        Shape::Text => 0,
    };
    let rows = left - decoding;
    if rows < *unit_bytes {
        return too_small(unit.clone(), *unit_bytes, enough);
    }
    Ok(Division { batches, rows, decoding })
}
