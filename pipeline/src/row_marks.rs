//! The targets of one row, encoded as a stream encodes them, to be shown to people.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use millstream_schemas::recipe::{ByteSize, TransparencyPolicy};
use millstream_schemas::{BufferPool, Tensor};
use millstream_transforms::{ImageDrawing, TextDrawing};

use crate::budget::Share;
use crate::division::LargestImage;
use crate::encodings::{Encoders, Mark, RowBuffers, RowTensor, RowWork, Sample, Seen, ShownEntry, StreamFacts};
use crate::stages::tensor_parts::TensorPart;
use crate::work_times::WorkTimes;
use crate::{PipelineError, Row};

/// What was drawn for a row.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Drawn<'a> {
    /// For its image.
    Image(&'a ImageDrawing),
    /// For its first text.
    Text(&'a TextDrawing),
}

/// Reads what is shown of rows' targets; made once for any number of rows and drawings.
#[derive(Debug)]
pub struct MarkReader<'a> {
    entries: Vec<ShownEntry<'a>>,
    work: RowWork,
    pool: BufferPool,
}

impl<'a> MarkReader<'a> {
    /// For the targets of some encodings.
    ///
    /// # Errors
    /// The transforms are not for a target, or the rows leave open what the shape of one is.
    pub fn new(encoders: &'a Encoders, stream: &StreamFacts<'_>) -> Result<Self, PipelineError> {
        let ceiling = ByteSize(u64::MAX);
        let work = RowWork {
            chain: stream.chain.clone(),
            seed: stream.seed,
            transparency: TransparencyPolicy::default(),
            decoding: Share::new(ceiling.0, &Arc::default()),
            largest_image: LargestImage { ceiling },
            times: WorkTimes::default(),
            parts_left_out: AtomicU64::new(0),
            tokens_are_read: encoders.read_tokens(),
        };
        Ok(Self { entries: encoders.shown_targets(stream)?, work, pool: BufferPool::new(0) })
    }

    /// What is shown of a row's targets on the picture or text that the drawing makes of its own, read back from the tensors
    /// that a stream would make: of a picture those that follow it, of a text those that follow its tokens. The row was read
    /// with [`Encoders::columns`].
    ///
    /// # Errors
    /// A target of the row cannot be used.
    pub fn marks(&self, row: &Row, drawn: Drawn<'_>) -> Result<Vec<Mark>, PipelineError> {
        let (mut buffers, mut marks) = (RowBuffers::default(), Vec::new());
        let mut sample = match drawn {
            Drawn::Image(drawing) => Sample::drawn(&row.id, &self.work, &mut buffers, drawing.clone()),
            Drawn::Text(drawing) => Sample::drawn_text(&row.id, &self.work, &mut buffers, drawing.clone()),
        };
        let is_text = matches!(drawn, Drawn::Text(_));
        for entry in self.entries.iter().filter(|entry| entry.is_of_text() == is_text) {
            let specs = &entry.tensors;
            let mut parts: Vec<TensorPart> =
                specs.iter().map(|spec| TensorPart::whole(spec, 1, 1, &self.pool).take_front(spec, 1)).collect();
            let mut out: Vec<RowTensor<'_>> =
                specs.iter().zip(&mut parts).map(|(spec, part)| part.row(spec, 0)).collect();
            let encoded = entry.encoder.encode(row.values().of(entry.places), &mut sample, &mut out);
            encoded.map_err(|error| error.of_row(&row.id))?;
            let seen = match drawn {
                Drawn::Image(drawing) => Some(Seen::Picture(drawing.output_size(&drawing.source))),
                Drawn::Text(_) => sample.tokenized().map(Seen::Text),
            };
            let Some(seen) = seen.filter(|_| entry.is_target) else { continue };
            let join = |(spec, part)| TensorPart::join(spec, 1, vec![(0, part)], &self.pool).tensor;
            let tensors: Vec<Tensor> = specs.iter().zip(parts).map(join).collect();
            marks.extend(entry.encoder.marks(&tensors.iter().collect::<Vec<_>>(), seen));
        }
        Ok(marks)
    }
}
