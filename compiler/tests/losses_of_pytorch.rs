//! Losses that PyTorch has too, run by ONNX Runtime: the values that PyTorch 2 gives in float64 for the same numbers.
//!
//! Predictions are `2 * torch.sin(0.37 * torch.arange(n, dtype=torch.float64)).reshape(shape)`, `x` below; `F` is
//! `torch.nn.functional`.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod onnx_runtime;
mod opened_loss;

use opened_loss::{Batch, Computed, Opened, loss};
use serde_json::{Value, json};

/// `x`.
fn waves(shape: &[usize]) -> Vec<f32> {
    (0..shape.iter().product::<usize>()).map(|at| (2.0 * (0.37 * at as f64).sin()) as f32).collect()
}

/// The last axis made the second.
fn last_made_second(values: &[f32], [rows, places, classes]: [usize; 3]) -> Vec<f32> {
    let at = |row: usize, class: usize, place: usize| values[(row * places + place) * classes + class];
    let all = (0..rows).flat_map(|row| (0..classes).flat_map(move |class| (0..places).map(move |at| (row, class, at))));
    all.map(|(row, class, place)| at(row, class, place)).collect()
}

/// A loss, its options, the batch, and what PyTorch gives: the loss, and the norm of its gradient by the prediction.
type Row = (&'static str, Value, Batch, [f64; 2]);

fn hold(rows: Vec<Row>) {
    if !onnx_runtime::available() {
        return;
    }
    for (name, options, batch, [loss_wanted, norm_wanted]) in rows {
        let Computed { loss, weight, gradient } =
            Opened::new(&loss(name, options.clone()), &batch.shape).compute(&batch);
        assert!(weight.is_none_or(|weight| weight > 0.0), "{name} {options}: a mean over {weight:?}");
        let norm = gradient.iter().map(|slope| f64::from(*slope).powi(2)).sum::<f64>().sqrt();
        for (what, found, wanted) in [("loss", loss, loss_wanted), ("norm of the gradient", norm, norm_wanted)] {
            let off = (found - wanted).abs() / wanted.abs().max(1.0);
            assert!(off < 4e-6, "{name} {options}, {what}: {found}, wanted {wanted}");
        }
    }
}

/// Of two sentences of three tokens, one is counted of the second: `s = x(2, 3, 3)`,
/// `t = torch.tensor([[2, 0, -100], [1, -100, -100]])`, `w = torch.tensor([1, 0.25, 2])`:
/// `F.cross_entropy(s.transpose(1, 2), t)`, with `weight=w`, and with `weight=w, label_smoothing=0.1`; with
/// `p = F.log_softmax(s, -1)[t >= 0].gather(1, t[t >= 0, None])[:, 0]` the mean of `-(1 - p.exp())**2 * p`, and of that
/// times `w[t[t >= 0]]`.
#[test]
fn a_class_for_each_token() {
    let batch = Batch {
        shape: vec![2, 3, 3],
        prediction: last_made_second(&waves(&[2, 3, 3]), [2, 3, 3]),
        targets: vec![2.0, 0.0, -100.0, 1.0, -100.0, -100.0],
        weights: Vec::new(),
    };
    let weights = json!([1, 0.25, 2]);
    let row = |name, options, wanted| (name, options, batch.clone(), wanted);
    hold(vec![
        row("sparse_cross_entropy", json!({}), [1.022_909_571_55, 0.459_529_884_6]),
        row("sparse_cross_entropy", json!({"class_weights": weights}), [0.830_780_047_24, 0.437_052_469_31]),
        row(
            "sparse_cross_entropy",
            json!({"class_weights": weights, "label_smoothing": 0.1}),
            [0.866_308_430_7, 0.397_229_723_65],
        ),
        row("sparse_focal", json!({}), [0.457_137_832_77, 0.437_230_566_29]),
        row("sparse_focal", json!({"alpha": weights}), [0.330_796_955_51, 0.347_262_741_98]),
    ]);
}
