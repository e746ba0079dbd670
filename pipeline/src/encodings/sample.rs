use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use millstream_schemas::RowId;
use millstream_schemas::recipe::{ByteSize, TransparencyPolicy};
use millstream_transforms::{Chain, DrawKey, Raster, Scratch, TransformError};

use super::encode_error::EncodeError;
use crate::PipelineError;
use crate::budget::{Admitted, Share};
use crate::decode::{self, DecodeScratch};
use crate::division::LargestImage;
use crate::error::Damage;
use crate::work_times::WorkTimes;

/// Buffers of images that took more than this are not kept for the next.
const LARGEST_KEPT: u64 = 16 << 20;

/// Buffers of one worker.
#[derive(Default)]
pub(crate) struct RowBuffers {
    decode: DecodeScratch,
    image: Raster,
    scratch: Scratch,
}

/// How the rows of a stream are worked on.
#[derive(Debug)]
pub(crate) struct RowWork {
    pub(crate) chain: Chain,
    pub(crate) seed: u64,
    pub(crate) transparency: TransparencyPolicy,
    pub(crate) decoding: Share,
    pub(crate) largest_image: LargestImage,
    pub(crate) times: WorkTimes,
}

/// A row while it is being encoded: what happens to its image or text, and how much it counts.
pub struct Sample<'a> {
    id: &'a RowId,
    key: DrawKey,
    work: &'a RowWork,
    buffers: &'a mut RowBuffers,
    weight: f32,
}

/// Tells where time goes.
struct Clock(Instant);

impl Clock {
    /// Adds the time since the last lap to a counter of nanoseconds.
    fn lap(&mut self, counter: &AtomicU64) {
        let now = Instant::now();
        counter.fetch_add((now - self.0).as_nanos() as u64, Ordering::Relaxed);
        self.0 = now;
    }
}

impl<'a> Sample<'a> {
    pub(crate) fn new(id: &'a RowId, epoch: u64, work: &'a RowWork, buffers: &'a mut RowBuffers) -> Self {
        let key = DrawKey { seed: work.seed, epoch, row: id.key() };
        Self { id, key, work, buffers, weight: 1.0 }
    }

    /// Which row it is.
    pub fn id(&self) -> &RowId {
        self.id
    }

    /// How much it counts in the loss.
    pub(crate) fn weight(&self) -> f32 {
        self.weight
    }

    /// Says that the row has no target: it counts for nothing in the loss.
    pub fn without_target(&mut self) {
        self.weight = 0.0;
    }

    /// The text as the transforms make it. `part` tells the texts of a row apart, so that they are not changed alike.
    ///
    /// # Errors
    /// The transforms are not for text.
    pub fn text(&mut self, text: &str, part: u64) -> Result<String, EncodeError> {
        let mut clock = Clock(Instant::now());
        let key = match part {
            0 => self.key,
            part => DrawKey { row: millstream_schemas::mix(self.key.row ^ part), ..self.key },
        };
        let refused = |error| self.transform_error(error);
        let drawing = self.work.chain.draw_text(text, &key).map_err(refused)?;
        let changed = drawing.apply(text).map_err(refused)?;
        clock.lap(&self.work.times.transform);
        Ok(changed)
    }

    /// The image as the transforms make it: `[channels, height, width]`, of the size that is wanted.
    ///
    /// # Errors
    /// It does not decode, is too large for the memory there is, or ends at another size.
    pub fn image(&mut self, bytes: &[u8], (width, height): (u32, u32), out: &mut [f32]) -> Result<(), EncodeError> {
        let times = &self.work.times;
        let mut clock = Clock(Instant::now());
        let header = decode::header(bytes).map_err(Damage::Image)?;
        clock.lap(&times.decode);
        let refused = |error| self.transform_error(error);
        let drawing = self.work.chain.draw_image(&header.facts, &self.key).map_err(refused)?;
        let got = drawing.output_size(&header.facts);
        if got != (width, height) {
            return Err(EncodeError::Fatal(PipelineError::ImageSize {
                row: self.id.clone(),
                wanted_width: width,
                wanted_height: height,
                got_width: got.0,
                got_height: got.1,
            }));
        }
        let plan = drawing.plan(&header.facts).map_err(refused)?;
        let needed = header.memory.saturating_add(plan.memory());
        clock.lap(&times.transform);
        let _admitted = self.admit(&header, needed)?;
        clock.lap(&times.memory_wait);
        let request = plan.decode_request();
        let RowBuffers { decode: decoding, image, scratch } = &mut *self.buffers;
        let decoded = decode::decode_into(bytes, &header, &request, self.work.transparency, decoding, image);
        clock.lap(&times.decode);
        let rendered = decoded.map(|part| plan.render(&part, scratch, out));
        clock.lap(&times.transform);
        if needed > LARGEST_KEPT {
            *self.buffers = RowBuffers::default();
        }
        rendered.map_err(Damage::Image)?.map_err(|error| self.transform_error(error))
    }

    fn admit(&self, header: &decode::Header, needed: u64) -> Result<Admitted, Damage> {
        let (limit, facts) = (self.work.largest_image, &header.facts);
        let too_large = || Damage::Memory {
            width: facts.width,
            height: facts.height,
            needed: ByteSize(needed),
            ceiling: limit.ceiling,
            enough: limit.ceiling_for(needed).rounded_up(),
        };
        if needed > limit.bytes() {
            return Err(too_large());
        }
        self.work.decoding.admit_blocking(needed).map_err(|_| too_large())
    }

    fn transform_error(&self, source: TransformError) -> EncodeError {
        match Damage::of_transform(source) {
            Ok(damage) => EncodeError::Damaged(damage),
            Err(source) => EncodeError::Fatal(PipelineError::Transform { row: self.id.clone(), source }),
        }
    }
}
