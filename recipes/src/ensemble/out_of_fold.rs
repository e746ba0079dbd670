//! What members give for rows that they were not trained on, brought together.

use millstream_compiler::fused::Combination;
use millstream_compiler::losses::PredictionKind;
use millstream_schemas::{Fingerprint, PredictionTargets, Predictions, PredictionsHeader, RowId, ScoresOf, shown};

use crate::RecipeError;

/// What a member gave for its own rows, by their index among all rows.
pub(super) struct HeldOut {
    pub(super) member: String,
    pub(super) predictions: Predictions,
    /// Of each row that it gave an answer for.
    pub(super) places: Vec<usize>,
}

/// What the mean of so many members is.
pub(super) fn mean(reads: PredictionKind, members: usize) -> Combination {
    let weights = vec![1.0 / members as f64; members];
    match reads {
        PredictionKind::Numbers => Combination::Scores { weights },
        _ => Combination::Probabilities { weights },
    }
}

/// What scores are read as.
pub(super) fn reads(scores_of: ScoresOf) -> PredictionKind {
    match scores_of {
        ScoresOf::Classes => PredictionKind::ClassScores,
        ScoresOf::Labels => PredictionKind::LabelScores,
        _ => PredictionKind::Numbers,
    }
}

/// Refuses a member whose classes are not those of the first.
///
/// # Errors
/// They are not.
pub(super) fn require_alike(
    first: (&str, &PredictionsHeader),
    own: (&str, &PredictionsHeader),
) -> Result<(), RecipeError> {
    let facts = |header: &PredictionsHeader| (header.scores_of, header.columns);
    if facts(first.1) == facts(own.1) && first.1.classes == own.1.classes {
        return Ok(());
    }
    let message = format!(
        "{} is of other classes than {}: its rows do not have all of them; `--stratify` spreads a column's values",
        shown(own.0),
        shown(first.0)
    );
    Err(RecipeError::mismatch("data.train", message))
}

/// One answer for each row that a member has not seen: of several members that have not, the mean, as their ensemble takes it. `model` is the
/// one that these stand for.
///
/// # Errors
/// There is no answer, or members are of other classes, or say other things of one row's target.
pub(super) fn joined(
    rows: &[RowId],
    held_out: &[HeldOut],
    model: Fingerprint,
    data: Fingerprint,
) -> Result<Predictions, RecipeError> {
    let nothing = || RecipeError::mismatch("data.train", "no row that a member has not seen has a target");
    let first = &held_out.first().ok_or_else(nothing)?.predictions.header;
    let columns = first.columns;
    let mut answers: Vec<Vec<(usize, usize)>> = vec![Vec::new(); rows.len()];
    for (member, own) in held_out.iter().enumerate() {
        require_alike((&held_out[0].member, first), (&own.member, &own.predictions.header))?;
        own.places.iter().enumerate().for_each(|(at, place)| answers[*place].push((member, at)));
    }
    let header = PredictionsHeader { model, data, ..first.clone() };
    let (reads, mut found) = (reads(header.scores_of), Predictions::new(header));
    for (row, answers) in rows.iter().zip(answers).filter(|(_, answers)| !answers.is_empty()) {
        let part = |at: usize| at * columns..(at + 1) * columns;
        let scores: Vec<&[f32]> =
            answers.iter().map(|(member, at)| &held_out[*member].predictions.scores[part(*at)]).collect();
        found.scores.extend(mean(reads, scores.len()).apply(reads, columns, &scores)?);
        found.rows.push(row.clone());
        let (member, at) = answers[0];
        match (&mut found.targets, &held_out[member].predictions.targets) {
            (PredictionTargets::Classes(into), PredictionTargets::Classes(from)) => into.push(from[at]),
            (PredictionTargets::Numbers(into), PredictionTargets::Numbers(from)) => {
                into.extend_from_slice(&from[part(at)]);
            }
            _ => return Err(RecipeError::mismatch("data.targets", "members have targets of several kinds")),
        }
    }
    if found.rows.is_empty() { Err(nothing()) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(member: &str, places: &[usize], scores: &[f32], classes: &[u32]) -> HeldOut {
        let header = PredictionsHeader {
            version: PredictionsHeader::VERSION,
            scores_of: ScoresOf::Classes,
            columns: 2,
            classes: vec!["a".into(), "b".into()],
            model: Fingerprint::default(),
            data: Fingerprint::default(),
        };
        let rows = (0..classes.len() as u32).map(|row| RowId { file: "part".into(), row_group: 0, row }).collect();
        let (scores, targets) = (scores.to_vec(), PredictionTargets::Classes(classes.to_vec()));
        HeldOut {
            member: member.into(),
            predictions: Predictions { header, rows, scores, targets },
            places: places.to_vec(),
        }
    }

    #[test]
    fn each_row_has_the_mean_of_those_that_have_not_seen_it_under_its_own_name() {
        let rows: Vec<RowId> = (0..4).map(|row| RowId { file: "all".into(), row_group: 1, row }).collect();
        let parts = [of("one", &[3, 0], &[0.0, 0.0, 5.0, 1.0], &[1, 0]), of("two", &[3], &[0.0, 4.0], &[1])];
        let found = joined(&rows, &parts, Fingerprint::of_bytes(b"m"), Fingerprint::of_bytes(b"d")).unwrap();
        assert_eq!(found.rows, [rows[0].clone(), rows[3].clone()]);
        assert_eq!(found.targets, PredictionTargets::Classes(vec![0, 1]));
        assert_eq!(found.header.model, Fingerprint::of_bytes(b"m"));
        let probability =
            |scores: &[f32]| f64::from(scores[1]).exp() / scores.iter().map(|x| f64::from(*x).exp()).sum::<f64>();
        assert!((probability(&found.scores[..2]) - 1.0 / (1.0 + 4.0_f64.exp())).abs() < 1e-6);
        let wanted = (0.5 + 1.0 / (1.0 + (-4.0_f64).exp())) / 2.0;
        assert!((probability(&found.scores[2..]) - wanted).abs() < 1e-6, "{:?}", found.scores);
        assert!(joined(&rows, &[], Fingerprint::default(), Fingerprint::default()).is_err());
    }

    #[test]
    fn members_of_other_classes_are_told_by_their_headers_and_not_after_all_have_answered() {
        let first = of("one", &[0], &[0.0, 0.0], &[1]);
        let header = &first.predictions.header;
        let mut other = of("two", &[1], &[0.0, 4.0], &[1]);
        assert!(require_alike(("one", header), ("two", &other.predictions.header)).is_ok());
        other.predictions.header.classes[1] = "c".into();
        let wanted = "two is of other classes than one: its rows do not have all of them";
        let refused = require_alike(("one", header), ("two", &other.predictions.header));
        assert!(refused.unwrap_err().to_string().contains(wanted));
        let more = PredictionsHeader { columns: 3, ..header.clone() };
        assert!(require_alike(("one", header), ("two", &more)).unwrap_err().to_string().contains(wanted));
        let numbers = PredictionsHeader { scores_of: ScoresOf::Labels, ..header.clone() };
        assert!(require_alike(("one", header), ("two", &numbers)).unwrap_err().to_string().contains(wanted));
        let rows: Vec<RowId> = (0..2).map(|row| RowId { file: "all".into(), row_group: 0, row }).collect();
        let together = joined(&rows, &[first, other], Fingerprint::default(), Fingerprint::default());
        assert!(together.unwrap_err().to_string().contains(wanted));
    }
}
