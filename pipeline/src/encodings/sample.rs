use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use millstream_schemas::recipe::{ByteSize, TransparencyPolicy};
use millstream_schemas::{ImageLayout, RowId};
use millstream_transforms::{
    Chain, DrawKey, ImageDrawing, ImageTensor, PixelValues, Raster, Scratch, TextDrawing, TransformError,
};

use super::encode_error::EncodeError;
use super::tokenized_text::{Token, TokenizedText};
use crate::PipelineError;
use crate::budget::{Admitted, Share};
use crate::decode::{self, DecodeScratch};
use crate::division::LargestImage;
use crate::error::Damage;
use crate::work_times::WorkTimes;

/// Buffers of images that took more than this are not kept for the next.
const LARGEST_KEPT: u64 = 16 << 20;

/// Refuses a transform whose values bytes cannot hold.
pub(super) fn no_bytes(transform: &str) -> PipelineError {
    let reason = format!(
        "the model takes pixels as bytes, 0 to 255, and `{transform}` makes numbers of any size: leave it out; such a model \
         does that itself"
    );
    PipelineError::Option { option: "transforms", reason }
}

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
    /// Parts of targets that have no place in the tensors.
    pub(crate) parts_left_out: AtomicU64,
    /// Whether a target needs to know what the tokens are, and which characters they are of.
    pub(crate) tokens_are_read: bool,
}

/// A row while it is being encoded: what happens to its image or text, and how much it counts.
pub struct Sample<'a> {
    id: &'a RowId,
    key: DrawKey,
    work: &'a RowWork,
    buffers: &'a mut RowBuffers,
    weight: f32,
    /// What was drawn for its image, once that is encoded.
    drawing: Option<ImageDrawing>,
    /// What is to happen to the text that is tokenized, where that is not to be drawn.
    text_drawing: Option<TextDrawing>,
    /// The tokenized text, once it is encoded.
    tokenized: Option<TokenizedText>,
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
        Self { id, key, work, buffers, weight: 1.0, drawing: None, text_drawing: None, tokenized: None }
    }

    /// A row for whose image all is drawn already.
    pub(crate) fn drawn(id: &'a RowId, work: &'a RowWork, buffers: &'a mut RowBuffers, drawing: ImageDrawing) -> Self {
        Self { drawing: Some(drawing), ..Self::new(id, 0, work, buffers) }
    }

    /// A row for whose tokenized text all is drawn already.
    pub(crate) fn drawn_text(
        id: &'a RowId,
        work: &'a RowWork,
        buffers: &'a mut RowBuffers,
        drawing: TextDrawing,
    ) -> Self {
        Self { text_drawing: Some(drawing), ..Self::new(id, 0, work, buffers) }
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

    /// What was drawn for the row's image; `None` before an image is encoded.
    pub fn drawing(&self) -> Option<&ImageDrawing> {
        self.drawing.as_ref()
    }

    /// The same, for a target that cannot do without. `who` says in a message who follows the image.
    ///
    /// # Errors
    /// No image was encoded.
    pub fn image_drawing(&self, who: &str) -> Result<&ImageDrawing, EncodeError> {
        self.drawing.as_ref().ok_or_else(|| {
            let reason = format!("{who} the row's image, and no input is an `image`");
            EncodeError::Fatal(PipelineError::Option { option: "data.targets", reason })
        })
    }

    /// Counts parts of a target, such as boxes, that have no place in the tensors.
    pub fn leave_out(&self, parts: usize) {
        self.work.parts_left_out.fetch_add(parts as u64, Ordering::Relaxed);
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

    /// As [`Sample::text`] part 0, for the text whose tokens [`Sample::set_tokens`] tells: targets follow this one.
    ///
    /// # Errors
    /// As [`Sample::text`].
    pub fn text_of_tokens(&mut self, text: &str) -> Result<String, EncodeError> {
        let mut clock = Clock(Instant::now());
        let given = self.text_drawing.take();
        let refused = |error| self.transform_error(error);
        let drawing = match given {
            Some(drawing) => drawing,
            None => self.work.chain.draw_text(text, &self.key).map_err(refused)?,
        };
        let changed = drawing.apply(text).map_err(refused)?;
        if self.work.tokens_are_read {
            let stored = text.chars().count();
            self.tokenized = Some(TokenizedText { stored, drawing, text: changed.clone(), tokens: Vec::new() });
        }
        clock.lap(&self.work.times.transform);
        Ok(changed)
    }

    /// Whether [`Sample::set_tokens`] is of use.
    pub fn tokens_are_read(&self) -> bool {
        self.work.tokens_are_read
    }

    /// Says what the tokens of the text are that [`Sample::text_of_tokens`] made.
    pub fn set_tokens(&mut self, tokens: Vec<Token>) {
        if let Some(text) = &mut self.tokenized {
            text.tokens = tokens;
        }
    }

    /// The text as tokens; `None` before it is encoded, or where nobody reads it.
    pub fn tokenized(&self) -> Option<&TokenizedText> {
        self.tokenized.as_ref().filter(|text| !text.tokens.is_empty())
    }

    /// The image as the transforms make it, of the shape that is wanted: `[channels, height, width]`, 1 or 3 channels.
    ///
    /// # Errors
    /// It does not decode, is too large for the memory there is, or ends at another size.
    pub fn image(&mut self, bytes: &[u8], shape: [u32; 3], out: &mut [f32]) -> Result<(), EncodeError> {
        let values = PixelValues::F32(out);
        self.image_tensor(bytes, shape, &mut ImageTensor { layout: ImageLayout::ChannelsFirst, values })
    }

    /// The same in the order of axes and as the values that a model takes; bytes hold no values that a transform such as `normalize`
    /// makes.
    ///
    /// # Errors
    /// As [`Sample::image`].
    pub fn image_tensor(
        &mut self,
        bytes: &[u8],
        [channels, height, width]: [u32; 3],
        out: &mut ImageTensor<'_>,
    ) -> Result<(), EncodeError> {
        let times = &self.work.times;
        let mut clock = Clock(Instant::now());
        let header = decode::header(bytes).map_err(Damage::Image)?;
        clock.lap(&times.decode);
        let refused = |error| self.transform_error(error);
        let facts = header.facts.with_channels(channels);
        let drawing = self.work.chain.draw_image(&facts, &self.key).map_err(refused)?;
        let got = drawing.output_size(&facts);
        if got != (width, height) {
            return Err(EncodeError::Fatal(PipelineError::ImageSize {
                row: self.id.clone(),
                wanted_width: width,
                wanted_height: height,
                got_width: got.0,
                got_height: got.1,
            }));
        }
        let is_bytes = matches!(out.values, PixelValues::U8(_));
        if let (true, Some(transform)) = (is_bytes, drawing.leaves_range()) {
            return Err(EncodeError::Fatal(no_bytes(transform)));
        }
        let plan = drawing.plan(&facts).map_err(refused)?;
        let request = plan.decode_request();
        let needed =
            header.memory.saturating_add(plan.memory()).saturating_add(plan.tensor_memory(out.layout, is_bytes));
        clock.lap(&times.transform);
        let _admitted = self.admit(&header, needed)?;
        clock.lap(&times.memory_wait);
        let RowBuffers { decode: decoding, image, scratch } = &mut *self.buffers;
        let decoded = decode::decode_into(bytes, &header, &request, self.work.transparency, decoding, image);
        clock.lap(&times.decode);
        let rendered = decoded.map(|part| plan.render_tensor(&part, scratch, out));
        clock.lap(&times.transform);
        if needed > LARGEST_KEPT {
            *self.buffers = RowBuffers::default();
        }
        rendered.map_err(Damage::Image)?.map_err(|error| self.transform_error(error))?;
        drop(plan);
        self.drawing = Some(drawing);
        Ok(())
    }

    pub(super) fn admit(&self, header: &decode::Header, needed: u64) -> Result<Admitted, Damage> {
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
