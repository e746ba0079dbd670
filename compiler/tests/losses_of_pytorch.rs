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

fn batch(shape: &[usize], targets: &[f32]) -> Batch {
    Batch { shape: shape.to_vec(), prediction: waves(shape), targets: targets.to_vec(), weights: vec![1.0; shape[0]] }
}

/// `s = x(2, 3)`, `t = torch.tensor([[0, 1, 0.3], [1, 0, 1]])`: `F.binary_cross_entropy_with_logits(s, t)`, and with
/// `pos_weight=torch.tensor([2, 0.5, 1])`.
#[test]
fn several_labels_a_row() {
    let batch = batch(&[2, 3], &[0.0, 1.0, 0.3, 1.0, 0.0, 1.0]);
    hold(vec![
        ("binary_cross_entropy", json!({}), batch.clone(), [0.778_974_786_32, 0.198_019_891_9]),
        ("binary_cross_entropy", json!({"pos_weight": [2, 0.5, 1]}), batch, [0.771_713_736_2, 0.196_698_393_6]),
    ]);
}

/// `s = x(3, 2, 4)`: `F.cosine_embedding_loss(s[:, 0], s[:, 1], torch.tensor([1, -1, -1]))`, and with `margin=-0.5`; with
/// `v = torch.cos(torch.arange(6)).reshape(2, 3)`: `(1 - F.cosine_similarity(x(2, 3), v)).mean()`.
#[test]
fn angles_between_vectors() {
    let pairs = batch(&[3, 2, 4], &[1.0, -1.0, -1.0]);
    let vectors: Vec<f32> = (0_i16..6).map(|at| f64::from(at).cos() as f32).collect();
    hold(vec![
        ("cosine_embedding", json!({}), pairs.clone(), [0.421_780_003_95, 0.284_091_168_09]),
        ("cosine_embedding", json!({"margin": -0.5}), pairs, [0.755_113_337_28, 0.284_091_168_09]),
        ("cosine_embedding", json!({}), batch(&[2, 3], &vectors), [1.360_536_507_6, 0.346_049_432_84]),
    ]);
}

/// `s = x(5, 3)`, groups `[0, 1, 0, 1, 2]`: the mean of `F.triplet_margin_loss(a, p, n, margin=0.7, eps=0)` over all
/// triplets of rows, that over the largest of each `a`, and this with
/// `F.triplet_margin_with_distance_loss` and `distance_function=lambda u, v: 1 - F.cosine_similarity(u, v)`.
#[test]
fn triplets_of_rows() {
    let batch = batch(&[5, 3], &[0.0, 1.0, 0.0, 1.0, 2.0]);
    let all = json!({"margin": 0.7, "mining": "all"});
    let cosine = json!({"margin": 0.7, "distance": "cosine"});
    hold(vec![
        ("triplet", all, batch.clone(), [1.451_922_194_94, 0.386_368_004_57]),
        ("triplet", json!({"margin": 0.7}), batch.clone(), [2.281_697_063_82, 1.056_217_531_42]),
        ("triplet", cosine, batch, [1.805_393_234_6, 0.287_074_280_02]),
    ]);
}

/// With `s = x(4, 2, 3)`, `q, k = F.normalize(s[:, 0]), F.normalize(s[:, 1])`, `z = q @ k.T / 0.5`:
/// `F.cross_entropy(z, torch.arange(4))`, and the mean of that and of `z.T`. With `s = x(5, 3)` and the groups
/// `[0, 1, 0, 1, 2]`, `z = F.normalize(s) @ F.normalize(s).T / 0.5`: the mean over rows `i` of a group of two, with the other
/// one `p`, of `torch.logsumexp(z[i, others], 0) - z[i, p]`.
#[test]
fn vectors_among_those_of_their_batch() {
    let pairs = batch(&[4, 2, 3], &[7.0, 3.0, 9.0, -1.0]);
    hold(vec![
        ("info_nce", json!({"temperature": 0.5}), pairs.clone(), [1.507_076_313_96, 0.441_116_951_66]),
        ("info_nce", json!({"temperature": 0.5, "symmetric": true}), pairs, [1.447_360_041_98, 0.442_504_835_55]),
        (
            "info_nce",
            json!({"temperature": 0.5}),
            batch(&[5, 3], &[0.0, 1.0, 0.0, 1.0, 2.0]),
            [2.601_472_236_11, 0.452_504_693_55],
        ),
    ]);
}

/// `s = x(2, 4, 5)`, `t = torch.tensor([[3, 0, 2, 1], [4, 1, -100, -100]])`:
/// `F.cross_entropy(s[:, :-1].reshape(-1, 5), t[:, 1:].reshape(-1))`.
#[test]
fn the_token_that_follows() {
    let batch = batch(&[2, 4, 5], &[3.0, 0.0, 2.0, 1.0, 4.0, 1.0, -100.0, -100.0]);
    hold(vec![("causal_language_modelling", json!({}), batch, [1.927_871_314_93, 0.476_690_394_51])]);
}

/// `s = x(2, 3, 4)`, `m = torch.tensor([[0, 1, 2, 2], [1, -100, 0, -100]])`, `k = m >= 0`,
/// `t = F.one_hot(m.clamp(min=0), 3).permute(0, 2, 1) * k[:, None]`, `p = s.softmax(1) * k[:, None]`: the mean of
/// `1 - (2 * (p * t).sum(2) + 1) / (p.sum(2) + t.sum(2) + 1)`, and with half of
/// `(F.cross_entropy(s, m, reduction="none").sum(1) / k.sum(1)).mean()` added.
#[test]
fn masks_that_cover_each_other() {
    let batch = batch(&[2, 3, 4], &[0.0, 1.0, 2.0, 2.0, 1.0, -100.0, 0.0, -100.0]);
    hold(vec![
        ("dice", json!({}), batch.clone(), [0.559_910_892_79, 0.026_844_332_4]),
        ("dice", json!({"cross_entropy": 0.5}), batch, [1.990_364_988_44, 0.278_356_888_03]),
    ]);
}

/// `s = x(2, 2, 4)`, `b` the boxes below, `k = b.abs().sum(-1) > 0`: `F.mse_loss(s[k], b[k])`, `F.l1_loss(s[k], b[k])` and
/// `F.huber_loss(s[k], b[k], delta=0.5)`.
#[test]
fn boxes_of_which_some_are_padding() {
    let boxes = [[0.1, 0.2, 0.5, 0.6], [0.0; 4], [0.3, 0.3, 0.9, 0.8], [0.2, 0.1, 0.4, 0.3]].concat();
    let batch = batch(&[2, 2, 4], &boxes);
    let row = |name, wanted| (name, json!({"ignore_padding": true}), batch.clone(), wanted);
    hold(vec![
        row("mse", [2.403_336_586_95, 0.895_048_711_33]),
        row("mae", [1.316_709_029_47, 0.288_675_134_59]),
        ("huber", json!({"delta": 0.5, "ignore_padding": true}), batch.clone(), [0.548_044_181_01, 0.132_123_272_78]),
    ]);
}

/// `F.ctc_loss(F.log_softmax(s, -1).transpose(0, 1), t, input_lengths, target_lengths, blank)` with the whole time of each row:
/// `s = x(2, 6, 4)`, `t = [[1, 2, 2], [3]]`; the same with `t = [[1, 0, 0], [2]]` and `blank=3`; `s = x(2, 5, 3)`,
/// `t = [[1, 2], []]`; and the second row of `s = x(2, 3, 4)`, `t = [[1, 1, 1], [2]]`, whose first has more symbols than time.
#[test]
fn symbols_along_time() {
    let impossible = || batch(&[2, 3, 4], &[1.0, 1.0, 1.0, 2.0, -1.0, -1.0]);
    hold(vec![
        ("ctc", json!({}), batch(&[2, 6, 4], &[1.0, 2.0, 2.0, 3.0, -1.0, -1.0]), [2.970_390_518_71, 0.694_384_962_39]),
        (
            "ctc",
            json!({"blank": 3}),
            batch(&[2, 6, 4], &[1.0, 0.0, 0.0, 2.0, -1.0, -100.0]),
            [4.277_998_237_41, 0.809_320_674_99],
        ),
        ("ctc", json!({}), batch(&[2, 5, 3], &[1.0, 2.0, -1.0, -1.0]), [3.512_657_832_55, 0.950_653_850_43]),
        ("ctc", json!({"zero_infinity": true}), impossible(), [2.655_128_473_64, 1.114_518_404_82]),
    ]);
    if !onnx_runtime::available() {
        return;
    }
    let symbol = |targets: &[f32]| batch(&[1, 4, 4], targets);
    for (what, batch, is_finite) in [
        ("more symbols than time", impossible(), false),
        ("no such symbol", symbol(&[1.0, 4.0]), false),
        ("a blank among the symbols", symbol(&[0.0, 1.0]), false),
        ("a gap between symbols", symbol(&[-1.0, 1.0]), false),
        ("symbols to the end", symbol(&[2.0, 1.0]), true),
    ] {
        let found = Opened::new(&loss("ctc", json!({})), &batch.shape).compute(&batch).loss;
        assert_eq!(found.is_finite(), is_finite, "{what}: {found}");
        let without = Batch { weights: vec![0.0; batch.shape[0]], ..batch };
        let found = Opened::new(&loss("ctc", json!({})), &without.shape).compute(&without).loss;
        assert_eq!(found, 0.0, "{what}, without weight");
    }
}

/// The slow twin: each row by itself, with as much time as it has. What is said behind it moves nothing.
#[test]
fn what_is_behind_the_time_of_a_row_counts_nothing() {
    if !onnx_runtime::available() {
        return;
    }
    let (rows, times, symbols) = (3, 7, 4);
    for options in [json!({}), json!({"blank": 3})] {
        let blank = options.get("blank").map_or(0.0, |_| 3.0);
        let other = |symbol: f32| if symbol == blank { 0.0 } else { symbol };
        let targets: Vec<f32> =
            [[1.0, 2.0, 2.0], [3.0, 1.0, -1.0], [-1.0; 3]].concat().into_iter().map(other).collect();
        let whole = batch(&[rows, times, symbols], &targets);
        let loss = loss("ctc", options);
        let of = |batch: &Batch, lengths: &[i64]| Opened::new(&loss, &batch.shape).compute_of(batch, lengths);
        let lengths = [7, 3, 5];
        let found = of(&whole, &lengths);
        let mut sum = 0.0;
        for (row, length) in lengths.into_iter().enumerate() {
            let time = length as usize;
            let of_row = |all: &[f32], in_a_row: usize, many: usize| all[row * in_a_row..][..many].to_vec();
            let alone = Batch {
                shape: vec![1, time, symbols],
                prediction: of_row(&whole.prediction, times * symbols, time * symbols),
                targets: of_row(&whole.targets, 3, 3),
                weights: vec![1.0],
            };
            let Computed { loss, gradient, .. } = of(&alone, &[length]);
            sum += loss;
            let in_batch = of_row(&found.gradient, times * symbols, times * symbols);
            for (at, slope) in in_batch.iter().enumerate() {
                let wanted = gradient.get(at).map_or(0.0, |slope| slope / rows as f32);
                assert!((slope - wanted).abs() < 1e-6, "row {row}, number {at}: {slope}, alone {wanted}");
            }
        }
        assert!((found.loss - sum / rows as f64).abs() < 1e-6, "{}, alone {}", found.loss, sum / rows as f64);
        let mut other = whole.clone();
        other.prediction[times * symbols + 3 * symbols..2 * times * symbols].fill(17.0);
        assert_eq!(of(&other, &lengths).loss, found.loss);
        // Two symbols that differ need two times, and two that are alike three.
        assert!(of(&whole, &[4, 2, 0]).loss.is_finite());
        assert!(of(&whole, &[3, 2, 0]).loss.is_infinite() && of(&whole, &[4, 1, 0]).loss.is_infinite());
    }
}
