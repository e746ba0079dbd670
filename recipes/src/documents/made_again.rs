//! What the card of a search says of making it again.

use std::collections::BTreeMap;

use millstream_schemas::{count, shell_word};

use crate::pages::markdown::code;
use crate::run_files::RECIPE_FILE;
use crate::search::SECONDS;

/// What decides whether the trials of a search come out the same when it is made again.
#[derive(Clone, Copy, Debug)]
pub(super) struct MadeAgain<'a> {
    /// The name of the study's folder.
    pub(super) folder: &'a str,
    /// What the command line changed of the recipe.
    pub(super) changes: &'a [String],
    /// Environment variables that its paths name.
    pub(super) variables: &'a BTreeMap<String, String>,
    /// The name of the proposer.
    pub(super) proposer: &'a str,
    /// Whether what came of trials decides what is proposed, and whether rules hold them against each other.
    pub(super) learns: bool,
    pub(super) has_rules: bool,
    /// Whether seconds are among the figures that decide.
    pub(super) takes_time: bool,
    /// Processes that took trials, and whether some did so at the same time.
    pub(super) workers: usize,
    pub(super) is_shared: bool,
    /// A run of it, as a path in the folder.
    pub(super) run: Option<&'a str>,
}

impl MadeAgain<'_> {
    /// Markdown.
    pub(super) fn markdown(self) -> String {
        let changes: Vec<String> = self.changes.iter().map(|change| code(change)).collect();
        let mut out = format!("\n## Again\n\nThe recipe as it was given lies in `{RECIPE_FILE}` beside the journal");
        out += &match changes.is_empty() {
            true => ".".into(),
            false => format!("; the command line changed {} of it.", changes.join(", ")),
        };
        let [from, to] = [self.folder.to_owned(), format!("{}-again", self.folder)].map(|word| shell_word(&word));
        let again = code(&format!("millstream search run {from} -o {to}"));
        let with = if changes.is_empty() { "" } else { ", with those changes" };
        if self.workers > 1 {
            let when = if self.is_shared { "some of them at the same time" } else { "one after another" };
            out += &format!(" {} worked on it, {when}.", count(self.workers, "process"));
        }
        out += &match self.depends_on_order() {
            true => format!(
                " What was proposed{} depended on which trials had ended by then, in whichever process, and that order cannot be had again: \
                 {again} searches by the same recipe{with}, with trials that may have other settings.",
                if self.has_rules { " and ended early" } else { "" }
            ),
            false => format!(" {again} makes all trials again{with}."),
        };
        if !self.variables.is_empty() {
            let values = self.variables.iter().map(|(name, value)| format!("{} {}", code(name), code(value)));
            out += &format!(
                " Its paths name environment variables, which were {} when the search began; these values hold where the environment does \
                 not say others.",
                values.collect::<Vec<_>>().join(", ")
            );
        }
        out + &self.proposed_again() + &self.run_again()
    }

    /// Whether other trials come of other processes.
    fn depends_on_order(self) -> bool {
        self.is_shared && (self.learns || self.has_rules)
    }

    /// Whether the same settings are proposed again.
    fn proposed_again(self) -> String {
        if self.depends_on_order() {
            return String::new();
        }
        let but = match self.learns && self.takes_time {
            true => format!(", unless {} has learned from `{SECONDS}`, which differ from time to time", self.proposer),
            false => String::new(),
        };
        format!(" Trials that end in the same order are proposed the same again{but}.")
    }

    fn run_again(self) -> String {
        let command = match self.run {
            None => "`millstream reproduce`".to_owned(),
            Some(run) => code(&format!("millstream reproduce {}", shell_word(&format!("{}/{run}", self.folder)))),
        };
        format!(" Each trial is a run of its own, which {command} makes again, whatever the others were.\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_study_of_several_processes_does_not_promise_the_same_trials_again() {
        let variables = BTreeMap::new();
        let alone = MadeAgain {
            folder: "kill",
            changes: &[],
            variables: &variables,
            proposer: "tpe",
            learns: true,
            has_rules: false,
            takes_time: false,
            workers: 1,
            is_shared: false,
            run: Some("trials/0003"),
        };
        let shared = MadeAgain { workers: 3, is_shared: true, ..alone };
        let promised = "`millstream search run kill -o kill-again` makes all trials again";
        let order = "that order cannot be had again";
        for (one, wanted, unwanted) in [
            (alone, [promised, "in the same order"], [order, "worked on it"]),
            (
                MadeAgain { workers: 2, ..alone },
                [promised, "2 processes worked on it, one after another."],
                [order, "at the same time"],
            ),
            (
                shared,
                [order, "3 processes worked on it, some of them at the same time."],
                [promised, "proposed the same again"],
            ),
            // of a grid it is known what comes next, whoever asks
            (MadeAgain { learns: false, ..shared }, [promised, "3 processes worked on it"], [order, "ended early"]),
            (
                MadeAgain { learns: false, has_rules: true, ..shared },
                [order, "What was proposed and ended early depended"],
                [promised, "proposed the same again"],
            ),
        ] {
            let said = one.markdown();
            assert!(said.contains("which `millstream reproduce kill/trials/0003` makes again"), "{said}");
            assert!(wanted.iter().all(|part| said.contains(part)), "{wanted:?} in {said}");
            assert!(!unwanted.iter().any(|part| said.contains(part)), "{unwanted:?} in {said}");
        }
    }
}
