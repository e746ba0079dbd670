use crate::numbers::grouped;

/// A number and what it counts, as English says it.
///
/// ```
/// use millstream_schemas::count;
/// assert_eq!(count(1, "row"), "1 row");
/// assert_eq!(count(0, "damaged row"), "0 damaged rows");
/// assert_eq!(count(2_u64, "class"), "2 classes");
/// assert_eq!(count(20_000, "row"), "20,000 rows");
/// ```
pub fn count(number: impl Copy + TryInto<u64>, noun: &str) -> String {
    // More than 2⁶⁴ of anything, or less than none, is nowhere counted.
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{} {}", grouped(number), plural(number, noun))
}

/// The noun as it stands beside a number; its last word is what is counted.
///
/// ```
/// use millstream_schemas::plural;
/// assert_eq!(["row group", "batch", "box", "entry", "day"].map(|noun| plural(3, noun)).join(" "),
///            "row groups batches boxes entries days");
/// assert_eq!(plural(1, "entry"), "entry");
/// assert_eq!(plural(2, "epoch"), "epochs");
/// ```
pub fn plural(number: impl TryInto<u64>, noun: &str) -> String {
    if matches!(number.try_into(), Ok(1)) {
        return noun.to_owned();
    }
    let hisses = ["s", "x", "z", "ch", "sh"].iter().any(|ending| noun.ends_with(ending)) && !noun.ends_with("epoch");
    match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{stem}ies"),
        _ if hisses => format!("{noun}es"),
        _ => format!("{noun}s"),
    }
}
