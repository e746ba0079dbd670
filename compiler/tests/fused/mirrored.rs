//! Members that see their images mirrored: maps are turned back, and images are found in any order of axes and of any element type.

use millstream_schemas::ImageLayout;
use ort::value::{DynValue, Tensor};

use super::*;

const BYTES: i32 = 2;
/// Height and width.
const SIDES: [usize; 2] = [5, 6];

/// A member whose answer is a map as large as its images, `[batch, classes, height, width]`, or with classes last.
#[derive(Clone, Copy, Debug)]
struct Painter {
    /// Whether images have their channels last.
    images_last: bool,
    /// What pixels are.
    pixels: i32,
    /// Whether maps have their classes last.
    maps_last: bool,
}

/// Of images or maps of so many channels.
fn shape(is_last: bool, channels: usize) -> [usize; 4] {
    let [height, width] = SIDES;
    if is_last { [ROWS, height, width, channels] } else { [ROWS, channels, height, width] }
}

impl Painter {
    fn file(self, name: &str) -> ModelProto {
        let (kernel, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let turned = |from: &str, to: &str, order: [i64; 4]| {
            node("Transpose", from, to).with("perm", Value::Ints(order.to_vec()))
        };
        let mut nodes = vec![node("Cast", "image", "floats").with("to", Value::Int(1))];
        let mut read = "floats";
        if self.images_last {
            nodes.push(turned("floats", "channels", [0, 3, 1, 2]));
            read = "channels";
        }
        let convolution = node("Conv", &format!("{read} {kernel} {bias}"), "maps");
        nodes.push(convolution.with("pads", Value::Ints(vec![1, 1, 1, 1])));
        nodes.push(match self.maps_last {
            true => turned("maps", "answer", [0, 2, 3, 1]),
            false => node("Identity", "maps", "answer"),
        });
        let behind = |shape: [usize; 4]| shape[1..].iter().map(|length| *length as i64).collect::<Vec<i64>>();
        let inputs = vec![rows("image", self.pixels, &behind(shape(self.images_last, 3)))];
        let outputs = vec![rows("answer", FLOAT, &behind(shape(self.maps_last, CLASSES)))];
        let weights = vec![weight(&kernel, &[CLASSES as i64, 3, 3, 3]), weight(&bias, &[CLASSES as i64])];
        model(17, graph(nodes, weights, inputs, outputs), vec![])
    }

    /// What a file makes of images, as bytes.
    fn answer(self, file: &[u8], pixels: &[u8]) -> Vec<f32> {
        let shape = shape(self.images_last, 3);
        let image: DynValue = match self.pixels {
            BYTES => Tensor::from_array((shape.to_vec(), pixels.to_vec())).unwrap().into_dyn(),
            _ => floats(&shape, &pixels.iter().copied().map(f32::from).collect::<Vec<f32>>()),
        };
        run(&mut session(file), vec![("image".to_owned(), image)]).remove(0)
    }

    fn images(self, pixels: &[u8]) -> Vec<u8> {
        reversed(pixels, shape(self.images_last, 3), self.images_last)
    }

    fn maps(self, answer: &[f32]) -> Vec<f32> {
        reversed(answer, shape(self.maps_last, CLASSES), self.maps_last)
    }
}

/// Each row of pixels from its end to its beginning.
fn reversed<T: Copy>(values: &[T], shape: [usize; 4], is_last: bool) -> Vec<T> {
    let width = if is_last { 2 } else { 3 };
    let pixel: usize = shape[width + 1..].iter().product();
    let of_row = |row: &[T]| row.chunks(pixel).rev().flatten().copied().collect::<Vec<T>>();
    values.chunks(shape[width] * pixel).flat_map(of_row).collect()
}

#[test]
fn maps_of_mirrored_images_are_turned_back_before_they_are_averaged() {
    if !onnx_runtime::available() {
        return;
    }
    let first = Painter { images_last: false, pixels: FLOAT, maps_last: false };
    let bytes = Painter { images_last: true, pixels: BYTES, maps_last: false };
    let all_last = Painter { maps_last: true, ..bytes };
    let pixels: Vec<u8> = (0..ROWS * 3 * SIDES[0] * SIDES[1]).map(|at| (at * 7919 % 7) as u8).collect();
    let cases =
        [(first, ClassScores), (first, LabelScores), (first, Numbers), (bytes, ClassScores), (all_last, Numbers)];
    for (painter, reads) in cases {
        let files = ["a", "b"].map(|name| painter.file(name));
        let combination = match reads {
            Numbers => Combination::Scores { weights: equal(2) },
            _ => Combination::Probabilities { weights: equal(2) },
        };
        let options = FuseOptions { flips: true, ..options(reads, combination) };
        let whole = fused(&files, &options).unwrap_or_else(|error| panic!("{painter:?}: {error}")).file.to_vec();
        let (seen, mirrored) = (painter.answer(&whole, &pixels), painter.answer(&whole, &painter.images(&pixels)));
        // what is said of an image mirrored is what is said of the image, mirrored
        let what = format!("{painter:?} {reads:?}");
        assert_within(1e-4, &painter.maps(&mirrored), &seen, &what);
        assert_ne!(mirrored, seen, "{what}");
        if reads == Numbers {
            let own = files.each_ref().map(|file| {
                let file = file.encode_to_vec();
                [painter.answer(&file, &pixels), painter.maps(&painter.answer(&file, &painter.images(&pixels)))]
            });
            let all: Vec<&Vec<f32>> = own.iter().flatten().collect();
            let wanted: Vec<f32> =
                (0..seen.len()).map(|at| all.iter().map(|answer| answer[at]).sum::<f32>() / 4.0).collect();
            assert_within(1e-4, &seen, &wanted, &what);
        }
    }
}

#[test]
fn one_score_a_pixel_of_two_classes_is_joined_as_the_scores_of_both() {
    if !onnx_runtime::available() {
        return;
    }
    let [height, width] = SIDES.map(|side| side as i64);
    let file = |bias: f32, is_flat: bool| {
        let mut nodes = vec![node("Conv", "image w b", "map"), node("Sigmoid", "map", "chances")];
        nodes.push(node(
            if is_flat { "Squeeze" } else { "Identity" },
            if is_flat { "chances second" } else { "chances" },
            "mask",
        ));
        let weights = vec![
            onnx_file::floats("w", &[1, 3, 1, 1], &[0.5, -0.25, 0.125]),
            onnx_file::floats("b", &[1], &[bias]),
            integers("second", &[1], &[1]),
        ];
        let of_pixels = if is_flat { vec![height, width] } else { vec![1, height, width] };
        let (inputs, outputs) =
            (vec![rows("image", FLOAT, &[3, height, width])], vec![rows("mask", FLOAT, &of_pixels)]);
        model(17, graph(nodes, weights, inputs, outputs), vec![])
    };
    let side: usize = SIDES.iter().product();
    let shape = [ROWS, 3, SIDES[0], SIDES[1]];
    let pixels: Vec<f32> = (0..ROWS * 3 * side).map(|at| (at * 7919 % 7) as f32 - 3.0).collect();
    let answer = |file: &[u8]| run(&mut session(file), vec![("image".to_owned(), floats(&shape, &pixels))]).remove(0);
    for is_flat in [false, true] {
        let files = [file(0.5, is_flat), file(-1.0, is_flat)];
        let own = files.each_ref().map(|file| answer(&file.encode_to_vec()));
        let combination = Combination::Probabilities { weights: equal(2) };
        let options = FuseOptions { classes: Some(2), ..options(ClassScores, combination) };
        let given = answer(&fused(&files, &options).unwrap().file.to_vec());
        let known = FuseOptions { axes: Some(4), ..options };
        assert_eq!(answer(&fused(&files, &known).unwrap().file.to_vec()), given);
        assert_eq!(given.len(), ROWS * 2 * side);
        for (row, scores) in given.chunks(2 * side).enumerate() {
            let found: Vec<f32> = scores[side..].iter().zip(scores).map(|(a, b)| 1.0 / (1.0 + (b - a).exp())).collect();
            let mean = |at: usize| (own[0][row * side + at] + own[1][row * side + at]) / 2.0;
            assert_within(1e-5, &found, &(0..side).map(mean).collect::<Vec<f32>>(), "the chance of the second class");
        }
    }
}

#[test]
fn an_answer_about_mirrored_images_that_cannot_be_turned_back_is_refused() {
    let painter = Painter { images_last: false, pixels: FLOAT, maps_last: false };
    let mut files = ["a", "b"].map(|name| painter.file(name));
    let pixels = SIDES.iter().product::<usize>() as i64;
    for file in &mut files {
        let written = file.graph.as_mut().unwrap();
        written.node.pop();
        written.node.push(node("Reshape", "maps flat", "answer"));
        written.initializer.push(integers("flat", &[3], &[-1, CLASSES as i64, pixels]));
        written.output = vec![rows("answer", FLOAT, &[CLASSES as i64, pixels])];
    }
    let options = |flips| FuseOptions { flips, ..options(ClassScores, Combination::Scores { weights: equal(2) }) };
    fused(&files, &options(false)).unwrap();
    let message = fused(&files, &options(true)).unwrap_err().to_string();
    assert!(message.contains("member 1: what it gives of a mirrored image"), "{message}");
    assert!(message.contains("cannot be turned back"), "{message}");
}

#[test]
fn the_order_of_axes_that_is_told_stands_over_the_one_that_is_seen() {
    let painter = Painter { images_last: true, pixels: FLOAT, maps_last: false };
    let files = ["a", "b"].map(|name| painter.file(name));
    let axis = |layouts: &[(&str, ImageLayout)]| {
        let layouts = layouts.iter().map(|(name, layout)| ((*name).to_owned(), *layout)).collect();
        let combination = Combination::Scores { weights: equal(2) };
        let found = fused(&files, &FuseOptions { flips: true, layouts, ..options(ClassScores, combination) }).unwrap();
        let graph = ModelProto::decode(found.file.to_vec().as_slice()).unwrap().graph.unwrap();
        let slice = graph.node.iter().find(|node| node.op_type() == "Slice" && node.input[0] == "image").unwrap();
        let axis = graph.initializer.iter().find(|tensor| tensor.name() == slice.input[3]).unwrap();
        match &axis.raw_data {
            Some(raw) => i64::from_le_bytes(raw[..8].try_into().unwrap()),
            None => axis.int64_data[0],
        }
    };
    assert_eq!(axis(&[]), 2);
    assert_eq!(axis(&[("other", ImageLayout::ChannelsFirst)]), 2);
    assert_eq!(axis(&[("image", ImageLayout::ChannelsFirst)]), 3);
}
