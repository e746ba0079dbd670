//! The lineage as a picture: what something came from stands to its left.

use std::collections::HashMap;

use millstream_schemas::shown_up_to;

use super::report::{Origin, RunsReport, Through};
use crate::pages::page::{address, escaped};

const WIDTH: usize = 190;
const HEIGHT: usize = 44;
const ACROSS: usize = 250;
const DOWN: usize = 58;
const EDGE: usize = 8;
/// Letters that fit into a box.
const LETTERS: usize = 26;
/// A larger picture is no help.
const MOST: usize = 400;

/// As SVG; none where nothing came from anything, or too much to be drawn.
pub(super) fn svg(report: &RunsReport) -> Option<String> {
    let nodes: Vec<Origin> =
        (0..report.models.len()).map(Origin::Model).chain((0..report.runs.len()).map(Origin::Run)).collect();
    let is_in =
        |node: &Origin| report.lineage.iter().any(|descent| descent.from == *node || Origin::Run(descent.to) == *node);
    let nodes: Vec<Origin> = nodes.into_iter().filter(is_in).collect();
    if nodes.is_empty() || nodes.len() > MOST {
        return None;
    }
    let columns = columns(report, &nodes);
    let places = places(report, &nodes, &columns);
    let right = places.values().map(|(x, _)| x + WIDTH).max().unwrap_or(0) + EDGE;
    let bottom = places.values().map(|(_, y)| y + HEIGHT).max().unwrap_or(0) + EDGE;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {right} {bottom}\" width=\"{right}\" height=\"{bottom}\" role=\"img\" \
         aria-label=\"Lineage: what came from what\">\n"
    );
    for descent in &report.lineage {
        let (Some((x, y)), Some((to_x, to_y))) = (places.get(&descent.from), places.get(&Origin::Run(descent.to)))
        else {
            continue;
        };
        let (x, y, to_y) = (x + WIDTH, y + HEIGHT / 2, to_y + HEIGHT / 2);
        let middle = (x + to_x) / 2;
        let (class, word) = match descent.through {
            Through::Base => ("base", "base model"),
            Through::Adapter => ("adapter", "adapter"),
            Through::Member => ("member", "member"),
            Through::Study => ("study", "winner of the search"),
        };
        out += &format!(
            "<path class=\"{class}\" d=\"M{x} {y}C{middle} {y} {middle} {to_y} {to_x} {to_y}\"><title>{word}</title></path>\n"
        );
    }
    for node in &nodes {
        let (x, y) = places[node];
        let (class, name, below, link) = match node {
            Origin::Model(at) => {
                let model = &report.models[*at];
                ("model", model.name.clone(), model.sha256.get(..12).unwrap_or_default().to_owned(), None)
            }
            Origin::Run(at) => {
                let run = &report.runs[*at];
                let figure = run
                    .decides
                    .as_ref()
                    .map(|figure| format!("{} {}", figure.kind.label(), figure.kind.shown(figure.value)));
                let link = run.links.first().map(|(_, path)| path.clone());
                ("run", run.name.clone(), figure.unwrap_or_else(|| run.ending.clone()), link)
            }
        };
        let text = |text: &str| escaped(&shown_up_to(text, LETTERS));
        let inner = format!(
            "<g class=\"{class}\"><title>{}</title><rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\"/>\
             <text x=\"{}\" y=\"{}\">{}</text><text class=\"below\" x=\"{}\" y=\"{}\">{}</text></g>",
            escaped(&millstream_schemas::shown(&name)),
            x + 10,
            y + 18,
            text(&name),
            x + 10,
            y + 35,
            text(&below)
        );
        out += &match link {
            Some(path) => format!("<a href=\"{}\">{inner}</a>\n", escaped(&address(&path))),
            None => inner + "\n",
        };
    }
    Some(out + "</svg>")
}

/// One more than the largest column of what it came from.
fn columns(report: &RunsReport, nodes: &[Origin]) -> HashMap<Origin, usize> {
    let mut columns: HashMap<Origin, usize> = nodes.iter().map(|node| (*node, 0)).collect();
    // each turn settles a column at least; damaged notes could go round
    for _ in 0..nodes.len() {
        let mut moved = false;
        for descent in &report.lineage {
            let wanted = columns.get(&descent.from).map_or(0, |column| column + 1).min(nodes.len());
            let own = columns.entry(Origin::Run(descent.to)).or_default();
            moved |= *own < wanted;
            *own = wanted.max(*own);
        }
        if !moved {
            break;
        }
    }
    columns
}

/// Each column from above, in the order of the mean height of what its nodes came from.
fn places(report: &RunsReport, nodes: &[Origin], columns: &HashMap<Origin, usize>) -> HashMap<Origin, (usize, usize)> {
    let mut places: HashMap<Origin, (usize, usize)> = HashMap::new();
    let last = columns.values().max().copied().unwrap_or(0);
    for column in 0..=last {
        let mut own: Vec<Origin> = nodes.iter().copied().filter(|node| columns[node] == column).collect();
        let height = |node: &Origin| {
            let from = report.lineage.iter().filter(|descent| Origin::Run(descent.to) == *node);
            let heights: Vec<usize> = from.filter_map(|descent| Some(places.get(&descent.from)?.1)).collect();
            heights.iter().sum::<usize>().checked_div(heights.len()).unwrap_or(0)
        };
        let mut heights: Vec<(usize, Origin)> = own.drain(..).map(|node| (height(&node), node)).collect();
        heights.sort_by_key(|(height, _)| *height);
        let x = EDGE + column * ACROSS;
        for (row, (_, node)) in heights.into_iter().enumerate() {
            places.insert(node, (x, EDGE + row * DOWN));
        }
    }
    places
}
