//! Numbers in eight bits, block by block: many steps near the largest number of a block, and seven powers of ten below it.

use std::sync::OnceLock;

use millstream_compiler::CompilerError;
use millstream_compiler::graph::{Attribute, Constant, ElementType, Graph, ValueId};

/// Elements that share a scale.
pub(super) const BLOCK: usize = 256;

/// Powers of ten below 1.
const DECADES: usize = 7;

/// Codes of numbers from −1 or 0 to 1: the dynamic map of bitsandbytes (Dettmers, "8-Bit Approximations for Parallelism in Deep
/// Learning", 2016, and Dettmers et al., "8-bit Optimizers via Block-wise Quantization", 2022). The decade from 10^(i−7) to 10^(i−6)
/// has 2^i numbers either side of 0, or 2^(i+1) without a sign, in the middles of equal parts; 0 and 1 are there too.
pub(super) struct DynamicMap {
    is_signed: bool,
    /// Of each code.
    numbers: [f32; 256],
    /// 0, the decades, and 1.
    zones: [Zone; DECADES + 2],
    /// Above which a number is in the next zone.
    ends: [f32; DECADES + 1],
}

/// Equal steps from a number on.
#[derive(Clone, Copy, Default)]
struct Zone {
    /// The first number.
    first: f32,
    /// Steps in a unit.
    per_unit: f32,
    /// Steps from the first number to the last.
    most: f32,
    /// Which number the first is, from 0.
    place: f32,
}

impl DynamicMap {
    /// That of numbers of either sign.
    pub(super) fn signed() -> &'static Self {
        static MAP: OnceLock<DynamicMap> = OnceLock::new();
        MAP.get_or_init(|| Self::new(true))
    }

    /// That of numbers of 0 and more. What is above 0 has no code of 0, however small it is: what is divided by its root would
    /// be thrown far away.
    pub(super) fn unsigned() -> &'static Self {
        static MAP: OnceLock<DynamicMap> = OnceLock::new();
        MAP.get_or_init(|| Self::new(false))
    }

    fn new(is_signed: bool) -> Self {
        let mut zones = [Zone::default(); DECADES + 2];
        let mut positive = vec![0.0_f64];
        for (decade, zone) in zones[1..=DECADES].iter_mut().enumerate() {
            let count = 1_usize << (decade + usize::from(!is_signed));
            let unit = 10.0_f64.powi(decade as i32 + 1 - DECADES as i32);
            let (step, place) = (0.9 * unit / count as f64, positive.len());
            positive.extend((0..count).map(|at| 0.1 * unit + step * (at as f64 + 0.5)));
            *zone = Zone {
                first: positive[place] as f32,
                per_unit: (1.0 / step) as f32,
                most: (count - 1) as f32,
                place: place as f32,
            };
        }
        zones[DECADES + 1] = Zone { first: 1.0, place: positive.len() as f32, ..Zone::default() };
        positive.push(1.0);
        let mut ends: [f32; DECADES + 1] = std::array::from_fn(|end| {
            let next = zones[end + 1].place as usize;
            ((positive[next - 1] + positive[next]) / 2.0) as f32
        });
        if !is_signed {
            ends[0] = 0.0;
        }
        let zero = Self::zero_of(is_signed);
        let number = |code: usize| match code.checked_sub(zero) {
            Some(place) => positive[place] as f32,
            None => -positive[zero - code] as f32,
        };
        Self { is_signed, numbers: std::array::from_fn(number), zones, ends }
    }

    fn zero_of(is_signed: bool) -> usize {
        if is_signed { 127 } else { 0 }
    }

    /// The code of 0.
    pub(super) fn zero(&self) -> u8 {
        Self::zero_of(self.is_signed) as u8
    }

    /// The number of a code.
    pub(super) fn number(&self, code: u8) -> f32 {
        self.numbers[usize::from(code)]
    }

    /// The code of the number nearest to one from −1 or 0 to 1.
    fn code(&self, value: f32) -> u8 {
        let size = value.abs();
        let zone = self.zones[self.ends.iter().filter(|end| size > **end).count()];
        let steps = ((size - zone.first) * zone.per_unit).round_ties_even().max(0.0).min(zone.most);
        let place = zone.place + steps;
        // −1 has no code
        if value < 0.0 { (f32::from(self.zero()) - place).max(0.0) as u8 } else { self.zero() + place as u8 }
    }

    /// Codes of the elements of a block relative to the largest of them, and that.
    pub(super) fn quantize(&self, values: &[f32], codes: &mut [u8], scale: &mut f32) {
        *scale = values.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
        let divisor = scale.max(f32::MIN_POSITIVE);
        codes.iter_mut().zip(values).for_each(|(code, value)| *code = self.code(value / divisor));
    }

    /// The elements of blocks [blocks, 256] by their codes and scales, as nodes.
    pub(super) fn number_nodes(
        &self,
        graph: &mut Graph,
        codes: ValueId,
        scales: ValueId,
    ) -> Result<ValueId, CompilerError> {
        let numbers = graph.constant("numbers", Constant::f32([256], &self.numbers));
        let codes = graph.cast(codes, ElementType::I32)?;
        let numbers = graph.add("Gather", &[numbers, codes], &[])?;
        graph.times(numbers, scales)
    }

    /// Codes and scales of blocks [blocks, 256], as nodes.
    pub(super) fn quantize_nodes(&self, graph: &mut Graph, values: ValueId) -> Result<[ValueId; 2], CompilerError> {
        let sizes = if self.is_signed { graph.add("Abs", &[values], &[])? } else { values };
        let of_blocks = [("axes", Attribute::Ints(vec![1])), ("keepdims", 1.into())];
        let scales = graph.add("ReduceMax", &[sizes], &of_blocks)?;
        let least = graph.scalar(f32::MIN_POSITIVE);
        let divisors = graph.add("Max", &[scales, least], &[])?;
        let sizes = graph.divided_by(sizes, divisors)?;
        let mut zones = None;
        for end in self.ends {
            let end = graph.scalar(end);
            let above = graph.add("Greater", &[sizes, end], &[])?;
            let above = graph.cast(above, ElementType::F32)?;
            zones = Some(match zones {
                None => above,
                Some(zones) => graph.plus(zones, above)?,
            });
        }
        let zones = zones.expect("there are ends");
        let zones = graph.cast(zones, ElementType::I32)?;
        let mut of_zone = |what: fn(&Zone) -> f32| {
            let table = graph.constant("zones", Constant::f32([DECADES + 2], &self.zones.each_ref().map(what)));
            graph.add("Gather", &[table, zones], &[])
        };
        let first = of_zone(|zone| zone.first)?;
        let per_unit = of_zone(|zone| zone.per_unit)?;
        let most = of_zone(|zone| zone.most)?;
        let place = of_zone(|zone| zone.place)?;
        let distance = graph.minus(sizes, first)?;
        let steps = graph.times(distance, per_unit)?;
        let steps = graph.add("Round", &[steps], &[])?;
        let zero = graph.scalar(0.0);
        let steps = graph.add("Max", &[steps, zero], &[])?;
        let steps = graph.add("Min", &[steps, most], &[])?;
        let mut codes = graph.plus(place, steps)?;
        if self.is_signed {
            let signs = graph.add("Sign", &[values], &[])?;
            let places = graph.times(codes, signs)?;
            let middle = graph.scalar(f32::from(self.zero()));
            let signed = graph.plus(places, middle)?;
            codes = graph.add("Max", &[signed, zero], &[])?;
        }
        Ok([graph.cast(codes, ElementType::U8)?, scales])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nearest number of the table, by looking at all of them.
    fn distance_to_nearest(map: &DynamicMap, value: f32) -> f64 {
        let distance = |number: &f32| (f64::from(*number) - f64::from(value)).abs();
        map.numbers.iter().map(distance).fold(f64::INFINITY, f64::min)
    }

    /// `bitsandbytes.functional.create_dynamic_map(signed)` of version 0.50.2, some of its 256 numbers.
    #[test]
    fn numbers_are_those_of_bitsandbytes() {
        for (map, wanted) in [(DynamicMap::signed(), &SIGNED[..]), (DynamicMap::unsigned(), &UNSIGNED)] {
            assert!(map.numbers.is_sorted());
            for (code, wanted) in wanted.iter().copied() {
                let got = map.number(code);
                assert!((got - wanted).abs() <= 2e-6 * wanted.abs(), "{code}: {got}, wanted {wanted}");
            }
        }
    }

    const SIGNED: [(u8, f32); 15] = [
        (0, -0.992_968_74),
        (1, -0.978_906_3),
        (63, -0.107031256),
        (64, -0.098_593_75),
        (126, -5.500_000_4e-7),
        (127, 0.0),
        (128, 5.500_000_4e-7),
        (129, 3.250_000_2e-6),
        (130, 7.75e-6),
        (131, 2.124_999_8e-5),
        (190, 0.098_593_75),
        (191, 0.107031256),
        (192, 0.12109375),
        (254, 0.992_968_74),
        (255, 1.0),
    ];

    const UNSIGNED: [(u8, f32); 13] = [
        (0, 0.0),
        (1, 3.2500003e-07),
        (2, 7.75e-7),
        (3, 2.124_999_8e-6),
        (6, 8.874_999e-6),
        (7, 1.562_499_9e-5),
        (14, 9.437_5e-5),
        (15, 0.000_128_125),
        (126, 0.099_296_875),
        (127, 0.103515625),
        (128, 0.110_546_87),
        (254, 0.996_484_4),
        (255, 1.0),
    ];

    #[test]
    fn codes_are_those_of_the_nearest_numbers_and_of_numbers_their_own() {
        for map in [DynamicMap::signed(), DynamicMap::unsigned()] {
            for code in 0..=255_u8 {
                assert_eq!(map.code(map.number(code)), code);
            }
            let steps = (0..40_000).map(|step| 10.0_f32.powf(-9.0 + step as f32 * 9.0 / 40_000.0));
            let middles = map.numbers.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).filter(|middle| *middle >= 0.0);
            for size in steps.chain(middles).chain([0.0, 1.0]) {
                for value in if map.is_signed { vec![size, -size] } else { vec![size] } {
                    let got = map.number(map.code(value));
                    if !map.is_signed && value > 0.0 && value < map.number(1) {
                        assert_eq!(got, map.number(1), "{value} is above 0");
                        continue;
                    }
                    let distance = (f64::from(got) - f64::from(value)).abs();
                    let nearest = distance_to_nearest(map, value);
                    assert!(distance <= nearest + 1e-6 * f64::from(size), "{value}: {got}");
                }
            }
        }
    }

    #[test]
    fn a_block_is_relative_to_its_largest_number() {
        let map = DynamicMap::signed();
        let values = [-3e-20_f32, 1.5e-20, 0.0, 1e-30];
        let (mut codes, mut scale) = ([9; 4], 0.0);
        map.quantize(&values, &mut codes, &mut scale);
        assert_eq!((scale, codes[0], codes[2], codes[3]), (3e-20, 0, 127, 127));
        assert!((map.number(codes[1]) - 0.5).abs() < 0.01);
        map.quantize(&[0.0; 4], &mut codes, &mut scale);
        assert_eq!((scale, codes), (0.0, [127; 4]));
    }
}
