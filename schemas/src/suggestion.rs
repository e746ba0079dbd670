/// The candidate that looks most like `word` (Damerau-Levenshtein), if any is close enough to be a slip of the fingers.
///
/// ```
/// assert_eq!(millstream_schemas::nearest("epocs", ["epochs", "optimizer"]), Some("epochs"));
/// assert_eq!(millstream_schemas::nearest("zebra", ["epochs", "optimizer"]), None);
/// ```
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count().max(3) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
