use super::{Gradient, Operator, Sample, TypeRuleInput, support_vectors, trees, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, Constant, TensorType, ValueId};

/// `ai.onnx.ml.SVMRegressor`: `[rows, features]` to a number `[rows, 1]`, the sum over support vectors v of coefficient · k(x, v), and
/// rho; without support vectors the product with the coefficients. As those sums, but for a machine of one class and a `post_transform`.
pub(super) const OPERATOR: Operator = Operator {
    domain: "ai.onnx.ml",
    name: "SVMRegressor",
    opsets: 1..=5,
    weights: &[],
    types: |rule: &TypeRuleInput<'_>| Ok(vec![TensorType::f32([trees::rows(rule)?, 1.into()])]),
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let sample = |name, kernel: &str, count: i64| {
            let vectors = Attribute::Floats(vec![0.5, -1.0, 0.25, 0.75, -0.5, 0.125]);
            let attributes = vec![
                ("kernel_type", Attribute::from(kernel)),
                ("kernel_params", Attribute::Floats(vec![0.5, 0.25, 3.0])),
                ("coefficients", Attribute::Floats(if count == 0 { vec![1.0, -0.5] } else { vec![1.0, -0.5, 0.75] })),
                ("rho", Attribute::Floats(vec![0.3])),
                ("n_supports", count.into()),
            ];
            let own = (count > 0).then_some(("support_vectors", vectors));
            Sample::new(name, vec![varied(&[4, 2])], attributes.into_iter().chain(own).collect())
        };
        let many = || {
            let numbers = |count: usize, parts: usize| {
                Attribute::Floats((0..count).map(|at| ((at * 37) % parts) as f32 / parts as f32 - 0.5).collect())
            };
            let attributes = vec![
                ("kernel_type", Attribute::from("RBF")),
                ("kernel_params", Attribute::Floats(vec![1.0, 0.0, 0.0])),
                ("coefficients", numbers(1024, 11)),
                ("support_vectors", numbers(1024 * 16, 101)),
                ("rho", Attribute::Floats(vec![0.3])),
                ("n_supports", 1024.into()),
            ];
            Sample::new("distances from many vectors", vec![varied(&[2, 16])], attributes)
        };
        vec![
            many(),
            sample("products", "LINEAR", 3),
            sample("powers", "POLY", 3),
            sample("distances", "RBF", 3),
            sample("curves", "SIGMOID", 3),
            sample("without vectors", "LINEAR", 0),
        ]
    },
};

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    if node.node.int("one_class").unwrap_or(0) != 0 {
        return Err(node.no_gradient("it says of each row whether it is of the one class: constant between steps"));
    }
    let count = node.node.int("n_supports").unwrap_or(0);
    let count = usize::try_from(count).map_err(|_| node.error(format!("{count} support vectors")))?;
    let compared = support_vectors::compared(node, count)?;
    let mut coefficients = support_vectors::floats(&node.node, "coefficients").to_vec();
    if coefficients.len() < count {
        return Err(node.error(format!("{} coefficients for {count} support vectors", coefficients.len())));
    }
    if count > 0 {
        // as in ONNX Runtime those behind are not looked at
        coefficients.truncate(count);
    }
    let rho = support_vectors::floats(&node.node, "rho").first().copied().unwrap_or(0.0);
    let column = node.graph.constant("coefficients", Constant::f32([coefficients.len(), 1], &coefficients));
    let sum = node.graph.add("MatMul", &[compared, column], &[])?;
    let rho = node.graph.scalar(rho);
    Ok(vec![node.graph.plus(sum, rho)?])
}
