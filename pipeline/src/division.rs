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

/// The ceiling under which a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ceiling {
    /// The stream's own, which says which images are too large.
    pub(crate) own: ByteSize,
    /// What it has where streams share one.
    pub(crate) shared: Option<SharedPart>,
}

/// One of the equal parts into which streams divide a ceiling, less what decoding takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SharedPart {
    /// What is divided.
    pub(crate) of: ByteSize,
    /// Among so many streams.
    pub(crate) streams: usize,
}

/// What of the ceiling is a stream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Portion {
    /// All of it.
    Whole,
    /// All but what another stream, opened later, needs at least; that one gets a quarter when it needs less.
    Leaving(u64),
    /// What the other stream left.
    Left(u64),
}

/// The three shares, and what is left to another stream.
#[derive(Debug)]
pub(crate) struct Division {
    pub(crate) batches: u64,
    pub(crate) rows: u64,
    /// Of all streams under the ceiling together.
    pub(crate) decoding: u64,
    pub(crate) left: u64,
    pub(crate) largest_image: LargestImage,
}

/// The largest image that is taken: a quarter of the ceiling, whatever else is held and however many work at it, so that
/// nothing but the ceiling and the image decides which rows are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LargestImage {
    pub(crate) ceiling: ByteSize,
}

/// One part in so many of the ceiling is for decoding, and as much for a stream beside.
pub(crate) const PARTS: u64 = 4;

impl Needs {
    /// Two batches and a unit: less than this a stream cannot do with.
    pub(crate) fn least(&self) -> u64 {
        self.batch.saturating_mul(2).saturating_add(self.unit)
    }
}

impl Division {
    /// Divides; `in_flight` batches are wanted at a time.
    pub(crate) fn new(
        ceiling: Ceiling,
        needs: &Needs,
        in_flight: u64,
        portion: Portion,
    ) -> Result<Self, PipelineError> {
        let Needs { batch, unit, .. } = *needs;
        let (whole, decoding) = match ceiling.shared {
            None if needs.images => (ceiling.own.0, ceiling.own.0 / PARTS),
            None => (ceiling.own.0, 0),
            // Decoding has its quarter of what is divided.
            Some(part) => (part.bytes(), 0),
        };
        let left = match portion {
            Portion::Whole | Portion::Left(_) => 0,
            Portion::Leaving(least) => least.max(whole / PARTS),
        };
        let available = match portion {
            Portion::Left(left) => left,
            _ => (whole - decoding).saturating_sub(left),
        };
        let too_small =
            |what: String, needed: u64| Err(ceiling.too_small(what, needed, ceiling.enough(needs, portion)));
        let two = batch.saturating_mul(2);
        if two > available {
            return too_small("two batches".into(), two);
        }
        if needs.least() > available {
            return too_small(needs.unit_name.clone(), unit);
        }
        let most = (available / 3 * 2).min(available - unit) / batch.max(1);
        let batches = batch * in_flight.clamp(2, most.max(2));
        Ok(Self {
            batches,
            rows: available - batches,
            decoding,
            left,
            largest_image: LargestImage { ceiling: ceiling.own },
        })
    }
}

impl Ceiling {
    /// All bytes of it.
    pub(crate) fn bytes(self) -> ByteSize {
        self.shared.map_or(self.own, |part| part.of)
    }

    /// That it is too small, and a ceiling that would do.
    pub(crate) fn too_small(self, what: String, needed: u64, enough: u64) -> PipelineError {
        let (ceiling, needed, enough) = (self.bytes(), ByteSize(needed), ByteSize(enough).rounded_up());
        match self.shared {
            None => PipelineError::Memory { ceiling, what, needed, enough },
            Some(SharedPart { streams, .. }) => PipelineError::SharedMemory { ceiling, streams, what, needed, enough },
        }
    }

    /// A ceiling under which something would fit that takes so many bytes more than there are.
    pub(crate) fn raised_by(self, bytes: u64) -> u64 {
        let streams = self.shared.map_or(1, |part| part.streams as u64);
        self.bytes().0.saturating_add((bytes.saturating_mul(4) / 3).saturating_mul(streams))
    }

    /// A ceiling under which the needs are met.
    fn enough(self, needs: &Needs, portion: Portion) -> u64 {
        let least = needs.least();
        let decoding = |bytes: u64| if needs.images { bytes.saturating_mul(4) / 3 } else { bytes };
        let enough = match (self.shared, portion) {
            (None, Portion::Whole) => decoding(least),
            (None, Portion::Leaving(other)) => decoding(least.saturating_add(other)).max(least.saturating_mul(2)),
            (None, Portion::Left(_)) => least.saturating_mul(PARTS),
            (Some(SharedPart { streams, .. }), portion) => {
                let part = match portion {
                    Portion::Whole => least,
                    Portion::Leaving(other) => least.saturating_add(other).max(least.saturating_mul(4) / 3),
                    Portion::Left(_) => least.saturating_mul(PARTS),
                };
                part.saturating_add(2).saturating_mul(streams as u64).saturating_mul(PARTS) / (PARTS - 1)
            }
        };
        enough.saturating_add(16)
    }
}

impl SharedPart {
    /// Bytes of a part.
    pub(crate) fn bytes(self) -> u64 {
        (self.of.0 - self.of.0 / PARTS) / self.streams.max(1) as u64
    }
}

impl LargestImage {
    /// Bytes that decoding and rendering it may take.
    pub(crate) fn bytes(self) -> u64 {
        self.ceiling.0 / PARTS
    }

    /// A ceiling under which an image of so many bytes is taken.
    pub(crate) fn ceiling_for(self, bytes: u64) -> ByteSize {
        ByteSize(bytes.saturating_mul(PARTS))
    }
}

#[cfg(test)]
mod tests {
    use millstream_transforms::DrawKey;

    use super::*;

    #[test]
    fn the_shares_add_up_and_the_ceiling_that_is_asked_for_is_enough() {
        let mut random = DrawKey { seed: 1, epoch: 0, row: 0 }.random("division", 0);
        for round in 0..4000 {
            let mut bytes = |bits: u32| u64::from(random.next_u32()) >> (32 - bits);
            let unit_name = "a unit".to_owned();
            let needs = Needs { batch: 1 + bytes(12), unit: bytes(16), unit_name, images: round % 3 > 0 };
            let (bytes, other) = (bytes(18), bytes(14));
            for portion in [Portion::Whole, Portion::Leaving(other)] {
                for in_flight in [2, 3, 8, 1000] {
                    for shared_by in [None, Some(1), Some(3)] {
                        check(bytes, shared_by, &needs, in_flight, portion);
                    }
                }
            }
        }
    }

    /// Divides, under the ceiling that is asked for where these bytes are too few.
    fn check(bytes: u64, shared_by: Option<usize>, needs: &Needs, in_flight: u64, portion: Portion) {
        let ceiling = |bytes: ByteSize| match shared_by {
            None => alone(bytes),
            Some(streams) => Ceiling { own: ByteSize(1), shared: Some(SharedPart { of: bytes, streams }) },
        };
        let mut under = ceiling(ByteSize(bytes));
        let division = Division::new(under, needs, in_flight, portion).or_else(|error| {
            let (PipelineError::Memory { enough, .. } | PipelineError::SharedMemory { enough, .. }) = error else {
                panic!("{error}")
            };
            assert!(enough > under.bytes());
            under = ceiling(enough);
            Division::new(under, needs, in_flight, portion)
        });
        let division = division.unwrap_or_else(|error| panic!("{needs:?}, {portion:?}: {error}"));
        let sum = division.batches + division.rows + division.decoding + division.left;
        let (streams, all) = (shared_by.unwrap_or(1) as u64, under.bytes().0);
        let for_decoding = if shared_by.is_some() { all / PARTS } else { 0 };
        assert!(sum * streams + for_decoding <= all && division.rows >= needs.unit, "{division:?}");
        assert!(division.batches >= 2 * needs.batch, "{division:?}");
        // What is left is enough for a stream that said what it needs.
        if let Portion::Leaving(least) = portion {
            let second = Needs { batch: 1, unit: least.saturating_sub(2), ..needs.clone() };
            assert!(Division::new(under, &second, in_flight, Portion::Left(division.left)).is_ok());
        }
    }

    fn alone(own: ByteSize) -> Ceiling {
        Ceiling { own, shared: None }
    }

    #[test]
    fn whether_an_image_is_too_large_depends_on_the_ceiling_alone() {
        let image = |needs: &Needs, in_flight, portion| {
            Division::new(alone(ByteSize(1 << 20)), needs, in_flight, portion).unwrap().largest_image.bytes()
        };
        for (batch, unit) in [(1, 0), (1000, 100_000), (100_000, 1)] {
            let needs = Needs { batch, unit, unit_name: "a unit".into(), images: true };
            for in_flight in [1, 4, 100] {
                assert_eq!(image(&needs, in_flight, Portion::Whole), 1 << 18);
                assert_eq!(image(&needs, in_flight, Portion::Leaving(5)), 1 << 18);
                assert_eq!(image(&needs, in_flight, Portion::Left(400_000)), 1 << 18);
            }
        }
    }

    #[test]
    fn absurd_sizes_are_refused_and_not_overflowed() {
        for (batch, unit) in [(u64::MAX, 1), (1, u64::MAX), (u64::MAX, u64::MAX)] {
            let needs = Needs { batch, unit, unit_name: "a unit".into(), images: true };
            for portion in [Portion::Whole, Portion::Leaving(u64::MAX), Portion::Left(5)] {
                let refused = Division::new(alone(ByteSize(1 << 30)), &needs, 100, portion).unwrap_err();
                assert!(matches!(refused, PipelineError::Memory { .. }), "{refused}");
            }
        }
    }
}
