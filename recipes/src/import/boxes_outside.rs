use std::str::FromStr;

use millstream_pipeline::decode;
use millstream_schemas::{count, shown};

use super::objects::Objects;
use super::values::Value;

/// Pixels that a box may reach out of its picture and be cut at its edge when it is read: annotations are often rounded.
const ROUNDED: f64 = 1.0;

/// What an import does with boxes that reach further out of their pictures, each of which is a damaged row to a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BoxesOutside {
    /// They stay as they are, and are counted.
    #[default]
    Keep,
    /// All boxes are cut at the edges of their pictures; one of which nothing lies in the picture is left out.
    Clip,
    /// Rows that have one are left out.
    LeaveOut,
}

impl BoxesOutside {
    /// All that can be asked for.
    pub const ALL: [Self; 3] = [Self::Keep, Self::Clip, Self::LeaveOut];

    /// As the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Clip => "clip",
            Self::LeaveOut => "leave-out",
        }
    }
}

impl FromStr for BoxesOutside {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|own| own.name() == text);
        known.ok_or_else(|| format!("`{}` is none of `keep`, `clip` and `leave-out`", shown(text)))
    }
}

/// Those of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RowOutside {
    boxes: u64,
    /// Those of them that were left out.
    gone: u64,
    first: OutsideBox,
}

/// Those of all rows.
#[derive(Debug, Default)]
pub(super) struct AllOutside {
    boxes: u64,
    gone: u64,
    rows: u64,
    /// The first of them, by the place of its row.
    first: Option<(usize, OutsideBox)>,
}

/// One that does.
#[derive(Clone, Copy, Debug, PartialEq)]
struct OutsideBox {
    /// Left, top, right, bottom, in pixels.
    corners: [f64; 4],
    /// Width and height of its picture.
    size: (u32, u32),
}

impl BoxesOutside {
    /// Does it to the cells of a row, and says how many boxes reached out of its picture; none where no box did.
    ///
    /// # Errors
    /// The row is left out, for this reason.
    pub(super) fn apply(self, cells: &mut [Value]) -> Result<Option<RowOutside>, String> {
        let has_boxes = |cell: &Value| matches!(cell, Value::Objects(objects) if !objects.boxes.is_empty());
        if !cells.iter().any(has_boxes) {
            return Ok(None);
        }
        let image =
            cells.iter().find_map(|cell| if let Value::Image { bytes, .. } = cell { Some(bytes) } else { None });
        // a picture without a header that is read was left out before
        let Some(facts) = image.and_then(|bytes| decode::header(bytes).ok()).map(|header| header.facts) else {
            return Ok(None);
        };
        let size = (facts.width, facts.height);
        let mut all: Option<RowOutside> = None;
        for cell in cells {
            let Value::Objects(objects) = cell else { continue };
            let mut outside = objects.boxes.iter().map(corners).filter(|corners| !lies_in(corners, size, ROUNDED));
            let first = outside.next();
            let boxes = outside.count() as u64 + u64::from(first.is_some());
            let gone = if self == Self::Clip { clip(objects, size) } else { 0 };
            if let Some(corners) = first {
                let all = all.get_or_insert(RowOutside { boxes: 0, gone: 0, first: OutsideBox { corners, size } });
                all.boxes += boxes;
                all.gone += gone;
            }
        }
        match all {
            Some(RowOutside { first, .. }) if self == Self::LeaveOut => {
                Err(format!("it has a box {} that is not in its picture", first.in_words()))
            }
            all => Ok(all),
        }
    }
}

fn corners([left, top, width, height]: &[f64; 4]) -> [f64; 4] {
    [*left, *top, left + width, top + height]
}

/// Whether a box lies in a picture of this width and height, but for so many pixels.
fn lies_in([left, top, right, bottom]: &[f64; 4], (width, height): (u32, u32), slack: f64) -> bool {
    let side = |from: f64, until: f64, length: u32| {
        let length = f64::from(length);
        from >= -slack && until <= length + slack && until > 0.0 && from < length
    };
    side(*left, *right, width) && side(*top, *bottom, height)
}

/// Cuts boxes at the edges of a picture of this width and height, and leaves those out of which nothing lies in it; how many these are. What
/// annotations say of areas is then no more than the box.
fn clip(objects: &mut Objects, (width, height): (u32, u32)) -> u64 {
    let mut kept = vec![true; objects.boxes.len()];
    for (at, (own, kept)) in objects.boxes.iter_mut().zip(&mut kept).enumerate() {
        let [left, top, right, bottom] = corners(own);
        if lies_in(&[left, top, right, bottom], (width, height), 0.0) {
            continue;
        }
        let [left, right] = [left, right].map(|place| place.clamp(0.0, f64::from(width)));
        let [top, bottom] = [top, bottom].map(|place| place.clamp(0.0, f64::from(height)));
        *own = [left, top, right - left, bottom - top];
        *kept = right > left && bottom > top;
        if let Some(area) = objects.annotations.get_mut(at).and_then(|annotation| annotation.area.as_mut()) {
            *area = area.min((right - left) * (bottom - top));
        }
    }
    retain(&mut objects.boxes, &kept);
    retain(&mut objects.classes, &kept);
    retain(&mut objects.annotations, &kept);
    kept.iter().filter(|kept| !**kept).count() as u64
}

fn retain<T>(all: &mut Vec<T>, kept: &[bool]) {
    let mut kept = kept.iter();
    all.retain(|_| kept.next().copied().unwrap_or(true));
}

impl OutsideBox {
    /// `from (2, 1) to (10, 3)`.
    fn in_words(&self) -> String {
        let [left, top, right, bottom] = self.corners;
        format!("from ({left}, {top}) to ({right}, {bottom})")
    }
}

impl AllOutside {
    /// Counts those of the row at a place.
    pub(super) fn add(&mut self, row: usize, found: RowOutside) {
        self.boxes += found.boxes;
        self.gone += found.gone;
        self.rows += 1;
        if self.first.is_none_or(|(first, _)| row < first) {
            self.first = Some((row, found.first));
        }
    }

    /// What to say of them, and what was done or is to be done; `name` is what the row at a place is called.
    pub(super) fn note(&self, done: BoxesOutside, name: impl FnOnce(usize) -> String) -> Option<String> {
        let (row, first) = self.first?;
        let (width, height) = first.size;
        let (boxes, rows) = (count(self.boxes, "box"), count(self.rows, "row"));
        let first = format!("{} in `{}` of {width}×{height} pixels", first.in_words(), shown(name(row)));
        if done == BoxesOutside::Clip {
            let (were, gone) = (if self.boxes == 1 { "was" } else { "were" }, self.gone);
            let gone = match gone {
                0 => String::new(),
                gone => format!("; of {gone} of them nothing lay in the picture, and nothing is left"),
            };
            return Some(format!(
                "{boxes} in {rows} that reached more than a pixel out of the picture {were} cut at its edges{gone}; the first was {first}"
            ));
        }
        let reach = if self.boxes == 1 { "reaches" } else { "reach" };
        Some(format!(
            "{boxes} in {rows} {reach} more than a pixel out of the picture, and a run ends at such a row unless `millstream import … --boxes \
             clip` cuts it, or `data.damaged: skip` leaves it out (`--set data.damaged=skip`); the first is {first}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::objects::Annotation;
    use super::*;

    /// A picture of 8×6 pixels with these boxes.
    fn row(boxes: &[[f64; 4]]) -> [Value; 2] {
        let bytes = [b"P5 8 6 255\n".to_vec(), vec![0; 48]].concat();
        let classes = (0..boxes.len() as u32).collect();
        let objects = Objects { boxes: boxes.to_vec(), classes, annotations: Vec::new() };
        [Value::Image { bytes, path: "a.pgm".into() }, Value::Objects(objects)]
    }

    #[test]
    fn boxes_that_reach_out_of_their_pictures_are_counted_and_the_first_is_named() {
        let outside = |boxes: &[[f64; 4]]| BoxesOutside::Keep.apply(&mut row(boxes)).unwrap();
        assert_eq!(outside(&[[0.0, 0.0, 8.0, 6.0], [-1.0, 0.0, 9.5, 7.0]]), None);
        assert_eq!(outside(&[]), None);
        let mut all = AllOutside::default();
        assert_eq!(all.note(BoxesOutside::Keep, |_| unreachable!()), None);
        all.add(3, outside(&[[9.0, 0.0, 1.0, 1.0]]).unwrap());
        all.add(1, outside(&[[0.0, 0.0, 1.0, 1.0], [2.0, 1.0, 8.0, 2.0], [0.0, -2.0, 1.0, 3.0]]).unwrap());
        let note = all.note(BoxesOutside::Keep, |row| format!("{row}.pgm")).unwrap();
        assert!(note.starts_with("3 boxes in 2 rows reach more than a pixel out"), "{note}");
        assert!(note.ends_with("from (2, 1) to (10, 3) in `1.pgm` of 8×6 pixels"), "{note}");
    }

    #[test]
    fn boxes_are_cut_at_the_edges_and_those_out_of_the_picture_go_with_their_classes() {
        let boxes = [[1.0, 1.0, 2.0, 2.0], [-2.0, -1.0, 4.0, 4.0], [9.0, 0.0, 1.0, 1.0], [7.5, 0.0, 1.0, 6.5]];
        let mut cells = row(&boxes);
        let Value::Objects(objects) = &mut cells[1] else { unreachable!() };
        objects.annotations = [4.0, 16.0, 1.0, 2.0]
            .map(|area| Annotation { id: Some(area as i64), area: Some(area), is_crowd: false })
            .to_vec();
        let found = BoxesOutside::Clip.apply(&mut cells).unwrap().unwrap();
        assert_eq!((found.boxes, found.gone, found.first.corners), (2, 1, [-2.0, -1.0, 2.0, 3.0]));
        let Value::Objects(objects) = &cells[1] else { unreachable!() };
        assert_eq!(objects.boxes, [[1.0, 1.0, 2.0, 2.0], [0.0, 0.0, 2.0, 3.0], [7.5, 0.0, 0.5, 6.0]]);
        assert_eq!(objects.classes, [0, 1, 3]);
        let areas: Vec<_> = objects.annotations.iter().map(|annotation| (annotation.id, annotation.area)).collect();
        assert_eq!(areas, [(Some(4), Some(4.0)), (Some(16), Some(6.0)), (Some(2), Some(2.0))]);
        assert_eq!(BoxesOutside::Clip.apply(&mut cells).unwrap(), None, "what is cut is cut");
        let mut all = AllOutside::default();
        all.add(0, found);
        let note = all.note(BoxesOutside::Clip, |_| "a.pgm".into()).unwrap();
        for part in ["2 boxes in 1 row that reached", "were cut at its edges; of 1 of them nothing lay", "(-2, -1)"] {
            assert!(note.contains(part), "wanted {part} in {note}");
        }
    }

    #[test]
    fn rows_with_boxes_out_of_their_pictures_are_left_out_where_that_is_asked() {
        let rule: BoxesOutside = "leave-out".parse().unwrap();
        assert_eq!(rule.apply(&mut row(&[[-0.5, 0.0, 8.0, 6.0]])), Ok(None));
        let reason = rule.apply(&mut row(&[[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 9.5, 6.0]])).unwrap_err();
        assert_eq!(reason, "it has a box from (0, 0) to (9.5, 6) that is not in its picture");
        assert!("cut".parse::<BoxesOutside>().unwrap_err().contains("`keep`, `clip` and `leave-out`"));
    }
}
