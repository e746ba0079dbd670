//! Gradients where an operator has a kink, a tie, a bound or an infinite slope.

use millstream_compiler::OperatorCatalog;
use millstream_compiler::backward::gradients;
use millstream_compiler::graph::{Attribute, Constant, ElementType, Graph, TensorType, ValueId};

use crate::built::Built;
use crate::central_differences::own_gradients;
use crate::onnx_runtime::{self, floats, run, session};

const NAN: f32 = f32::NAN;
const NO_CHANCE: f32 = f32::NEG_INFINITY;

#[test]
fn powers_of_zero_have_numbers_for_gradients() {
    if !onnx_runtime::available() {
        return;
    }
    let exponents = Constant::f32([4], &[0.0, 1.0, 2.0, 3.0]);
    for is_known in [true, false] {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::f32([4]));
        let mut given = vec![("x".to_owned(), floats(&[4], &[0.0; 4]))];
        let exponent = if is_known {
            graph.constant("exponents", exponents.clone())
        } else {
            given.push(("exponents".to_owned(), floats(&[4], &[0.0, 1.0, 2.0, 3.0])));
            graph.input("exponents", TensorType::f32([4]))
        };
        let y = graph.add("Pow", &[x, exponent], &[]).unwrap();
        let loss = graph.reduce_sum(y, &[0], false).unwrap();
        let dx = gradients(&mut graph, loss, &[x], &OperatorCatalog::standard()).unwrap()[0];
        graph.set_outputs(&[dx]);
        let found = run(&mut session(&graph.to_onnx("powers")), given);
        assert_eq!(found, [vec![0.0, 1.0, 0.0, 0.0]], "known: {is_known}");
    }
}

#[test]
fn the_gradient_of_a_norm_of_zeros_is_zero() {
    if !onnx_runtime::available() {
        return;
    }
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([2, 3]));
    let axes = [("axes", vec![1].into()), ("keepdims", 0.into())];
    let norm = graph.add("ReduceL2", &[x], &axes).expect("it fits");
    let values = vec![0.0, 0.0, 0.0, 3.0, 0.0, -4.0];
    let built = Built { graph, varied: vec![(x, values)], step: 0.0, outputs: vec![norm], runs: true };
    let given = own_gradients(&built, &[vec![1.0, 1.0]], &[0]);
    let wanted = vec![vec![0.0, 0.0, 0.0, f64::from(0.6f32), 0.0, f64::from(-0.8f32)]];
    assert_eq!(given, Ok(wanted));
}

#[test]
fn gradients_at_special_points_are_those_of_pytorch() {
    if !onnx_runtime::available() {
        return;
    }
    for point in kinks().into_iter().chain(bounds()).chain(ties()).chain(singular()).chain(infinite_and_missing()) {
        let mut graph = Graph::new(point.opset, OperatorCatalog::standard());
        let (mut inputs, mut varied) = (vec![], vec![]);
        for (index, (shape, values)) in point.inputs.iter().enumerate() {
            let input = graph.input(&format!("input_{index}"), TensorType::f32(shape.iter().copied()));
            inputs.push(Some(input));
            varied.push((input, values.to_vec()));
        }
        let fixed = point.fixed.iter().map(|constant| Some(graph.constant("fixed", constant.clone())));
        let fixed: Vec<Option<ValueId>> = fixed.collect();
        // the condition of a Where is before what it chooses from
        let inputs = if point.operator == "Where" { [fixed, inputs].concat() } else { [inputs, fixed].concat() };
        let outputs = graph.add_with(point.operator, &inputs, &point.attributes, 1).expect("it fits");
        let all: Vec<usize> = (0..varied.len()).collect();
        let built = Built { graph, varied, step: 0.0, outputs, runs: true };
        let count = built.shape(built.outputs[0]).iter().product();
        let weights = if point.weights.is_empty() { vec![1.0; count] } else { point.weights.to_vec() };
        let given = own_gradients(&built, &[weights], &all).expect("its inputs have gradients");
        let is_same = |(a, b): (&f64, &f64)| a == b || (a - b).abs() <= 2e-6 * b.abs();
        for (index, (given, wanted)) in given.iter().zip(&point.wanted).enumerate() {
            let same = given.len() == wanted.len() && given.iter().zip(*wanted).all(is_same);
            assert!(same, "{} {:?}, input {index}: {given:?}, wanted {wanted:?}", point.operator, point.inputs);
        }
        assert_eq!(given.len(), point.wanted.len(), "{}", point.operator);
    }
}

/// An operator at values of its inputs, with the gradients that PyTorch 2.15 gives.
struct Point {
    operator: &'static str,
    opset: i64,
    attributes: Vec<(&'static str, Attribute)>,
    inputs: Vec<(&'static [usize], &'static [f32])>,
    /// Constants behind the inputs.
    fixed: Vec<Constant>,
    /// What the loss takes the elements of the output by; ones where it is empty.
    weights: &'static [f32],
    wanted: Vec<&'static [f64]>,
}

impl Point {
    /// Of one input.
    fn shaped(operator: &'static str, shape: &'static [usize], values: &'static [f32], wanted: &'static [f64]) -> Self {
        let inputs = vec![(shape, values)];
        let wanted = vec![wanted];
        Self { operator, opset: 17, attributes: vec![], inputs, fixed: vec![], weights: &[], wanted }
    }

    /// Of one input `[2, 3]`.
    fn of(operator: &'static str, values: &'static [f32; 6], wanted: &'static [f64; 6]) -> Self {
        Self::shaped(operator, &[2, 3], values, wanted)
    }

    fn and(mut self, shape: &'static [usize], values: &'static [f32], wanted: &'static [f64]) -> Self {
        self.inputs.push((shape, values));
        self.wanted.push(wanted);
        self
    }

    fn with(self, attributes: Vec<(&'static str, Attribute)>) -> Self {
        Self { attributes, ..self }
    }

    fn weighted(self, weights: &'static [f32]) -> Self {
        Self { weights, ..self }
    }

    /// Of an operator that the standard has since opset 20.
    fn since_20(self) -> Self {
        Self { opset: 20, ..self }
    }

    fn fixed(self, fixed: Vec<Constant>) -> Self {
        Self { fixed, ..self }
    }
}

/// Where two slopes meet.
fn kinks() -> Vec<Point> {
    const SLOPE: f64 = std::f64::consts::FRAC_2_SQRT_PI;
    vec![
        Point::of("Relu", &[0.0, -0.0, 1.0, -1.0, 2.0, -2.0], &[0.0, 0.0, 1.0, 0.0, 1.0, 0.0]),
        Point::of("LeakyRelu", &[0.0, -0.0, 1.0, -1.0, 2.0, -2.0], &[0.01, 0.01, 1.0, 0.01, 1.0, 0.01]),
        Point::of("PRelu", &[0.0, -0.0, 1.0, -1.0, 2.0, -2.0], &[0.25, 0.25, 1.0, 0.25, 1.0, 0.25]).and(
            &[3],
            &[0.25, 0.25, 0.25],
            &[-1.0, 0.0, -2.0],
        ),
        Point::of("Abs", &[0.0, -0.0, 1.0, -1.0, 2.0, -2.0], &[0.0, 0.0, 1.0, -1.0, 1.0, -1.0]),
        Point::of("Elu", &[0.0, -0.0, 1.0, 2.0, 100.0, 3.0], &[1.0; 6]),
        Point::of("Celu", &[0.0, 1.0, 2.0, 0.0, 1.0, 2.0], &[1.0; 6]),
        Point::of("Softsign", &[0.0, 1.0, -1.0, 0.0, 3.0, -3.0], &[1.0, 0.25, 0.25, 1.0, 0.0625, 0.0625]),
        Point::of("ReduceL1", &[0.0, -2.0, 3.0, 0.0, 0.0, 4.0], &[0.0, -1.0, 1.0, 0.0, 0.0, 1.0]).with(along_rows()),
        Point::of("Gelu", &[0.0, -0.0, 20.0, -20.0, 0.0, 100.0], &[0.5, 0.5, 1.0, 0.0, 0.5, 1.0]).since_20(),
        Point::of("Gelu", &[0.0, -0.0, 20.0, -20.0, 0.0, 100.0], &[0.5, 0.5, 1.0, 0.0, 0.5, 1.0])
            .with(vec![("approximate", "tanh".into())])
            .since_20(),
        Point::of("Erf", &[0.0, -0.0, 20.0, -20.0, 0.0, 100.0], &[SLOPE, SLOPE, 0.0, 0.0, SLOPE, 0.0]),
    ]
}

/// At the ends of a range.
fn bounds() -> Vec<Point> {
    let number = |value: f32| Constant::f32([], &[value]);
    vec![
        Point::of("Clip", &[-0.5, 0.25, 0.0, -1.0, 1.0, 0.1], &[0.0, 0.0, 1.0, 0.0, 0.0, 1.0])
            .fixed(vec![number(-0.5), number(0.25)]),
        Point::of("HardSigmoid", &[-2.5, 2.5, 0.0, -4.0, 4.0, 1.0], &[0.0, 0.0, 0.2, 0.0, 0.0, 0.2]),
        Point::of("HardSwish", &[-3.0, 3.0, 0.0, -4.0, 4.0, 1.0], &[0.0, 1.0, 0.5, 0.0, 1.0, 0.833_333_373]),
        Point::of("Shrink", &[0.5, -0.5, 0.75, 0.0, -0.75, 2.0], &[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]),
        Point::of("ThresholdedRelu", &[1.0, 0.0, 2.0, -2.0, 1.5, 1.0], &[0.0, 0.0, 1.0, 0.0, 1.0, 0.0]),
    ]
}

/// Where several elements are the largest or the least.
fn ties() -> Vec<Point> {
    const THIRD: f64 = 1.0 / 3.0;
    let of_two = |operator, first: &'static [f64; 6], second: &'static [f64; 6]| {
        Point::of(operator, &[1.0, 2.0, 3.0, 0.0, 5.0, 4.0], first).and(
            &[2, 3],
            &[1.0, 1.0, 3.0, 2.0, 5.0, 6.0],
            second,
        )
    };
    let windows = vec![("kernel_shape", vec![1, 3].into()), ("strides", vec![1, 3].into())];
    let first = &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0];
    let pooled = Point::shaped("MaxPool", &[1, 1, 2, 3], &[2.0, 2.0, 1.0, 3.0, 3.0, 3.0], first);
    vec![
        Point::of("ReduceMax", &[2.0, 2.0, 1.0, 3.0, 3.0, 3.0], &[0.5, 0.5, 0.0, THIRD, THIRD, THIRD])
            .with(along_rows()),
        Point::of("ReduceMin", &[1.0, 1.0, 2.0, 3.0, 3.0, 3.0], &[0.5, 0.5, 0.0, THIRD, THIRD, THIRD])
            .with(along_rows()),
        pooled.with(windows),
        // PyTorch halves it between two equal ones; here all of it goes to the second: Max and Min with a bound behind are Clip, which
        // has none at its bounds
        of_two("Max", &[0.0, 1.0, 0.0, 0.0, 0.0, 0.0], &[1.0, 0.0, 1.0, 1.0, 1.0, 1.0]),
        of_two("Min", &[0.0, 0.0, 0.0, 1.0, 0.0, 1.0], &[1.0, 1.0, 1.0, 0.0, 1.0, 0.0]),
    ]
}

/// Where a slope is infinite, or a quotient has zeros above and below.
fn singular() -> Vec<Point> {
    const INFINITE: f64 = f64::INFINITY;
    let constant_rows = Point::of(
        "LayerNormalization",
        &[2.0, 2.0, 2.0, 0.0, 0.0, 0.0],
        &[-421.637_085, -105.409_302, 527.046_265, -316.227_783, 158.113_892, 158.113_892],
    );
    vec![
        Point::of("Sqrt", &[0.0, 1.0, 4.0, 0.25, 0.0, 16.0], &[INFINITE, 0.5, 0.25, 1.0, INFINITE, 0.125]),
        Point::of("Pow", &[0.0, -0.0, 1.0, -2.0, 0.0, 3.0], &[0.0, 0.0, 2.0, -4.0, 0.0, 6.0])
            .fixed(vec![Constant::f32([], &[2.0])]),
        Point::of("ReduceProd", &[2.0, 0.0, 3.0, 0.0, 0.0, 4.0], &[0.0, 6.0, 0.0, 0.0, 0.0, 0.0]).with(along_rows()),
        constant_rows
            .and(&[3], &[1.0, 1.0, 1.0], &[0.0, 0.0, 0.0])
            .and(&[3], &[0.0, 0.0, 0.0], &[0.0, 2.5, 4.5])
            .weighted(&[1.0, 2.0, 4.0, -1.0, 0.5, 0.5]),
    ]
}

/// With −∞ among what is compared, and no number in the branch that is not taken.
fn infinite_and_missing() -> Vec<Point> {
    let chosen = [true, false, true, false, true, false].map(u8::from);
    let condition = Constant { dtype: ElementType::Bool, shape: vec![2, 3], bytes: chosen.to_vec().into() };
    vec![
        Point::of("Softmax", &[0.0, NO_CHANCE, 0.0, NO_CHANCE, 1.0, NO_CHANCE], &[-0.75, 0.0, 0.75, 0.0, 0.0, 0.0])
            .weighted(&[1.0, 2.0, 4.0, 1.0, 2.0, 4.0]),
        Point::of("LogSoftmax", &[0.0, NO_CHANCE, 0.0, 1.0, 1.0, NO_CHANCE], &[0.5, 0.0, -0.5, 0.5, -0.5, 0.0])
            .weighted(&[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]),
        Point::of("ReduceLogSumExp", &[NO_CHANCE, 0.0, 0.0, 1.0, NO_CHANCE, 1.0], &[0.0, 0.5, 0.5, 0.5, 0.0, 0.5])
            .with(along_rows()),
        Point::of("Where", &[1.0, NAN, 2.0, NAN, 3.0, NAN], &[1.0, 0.0, 1.0, 0.0, 1.0, 0.0])
            .and(&[2, 3], &[NAN, 1.0, NAN, 2.0, NAN, 3.0], &[0.0, 1.0, 0.0, 1.0, 0.0, 1.0])
            .fixed(vec![condition]),
    ]
}

fn along_rows() -> Vec<(&'static str, Attribute)> {
    vec![("axes", vec![1].into()), ("keepdims", 0.into())]
}
