//! What the name of a constant, and the number that it may be, tell of whether a person made it a parameter.

use super::module_path::{is_generated, may_be_result};
use super::views::VIEWS;
use crate::graph::{Constant, Graph, Node, ValueId};
use crate::model_file::is_lifted;

/// Operators in which a single number may be a parameter: a temperature, a gate, a scale of a branch.
const SCALED_BY: [&str; 4] = ["Add", "Div", "Mul", "Sub"];

/// Functions that modules take of a parameter of one number before they use it, beside those that make it positive.
pub(super) const FUNCTIONS: [&str; 11] =
    ["Abs", "Clip", "Exp", "Log", "Neg", "Reciprocal", "Relu", "Sigmoid", "Softplus", "Sqrt", "Tanh"];

/// Names without the path of a module that exporters and this compiler give to numbers of a formula.
const LITERALS: [&str; 40] = [
    "cast",
    "const",
    "constant",
    "count",
    "denominator",
    "eight",
    "eps",
    "epsilon",
    "fill_value",
    "five",
    "four",
    "half",
    "hundred",
    "inf",
    "lambd",
    "loss_gradient",
    "minus_one",
    "neg",
    "neg_inf",
    "negate",
    "negative_slope",
    "nine",
    "number",
    "oft_two",
    "one",
    "out_of_sight",
    "pi",
    "quarter",
    "scalar",
    "seven",
    "six",
    "sixth",
    "ten",
    "third",
    "three",
    "tmp",
    "token",
    "two",
    "unity",
    "zero",
];

/// What names of such numbers begin with.
const BEGINNINGS: [&str; 12] = [
    "Constant",
    "_mulscalar",
    "_plusscalar",
    "_to_copy",
    "adapter_scale",
    "const_",
    "ensemble.",
    "least_",
    "lift_fresh_copy",
    "lora_scale",
    "scalar_tensor",
    "scores.",
];

/// What they end with: what torch.export makes of the arguments of an operator. skl2onnx ends those of a formula with `cst` and a number.
const ENDINGS: [&str; 5] = ["_cast", "_const", "_constant", "_default", "_like"];

/// Operators after whose results torch.export names constants that may be one number; those of the others go along axes.
const RESULTS_OF_ONE: [&str; 9] = ["clamp", "log", "max", "mean", "min", "select", "sqrt", "sum", "where"];

/// Numbers that formulas have most often, which parameters begin with as well.
const PLAIN: [f32; 5] = [-1.0, 0.0, 0.5, 1.0, 2.0];

/// Last words of the names of statistics.
const STATISTICS: [&str; 9] = ["deviation", "mean", "means", "std", "stddev", "stdev", "stds", "var", "variance"];

/// What the names of modules begin with that prepare an input.
const PREPARING: [&str; 6] = ["denormaliz", "normaliz", "preproc", "rescal", "scaler", "standardiz"];

/// Numbers of formulas that are neither round nor roots: π, 2π, π/2, 1/π, √(2/π), √(2π), ln 2, 1/ln 2, ln 10, 1/ln 10, both of SELU.
const OF_FORMULAS: [f64; 12] = [
    std::f64::consts::PI,
    std::f64::consts::TAU,
    std::f64::consts::FRAC_PI_2,
    std::f64::consts::FRAC_1_PI,
    0.797_884_560_802_865_4,
    2.506_628_274_631_000_7,
    std::f64::consts::LN_2,
    std::f64::consts::LOG2_E,
    std::f64::consts::LN_10,
    std::f64::consts::LOG10_E,
    1.050_700_987_355_480_5,
    1.673_263_242_354_377_2,
];

/// Whether a name is the path of a module with dots and what the module calls a parameter or buffer of it: `blocks.0.attn.temp`. Names of
/// PyTorch are so; those with slashes or colons are of other sources, or of operations.
pub(super) fn has_module_path(name: &str) -> bool {
    let Some((path, last)) = name.rsplit_once('.') else { return false };
    let is_written = BEGINNINGS.iter().any(|beginning| name.starts_with(beginning));
    let is_made_up = name.contains(['/', ':']) || name.starts_with("p2o.") || name.starts_with("helper.");
    !(is_written || is_made_up || path.is_empty() || last.is_empty() || last.starts_with("tmp_") || is_lifted(last))
}

/// Whether a person may have given a constant of one number its name.
pub(super) fn is_of_person(name: &str) -> bool {
    has_module_path(name) || !(is_generated(name) || name.contains(['/', ':']) || is_literal_name(name))
}

fn is_literal_name(name: &str) -> bool {
    // further ones of a formula have a number behind them
    let unnumbered = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
    RESULTS_OF_ONE.contains(&name)
        || LITERALS.contains(&name)
        || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
        || unnumbered.ends_with("cst")
        || is_lifted(name)
}

/// Whether a constant is one number of those that formulas have most often, and has no path of a module, which would say that it is a
/// parameter all the same.
pub(super) fn is_plain_number(name: &str, constant: &Constant) -> bool {
    !has_module_path(name) && single(constant).is_some_and(|number| PLAIN.contains(&number))
}

/// Whether a constant whose name is a person's is a parameter where it stands beside what comes out of layers. One number is one
/// where it is added, multiplied or divided by, or goes through a function first, unless it is [plain](is_plain_number); several
/// numbers are where they are no statistics.
pub(super) fn is_parameter(name: &str, operator: &str, constant: &Constant) -> bool {
    let Some(number) = single(constant) else {
        let is_taken = matches!(operator, "Div" | "Sub");
        return operator != "Pow" && (!is_taken || has_module_path(name) && !is_statistic(name));
    };
    let is_read = SCALED_BY.contains(&operator) || FUNCTIONS.contains(&operator);
    let is_of_formula = !number.is_finite() || number.abs() > 1e30 || !is_round(number) && is_of_formula(number);
    is_read && is_of_person(name) && !is_statistic(name) && !is_of_formula && !is_plain_number(name, constant)
}

/// Whether a single number that is no parameter could be one for all that its value tells: it is neither round nor a root of a size, nor
/// one of those that formulas have.
pub(super) fn may_be_learned(operator: &str, constant: &Constant) -> bool {
    let number = single(constant).filter(|number| number.is_finite() && number.abs() < 1e4 && number.abs() > 1e-4);
    SCALED_BY.contains(&operator) && number.is_some_and(|number| !is_round(number) && !is_of_formula(number))
}

/// The number of a constant that has one.
fn single(constant: &Constant) -> Option<f32> {
    if constant.shape.iter().product::<usize>() != 1 {
        return None;
    }
    constant.to_f32().and_then(|numbers| numbers.first().copied())
}

/// Whether a number has five digits or fewer, or is one of 16 bits.
fn is_round(number: f32) -> bool {
    let written = format!("{number:e}");
    let digits = written.split('e').next().unwrap_or_default().bytes().filter(u8::is_ascii_digit).count();
    digits <= 5 || number.to_bits() & 0x1fff == 0
}

/// Whether a number is a square root or a fourth root of a whole number or of the inverse of one, as attentions scale by, or one of those
/// that formulas have.
fn is_of_formula(number: f32) -> bool {
    let own = f64::from(number.abs());
    let is_near = |number: f64, wanted: f64| (number - wanted).abs() <= 3e-7 * wanted.abs();
    let is_whole = |power: f64, most: f64| (1.5..=most).contains(&power) && is_near(power, power.round());
    let (square, fourth) = (own.powi(2), own.powi(4));
    is_whole(square, 65_536.5)
        || is_whole(square.recip(), 65_536.5)
        || is_whole(fourth, 4_096.5)
        || is_whole(fourth.recip(), 4_096.5)
        || OF_FORMULAS.iter().any(|known| is_near(own, *known))
}

/// Whether the last part of a name is that of a statistic: `mean`, `pixel_std`.
fn is_statistic(name: &str) -> bool {
    let last = name.rsplit(['.', '/']).next().unwrap_or(name);
    let word = last.rsplit('_').next().unwrap_or(last).to_ascii_lowercase();
    STATISTICS.contains(&word.as_str())
}

/// Whether a name says that an input is normalized by what has it.
pub(super) fn is_of_preparation(name: &str) -> bool {
    let mut words = name.split(['.', '/', '_']).map(str::to_ascii_lowercase);
    is_statistic(name) || words.any(|word| PREPARING.iter().any(|beginning| word.starts_with(beginning)))
}

/// Whether a constant beside the raw input, in front of all layers, is a parameter all the same: it has more than a number for
/// each channel, as positions that are added to each row, and the path of a module; or what it makes is a
/// skip, beside other readers of the input. Two tables of rotary frequencies that multiply the same places are no skips.
pub(super) fn is_parameter_in_front(
    graph: &Graph,
    (node, input): (&Node, usize),
    name: &str,
    constant: &Constant,
    makes_angles: bool,
) -> bool {
    let is_wide = constant.shape.iter().filter(|length| **length > 1).count() > 1;
    let is_skip = || {
        let other = 1usize.checked_sub(input).and_then(|other| node.input(other));
        other.is_some_and(|other| is_read_elsewhere(graph, node, other))
    };
    let is_named = is_of_person(name) && !may_be_result(name);
    !is_of_preparation(name) && is_named && (is_wide && has_module_path(name) || !makes_angles && is_skip())
}

/// Whether others than this node read a value, or what it is another form of, and not only its lengths or where it is missing.
fn is_read_elsewhere(graph: &Graph, node: &Node, value: ValueId) -> bool {
    let asks = |reader: &Node| matches!(reader.operator.as_str(), "Equal" | "IsNaN" | "Shape" | "Size");
    let mut value = value;
    loop {
        let readers = graph.nodes().iter().filter(|reader| reader.inputs.contains(&Some(value)) && !asks(reader));
        if readers.count() > 1 {
            return true;
        }
        let maker = graph.producer(value).filter(|maker| {
            maker.outputs != node.outputs && (maker.is("Cast") || VIEWS.iter().any(|view| maker.is(view)))
        });
        match maker.and_then(|maker| maker.input(0)) {
            Some(read) => value = read,
            None => return false,
        }
    }
}

/// Whether a number is the scale of a quantized weight, which the scale of the numbers that came in is multiplied by.
pub(super) fn is_of_quantization(graph: &Graph, node: &Node, input: usize) -> bool {
    let other = 1usize.checked_sub(input).and_then(|other| node.input(other));
    let maker = other.and_then(|other| graph.producer(other));
    maker.is_some_and(|maker| matches!(maker.operator.as_str(), "DynamicQuantizeLinear" | "QuantizeLinear"))
}

#[cfg(test)]
mod tests {
    use crate::finetuning::frozen_constant::frozen_constants;
    use crate::finetuning::{Layer, layers};
    use crate::handmade::{graph, node, read, value, weight};
    use crate::model_file::onnx::{NodeProto, TensorProto};
    use crate::operators::OperatorCatalog;

    /// The parameters of a model from `x` `[batch, 5, 4]` to `y`, and what is told to be frozen.
    fn found(nodes: Vec<NodeProto>, weights: Vec<TensorProto>) -> (Vec<String>, Vec<String>) {
        let graph = read(graph(nodes, weights, vec![value("x", &[5, 4])], vec![value("y", &[5, 4])]));
        let catalog = OperatorCatalog::standard();
        let all: Vec<Layer> = layers(&graph, &catalog);
        let weights = all.iter().flat_map(|layer| &layer.weights);
        let trained = weights.map(|weight| graph.name(weight.value).to_owned()).collect();
        let frozen = frozen_constants(&graph, &all, &catalog).into_iter().map(|constant| constant.name).collect();
        (trained, frozen)
    }

    fn number(name: &str, value: f32, axes: usize) -> TensorProto {
        TensorProto { float_data: vec![value], ..weight(name, &vec![1; axes]) }
    }

    #[test]
    fn single_numbers_with_the_name_of_a_person_are_trained_and_literals_are_not() {
        // of the names: the value, whether it is trained, and whether it is told where it is not
        let rows: [(&str, f32, bool, bool); 41] = [
            ("temp", 0.7, true, false),
            ("temperature", 0.71, true, false),
            ("w", 0.83, true, false),
            ("logit_scale", 4.605_17, true, false),
            ("residual_scale", 0.8, true, false),
            ("net.temp", 1.0, true, false),
            ("blocks.0.attn.tau", 0.5, true, false),
            ("blocks.0.rez", 0.0, true, false),
            ("blocks.0.layer_scale_1", 1e-6, true, false),
            ("head.scale", 8.0, true, false),
            ("net.embed_tokens.embed_scale", 2.828_427, false, false),
            ("net.scale_of_size", 2.828_427, false, true),
            ("scalar_tensor_default", 1.0, false, false),
            ("scalar_tensor_default_3", 1.0, false, false),
            ("min_val_cast", 0.731_819_9, false, false),
            ("zeros", 0.0, false, false),
            ("half", 0.5, false, false),
            ("sqrt", 3.464_101_6, false, false),
            ("_to_copy", 0.125, false, false),
            ("lora_scale", 2.0, false, false),
            ("val_12", 0.125, false, false),
            ("val_13", 0.594_603_54, false, false),
            ("val_14", 0.797_884_6, false, false),
            ("val_15", 0.731_819_9, false, true),
            ("onnx::Mul_123", 0.044_715, false, false),
            ("negate", -1.0, false, false),
            ("unity", 1.0, false, false),
            ("Ad_Addcst1", 0.3, false, false),
            ("cst3", 0.3, false, false),
            ("enc.act.lifted_tensor_0", 0.3, false, false),
            ("enc.act._lifted_tensor_constant0", 0.3, false, false),
            ("_lifted_tensor_constant0", 0.3, false, false),
            ("_tensor_constant0", 0.3, false, false),
            // of these the name does not tell, nor does the value
            ("shift", 0.0, false, true),
            ("gain", 1.0, false, true),
            ("strength", 0.5, false, true),
            ("sign", -1.0, false, true),
            ("power", 2.0, false, true),
            ("t", 10.0, true, false),
            ("/Constant_output_0", f32::NEG_INFINITY, false, false),
            ("model/gelu/mul/x:0", 0.5, false, false),
        ];
        for (name, value, is_trained, is_told) in rows {
            for operator in ["Mul", "Div", "Add"] {
                for axes in 0..3 {
                    let nodes =
                        vec![node("MatMul", &["x", "first.weight"], &["h"]), node(operator, &["h", name], &["y"])];
                    let (trained, frozen) =
                        found(nodes, vec![weight("first.weight", &[4, 4]), number(name, value, axes)]);
                    assert_eq!(trained.iter().any(|own| own == name), is_trained, "{name} {operator} {axes}");
                    assert_eq!(frozen.iter().any(|own| own == name), is_told, "{name} {operator} {axes}: {frozen:?}");
                }
            }
        }
    }

    #[test]
    fn a_plain_number_that_goes_through_a_function_is_told_and_trained_with_a_path() {
        for (name, value, is_trained) in
            [("log_gain", 0.0, false), ("net.log_gain", 0.0, true), ("log_gain", 0.3, true)]
        {
            let nodes = vec![
                node("MatMul", &["x", "first.weight"], &["h"]),
                node("Exp", &[name], &["e"]),
                node("Mul", &["h", "e"], &["y"]),
            ];
            let (trained, frozen) = found(nodes, vec![weight("first.weight", &[4, 4]), number(name, value, 0)]);
            assert_eq!(trained.iter().any(|own| own == name), is_trained, "{name} {value}");
            assert_eq!(frozen.iter().any(|own| own == name), !is_trained, "{name} {value}: {frozen:?}");
        }
    }

    #[test]
    fn the_scale_of_a_quantized_weight_and_what_fills_masked_places_are_no_parameters() {
        let nodes = vec![
            node("MatMul", &["x", "first.weight"], &["h"]),
            node("Greater", &["h", "x"], &["c"]),
            node("Where", &["c", "h", "net.far"], &["m"]),
            node("Add", &["m", "net.offset"], &["y"]),
        ];
        let weights =
            vec![weight("first.weight", &[4, 4]), number("net.far", -3.3, 0), number("net.offset", 0.731_819_9, 0)];
        assert_eq!(found(nodes, weights).0, ["first.weight", "net.offset"]);
        let nodes = vec![
            node("DynamicQuantizeLinear", &["x"], &["q", "step", "middle"]),
            node("DequantizeLinear", &["q", "step", "middle"], &["d"]),
            node("MatMul", &["d", "first.weight"], &["h"]),
            node("Mul", &["step", "first.weight_scale"], &["both"]),
            node("Mul", &["h", "both"], &["y"]),
        ];
        let weights = vec![weight("first.weight", &[4, 4]), number("first.weight_scale", 0.001_382_862_8, 0)];
        assert_eq!(found(nodes, weights).0, ["first.weight"]);
    }

    #[test]
    fn positions_of_the_raw_input_and_a_skip_from_it_are_trained_and_what_normalizes_it_is_not() {
        let behind = || node("MatMul", &["a", "first.weight"], &["h"]);
        let first = || weight("first.weight", &[4, 4]);
        // what stands in front of the first layer, its shape, and whether it is trained
        let rows: [(&str, &str, &[usize], bool); 7] = [
            ("Add", "net.pos", &[1, 5, 4], true),
            ("Add", "net.nodes", &[5, 4], true),
            ("Add", "net.shift", &[4], false),
            ("Mul", "net.gain", &[1, 1, 4], false),
            ("Add", "normalize.shift", &[1, 5, 4], false),
            ("Sub", "net.pixel_mean", &[5, 4], false),
            ("Add", "pos", &[1, 5, 4], false),
        ];
        for (operator, name, shape, is_trained) in rows {
            let nodes = vec![node(operator, &["x", name], &["a"]), behind(), node("Tanh", &["h"], &["y"])];
            let (trained, _) = found(nodes, vec![first(), weight(name, shape)]);
            assert_eq!(trained.iter().any(|own| own == name), is_trained, "{operator} {name}");
        }
        for (name, is_trained) in [("net.D", true), ("net.std", false)] {
            let nodes = vec![
                node("Mul", &["x", name], &["skip"]),
                node("MatMul", &["x", "first.weight"], &["h"]),
                node("Add", &["h", "skip"], &["y"]),
            ];
            let (trained, _) = found(nodes, vec![first(), weight(name, &[4])]);
            assert_eq!(trained.iter().any(|own| own == name), is_trained, "{name}");
        }
    }

    #[test]
    fn frequencies_of_two_rotary_embeddings_of_the_same_positions_are_not_trained() {
        let nodes = vec![
            node("Mul", &["x", "rotary.full_inv_freq"], &["full"]),
            node("Mul", &["x", "rotary.sliding_inv_freq"], &["sliding"]),
            node("Cos", &["full"], &["c"]),
            node("Sin", &["sliding"], &["s"]),
            node("MatMul", &["c", "first.weight"], &["h"]),
            node("Add", &["h", "s"], &["y"]),
        ];
        let weights = vec![
            weight("first.weight", &[4, 4]),
            weight("rotary.full_inv_freq", &[4]),
            weight("rotary.sliding_inv_freq", &[4]),
        ];
        assert_eq!(found(nodes, weights).0, ["first.weight"]);
    }
}
