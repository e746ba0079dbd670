//! What a program depends on that only streams and augments.

use std::collections::BTreeSet;

use crate::command::{ask, cargo, run};

/// Its dependencies, ours included, are fewer than this.
const TOO_MANY: usize = 120;
/// Crates that only training needs.
const OF_TRAINING: [&str; 4] = ["millstream-compiler", "millstream-runtime", "millstream-training", "ort"];

/// Counts the dependencies without the feature `training`, and builds an example without it.
pub(crate) fn check() -> Result<String, String> {
    let tree = ["tree", "--locked", "--package", "millstream", "--no-default-features"];
    let plain = ["--edges", "normal", "--prefix", "none", "--no-dedupe"];
    let listed = ask(&mut cargo(&[&tree[..], &plain].concat())).ok_or("`cargo tree` failed")?;
    let summary = judged(&listed)?;
    let example = ["--package", "millstream", "--no-default-features", "--example", "rows_in_memory"];
    run(&mut cargo(&[&["check", "--locked"][..], &example].concat()))?;
    Ok(summary)
}

/// Names with versions, once each, from `cargo tree`.
fn judged(listed: &str) -> Result<String, String> {
    let crates: BTreeSet<(&str, &str)> = listed
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?))
        })
        .collect();
    if !crates.iter().any(|(name, _)| *name == "millstream-pipeline") {
        return Err("`cargo tree` lists no millstream-pipeline".into());
    }
    if let Some((name, _)) = crates.iter().find(|(name, _)| OF_TRAINING.contains(name)) {
        return Err(format!("without the feature `training`, `{name}` is built all the same"));
    }
    if crates.len() >= TOO_MANY {
        return Err(format!(
            "{} crates without the feature `training`, wanted fewer than {TOO_MANY}; `cargo tree -p millstream \
             --no-default-features -e normal -i CRATE` says who brings one",
            crates.len()
        ));
    }
    Ok(format!("{} crates", crates.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_are_counted_once_and_too_many_or_those_of_training_are_refused() {
        let few = "millstream v0.1.0 (/x)\nmillstream-pipeline v0.1.0 (/x/pipeline)\nsyn v2.0.1\nsyn v3.0.0\nsyn v2.0.1 (*)\n";
        assert_eq!(judged(few), Ok("4 crates".into()));
        let many: String = (0..TOO_MANY).map(|number| format!("a{number} v1.0.0\n")).collect();
        for (listed, wanted) in [
            (few.to_owned() + "ort v2.0.0\n", "`ort` is built all the same"),
            (few.to_owned() + &many, "124 crates without the feature `training`"),
            ("error".to_owned(), "lists no millstream-pipeline"),
        ] {
            let problem = judged(&listed).expect_err(wanted);
            assert!(problem.contains(wanted), "{problem}");
        }
    }
}
