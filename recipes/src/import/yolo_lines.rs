use super::objects::Objects;

/// The boxes that the lines of a YOLO file say of an image of this size: `class x y width height`, the centre and the sides as
/// shares of the image. Behind the class may stand a polygon instead (three corners or more), which becomes the box around it. A
/// score behind a box is left aside, and so are key points, where there are any.
///
/// # Errors
/// The number of a line that says something else, and what is wrong with it.
pub(super) fn boxes_of_lines(
    text: &str,
    (width, height): (u32, u32),
    classes: usize,
    key_points: bool,
) -> Result<Objects, (usize, String)> {
    let box_of = |x: f64, y: f64, w: f64, h: f64| (x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0);
    let mut objects = Objects::default();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |reason: String| (at + 1, reason);
        let mut words = line.split_whitespace();
        let class = class_of(words.next()).ok_or_else(|| wrong("it begins with no class".into()))?;
        if class >= classes {
            return Err(wrong(format!("it is of class {class}, and there are {classes}")));
        }
        let numbers: Option<Vec<f64>> =
            words.map(|word| word.parse().ok().filter(|number: &f64| number.is_finite())).collect();
        let numbers = numbers.ok_or_else(|| wrong("it holds what is no number".into()))?;
        let (left, top, right, bottom) = match numbers.as_slice() {
            [x, y, w, h] | [x, y, w, h, _] => box_of(*x, *y, *w, *h),
            [x, y, w, h, ..] if key_points => box_of(*x, *y, *w, *h),
            corners if corners.len() >= 6 && corners.len() % 2 == 0 => {
                let across = corners.iter().step_by(2).copied();
                let down = corners.iter().skip(1).step_by(2).copied();
                let least = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min);
                let most = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::NEG_INFINITY, f64::max);
                (
                    least(&mut across.clone()),
                    least(&mut down.clone()),
                    most(&mut across.clone()),
                    most(&mut down.clone()),
                )
            }
            other => return Err(wrong(format!("behind the class stand {} numbers, which make no box", other.len()))),
        };
        if !(right > left && bottom > top) {
            return Err(wrong("its box has no area".into()));
        }
        let (width, height) = (f64::from(width), f64::from(height));
        let rounded = |pixels: f64| (pixels * 1000.0).round() / 1000.0;
        let sides = [left * width, top * height, (right - left) * width, (bottom - top) * height];
        objects.boxes.push(sides.map(rounded));
        objects.classes.push(class as u32);
    }
    Ok(objects)
}

/// The class that a line begins with; some write it with a point.
pub(super) fn class_of(word: Option<&str>) -> Option<usize> {
    let word = word?;
    word.strip_suffix(".0").unwrap_or(word).parse().ok().filter(|class| *class < 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_boxes_in_pixels() {
        let text = "0 0.5 0.5 0.5 0.25\n\n1.0 0.1 0.2 0.3 0.2 0.3 0.6 0.1 0.6\n1 0.25 0.25 0.5 0.5 0.9\n";
        let objects = boxes_of_lines(text, (200, 100), 2, false).unwrap();
        assert_eq!(objects.classes, [0, 1, 1]);
        assert_eq!(objects.boxes, [[50.0, 37.5, 100.0, 25.0], [20.0, 20.0, 40.0, 40.0], [0.0, 0.0, 100.0, 50.0]]);
        for (line, wanted) in [
            ("x 0 0 1 1", "no class"),
            ("2 0.5 0.5 1 1", "of class 2, and there are 2"),
            ("0 0.5 0.5 1", "3 numbers"),
            ("0 0.5 0.5 nan 1", "no number"),
            ("0 0.5 0.5 0 1", "no area"),
        ] {
            let (at, reason) = boxes_of_lines(&format!("0 0.5 0.5 1 1\n{line}"), (10, 10), 2, false).unwrap_err();
            assert!(at == 2 && reason.contains(wanted), "{line}: {reason}");
        }
    }
}
