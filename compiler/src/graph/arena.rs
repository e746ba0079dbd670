//! How much of its arena ONNX Runtime touches, where values come and go.

/// Bytes of the first region; each further one is twice as large as the one before.
const FIRST_REGION: u64 = 1 << 20;
/// Chunks begin at multiples of this.
const ALIGNMENT: u64 = 256;
/// Of a chunk that is more than this larger than what is wanted, the rest is given to others, as it is of one twice as large.
const MOST_UNUSED: u64 = 128 << 20;

#[derive(Clone, Copy, Debug)]
struct Chunk {
    region: usize,
    start: u64,
    size: u64,
    is_free: bool,
}

/// Follows the runtime's allocator: the smallest free chunk that fits, regions that double.
#[derive(Debug, Default)]
pub(super) struct Arena {
    /// By region and start.
    chunks: Vec<Chunk>,
    regions: usize,
    next: u64,
    /// Parts that were written to, apart from each other, by region and start.
    touched: Vec<(usize, u64, u64)>,
}

impl Arena {
    /// Takes memory for a value, and says where: a region and a start.
    pub(super) fn take(&mut self, bytes: u64) -> (usize, u64) {
        let wanted = bytes.max(1).next_multiple_of(ALIGNMENT);
        let fits = |chunk: &Chunk| chunk.is_free && chunk.size >= wanted;
        let found = (0..self.chunks.len()).filter(|at| fits(&self.chunks[*at])).min_by_key(|at| self.chunks[*at].size);
        let at = found.unwrap_or_else(|| self.grow(wanted));
        let Chunk { region, start, size, .. } = self.chunks[at];
        self.chunks[at].is_free = false;
        if size >= 2 * wanted || size - wanted >= MOST_UNUSED {
            self.chunks[at].size = wanted;
            let rest = Chunk { region, start: start + wanted, size: size - wanted, is_free: true };
            self.chunks.insert(at + 1, rest);
        }
        self.touch(region, start, start + bytes);
        (region, start)
    }

    /// Gives back what was taken; free neighbours become one.
    pub(super) fn give(&mut self, (region, start): (usize, u64)) {
        let found = self.chunks.binary_search_by_key(&(region, start), |chunk| (chunk.region, chunk.start));
        let Ok(mut at) = found else { return };
        self.chunks[at].is_free = true;
        let joins = |left: &Chunk, right: &Chunk| left.region == right.region && left.is_free && right.is_free;
        if at > 0 && joins(&self.chunks[at - 1], &self.chunks[at]) {
            at -= 1;
            self.chunks[at].size += self.chunks.remove(at + 1).size;
        }
        if at + 1 < self.chunks.len() && joins(&self.chunks[at], &self.chunks[at + 1]) {
            self.chunks[at].size += self.chunks.remove(at + 1).size;
        }
    }

    /// Bytes that were ever written to.
    pub(super) fn touched(&self) -> u64 {
        self.touched.iter().map(|(_, start, end)| end - start).fold(0, u64::saturating_add)
    }

    fn grow(&mut self, wanted: u64) -> usize {
        let mut size = self.next.max(FIRST_REGION);
        while size < wanted {
            size = size.saturating_mul(2);
        }
        self.next = size.saturating_mul(2);
        self.chunks.push(Chunk { region: self.regions, start: 0, size, is_free: true });
        self.regions += 1;
        self.chunks.len() - 1
    }

    fn touch(&mut self, region: usize, start: u64, end: u64) {
        let before = self.touched.partition_point(|(other, _, last)| (*other, *last) < (region, start));
        let behind = self.touched.partition_point(|(other, first, _)| (*other, *first) <= (region, end));
        let joined =
            self.touched[before..behind].iter().fold((region, start, end), |(region, start, end), (_, first, last)| {
                (region, start.min(*first), end.max(*last))
            });
        self.touched.splice(before..behind, [joined]);
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
