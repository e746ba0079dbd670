//! How much of its arena ONNX Runtime touches, where values come and go.

use std::collections::{BTreeMap, BTreeSet};

/// Bytes of the first region; each further one is twice as large as the one before.
const FIRST_REGION: u64 = 1 << 20;
/// Chunks begin at multiples of this.
const ALIGNMENT: u64 = 256;
/// Of a chunk that is more than this larger than what is wanted, the rest is given to others, as it is of one twice as large.
const MOST_UNUSED: u64 = 128 << 20;

/// A region, and where in it.
type Place = (usize, u64);

#[derive(Clone, Copy, Debug)]
struct Chunk {
    size: u64,
    is_free: bool,
}

/// Follows the runtime's allocator: the smallest free chunk that fits, regions that double.
#[derive(Debug, Default)]
pub(super) struct Arena {
    chunks: BTreeMap<Place, Chunk>,
    /// Chunks that are free, by size and place.
    free: BTreeSet<(u64, Place)>,
    regions: usize,
    next: u64,
    /// Parts that were written to, apart from each other: where each ends by where it begins.
    touched: BTreeMap<Place, u64>,
}

impl Arena {
    /// Takes memory for a value, and says where: a region and a start.
    pub(super) fn take(&mut self, bytes: u64) -> Place {
        let wanted = bytes.max(1).next_multiple_of(ALIGNMENT);
        let found = self.free.range((wanted, (0, 0))..).next().copied();
        let (size, place) = found.unwrap_or_else(|| self.grow(wanted));
        self.free.remove(&(size, place));
        let is_split = size >= 2 * wanted || size - wanted >= MOST_UNUSED;
        let own = if is_split { wanted } else { size };
        self.chunks.insert(place, Chunk { size: own, is_free: false });
        let (region, start) = place;
        if is_split {
            self.add_free((region, start + own), size - own);
        }
        self.touch(region, start, start + bytes);
        place
    }

    /// Gives back what was taken; free neighbours become one.
    pub(super) fn give(&mut self, place: Place) {
        let Some(Chunk { mut size, is_free: false }) = self.chunks.get(&place).copied() else { return };
        let (region, mut start) = place;
        self.chunks.remove(&place);
        let before = self.chunks.range(..place).next_back().map(|(at, chunk)| (*at, *chunk));
        if let Some(((_, left), chunk)) = before.filter(|((other, _), chunk)| *other == region && chunk.is_free) {
            self.remove_free((region, left), chunk.size);
            start = left;
            size += chunk.size;
        }
        let behind = (region, start + size);
        if let Some(chunk) = self.chunks.get(&behind).copied().filter(|chunk| chunk.is_free) {
            self.remove_free(behind, chunk.size);
            size += chunk.size;
        }
        self.add_free((region, start), size);
    }

    /// Bytes that were ever written to.
    pub(super) fn touched(&self) -> u64 {
        self.touched.iter().map(|((_, start), end)| end - start).fold(0, u64::saturating_add)
    }

    fn add_free(&mut self, place: Place, size: u64) {
        self.chunks.insert(place, Chunk { size, is_free: true });
        self.free.insert((size, place));
    }

    fn remove_free(&mut self, place: Place, size: u64) {
        self.chunks.remove(&place);
        self.free.remove(&(size, place));
    }

    fn grow(&mut self, wanted: u64) -> (u64, Place) {
        let mut size = self.next.max(FIRST_REGION);
        while size < wanted {
            size = size.saturating_mul(2);
        }
        self.next = size.saturating_mul(2);
        let place = (self.regions, 0);
        self.add_free(place, size);
        self.regions += 1;
        (size, place)
    }

    fn touch(&mut self, region: usize, mut start: u64, mut end: u64) {
        // what begins before and reaches up to here, then what begins within
        let before = self.touched.range(..=(region, start)).next_back().map(|(at, last)| (*at, *last));
        if let Some(((_, first), last)) = before.filter(|((other, _), last)| *other == region && *last >= start) {
            self.touched.remove(&(region, first));
            (start, end) = (first, end.max(last));
        }
        while let Some(((_, first), last)) =
            self.touched.range((region, start)..=(region, end)).next().map(|(at, last)| (*at, *last))
        {
            self.touched.remove(&(region, first));
            end = end.max(last);
        }
        self.touched.insert((region, start), end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn regions_double_and_chunks_are_split_joined_and_taken_again() {
        let mut arena = Arena::default();
        let first = arena.take(MIB / 4);
        let second = arena.take(MIB / 4);
        assert_eq!((first, second), ((0, 0), (0, MIB / 4)), "both in the first region");
        let large = arena.take(3 * MIB / 2);
        assert_eq!(large, (1, 0), "a region of 2 MiB, which is not split for a quarter");
        assert_eq!(arena.touched(), 2 * MIB);
        arena.give(first);
        arena.give(second);
        assert_eq!(arena.take(MIB), (0, 0), "what is given back is one chunk again");
        assert_eq!(arena.touched(), 5 * MIB / 2);
        arena.give(large);
        assert_eq!(arena.take(MIB / 2), (1, 0));
        assert_eq!(arena.touched(), 5 * MIB / 2, "what was touched before is not counted twice");
    }
}
