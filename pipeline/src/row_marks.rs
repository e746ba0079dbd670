//! The targets of one row, encoded as a stream encodes them, to be shown to people.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use millstream_schemas::recipe::{ByteSize, TransparencyPolicy};
use millstream_schemas::{BufferPool, Tensor};
use millstream_transforms::{ImageDrawing, TextDrawing};

use crate::budget::Share;
use crate::division::LargestImage;
use crate::encodings::{Encoders, Mark, RowBuffers, RowTensor, RowWork, Sample, Seen, StreamFacts};
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

impl Encoders {
    /// What is shown of a row's targets on the picture or text that the drawing makes of its own, read back from the tensors
    /// that a stream would make. The row was read with [`Encoders::columns`].
    ///
    /// # Errors
    /// A target of the row cannot be used.
    pub fn marks(&self, row: &Row, stream: &StreamFacts<'_>, drawn: Drawn<'_>) -> Result<Vec<Mark>, PipelineError> {
        let ceiling = ByteSize(u64::MAX);
        let work = RowWork {
            chain: stream.chain.clone(),
            seed: stream.seed,
            transparency: TransparencyPolicy::default(),
            decoding: Share::new(ceiling.0, &Arc::default()),
            largest_image: LargestImage { ceiling },
            times: WorkTimes::default(),
            parts_left_out: AtomicU64::new(0),
            tokens_are_read: self.read_tokens(),
        };
        let (pool, mut buffers, mut marks) = (BufferPool::new(0), RowBuffers::default(), Vec::new());
        let mut sample = match drawn {
            Drawn::Image(drawing) => Sample::drawn(&row.id, &work, &mut buffers, drawing.clone()),
            Drawn::Text(drawing) => Sample::drawn_text(&row.id, &work, &mut buffers, drawing.clone()),
        };
        for entry in self.shown_targets(stream)? {
            let specs = &entry.tensors;
            let mut parts: Vec<TensorPart> =
                specs.iter().map(|spec| TensorPart::whole(spec, 1, 1, &pool).take_front(spec, 1)).collect();
            let mut out: Vec<RowTensor<'_>> =
                specs.iter().zip(&mut parts).map(|(spec, part)| part.row(spec, 0)).collect();
            let encoded = entry.encoder.encode(row.values().of(entry.places), &mut sample, &mut out);
            encoded.map_err(|error| error.of_row(&row.id))?;
            let seen = match drawn {
                Drawn::Image(drawing) => Some(Seen::Picture(drawing.output_size(&drawing.source))),
                Drawn::Text(_) => sample.tokenized().map(Seen::Text),
            };
            let Some(seen) = seen.filter(|_| entry.is_target) else { continue };
            let join = |(spec, part)| TensorPart::join(spec, 1, vec![(0, part)], &pool);
            let tensors: Vec<Tensor> = specs.iter().zip(parts).map(join).collect();
            marks.extend(entry.encoder.marks(&tensors.iter().collect::<Vec<_>>(), seen));
        }
        Ok(marks)
    }
}
