//! Which axis of class scores counts classes: a convolution's second, or a linear layer's last, as where each token has a
//! class.

use crate::graph::Length;

/// The axis of the classes: the second or the last, by how many they are where that is known, or else that of the layer that makes
/// the scores, which `of_layer` tells; the second where neither does.
pub(super) fn class_axis(shape: &[Length], classes: Option<usize>, of_layer: impl Fn() -> Option<usize>) -> usize {
    let [_, second, .., last] = shape else { return 1 };
    match classes.map(|classes| (*second == classes, *last == classes)) {
        Some((true, false)) => 1,
        Some((false, true)) => shape.len() - 1,
        _ => of_layer().filter(|axis| *axis > 0).unwrap_or(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_of_the_classes_is_the_one_of_their_number_or_else_what_makes_the_scores_tells() {
        let sequence = || Length::named("sequence");
        // a shape, how many classes there are, which axis the layer has them on, which axis is read
        type Row = (Vec<Length>, Option<usize>, Option<usize>, usize);
        let rows: [Row; 11] = [
            (vec![2.into(), 5.into()], Some(5), Some(1), 1),
            (vec![2.into(), 5.into(), 8.into()], Some(5), Some(2), 1),
            (vec![2.into(), 8.into(), 5.into()], Some(5), None, 2),
            (vec![2.into(), sequence(), 5.into()], Some(5), None, 2),
            (vec![2.into(), 5.into(), sequence()], Some(5), Some(2), 1),
            (vec![2.into(), 5.into(), 5.into()], Some(5), Some(2), 2),
            (vec![2.into(), 5.into(), 5.into()], Some(5), None, 1),
            (vec![2.into(), 6.into(), 7.into()], Some(5), None, 1),
            (vec![2.into(), 6.into(), 7.into()], Some(5), Some(0), 1),
            (vec![2.into(), 6.into(), 5.into(), 6.into()], Some(5), Some(2), 2),
            (vec![2.into(), sequence(), 5.into()], None, Some(2), 2),
        ];
        for (shape, classes, of_layer, wanted) in rows {
            assert_eq!(class_axis(&shape, classes, || of_layer), wanted, "{shape:?}, {classes:?}, {of_layer:?}");
        }
    }
}
