//! A picture with two axes.

use super::axis::Axis;

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 448.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 232.0;

/// Two axes and what is drawn between them.
pub(super) struct Plot {
    x: Axis,
    y: Axis,
    body: String,
}

impl Plot {
    pub(super) fn new(x: Axis, y: Axis) -> Self {
        Self { x, y, body: String::new() }
    }

    /// The pixel of a place, 0 to 1 on each axis.
    pub(super) fn at(x: f64, y: f64) -> (f64, f64) {
        (tenth(LEFT + x * (RIGHT - LEFT)), tenth(BOTTOM - y * (BOTTOM - TOP)))
    }

    /// A mark of a class at a place, with what it stands for.
    pub(super) fn dot(&mut self, class: &str, place: (f64, f64), told: &str) {
        self.circle(class, place, 4.0, told);
    }

    /// A small one, of several on one line.
    pub(super) fn point(&mut self, class: &str, place: (f64, f64), told: &str) {
        self.circle(class, place, 2.2, told);
    }

    fn circle(&mut self, class: &str, (x, y): (f64, f64), radius: f64, told: &str) {
        let (x, y) = Self::at(x, y);
        self.body.push_str(&format!(
            "<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"><title>{}</title></circle>\n",
            escaped(told)
        ));
    }

    /// A line through places, with what it stands for.
    pub(super) fn line(&mut self, class: &str, style: &str, places: &[(f64, f64)], told: &str) {
        let points = places.iter().map(|(x, y)| Self::at(*x, *y)).map(|(x, y)| format!("{x} {y}"));
        let path = points.collect::<Vec<_>>().join("L");
        self.body.push_str(&format!(
            "<path class=\"{class}\" style=\"{style}\" d=\"M{path}\"><title>{}</title></path>\n",
            escaped(told)
        ));
    }

    /// A filled part of the picture, from one place to another.
    pub(super) fn cell(&mut self, fill: &str, from: (f64, f64), to: (f64, f64), told: &str) {
        let ((left, bottom), (right, top)) = (Self::at(from.0, from.1), Self::at(to.0, to.1));
        let (width, height) = (tenth(right - left + 0.3), tenth(bottom - top + 0.3));
        self.body.push_str(&format!(
            "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" shape-rendering=\"crispEdges\" style=\"fill: {fill}\"><title>{}</title></rect>\n",
            escaped(told)
        ));
    }

    pub(super) fn render(&self, title: &str) -> String {
        let mut rules = String::new();
        for (at, label) in &self.y.ticks {
            let (_, y) = Self::at(0.0, *at);
            rules.push_str(&format!(
                "<line class=\"rule\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y}\" y2=\"{y}\"/>\
                 <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n",
                LEFT - 6.0,
                y + 4.0,
                escaped(label)
            ));
        }
        for (at, label) in &self.x.ticks {
            let (x, _) = Self::at(*at, 0.0);
            // A label at an edge stays in the picture.
            let anchor = if *at > 0.97 { "end" } else { "middle" };
            rules.push_str(&format!(
                "<text x=\"{x}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>\n",
                BOTTOM + 22.0,
                escaped(label)
            ));
        }
        format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n{rules}\
             <text x=\"{RIGHT}\" y=\"{}\" text-anchor=\"end\">{}</text>\n{}</svg>\n",
            escaped(title),
            HEIGHT - 8.0,
            escaped(&self.x.name),
            self.body
        )
    }
}

/// Finer is not seen.
pub(super) fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Text of a page.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A part of the page with a heading.
pub(super) fn panel(title: &str, body: &str, note: &str) -> String {
    let note = if note.is_empty() { String::new() } else { format!("<p class=\"soft\">{}</p>", escaped(note)) };
    format!("<section class=\"panel\"><h2>{}</h2>\n{body}{note}</section>\n", escaped(title))
}
