use millstream_pipeline::decode;
use millstream_schemas::{count, shown};

use super::values::Value;

/// Pixels that a box may reach out of its picture and be cut at its edge when it is read: annotations are often rounded.
const ROUNDED: f64 = 1.0;

/// Boxes of rows that reach further out of their pictures, each of which is a damaged row to a run.
#[derive(Debug, Default)]
pub(super) struct BoxesOutside {
    boxes: u64,
    rows: u64,
    /// The first of them, by the place of its row.
    first: Option<(usize, OutsideBox)>,
}

/// One that does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct OutsideBox {
    /// Left, top, right, bottom, in pixels.
    corners: [f64; 4],
    /// Width and height of its picture.
    size: (u32, u32),
}

/// How many boxes of a row do, and the first of them; none where no box does.
pub(super) fn outside(cells: &[Value]) -> Option<(u64, OutsideBox)> {
    let objects =
        cells.iter().find_map(|cell| if let Value::Objects(objects) = cell { Some(objects) } else { None })?;
    let image = cells.iter().find_map(|cell| if let Value::Image { bytes, .. } = cell { Some(bytes) } else { None })?;
    if objects.boxes.is_empty() {
        return None;
    }
    let facts = decode::header(image).ok()?.facts;
    let size = (facts.width, facts.height);
    let inside = |from: f64, until: f64, length: u32| {
        let length = f64::from(length);
        from >= -ROUNDED && until <= length + ROUNDED && until > 0.0 && from < length
    };
    let corners = objects.boxes.iter().map(|[left, top, width, height]| [*left, *top, left + width, top + height]);
    let is_outside =
        |[left, top, right, bottom]: &[f64; 4]| !inside(*left, *right, size.0) || !inside(*top, *bottom, size.1);
    let all: Vec<[f64; 4]> = corners.filter(is_outside).collect();
    let first = all.first()?;
    Some((all.len() as u64, OutsideBox { corners: *first, size }))
}

impl BoxesOutside {
    /// Counts those of the row at a place.
    pub(super) fn add(&mut self, row: usize, (boxes, one): (u64, OutsideBox)) {
        self.boxes += boxes;
        self.rows += 1;
        if self.first.is_none_or(|(first, _)| row < first) {
            self.first = Some((row, one));
        }
    }

    /// What to say of them, and what is to be done; `name` is what the row at a place is called.
    pub(super) fn note(&self, name: impl FnOnce(usize) -> String) -> Option<String> {
        let (row, OutsideBox { corners: [left, top, right, bottom], size: (width, height) }) = self.first?;
        let reach = if self.boxes == 1 { "reaches" } else { "reach" };
        Some(format!(
            "{} in {} {reach} more than a pixel out of the picture, and a run ends at such a row unless \
             `data.damaged: skip` leaves it out (`--set data.damaged=skip`); the first is from ({left}, {top}) to ({right}, {bottom}) in \
             `{}` of {width}×{height} pixels",
            count(self.boxes, "box"),
            count(self.rows, "row"),
            shown(name(row))
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::objects::Objects;
    use super::*;

    #[test]
    fn boxes_that_reach_out_of_their_pictures_are_counted_and_the_first_is_named() {
        // a PNM of 8×6 pixels
        let image = || Value::Image { bytes: [b"P5 8 6 255\n".to_vec(), vec![0; 48]].concat(), path: "a.pgm".into() };
        let row = |boxes: &[[f64; 4]]| {
            let objects = Objects { boxes: boxes.to_vec(), classes: vec![0; boxes.len()], annotations: Vec::new() };
            [image(), Value::Objects(objects)]
        };
        assert_eq!(outside(&row(&[[0.0, 0.0, 8.0, 6.0], [-1.0, 0.0, 9.5, 7.0]])), None);
        assert_eq!(outside(&row(&[])), None);
        let mut all = BoxesOutside::default();
        assert_eq!(all.note(|_| unreachable!()), None);
        all.add(3, outside(&row(&[[9.0, 0.0, 1.0, 1.0]])).unwrap());
        all.add(1, outside(&row(&[[0.0, 0.0, 1.0, 1.0], [2.0, 1.0, 8.0, 2.0], [0.0, -2.0, 1.0, 3.0]])).unwrap());
        let note = all.note(|row| format!("{row}.pgm")).unwrap();
        assert!(note.starts_with("3 boxes in 2 rows reach more than a pixel out"), "{note}");
        assert!(note.ends_with("from (2, 1) to (10, 3) in `1.pgm` of 8×6 pixels"), "{note}");
    }
}
