use super::sobol_directions::DIRECTIONS;
use crate::Random;

const BITS: usize = 32;

/// Points that fill the unit cube evenly (Sobol 1967), in the order of Gray's code, scrambled as Owen (1995) does it: each bit
/// is turned over by chance, which depends on the bits before it, so that evenness stays and no point has a special place.
///
/// There are 128 dimensions; what lies behind them is drawn at random.
#[derive(Clone, Debug)]
pub(crate) struct SobolSequence {
    seed: u64,
    dimensions: Vec<Dimension>,
    beyond: usize,
}

#[derive(Clone, Debug)]
struct Dimension {
    directions: [u32; BITS],
    scramble: u32,
}

impl SobolSequence {
    /// Of so many dimensions, scrambled by a seed.
    pub(crate) fn new(dimensions: usize, seed: u64) -> Self {
        let known = dimensions.min(DIRECTIONS.len() + 1);
        let scramble = |at: usize| Random::of(seed, at as u64, "scramble").next_u64() as u32;
        let dimension = |at: usize| Dimension { directions: directions(at), scramble: scramble(at) };
        Self { seed, dimensions: (0..known).map(dimension).collect(), beyond: dimensions - known }
    }

    /// The point of this number: coordinates in [0, 1).
    pub(crate) fn point(&self, number: u64) -> Vec<f64> {
        let unit = |bits: u32| f64::from(bits) / 4_294_967_296.0;
        let known = self.dimensions.iter().map(|dimension| unit(scrambled(dimension.bits(number), dimension.scramble)));
        let mut random = Random::of(self.seed, number, "beyond the known dimensions");
        let mut point: Vec<f64> = known.collect();
        point.extend((0..self.beyond).map(|_| random.uniform()));
        point
    }
}

impl Dimension {
    /// The coordinate of a point as a fraction of 32 bits, before it is scrambled.
    fn bits(&self, number: u64) -> u32 {
        let gray = number ^ (number >> 1);
        let set = (0..BITS).filter(|bit| gray >> bit & 1 == 1);
        set.fold(0, |bits, bit| bits ^ self.directions[bit])
    }
}

fn directions(dimension: usize) -> [u32; BITS] {
    let mut directions = [0; BITS];
    let Some((polynomial, first)) = dimension.checked_sub(1).map(|row| DIRECTIONS[row]) else {
        return std::array::from_fn(|bit| 1 << (BITS - 1 - bit));
    };
    let degree = first.len();
    for bit in 0..BITS {
        directions[bit] = if bit < degree {
            first[bit] << (BITS - 1 - bit)
        } else {
            let earlier = directions[bit - degree];
            let terms = (1..degree).filter(|term| polynomial >> (degree - term) & 1 == 1);
            terms.fold(earlier ^ (earlier >> degree), |sum, term| sum ^ directions[bit - term])
        };
    }
    directions
}

/// A nested uniform scramble by a hash in which each bit depends on those above it (Laine and Karras 2011; the constants are
/// those of Burley, "Practical hash-based Owen scrambling", 2020).
fn scrambled(bits: u32, seed: u32) -> u32 {
    let mut x = bits.reverse_bits();
    x ^= x.wrapping_mul(0x3d20_adea);
    x = x.wrapping_add(seed);
    x = x.wrapping_mul((seed >> 16) | 1);
    x ^= x.wrapping_mul(0x0552_6c56);
    x ^= x.wrapping_mul(0x53a2_2864);
    x.reverse_bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points of SciPy's `Sobol(128, scramble=False)`.
    #[test]
    fn unscrambled_points_are_those_of_scipy() {
        for (number, wanted) in [
            (0, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
            (1, [0.5, 0.5, 0.5, 0.5, 0.5, 0.5]),
            (2, [0.75, 0.25, 0.25, 0.75, 0.25, 0.25]),
            (4, [0.375, 0.375, 0.625, 0.875, 0.125, 0.625]),
            (7, [0.125, 0.625, 0.375, 0.625, 0.875, 0.375]),
            (1000, SCIPY_1000),
        ] {
            for (dimension, wanted) in [0, 1, 2, 7, 60, 127].into_iter().zip(wanted) {
                let dimension = Dimension { directions: directions(dimension), scramble: 0 };
                assert_eq!(f64::from(dimension.bits(number)) / 4_294_967_296.0, wanted, "{number}");
            }
        }
    }

    const SCIPY_1000: [f64; 6] = [0.2197265625, 0.0966796875, 0.5185546875, 0.8994140625, 0.4462890625, 0.5439453125];

    #[test]
    fn scrambled_points_are_one_to_an_interval_in_every_dimension() {
        let sequence = SobolSequence::new(130, 5);
        let points: Vec<Vec<f64>> = (0..64).map(|number| sequence.point(number)).collect();
        for dimension in 0..128 {
            let mut cells: Vec<usize> = points.iter().map(|point| (point[dimension] * 64.0) as usize).collect();
            cells.sort_unstable();
            assert_eq!(cells, (0..64).collect::<Vec<_>>(), "dimension {dimension}");
        }
        // In two dimensions, one to each of 8 × 8 boxes.
        let mut boxes: Vec<usize> =
            points.iter().map(|point| (point[0] * 8.0) as usize * 8 + (point[1] * 8.0) as usize).collect();
        boxes.sort_unstable();
        boxes.dedup();
        assert_eq!(boxes.len(), 64);
        assert!(points.iter().flatten().all(|x| (0.0..1.0).contains(x)));
        assert_ne!(points[0], SobolSequence::new(130, 6).point(0));
        assert_eq!(points[3], SobolSequence::new(130, 5).point(3));
    }
}
