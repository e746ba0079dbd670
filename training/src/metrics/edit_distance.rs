//! How far one sequence is from another.

/// The fewest insertions, deletions and replacements of one that make `b` of `a` (Levenshtein, "Binary codes capable of correcting
/// deletions, insertions, and reversals", 1966).
pub(super) fn edit_distance<T: PartialEq>(a: &[T], b: &[T]) -> u64 {
    let mut before: Vec<u64> = (0..=b.len() as u64).collect();
    for (row, left) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut before[0], row as u64 + 1);
        for (at, right) in b.iter().enumerate() {
            let replaced = diagonal + u64::from(left != right);
            diagonal = before[at + 1];
            before[at + 1] = replaced.min(before[at] + 1).min(diagonal + 1);
        }
    }
    before[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_textbook() {
        for (a, b, wanted) in [
            ("kitten", "sitting", 3),
            ("sunday", "saturday", 3),
            ("intention", "execution", 5),
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("abcd", "bcda", 2),
        ] {
            assert_eq!(edit_distance(a.as_bytes(), b.as_bytes()), wanted, "{a} {b}");
            assert_eq!(edit_distance(b.as_bytes(), a.as_bytes()), wanted, "{b} {a}");
        }
    }
}
