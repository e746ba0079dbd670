//! How the ceiling on memory is divided at the start.

use millstream_schemas::recipe::ByteSize;

use crate::PipelineError;

/// What a stream must hold at least.
#[derive(Clone, Debug)]
pub(crate) struct Needs {
    /// Bytes of a batch.
    pub(crate) batch: u64,
    /// Bytes of the rows that are held together.
    pub(crate) unit: u64,
    /// What these rows are, for messages.
    pub(crate) unit_name: String,
    /// Whether images are decoded.
    pub(crate) images: bool,
}

/// The three shares.
#[derive(Debug)]
pub(crate) struct Division {
    pub(crate) batches: u64,
    pub(crate) rows: u64,
    pub(crate) decoding: u64,
    pub(crate) largest_image: LargestImage,
}

/// The largest image that is taken: what decoding would get if batches took all they may. So it depends on the ceiling
/// and not on the number of workers, which must not decide which rows are left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LargestImage {
    /// Bytes of decoding and rendering it.
    pub(crate) bytes: u64,
    pub(crate) ceiling: ByteSize,
    batch: u64,
    unit: u64,
}

impl Division {
    /// Divides; `in_flight` batches are wanted at a time.
    pub(crate) fn new(ceiling: ByteSize, needs: &Needs, in_flight: u64) -> Result<Self, PipelineError> {
        let Needs { batch, unit, .. } = *needs;
        let most = (ceiling.0 / 2 / batch.max(1)).max(2);
        let batches = batch.saturating_mul(in_flight.clamp(2, most));
        let too_small = |what: String, needed: u64, enough: u64| {
            Err(PipelineError::Memory { ceiling, what, needed: ByteSize(needed), enough: ByteSize(enough) })
        };
        // Images get a quarter of what the batches leave, and what reading ahead by three units does not need.
        let enough =
            batches.saturating_add(if needs.images { (unit.saturating_mul(4) / 3).saturating_add(64) } else { unit });
        let Some(left) = ceiling.0.checked_sub(batches) else {
            return too_small("two batches".into(), batches, enough);
        };
        let decoding = if needs.images { images_share(left, unit) } else { 0 };
        let rows = left - decoding;
        if rows < unit {
            return too_small(needs.unit_name.clone(), unit, enough);
        }
        let left_at_least = ceiling.0.saturating_sub(batch.saturating_mul(most));
        let largest_image = LargestImage { bytes: images_share(left_at_least, unit), ceiling, batch, unit };
        Ok(Self { batches, rows, decoding, largest_image })
    }
}

impl LargestImage {
    /// A ceiling under which an image of so many bytes is taken.
    pub(crate) fn ceiling_for(&self, bytes: u64) -> ByteSize {
        // Batches never get more than half of a ceiling that holds four of them.
        let quarter = bytes.saturating_mul(4);
        let beyond_reading = bytes.saturating_add(self.unit.saturating_mul(4));
        ByteSize(quarter.min(beyond_reading).saturating_mul(2).max(self.batch.saturating_mul(4)))
    }
}

fn images_share(left: u64, unit: u64) -> u64 {
    (left / 4).max(left.saturating_sub(unit.saturating_mul(4)))
}

#[cfg(test)]
mod tests {
    use millstream_transforms::DrawKey;

    use super::*;

    #[test]
    fn the_ceiling_an_image_is_told_is_enough_for_any_number_of_workers() {
        let mut random = DrawKey { seed: 1, epoch: 0, row: 0 }.random("division", 0);
        for _ in 0..2000 {
            let mut bytes = |bits: u32| u64::from(random.next_u32()) >> (32 - bits);
            let needs = Needs { batch: 1 + bytes(12), unit: bytes(16), unit_name: "a unit".into(), images: true };
            let (ceiling, image) = (ByteSize(bytes(18)), bytes(18));
            let Ok(first) = Division::new(ceiling, &needs, 4) else { continue };
            let enough = first.largest_image.ceiling_for(image).max(ceiling);
            // More workers may need more for their batches; that is an error at the start.
            for division in [2, 3, 8, 1000].iter().flat_map(|&in_flight| Division::new(enough, &needs, in_flight)) {
                assert!(division.batches + division.rows + division.decoding <= enough.0, "{division:?}");
                assert!((image..=division.decoding).contains(&division.largest_image.bytes), "{image}: {division:?}");
            }
            let told =
                [2, 1000].map(|in_flight| Division::new(ceiling, &needs, in_flight).map(|d| d.largest_image.bytes));
            if let [Ok(few), Ok(many)] = told {
                assert_eq!(few, many);
            }
        }
    }

    #[test]
    fn absurd_sizes_are_refused_and_not_overflowed() {
        for (batch, unit) in [(u64::MAX, 1), (1, u64::MAX), (u64::MAX, u64::MAX)] {
            let needs = Needs { batch, unit, unit_name: "a unit".into(), images: true };
            let refused = Division::new(ByteSize(1 << 30), &needs, 100).unwrap_err();
            assert!(matches!(refused, PipelineError::Memory { .. }), "{refused}");
        }
    }
}
