//! The report of an ensemble as one HTML page, and the words that it shares with the terminal.

use millstream_schemas::{decimal, shown, shown_up_to};
use minijinja::value::{Serde, Value};
use minijinja::{Environment, context};
use serde::Serialize;

use super::ensemble_function::FittedModel;
use super::ensemble_report::EnsembleReport;
use super::fitted_ensemble::FittedEnsemble;
use crate::TrainingError;
use crate::metrics::{Better, Evaluation, FigureKind, Unit, confidence_in_words};

/// Files that are named; the file `ensemble.json` has all.
const MOST_FILES: usize = 4;

const TEMPLATE: &str = include_str!("page.html");

#[derive(Serialize)]
struct Row {
    name: String,
    weight: String,
    cells: Vec<Cell>,
    ensemble: bool,
}

#[derive(Serialize)]
struct Cell {
    value: String,
    interval: Option<String>,
}

impl FittedEnsemble {
    /// The report as a page. It names no other file and no address.
    ///
    /// # Errors
    /// The template fails, which no ensemble should bring about.
    pub fn page(&self, title: &str) -> Result<String, TrainingError> {
        self.render(title).map_err(TrainingError::Report)
    }

    fn render(&self, title: &str) -> Result<String, minijinja::Error> {
        let mut environment = Environment::new();
        // The name ends in .html, so that everything put into the page is escaped.
        environment.add_template("page.html", TEMPLATE)?;
        let report = &self.report;
        let kinds = report.kinds();
        let cell = |kind: &FigureKind, value: Option<f64>, interval: Option<[f64; 2]>| Cell {
            value: kind.shown(value),
            interval: interval.map(|interval| kind.shown_interval(interval)),
        };
        let cells = |evaluation: &Evaluation| -> Vec<Cell> {
            kinds
                .iter()
                .map(|kind| cell(kind, evaluation.figure(&kind.name), evaluation.interval(&kind.name)))
                .collect()
        };
        let mut rows: Vec<Row> = report
            .members
            .iter()
            .enumerate()
            .map(|(at, member)| Row {
                name: shown(&member.name),
                weight: self.share(at).map_or_else(|| "–".into(), decimal),
                cells: cells(&member.evaluation),
                ensemble: false,
            })
            .collect();
        let mean = kinds.iter().map(|kind| cell(kind, report.mean_of_members.get(&kind.name), None)).collect();
        rows.push(Row { name: "mean of the members".into(), weight: String::new(), cells: mean, ensemble: false });
        rows.push(Row {
            name: "ensemble".into(),
            weight: String::new(),
            cells: cells(&report.ensemble),
            ensemble: true,
        });
        let members: Vec<String> = self
            .members
            .iter()
            .map(|member| format!("{}: {}, SHA-256 {}", shown(&member.name), shown(&member.model), member.fingerprint))
            .collect();
        let notes: Vec<String> = self.notes.iter().map(|note| shown_up_to(note, 2000)).collect();
        let figures: Vec<String> = kinds.iter().map(FigureKind::label).collect();
        environment.get_template("page.html")?.render(context! {
            title => shown(title),
            method => shown_up_to(serde_json::to_string(&self.method).unwrap_or_default(), 500),
            split => self.split_in_words(),
            files => self.files_in_words(),
            gain => report.gain_in_words(),
            weighted => (0..self.members.len()).any(|at| self.share(at).is_some()),
            rows => Value::from(Serde(rows)),
            members, notes, figures,
        })
    }

    /// How much a member counts; none where that is no single number.
    pub fn share(&self, member: usize) -> Option<f64> {
        match &self.model {
            FittedModel::Combination(combination) => combination.weights()?.get(member).copied(),
            FittedModel::MeanOfWeights(chosen) => {
                Some(if chosen.contains(&member) { 1.0 / chosen.len() as f64 } else { 0.0 })
            }
        }
    }

    /// `a.parquet, b.parquet`: the files that its rows lie in; none where that is not noted.
    pub fn files_in_words(&self) -> Option<String> {
        let names: Vec<String> = self.files.iter().take(MOST_FILES).map(shown).collect();
        let more = self.files.len() - names.len();
        let others = if more == 0 {
            String::new()
        } else {
            format!(" and {} more", millstream_schemas::count(more as u64, "file"))
        };
        (!names.is_empty()).then(|| names.join(", ") + &others)
    }

    /// `fitted to 500 rows, measured on 500 others (seed 0)`.
    pub fn split_in_words(&self) -> String {
        let split = &self.split;
        let rows = |count: u64| millstream_schemas::count(count, "row");
        if split.fitted == 0 {
            return format!("nothing is fitted, measured on {}", rows(split.measured));
        }
        if split.is_of_fitted_rows() {
            return format!("fitted to and measured on the same {}", rows(split.measured));
        }
        format!(
            "fitted to {}, measured on {} others, drawn by the seed {}",
            rows(split.fitted),
            split.measured,
            split.seed
        )
    }
}

/// `1.2 points below`, in front of what it is below.
fn distance(unit: Unit, difference: f64) -> String {
    let size = match unit {
        Unit::Share => format!("{:.1} points", 100.0 * difference.abs()),
        Unit::Number => format!("{:.4}", difference.abs()),
    };
    if difference == 0.0 {
        return "the same as".to_owned();
    }
    format!("{size} {}", if difference < 0.0 { "below" } else { "above" })
}

impl EnsembleReport {
    /// The figures in order, the loss last.
    pub fn kinds(&self) -> Vec<FigureKind> {
        let mut kinds = self.figures.clone();
        kinds.push(FigureKind::loss());
        kinds
    }

    /// `accuracy: 1.2 points above a, the best member on these rows; between +0.1 points and +2.3 points …`, where that is known.
    pub fn gain_in_words(&self) -> Option<String> {
        let difference = self.gain.difference?;
        let member = &self.members.get(self.gain.over)?.name;
        let signed = |value: f64| match self.decides.unit {
            Unit::Share => format!("{:+.1} points", 100.0 * value),
            Unit::Number => format!("{value:+.4}"),
        };
        let interval = self.gain.interval.map(|[low, high]| {
            format!(
                "; between {} and {} for {} of the draws of rows",
                signed(low),
                signed(high),
                confidence_in_words(self.ensemble.confidence)
            )
        });
        let better = if self.decides.better == Better::Lower { " (less is better)" } else { "" };
        Some(format!(
            "{}: {} {}, the best member on these rows{better}{}",
            self.decides.label(),
            distance(self.decides.unit, difference),
            shown(member),
            interval.unwrap_or_default()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_less_is_below_and_not_over() {
        for (unit, difference, wanted) in [
            (Unit::Share, -0.012, "1.2 points below"),
            (Unit::Share, 0.012, "1.2 points above"),
            (Unit::Number, -0.25, "0.2500 below"),
            (Unit::Number, 0.0, "the same as"),
        ] {
            assert_eq!(distance(unit, difference), wanted);
        }
    }
}
