use millstream_schemas::{count, grouped, shown_up_to};

use super::picture;
use super::report::{EntryKind, RunEntry, RunsReport};
use crate::pages::page::{address, escaped};
use crate::run_folder::folder_name;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// A cell: what is shown, what it is sorted by, whether it is a number.
struct Cell {
    html: String,
    key: String,
    is_number: bool,
}

/// Heading, and whether the largest come first when it is chosen.
const COLUMNS: [(&str, bool); 9] = [
    ("run", false),
    ("figure", true),
    ("loss", false),
    ("how", false),
    ("base model", false),
    ("steps", true),
    ("seconds", true),
    ("ended", true),
    ("note", false),
];

/// Headings of columns of numbers.
const NUMBERS: [&str; 4] = ["figure", "loss", "steps", "seconds"];

/// One page that stands by itself; without scripts it is the table alone.
pub(super) fn html(report: &RunsReport) -> String {
    let title = format!("Runs in {}", folder_name(&report.folder));
    let title = escaped(&shown_up_to(title, 200));
    let of_kind = |kind: EntryKind| report.runs.iter().filter(|run| run.kind == kind).count() as u64;
    let mut of = count(of_kind(EntryKind::Run), "run");
    for (kind, noun) in [(EntryKind::Ensemble, "ensemble"), (EntryKind::Study, "search")] {
        if of_kind(kind) > 0 {
            of += &format!(", {}", count(of_kind(kind), noun));
        }
    }
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n<p>{of}.</p>\n"
    );
    out += &bar(report);
    out += "<div class=\"wide\"><table><thead><tr>";
    for (heading, descending) in COLUMNS {
        let first = if descending { "descending" } else { "ascending" };
        let class = if NUMBERS.contains(&heading) { " class=\"number\"" } else { "" };
        out +=
            &format!("<th scope=\"col\"{class} data-first=\"{first}\"><button type=\"button\">{heading}</button></th>");
    }
    out += "</tr></thead><tbody>\n";
    out += &report.runs.iter().map(row).collect::<String>();
    out += "</tbody></table></div>\n";
    if let Some(svg) = picture::svg(report) {
        out += &format!(
            "<h2>Lineage</h2>\n<p class=\"small\">What something came from stands to its left: models from elsewhere have broken \
             borders, members of ensembles broken lines, adapters dotted ones, winners of searches thick ones.</p>\n<figure>{svg}</figure>\n"
        );
    }
    if !report.notes.is_empty() {
        let notes = report.notes.iter().map(|note| format!("<li>{}</li>\n", escaped(&shown_up_to(note, 400))));
        out += &format!("<h2>Left out</h2>\n<ul>\n{}</ul>\n", notes.collect::<String>());
    }
    out + &format!("<script>{SCRIPT}</script>\n</body></html>\n")
}

/// What is filtered and sorted by; hidden until the script shows it.
fn bar(report: &RunsReport) -> String {
    let mut endings: Vec<&str> = report.runs.iter().map(|run| run.ending.as_str()).collect();
    endings.sort_unstable();
    endings.dedup();
    let endings: String = endings.iter().map(|ending| format!("<option>{}</option>", escaped(ending))).collect();
    let sorts: String = COLUMNS
        .iter()
        .enumerate()
        .flat_map(|(at, (heading, _))| {
            [("+", "ascending"), ("-", "descending")]
                .map(|(sign, word)| format!("<option value=\"{at}{sign}\">by {heading}, {word}</option>"))
        })
        .collect();
    format!(
        "<div class=\"bar\" hidden><input id=\"words\" type=\"search\" placeholder=\"Filter by words\" aria-label=\"Filter by words\">\
         <select id=\"ending\" aria-label=\"Filter by ending\"><option value=\"\">any ending</option>{endings}</select>\
         <select id=\"by\" aria-label=\"Sort\"><option value=\"\" hidden>newest first</option>{sorts}</select>\
         <span id=\"shown\" class=\"small\" aria-live=\"polite\"></span></div>\n"
    )
}

fn row(run: &RunEntry) -> String {
    let mut out = format!("<tr data-ending=\"{}\">", escaped(&run.ending));
    for (at, ((heading, _), cell)) in COLUMNS.iter().zip(cells(run)).enumerate() {
        let class = match (at, cell.is_number) {
            (0, _) => "name",
            (_, true) => "number",
            _ if *heading == "ended" => "when",
            _ => "text",
        };
        let empty = if cell.html.is_empty() { " empty" } else { "" };
        out += &format!(
            "<td class=\"{class}{empty}\" data-name=\"{heading}\" data-key=\"{}\"><span>{}</span></td>",
            escaped(&cell.key),
            cell.html
        );
    }
    out + "</tr>\n"
}

fn cells(run: &RunEntry) -> [Cell; 9] {
    let text = |text: &str| Cell { html: escaped(&shown_up_to(text, 200)), key: text.to_owned(), is_number: false };
    let number = |value: Option<f64>, html: String| Cell {
        html: if value.is_some() { html } else { String::new() },
        key: value.filter(|value| value.is_finite()).map_or_else(String::new, |value| value.to_string()),
        is_number: true,
    };
    let mut name = text(&run.name);
    let links: Vec<String> = run
        .links
        .iter()
        .map(|(what, path)| format!("<a href=\"{}\">{}</a>", escaped(&address(path)), escaped(what)))
        .collect();
    if run.ending != "finished" {
        name.html += &format!(" <span class=\"small\">{}</span>", escaped(&run.ending));
    }
    // what leads on stands where it is seen without scrolling
    if !links.is_empty() {
        name.html += &format!("<span class=\"links small\">{}</span>", links.join(" "));
    }
    let figure = run.decides.as_ref().map_or_else(String::new, |figure| {
        let interval = figure.interval.map_or_else(String::new, |ends| {
            format!("<br><span class=\"small\">{}</span>", escaped(&figure.kind.shown_interval(ends)))
        });
        format!("{}{interval}", escaped(&figure.in_words()))
    });
    let when = run.ended.as_ref().or(run.began.as_ref());
    let note = run.note.as_ref().map_or_else(String::new, |note| {
        let before = if run.noted > 1 { format!(" ({} notes)", run.noted) } else { String::new() };
        format!("<div class=\"note small\">{}{before}</div>", escaped(&shown_up_to(note, 300)))
    });
    [
        name,
        number(run.decides.as_ref().and_then(|figure| figure.value), figure),
        number(run.loss, run.loss.map_or_else(String::new, millstream_schemas::decimal)),
        text(&run.how),
        text(run.base.as_deref().unwrap_or_default()),
        number(run.steps.map(|steps| steps as f64), run.steps.map_or_else(String::new, grouped)),
        number(run.seconds, run.seconds.map_or_else(String::new, |seconds| format!("{seconds:.1}"))),
        Cell {
            html: when.map_or_else(String::new, |when| escaped(&when.get(..16).unwrap_or(when).replace('T', " "))),
            key: when.cloned().unwrap_or_default(),
            is_number: false,
        },
        Cell { html: note, key: run.note.clone().unwrap_or_default(), is_number: false },
    ]
}

#[cfg(test)]
mod tests {
    use super::super::report::{BaseModel, Descent, Origin, Through};
    use super::*;

    fn entry(name: &str) -> RunEntry {
        RunEntry {
            name: name.into(),
            kind: EntryKind::Run,
            ending: "finished".into(),
            began: None,
            ended: Some("2026-11-27T03:11:00Z".into()),
            decides: None,
            loss: Some(0.5),
            rows: Some(10),
            steps: Some(1200),
            seconds: Some(2.0),
            device: Some("cpu".into()),
            trained: Some(3),
            how: "adamw".into(),
            base: Some("m.onnx".into()),
            model: None,
            note: Some("2026-11-27 03:11 UTC: <b>why</b>".into()),
            noted: 1,
            links: vec![("report".into(), format!("{name}/report.html"))],
        }
    }

    #[test]
    fn nothing_of_a_run_is_markup_and_the_picture_has_what_it_came_from_to_its_left() {
        let report = RunsReport {
            version: 1,
            folder: "runs".into(),
            runs: vec![entry("a<script>"), entry("b c")],
            models: vec![BaseModel { name: "m.onnx".into(), sha256: "0123456789abcdef".into() }],
            lineage: vec![
                Descent { from: Origin::Model(0), to: 0, through: Through::Base },
                Descent { from: Origin::Run(0), to: 1, through: Through::Base },
            ],
            notes: Vec::new(),
        };
        let page = html(&report);
        assert!(
            !page.contains("a<script>") && page.contains("a&lt;script&gt;") && page.contains("&lt;b&gt;why"),
            "{page}"
        );
        assert!(page.contains("href=\"./b%20c/report.html\"") && page.contains("<td class=\"number\""), "{page}");
        let svg = picture::svg(&report).unwrap();
        for place in ["<rect x=\"8\"", "<rect x=\"258\"", "<rect x=\"508\"", "0123456789ab"] {
            assert!(svg.contains(place), "{place} is not in\n{svg}");
        }
        // a table wider than the window scrolls inside of its own box, and names are not broken between letters
        assert!(
            page.contains("<div class=\"wide\"><table>") && STYLE.contains(".wide{overflow-x:auto;max-width:100%}")
        );
        // links stand beside the name, and cards come where nine columns have no room
        let (name, rest) = page.split_once("class=\"name\"").unwrap().1.split_once("</td>").unwrap();
        assert!(name.contains("report.html") && !rest.split("</tr>").next().unwrap().contains("<a "), "{page}");
        assert!(STYLE.contains("@media (max-width:70rem)"));
        // on paper nothing scrolls, and there is no dark ground
        let (_, print) = STYLE.split_once("@media print").unwrap();
        assert!(print.contains("figure{overflow:visible}") && print.contains("tr{break-inside:avoid}"), "{print}");
        assert_eq!(STYLE.matches("prefers-color-scheme").count(), 1);
        assert!(STYLE.contains("@media screen and (prefers-color-scheme:dark)"));
        let of_names = STYLE.split('}').filter(|rule| rule.trim_start().starts_with("td.name{"));
        assert!(of_names.into_iter().all(|rule| !rule.contains("anywhere")));
        let alone = RunsReport { lineage: Vec::new(), ..report };
        assert!(picture::svg(&alone).is_none());
    }
}
