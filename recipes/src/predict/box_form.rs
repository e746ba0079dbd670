use millstream_schemas::{count, shown};
use serde_json::Value as Json;

use super::picture_space::PictureSpace;
use crate::preprocessing::Preprocessing;

/// How boxes stand in the numbers that a model gives: as the encoding `boxes` has written those that it learned.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct BoxForm {
    layout: Layout,
    /// Whether they are pixels of the prepared picture, or else shares of its sides.
    in_pixels: bool,
    /// Boxes of a row.
    pub(super) most: usize,
    /// Of what those were that it learned.
    pub(super) classes: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Corners,
    CornerAndSize,
    CenterAndSize,
}

impl BoxForm {
    /// As a model says that has learned boxes; none of one that has learned something else.
    pub(super) fn of(preprocessing: &Preprocessing) -> Option<Self> {
        let mut of_boxes = preprocessing.targets().filter(|(encoding, _)| encoding.name == "boxes");
        let (encoding, learned) = of_boxes.next().filter(|_| of_boxes.next().is_none())?;
        let word = |key: &str| encoding.options.get(key).and_then(Json::as_str);
        let layout = match word("layout") {
            Some("corner_and_size") => Layout::CornerAndSize,
            Some("center_and_size") => Layout::CenterAndSize,
            Some("corners") | None => Layout::Corners,
            Some(_) => return None,
        };
        let most = encoding.options.get("most").and_then(Json::as_u64)?;
        let names = learned.get("box_classes").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
        let classes = names.iter().filter_map(Json::as_str).map(str::to_owned).collect();
        Some(Self { layout, in_pixels: word("unit") == Some("pixels"), most: usize::try_from(most).ok()?, classes })
    }

    /// What is in all of them, where there is one class alone.
    pub(super) fn class(&self) -> Option<&String> {
        match self.classes.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// What is to be said where there are several: the numbers of a box do not tell which.
    pub(super) fn not_told(&self) -> Option<String> {
        let names: Vec<String> = self.classes.iter().take(20).map(|class| format!("`{}`", shown(class))).collect();
        let more = if self.classes.len() > names.len() { ", …" } else { "" };
        (self.classes.len() > 1).then(|| {
            format!(
                "the model has learned boxes of {} ({}{more}) and tells where they are; of which class one is, its numbers do not say",
                count(self.classes.len() as u64, "class"),
                names.join(", ")
            )
        })
    }

    /// A box in pixels of the picture as it was: left, top, right, bottom.
    pub(super) fn read(&self, numbers: [f32; 4], space: &PictureSpace) -> [f32; 4] {
        let [a, b, c, d] = numbers.map(f64::from);
        let [left, top, right, bottom] = match self.layout {
            Layout::Corners => [a, b, c, d],
            Layout::CornerAndSize => [a, b, a + c, b + d],
            Layout::CenterAndSize => [a - c / 2.0, b - d / 2.0, a + c / 2.0, b + d / 2.0],
        };
        let [across, down] = if self.in_pixels { [1.0; 2] } else { space.prepared() };
        space.bounds([left * across, top * down, right * across, bottom * down])
    }
}

#[cfg(test)]
mod tests {
    use millstream_schemas::Choice;
    use millstream_transforms::{Chain, ImageFacts};
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        let chain = Chain::parse(&[Choice::new("resize", json!({"size": 10}))]).unwrap();
        let space = PictureSpace::of(&chain, &ImageFacts::new(100, 50)).unwrap().unwrap();
        let form = |layout, in_pixels| BoxForm { layout, in_pixels, most: 1, classes: Vec::new() };
        for (form, numbers) in [
            (form(Layout::Corners, false), [0.25, 0.5, 0.75, 1.0]),
            (form(Layout::CornerAndSize, false), [0.25, 0.5, 0.5, 0.5]),
            (form(Layout::CenterAndSize, false), [0.5, 0.75, 0.5, 0.5]),
            (form(Layout::Corners, true), [2.5, 5.0, 7.5, 10.0]),
        ] {
            assert_eq!(form.read(numbers, &space), [25.0, 25.0, 75.0, 50.0], "{form:?}");
        }
    }

    #[test]
    fn one_class_is_that_of_all_boxes_and_of_several_it_is_said_that_none_is_told() {
        let form = |classes: &[&str]| BoxForm {
            layout: Layout::Corners,
            in_pixels: false,
            most: 1,
            classes: classes.iter().map(|class| (*class).to_owned()).collect(),
        };
        assert_eq!((form(&["cat"]).class().map(String::as_str), form(&["cat"]).not_told()), (Some("cat"), None));
        assert_eq!((form(&[]).class(), form(&[]).not_told()), (None, None));
        let (class, said) = (form(&["cat", "dog"]).class().cloned(), form(&["cat", "dog"]).not_told().unwrap());
        assert!(class.is_none() && said.contains("2 classes (`cat`, `dog`)"), "{said}");
    }
}
