use millstream_schemas::{count, grouped, percent};
use millstream_training::metrics::interval_in_words;

use super::picture;
use super::report::{ErrorPart, ErrorReport, FactorReport, Rate, Seen, Split};
use crate::pages::markdown::{prose, table, text};
use crate::pages::page::Part;
use crate::run_folder::folder_name;

/// Factors whose bins are drawn; the others are tables.
const MOST_PICTURES: usize = 12;

/// The report for people.
pub(super) fn parts(report: &ErrorReport) -> Vec<Part> {
    let name = folder_name(&report.run);
    let mut found = vec![Part::Markdown(format!("# {}: why it errs\n\n{}.\n", text(&name), capital(&report.erring)))];
    for part in &report.parts {
        of_part(part, &mut found);
    }
    if !report.notes.is_empty() {
        let notes: String = report.notes.iter().map(|note| format!("- {}\n", prose(note))).collect();
        found.push(Part::Markdown(format!("## Worth knowing\n\n{notes}")));
    }
    found
}

fn of_part(part: &ErrorPart, found: &mut Vec<Part>) {
    let mut words = match part.seen {
        Seen::AsTheyAre => "## Rows as they are\n\n".to_owned(),
        Seen::AsDrawn => {
            format!("## Rows as training draws them\n\n{} of each row. ", capital(&count(part.draws, "draw")))
        }
    };
    words += &format!("{} of {} err: {}.\n\n", grouped(part.errors), count(part.answers, "answer"), rate(part.rate));
    let splits = || part.factors.iter().filter_map(|factor| Some((factor, factor.split.as_ref()?)));
    let confirmed: Vec<String> = splits()
        .filter(|(_, split)| split.confirmed)
        .map(|(factor, split)| format!("- {}\n", sentence(factor, split)))
        .collect();
    words += &match (confirmed.as_slice(), splits().count()) {
        ([], 0) => "Nothing tells enough answers apart to be looked into.\n".to_owned(),
        ([], looked) => format!(
            "Of {looked} factors none was confirmed: what was found on one half of the rows could be chance on the other.\n"
        ),
        (confirmed, _) => confirmed.concat(),
    };
    let rows = splits().map(|(factor, split)| {
        vec![
            text(&factor.name),
            text(&split.rule),
            brief(split.tested[0]),
            brief(split.tested[1]),
            chance(split.p),
            chance(split.p_adjusted),
            if split.confirmed { "yes" } else { "no" }.to_owned(),
        ]
    });
    let test = if part.draws > 1 { "Mantel and Haenszel's test within rows" } else { "Fisher's exact test" };
    words += &format!(
        "\n### Divisions\n\nFound on one half of the rows; the shares and p ({test}) are of the other half, the last p after Holm over \
         all factors.\n\n"
    );
    words += &table(
        &["factor", "more err where it", ">there", ">elsewhere", ">p", ">p, all factors", "confirmed"],
        &rows.collect::<Vec<_>>(),
    );
    found.push(Part::Markdown(words));
    for (number, factor) in part.factors.iter().enumerate() {
        let mut words = format!("### {}\n\n", text(&factor.name));
        if let Some(split) = factor.split.as_ref().filter(|split| split.confirmed) {
            words += &format!("{}\n\n", sentence(factor, split));
        }
        let rows = factor.bins.iter().map(|bin| {
            vec![
                text(&bin.label),
                grouped(bin.rate.of),
                grouped(bin.rate.errors),
                percent(bin.rate.share.unwrap_or(0.0)),
                interval(bin.rate),
            ]
        });
        let rows = table(&["", ">answers", ">errors", ">share", ">interval of 95 %"], &rows.collect::<Vec<_>>());
        if number < MOST_PICTURES {
            found.push(Part::Markdown(words));
            found.push(Part::Picture(picture::svg(factor, part.rate)));
            found.push(Part::Markdown(rows));
        } else {
            found.push(Part::Markdown(words + &rows));
        }
    }
}

/// `rotate: degrees above 25: 31.0 % err, against 9.0 % elsewhere`.
fn sentence(factor: &FactorReport, split: &Split) -> String {
    let [there, elsewhere] = split.tested.map(|rate| percent(rate.share.unwrap_or(0.0)));
    format!(
        "**{} {}**: {there} of {} err, against {elsewhere} of {} elsewhere (p {} after Holm).",
        text(&factor.name),
        text(&split.rule),
        grouped(split.tested[0].of),
        grouped(split.tested[1].of),
        chance(split.p_adjusted)
    )
}

fn rate(rate: Rate) -> String {
    format!("{} ({})", percent(rate.share.unwrap_or(0.0)), interval(rate))
}

fn interval(rate: Rate) -> String {
    rate.interval.map_or_else(|| "–".into(), |ends| interval_in_words(ends, percent))
}

fn brief(rate: Rate) -> String {
    format!("{} of {}", percent(rate.share.unwrap_or(0.0)), grouped(rate.of))
}

fn chance(p: f64) -> String {
    if p < 1e-4 { "<0.0001".into() } else { format!("{p:.4}") }
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
