use super::Factors;
use super::factors::floats;
use crate::finetuning::singular_values::{Matrix, SingularValues};
use crate::graph::Constant;
use crate::initializers::WeightRandom;

/// Factors whose product s·A·B is the part of the weight with the largest singular values, each factor with the roots of those;
/// nothing where the weight is zero throughout.
pub(in super::super) fn principal(
    factors: &Factors,
    own: &Constant,
    random: &mut WeightRandom,
) -> Option<[Vec<f32>; 2]> {
    let stored = floats(own);
    let (outputs, columns) = (factors.outputs_in_a_group(), factors.columns());
    let [mut a, mut b] = factors.shapes().map(|shape| vec![0.0_f32; shape.iter().product()]);
    let mut is_zero = true;
    for group in 0..factors.groups() {
        let values = &stored[group * outputs * columns..(group + 1) * outputs * columns];
        let (rows, wide) = if factors.is_outputs_first() { (outputs, columns) } else { (columns, outputs) };
        let found = SingularValues::largest(Matrix { rows, columns: wide, values }, factors.rank, random);
        let (of_outputs, of_columns) =
            if factors.is_outputs_first() { (&found.left, &found.right) } else { (&found.right, &found.left) };
        let sign = factors.weight_factor().signum();
        for (k, value) in found.values.iter().enumerate() {
            is_zero &= *value == 0.0;
            let root = (value * factors.weight_factor().abs() / factors.scale).sqrt();
            for (column, part) in of_columns[k].iter().enumerate() {
                a[factors.a_at(group, k, column)] = (root * part) as f32;
            }
            for (output, part) in of_outputs[k].iter().enumerate() {
                b[factors.b_at(group * outputs + output, k)] = (sign * root * part) as f32;
            }
        }
    }
    (!is_zero).then_some([a, b])
}
