//! The loss of boxes at the places of a map, run by ONNX Runtime: values worked by hand, what counts, and what is refused.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod onnx_runtime;
mod opened_loss;

use millstream_compiler::OperatorCatalog;
use millstream_compiler::graph::TensorType;
use opened_loss::{Batch, Computed, Opened, choose, loss};
use serde_json::json;

const NOTHING: [f32; 5] = [0.0, 0.0, 0.0, 0.0, -1.0];
/// The middle quarter of a picture.
const MIDDLE: [f32; 4] = [0.25, 0.25, 0.75, 0.75];

fn of_class([left, top, right, bottom]: [f32; 4], class: f32) -> [f32; 5] {
    [left, top, right, bottom, class]
}

/// A picture with weight 1.
fn one(shape: [usize; 4], prediction: Vec<f32>, boxes: &[[f32; 5]]) -> Batch {
    Batch { shape: shape.to_vec(), prediction, targets: boxes.concat(), weights: vec![1.0] }
}

#[test]
fn values_are_those_worked_by_hand() {
    if !onnx_runtime::available() {
        return;
    }
    let ln2 = f64::ln(2.0);
    // logarithms of distances
    let [quarter, half, one_and_a_half, two_and_a_half] = [0.25_f32, 0.5, 1.5, 2.5].map(f32::ln);
    let four_places = [
        [0.0; 4],
        [0.0, one_and_a_half, two_and_a_half, 0.0],
        [half; 4],
        [0.0, two_and_a_half, one_and_a_half, 0.0],
        [half; 4],
    ];
    let whole = [0.0, 0.0, 1.0, 1.0];
    for (what, batch, wanted, counted) in [
        (
            "a box that is told as it is: what is left is the focal loss of a probability of one half",
            one([1, 5, 1, 1], vec![0.0, quarter, quarter, quarter, quarter], &[of_class(MIDDLE, 0.0)]),
            ln2 / 16.0,
            1.0,
        ),
        (
            "the same told twice as wide and high: the intersection is a quarter of the union, which fills the hull",
            one([1, 5, 1, 1], vec![0.0, half, half, half, half], &[of_class(MIDDLE, 0.0), NOTHING]),
            0.75 + ln2 / 16.0,
            1.0,
        ),
        (
            "a picture without a box, of two classes",
            one([1, 6, 1, 1], vec![0.0; 6], &[NOTHING]),
            2.0 * 0.75 * ln2 / 4.0,
            1.0,
        ),
        (
            "a box of no class, which is none",
            one([1, 6, 1, 1], vec![0.0; 6], &[of_class(MIDDLE, -1.0)]),
            2.0 * 0.75 * ln2 / 4.0,
            1.0,
        ),
        (
            "of two boxes around a place it belongs to the smaller",
            one(
                [1, 6, 1, 1],
                vec![0.0, 0.0, quarter, quarter, quarter, quarter],
                &[of_class(whole, 0.0), of_class(MIDDLE, 1.0)],
            ),
            ln2 / 4.0,
            1.0,
        ),
        (
            "the same where the smaller one comes first",
            one(
                [1, 6, 1, 1],
                vec![0.0, 0.0, quarter, quarter, quarter, quarter],
                &[of_class(MIDDLE, 1.0), of_class(whole, 0.0)],
            ),
            ln2 / 4.0,
            1.0,
        ),
        (
            "of four places beside each other two are near enough to the middle of the box",
            one([1, 5, 1, 4], four_places.concat(), &[of_class(whole, 0.0)]),
            ln2 / 4.0,
            2.0,
        ),
    ] {
        let Computed { loss: found, weight, gradient } =
            Opened::new(&loss("fcos", json!({})), &batch.shape).compute(&batch);
        assert!((found - wanted).abs() < 2e-6, "{what}: {found}, wanted {wanted}");
        assert_eq!(weight, Some(counted), "{what}");
        assert!(gradient.iter().all(|slope| slope.is_finite()), "{what}: {gradient:?}");
    }
}

#[test]
fn in_a_crowd_nothing_is_said_of_its_class_but_where_a_box_of_it_is() {
    if !onnx_runtime::available() {
        return;
    }
    let ln2 = f64::ln(2.0);
    let quarter = f32::ln(0.25);
    let whole = [0.0, 0.0, 1.0, 1.0];
    let crowd = |sides, class: f32| of_class(sides, -2.0 - class);
    let of_two = |boxes: &[[f32; 5]]| one([1, 6, 1, 1], vec![0.0, 0.0, quarter, quarter, quarter, quarter], boxes);
    // a class that is not there, at a place and a probability of one half
    let absent = 0.75 * ln2 / 4.0;
    let present = 0.25 * ln2 / 4.0;
    for (what, batch, wanted) in [
        ("of two classes the other is not there", of_two(&[crowd(whole, 1.0)]), absent),
        ("crowds of both", of_two(&[crowd(whole, 1.0), crowd(whole, 0.0)]), 0.0),
        ("two of a class", of_two(&[crowd(whole, 1.0), crowd(MIDDLE, 1.0)]), absent),
        ("none that the place lies in", of_two(&[crowd([0.0, 0.0, 0.25, 1.0], 1.0)]), 2.0 * absent),
        ("a box of its class", of_two(&[crowd(whole, 0.0), of_class(MIDDLE, 0.0)]), present + absent),
        ("a box of another class", of_two(&[of_class(MIDDLE, 1.0), crowd(whole, 0.0)]), present),
        (
            "of four places two lie in it",
            one([1, 5, 1, 4], vec![0.0; 20], &[crowd([0.0, 0.0, 0.5, 1.0], 0.0)]),
            2.0 * absent,
        ),
        (
            "the last places of the two rows in the middle of four",
            one([1, 5, 4, 2], vec![0.0; 40], &[crowd([0.5, 0.25, 1.0, 0.75], 0.0)]),
            6.0 * absent,
        ),
    ] {
        let found = Opened::new(&loss("fcos", json!({})), &batch.shape).compute(&batch);
        assert!((found.loss - wanted).abs() < 2e-6, "{what}: {}, wanted {wanted}", found.loss);
        assert!(found.gradient.iter().all(|slope| slope.is_finite()), "{what}: {:?}", found.gradient);
    }
    let hidden = of_two(&[crowd(whole, 1.0), crowd(whole, 0.0)]);
    let found = Opened::new(&loss("fcos", json!({})), &hidden.shape).compute(&hidden);
    assert!(found.gradient.iter().all(|slope| *slope == 0.0), "{:?}", found.gradient);
}

#[test]
fn without_a_radius_all_places_in_a_box_belong_to_it() {
    if !onnx_runtime::available() {
        return;
    }
    let batch = one([1, 5, 1, 4], vec![0.0; 20], &[of_class([0.0, 0.0, 1.0, 1.0], 0.0)]);
    for (radius, counted) in [(0.0, 4.0), (0.501, 2.0), (0.75, 2.0), (2.0, 4.0)] {
        let loss = loss("fcos", json!({"center_radius": radius}));
        assert_eq!(Opened::new(&loss, &batch.shape).compute(&batch).weight, Some(counted), "{radius}");
    }
}

#[test]
fn distances_that_are_very_long_or_short_have_gradients_that_are_numbers() {
    if !onnx_runtime::available() {
        return;
    }
    for logarithm in [-200.0, 200.0] {
        for boxes in [[of_class(MIDDLE, 0.0)], [NOTHING]] {
            let batch = one([1, 5, 1, 1], vec![0.0, logarithm, logarithm, logarithm, logarithm], &boxes);
            let found = Opened::new(&loss("fcos", json!({})), &batch.shape).compute(&batch);
            let all = found.gradient.iter().all(|slope| slope.is_finite());
            assert!(found.loss.is_finite() && all, "{logarithm}: {found:?}");
        }
    }
}

#[test]
fn a_box_of_a_class_that_there_is_not_makes_the_loss_infinite_where_its_picture_has_weight() {
    if !onnx_runtime::available() {
        return;
    }
    for (class, weight, is_finite) in [
        (1.0, 1.0, true),
        (2.0, 1.0, false),
        (2.0, 0.0, true),
        (-1.0, 1.0, true),
        (-3.0, 1.0, true),
        (-4.0, 1.0, false),
        (-4.0, 0.0, true),
    ] {
        let batch = one([1, 6, 1, 1], vec![0.0; 6], &[of_class(MIDDLE, class)]);
        let batch = Batch { weights: vec![weight], ..batch };
        let found = Opened::new(&loss("fcos", json!({})), &batch.shape).compute(&batch).loss;
        assert_eq!(found.is_finite(), is_finite, "{class} {weight}: {found}");
    }
}

#[test]
fn options_and_predictions_that_make_no_sense_are_refused() {
    for (options, message) in [
        (json!({"alpha": 1}), "training.loss.fcos: alpha is 0 to below 1, got 1"),
        (json!({"center_radius": -1}), "training.loss.fcos: center_radius is a finite number of 0 or more, got -1"),
        (
            json!({"center_radius": 0.5}),
            "training.loss.fcos: center_radius is above 0.5, so that each box has a place near enough, or 0 for all places in it, got 0.5",
        ),
    ] {
        assert_eq!(choose("fcos", options).unwrap_err().to_string(), message);
    }
    for (prediction, message) in [
        (TensorType::f32([2, 4, 3, 3]), "the prediction is float32 [2, 4, 3, 3]; `head: boxes` makes them"),
        (TensorType::f32([2, 9]), "the prediction is float32 [2, 9]"),
    ] {
        let error = loss("fcos", json!({})).compile(&prediction, &OperatorCatalog::standard()).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}
