//! What a cell of a text table says: a word for nothing, a truth value, a number. Imports, predictions and encodings read cells alike by
//! these.

use std::borrow::Cow;

/// Words that stand for a missing value.
const MISSING: [&str; 7] = ["NA", "N/A", "NaN", "nan", "null", "NULL", "None"];

/// Whether a word stands for nothing.
pub fn is_missing_word(word: &str) -> bool {
    MISSING.contains(&word)
}

/// Whether a cell is empty, or says that its number is missing.
pub fn is_missing(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || is_missing_word(text)
}

/// What a word says that may be a truth value.
pub fn bool_of(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// A whole number as it is written by itself: what begins with 0 and goes on is a code, as of a place or an article.
pub fn int_of(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits.len() == 1 || !digits.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// A number with a point or an exponent, or one that is infinite.
pub fn float_of(text: &str) -> Option<f64> {
    let digits = text.trim_start_matches(['-', '+']);
    let infinite = ["inf", "Inf", "infinity", "Infinity"].contains(&digits);
    let code = digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    let long = digits.len() > 18 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.starts_with(|letter: char| letter.is_ascii_digit() || letter == '.');
    if (number && !code && !long) || infinite { text.parse().ok() } else { None }
}

/// A whole number, be it written as a float: 1 of `1`, `1.0` and `1e0`. None of a code such as `007`.
pub fn whole_number(text: &str) -> Option<i64> {
    /// Up to here every whole number has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let text = text.trim();
    let whole = |number: &f64| number.fract() == 0.0 && number.abs() <= EXACT;
    int_of(text).or_else(|| float_of(text).filter(whole).map(|number| number as i64))
}

/// Whether a text is a whole number that 64 bits do not hold: as a float it would lose digits.
pub fn is_long_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.len() > 18
        && !digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && text.parse::<i64>().is_err()
}

/// JSON with each whole number that 64 bits do not hold as a text, since what parses JSON makes it a float, which loses digits.
pub fn long_numbers_as_texts(json: &str) -> Cow<'_, str> {
    let bytes = json.as_bytes();
    let (mut written, mut copied) = (String::new(), 0);
    let (mut at, mut in_text) = (0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if in_text => at += 2,
            b'"' => {
                in_text = !in_text;
                at += 1;
            }
            b'-' | b'0'..=b'9' if !in_text => {
                let of_number = |byte: &&u8| matches!(**byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                let end = at + bytes[at..].iter().take_while(of_number).count();
                if is_long_number(&json[at..end]) {
                    written.push_str(&json[copied..at]);
                    written.push('"');
                    written.push_str(&json[at..end]);
                    written.push('"');
                    copied = end;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    written.push_str(&json[copied..]);
    Cow::Owned(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_beyond_64_bits_keep_their_digits_in_json() {
        for (json, wanted) in [
            (r#"{"id": 12345678901234567890}"#, r#"{"id": "12345678901234567890"}"#),
            (
                r#"[9223372036854775808,-9223372036854775809, 1]"#,
                r#"["9223372036854775808","-9223372036854775809", 1]"#,
            ),
            (r#"[9223372036854775807, -9223372036854775808]"#, r#"[9223372036854775807, -9223372036854775808]"#),
            (
                r#"[12345678901234567890.5, 12345678901234567890e2]"#,
                r#"[12345678901234567890.5, 12345678901234567890e2]"#,
            ),
            (r#"{"é\\": "a \" 12345678901234567890"}"#, r#"{"é\\": "a \" 12345678901234567890"}"#),
        ] {
            assert_eq!(long_numbers_as_texts(json), wanted);
        }
    }

    #[test]
    fn whole_numbers_are_the_same_however_they_are_written() {
        for (text, wanted) in [
            ("1", Some(1)),
            ("1.0", Some(1)),
            (" -2.00 ", Some(-2)),
            ("1e3", Some(1000)),
            ("+5", Some(5)),
            ("-0", Some(0)),
            ("0.0", Some(0)),
            ("1.5", None),
            ("007", None),
            ("inf", None),
            ("12345678901234567890", None),
            ("", None),
            ("-", None),
            ("NA", None),
            ("x", None),
        ] {
            assert_eq!(whole_number(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn words_for_nothing_and_for_truth_are_known() {
        assert!(["", " ", "NA", " nan ", "null"].iter().all(|text| is_missing(text)));
        assert!(["0", "no", "none"].iter().all(|text| !is_missing(text)));
        assert_eq!(["True", "FALSE", "yes"].map(bool_of), [Some(true), Some(false), None]);
    }
}
