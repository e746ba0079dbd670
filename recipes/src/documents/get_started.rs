//! How a model is run by somebody who has nothing but its file: a command, and a few lines of Python.

use millstream_schemas::shell_word;

use super::front_matter::quoted;
use super::model_facts::ModelFacts;
use super::model_use::ModelUse;

/// Length of an axis that the file leaves open: of pictures, so that networks that halve it five times have something left.
const OPEN_SIDE: usize = 64;
/// Length of any other one.
const OPEN_LENGTH: usize = 16;

/// The section of a card. `used` says what a row is like, where that is known.
pub(super) fn markdown(model: &ModelFacts, used: Option<&ModelUse>) -> String {
    let mut out = format!(
        "\n## How to get started\n\nWith this program, of rows as the model was trained on:\n\n```console\n\
         $ millstream predict {} ROWS\n```\n",
        shell_word(&model.file)
    );
    if let Some(code) = python(model, used) {
        let of_ones = match used {
            Some(_) => "\"Inputs and outputs\" says how a row of the data becomes what the ones stand for here",
            None => "the ones stand for a row, prepared as it is for the members",
        };
        out += &format!("\nWith ONNX Runtime alone (`pip install onnxruntime`); {of_ones}:\n\n```python\n{code}```\n");
    }
    out
}

/// One row of ones through the model. `None` where an input has elements that NumPy has not.
fn python(model: &ModelFacts, used: Option<&ModelUse>) -> Option<String> {
    let inputs = model.inputs.iter().map(|(name, shape)| {
        let row = used.and_then(|used| used.inputs.iter().find(|input| input.name == *name));
        let shape = lengths(shape, row.map(|input| input.shape.as_slice()).unwrap_or_default());
        let element = numpy_type(model.element_type(name))?;
        Some(format!("{}: numpy.ones({shape:?}, {})", quoted(name), quoted(element)))
    });
    let inputs = inputs.collect::<Option<Vec<String>>>()?;
    let outputs = used.map_or_else(|| "None".to_owned(), |used| format!("[{}]", quoted(&used.output.name)));
    Some(format!(
        "import numpy\nimport onnxruntime\n\nmodel = onnxruntime.InferenceSession({})\ninputs = {{{}}}\n\
         print(model.run({outputs}, inputs)[0])\n",
        quoted(&model.file),
        inputs.join(", ")
    ))
}

/// The lengths of an input with one row; `row` has those of a row, where the file leaves them open.
fn lengths(shape: &[Option<usize>], row: &[Option<usize>]) -> Vec<usize> {
    let open = if shape.len() > 3 { OPEN_SIDE } else { OPEN_LENGTH };
    let length = |(at, length): (usize, &Option<usize>)| match at.checked_sub(1) {
        None => length.unwrap_or(1),
        Some(of_row) => length.or_else(|| row.get(of_row).copied().flatten()).unwrap_or(open),
    };
    shape.iter().enumerate().map(length).collect()
}

/// What NumPy calls a type of ONNX.
fn numpy_type(element: &'static str) -> Option<&'static str> {
    const KNOWN: [&str; 12] = [
        "bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
        "uint64",
    ];
    KNOWN.contains(&element).then_some(element)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn model(inputs: &[(&str, &[Option<usize>], &'static str)]) -> ModelFacts {
        let shapes = inputs.iter().map(|(name, shape, _)| ((*name).to_owned(), shape.to_vec()));
        let types = inputs.iter().map(|(name, _, element)| ((*name).to_owned(), *element));
        ModelFacts {
            file: "model.onnx".into(),
            bytes: None,
            sha256: String::new(),
            producer: String::new(),
            opset: None,
            inputs: shapes.collect(),
            outputs: Vec::new(),
            element_types: types.collect::<BTreeMap<_, _>>(),
            architecture: None,
            architecture_family: None,
        }
    }

    #[test]
    fn every_input_has_a_row_of_its_type_and_lengths() {
        let tokens: (&[Option<usize>], &'static str) = (&[None, None], "int64");
        for (inputs, wanted) in [
            (
                vec![("image", &[None, Some(3), Some(32), Some(32)][..], "float32")],
                r#"inputs = {"image": numpy.ones([1, 3, 32, 32], "float32")}"#,
            ),
            (
                vec![("image", &[None, Some(3), None, None][..], "float16")],
                r#"inputs = {"image": numpy.ones([1, 3, 64, 64], "float16")}"#,
            ),
            (
                vec![("ids", tokens.0, tokens.1), ("mask", tokens.0, "bool")],
                r#"inputs = {"ids": numpy.ones([1, 16], "int64"), "mask": numpy.ones([1, 16], "bool")}"#,
            ),
        ] {
            let card = markdown(&model(&inputs), None);
            assert!(card.contains(wanted) && card.contains("model.run(None, inputs)"), "{wanted} is not in\n{card}");
        }
        let card = markdown(&model(&[("image", &[None, Some(8)][..], "bfloat16")]), None);
        assert!(card.contains("$ millstream predict model.onnx ROWS") && !card.contains("```python"), "{card}");
    }
}
