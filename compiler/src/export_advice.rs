//! What of an exported file trains badly, and what to change where it was exported.

use std::collections::{BTreeMap, BTreeSet};

use millstream_schemas::{count, grouped, shown};
use serde::Serialize;

use crate::batch_axis;
use crate::describe::{LayerReport, ModelReport};
use crate::finetuning::{FrozenConstant, ScoreEffect, chosen_output, score_effect};
use crate::graph::{ElementType, Graph, Node, ValueId};
use crate::model_file::InputKind;
use crate::operators::{Gradient, OperatorCatalog};
use crate::{CompilerError, Model};

/// Something in a file that training can do less with, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExportAdvice {
    /// What was found, and what it means for training.
    pub finding: String,
    /// What to change in the export.
    pub change: String,
}

/// Convolutions with biases from which on it is said that nothing normalizes them.
const FEWEST_CONVOLUTIONS: usize = 4;
/// Layers from which on it is said that the names are made up.
const FEWEST_NAMED: usize = 4;
/// Inputs of whole numbers of fewer columns are no texts.
const SHORTEST_TEXT: usize = 8;
/// The version of the standard operators that has LayerNormalization.
const HAS_LAYER_NORMALIZATION: i64 = 17;

/// What to change in the export of a model, by the rules of a catalog; empty where nothing was found. `report` is that of the model.
///
/// # Errors
/// As [`describe`](crate::describe()).
pub fn export_advice(
    model: &Model,
    report: &ModelReport,
    catalog: &OperatorCatalog,
) -> Result<Vec<ExportAdvice>, CompilerError> {
    let graph = model.graph(&BTreeMap::new(), catalog)?;
    let found = [
        fixed_batch(&graph, catalog),
        fixed_length(&graph),
        ending(&graph, catalog),
        folded_normalization(&graph),
        folded_constants(report),
        other_floats(&graph),
        of_one_processor(model),
        quantized(&graph),
        kept_loop(&graph),
        old_opset(&graph, model.opset()),
        made_up_names(&report.layers),
    ];
    Ok(found.into_iter().flatten().collect())
}

fn advice(finding: String, change: impl Into<String>) -> Option<ExportAdvice> {
    Some(ExportAdvice { finding, change: change.into() })
}

fn fixed_batch(graph: &Graph, catalog: &OperatorCatalog) -> Option<ExportAdvice> {
    let rows = batch_axis::fixed_rows(graph)?;
    let mut freed = graph.clone();
    let is_free = batch_axis::repeat_equal_rows(&mut freed, catalog).map_err(|error| error.to_string());
    let free = |()| batch_axis::free(&mut freed, &BTreeMap::new(), catalog).map_err(|obstacle| obstacle.to_string());
    let means = match is_free.and_then(free) {
        Ok(()) => "training frees that axis, since nothing in the file counts on it".to_owned(),
        Err(obstacle) => format!("batches of another size may not be possible: {obstacle}"),
    };
    let name = graph.inputs().first().map_or_else(String::new, |input| shown(graph.name(*input)));
    advice(
        format!("the file fixes its batch at {}; {means}", count(rows, "row")),
        format!(
            "leave the first axis open: `dynamic_shapes=({{0: torch.export.Dim(\"batch\")}},)`, or with `dynamo=False` \
             `dynamic_axes={{\"{name}\": {{0: \"batch\"}}}}`"
        ),
    )
}

fn fixed_length(graph: &Graph) -> Option<ExportAdvice> {
    let of_text = |input: &&ValueId| InputKind::is_of_text(graph.name(**input));
    let (name, length) = graph.inputs().iter().filter(of_text).find_map(|input| {
        let known = graph.tensor_type(*input).filter(|known| !known.dtype.is_float() && known.shape.len() == 2)?;
        let length = known.shape[1].fixed().filter(|length| *length >= SHORTEST_TEXT)?;
        Some((shown(graph.name(*input)), length))
    })?;
    advice(
        format!(
            "input `{name}` takes exactly {length} tokens a row: shorter texts are padded to them, and cost as much"
        ),
        format!(
            "leave the length open too: `{{0: torch.export.Dim(\"batch\"), 1: torch.export.Dim(\"sequence\", max={length})}}` for each \
             input, or `dynamic_axes` with `{{0: \"batch\", 1: \"sequence\"}}`"
        ),
    )
}

/// What makes the output, behind what only moves its elements.
fn maker(graph: &Graph, output: ValueId) -> Option<&Node> {
    let mut value = output;
    for _ in 0..graph.nodes().len() {
        let node = graph.producer(value)?;
        match score_effect(node) {
            Some(ScoreEffect::Keeps | ScoreEffect::Reshapes | ScoreEffect::Transposes) => value = node.input(0)?,
            _ => return Some(node),
        }
    }
    None
}

fn ending(graph: &Graph, catalog: &OperatorCatalog) -> Option<ExportAdvice> {
    // labels beside scores are no matter
    let outputs = chosen_output(graph, None).map_or_else(|_| graph.outputs().to_vec(), |output| vec![output]);
    outputs.into_iter().find_map(|output| {
        let node = maker(graph, output)?;
        let (name, operator) = (shown(graph.name(output)), node.qualified_operator());
        match catalog.gradient_of(&node.domain, &node.operator, graph.opset_of(&node.domain)) {
            Ok(Gradient::Zero(reason)) => advice(
                format!("output `{name}` ends in {operator}, whose gradient is zero ({reason}): nothing can be trained through it"),
                "return what stands in front of it: the scores, for example `logits` instead of `logits.argmax(1)`",
            ),
            _ if ["LogSoftmax", "Sigmoid", "Softmax"].iter().any(|one| node.is(one)) => advice(
                format!("output `{name}` ends in {operator}; training looks for the scores in front of it"),
                "return the scores themselves, which every loss can be computed from: the probabilities are made of them when a \
                 model predicts",
            ),
            _ => None,
        }
    })
}

fn folded_normalization(graph: &Graph) -> Option<ExportAdvice> {
    let count_of = |is_it: &dyn Fn(&Node) -> bool| graph.nodes().iter().filter(|node| is_it(node)).count();
    let convolutions =
        count_of(&|node| ["Conv", "ConvTranspose"].iter().any(|one| node.is(one)) && node.input(2).is_some());
    let by_batch = count_of(&|node| node.operator == "BatchNormalization");
    // one that is written in single operators takes a root
    let otherwise = count_of(&|node| {
        node.is("Sqrt") || node.operator.ends_with("Normalization") && node.operator != "BatchNormalization"
    });
    if convolutions < FEWEST_CONVOLUTIONS || 4 * by_batch >= convolutions || otherwise > 0 {
        return None;
    }
    let left = match by_batch {
        0 => "no BatchNormalization is there".to_owned(),
        1 => "1 BatchNormalization is left".to_owned(),
        some => format!("{some} BatchNormalizations are left"),
    };
    advice(
        format!(
            "{} have biases and {left}: most exporters fold it into the convolution in front. The file computes the same, but \
             has no `norms` to train there, and no statistics that could follow new data",
            count(convolutions, "convolution")
        ),
        "where the source has BatchNormalization, keep it: `optimize=False`, or with `dynamo=False` \
         `training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False`",
    )
}

fn folded_constants(report: &ModelReport) -> Option<ExportAdvice> {
    let folded: Vec<&FrozenConstant> = report.frozen.iter().filter(|constant| constant.is_computed()).collect();
    let first = folded.first()?;
    let numbers: usize = folded.iter().map(|constant| constant.shape.iter().product::<usize>()).sum();
    advice(
        format!(
            "{} in {} (`{}` first) were computed when the file was written, perhaps from parameters that are no longer in it; they \
             are not trained",
            count(numbers, "number"),
            count(folded.len(), "tensor"),
            shown(&first.name)
        ),
        "export without folding constants: `optimize=False`, or with `dynamo=False` `do_constant_folding=False`",
    )
}

fn other_floats(graph: &Graph) -> Option<ExportAdvice> {
    let stored = graph.float_type_of_file()?;
    let name = stored.name();
    if stored == ElementType::F64 {
        return advice(
            format!(
                "numbers are of {name}: they are trained in float32, and written in {name} again in the exported model"
            ),
            "export the model in 32 bits, which is what is trained: `model.float()`, or with skl2onnx `FloatTensorType`",
        );
    }
    advice(
        format!(
            "weights are of {name}: they are trained in float32, and rounded to {name} again in the exported model"
        ),
        "export the model in 32 bits (`model.float()`), and make it smaller after training",
    )
}

fn of_one_processor(model: &Model) -> Option<ExportAdvice> {
    let finding = "ONNX Runtime has optimized the file for one kind of processor: weights lie in blocks of channels. They are read in order \
                   again, and have lost the names of the source";
    let change = "take the file that it was made from, or let ONNX Runtime write it with `graph_optimization_level` \
                  `ORT_ENABLE_EXTENDED` at most";
    model.is_of_one_processor().then(|| advice(finding.to_owned(), change)).flatten()
}

fn quantized(graph: &Graph) -> Option<ExportAdvice> {
    let is_quantized = |node: &&Node| {
        let name = node.operator.as_str();
        let starts = [
            "DynamicQuantize",
            "MatMulBnb",
            "MatMulFpQ",
            "MatMulNBits",
            "QAttention",
            "QEmbed",
            "QGemm",
            "QLinear",
            "QMoE",
        ];
        starts.iter().any(|start| name.starts_with(start))
            || ["QuantizeLinear", "BlockQuantized"].iter().any(|part| name.contains(part))
            || name == "DequantizeLinear"
            || ["ConvInteger", "MatMulInteger"].contains(&name)
    };
    let nodes = graph.nodes().iter().filter(is_quantized).count();
    if nodes == 0 {
        return None;
    }
    advice(
        format!("{} compute with quantized weights, which are no parameters and are not trained", count(nodes, "node")),
        "export the model before it is quantized, and quantize what was trained; or train adapters beside the quantized weights",
    )
}

/// Loops whose turns are not written out have no gradient: whatever they compute with stays as it is.
fn kept_loop(graph: &Graph) -> Option<ExportAdvice> {
    let loops: Vec<&Node> = graph.nodes().iter().filter(|node| node.is("Loop") || node.is("Scan")).collect();
    let read: BTreeSet<ValueId> = loops.iter().flat_map(|node| node.inputs.iter().flatten().copied()).collect();
    let floats = read.into_iter().filter_map(|value| graph.constant_of(value)).filter(|found| found.dtype.is_float());
    let numbers: usize = floats.map(|found| found.shape.iter().product()).filter(|numbers: &usize| *numbers > 1).sum();
    let first = loops.first().filter(|_| numbers > 0)?;
    advice(
        format!(
            "{} in {} (`{}` first) are not trained: how often it goes round is not known before the run, so that it is kept as it is, \
             and no gradient goes through it",
            count(numbers, "parameter"),
            count(loops.len(), "loop"),
            graph.label(first)
        ),
        "where it goes along an axis of the input, fix the length: in the export (`keras.Input((12, 3))` in the place of `(None, 3)`), or \
         by data that all have it (`max_length` and as large a `pad_to_multiple_of`); else layers behind it can be trained",
    )
}

fn old_opset(graph: &Graph, opset: i64) -> Option<ExportAdvice> {
    let roots = graph.nodes().iter().filter(|node| node.is("Sqrt")).count();
    let means = graph.nodes().iter().filter(|node| node.is("ReduceMean")).count();
    // a mean, and the mean of the squares
    if opset >= HAS_LAYER_NORMALIZATION || roots == 0 || means < 2 * roots {
        return None;
    }
    advice(
        format!("opset {opset} has no LayerNormalization: {roots} or so are written in single operators"),
        format!(
            "export in opset {HAS_LAYER_NORMALIZATION} or newer, where each is one node: `opset_version={HAS_LAYER_NORMALIZATION}`"
        ),
    )
}

/// Whether a layer has the name of a node that an exporter counted.
fn is_made_up(layer: &LayerReport) -> bool {
    let name = layer.name.split('#').next().unwrap_or_default();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let counted =
        |start: &str| name.strip_prefix(start).and_then(|rest| rest.rsplit('_').next()).is_some_and(is_number);
    name.starts_with("onnx::")
        || is_number(name)
        || counted("node_")
        || counted("val_")
        || counted(&format!("{}_", layer.operator))
}

fn made_up_names(layers: &[LayerReport]) -> Option<ExportAdvice> {
    let made_up: Vec<&LayerReport> = layers.iter().filter(|layer| is_made_up(layer)).collect();
    if layers.len() < FEWEST_NAMED || 2 * made_up.len() <= layers.len() {
        return None;
    }
    let first = made_up.first()?;
    advice(
        format!(
            "{} of {} have names that an exporter made up (`{}` first): patterns, parameter groups and adapters cannot go by the \
             names of the source",
            grouped(made_up.len() as u64),
            count(layers.len(), "layer"),
            shown(&first.name)
        ),
        "export from the module itself by `torch.onnx.export`, which keeps its names, and leave tools that simplify a file for after \
         training",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::describe;
    use crate::handmade::{graph, integers, model, node, untyped, value, weight, whole};
    use crate::model_file::onnx::{GraphProto, ValueInfoProto};

    /// A value whose first axis has a length.
    fn of_rows(mut value: ValueInfoProto, rows: i64) -> ValueInfoProto {
        use crate::model_file::onnx::{tensor_shape_proto::dimension::Value as Length, type_proto::Value};
        if let Some(Value::TensorType(tensor)) = value.r#type.as_mut().and_then(|kind| kind.value.as_mut()) {
            tensor.shape.as_mut().unwrap().dim[0].value = Some(Length::DimValue(rows));
        }
        value
    }

    fn dense(ending: &[(&str, &str, &str)], rows: Option<i64>) -> GraphProto {
        let mut nodes = vec![node("Gemm", &["x", "fc.weight", "fc.bias"], &["scores"])];
        nodes.extend(ending.iter().map(|(operator, input, output)| node(operator, &[input], &[output])));
        let last = ending.last().map_or("scores", |(_, _, output)| *output);
        let input = match rows {
            Some(rows) => of_rows(value("x", &[4]), rows),
            None => value("x", &[4]),
        };
        graph(nodes, vec![weight("fc.weight", &[4, 3]), weight("fc.bias", &[3])], vec![input], vec![untyped(last)])
    }

    fn convolutions(names: &str, norms: bool) -> GraphProto {
        let (mut nodes, mut weights, mut from) = (Vec::new(), Vec::new(), "x".to_owned());
        for at in 0..5 {
            let (kernel, bias, made) = (format!("{names}{at}.weight"), format!("{names}{at}.bias"), format!("h{at}"));
            nodes.push(node("Conv", &[&from, &kernel, &bias], &[&made]));
            weights.extend([weight(&kernel, &[2, 2, 1, 1]), weight(&bias, &[2])]);
            from = made;
            if norms {
                let parts = ["scale", "bias", "mean", "var"].map(|part| format!("bn{at}.{part}"));
                weights.extend(parts.iter().map(|part| weight(part, &[2])));
                let made = format!("n{at}");
                nodes.push(node("BatchNormalization", &[&from, &parts[0], &parts[1], &parts[2], &parts[3]], &[&made]));
                from = made;
            }
        }
        graph(nodes, weights, vec![value("x", &[2, 4, 4])], vec![untyped(&from)])
    }

    fn tokens(length: i64) -> GraphProto {
        let nodes =
            vec![node("Gather", &["table", "input_ids"], &["h"]), node("MatMul", &["h", "fc.weight"], &["scores"])];
        let weights = vec![weight("table", &[10, 4]), weight("fc.weight", &[4, 3])];
        graph(nodes, weights, vec![integers("input_ids", &[length])], vec![untyped("scores")])
    }

    fn quantized_weights() -> GraphProto {
        let nodes = vec![
            node("QuantizeLinear", &["x", "step", "middle"], &["q"]),
            node("DequantizeLinear", &["q", "step", "middle"], &["d"]),
            node("MatMul", &["d", "fc.weight"], &["scores"]),
        ];
        let middle = crate::model_file::onnx::TensorProto {
            data_type: Some(3),
            int64_data: Vec::new(),
            int32_data: vec![0],
            ..whole("middle", &[], &[])
        };
        let weights = vec![weight("step", &[]), middle, weight("fc.weight", &[4, 3])];
        graph(nodes, weights, vec![value("x", &[4])], vec![untyped("scores")])
    }

    fn found(file: GraphProto) -> Vec<ExportAdvice> {
        let (model, catalog) = (model(file), OperatorCatalog::standard());
        let report = describe(&model, None, &catalog).unwrap();
        export_advice(&model, &report, &catalog).unwrap()
    }

    #[test]
    fn what_trains_badly_is_found_and_what_to_change_is_said() {
        for (file, finding, change) in [
            (
                dense(&[], Some(1)),
                "the file fixes its batch at 1 row; training frees that axis",
                "\"x\": {0: \"batch\"}",
            ),
            (
                dense(&[("ArgMax", "scores", "class")], None),
                "output `class` ends in ArgMax, whose gradient is zero (an index has no derivative)",
                "`logits` instead of `logits.argmax(1)`",
            ),
            (dense(&[("Softmax", "scores", "chances")], None), "output `chances` ends in Softmax", "return the scores"),
            (
                dense(&[("Sigmoid", "scores", "a"), ("Identity", "a", "y")], None),
                "output `y` ends in Sigmoid",
                "return the scores",
            ),
            (
                convolutions("c", false),
                "5 convolutions have biases and no BatchNormalization is there",
                "optimize=False",
            ),
            (tokens(128), "input `input_ids` takes exactly 128 tokens", "1: torch.export.Dim(\"sequence\", max=128)"),
            (quantized_weights(), "2 nodes compute with quantized weights", "before it is quantized"),
        ] {
            let all = found(file);
            let fits = |one: &ExportAdvice| one.finding.contains(finding) && one.change.contains(change);
            assert!(all.iter().any(fits), "{finding} is not in {all:#?}");
        }
    }

    #[test]
    fn a_good_export_has_nothing_to_change() {
        for (name, file) in [
            ("dense", dense(&[], None)),
            ("with normalizations", convolutions("c", true)),
            ("texts of any length", {
                let mut file = tokens(128);
                file.input[0] = untyped_length(file.input[0].clone());
                file
            }),
        ] {
            assert_eq!(found(file), [], "{name}");
        }
    }

    fn untyped_length(mut value: ValueInfoProto) -> ValueInfoProto {
        use crate::model_file::onnx::{tensor_shape_proto::dimension::Value as Length, type_proto::Value};
        if let Some(Value::TensorType(tensor)) = value.r#type.as_mut().and_then(|kind| kind.value.as_mut()) {
            tensor.shape.as_mut().unwrap().dim[1].value = Some(Length::DimParam("sequence".into()));
        }
        value
    }

    #[test]
    fn names_that_an_exporter_counted_are_told_from_those_of_a_source() {
        let layer = |name: &str, operator: &str| LayerReport {
            name: name.into(),
            operator: operator.into(),
            beside: None,
            roles: Vec::new(),
            parameters: 1,
            weights: Vec::new(),
            trained: true,
            trained_parameters: 1,
            learning_rate_multiplier: 1.0,
        };
        for (name, operator, wanted) in [
            ("Conv_12", "Conv", true),
            ("onnx::MatMul_758", "MatMul", true),
            ("node_conv2d_3", "Conv", true),
            ("val_12", "Gemm", true),
            ("758", "Gemm", true),
            ("conv2d_12", "Conv", false),
            ("dense_1", "Gemm", false),
            ("layer4.1.conv2", "Conv", false),
            ("index#2", "Gather", false),
        ] {
            assert_eq!(is_made_up(&layer(name, operator)), wanted, "{name}");
        }
        let layers: Vec<LayerReport> = (0..6).map(|at| layer(&format!("Conv_{at}"), "Conv")).collect();
        let advice = made_up_names(&layers).unwrap();
        assert!(advice.finding.starts_with("6 of 6 layers have names that an exporter made up (`Conv_0` first)"));
        assert_eq!(made_up_names(&layers[..3]), None);
    }
}
