//! The share that errs in each part of a factor's values, with its interval.

use millstream_schemas::{percent, shown_up_to};

use super::report::{FactorReport, Rate};
use crate::pages::page::escaped;

const WIDTH: f64 = 640.0;
const LEFT: f64 = 170.0;
const RIGHT: f64 = 20.0;
const ROW: f64 = 26.0;
const TOP: f64 = 8.0;
/// More parts are in the table alone.
const MOST: usize = 30;

/// As SVG: a dot and its interval for each part, the share of all answers as a line.
pub(super) fn svg(factor: &FactorReport, all: Rate) -> String {
    let bins = &factor.bins[..factor.bins.len().min(MOST)];
    let bottom = TOP + ROW * bins.len() as f64;
    let most = bins.iter().filter_map(|bin| bin.rate.interval).map(|[_, high]| high).fold(0.05, f64::max);
    // steps of the axis: five at most
    let step = [0.01, 0.02, 0.05, 0.1, 0.2].into_iter().find(|step| most / step <= 5.0).unwrap_or(0.2);
    let last = (most / step).ceil() * step;
    let x = |share: f64| LEFT + share / last * (WIDTH - LEFT - RIGHT);
    let height = bottom + 28.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
         aria-label=\"{}: share that errs\">\n",
        escaped(&factor.name)
    );
    for at in 0..=(last / step).round() as u32 {
        let share = f64::from(at) * step;
        out += &format!(
            "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{TOP}\" y2=\"{bottom}\" stroke=\"currentColor\" opacity=\".15\"/>\
             <text x=\"{0:.1}\" y=\"{1}\" text-anchor=\"middle\">{2:.0} %</text>\n",
            x(share),
            bottom + 18.0,
            100.0 * share
        );
    }
    if let Some(share) = all.share {
        out += &format!(
            "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{TOP}\" y2=\"{bottom}\" stroke=\"currentColor\" stroke-dasharray=\"4 3\" \
             opacity=\".6\"><title>all answers: {1}</title></line>\n",
            x(share),
            percent(share)
        );
    }
    for (at, bin) in bins.iter().enumerate() {
        let y = TOP + ROW * (at as f64 + 0.5);
        let label = escaped(&shown_up_to(&bin.label, 24));
        out += &format!("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{label}</text>", LEFT - 10.0, y + 4.0);
        let (Some(share), Some([low, high])) = (bin.rate.share, bin.rate.interval) else { continue };
        out += &format!(
            "<g><title>{label}: {} of {} err, {}</title><line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#1f6feb\" \
             stroke-width=\"3\" stroke-linecap=\"round\" opacity=\".55\"/><circle cx=\"{:.1}\" cy=\"{y}\" r=\"5\" fill=\"#1f6feb\"/></g>\n",
            bin.rate.errors,
            bin.rate.of,
            percent(share),
            x(low),
            x(high),
            x(share)
        );
    }
    out + "</svg>"
}
