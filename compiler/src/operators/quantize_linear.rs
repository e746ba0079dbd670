use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, varied, varied_in};
use crate::CompilerError;
use crate::graph::{Constant, ElementType, TensorType};

/// `QuantizeLinear`: y = round(x / scale) + zero point, cut to the range of its integers.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "QuantizeLinear",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Zero("it rounds to integers: constant between steps"),
    samples: || {
        let zero = SampleInput::Fixed(Constant { dtype: ElementType::I8, shape: vec![], bytes: vec![3].into() });
        let scale = || SampleInput::Fixed(Constant::f32([], &[0.125]));
        vec![
            Sample::new("unsigned", vec![varied(&[2, 3]), scale()], vec![]),
            Sample::new("signed", vec![varied(&[2, 3]), scale(), zero], vec![]),
            Sample::new("a scale a column", vec![varied(&[2, 3]), varied_in(&[3], 0.1, 0.2)], vec![]),
        ]
    },
};

pub(super) fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, _) = (rule.input(0)?, rule.input(1)?);
    let said = rule.node.int("output_dtype").filter(|number| *number != 0);
    let dtype = match (rule.optional(2), said) {
        (Some(zero), _) => zero.dtype,
        (None, Some(number)) => ElementType::stated(number).map_err(|told| rule.error(format!("rounds to {told}")))?,
        (None, None) => ElementType::U8,
    };
    Ok(vec![TensorType { dtype, shape: x.shape.clone() }])
}

#[cfg(test)]
mod tests {
    use crate::graph::{Constant, ElementType, Graph, TensorType};
    use crate::operators::OperatorCatalog;

    #[test]
    fn rounding_to_floats_of_8_or_4_bits_is_refused_by_their_names() {
        for (number, wanted) in
            [(17_i64, "rounds to float8e4m3fn"), (23, "rounds to float4e2m1"), (22, "rounds to int4")]
        {
            let mut graph = Graph::new(23, OperatorCatalog::standard());
            let x = graph.input("x", TensorType::f32([2, 3]));
            let scale = graph.constant("scale", Constant::f32([], &[0.5]));
            let refused = graph.add("QuantizeLinear", &[x, scale], &[("output_dtype", number.into())]);
            let told = refused.unwrap_err().to_string();
            assert!(told.contains(wanted) && told.contains("export the model"), "{told}");
            let refused = graph.add("Cast", &[x], &[("to", number.into())]);
            assert!(refused.unwrap_err().to_string().contains(&wanted.replace("rounds", "casts")));
        }
    }

    #[test]
    fn what_is_dequantized_is_of_the_type_that_the_node_states() {
        let mut graph = Graph::new(23, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::new(ElementType::I8, [2, 3]));
        let scale = graph.constant("scale", Constant::f32([], &[0.5]));
        for (number, wanted) in [(0_i64, ElementType::F32), (1, ElementType::F32), (11, ElementType::F64)] {
            let made = graph.add("DequantizeLinear", &[x, scale], &[("output_dtype", number.into())]).unwrap();
            assert_eq!(graph.known_type(made).unwrap().dtype, wanted, "{number}");
        }
        let refused = graph.add("DequantizeLinear", &[x, scale], &[("output_dtype", 17.into())]).unwrap_err();
        assert!(refused.to_string().contains("gives float8e4m3fn"), "{refused}");
    }
}
