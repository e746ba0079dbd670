//! When a trial is not worth going on with: rows of a catalog, each a pure function of what was reported.

mod asha;
mod course;
mod hyperband;
mod median;
mod patience;
mod percentile;
mod quantiles;
mod rungs;
mod stopping_function;
mod stopping_kind;
mod stopping_rule;
mod successive_halving;
mod threshold;

use std::sync::OnceLock;

use millstream_schemas::choice::Catalog;

pub use course::Course;
pub use stopping_function::{Decision, StoppingFunction};
pub use stopping_kind::{Build, StoppingKind};
pub use stopping_rule::StoppingRule;

/// The stopping rules of this crate. More rows are added by [`Catalog::with`].
pub fn standard() -> &'static Catalog<StoppingKind> {
    static CATALOG: OnceLock<Catalog<StoppingKind>> = OnceLock::new();
    CATALOG.get_or_init(|| {
        Catalog::new([
            asha::RULE,
            hyperband::RULE,
            median::RULE,
            patience::RULE,
            percentile::RULE,
            successive_halving::RULE,
            threshold::RULE,
        ])
    })
}

#[cfg(test)]
mod tests {
    use millstream_schemas::choice::Choice;
    use serde_json::{Value, json};

    use super::*;

    fn chosen(name: &str, options: Value) -> Result<StoppingRule, millstream_schemas::ChoiceError> {
        StoppingRule::choose(standard(), &Choice::new(name, options), "search.stopping")
    }

    #[test]
    fn rows_are_whole() {
        for row in standard().rows() {
            assert!(row.summary.ends_with('.') && row.documentation.len() > row.summary.len(), "{}", row.name);
            for sample in row.samples {
                let rule = chosen(row.name, serde_json::from_str(sample).unwrap()).unwrap();
                let again = chosen(row.name, rule.choice().options.clone()).unwrap();
                assert_eq!(again.choice(), rule.choice());
            }
        }
    }

    #[test]
    fn values_that_make_no_sense_are_refused_by_name() {
        for (name, options, message) in [
            ("asha", json!({"reduction_factor": 1}), "reduction_factor is between 2 and 1000, got 1"),
            ("asha", json!({"min_steps": 0}), "min_steps is 1 or more, got 0"),
            ("asha", json!({"min_steps": 4, "max_steps": 3}), "max_steps is min_steps or more, got 3"),
            ("hyperband", json!({"max_steps": 0}), "max_steps is min_steps or more, got 0"),
            ("median", json!({"interval_steps": 0}), "interval_steps is 1 or more, got 0"),
            ("median", json!({"least_trials": 0}), "least_trials is 1 or more, got 0"),
            ("patience", json!({"patience": 2, "min_gain": -1}), "min_gain is a finite number of 0 or more, got -1"),
            ("percentile", json!({"percentile": 101}), "percentile is between 0 and 100, got 101"),
            ("successive_halving", json!({"min_steps": 0}), "min_steps is 1 or more, got 0"),
            ("threshold", json!({}), "give `lower`, `upper` or both"),
            ("threshold", json!({"lower": 1, "upper": 0}), "lower is at most upper, got 1 and 0"),
        ] {
            let wanted = format!("search.stopping.{name}: {message}");
            assert_eq!(chosen(name, options).unwrap_err().to_string(), wanted);
        }
    }
}
