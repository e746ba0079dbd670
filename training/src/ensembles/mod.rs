//! One model of several. What members gave for rows is read from files of predictions; a way to combine them is fitted to a part of the
//! rows, by pure functions of scores and labels, and measured on the rest. Each file of a row holds one way.

mod ensemble;
mod ensemble_function;
mod ensemble_kind;
mod ensemble_report;
mod fitted_ensemble;
mod given_weights;
mod greedy_soup;
mod hard_vote;
mod lbfgs;
mod log_space;
mod logit;
mod median;
mod member_scores;
mod mixture;
mod multinomial;
mod non_negative;
mod page;
mod probability;
mod rank;
mod row_split;
mod selection;
mod simplex;
mod soft_vote;
mod stacking;
mod uniform_soup;
mod weighted;

use std::sync::OnceLock;

use millstream_schemas::choice::Catalog;

pub use ensemble::Ensemble;
pub use ensemble_function::{EnsembleFunction, Fitted, FittedModel, Fitting, NoSoups, Soups};
pub use ensemble_kind::{Build, EnsembleKind, Worked};
pub use ensemble_report::{EnsembleReport, Gain, MeasuredMember};
pub use fitted_ensemble::{EnsembleMember, FitOptions, FittedEnsemble};
pub use member_scores::MemberScores;
pub use row_split::RowSplit;

/// The ways of this crate. More rows are added by [`Catalog::with`].
pub fn standard() -> &'static Catalog<EnsembleKind> {
    static CATALOG: OnceLock<Catalog<EnsembleKind>> = OnceLock::new();
    CATALOG.get_or_init(|| {
        Catalog::new([
            greedy_soup::ENSEMBLE,
            hard_vote::ENSEMBLE,
            logit::ENSEMBLE,
            median::ENSEMBLE,
            probability::ENSEMBLE,
            rank::ENSEMBLE,
            selection::ENSEMBLE,
            soft_vote::ENSEMBLE,
            stacking::ENSEMBLE,
            uniform_soup::ENSEMBLE,
            weighted::ENSEMBLE,
        ])
    })
}

#[cfg(test)]
mod tests {
    use millstream_schemas::choice::Row;
    use millstream_schemas::{Choice, ChoiceError, RowId};
    use serde_json::{Value, json};

    use super::member_scores::tests::of_classes;
    use super::*;
    use crate::metrics::{self, MetricSet};
    use crate::{BoxError, TrainingError};

    fn chosen(name: &str, options: Value) -> Result<Ensemble, ChoiceError> {
        Ensemble::choose(standard(), &Choice::new(name, options), "--method")
    }

    /// Stands for running means of weights: the mean of the scores.
    struct MeanScores<'a>(&'a MemberScores);

    impl Soups for MeanScores<'_> {
        fn scores(&mut self, members: &[usize], rows: &[RowId]) -> Result<Vec<f32>, BoxError> {
            let places: Vec<usize> =
                rows.iter().map(|row| self.0.rows().iter().position(|own| own == row).unwrap()).collect();
            let part = self.0.of_rows(&places);
            let mean =
                |at: usize| members.iter().map(|member| part.scores(*member)[at]).sum::<f32>() / members.len() as f32;
            Ok((0..part.scores(0).len()).map(mean).collect())
        }
    }

    fn is_close(found: &Value, wanted: &Value) -> bool {
        match (found, wanted) {
            (Value::Number(found), Value::Number(wanted)) => {
                (found.as_f64().unwrap() - wanted.as_f64().unwrap()).abs() < 1e-4
            }
            (Value::Array(found), Value::Array(wanted)) => {
                found.len() == wanted.len() && found.iter().zip(wanted).all(|(a, b)| is_close(a, b))
            }
            (Value::Object(found), Value::Object(wanted)) => {
                found.len() == wanted.len()
                    && found.iter().all(|(name, value)| wanted.get(name).is_some_and(|other| is_close(value, other)))
            }
            (found, wanted) => found == wanted,
        }
    }

    #[test]
    fn every_row_fits_what_was_worked_by_hand() {
        for row in standard().rows() {
            assert!(row.summary.ends_with('.') && row.documentation.len() > row.summary.len(), "{}", row.name);
            assert!(!row.samples.is_empty(), "{}", row.name);
            for sample in row.samples {
                let method = chosen(row.name, serde_json::from_str(sample.options).unwrap()).unwrap();
                let again = chosen(row.name, method.choice().options.clone()).unwrap();
                assert_eq!(method.choice(), again.choice());
                let schema = row.schema();
                let known = schema["properties"].as_object().map(|known| known.keys().cloned().collect::<Vec<_>>());
                let filled: Vec<_> = method.choice().options.as_object().unwrap().keys().cloned().collect();
                assert_eq!(filled, known.unwrap_or_default(), "{}", row.name);
                let members = of_classes(sample.columns, sample.members, sample.classes);
                let metrics = MetricSet::usual(members.reads());
                let mut soups = MeanScores(&members);
                let fitted = method
                    .fit(&mut Fitting { members: &members, metrics: &metrics, seed: 0, soups: &mut soups })
                    .unwrap();
                let (found, wanted) = (json!(fitted.model), serde_json::from_str(sample.wanted).unwrap());
                assert!(is_close(&found, &wanted), "{} {}: {found}, wanted {wanted}", row.name, sample.options);
                let read: FittedModel = serde_json::from_value(found).unwrap();
                assert_eq!(read, fitted.model, "{}", row.name);
            }
        }
    }

    #[test]
    fn notes_call_members_by_their_names_and_not_by_their_numbers() {
        let members = three_members();
        let (metrics, mut soups) = (MetricSet::usual(members.reads()), MeanScores(&members));
        let method = chosen("logit", json!({"calibrate": true})).unwrap();
        let mut fitting = Fitting { members: &members, metrics: &metrics, seed: 0, soups: &mut soups };
        let fitted = method.fit(&mut fitting).unwrap();
        // members are called by numbers from 0 here, and counted from 1
        for (note, name) in fitted.notes.iter().zip(["member 0", "member 1", "member 2"]) {
            assert!(note.contains(&format!("member `{name}`")), "{note}");
        }
        assert_eq!(fitted.notes.len(), 3);
    }

    #[test]
    fn a_soup_that_keeps_one_member_is_not_called_a_mean() {
        let greedy = standard().rows().iter().find(|row| row.name == "greedy_soup").unwrap();
        let notes = |sample: &Worked, members: &[&[f32]]| {
            let members = of_classes(sample.columns, members, sample.classes);
            let (metrics, mut soups) = (MetricSet::usual(members.reads()), MeanScores(&members));
            let mut fitting = Fitting { members: &members, metrics: &metrics, seed: 0, soups: &mut soups };
            chosen("greedy_soup", json!({})).unwrap().fit(&mut fitting).unwrap().notes
        };
        let [alone, several] = greedy.samples else { panic!("of one member, and of several") };
        let note = &notes(alone, alone.members)[0];
        assert!(note.starts_with("member 0 of the 3 members is kept alone") && !note.contains("in the mean"), "{note}");
        let note = &notes(several, several.members)[0];
        assert!(note.starts_with("2 of 3 members are in the mean"), "{note}");
        assert!(notes(alone, &alone.members[..1]).is_empty(), "nothing was chosen among one");
    }

    /// Rows of three classes; each of three members is wrong about another third of them.
    fn three_members() -> MemberScores {
        let classes: Vec<u32> = (0..90).map(|row| row % 3).collect();
        let own = |member: u32| -> Vec<f32> {
            let score = |row: u32, class: u32| {
                let is_wrong = row / 3 % 3 == member;
                let says = if is_wrong { (row + 1) % 3 } else { row % 3 };
                if class == says { 1.0 + (row % 7) as f32 / 10.0 } else { 0.0 }
            };
            (0..90).flat_map(|row| (0..3).map(move |class| score(row, class))).collect()
        };
        let all: Vec<Vec<f32>> = (0..3).map(own).collect();
        of_classes(3, &all.iter().map(Vec::as_slice).collect::<Vec<_>>(), &classes)
    }

    #[test]
    fn an_ensemble_is_measured_on_rows_that_it_was_not_fitted_to_beside_its_members_and_their_mean() {
        let members = three_members();
        let names = ["a", "b", "c"].map(|name| EnsembleMember {
            name: name.into(),
            model: format!("{name}.onnx"),
            output: None,
            fingerprint: Default::default(),
        });
        let metrics = MetricSet::usual(members.reads()).with_bootstrap(metrics::Bootstrap { resamples: 50, seed: 1 });
        for row in standard().rows() {
            let method = chosen(row.name, json!({})).unwrap();
            let options = FitOptions { method: &method, metrics: &metrics, holdout: 0.4, seed: 3 };
            let fitted = FittedEnsemble::fit(names.to_vec(), &members, &options, &mut MeanScores(&members)).unwrap();
            let wanted = if method.fits() { (54, 36) } else { (0, 90) };
            assert_eq!((fitted.split.fitted, fitted.split.measured), wanted, "{}", row.name);
            let report = &fitted.report;
            assert_eq!((report.ensemble.rows, report.members.len()), (wanted.1, 3), "{}", row.name);
            let mean = report.mean_of_members.get("accuracy").unwrap();
            let by_hand: f64 =
                report.members.iter().map(|member| member.evaluation.figure("accuracy").unwrap()).sum::<f64>() / 3.0;
            assert!((mean - by_hand).abs() < 1e-12 && report.mean_of_members.get("loss").is_some(), "{}", row.name);
            // two of three are right about every row
            let accuracy = report.ensemble.figure("accuracy").unwrap();
            assert!(accuracy >= mean && report.ensemble.interval("accuracy").is_some(), "{}: {accuracy}", row.name);
            if !matches!(row.name, "greedy_soup" | "rank" | "selection" | "stacking" | "weighted") {
                assert_eq!(accuracy, 1.0, "{}", row.name);
                let [low, _] = report.gain.interval.unwrap();
                assert!(low > 0.0 && report.gain.difference.unwrap() > 0.1, "{}: {:?}", row.name, report.gain);
            }
            let page = fitted.page("three <b>").unwrap();
            assert!(page.contains("The rows lie in a.parquet."), "{page}");
            assert!(page.contains("three &lt;b&gt;") && page.contains("mean of the members"), "{page}");
            let text = serde_json::to_string(&fitted).unwrap();
            let read: FittedEnsemble = serde_json::from_str(&text).unwrap();
            assert_eq!(read.model, fitted.model, "{}", row.name);
            let again = read.measure(&members, &metrics, 3, &mut MeanScores(&members)).unwrap();
            assert_eq!(again.ensemble.rows, 90);
        }
    }

    #[test]
    fn members_that_tell_numbers_their_mean_and_their_ensemble_are_measured_with_intervals() {
        // each member errs by 1 on another third of the rows, up and down by turns
        let targets: Vec<f32> = (0..90).map(|row| (row * 37 % 90) as f32).collect();
        let own = |member: usize| {
            let error = |row: usize| match (row / 2 % 3 == member, row % 2) {
                (false, _) => 0.0,
                (true, 0) => 1.0,
                (true, _) => -1.0,
            };
            let scores: Vec<f32> = targets.iter().enumerate().map(|(row, target)| target + error(row)).collect();
            let targets = millstream_schemas::PredictionTargets::Numbers(targets.clone());
            let of = millstream_schemas::ScoresOf::Numbers;
            (member.to_string(), super::member_scores::tests::predictions(of, 1, &scores, targets))
        };
        let members = MemberScores::align((0..3).map(own).collect()).unwrap();
        let names: Vec<EnsembleMember> = (0..3)
            .map(|member| EnsembleMember {
                name: members.name(member).into(),
                model: format!("{member}.onnx"),
                output: None,
                fingerprint: Default::default(),
            })
            .collect();
        let metrics = MetricSet::usual(members.reads()).with_bootstrap(metrics::Bootstrap { resamples: 50, seed: 1 });
        // the mean errs by a third on all rows, the median on none
        for (name, least, most) in [
            ("logit", 0.111, 0.112),
            ("median", 0.0, 1e-9),
            ("selection", 0.1, 0.2),
            ("stacking", 0.1, 0.2),
            ("weighted", 0.1, 0.2),
        ] {
            let method = chosen(name, json!({})).unwrap();
            let options = FitOptions { method: &method, metrics: &metrics, holdout: 0.5, seed: 3 };
            let fitted = FittedEnsemble::fit(names.clone(), &members, &options, &mut NoSoups).unwrap();
            let report = &fitted.report;
            let loss = report.ensemble.figure("loss").unwrap();
            assert!((least..=most).contains(&loss), "{name}: {loss}");
            assert!(report.ensemble.interval("loss").is_some(), "{name}");
            assert!(report.members.iter().all(|member| member.evaluation.interval("loss").is_some()), "{name}");
            let by_hand =
                report.members.iter().map(|member| member.evaluation.figure("loss").unwrap()).sum::<f64>() / 3.0;
            assert!((report.mean_of_members.get("loss").unwrap() - by_hand).abs() < 1e-12 && by_hand > loss, "{name}");
            assert!(fitted.page("numbers").unwrap().contains("mean of the members"), "{name}");
            let text = serde_json::to_string(&fitted).unwrap();
            assert_eq!(serde_json::from_str::<FittedEnsemble>(&text).unwrap().model, fitted.model, "{name}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_words() {
        let members = three_members();
        let metrics = MetricSet::usual(members.reads());
        let fit = |name: &str, options: Value| {
            let method = chosen(name, options).unwrap();
            method.fit(&mut Fitting { members: &members, metrics: &metrics, seed: 0, soups: &mut NoSoups }).map_err(
                |error| {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    format!("{error}: {}", cause.unwrap_or_default())
                },
            )
        };
        for (name, options, wanted) in [
            ("soft_vote", json!({"weights": [1, 2]}), "2 weights for 3 members; give one for each"),
            ("selection", json!({"by": "acuracy"}), "no figure is called `acuracy`; there are accuracy"),
            ("greedy_soup", json!({}), "takes a recipe"),
        ] {
            let message = fit(name, options).unwrap_err();
            assert!(message.contains(wanted), "{message}");
        }
        for (name, options, wanted) in [
            ("hard_vote", json!({"weights": [0, 0]}), "not all of them 0"),
            ("selection", json!({"rounds": 0}), "rounds is between 1 and 1000, got 0"),
            ("selection", json!({"bag_share": 0.0}), "bag_share is a finite number above 0"),
            ("stacking", json!({"l2": -1.0}), "l2 is a finite number of 0 or more"),
            ("stackin", json!({}), "did you mean `stacking`?"),
            ("weighted", json!({"by": "loss"}), "unknown option `by`"),
        ] {
            let message = chosen(name, options).unwrap_err().to_string();
            assert!(message.contains(wanted), "{message}");
        }
        let numbers = super::member_scores::tests::predictions(
            millstream_schemas::ScoresOf::Numbers,
            1,
            &[1.0, 2.0],
            millstream_schemas::PredictionTargets::Numbers(vec![1.0, 2.5]),
        );
        let numbers = MemberScores::align(vec![("a".into(), numbers.clone()), ("b".into(), numbers)]).unwrap();
        let metrics = MetricSet::usual(numbers.reads());
        let fit = |name: &str| {
            chosen(name, json!({})).unwrap().fit(&mut Fitting {
                members: &numbers,
                metrics: &metrics,
                seed: 0,
                soups: &mut NoSoups,
            })
        };
        for name in ["logit", "median", "selection", "stacking", "weighted"] {
            assert!(fit(name).is_ok(), "{name}");
        }
        let message = fit("probability").unwrap_err().to_string();
        assert!(message.contains("`probability` is not for scores of numbers"), "{message}");
        assert!(matches!(fit("rank"), Err(TrainingError::Ensemble { .. })));
    }
}
