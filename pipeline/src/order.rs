//! In which order rows come: a pure function of seed, epoch and position.

use std::ops::Range;
use std::sync::Arc;

use millstream_schemas::recipe::OrderStrength;
use millstream_transforms::random::DrawKey;

use crate::class_draws::ClassDraws;
use crate::length_groups::LengthGroups;
use crate::permutation::Permutation;
use crate::place::Place;

/// The order of all epochs of a stream.
///
/// | strength | where a row can go | rows held at a time |
/// |---|---|---|
/// | `global` | anywhere | a block of the order |
/// | `sequential` | stays | one row group, or a block of it |
/// | `windowed` | anywhere: its row group is put anywhere, and its rows among those of `window` row groups | `window` row groups, or a block of them |
///
/// The order knows nothing of memory. What does not fit is read in blocks, the next few rows of the order, copied out of
/// their pages one page at a time: `sequential` reads each page once, the others read a page again for every block that
/// has a row in it, so as often as what comes together is larger than the block.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    strength: OrderStrength,
    window: usize,
    seed: u64,
    /// Rows before each row group in file order, and the total at the end.
    starts: Vec<u64>,
    /// Where rows of like lengths come together.
    lengths: Option<Arc<LengthGroups>>,
    /// `global`: where rows come by their classes.
    draws: Option<Arc<ClassDraws>>,
}

/// The order of one epoch.
#[derive(Clone, Debug)]
pub(crate) struct EpochOrder<'a> {
    order: &'a Order,
    key: DrawKey,
    /// `windowed`: row groups in the order of this epoch, and the rows before each and in total.
    groups: Vec<usize>,
    starts: Vec<u64>,
    global: Option<Permutation>,
}

impl Order {
    /// Over row groups of these many rows (none empty).
    pub(crate) fn new(
        strength: OrderStrength,
        window: usize,
        seed: u64,
        group_rows: impl IntoIterator<Item = u32>,
    ) -> Self {
        let mut starts = vec![0];
        let mut total = 0;
        for rows in group_rows {
            total += u64::from(rows);
            starts.push(total);
        }
        Self { strength, window: window.max(1), seed, starts, lengths: None, draws: None }
    }

    /// The same with rows of like lengths together.
    pub(crate) fn by_length(self, lengths: LengthGroups) -> Self {
        Self { lengths: Some(Arc::new(lengths)), ..self }
    }

    /// The same with rows drawn by their classes; of `global` alone.
    pub(crate) fn by_class(self, draws: ClassDraws) -> Self {
        Self { draws: Some(Arc::new(draws)), ..self }
    }

    pub(crate) fn rows(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
    }

    pub(crate) fn is_global(&self) -> bool {
        self.strength == OrderStrength::Global
    }

    /// How many row groups' rows come together and out of order; `None` when rows stay in order.
    pub(crate) fn groups_together(&self) -> Option<usize> {
        match self.strength {
            OrderStrength::Sequential => None,
            OrderStrength::Windowed => Some(self.window.min(self.groups())),
            OrderStrength::Global => Some(self.groups()),
        }
    }

    fn groups(&self) -> usize {
        self.starts.len() - 1
    }

    fn group_rows(&self, group: usize) -> u64 {
        self.starts[group + 1] - self.starts[group]
    }

    pub(crate) fn epoch(&self, epoch: u64) -> EpochOrder<'_> {
        let key = DrawKey { seed: self.seed, epoch, row: 0 };
        let mut groups = Vec::new();
        let mut starts = Vec::new();
        if self.strength == OrderStrength::Windowed {
            let permutation = Permutation::new(self.groups() as u64, &key, "order of row groups");
            groups = (0..self.groups() as u64).map(|index| permutation.at(index) as usize).collect();
            starts.push(0);
            let mut total = 0;
            starts.extend(groups.iter().map(|&group| {
                total += self.group_rows(group);
                total
            }));
        }
        let global = self.is_global().then(|| Permutation::new(self.rows(), &key, "order of rows"));
        EpochOrder { order: self, key, groups, starts, global }
    }
}

impl EpochOrder<'_> {
    /// The row groups whose rows come together from `position` on: one, a window, or (global) none in particular.
    pub(crate) fn groups(&self, position: u64) -> Vec<usize> {
        let order = self.order;
        match order.strength {
            OrderStrength::Sequential => vec![last_at_or_below(&order.starts, position)],
            OrderStrength::Windowed => {
                let first = last_at_or_below(&self.starts, position) / order.window * order.window;
                self.groups[first..(first + order.window).min(self.groups.len())].to_vec()
            }
            OrderStrength::Global => Vec::new(),
        }
    }

    /// The rows from `position` on that come together, at most `most`: of a row group, of a window, or (global) of all.
    /// How many are asked for decides no order. Not empty while `position` is below the number of rows.
    pub(crate) fn unit(&self, position: u64, most: u64) -> Vec<Place> {
        let Some(lengths) = &self.order.lengths else { return self.by_chance(position, most) };
        let together = self.together(position);
        let until = together.end.min(position.saturating_add(most.max(1)));
        let mut places = Vec::new();
        let mut at = position;
        while at < until {
            let range = lengths.around(at, &together);
            let dealt = lengths.deal(&range, self.by_chance(range.start, range.end - range.start), &self.key);
            places.extend(&dealt[(at - range.start) as usize..(until.min(range.end) - range.start) as usize]);
            at = range.end;
        }
        places
    }

    /// The positions whose rows come together with that of a position.
    fn together(&self, position: u64) -> Range<u64> {
        let order = self.order;
        match order.strength {
            OrderStrength::Sequential => {
                let group = last_at_or_below(&order.starts, position);
                order.starts[group]..order.starts[group + 1]
            }
            OrderStrength::Windowed => {
                let first = last_at_or_below(&self.starts, position) / order.window * order.window;
                self.starts[first]..self.starts[(first + order.window).min(self.groups.len())]
            }
            OrderStrength::Global => 0..order.rows(),
        }
    }

    /// The rows from `position` on without regard to their lengths.
    fn by_chance(&self, position: u64, most: u64) -> Vec<Place> {
        let (order, most) = (self.order, most.max(1));
        match order.strength {
            OrderStrength::Sequential => {
                let group = last_at_or_below(&order.starts, position);
                let from = position - order.starts[group];
                let until = order.group_rows(group).min(from.saturating_add(most));
                (from..until).map(|row| Place { group, row: row as u32, turn: 0 }).collect()
            }
            OrderStrength::Windowed => {
                let first = last_at_or_below(&self.starts, position) / order.window * order.window;
                let end = (first + order.window).min(self.groups.len());
                let (from, until) = (self.starts[first], self.starts[end]);
                let key = DrawKey { row: (first / order.window) as u64, ..self.key };
                let permutation = Permutation::new(until - from, &key, "order in a window");
                let last = (until - from).min((position - from).saturating_add(most));
                let places = (position - from..last).map(|index| {
                    let row = from + permutation.at(index);
                    let group = last_at_or_below(&self.starts, row);
                    Place { group: self.groups[group], row: (row - self.starts[group]) as u32, turn: 0 }
                });
                places.collect()
            }
            OrderStrength::Global => {
                let permutation = self.global.as_ref().expect("made for this strength");
                let until = order.rows().min(position.saturating_add(most));
                let places = (position..until).map(|index| {
                    let slot = permutation.at(index);
                    let (row, turn) = order.draws.as_ref().map_or((slot, 0), |draws| draws.at(slot, &self.key));
                    let group = last_at_or_below(&order.starts, row);
                    Place { group, row: (row - order.starts[group]) as u32, turn }
                });
                places.collect()
            }
        }
    }
}

/// Index of the last start that is not above `value`; groups are never empty, so it is the one that holds it.
fn last_at_or_below(starts: &[u64], value: u64) -> usize {
    starts.partition_point(|&start| start <= value) - 1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use millstream_schemas::recipe::SamplingRecipe;

    use super::*;

    const STRENGTHS: [OrderStrength; 3] = [OrderStrength::Sequential, OrderStrength::Windowed, OrderStrength::Global];

    fn order(strength: OrderStrength, window: usize, seed: u64) -> Order {
        Order::new(strength, window, seed, [5, 100, 1, 37, 64, 64, 12, 99])
    }

    fn whole(order: &Order, epoch: u64) -> Vec<Place> {
        from(order, epoch, 0, 50)
    }

    fn from(order: &Order, epoch: u64, position: u64, block: u64) -> Vec<Place> {
        let epoch = order.epoch(epoch);
        let mut places = Vec::new();
        while position + (places.len() as u64) < order.rows() {
            places.extend(epoch.unit(position + places.len() as u64, block));
        }
        places
    }

    #[test]
    fn every_row_comes_once_an_epoch() {
        for strength in STRENGTHS {
            for window in [1, 3, 4, 8, 100] {
                let mut places = whole(&order(strength, window, 1), 0);
                places.sort();
                assert_eq!(places, whole(&order(OrderStrength::Sequential, 1, 0), 0), "{strength:?} {window}");
            }
        }
    }

    #[test]
    fn the_order_depends_on_seed_and_epoch_and_on_nothing_else() {
        for strength in [OrderStrength::Windowed, OrderStrength::Global] {
            let order = |seed| order(strength, 3, seed);
            assert_eq!(whole(&order(1), 4), whole(&order(1), 4));
            assert_ne!(whole(&order(1), 4), whole(&order(1), 5));
            assert_ne!(whole(&order(1), 4), whole(&order(2), 4));
        }
    }

    #[test]
    fn any_position_can_be_continued_from() {
        for strength in STRENGTHS {
            let order = order(strength, 3, 1);
            let all = whole(&order, 2);
            for position in 0..all.len() {
                assert_eq!(from(&order, 2, position as u64, 7), all[position..], "{strength:?} {position}");
            }
        }
    }

    #[test]
    fn rows_drawn_by_class_can_be_continued_from_any_position() {
        // rows of class 0 but every twentieth
        let groups = [5, 100, 1, 37, 64, 64, 12, 99_u32];
        let classes: Vec<Option<usize>> = (0..382).map(|row| Some(usize::from(row % 20 == 0))).collect();
        let draws = ClassDraws::new(&SamplingRecipe::Balanced, &classes, 2).unwrap();
        let order = super::Order::new(OrderStrength::Global, 1, 3, groups).by_class(draws);
        let starts: Vec<u32> = groups
            .iter()
            .scan(0, |sum, rows| {
                *sum += rows;
                Some(*sum - rows)
            })
            .collect();
        let class = |place: &Place| usize::from((starts[place.group] + place.row).is_multiple_of(20));
        for epoch in [0, 7] {
            let all = whole(&order, epoch);
            assert_eq!(all.len(), 382);
            let rare: Vec<&Place> = all.iter().filter(|place| class(place) == 1).collect();
            assert_eq!(rare.len(), 191, "half of them");
            // all rows of it nine times or ten, each time as another turn
            let mut each: BTreeMap<(usize, u32), Vec<u32>> = BTreeMap::new();
            rare.iter().for_each(|place| each.entry((place.group, place.row)).or_default().push(place.turn));
            assert_eq!(each.len(), 20);
            for turns in each.values_mut() {
                turns.sort_unstable();
                assert!(
                    matches!(turns.len(), 9 | 10) && turns.iter().enumerate().all(|(at, turn)| *turn as usize == at)
                );
            }
            let mut often: Vec<&Place> = all.iter().filter(|place| class(place) == 0).collect();
            often.sort();
            often.dedup();
            assert_eq!(often.len(), 191, "none of them twice");
            for position in 0..all.len() {
                assert_eq!(from(&order, epoch, position as u64, 7), all[position..], "{position}");
            }
        }
        assert_ne!(whole(&order, 0), whole(&order, 7));
    }

    /// A text's length that has nothing to do with its place: 1 to 97.
    fn length(place: Place) -> u32 {
        (place.group as u32 * 31 + place.row * 57) % 97 + 1
    }

    #[test]
    fn rows_of_like_lengths_come_together_and_every_row_still_comes_once() {
        const BATCH: usize = 8;
        let groups = [5, 100, 1, 37, 64, 64, 12, 99];
        let lengths =
            groups.iter().enumerate().map(|(group, &rows)| (0..rows).map(move |row| Place { group, row, turn: 0 }));
        let lengths: Vec<Vec<u32>> = lengths.map(|places| places.map(length).collect()).collect();
        let padded = |places: &[Place]| -> u32 {
            places
                .chunks(BATCH)
                .map(|batch| batch.iter().map(|&place| length(place)).max().unwrap() * batch.len() as u32)
                .sum()
        };
        for (strength, waste) in [(OrderStrength::Windowed, 1.1), (OrderStrength::Global, 1.05)] {
            let by_chance = order(strength, 8, 1);
            let order = by_chance.clone().by_length(LengthGroups::new(BATCH, Arc::new(lengths.clone())));
            let places = whole(&order, 2);
            let mut sorted = places.clone();
            sorted.sort();
            assert_eq!(sorted, whole(&super::Order::new(OrderStrength::Sequential, 1, 0, groups), 0), "{strength:?}");
            for position in 0..places.len() {
                assert_eq!(from(&order, 2, position as u64, 7), places[position..], "{strength:?} {position}");
            }
            assert_ne!(places, whole(&order, 3));
            let all: u32 = places.iter().map(|&place| length(place)).sum();
            let (grouped, plain) = (padded(&places), padded(&whole(&by_chance, 2)));
            assert!(
                f64::from(grouped) < waste * f64::from(all) && plain > grouped + all / 2,
                "{grouped} {plain} {all}"
            );
            // Not the short ones first.
            let first: Vec<u32> = places.chunks(BATCH).map(|batch| length(batch[0])).collect();
            assert!(!first.is_sorted());
        }
    }

    /// How well each strength mixes, on 64 row groups of 100 rows that are sorted by class (the worst case): how far
    /// rows move, as a share of all rows (a perfect shuffle: 1/3), and how often neighbours come from one row group.
    #[test]
    fn shuffle_quality_is_as_documented() {
        let quality = |strength, window| {
            let order = Order::new(strength, window, 11, [100; 64]);
            let (mut moved, mut alike, mut rows) = (0.0, 0.0, 0.0);
            for epoch in 0..8 {
                let places = whole(&order, epoch);
                for (position, place) in places.iter().enumerate() {
                    moved += (place.group * 100 + place.row as usize).abs_diff(position) as f64 / 6400.0;
                    alike += f64::from(u8::from(position > 0 && places[position - 1].group == place.group));
                    rows += 1.0;
                }
            }
            (moved / rows, alike / rows)
        };
        for (strength, window, moved, alike) in [
            (OrderStrength::Sequential, 4, 0.0, 0.99),
            (OrderStrength::Windowed, 1, 0.333, 0.99),
            (OrderStrength::Windowed, 4, 0.333, 0.25),
            (OrderStrength::Windowed, 16, 0.333, 0.062),
            (OrderStrength::Global, 4, 0.333, 0.0155),
        ] {
            let got = quality(strength, window);
            let near = (got.0 - moved).abs() < 0.03 && (got.1 - alike).abs() < 0.01;
            assert!(near, "{strength:?} {window}: moved {:.3}, alike {:.4}", got.0, got.1);
        }
    }
}
