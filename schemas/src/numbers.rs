//! Numbers as people read them. Rounding never makes a claim that was not measured: what is not all is not `100.0 %`.

/// `3,504,872`: people count in groups of three.
///
/// ```
/// use millstream_schemas::grouped;
/// assert_eq!([0, 999, 1000, 3_504_872].map(grouped), ["0", "999", "1,000", "3,504,872"]);
/// ```
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share from 0 to 1 in percent, to a tenth. What would be rounded to nothing or to all keeps its difference.
///
/// ```
/// use millstream_schemas::percent;
/// assert_eq!([0.0, 0.886, 1.0].map(percent), ["0.0 %", "88.6 %", "100.0 %"]);
/// assert_eq!([0.0004, 0.9996, 0.999_999].map(percent), ["<0.1 %", ">99.9 %", ">99.9 %"]);
/// ```
pub fn percent(share: f64) -> String {
    let tenths = (share * 1000.0).round();
    if share > 0.0 && tenths == 0.0 {
        "<0.1 %".into()
    } else if share < 1.0 && tenths == 1000.0 {
        ">99.9 %".into()
    } else {
        format!("{:.1} %", share * 100.0)
    }
}

/// A loss or another small measure: four decimals, or as many digits where they would all be zeros or too many to read.
///
/// ```
/// use millstream_schemas::decimal;
/// assert_eq!([0.0, 0.40123, 12.5, 0.000_012_34, 2.5e9].map(decimal), ["0.0000", "0.4012", "12.5000", "1.234e-5", "2.500e9"]);
/// assert_eq!(decimal(f64::NAN), "not a number");
/// ```
pub fn decimal(value: f64) -> String {
    if value.is_nan() {
        "not a number".into()
    } else if value.is_infinite() {
        if value > 0.0 { "infinite".into() } else { "-infinite".into() }
    } else if value != 0.0 && !(1e-3..1e6).contains(&value.abs()) {
        format!("{value:.3e}")
    } else {
        format!("{value:.4}")
    }
}
