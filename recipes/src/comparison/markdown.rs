use millstream_schemas::{count, decimal, grouped};
use millstream_training::metrics::{confidence_in_words, interval_in_words};

use super::report::{ComparisonReport, PairedComparison};
use crate::pages::markdown::{code, prose, table, text};

/// The report for people.
pub(super) fn markdown(report: &ComparisonReport) -> String {
    let names: Vec<String> = report.runs.iter().map(|run| text(&run.name)).collect();
    let mut out = format!("# {}\n\n## What is set otherwise\n\n", names.join(", "));
    let headings: Vec<&str> = std::iter::once("").chain(names.iter().map(String::as_str)).collect();
    out += &match report.settings.is_empty() {
        true => "Nothing: recipes, base model, data and device are the same.\n".to_owned(),
        false => {
            let rows = report.settings.iter().map(|setting| {
                let values = (0..report.runs.len())
                    .map(|run| setting.shown(run).map_or_else(|| "–".to_owned(), |value| code(&value)));
                std::iter::once(code(&setting.place)).chain(values).collect()
            });
            table(&headings, &rows.collect::<Vec<_>>())
        }
    };
    out += "\n## What came out\n\nEach run by its own evaluation rows.\n\n";
    let numbers: Vec<String> = names.iter().map(|name| format!(">{name}")).collect();
    let right: Vec<&str> = std::iter::once("").chain(numbers.iter().map(String::as_str)).collect();
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut row = |name: &str, of: &dyn Fn(usize) -> String| {
        rows.push(std::iter::once(name.to_owned()).chain((0..report.runs.len()).map(of)).collect());
    };
    if let Some(sets) = report.sets() {
        row("measured on", &|at| text(sets[at]));
    }
    row("rows", &|at| {
        report.runs[at].evaluation.as_ref().map_or_else(|| "–".into(), |evaluation| grouped(evaluation.rows))
    });
    for kind in &report.figures {
        row(&text(&kind.label()), &|at| {
            let Some(evaluation) = &report.runs[at].evaluation else { return "–".into() };
            kind.shown_with_interval(evaluation.figure(&kind.name), evaluation.interval(&kind.name))
        });
    }
    row("steps", &|at| grouped(report.runs[at].steps));
    row("seconds", &|at| format!("{:.1}", report.runs[at].seconds));
    row("ending", &|at| text(&report.runs[at].ending));
    out += &table(&right, &rows);
    if report.runs.iter().any(|run| run.evaluation.as_ref().is_some_and(|found| !found.intervals.is_empty())) {
        out += &format!("\nIn brackets: intervals of {}.\n", confidence_in_words(confidence(report)));
    }
    for pair in &report.pairs {
        out += &of_pair(report, pair);
    }
    if !report.notes.is_empty() {
        out += "\n## Not compared row by row\n\n";
        out += &report.notes.iter().map(|note| format!("- {}\n", prose(note))).collect::<String>();
    }
    out
}

fn confidence(report: &ComparisonReport) -> f64 {
    report.runs.iter().find_map(|run| Some(run.evaluation.as_ref()?.confidence)).unwrap_or(report.confidence)
}

fn of_pair(report: &ComparisonReport, pair: &PairedComparison) -> String {
    let (first, second) = (text(&report.runs[pair.first].name), text(&report.runs[pair.second].name));
    let mut out = format!("\n## {second} against {first}, row by row\n\nOn the same {}", count(pair.rows, "row"));
    out += &match pair.left_out {
        0 => ".\n\n".to_owned(),
        some => format!(
            "; {} answered by one of them alone {} left out.\n\n",
            count(some, "row"),
            if some == 1 { "is" } else { "are" }
        ),
    };
    if let Some(right) = &pair.right {
        out += &table(
            &["", &format!(">{first} right"), &format!(">{first} wrong")],
            &[
                vec![format!("{second} right"), grouped(right.both), grouped(right.second_only)],
                vec![format!("{second} wrong"), grouped(right.first_only), grouped(right.neither)],
            ],
        );
        out += &format!("\n{}\n\n", verdict(right.first_only, right.second_only, right.p, right.p_adjusted));
    }
    let rows = pair.figures.iter().map(|figure| {
        let kind = &figure.kind;
        vec![
            text(&kind.label()),
            kind.shown(figure.first),
            kind.shown(figure.second),
            figure.difference.map_or_else(|| "–".into(), |value| signed(kind, value)),
            figure.interval.map_or_else(|| "–".into(), |ends| interval_in_words(ends, |end| signed(kind, end))),
            figure.p.map_or_else(|| "–".into(), chance),
        ]
    });
    let (one, other) = (format!(">{first}"), format!(">{second}"));
    let interval = format!(">interval of {}", confidence_in_words(report.confidence));
    out += &table(&["", &one, &other, ">difference", &interval, ">p"], &rows.collect::<Vec<_>>());
    out += &format!(
        "\nIntervals and p of differences are from {} draws of these rows, the same for both runs.\n",
        grouped(u64::from(report.resamples))
    );
    out
}

/// What McNemar's test says, in words.
pub(super) fn verdict(first_only: u64, second_only: u64, p: f64, adjusted: f64) -> String {
    let more = match adjusted < 0.05 {
        true => "chance alone rarely makes such a difference",
        false => "chance alone can make it",
    };
    let after = if adjusted == p { String::new() } else { format!(", after Holm {}", chance(adjusted)) };
    format!(
        "{} that one of them alone has right, {} against {}: {more} (McNemar's exact test, p {}{after}).",
        count(first_only + second_only, "row"),
        grouped(first_only),
        grouped(second_only),
        chance(p)
    )
}

fn signed(kind: &millstream_training::metrics::FigureKind, value: f64) -> String {
    use millstream_training::metrics::Unit;
    let sign = if value < 0.0 { "−" } else { "+" };
    match kind.unit {
        Unit::Share => format!("{sign}{:.1} points", 100.0 * value.abs()),
        Unit::Number => format!("{sign}{}", decimal(value.abs())),
    }
}

/// `0.031`, `<0.0001`.
fn chance(p: f64) -> String {
    if p < 1e-4 { "<0.0001".into() } else { format!("{p:.4}") }
}
