//! Rows that come by their classes: of each class a part of the epoch, its rows one after the other in an order of chance, and
//! again from the first when all have come. A function of the slot, so that a resume point still says all.

use millstream_schemas::recipe::SamplingRecipe;
use millstream_transforms::random::DrawKey;

use crate::permutation::Permutation;

/// Which row comes in each slot of an epoch.
#[derive(Clone, Debug)]
pub(crate) struct ClassDraws {
    /// Of each class its rows, by their numbers in file order.
    rows: Vec<Vec<u64>>,
    /// The first slot of each class, and how many there are.
    starts: Vec<u64>,
}

/// How many rows of each class come in an epoch of so many rows: the nearest whole numbers to their parts. Rows without a class
/// never come, and count in `rows` all the same: others come in their slots.
///
/// # Errors
/// There is not one weight for each class, or a class that is to come has no row.
pub fn rows_drawn(sampling: &SamplingRecipe, rows_by_class: &[u64], rows: u64) -> Result<Vec<u64>, String> {
    let weights: Vec<f64> = match sampling {
        SamplingRecipe::Balanced => rows_by_class.iter().map(|rows| f64::from(u8::from(*rows > 0))).collect(),
        SamplingRecipe::Classes(weights) => weights.clone(),
    };
    if weights.len() != rows_by_class.len() {
        return Err(format!("there are {} classes, got {} weights", rows_by_class.len(), weights.len()));
    }
    if let Some(class) = (0..weights.len()).find(|class| weights[*class] > 0.0 && rows_by_class[*class] == 0) {
        return Err(format!(
            "class {class}, counted from 0, has no row, and is to come by a weight of {}",
            weights[class]
        ));
    }
    let largest = weights.iter().copied().fold(0.0, f64::max);
    if largest <= 0.0 || !largest.is_finite() {
        return Err("no class has both a weight and a row".into());
    }
    // neither the sum nor the parts overflow, however large the weights are
    let sum: f64 = weights.iter().map(|weight| weight / largest).sum();
    let parts: Vec<f64> = weights.iter().map(|weight| rows as f64 * (weight / largest) / sum).collect();
    let mut counts: Vec<u64> = parts.iter().map(|part| *part as u64).collect();
    let mut by_rest: Vec<usize> = (0..parts.len()).filter(|class| weights[*class] > 0.0).collect();
    by_rest.sort_by(|a, b| parts[*b].fract().total_cmp(&parts[*a].fract()).then(a.cmp(b)));
    let left = rows.saturating_sub(counts.iter().sum());
    by_rest.iter().cycle().take(left as usize).for_each(|class| counts[*class] += 1);
    Ok(counts)
}

impl ClassDraws {
    /// Of rows with these classes, in file order; rows without one never come.
    pub(crate) fn new(sampling: &SamplingRecipe, class_of: &[Option<usize>], classes: usize) -> Result<Self, String> {
        let mut rows = vec![Vec::new(); classes];
        for (row, class) in class_of.iter().enumerate() {
            if let Some(class) = class {
                rows[*class].push(row as u64);
            }
        }
        let counts: Vec<u64> = rows.iter().map(|rows| rows.len() as u64).collect();
        let counts = rows_drawn(sampling, &counts, class_of.len() as u64)?;
        let mut starts = vec![0];
        starts.extend(counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        }));
        Ok(Self { rows, starts })
    }

    /// The row of a slot, and how often it has come in this epoch before.
    pub(crate) fn at(&self, slot: u64, epoch: &DrawKey) -> (u64, u32) {
        let class = self.starts.partition_point(|start| *start <= slot) - 1;
        let (rows, slot) = (&self.rows[class], slot - self.starts[class]);
        let count = rows.len() as u64;
        let turn = slot / count;
        let key = DrawKey { row: (class as u64) << 32 | turn, ..*epoch };
        let place = Permutation::new(count, &key, "order in a class").at(slot % count);
        (rows[place as usize], u32::try_from(turn).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_its_part_of_an_epoch_and_nothing_is_lost_to_rounding() {
        let classes = |weights: &[f64]| SamplingRecipe::Classes(weights.to_vec());
        for (sampling, by_class, rows, wanted) in [
            (SamplingRecipe::Balanced, &[90, 10][..], 100, Ok(vec![50, 50])),
            (SamplingRecipe::Balanced, &[90, 0, 10], 100, Ok(vec![50, 0, 50])),
            (SamplingRecipe::Balanced, &[5, 3, 2], 10, Ok(vec![4, 3, 3])),
            // half of the rows have no class
            (SamplingRecipe::Balanced, &[10, 10, 10], 60, Ok(vec![20, 20, 20])),
            (SamplingRecipe::Balanced, &[2, 28], 31, Ok(vec![16, 15])),
            (classes(&[1.0, 3.0]), &[90, 10], 100, Ok(vec![25, 75])),
            (classes(&[1.0, 3.0]), &[90, 10], 200, Ok(vec![50, 150])),
            (classes(&[0.0, 1.0]), &[90, 10], 100, Ok(vec![0, 100])),
            (classes(&[1e307, 1e307]), &[90, 10], 100, Ok(vec![50, 50])),
            (classes(&[f64::MAX, f64::MAX]), &[90, 10], 100, Ok(vec![50, 50])),
            (classes(&[5e-324, 5e-324]), &[90, 10], 100, Ok(vec![50, 50])),
            (classes(&[1.0, 1.0]), &[90, 0], 90, Err("class 1, counted from 0, has no row")),
            (classes(&[1.0]), &[90, 10], 100, Err("there are 2 classes, got 1 weights")),
            (SamplingRecipe::Balanced, &[], 100, Err("no class has both a weight and a row")),
            (SamplingRecipe::Balanced, &[0, 0], 100, Err("no class has both a weight and a row")),
        ] {
            match (rows_drawn(&sampling, by_class, rows), wanted) {
                (Ok(found), Ok(wanted)) => assert_eq!(found, wanted, "{sampling:?}"),
                (Err(found), Err(wanted)) => assert!(found.contains(wanted), "{found}"),
                (found, wanted) => panic!("{sampling:?}: {found:?} instead of {wanted:?}"),
            }
        }
    }

    #[test]
    fn rows_without_a_class_never_come_shorten_no_epoch_and_leave_it_balanced() {
        let class_of = [Some(0), None, Some(1), Some(0), None, Some(0)];
        let draws = ClassDraws::new(&SamplingRecipe::Balanced, &class_of, 2).unwrap();
        let key = DrawKey { seed: 1, epoch: 0, row: 0 };
        let mut rows: Vec<u64> = (0..6).map(|slot| draws.at(slot, &key).0).collect();
        rows.sort_unstable();
        let of_class = |class| rows.iter().filter(|row| class_of[**row as usize] == Some(class)).count();
        assert_eq!([of_class(0), of_class(1)], [3, 3], "{rows:?}");
    }
}
