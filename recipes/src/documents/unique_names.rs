use std::collections::{BTreeMap, BTreeSet};

/// Gives names of which no two are equal.
#[derive(Debug, Default)]
pub(super) struct UniqueNames {
    taken: BTreeSet<String>,
    /// The number that is tried next, by the name that was wanted.
    next: BTreeMap<String, u64>,
}

impl UniqueNames {
    /// A name as it is wanted, or where that is taken with the first number, from 2 on, that is free: `train-2`.
    pub(super) fn name(&mut self, wanted: &str) -> String {
        if self.taken.insert(wanted.to_owned()) {
            return wanted.to_owned();
        }
        let number = self.next.entry(wanted.to_owned()).or_insert(2);
        loop {
            let name = format!("{wanted}-{number}");
            *number += 1;
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_has_a_number_that_no_other_has() {
        let mut names = UniqueNames::default();
        let given: Vec<String> = ["a", "a-2", "a", "a", "b"].iter().map(|name| names.name(name)).collect();
        assert_eq!(given, ["a", "a-2", "a-3", "a-4", "b"]);
    }
}
