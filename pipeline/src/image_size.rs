use millstream_transforms::{Chain, DrawKey};

use crate::error::Damage;
use crate::{Columns, Dataset, PipelineError, RowInput, decode};

/// Rows that are looked at to learn the images' size, when the transforms leave it open.
const ROWS_LOOKED_AT: u64 = 16;

impl Dataset {
    /// Width and height that all images of a stream end at: as the transforms say, or, where they leave the size open,
    /// that of the first image that can be used. (One that ends at another size is refused when it is met.)
    ///
    /// # Errors
    /// None of the first rows can be used, or they cannot be read.
    ///
    /// # Panics
    /// If the input column holds no images.
    pub fn image_size(&self, columns: &Columns, chain: &Chain, seed: u64) -> Result<(u32, u32), PipelineError> {
        if let Some(size) = chain.image_output_size() {
            return Ok(size);
        }
        let mut first_error = None;
        for index in 0..self.rows().min(ROWS_LOOKED_AT) {
            match self.image_size_of(index, columns, chain, seed) {
                Err(error @ PipelineError::Damaged { .. }) => first_error = first_error.or(Some(error)),
                other => return other,
            }
        }
        Err(first_error.expect("a dataset has rows, and each was either returned or refused"))
    }

    fn image_size_of(
        &self,
        index: u64,
        columns: &Columns,
        chain: &Chain,
        seed: u64,
    ) -> Result<(u32, u32), PipelineError> {
        let id = self.row_at(index);
        let RowInput::Image(bytes) = self.read_row(&id, columns)?.input else {
            panic!("column `{}` holds no images", columns.input)
        };
        let damaged = |damage| PipelineError::Damaged { row: id.clone(), damage };
        let facts = decode::header(&bytes).map_err(|error| damaged(Damage::Image(error)))?.facts;
        let key = DrawKey { seed, epoch: 0, row: id.key() };
        match chain.draw_image(&facts, &key) {
            Ok(drawing) => Ok(drawing.output_size(&facts)),
            Err(source) => Err(match Damage::of_transform(source) {
                Ok(damage) => damaged(damage),
                Err(source) => PipelineError::Transform { row: id, source },
            }),
        }
    }
}
