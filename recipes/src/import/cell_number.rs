//! The number of a cell of a table, with a point or a comma in front of its decimals. Imports and predictions read it by this one rule.

/// A number as a cell has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum CellNumber {
    /// With a comma in front of its decimals.
    Comma(f64),
    /// It is none.
    NoNumber,
    /// With a point there, or without decimals.
    Point(f64),
    /// Where a comma stands in front of decimals, with points that may stand between thousands: `1.234`. The number that it is if they do
    /// not, where it is one.
    Thousands(Option<f64>),
}

impl CellNumber {
    /// Of a text without blanks around it; `decimal_comma` says whether a comma may stand in front of decimals.
    pub(crate) fn of(text: &str, decimal_comma: bool) -> Self {
        if decimal_comma && let Some(number) = with_comma(text) {
            return Self::Comma(number);
        }
        let number = text.parse().ok();
        match number {
            number if decimal_comma && are_thousands(text, '.', ',') => Self::Thousands(number),
            Some(number) => Self::Point(number),
            None => Self::NoNumber,
        }
    }

    /// Whether it has a comma in front of its decimals.
    pub(crate) fn has_comma(self) -> bool {
        matches!(self, Self::Comma(_))
    }

    /// Its value, where points stand in front of decimals.
    pub(crate) fn value(self) -> Option<f64> {
        match self {
            Self::Comma(number) | Self::Point(number) => Some(number),
            Self::Thousands(number) => number,
            Self::NoNumber => None,
        }
    }
}

/// Of a text with a comma in front of its decimals, and points between thousands or none: `0,1`, `1.234,5`, `1,5e-3`.
fn with_comma(text: &str) -> Option<f64> {
    let (digits, exponent) = text.find(['e', 'E']).map_or((text, ""), |at| text.split_at(at));
    if !digits.contains(',') || !is_parted(digits, '.', ',') {
        return None;
    }
    let plain = digits.replace('.', "").replace(',', ".") + exponent;
    plain.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Whether it is a number of thousands with this letter between them, and may be one with this letter in front of its decimals: `1,234`
/// of commas. What begins with 0 is none.
pub(super) fn are_thousands(text: &str, between: char, point: char) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    text.contains(between) && !unsigned.starts_with('0') && is_parted(text, between, point)
}

/// Whether it is digits, with this letter between thousands, if any, and this one in front of a fraction.
pub(super) fn is_parted(text: &str, thousands: char, point: char) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once(point).unwrap_or((unsigned, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut groups = whole.split(thousands);
    let first = groups.next().unwrap_or_default();
    let is_first = are_digits(first) && (first.len() <= 3 || first.len() == whole.len());
    is_first && groups.all(|group| group.len() == 3 && are_digits(group)) && are_digits(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_stands_in_front_of_decimals_where_that_is_asked_for_and_no_point_beside_it_is_guessed_at() {
        use CellNumber::{Comma, NoNumber, Point, Thousands};
        for (text, with_comma, without) in [
            ("0,1", Comma(0.1), NoNumber),
            ("-1.234,5", Comma(-1234.5), NoNumber),
            ("1,5e-3", Comma(0.0015), NoNumber),
            ("1.234", Thousands(Some(1.234)), Point(1.234)),
            ("1.234.567", Thousands(None), NoNumber),
            ("0.234", Point(0.234), Point(0.234)),
            ("12.5", Point(12.5), Point(12.5)),
            ("7", Point(7.0), Point(7.0)),
            ("1,234.5", NoNumber, NoNumber),
            ("1,234,567", NoNumber, NoNumber),
            ("1,5e", NoNumber, NoNumber),
            ("1,5 %", NoNumber, NoNumber),
            ("a,5", NoNumber, NoNumber),
        ] {
            assert_eq!([true, false].map(|comma| CellNumber::of(text, comma)), [with_comma, without], "{text}");
        }
    }

    #[test]
    fn imports_and_predictions_take_the_same_value() {
        for (text, value) in [("1,5", Some(1.5)), ("1.5", Some(1.5)), ("1.234", Some(1.234)), ("x", None)] {
            assert_eq!(CellNumber::of(text, true).value(), value, "{text}");
        }
        assert!(CellNumber::of("1,5", true).has_comma() && !CellNumber::of("1.5", true).has_comma());
    }
}
