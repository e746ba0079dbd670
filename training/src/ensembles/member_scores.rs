use std::collections::{HashMap, HashSet};

use millstream_compiler::losses::PredictionKind;
use millstream_schemas::{Fingerprint, PredictionTargets, Predictions, RowId, ScoresOf, Tensor, count, shown};

use super::log_space::{log_sigmoid, negative_log_likelihood};
use crate::metrics::{Evaluation, MeasuredBatch, Measurement, MetricSet};
use crate::{RowLoss, TrainingError};

/// What the members of an ensemble gave for the same rows, in the same order, and what is true of these.
#[derive(Clone, Debug)]
pub struct MemberScores {
    /// What the members are called.
    names: Vec<String>,
    /// The data that the rows are of, with their labels; none where members name others.
    data: Option<Fingerprint>,
    scores_of: ScoresOf,
    columns: usize,
    classes: Vec<String>,
    rows: Vec<RowId>,
    scores: Vec<Vec<f32>>,
    targets: PredictionTargets,
}

/// Rows that were drawn and are measured together.
const DRAWN_AT_A_TIME: usize = 4096;

/// What a member's predictions are refused for.
fn refused(name: &str, message: String) -> TrainingError {
    TrainingError::Ensemble { message: format!("{}: {message}", shown(name)) }
}

impl MemberScores {
    /// Brings the predictions of members, each with a name for messages, into the order of the first one's rows.
    ///
    /// # Errors
    /// There is no member or no row, scores are no numbers, or members differ in their classes, their order, the rows or what is true of
    /// these.
    pub fn align(members: Vec<(String, Predictions)>) -> Result<Self, TrainingError> {
        let mut members = members.into_iter();
        let Some((first_name, first)) = members.next() else {
            return Err(TrainingError::Ensemble { message: "an ensemble has members; name some".into() });
        };
        require_whole(&first_name, &first)?;
        let places: HashMap<&RowId, usize> = first.rows.iter().enumerate().map(|(at, row)| (row, at)).collect();
        if places.len() != first.rows.len() {
            return Err(refused(&first_name, "a row is in it twice".into()));
        }
        let (mut scores, mut names) = (Vec::new(), vec![first_name.clone()]);
        let mut data = Some(first.header.data.clone());
        for (name, own) in members {
            require_whole(&name, &own)?;
            require_same_classes((&first_name, &first), (&name, &own))?;
            if own.rows.len() != first.rows.len() {
                let message = format!(
                    "it is of {}, and {} of {}; predict all with the same data",
                    count(own.rows.len() as u64, "row"),
                    shown(&first_name),
                    first.rows.len()
                );
                return Err(refused(&name, message));
            }
            let columns = first.header.columns;
            let mut ordered = vec![f32::NAN; own.scores.len()];
            let mut seen = vec![false; own.rows.len()];
            for (at, row) in own.rows.iter().enumerate() {
                let Some(place) = places.get(row).copied().filter(|place| !seen[*place]) else {
                    let message = format!(
                        "it has another row than {}: {row}; predict all with the same data",
                        shown(&first_name)
                    );
                    return Err(refused(&name, message));
                };
                seen[place] = true;
                if !same_target(&first.targets, place, &own.targets, at, columns) {
                    let message = format!(
                        "{row} has another target than in {}; the data have changed in between",
                        shown(&first_name)
                    );
                    return Err(refused(&name, message));
                }
                ordered[place * columns..(place + 1) * columns]
                    .copy_from_slice(&own.scores[at * columns..(at + 1) * columns]);
            }
            scores.push(ordered);
            data = data.filter(|data| *data == own.header.data);
            names.push(name);
        }
        drop(places);
        let Predictions { header, rows, scores: own, targets } = first;
        scores.insert(0, own);
        Ok(Self {
            names,
            data,
            scores_of: header.scores_of,
            columns: header.columns,
            classes: header.classes,
            rows,
            scores,
            targets,
        })
    }

    /// As [`MemberScores::align`], of the rows alone that all members have, and how many others are left out: of those that answer for what
    /// they were not trained on, each has rows of its own.
    ///
    /// # Errors
    /// As [`MemberScores::align`], and no row is in all.
    pub fn align_common(mut members: Vec<(String, Predictions)>) -> Result<(Self, u64), TrainingError> {
        let mut held: HashMap<RowId, usize> = HashMap::new();
        for (name, own) in &members {
            require_whole(name, own)?;
            let rows: HashSet<&RowId> = own.rows.iter().collect();
            if rows.len() != own.rows.len() {
                return Err(refused(name, "a row is in it twice".into()));
            }
            for row in rows {
                *held.entry(row.clone()).or_default() += 1;
            }
        }
        let all = held.len();
        held.retain(|_, count| *count == members.len());
        if let (true, Some((name, _))) = (held.is_empty(), members.last()) {
            return Err(refused(name, "no row is in it that all others have; predict all with the same data".into()));
        }
        for (_, own) in &mut members {
            retain(own, |row| held.contains_key(row));
        }
        Ok((Self::align(members)?, (all - held.len()) as u64))
    }

    /// How many members there are.
    pub fn members(&self) -> usize {
        self.scores.len()
    }

    /// What a member is called.
    pub fn name(&self, member: usize) -> &str {
        &self.names[member]
    }

    /// The data that the rows are of, with their labels; none where the members' predictions are of several.
    pub fn data(&self) -> Option<&Fingerprint> {
        self.data.as_ref()
    }

    /// Scores of a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Names of the classes or labels, in the order of the scores.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Which rows they are.
    pub fn rows(&self) -> &[RowId] {
        &self.rows
    }

    /// What the scores are of.
    pub fn scores_of(&self) -> ScoresOf {
        self.scores_of
    }

    /// What the members' outputs are read as.
    pub fn reads(&self) -> PredictionKind {
        match self.scores_of {
            ScoresOf::Classes => PredictionKind::ClassScores,
            ScoresOf::Labels => PredictionKind::LabelScores,
            _ => PredictionKind::Numbers,
        }
    }

    /// Row-major `[rows, columns]` of a member.
    pub fn scores(&self, member: usize) -> &[f32] {
        &self.scores[member]
    }

    /// Of all members.
    pub fn all_scores(&self) -> Vec<&[f32]> {
        self.scores.iter().map(Vec::as_slice).collect()
    }

    /// What is true of the rows.
    pub fn targets(&self) -> &PredictionTargets {
        &self.targets
    }

    /// Of some rows alone, by their numbers.
    #[must_use]
    pub fn of_rows(&self, rows: &[usize]) -> Self {
        let columns = self.columns;
        let scores = |all: &Vec<f32>| {
            rows.iter().flat_map(|row| all[row * columns..(row + 1) * columns].iter().copied()).collect()
        };
        let targets = match &self.targets {
            PredictionTargets::Classes(classes) => {
                PredictionTargets::Classes(rows.iter().map(|row| classes[*row]).collect())
            }
            PredictionTargets::Numbers(numbers) => PredictionTargets::Numbers(scores(numbers)),
        };
        Self {
            names: self.names.clone(),
            data: self.data.clone(),
            scores_of: self.scores_of,
            columns,
            classes: self.classes.clone(),
            rows: rows.iter().map(|row| self.rows[*row].clone()).collect(),
            scores: self.scores.iter().map(scores).collect(),
            targets,
        }
    }

    /// Of one member alone.
    #[must_use]
    pub(super) fn of_member(&self, member: usize) -> Self {
        Self {
            names: vec![self.names[member].clone()],
            data: self.data.clone(),
            scores_of: self.scores_of,
            columns: self.columns,
            classes: self.classes.clone(),
            rows: self.rows.clone(),
            scores: vec![self.scores[member].clone()],
            targets: self.targets.clone(),
        }
    }

    /// With one more, row-major `[rows, columns]`.
    #[must_use]
    pub(super) fn with_scores(mut self, scores: &[f32]) -> Self {
        self.names.push("ensemble".into());
        self.scores.push(scores.to_vec());
        self
    }

    /// Measures scores of these rows, row-major `[rows, columns]`. The loss is the mean of −ln of the probability of the class, of labels the
    /// cross-entropy of each, of numbers the squared distance.
    ///
    /// # Errors
    /// They are not as many as there are rows, the metrics are of something else, or hold more than they may.
    pub fn measure(&self, scores: &[f32], metrics: &MetricSet) -> Result<Evaluation, TrainingError> {
        let shape = [self.rows.len(), self.columns];
        let weights = vec![1.0; self.rows.len()];
        let targets = self.targets_tensor();
        let batch = MeasuredBatch::new((&shape, scores), &targets, &weights, self.reads())?;
        let mut measurement = Measurement::start(metrics, self.metric_classes())?;
        measurement.add(&batch, 0.0, self.rows.len() as f64)?;
        if metrics.bootstrap().is_some() {
            let losses = self.losses_of(scores).into_iter().map(|loss| RowLoss { loss, weight: 1.0 });
            measurement.add_row_losses(Some(&losses.collect::<Vec<_>>()));
        }
        metrics.require_fit(measurement.bytes_held())?;
        let found = measurement.finish_while(&mut || true).ok().flatten().ok_or(TrainingError::NothingLabelled)?;
        Ok(Evaluation { loss: self.loss(scores), ..found })
    }

    /// Measures a member on rows that were drawn, by their numbers, some as often as they were drawn, without copying more than some rows
    /// at a time. `losses` are those of all rows, as [`MemberScores::row_losses`] gives them.
    ///
    /// # Errors
    /// As [`MemberScores::measure`].
    pub fn measure_drawn(
        &self,
        member: usize,
        drawn: &[usize],
        losses: &[f64],
        metrics: &MetricSet,
    ) -> Result<Evaluation, TrainingError> {
        let (columns, own) = (self.columns, &self.scores[member]);
        let mut measurement = Measurement::start(metrics, self.metric_classes())?;
        let mut scores = Vec::with_capacity(DRAWN_AT_A_TIME.min(drawn.len()) * columns);
        for rows in drawn.chunks(DRAWN_AT_A_TIME) {
            let of = |all: &[f32], into: &mut Vec<f32>| {
                rows.iter().for_each(|row| into.extend_from_slice(&all[row * columns..(row + 1) * columns]));
            };
            scores.clear();
            of(own, &mut scores);
            let targets = match &self.targets {
                PredictionTargets::Classes(classes) => {
                    Tensor::i64([rows.len()], rows.iter().map(|row| i64::from(classes[*row])).collect::<Vec<_>>())
                }
                PredictionTargets::Numbers(numbers) => {
                    let mut part = Vec::with_capacity(scores.len());
                    of(numbers, &mut part);
                    Tensor::f32([rows.len(), columns], part)
                }
            };
            let (weights, shape) = (vec![1.0; rows.len()], [rows.len(), columns]);
            let batch = MeasuredBatch::new((&shape, &scores), &targets, &weights, self.reads())?;
            measurement.add(&batch, 0.0, rows.len() as f64)?;
            metrics.require_fit(measurement.bytes_held())?;
        }
        let found = measurement.finish_while(&mut || true).ok().flatten().ok_or(TrainingError::NothingLabelled)?;
        let loss = drawn.iter().map(|row| losses[*row]).sum::<f64>() / drawn.len() as f64;
        Ok(Evaluation { loss, ..found })
    }

    /// The loss of each row, of which [`MemberScores::loss`] is the mean.
    pub fn row_losses(&self, member: usize) -> Vec<f64> {
        self.losses_of(&self.scores[member])
    }

    fn losses_of(&self, scores: &[f32]) -> Vec<f64> {
        let rows = scores.chunks(self.columns);
        match &self.targets {
            PredictionTargets::Classes(classes) => {
                rows.zip(classes).map(|(scores, class)| negative_log_likelihood(scores, *class as usize)).collect()
            }
            PredictionTargets::Numbers(targets) => {
                let pair = |(score, target): (&f32, &f32)| self.number_loss(f64::from(*score), f64::from(*target));
                let of = |(scores, targets): (&[f32], &[f32])| {
                    scores.iter().zip(targets).map(pair).sum::<f64>() / self.columns as f64
                };
                rows.zip(targets.chunks(self.columns)).map(of).collect()
            }
        }
    }

    /// That of a label's score or a number.
    fn number_loss(&self, score: f64, target: f64) -> f64 {
        match self.scores_of {
            ScoresOf::Labels => -target * log_sigmoid(score) - (1.0 - target) * log_sigmoid(-score),
            _ => (score - target).powi(2),
        }
    }

    /// Classes as metrics take them.
    pub(super) fn metric_classes(&self) -> &[String] {
        if self.scores_of == ScoresOf::Classes { &self.classes } else { &[] }
    }

    fn targets_tensor(&self) -> Tensor {
        match &self.targets {
            PredictionTargets::Classes(classes) => {
                Tensor::i64([self.rows.len()], classes.iter().map(|class| i64::from(*class)).collect::<Vec<_>>())
            }
            PredictionTargets::Numbers(numbers) => Tensor::f32([self.rows.len(), self.columns], numbers.clone()),
        }
    }

    /// The loss of scores of these rows, a mean over them.
    pub fn loss(&self, scores: &[f32]) -> f64 {
        match &self.targets {
            PredictionTargets::Classes(classes) => {
                let rows = scores.chunks(self.columns).zip(classes);
                let sum: f64 = rows.map(|(scores, class)| negative_log_likelihood(scores, *class as usize)).sum();
                sum / classes.len() as f64
            }
            PredictionTargets::Numbers(targets) => {
                let pairs = scores.iter().zip(targets).map(|(score, target)| (f64::from(*score), f64::from(*target)));
                pairs.map(|(score, target)| self.number_loss(score, target)).sum::<f64>() / targets.len() as f64
            }
        }
    }
}

fn require_whole(name: &str, own: &Predictions) -> Result<(), TrainingError> {
    let (rows, columns) = (own.rows.len(), own.header.columns);
    let targets_fit = match &own.targets {
        PredictionTargets::Classes(classes) => {
            classes.len() == rows && classes.iter().all(|class| (*class as usize) < columns)
        }
        PredictionTargets::Numbers(numbers) => {
            numbers.len() == rows * columns && numbers.iter().all(|number| number.is_finite())
        }
    };
    let message = if rows == 0 || columns == 0 {
        "it holds no row"
    } else if own.scores.len() != rows * columns || !targets_fit {
        "it is not whole: rows, scores and targets do not fit each other"
    } else if own.header.scores_of == ScoresOf::Classes && own.header.classes.len() != columns {
        "it does not name as many classes as it has scores"
    } else if own.scores.iter().any(|score| !score.is_finite()) {
        "it has scores that are no numbers, which no mean can be taken of"
    } else {
        return Ok(());
    };
    Err(refused(name, message.into()))
}

/// Keeps some of the rows of what is whole, in their order.
fn retain(own: &mut Predictions, is_kept: impl Fn(&RowId) -> bool) {
    let columns = own.header.columns;
    let kept: Vec<usize> = (0..own.rows.len()).filter(|row| is_kept(&own.rows[*row])).collect();
    let of = |all: &[f32]| -> Vec<f32> {
        kept.iter().flat_map(|row| all[row * columns..(row + 1) * columns].iter().copied()).collect()
    };
    own.scores = of(&own.scores);
    own.targets = match &own.targets {
        PredictionTargets::Classes(classes) => {
            PredictionTargets::Classes(kept.iter().map(|row| classes[*row]).collect())
        }
        PredictionTargets::Numbers(numbers) => PredictionTargets::Numbers(of(numbers)),
    };
    own.rows = kept.iter().map(|row| own.rows[*row].clone()).collect();
}

fn require_same_classes(
    (first_name, first): (&str, &Predictions),
    (name, own): (&str, &Predictions),
) -> Result<(), TrainingError> {
    let (a, b) = (&first.header, &own.header);
    if a.scores_of != b.scores_of {
        let message = format!("its scores are of other things than those of {}", shown(first_name));
        return Err(refused(name, message));
    }
    if let Some(at) = a.classes.iter().zip(&b.classes).position(|(a, b)| a != b) {
        let (theirs, ours) = (shown(&b.classes[at]), shown(&a.classes[at]));
        return Err(refused(name, format!("class {at} is `{theirs}`, and `{ours}` in {}", shown(first_name))));
    }
    if a.columns != b.columns || a.classes.len() != b.classes.len() {
        return Err(refused(
            name,
            format!("it has {} scores a row, and {} has {}", b.columns, shown(first_name), a.columns),
        ));
    }
    Ok(())
}

fn same_target(a: &PredictionTargets, at: usize, b: &PredictionTargets, other: usize, columns: usize) -> bool {
    match (a, b) {
        (PredictionTargets::Classes(a), PredictionTargets::Classes(b)) => a[at] == b[other],
        (PredictionTargets::Numbers(a), PredictionTargets::Numbers(b)) => {
            a[at * columns..(at + 1) * columns] == b[other * columns..(other + 1) * columns]
        }
        _ => false,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use millstream_schemas::PredictionsHeader;

    use super::*;

    /// Predictions of rows 0, 1, … of one file.
    pub(crate) fn predictions(
        scores_of: ScoresOf,
        columns: usize,
        scores: &[f32],
        targets: PredictionTargets,
    ) -> Predictions {
        let classes = if scores_of == ScoresOf::Numbers { 0 } else { columns };
        let header = PredictionsHeader {
            version: PredictionsHeader::VERSION,
            scores_of,
            columns,
            classes: (0..classes).map(|class| format!("class {class}")).collect(),
            model: Fingerprint::default(),
            data: Fingerprint::default(),
        };
        let row = |row: usize| RowId { file: "a.parquet".into(), row_group: 0, row: row as u32 };
        Predictions { header, rows: (0..scores.len() / columns).map(row).collect(), scores: scores.to_vec(), targets }
    }

    /// Of members of classes.
    pub(crate) fn of_classes(columns: usize, members: &[&[f32]], classes: &[u32]) -> MemberScores {
        let own = |(at, scores): (usize, &&[f32])| {
            (
                format!("member {at}"),
                predictions(ScoresOf::Classes, columns, scores, PredictionTargets::Classes(classes.to_vec())),
            )
        };
        MemberScores::align(members.iter().enumerate().map(own).collect()).unwrap()
    }

    fn three() -> Predictions {
        predictions(ScoresOf::Classes, 2, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], PredictionTargets::Classes(vec![0, 1, 0]))
    }

    #[test]
    fn rows_in_another_order_are_brought_into_that_of_the_first() {
        let mut other = three();
        other.rows.reverse();
        other.scores = vec![50.0, 60.0, 30.0, 40.0, 10.0, 20.0];
        let aligned = MemberScores::align(vec![("a".into(), three()), ("b".into(), other)]).unwrap();
        assert_eq!(aligned.scores(1), [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        let part = aligned.of_rows(&[2, 0]);
        assert_eq!((part.scores(1), part.rows()[0].row), ([50.0, 60.0, 10.0, 20.0].as_slice(), 2));
        assert_eq!(part.targets(), &PredictionTargets::Classes(vec![0, 0]));
    }

    #[test]
    fn members_that_answer_for_rows_of_their_own_are_held_against_each_other_on_those_that_all_have() {
        let mut other = three();
        other.rows[0].row = 7;
        other.rows.swap(1, 2);
        other.scores = vec![70.0, 80.0, 50.0, 60.0, 30.0, 40.0];
        other.targets = PredictionTargets::Classes(vec![1, 0, 1]);
        let common = |other: Predictions| MemberScores::align_common(vec![("a".into(), three()), ("b".into(), other)]);
        let (aligned, left_out) = common(other.clone()).unwrap();
        assert_eq!((aligned.rows().len(), left_out), (2, 2));
        assert_eq!((aligned.scores(0), aligned.scores(1)), (&[3.0, 4.0, 5.0, 6.0][..], &[30.0, 40.0, 50.0, 60.0][..]));
        assert_eq!(aligned.targets(), &PredictionTargets::Classes(vec![1, 0]));
        assert_eq!(common(three()).unwrap().1, 0);
        other.rows.iter_mut().for_each(|row| row.row += 10);
        let message = common(other).unwrap_err().to_string();
        assert!(message.contains("b: no row is in it that all others have"), "{message}");
    }

    #[test]
    fn other_rows_classes_and_targets_are_refused_with_what_differs() {
        type Spoil = fn(&mut Predictions);
        let spoiled: [(Spoil, &str); 9] = [
            (|own| own.header.classes[1] = "x".into(), "b: class 1 is `x`, and `class 1` in a"),
            (|own| own.header.classes.swap(0, 1), "class 0 is `class 1`, and `class 0` in a"),
            (|own| own.rows[2].row = 7, "it has another row than a: a.parquet, row group 0, row 7"),
            (|own| own.rows[2].row = 0, "it has another row than a"),
            (|own| own.targets = PredictionTargets::Classes(vec![0, 1, 1]), "row 2 has another target than in a"),
            (|own| own.scores[3] = f32::NAN, "b: it has scores that are no numbers"),
            (|own| own.targets = PredictionTargets::Classes(vec![0, 1]), "b: it is not whole"),
            (|own| own.targets = PredictionTargets::Classes(vec![0, 1, 2]), "b: it is not whole"),
            (|own| own.header.scores_of = ScoresOf::Labels, "b: its scores are of other things"),
        ];
        for (spoil, wanted) in spoiled {
            let mut own = three();
            spoil(&mut own);
            let message = MemberScores::align(vec![("a".into(), three()), ("b".into(), own)]).unwrap_err().to_string();
            assert!(message.contains(wanted), "{message}");
        }
        let shorter = predictions(ScoresOf::Classes, 2, &[1.0, 2.0], PredictionTargets::Classes(vec![0]));
        let message = MemberScores::align(vec![("a".into(), three()), ("b".into(), shorter)]).unwrap_err().to_string();
        assert!(message.contains("b: it is of 1 row, and a of 3"), "{message}");
        assert!(MemberScores::align(Vec::new()).is_err());
    }

    #[test]
    fn rows_that_were_drawn_are_measured_as_a_copy_of_them_is() {
        let scores: Vec<f32> = (0..60).map(|at| ((at * 37 % 23) as f32 - 11.0) / 5.0).collect();
        let drawn: Vec<usize> = (0..20).map(|at| at * at % 20).collect();
        let classes = PredictionTargets::Classes((0..20).map(|row| row % 3).collect());
        let numbers = PredictionTargets::Numbers(scores.iter().map(|score| f32::from(*score > 0.3)).collect());
        for (scores_of, targets) in
            [(ScoresOf::Classes, classes), (ScoresOf::Labels, numbers.clone()), (ScoresOf::Numbers, numbers)]
        {
            let all = MemberScores::align(vec![("a".into(), predictions(scores_of, 3, &scores, targets))]).unwrap();
            let (copy, metrics) = (all.of_rows(&drawn), MetricSet::usual(all.reads()));
            let wanted = copy.measure(copy.scores(0), &metrics).unwrap();
            let found = all.measure_drawn(0, &drawn, &all.row_losses(0), &metrics).unwrap();
            assert!((found.loss - wanted.loss).abs() < 1e-12);
            for kind in metrics.figures() {
                let [found, wanted] = [&found, &wanted].map(|of| of.figure(&kind.name).unwrap_or(f64::NAN).to_bits());
                assert_eq!(found, wanted, "{}", kind.name);
            }
        }
    }

    #[test]
    fn losses_are_those_of_the_rows() {
        let members = of_classes(2, &[&[0.0, 0.0, 2.0, 0.0]], &[1, 0]);
        // −ln(½), −ln(sigmoid(2))
        let wanted = (std::f64::consts::LN_2 + 0.126_928_011_042_972_6) / 2.0;
        assert!((members.loss(members.scores(0)) - wanted).abs() < 1e-12);
        let found = members.measure(members.scores(0), &MetricSet::usual(PredictionKind::ClassScores)).unwrap();
        assert_eq!((found.loss, found.figure("accuracy"), found.rows), (members.loss(members.scores(0)), Some(0.5), 2));
        for (scores_of, wanted) in [(ScoresOf::Labels, 0.126_928_011_042_972_6), (ScoresOf::Numbers, 1.0)] {
            let targets = PredictionTargets::Numbers(vec![1.0]);
            let one = MemberScores::align(vec![("a".into(), predictions(scores_of, 1, &[2.0], targets))]).unwrap();
            assert!((one.loss(one.scores(0)) - wanted).abs() < 1e-12);
        }
    }
}
