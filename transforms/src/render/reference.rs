//! The slow and obvious twin: each output pixel asks every step where it comes from, and weighs the source pixels
//! around that place one by one.
//!
//! Written from the definitions, in f64 and without planning. The fast renderer may differ by what it is documented to
//! do otherwise, in steps of 1/255: nothing for copies and for turns that change no size; 1.1 at most and 0.32 in the
//! mean for 8-bit pixels after resizing; for a turned image of another size (a filter at the output's resolution
//! followed by interpolation) 2.5 at most where the image is smooth, and 2.5 in the mean where it is full of edges and
//! grain.

use super::map::Map;
use super::map_run::hard_edges;
use super::*;
use crate::matrix::Matrix;
use crate::steps::map::{Border, Place};
use crate::steps::point::RowPlace;
use crate::{DrawnStep, ImageStep, Kernel};

/// Renders maps in one resampling; channel, row, column, values 0 to 1.
pub(super) fn render(steps: &[DrawnStep], image: &RgbImage) -> Vec<f32> {
    let maps = maps(steps, &image.facts());
    let output = maps.last().map_or(image.facts(), |map| map.output);
    let total = maps.iter().fold(Matrix::IDENTITY, |total, map| total.after(&map.matrix()));
    let [a, b, _, d, e, ..] = total.0;
    let scale = [(a * a + b * b).sqrt(), (d * d + e * e).sqrt()];
    let kernels = maps.iter().map(|map| map.step.kernel());
    let kernel = kernels.rev().find(|kernel| *kernel != Kernel::Bilinear).unwrap_or_default();
    let edges = hard_edges(&image.facts(), &maps);
    let ImageFacts { width, height, .. } = output;
    let mut out = vec![0.0; output.value_count()];
    for y in 0..height {
        for x in 0..width {
            let pixel = match comes_from(&maps, (f64::from(x) + 0.5, f64::from(y) + 0.5)) {
                Ok(point) => weigh(image, point, scale, edges, kernel),
                Err(fill) => fill.map(f64::from),
            };
            for (channel, value) in pixel.iter().enumerate() {
                out[(channel * height as usize + y as usize) * width as usize + x as usize] = (value / 255.0) as f32;
            }
        }
    }
    out
}

/// Where a point of the output is in the source, or the fill that it gets instead.
fn comes_from(maps: &[Map<'_>], center: (f64, f64)) -> Result<(f64, f64), [u8; 3]> {
    let (mut point, mut looked) = (center, None);
    for map in maps.iter().rev() {
        point = match map.step.place() {
            Place::Displaced(field) => {
                let (dx, dy) = field.at(point.0, point.1);
                (point.0 + dx, point.1 + dy)
            }
            Place::Projected(matrix) => matrix.apply(point.0, point.1),
        };
        let (width, height) = (f64::from(map.input.width), f64::from(map.input.height));
        let within = |value: f64, length: f64| value >= -1e-6 && value <= length + 1e-6;
        let inside = within(point.0, width) && within(point.1, height);
        match map.step.border() {
            border @ (Border::Edge | Border::Reflect | Border::Wrap) => {
                (point, looked) = ((fold(border, point.0, width), fold(border, point.1, height)), None);
            }
            _ if inside => looked = None,
            _ if map.begins => return Err(looked.unwrap_or(map.step.fill())),
            Border::Picture => looked = looked.or(Some(map.step.fill())),
            Border::Fill if looked.is_none() => return Err(map.step.fill()),
            Border::Fill => {}
        }
    }
    Ok(point)
}

fn fold(border: Border, mut value: f64, length: f64) -> f64 {
    while border != Border::Edge && (value < 0.0 || value > length) {
        value = match border {
            Border::Wrap if value < 0.0 => value + length,
            Border::Wrap => value - length,
            _ if value < 0.0 => -value,
            _ => 2.0 * length - value,
        };
    }
    value.max(0.5).min(length - 0.5)
}

/// Where a point of the output is in the source of a drawing, if it comes from there, through all maps of its steps.
pub(crate) fn source_of(drawing: &ImageDrawing, center: (f64, f64)) -> Option<(f64, f64)> {
    comes_from(&super::map::unchecked_maps(&drawing.source, &drawing.steps), center).ok()
}

fn maps<'a>(steps: &'a [DrawnStep], source: &ImageFacts) -> Vec<Map<'a>> {
    let mut input = *source;
    let map = |(index, drawn): (usize, &'a DrawnStep)| {
        let ImageStep::Map(step) = &drawn.step else { panic!("maps only") };
        let output = step.output(&input);
        let map = Map { step: &**step, transform: &drawn.transform, index, begins: index == 0, input, output };
        input = output;
        map
    };
    steps.iter().enumerate().map(map).collect()
}

/// Renders maps one by one, with 8-bit pixels between.
pub(super) fn render_stepwise(steps: &[DrawnStep], image: &RgbImage) -> Vec<f32> {
    let Some((last, before)) = steps.split_last() else { return render(steps, image) };
    let mut now = image.clone();
    for step in before {
        let values = render(std::slice::from_ref(step), &now);
        now = finish::to_rgb8(&values, &step.step.output(&now.facts()));
    }
    render(std::slice::from_ref(last), &now)
}

/// Renders any steps one after the other, each on the whole image: runs of maps in one resampling, 8-bit pixels before
/// each run, filter and step on the whole image.
pub(super) fn render_all(steps: &[DrawnStep], image: &RgbImage) -> Vec<f32> {
    let mut now = image.clone();
    let mut facts = now.facts();
    let mut values = render(&[], &now);
    let mut rest = steps;
    while let [drawn, after @ ..] = rest {
        let plane = facts.width as usize * facts.height as usize;
        match &drawn.step {
            ImageStep::Map(_) => {
                let run = rest.iter().take_while(|drawn| drawn.step.moves_pixels()).count();
                now = finish::to_rgb8(&values, &facts);
                values = render(&rest[..run], &now);
                facts = rest[..run].iter().fold(facts, |facts, drawn| drawn.step.output(&facts));
                rest = &rest[run..];
                continue;
            }
            ImageStep::Point(step) => {
                for index in 0..plane {
                    let (x, y) = (index as u32 % facts.width, index as u32 / facts.width);
                    let place = RowPlace { left: x, y, width: facts.width, height: facts.height };
                    let mut pixel = [0, 1, 2].map(|channel| values[channel * plane + index]);
                    step.twin(&place, x, &mut pixel);
                    (0..3).for_each(|channel| values[channel * plane + index] = pixel[channel]);
                }
            }
            ImageStep::Filter(step) => {
                u8::quantize(&mut values);
                let before = values.clone();
                for (index, value) in values.iter_mut().enumerate() {
                    let (x, y) = (
                        (index % plane) as i64 % i64::from(facts.width),
                        (index % plane) as i64 / i64::from(facts.width),
                    );
                    let fold = |place: i64, length: u32| {
                        let mut place = place;
                        while length > 1 && !(0..i64::from(length)).contains(&place) {
                            place = if place < 0 { -place } else { 2 * (i64::from(length) - 1) - place };
                        }
                        if length == 1 { 0 } else { place as usize }
                    };
                    let at = |right: i64, down: i64| {
                        let (x, y) = (fold(x + right, facts.width), fold(y + down, facts.height));
                        f64::from(before[index / plane * plane + y * facts.width as usize + x])
                    };
                    *value = step.twin(&at) as f32;
                }
            }
            ImageStep::Whole(step) => {
                u8::quantize(&mut values);
                let mut channels: Vec<Vec<f32>> = values.chunks(plane).map(<[f32]>::to_vec).collect();
                step.twin(&mut channels);
                values = channels.concat();
            }
        }
        rest = after;
    }
    values
}

/// The mean of the pixels around a point, weighted by the kernel stretched to the output's pixels.
fn weigh(image: &RgbImage, (u, v): (f64, f64), [across, down]: [f64; 2], edges: [f64; 4], kernel: Kernel) -> [f64; 3] {
    let weights = |center: f64, scale: f64, low: f64, high: f64| -> Vec<(usize, f64)> {
        let reach = 3.0 * scale.max(1.0) + 1.0;
        let first = (center - reach).floor().max(low) as usize;
        let last = (center + reach).ceil().min(high) as usize;
        (first..last).map(|pixel| (pixel, weight(kernel, pixel as f64 + 0.5 - center, scale))).collect()
    };
    let (columns, rows) = (weights(u, across, edges[0], edges[2]), weights(v, down, edges[1], edges[3]));
    let (mut sum, mut total) = ([0.0; 3], 0.0);
    for (row, vertical) in &rows {
        for (column, horizontal) in &columns {
            let share = vertical * horizontal;
            let start = (row * image.width as usize + column) * 3;
            total += share;
            for (sum, value) in sum.iter_mut().zip(&image.pixels[start..start + 3]) {
                *sum += share * f64::from(*value);
            }
        }
    }
    sum.map(|value| (value / total).clamp(0.0, 255.0))
}

/// Weight of a source pixel whose centre is at this distance, for an output pixel as long as `scale` source pixels.
fn weight(kernel: Kernel, distance: f64, scale: f64) -> f64 {
    if kernel == Kernel::Area {
        let overlap = (distance + 0.5).min(scale / 2.0) - (distance - 0.5).max(-scale / 2.0);
        return overlap.max(0.0);
    }
    let x = (distance / scale.max(1.0)).abs();
    match kernel {
        Kernel::Bilinear => (1.0 - x).max(0.0),
        Kernel::Cubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        Kernel::Cubic if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        Kernel::Lanczos3 if x < 3.0 => sinc(x) * sinc(x / 3.0),
        Kernel::Cubic | Kernel::Lanczos3 => 0.0,
        Kernel::Area | Kernel::Nearest => f64::from(u8::from(distance.abs() <= 0.5)),
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) }
}

mod tests {
    use millstream_schemas::Choice;
    use serde_json::{Value, json};

    use super::*;
    use crate::steps::map::{Border, Project};
    use crate::{Chain, DrawKey};

    /// Gentle waves: what any good filter agrees on.
    fn smooth(width: u32, height: u32) -> RgbImage {
        picture(width, height, |x, y, channel| {
            let wave = (x / 23.0 + channel).sin() + (y / 31.0 - channel).cos() + ((x + y) / 57.0).sin();
            128.0 + 40.0 * wave
        })
    }

    /// Waves, hard edges and grain: what a photograph does to a filter.
    fn textured(width: u32, height: u32) -> RgbImage {
        let mut random = DrawKey { seed: 1, epoch: 0, row: 0 }.random("texture", 0);
        picture(width, height, |x, y, channel| {
            let disc = if (x - 60.0).hypot(y - 40.0) < 30.0 { 90.0 } else { 0.0 };
            let leaf = 30.0 * ((x * 0.35 + channel).sin() * (y * 0.28).cos());
            100.0 + disc + leaf + 25.0 * f64::from(random.uniform())
        })
    }

    fn picture(width: u32, height: u32, mut value: impl FnMut(f64, f64, f64) -> f64) -> RgbImage {
        let mut pixels = Vec::new();
        for y in 0..height {
            for x in 0..width {
                for channel in 0..3 {
                    pixels.push(value(f64::from(x), f64::from(y), f64::from(channel)) as u8);
                }
            }
        }
        RgbImage { width, height, pixels }
    }

    fn drawing(specs: &Value, image: &RgbImage, row: u64) -> ImageDrawing {
        let specs: Vec<Choice> = serde_json::from_value(specs.clone()).unwrap();
        let key = DrawKey { seed: 21, epoch: 0, row };
        Chain::parse(&specs).unwrap().draw_image(&image.facts(), &key).unwrap()
    }

    fn fast(drawing: &ImageDrawing, image: &RgbImage) -> Vec<f32> {
        let (width, height) = drawing.output_size(&image.facts());
        let mut out = vec![f32::NAN; 3 * width as usize * height as usize];
        drawing.render(image, &mut Scratch::default(), &mut out).unwrap();
        out
    }

    type Twin = fn(&[DrawnStep], &RgbImage) -> Vec<f32>;

    /// Each chain with the largest and the mean difference allowed, of 255, on smooth and on textured images.
    #[test]
    fn fast_renderer_agrees_with_its_twin() {
        let flip = json!({"horizontal_flip": {"probability": 1}});
        let mirror = json!({"vertical_flip": {"probability": 1}});
        let turn = json!({"rotate": {"degrees": 25, "fill": [10, 200, 30]}});
        let crop = json!({"random_resized_crop": {"size": [60, 48], "area": [0.3, 1]}});
        let narrow = json!({"random_resized_crop": {"size": 64, "area": [0.02, 0.05]}});
        let center = json!({"center_crop": {"size": [50, 44]}});
        let kernel = |kernel: &str| json!([{"resize": {"size": [55, 41], "kernel": kernel}}, mirror]);
        let larger = |kernel: &str| json!([{"resize": {"size": [400, 330], "kernel": kernel}}, turn]);
        let small = json!({"resize": {"size": [23, 17]}});
        let around = |border: &str| json!({"rotate": {"degrees": 80, "border": border, "fill": [10, 200, 30]}});
        let shift = json!({"translate": {"fraction": [0.9, 0.9]}});
        let rubber = |border: &str| json!({"elastic": {"alpha": 60, "sigma": 6, "border": border}});
        let wide = |border: &str| json!({"center_crop": {"size": [230, 70], "border": border}});
        const EXACT: [f32; 2] = [0.002, 0.0001];
        const ROUNDED: [f32; 2] = [1.1, 0.32];
        const ROUNDED_TWICE: [f32; 2] = [2.2, 0.45];
        // filtered at the output's resolution, then interpolated: softer than one exact filter
        const TURNED: [f32; 2] = [2.5, 0.3];
        const TURNED_TEXTURE: [f32; 2] = [30.0, 2.5];
        // edges lie between enlarged pixels, not on them
        const BLOCKS: [f32; 2] = [40.0, 1.0];
        for (twin, chain, smooth_limit, textured_limit) in [
            (json!([flip]), EXACT, EXACT),
            (json!([center, mirror, flip]), EXACT, EXACT),
            (json!([{"translate": {"fraction": [0.3, 0.3], "fill": [1, 2, 3]}}, flip]), EXACT, EXACT),
            (json!([{"center_crop": {"size": [200, 20], "fill": [9, 8, 7]}}]), EXACT, EXACT),
            (json!([crop, flip]), ROUNDED, ROUNDED),
            (json!([narrow, mirror]), ROUNDED, ROUNDED),
            (json!([{"resize": {"shorter_side": 36}}, {"center_crop": {"size": 32}}]), ROUNDED, ROUNDED),
            (json!([{"resize": {"size": [333, 222]}}]), ROUNDED, ROUNDED),
            (kernel("area"), ROUNDED, ROUNDED),
            (kernel("cubic"), ROUNDED, ROUNDED),
            (kernel("lanczos3"), ROUNDED, ROUNDED),
            (json!([turn]), EXACT, EXACT),
            (json!([turn, flip, {"translate": {"fraction": [0.2, 0.1]}}, turn]), EXACT, EXACT),
            (json!([narrow, turn]), EXACT, EXACT),
            (json!([center, turn]), EXACT, EXACT),
            (json!([center, shift, flip]), EXACT, EXACT),
            // two fills, and one
            (json!([center, turn, shift, mirror]), EXACT, EXACT),
            (json!([center, turn, flip, around("picture")]), EXACT, EXACT),
            (json!([center, around("fill"), {"center_crop": {"size": 30}}, around("picture"), shift]), EXACT, EXACT),
            (json!([shift, center, around("fill")]), EXACT, EXACT),
            (json!([center, around("edge")]), EXACT, EXACT),
            (json!([center, around("reflect"), {"center_crop": {"size": 20}}, turn]), EXACT, EXACT),
            (json!([center, around("wrap"), shift]), EXACT, EXACT),
            (json!([wide("edge"), flip, turn]), EXACT, EXACT),
            (json!([wide("reflect")]), EXACT, EXACT),
            (json!([wide("wrap"), mirror]), EXACT, EXACT),
            (json!([center, wide("picture")]), EXACT, EXACT),
            (json!([center, rubber("picture")]), EXACT, EXACT),
            (json!([center, rubber("reflect"), turn]), EXACT, EXACT),
            (json!([center, turn, rubber("fill")]), EXACT, EXACT),
            (json!([crop, turn, flip]), TURNED, TURNED_TEXTURE),
            (json!([turn, {"resize": {"size": 40}}]), TURNED, TURNED_TEXTURE),
            (json!([{"resize": {"size": [50, 36]}}, turn, center]), TURNED, TURNED_TEXTURE),
            (larger("cubic"), TURNED, TURNED_TEXTURE),
            (larger("lanczos3"), TURNED, TURNED_TEXTURE),
            (larger("area"), TURNED, BLOCKS),
        ]
        .map(|(chain, smooth, textured)| (render as Twin, chain, smooth, textured))
        .into_iter()
        .chain(
            // what one resampling would sharpen again
            [
                (json!([small, {"resize": {"size": [150, 108]}}]), ROUNDED_TWICE, ROUNDED_TWICE),
                (json!([small, {"resize": {"size": [150, 108], "kernel": "cubic"}}]), ROUNDED_TWICE, ROUNDED_TWICE),
                (
                    json!([small, flip, {"random_resized_crop": {"size": 40, "area": [0.1, 0.4]}}]),
                    ROUNDED_TWICE,
                    ROUNDED_TWICE,
                ),
                (
                    json!([{"resize": {"size": [20, 108]}}, {"resize": {"size": [75, 30]}}]),
                    ROUNDED_TWICE,
                    ROUNDED_TWICE,
                ),
                (json!([small, {"resize": {"size": 60, "kernel": "nearest"}}]), ROUNDED, ROUNDED),
                (json!([small, turn, {"resize": {"size": 60}}]), ROUNDED_TWICE, TURNED_TEXTURE),
                (json!([small, {"resize": {"size": 60}}, turn]), ROUNDED_TWICE, TURNED_TEXTURE),
            ]
            .map(|(chain, smooth, textured)| (render_stepwise as Twin, chain, smooth, textured)),
        ) {
            for (name, image, [largest, mean]) in
                [("smooth", smooth(150, 108), smooth_limit), ("textured", textured(150, 108), textured_limit)]
            {
                for row in 0..3 {
                    let drawing = drawing(&chain, &image, row);
                    let (got, wanted) = (fast(&drawing, &image), twin(&drawing.steps, &image));
                    let differences = got.iter().zip(&wanted).map(|(a, b)| 255.0 * (a - b).abs());
                    let most = differences.clone().fold(0.0, f32::max);
                    let average = differences.sum::<f32>() / got.len() as f32;
                    assert!(most <= largest && average <= mean, "{chain} {name} {row}: most {most}, mean {average}");
                }
            }
        }
    }

    /// Resizing a mirrored image gives the mirrored result, whatever the sizes are; `nearest` where no pixel's centre
    /// lies between two others.
    #[test]
    fn no_kernel_favours_a_side() {
        for (kernel, size) in [
            ("area", [100, 72]),
            ("area", [41, 200]),
            ("bilinear", [100, 72]),
            ("cubic", [100, 72]),
            ("lanczos3", [100, 72]),
            ("nearest", [50, 36]),
        ] {
            let image = textured(150, 108);
            let mut mirrored = image.clone();
            for row in 0..108 {
                for column in 0..150 {
                    let (to, from) = ((row * 150 + column) * 3, (row * 150 + 149 - column) * 3);
                    mirrored.pixels[to..to + 3].copy_from_slice(&image.pixels[from..from + 3]);
                }
            }
            let resize = json!({"resize": {"size": size, "kernel": kernel}});
            let flip = json!({"horizontal_flip": {"probability": 1}});
            let first = fast(&drawing(&json!([resize]), &mirrored, 0), &mirrored);
            for chain in [json!([flip, resize]), json!([resize, flip])] {
                assert!(first == fast(&drawing(&chain, &image, 0), &image), "{chain}");
            }
        }
    }

    /// A crop and a resize in one step are the crop carried out by hand, then the resize.
    #[test]
    fn what_lies_outside_a_crop_never_shows() {
        let image = textured(120, 90);
        let crop = json!([{"random_resized_crop": {"size": 32, "area": [0.2, 0.5]}}, {"rotate": {"degrees": 30, "border": "fill"}}]);
        for row in 0..5 {
            let drawing = drawing(&crop, &image, row);
            let request = drawing.decode_request(&image.facts()).unwrap();
            let [left, top, width, height] = [request.left, request.top, request.width, request.height];
            let part = picture(width, height, |x, y, channel| {
                let pixel = (y as usize + top as usize) * 120 + x as usize + left as usize;
                f64::from(image.pixels[pixel * 3 + channel as usize])
            });
            let resized = json!([{"resize": {"size": 32}}]);
            let mut alone = self::drawing(&resized, &part, row);
            alone.steps.extend(drawing.steps[1..].iter().cloned());
            assert_eq!(fast(&alone, &part), fast(&drawing, &image));
            let source = SourceImage::rgb_part(image.facts(), [left, top], &part);
            let mut out = vec![0.0; 3 * 32 * 32];
            drawing.render_part(&source, &mut Scratch::default(), &mut out).unwrap();
            assert_eq!(out, fast(&drawing, &image));
        }
    }

    /// The middle of a turned picture, and the turned middle of a picture, are the same: no corner is filled.
    #[test]
    fn a_turn_after_a_crop_shows_the_picture_around_it() {
        let image = textured(120, 90);
        let (middle, turn) = (json!({"center_crop": {"size": 40}}), json!({"rotate": {"degrees": 180}}));
        for row in 0..8 {
            let after = fast(&drawing(&json!([middle, turn]), &image, row), &image);
            let before = fast(&drawing(&json!([turn, middle]), &image, row), &image);
            let most = after.iter().zip(&before).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(most < 1e-3 && after.iter().all(|value| *value > 0.1), "{row}: {most}");
        }
    }

    /// Whatever else a decoder returns, the bytes are the same; less than was asked for is an error.
    #[test]
    fn decoded_parts_give_the_same_bytes() {
        let image = textured(140, 110);
        let kernel = |name: &str| json!({"resize": {"shorter_side": 40, "kernel": name}});
        let large = |name: &str| json!({"resize": {"shorter_side": 300, "kernel": name}});
        let (crop, turn) = (json!({"center_crop": {"size": 25}}), json!({"rotate": {"degrees": 40}}));
        let drawn = [
            json!([kernel("bilinear"), crop]),
            json!([kernel("area"), crop]),
            json!([kernel("lanczos3"), crop]),
            json!([kernel("nearest"), crop]),
            json!([kernel("nearest"), crop, turn]),
            json!([large("cubic"), crop, turn]),
            json!([large("nearest"), turn, crop]),
            json!([kernel("bilinear"), {"random_resized_crop": {"size": 32, "area": [0.1, 0.3]}}, turn]),
            json!([{"center_crop": {"size": 60}}, turn, {"resize": {"size": 20}}]),
            json!([turn, {"center_crop": {"size": 30}}]),
            json!([{"translate": {"fraction": [0.5, 0.5]}}]),
        ]
        .into_iter()
        .flat_map(|chain| (0..4).map(move |row| (chain.clone(), row)))
        .map(|(chain, row)| drawing(&chain, &image, row));
        for drawing in drawn.chain([perspective(&image, Kernel::Bilinear), perspective(&image, Kernel::Nearest)]) {
            let request = drawing.decode_request(&image.facts()).unwrap();
            let whole = fast(&drawing, &image);
            for margin in [0, 3] {
                let (left, top) = (request.left.saturating_sub(margin), request.top.saturating_sub(margin));
                let right = (request.left + request.width + margin).min(140);
                let bottom = (request.top + request.height + margin).min(110);
                let part = picture(right - left, bottom - top, |x, y, channel| {
                    let pixel = (y as usize + top as usize) * 140 + x as usize + left as usize;
                    f64::from(image.pixels[pixel * 3 + channel as usize])
                });
                let source = SourceImage::rgb_part(image.facts(), [left, top], &part);
                let mut out = vec![0.0; whole.len()];
                drawing.render_part(&source, &mut Scratch::default(), &mut out).unwrap();
                assert!(out == whole, "{drawing:?}");
            }
            if request.width > 1 {
                let part = picture(1, 1, |_, _, _| 0.0);
                let source = SourceImage::rgb_part(image.facts(), [request.left, request.top], &part);
                let error = drawing.render_part(&source, &mut Scratch::default(), &mut whole.clone());
                assert!(matches!(error, Err(TransformError::MissingRegion { .. })), "{error:?}");
            }
        }
    }

    /// A part of the image, seen from the side.
    fn perspective(image: &RgbImage, kernel: Kernel) -> ImageDrawing {
        let matrix = Matrix([1.1, 0.2, 30.0, -0.1, 1.2, 25.0, 0.002, 0.001, 1.0]);
        let step = Project { matrix, width: 50, height: 40, fill: [7; 3], border: Border::Fill, kernel }.into();
        ImageDrawing { source: image.facts(), steps: vec![DrawnStep { transform: "hand".into(), step }] }
    }

    #[test]
    fn points_follow_the_image() {
        let mut image = picture(80, 60, |_, _, _| 0.0);
        image.pixels[(20 * 80 + 50) * 3] = 255;
        let chain = json!([{"center_crop": {"size": 58}}, {"rotate": {"degrees": 40}}, "horizontal_flip"]);
        for row in 0..6 {
            let drawing = drawing(&chain, &image, row);
            let red = &fast(&drawing, &image)[..58 * 58];
            let weight: f64 = red.iter().copied().map(f64::from).sum();
            let center = |f: &dyn Fn(usize) -> usize| {
                red.iter().enumerate().map(|(i, v)| (f(i) as f64 + 0.5) * f64::from(*v)).sum::<f64>() / weight
            };
            let (x, y) = drawing.project_point(50.5, 20.5);
            assert!((center(&|i| i % 58) - x).abs() < 0.3 && (center(&|i| i / 58) - y).abs() < 0.3, "{row}: {x} {y}");
        }
    }

    /// Noise between two geometric steps is moved with the image, by way of 8-bit pixels.
    #[test]
    fn geometry_after_noise_begins_anew() {
        let image = smooth(40, 30);
        let noise = json!({"gaussian_noise": {"sigma": 0.1}});
        let flip = json!({"horizontal_flip": {"probability": 1}});
        let noisy = fast(&drawing(&json!([noise]), &image, 0), &image);
        let flipped = fast(&drawing(&json!([noise, flip]), &image, 0), &image);
        for (row, mirrored) in noisy.chunks(40).zip(flipped.chunks(40)) {
            for (value, other) in row.iter().zip(mirrored.iter().rev()) {
                assert!((value - other).abs() <= 0.51 / 255.0);
            }
        }
    }

    #[test]
    fn an_image_of_another_size_is_refused() {
        let (image, other) = (smooth(40, 30), smooth(30, 40));
        let drawing = drawing(&json!([{"center_crop": {"size": 20}}]), &image, 0);
        let message = "the drawing was made for an image of 40×30 pixels, and this one has 30×40";
        let request = drawing.decode_request(&other.facts()).unwrap_err();
        let rendered = drawing.render(&other, &mut Scratch::default(), &mut [0.0; 1200]).unwrap_err();
        let shown = drawing.render_rgb8(&other, &mut Scratch::default()).unwrap_err();
        assert_eq!([request, rendered, shown].map(|error| error.to_string()), [message; 3]);
        assert_eq!(drawing.memory(&other.facts()), 0);
    }

    #[test]
    fn values_without_normalize_are_bytes_over_255_and_people_see_no_normalize() {
        let image = textured(9, 5);
        let nothing = ImageDrawing { source: image.facts(), steps: Vec::new() };
        let values = fast(&nothing, &image);
        for (index, pixel) in image.pixels.chunks(3).enumerate() {
            for channel in 0..3 {
                assert!((values[channel * 45 + index] - f32::from(pixel[channel]) / 255.0).abs() < 1e-7);
            }
        }
        let specs = json!([{"normalize": {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.5]}}]);
        let normalized = drawing(&specs, &image, 0);
        for (index, value) in fast(&normalized, &image).iter().enumerate() {
            let (mean, std) = ([0.4, 0.5, 0.6][index / 45], [0.2, 0.25, 0.5][index / 45]);
            assert!((value - (values[index] - mean) / std).abs() < 1e-5);
        }
        assert_eq!(normalized.render_rgb8(&image, &mut Scratch::default()).unwrap(), image);
    }
}
