//! Targets over a picture.

use std::collections::BTreeMap;

use millstream_pipeline::encodings::Mark;
use millstream_transforms::RgbImage;

use super::lettering::{LETTER_WIDTH, LINE_HEIGHT, Line, dot, write};

/// Colours that people tell apart whichever way they see colours (Okabe and Ito, "Color Universal Design", 2008).
const COLOURS: [[u8; 3]; 7] =
    [[86, 180, 233], [230, 159, 0], [0, 158, 115], [240, 228, 66], [0, 114, 178], [213, 94, 0], [204, 121, 167]];
const DARK: [u8; 3] = [17, 17, 17];
const LIGHT: [u8; 3] = [255, 255, 255];
/// Share of a tint in a pixel, in 256.
const TINT: u32 = 110;
/// Pixels from one line of a hatching to the next.
const HATCHING: u32 = 6;
/// Most colours and numbers that a legend explains.
const MOST_EXPLAINED: usize = 24;
/// Most classes of boxes that are named below a picture.
const MOST_NAMED: usize = 6;
/// Pixels of a point's arms.
const ARM: i64 = 4;

/// The colour of a class or point by its number: beyond the palette, darker ones of it.
pub(crate) fn colour(number: usize) -> [u8; 3] {
    let darker = |value: u8| if number / COLOURS.len() % 2 == 1 { value / 2 } else { value };
    COLOURS[number % COLOURS.len()].map(darker)
}

/// Draws marks on a picture that was enlarged or shrunk by these factors: regions below, then boxes, points above all.
pub(crate) fn draw(picture: &mut RgbImage, factors: (f32, f32), marks: &[Mark]) {
    for mark in marks {
        if let Mark::Regions { width, classes, .. } = mark {
            regions(picture, factors, *width, classes);
        }
    }
    for mark in marks {
        if let Mark::Box { left, top, right, bottom, class } = mark {
            let corners = [left * factors.0, top * factors.1, right * factors.0, bottom * factors.1];
            outline(picture, corners, class.as_ref().map(|(number, name)| (*number, name.as_str())));
        }
    }
    for mark in marks {
        if let Mark::Point { x, y, number, .. } = mark {
            point(picture, (x * factors.0, y * factors.1), *number);
        }
    }
}

/// What the colours and numbers stand for, as far as it is not written beside them.
pub(super) fn legend<'a>(marks: impl Iterator<Item = &'a Mark>) -> Vec<Line> {
    let (mut regions, mut points, mut ignored) = (BTreeMap::new(), BTreeMap::new(), false);
    for mark in marks {
        match mark {
            Mark::Regions { classes, names, .. } => {
                ignored |= classes.contains(&None);
                for class in classes.iter().flatten() {
                    let class = usize::from(*class);
                    regions.entry(class).or_insert_with(|| names.get(class).cloned().unwrap_or_default());
                }
            }
            Mark::Point { number, name: Some(name), .. } => {
                points.insert(*number, format!("{number} {name}"));
            }
            _ => {}
        }
    }
    let of_colour = |(number, text): (usize, String)| Line { text, swatch: Some(colour(number)) };
    let hatched = ignored.then(|| Line::from("hatched: does not count".to_owned()));
    let mut lines: Vec<Line> = regions.into_iter().chain(points).map(of_colour).collect();
    let more = lines.len().saturating_sub(MOST_EXPLAINED);
    lines.truncate(MOST_EXPLAINED);
    let more = (more > 0).then(|| Line::from(format!("and {more} more")));
    lines.into_iter().chain(more).chain(hatched).collect()
}

/// The names of the classes of boxes, each once, in their order; none where boxes have none.
pub(super) fn box_classes<'a>(marks: impl Iterator<Item = &'a Mark>) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for mark in marks {
        if let Mark::Box { class: Some((_, name)), .. } = mark
            && !name.is_empty()
            && !names.contains(&name.as_str())
        {
            names.push(name);
        }
    }
    let more = names.len().saturating_sub(MOST_NAMED);
    names.truncate(MOST_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!names.is_empty()).then(|| names.join(", ") + &more)
}

/// Tints each class, with a line where it ends; hatches what does not count.
fn regions(picture: &mut RgbImage, (across, down): (f32, f32), width: usize, classes: &[Option<u16>]) {
    let height = classes.len() / width.max(1);
    let class = |x: u32, y: u32| {
        let place = |place: u32, factor: f32, length: usize| {
            (((place as f32 + 0.5) / factor) as usize).min(length.saturating_sub(1))
        };
        classes.get(place(y, down, height) * width + place(x, across, width)).copied().flatten()
    };
    for y in 0..picture.height {
        for x in 0..picture.width {
            let here = class(x, y);
            let ends = (x + 1 < picture.width && class(x + 1, y) != here)
                || (y + 1 < picture.height && class(x, y + 1) != here);
            match here {
                Some(class) => blend(picture, x, y, colour(class.into()), if ends { 256 } else { TINT }),
                // On dark pictures as well as on light ones.
                None => match (x + y) % HATCHING {
                    0 => blend(picture, x, y, LIGHT, 160),
                    1 => blend(picture, x, y, DARK, 160),
                    _ => {}
                },
            }
        }
    }
}

/// A box of two pixels' width, and the name of its class at its corner.
fn outline(picture: &mut RgbImage, corners: [f32; 4], class: Option<(usize, &str)>) {
    let colour = colour(class.map_or(0, |(number, _)| number));
    let within = |place: f32, length: u32| (place.round() as i64).clamp(0, i64::from(length) - 1);
    let (left, right) = (within(corners[0], picture.width), within(corners[2] - 1.0, picture.width));
    let (top, bottom) = (within(corners[1], picture.height), within(corners[3] - 1.0, picture.height));
    for inset in 0..2 {
        let (left, right, top, bottom) = (left + inset, right - inset, top + inset, bottom - inset);
        for x in left..=right {
            dot(picture, x, top, colour);
            dot(picture, x, bottom, colour);
        }
        for y in top..=bottom {
            dot(picture, left, y, colour);
            dot(picture, right, y, colour);
        }
    }
    let Some((_, name)) = class.filter(|(_, name)| !name.is_empty()) else { return };
    let room = (picture.width / LETTER_WIDTH) as usize;
    let name: String = name.chars().take(room).collect();
    let (wide, high) = (i64::from(LETTER_WIDTH) * name.chars().count() as i64, i64::from(LINE_HEIGHT) - 1);
    let x = left.min(i64::from(picture.width) - wide).max(0);
    let y = if top >= high { top - high } else { top };
    for (dx, dy) in (0..high).flat_map(|dy| (0..wide).map(move |dx| (dx, dy))) {
        dot(picture, x + dx, y + dy, colour);
    }
    let bright = colour.iter().map(|value| u32::from(*value)).sum::<u32>() > 300;
    write(picture, x as u32, y as u32 + 1, &name, if bright { DARK } else { LIGHT });
}

/// A cross with its number.
fn point(picture: &mut RgbImage, (x, y): (f32, f32), number: usize) {
    // A pixel is shown where its centre is.
    let (x, y) = ((x - 0.5).round() as i64, (y - 0.5).round() as i64);
    for along in -ARM - 1..=ARM + 1 {
        for beside in -1..=1 {
            dot(picture, x + along, y + beside, DARK);
            dot(picture, x + beside, y + along, DARK);
        }
    }
    for along in -ARM..=ARM {
        dot(picture, x + along, y, colour(number));
        dot(picture, x, y + along, colour(number));
    }
    let number = number.to_string();
    let wide = number.len() as i64 * i64::from(LETTER_WIDTH);
    let left = if x + 3 + wide <= i64::from(picture.width) { x + 3 } else { x - 3 - wide };
    let above = if y >= i64::from(LINE_HEIGHT) { y - i64::from(LINE_HEIGHT) + 1 } else { y + 3 };
    let (left, above) = (left.max(0) as u32, above.max(0) as u32);
    write(picture, left + 1, above + 1, &number, DARK);
    write(picture, left, above, &number, LIGHT);
}

/// Mixes a colour into a pixel, of 256 parts.
fn blend(picture: &mut RgbImage, x: u32, y: u32, colour: [u8; 3], parts: u32) {
    let at = (y as usize * picture.width as usize + x as usize) * 3;
    for (pixel, colour) in picture.pixels[at..at + 3].iter_mut().zip(colour) {
        *pixel = ((u32::from(*pixel) * (256 - parts) + u32::from(colour) * parts) / 256) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: u32, height: u32) -> RgbImage {
        RgbImage { width, height, pixels: vec![100; (width * height * 3) as usize] }
    }

    fn pixel(picture: &RgbImage, x: u32, y: u32) -> [u8; 3] {
        let at = ((y * picture.width + x) * 3) as usize;
        [0, 1, 2].map(|channel| picture.pixels[at + channel])
    }

    #[test]
    fn regions_are_tinted_where_they_are_and_what_does_not_count_is_hatched() {
        let mut picture = grey(40, 20);
        let names: std::sync::Arc<[String]> = ["sky".to_owned(), "car".to_owned()].into();
        let classes = vec![Some(0), Some(1), None, None, Some(1), Some(1), None, None];
        let mark = Mark::Regions { width: 4, classes, names };
        draw(&mut picture, (10.0, 10.0), std::slice::from_ref(&mark));
        let tinted =
            |number: usize| colour(number).map(|value| ((100 * (256 - TINT) + u32::from(value) * TINT) / 256) as u8);
        assert_eq!(
            (pixel(&picture, 4, 4), pixel(&picture, 14, 4), pixel(&picture, 4, 14)),
            (tinted(0), tinted(1), tinted(1))
        );
        // the line where a region ends
        assert_eq!((pixel(&picture, 9, 4), pixel(&picture, 4, 9)), (colour(0), colour(0)));
        let hatched = (20..39).filter(|x| pixel(&picture, *x, 3) != [100; 3]).count();
        assert_eq!(hatched, 6);
        let texts: Vec<_> = legend(std::iter::once(&mark)).into_iter().map(|line| (line.text, line.swatch)).collect();
        let wanted = [("sky", Some(colour(0))), ("car", Some(colour(1))), ("hatched: does not count", None)];
        assert_eq!(texts, wanted.map(|(text, swatch)| (text.to_owned(), swatch)));
    }

    #[test]
    fn a_legend_of_many_classes_does_not_push_everything_else_off_the_sheet() {
        for (count, wanted, last) in [(23, 24, "hatched: does not count"), (24, 25, "c23"), (90, 26, "and 66 more")] {
            let names: std::sync::Arc<[String]> = (0..count).map(|class| format!("c{class}")).collect();
            let classes = (0..count).map(Some).chain([None]).collect();
            let mark = Mark::Regions { width: 1, classes, names };
            let lines = legend(std::iter::once(&mark));
            assert_eq!(lines.len(), wanted, "{count}");
            assert!(lines.iter().any(|line| line.text == last), "{count}: {lines:?}");
        }
    }

    #[test]
    fn classes_of_boxes_are_named_once_each_and_the_rest_of_many_is_counted() {
        let of = |names: &[&str]| {
            let mark = |(number, name): (usize, &&str)| {
                let class = (!name.is_empty()).then(|| (number, (*name).to_owned()));
                Mark::Box { left: 0.0, top: 0.0, right: 1.0, bottom: 1.0, class }
            };
            box_classes(names.iter().enumerate().map(mark).collect::<Vec<_>>().iter())
        };
        assert_eq!(of(&["dog", "cat", "dog"]).as_deref(), Some("dog, cat"));
        assert_eq!(of(&[""]), None);
        assert_eq!(of(&["a", "b", "c", "d", "e", "f", "g", "h"]).as_deref(), Some("a, b, c, d, e, f and 2 more"));
    }

    #[test]
    fn boxes_and_points_are_drawn_where_they_are_and_nothing_outside() {
        let mut picture = grey(60, 40);
        let class = Some((2, "a long name of a class".to_owned()));
        let far = Mark::Box { left: -9.0, top: -9.0, right: 90.0, bottom: 90.0, class: None };
        let mark = Mark::Box { left: 5.0, top: 10.0, right: 20.0, bottom: 19.0, class };
        draw(&mut picture, (2.0, 2.0), std::slice::from_ref(&mark));
        for (x, y) in [(10, 25), (11, 25), (39, 25), (38, 25), (20, 36), (20, 37), (20, 20), (39, 37)] {
            assert_eq!(pixel(&picture, x, y), colour(2), "{x} {y}");
        }
        for (x, y) in [(9, 25), (12, 25), (37, 25), (40, 25), (20, 35), (20, 38)] {
            assert_eq!(pixel(&picture, x, y), [100; 3], "{x} {y}");
        }
        let mut picture = grey(60, 40);
        let point = |x, y, number| Mark::Point { x, y, number, name: Some("eye".into()) };
        let marks = [far, point(15.25, 10.25, 12), point(29.9, 0.1, 3), point(-70.0, 500.0, 4)];
        draw(&mut picture, (2.0, 2.0), &marks);
        assert_eq!(
            (pixel(&picture, 30, 20), pixel(&picture, 34, 20), pixel(&picture, 30, 16)),
            (colour(12), colour(12), colour(12))
        );
        assert_eq!((pixel(&picture, 0, 30), pixel(&picture, 59, 30)), (colour(0), colour(0)));
        assert_eq!(legend(marks.iter()).len(), 3);
    }
}
