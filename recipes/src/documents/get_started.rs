//! How a model is run by somebody who has nothing but its file: a command, and a few lines of Python.

use std::collections::BTreeSet;

use millstream_schemas::shell_word;

use super::front_matter::quoted;
use super::model_facts::ModelFacts;
use super::model_use::ModelUse;

/// Length of an axis that the file leaves open: of pictures, so that networks that halve it five times have something left.
const OPEN_SIDE: usize = 64;
/// Length of any other one.
const OPEN_LENGTH: usize = 16;
/// Axes of tokens, and of their vectors, with that of the rows.
const MOST_AXES_OF_TEXT: usize = 3;

/// The section of a card. `used` says what a row is like; where that is not known, `prepared` ends the sentence "prepared as …".
pub(super) fn markdown(model: &ModelFacts, used: Option<&ModelUse>, prepared: &str) -> String {
    let mut out = format!(
        "\n## How to get started\n\nWith this program, of rows as the model was trained on:\n\n```console\n\
         $ millstream predict {} ROWS\n```\n",
        shell_word(&model.file)
    );
    if let Some(code) = python(model, used) {
        let of_ones = match used {
            Some(_) => {
                "\"Inputs and outputs\" says how a row of the data becomes what the ones stand for here".to_owned()
            }
            None => format!("the ones stand for a row, prepared as {prepared}"),
        };
        out += &format!("\nWith ONNX Runtime alone (`pip install onnxruntime`); {of_ones}:\n\n```python\n{code}```\n");
    }
    out
}

/// One row of ones through the model. `None` where an input has elements that NumPy has not.
fn python(model: &ModelFacts, used: Option<&ModelUse>) -> Option<String> {
    let open = open_length(model, used);
    let inputs = model.inputs.iter().map(|(name, shape)| {
        let shape = lengths(shape, row_of(name, used), open);
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

/// The lengths of a row of an input; nothing where they are not known.
fn row_of<'a>(name: &str, used: Option<&'a ModelUse>) -> &'a [Option<usize>] {
    let input = used.and_then(|used| used.inputs.iter().find(|input| input.name == *name));
    input.map(|input| input.shape.as_slice()).unwrap_or_default()
}

/// What axes have that neither the file nor a row says: one length for all inputs, since a mask has that of its text.
fn open_length(model: &ModelFacts, used: Option<&ModelUse>) -> usize {
    let open = || model.inputs.iter().filter(|(_, shape)| is_open(shape));
    let texts = || open().filter(|(_, shape)| shape.len() <= MOST_AXES_OF_TEXT);
    let said: BTreeSet<usize> = texts()
        .flat_map(|(name, shape)| shape.iter().skip(1).zip(row_of(name, used)))
        .filter_map(|(of_file, of_row)| of_row.filter(|_| of_file.is_none()))
        .collect();
    if let (1, Some(length)) = (said.len(), said.first()) {
        return *length;
    }
    let alone = texts().next().is_none();
    let is_picture = |shape: &[Option<usize>]| shape.len() > MOST_AXES_OF_TEXT && (alone || has_colours(shape));
    if open().any(|(_, shape)| is_picture(shape)) { OPEN_SIDE } else { OPEN_LENGTH }
}

/// Whether an axis but that of the rows is.
fn is_open(shape: &[Option<usize>]) -> bool {
    shape.iter().skip(1).any(Option::is_none)
}

/// Whether all axes but the first and one of three or four channels, in front of the others or behind them, are open.
fn has_colours(shape: &[Option<usize>]) -> bool {
    let are_sides = |axes: &[Option<usize>]| axes.iter().all(Option::is_none);
    matches!(shape, [_, Some(3 | 4), sides @ ..] | [_, sides @ .., Some(3 | 4)] if are_sides(sides))
}

/// The lengths of an input with one row; `row` has those of a row, where the file leaves them open, and `open` is that of all other axes.
fn lengths(shape: &[Option<usize>], row: &[Option<usize>], open: usize) -> Vec<usize> {
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
            (
                vec![("ids", tokens.0, tokens.1), ("mask", &[None, Some(1), None, None][..], "bool")],
                r#"inputs = {"ids": numpy.ones([1, 16], "int64"), "mask": numpy.ones([1, 1, 16, 16], "bool")}"#,
            ),
            (
                vec![("image", &[None, None, None, Some(3)][..], "float32"), ("ids", tokens.0, tokens.1)],
                r#"inputs = {"image": numpy.ones([1, 64, 64, 3], "float32"), "ids": numpy.ones([1, 64], "int64")}"#,
            ),
            (
                vec![("ids", tokens.0, tokens.1), ("past", &[None, Some(4), None, Some(8)][..], "float32")],
                r#"inputs = {"ids": numpy.ones([1, 16], "int64"), "past": numpy.ones([1, 4, 16, 8], "float32")}"#,
            ),
            (vec![("grey", &[None, Some(1), None, None][..], "float32")], "numpy.ones([1, 1, 64, 64]"),
        ] {
            let card = markdown(&model(&inputs), None, "the recipe says");
            assert!(card.contains("the ones stand for a row, prepared as the recipe says:"), "{card}");
            assert!(card.contains(wanted) && card.contains("model.run(None, inputs)"), "{wanted} is not in\n{card}");
        }
        let card = markdown(&model(&[("image", &[None, Some(8)][..], "bfloat16")]), None, "the recipe says");
        assert!(card.contains("$ millstream predict model.onnx ROWS") && !card.contains("```python"), "{card}");
    }
}
