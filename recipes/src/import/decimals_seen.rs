//! What stands in front of the decimals of a column's numbers, decided by all of them. Imports and predictions decide it by this one rule.

use millstream_schemas::cells::float_of;

use super::cell_number::CellNumber;

/// What stands in front of the decimals of a column's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decimals {
    /// A point, since nothing else was asked for.
    Point,
    /// A comma, or a point where no number has a comma and a point cannot stand between thousands.
    Comma,
    /// Of some numbers a comma and of others a point, which may stand between thousands.
    Both,
    /// A point in every number that has a sign, and each of these may be thousands.
    Thousands,
}

/// The numbers of a column where decimals may have a comma, counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DecimalsSeen {
    commas: u64,
    points: u64,
    /// Of those with a point the ones that may be thousands.
    thousands: u64,
}

impl DecimalsSeen {
    /// Counts a text without blanks around it, where it is a number; `decimal_comma` says whether a comma may stand in front of decimals.
    pub(crate) fn count(&mut self, text: &str, decimal_comma: bool) {
        let number = CellNumber::of(text, decimal_comma);
        if float_of(text).is_some() {
            self.points += u64::from(text.contains('.'));
            self.thousands += u64::from(matches!(number, CellNumber::Thousands(_)));
        } else {
            self.commas += u64::from(number.has_comma());
        }
    }

    /// Whether a number has a comma in front of its decimals.
    pub(super) fn has_commas(self) -> bool {
        self.commas > 0
    }

    /// Whether a number has a point.
    pub(super) fn has_points(self) -> bool {
        self.points > 0
    }

    /// What stands in front of the decimals of a column of these, where a comma may.
    pub(crate) fn decimals(self) -> Decimals {
        match self {
            Self { commas: 1.., points: 1.., .. } => Decimals::Both,
            Self { points: 1.., .. } if self.points == self.thousands => Decimals::Thousands,
            _ => Decimals::Comma,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_point_is_beside_decimal_commas_is_decided_by_all_numbers() {
        for (numbers, wanted) in [
            (&["1,5", "2"][..], Decimals::Comma),
            (&["1.234", "12.5"], Decimals::Comma),
            (&["1,5", "1.5"], Decimals::Both),
            (&["1.234", "12.500", "3"], Decimals::Thousands),
            (&["x"], Decimals::Comma),
        ] {
            let mut seen = DecimalsSeen::default();
            numbers.iter().for_each(|text| seen.count(text, true));
            assert_eq!(seen.decimals(), wanted, "{numbers:?}");
        }
        let mut seen = DecimalsSeen::default();
        ["1,5", "1.234"].iter().for_each(|text| seen.count(text, false));
        assert!(!seen.has_commas() && seen.has_points());
        assert_eq!(seen.decimals(), Decimals::Comma);
    }
}
