//! The picture of a learning-rate range test: loss over the rate on a logarithmic scale, as an SVG file.

use std::fmt::Write as _;

use super::axis::{Axis, Scale, Tick};
use crate::range_test::{RatePoint, SuggestedRates};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 700.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 344.0;
const STYLE: &str = "text { font: 12px system-ui, sans-serif; fill: #60646c } .title { font-size: 15px; fill: #1c2024 } \
    .rule { stroke: #d9dce1 } .loss { fill: none; stroke: #2563c9; opacity: .3 } .mean { fill: none; stroke: #2563c9; stroke-width: 2 } \
    .steepest { stroke: #15803d; stroke-dasharray: 7 4 } .lowest { stroke: #c2410c; stroke-dasharray: 2 4 } \
    .named-steepest { fill: #15803d } .named-lowest { fill: #c2410c }";

/// An SVG document; none where there are fewer than two points. Losses far above the first are cut off at the top.
pub(super) fn render(points: &[RatePoint], suggestion: Option<SuggestedRates>) -> Option<String> {
    let (first, last) = (points.first()?, points.last().filter(|_| points.len() > 1)?);
    let highest = {
        let lowest = points.iter().map(|point| point.smoothed_loss).fold(f64::INFINITY, f64::min);
        lowest + 2.0 * (first.loss - lowest).abs().max(first.loss.abs() / 4.0)
    };
    let shown = points.iter().flat_map(|point| [point.loss, point.smoothed_loss]).filter(|loss| *loss <= highest);
    let y = Axis::new(Scale::Numbers, shown, BOTTOM, TOP)?;
    let (low, high) = (first.learning_rate.log10(), last.learning_rate.log10());
    let x = |rate: f64| LEFT + (rate.log10() - low) / (high - low) * (RIGHT - LEFT);
    let path = |value: fn(&RatePoint) -> f64| {
        // a loss that is far outside has a coordinate all the same
        let at = |point: &RatePoint| (x(point.learning_rate), y.place(value(point).min(highest * 4.0 + 1.0)));
        let steps = points.iter().enumerate().map(|(index, point)| {
            let ((x, y), letter) = (at(point), if index == 0 { 'M' } else { 'L' });
            format!("{letter}{x:.1} {y:.1}")
        });
        steps.collect::<String>()
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"Loss by learning rate\">\n<style>{STYLE}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text class=\"title\" x=\"{LEFT}\" y=\"24\">Loss by learning rate</text>\n"
    );
    let mut line = |text: String| {
        svg.push_str(&text);
        svg.push('\n');
    };
    for Tick { at, label } in y.ticks() {
        line(format!("<line class=\"rule\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{at}\" y2=\"{at}\"/>"));
        line(format!("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{label}</text>", LEFT - 8.0, at + 4.0));
    }
    for (decade, rate) in decades(low, high) {
        let at = x(rate);
        line(format!("<line class=\"rule\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/>"));
        line(format!("<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">1e{decade}</text>", BOTTOM + 18.0));
    }
    line(format!(
        "<clipPath id=\"plot\"><rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{}\" height=\"{}\"/></clipPath>",
        RIGHT - LEFT,
        BOTTOM - TOP
    ));
    line(format!("<path class=\"loss\" clip-path=\"url(#plot)\" d=\"{}\"/>", path(|point| point.loss)));
    line(format!("<path class=\"mean\" clip-path=\"url(#plot)\" d=\"{}\"/>", path(|point| point.smoothed_loss)));
    let marks = suggestion.map(|suggested| {
        [("steepest", "steepest", suggested.steepest), ("lowest", "a tenth of the lowest", suggested.tenth_of_minimum)]
    });
    for (index, (class, name, rate)) in marks.into_iter().flatten().enumerate() {
        let at = x(rate);
        // a tenth may lie in front of the first rate
        if at >= LEFT {
            line(format!("<line class=\"{class}\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/>"));
        }
        let from_right = RIGHT - 220.0 * (1 - index) as f64;
        line(format!(
            "<text class=\"named-{class}\" x=\"{from_right}\" y=\"24\" text-anchor=\"end\">{name}: {rate:.2e}</text>"
        ));
    }
    line(format!("<text x=\"{RIGHT}\" y=\"{}\" text-anchor=\"end\">learning rate</text>", HEIGHT - 14.0));
    line(format!("<text x=\"{LEFT}\" y=\"{}\">bold: smoothed; faint: each step</text>", HEIGHT - 14.0));
    svg.write_str("</svg>\n").ok()?;
    Some(svg)
}

/// The powers of ten between two logarithms, at most a dozen or so.
fn decades(low: f64, high: f64) -> impl Iterator<Item = (i32, f64)> {
    let (first, last) = ((low - 1e-9).ceil() as i32, (high + 1e-9).floor() as i32);
    let every = 1 + ((last - first).max(0) / 12) as usize;
    (first..=last).step_by(every).map(|decade| (decade, 10.0_f64.powi(decade)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_has_both_lines_the_decades_and_the_suggestions() {
        let points: Vec<RatePoint> = (0..60)
            .map(|step| {
                let learning_rate = 10.0_f64.powf(-6.0 + f64::from(step) / 10.0);
                let loss = if step == 59 { 1e30 } else { 2.0 - f64::from(step) / 50.0 };
                RatePoint { learning_rate, loss, smoothed_loss: loss }
            })
            .collect();
        let suggested = SuggestedRates { steepest: 1e-3, tenth_of_minimum: 2e-2 };
        let svg = render(&points, Some(suggested)).unwrap();
        for part in ["class=\"loss\"", "class=\"mean\"", ">1e-6<", ">1e-1<", "steepest: 1.00e-3", "lowest: 2.00e-2"] {
            assert!(svg.contains(part), "{part} is missing in {svg}");
        }
        // of 636 pixels for 5.9 decades the third power is at 3/5.9
        let wanted = LEFT + 3.0 / 5.9 * (RIGHT - LEFT);
        assert!(svg.contains(&format!("class=\"steepest\" x1=\"{wanted:.1}\"")), "{svg}");
        assert!(!svg.contains("inf") && !svg.contains("NaN"), "{svg}");
        assert!(render(&points[..1], None).is_none());
    }
}
