//! What ONNX Runtime's optimizer lays out in blocks of channels, as long as the registers of a processor (`com.microsoft.nchwc`), turned
//! back into standard operators. Written there by `nchwc_transformer.cc`; the order of kernels is that of `reorder.cpp` in its MLAS.

use std::collections::{HashMap, HashSet};

use super::blocked_channels::{Analysis, ChannelBlocks, Convolution, is_blocked, number, refused};
use super::gate;
use super::onnx::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, attribute_proto::AttributeType};
use crate::CompilerError;
use crate::graph::{Constant, ONE_PROCESSOR};
use millstream_schemas::shown;

/// Turns the nodes of the file's own graph back; `None` where it has none. `of_processor` is the length of a block where the file's shapes
/// leave it open. The gate has let the model pass.
///
/// # Errors
/// The graph is not as ONNX Runtime writes it, or the length of its blocks is open and that of the processor is not known.
pub(super) fn undo(
    model: &mut ModelProto,
    of_processor: Option<usize>,
) -> Result<Option<ChannelBlocks>, CompilerError> {
    let opset = gate::opset(model).unwrap_or(0);
    let Some(graph) = model.graph.as_mut().filter(|graph| graph.node.iter().any(is_blocked)) else { return Ok(None) };
    let (blocks, rewritten) = {
        let mut analysis = Analysis::of(graph)?;
        let blocks = analysis.blocks(of_processor)?;
        (blocks, Writer::of(graph, &analysis, opset).rewritten(blocks.length)?)
    };
    let Rewritten { nodes, tensors, blocked } = rewritten;
    let replaced: HashSet<&str> = tensors.iter().map(|(replaced, _)| replaced.as_str()).collect();
    graph.initializer.retain(|tensor| !replaced.contains(tensor.name()));
    graph.initializer.extend(tensors.into_iter().map(|(_, tensor)| tensor));
    graph.value_info.retain(|value| !blocked.contains(value.name()));
    graph.node = nodes;
    let is_left = graph.node.iter().any(holds_blocks);
    model.opset_import.retain(|import| is_left || import.domain() != ONE_PROCESSOR);
    Ok(Some(blocks))
}

/// The length of a block for which ONNX Runtime lays out models on this processor; `None` where it does not do so.
#[cfg(target_arch = "x86_64")]
pub(super) fn of_processor() -> Option<usize> {
    Some(if std::is_x86_feature_detected!("avx512f") { 16 } else { 8 })
}

/// The length of a block for which ONNX Runtime lays out models on this processor; `None` where it does not do so.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn of_processor() -> Option<usize> {
    cfg!(target_arch = "aarch64").then_some(16)
}

/// Whether a node is of the domain, or holds graphs with such nodes. The decoder bounds how deep graphs lie in each other.
fn holds_blocks(node: &NodeProto) -> bool {
    let graphs = node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
    is_blocked(node) || graphs.flat_map(|graph| &graph.node).any(holds_blocks)
}

/// What takes the place of a graph's nodes and tensors.
struct Rewritten {
    nodes: Vec<NodeProto>,
    /// Behind the name of the tensor in whose place it stands; empty for a further one.
    tensors: Vec<(String, TensorProto)>,
    /// Names of values that were in blocks.
    blocked: HashSet<String>,
}

struct Writer<'a> {
    graph: &'a GraphProto,
    analysis: &'a Analysis<'a>,
    opset: i64,
    taken: HashSet<String>,
    nodes: Vec<NodeProto>,
    tensors: Vec<(String, TensorProto)>,
    /// What tensors of the file are called now, and how many channels are kept of them.
    renamed: HashMap<&'a str, (String, [usize; 2])>,
    /// How many channels of each bias the convolutions that read it keep.
    kept_of_biases: HashMap<&'a str, HashSet<usize>>,
    /// What the parts of biases are called of which convolutions keep several lengths.
    parts_of_biases: HashMap<(&'a str, usize), String>,
}

impl<'a> Writer<'a> {
    fn of(graph: &'a GraphProto, analysis: &'a Analysis<'a>, opset: i64) -> Self {
        let tensors = graph.initializer.iter().map(TensorProto::name);
        let values = graph.input.iter().map(|input| input.name());
        let made = graph.node.iter().flat_map(|node| node.output.iter().map(String::as_str));
        let taken = tensors.chain(values).chain(made).map(str::to_owned).collect();
        Self {
            graph,
            analysis,
            opset,
            taken,
            nodes: Vec::with_capacity(graph.node.len()),
            tensors: Vec::new(),
            renamed: HashMap::new(),
            kept_of_biases: HashMap::new(),
            parts_of_biases: HashMap::new(),
        }
    }

    fn rewritten(mut self, block: usize) -> Result<Rewritten, CompilerError> {
        let analysis = self.analysis;
        for convolution in &analysis.convolutions {
            let Some(bias) = convolution.bias else { continue };
            let kept = analysis.channels(convolution.output, block).unwrap_or(convolution.shape[0]);
            self.kept_of_biases.entry(bias).or_default().insert(kept);
        }
        let mut convolutions = analysis.convolutions.iter();
        for node in &self.graph.node {
            if !is_blocked(node) {
                self.nodes.push(node.clone());
                continue;
            }
            match node.op_type() {
                "Conv" => {
                    // in the order of the nodes
                    let Some(convolution) = convolutions.next() else { continue };
                    self.convolution(convolution, block)?;
                }
                "ReorderInput" => self.reordered(node, [0, 3, 1, 2]),
                "ReorderOutput" => self.reordered(node, [0, 2, 3, 1]),
                "Upsample" => self.upsampled(node)?,
                _ => self.nodes.push(standard(node, node.op_type(), "")),
            }
        }
        self.require_own_tensors()?;
        let blocked = self.analysis.blocked_values().map(str::to_owned).collect();
        Ok(Rewritten { nodes: self.nodes, tensors: self.tensors, blocked })
    }

    /// A tensor that is laid out otherwise now must be read by convolutions in blocks alone.
    fn require_own_tensors(&self) -> Result<(), CompilerError> {
        for node in &self.graph.node {
            let is_convolution = is_blocked(node) && node.op_type() == "Conv";
            let mut others = node.input.iter().enumerate().filter(|(at, _)| !is_convolution || !(1..=2).contains(at));
            if let Some((_, name)) = others.find(|(_, name)| self.renamed.contains_key(name.as_str())) {
                return Err(refused(node, &format!("reads `{}`, which lies in blocks of channels", shown(name))));
            }
        }
        Ok(())
    }

    fn convolution(&mut self, convolution: &Convolution<'a>, block: usize) -> Result<(), CompilerError> {
        let (node, analysis) = (convolution.node, self.analysis);
        let outputs = analysis.channels(convolution.output, block).unwrap_or(convolution.shape[0]);
        let of_input = || analysis.channels(convolution.input, block).unwrap_or(convolution.shape[1]);
        let inputs = if convolution.has_padded_inputs() { of_input() } else { convolution.shape[1] };
        let mut read = vec![convolution.input.to_owned()];
        read.push(self.kernel(convolution, [outputs, inputs], block)?);
        if let Some(bias) = convolution.bias {
            read.push(self.bias(convolution, bias, outputs)?);
        }
        let activation = text(node, "activation");
        let added = node.input.get(3).filter(|name| !name.is_empty());
        let after = [added.is_some(), !activation.is_empty()];
        let last = convolution.output.to_owned();
        let called = if after[0] || after[1] { self.free(&format!("{last}_conv")) } else { last.clone() };
        let mut made = standard(node, "Conv", "activation");
        made.name = Some(self.name_of(convolution, &read[1]));
        (made.input, made.output) = (read, vec![called.clone()]);
        if convolution.is_depthwise() {
            let groups = made.attribute.iter_mut().filter(|attribute| attribute.name() == "group");
            groups.for_each(|attribute| attribute.i = Some(outputs as i64));
        }
        self.nodes.push(made);
        let mut value = called;
        if let Some(added) = added {
            let sum = if after[1] { self.free(&format!("{last}_sum")) } else { last.clone() };
            self.push("Add", vec![value, added.clone()], &sum, Vec::new());
            value = sum;
        }
        if after[1] { self.activation(node, &activation, value, &last) } else { Ok(()) }
    }

    fn activation(
        &mut self,
        node: &NodeProto,
        activation: &str,
        value: String,
        last: &str,
    ) -> Result<(), CompilerError> {
        let given = node.attribute.iter().find(|attribute| attribute.name() == "activation_params");
        let given = given.map_or(&[] as &[f32], |attribute| attribute.floats.as_slice());
        let parameter = |at: usize, usual: f32| given.get(at).copied().unwrap_or(usual);
        match activation {
            // it has no operator of its own before
            "HardSwish" if self.opset < 14 => {
                let gate = self.free(&format!("{last}_gate"));
                let attributes = vec![float("alpha", 1.0 / 6.0), float("beta", 0.5)];
                self.push("HardSigmoid", vec![value.clone()], &gate, attributes);
                self.push("Mul", vec![value, gate], last, Vec::new());
            }
            "HardSwish" | "Relu" | "Sigmoid" | "Tanh" => self.push(activation, vec![value], last, Vec::new()),
            "LeakyRelu" => self.push(activation, vec![value], last, vec![float("alpha", parameter(0, 0.01))]),
            "HardSigmoid" => {
                let attributes = vec![float("alpha", parameter(0, 0.2)), float("beta", parameter(1, 0.5))];
                self.push(activation, vec![value], last, attributes);
            }
            "Clip" => {
                let bounds = [("min", parameter(0, f32::MIN)), ("max", parameter(1, f32::MAX))];
                // before, they are attributes
                if self.opset < 11 {
                    let attributes = bounds.map(|(name, bound)| float(name, bound)).to_vec();
                    self.push(activation, vec![value], last, attributes);
                    return Ok(());
                }
                let mut read = vec![value];
                for (name, bound) in bounds {
                    read.push(self.tensor(&format!("{last}_{name}"), &Constant::f32([], &[bound])));
                }
                self.push(activation, read, last, Vec::new());
            }
            other => return Err(refused(node, &format!("has the activation {}, which is not known", shown(other)))),
        }
        Ok(())
    }

    /// Channels of images as the second axis or the last: nothing else is left of a change of the layout.
    fn reordered(&mut self, node: &NodeProto, order: [i64; 4]) {
        let is_last = number(node, "channels_last").is_some_and(|last| last != 0);
        let mut made = standard(node, if is_last { "Transpose" } else { "Identity" }, "");
        made.attribute = if is_last { vec![whole("perm", &order)] } else { Vec::new() };
        self.nodes.push(made);
    }

    fn upsampled(&mut self, node: &'a NodeProto) -> Result<(), CompilerError> {
        let scales = node.attribute.iter().find(|attribute| attribute.name() == "scales");
        let scales: Vec<f32> =
            scales.map_or(&[] as &[i64], |scales| scales.ints.as_slice()).iter().map(|by| *by as f32).collect();
        let (Some(input), Some(output)) = (node.input.first(), node.output.first()) else {
            return Err(refused(node, "reads or makes nothing"));
        };
        let mode = match text(node, "mode") {
            mode if mode.is_empty() => "nearest".to_owned(),
            mode => mode,
        };
        let transformation = match text(node, "coordinate_transformation_mode") {
            named if named.is_empty() => "asymmetric".to_owned(),
            named => named,
        };
        if self.opset < 11 && transformation != "asymmetric" {
            return Err(refused(node, "counts pixels in a way that its opset does not have"));
        }
        let mut attributes = vec![word("mode", &mode)];
        if self.opset < 9 {
            attributes.push(floats("scales", &scales));
            self.push("Upsample", vec![input.clone()], output, attributes);
            return Ok(());
        }
        let of_scales = self.tensor(&format!("{output}_scales"), &Constant::f32([scales.len()], &scales));
        if self.opset < 11 {
            let operator = if self.opset < 10 { "Upsample" } else { "Resize" };
            self.push(operator, vec![input.clone(), of_scales], output, attributes);
            return Ok(());
        }
        attributes.push(word("coordinate_transformation_mode", &transformation));
        if mode == "nearest" {
            attributes.push(word("nearest_mode", "floor"));
        }
        // up to opset 12 a part of the image has to be named, which is not looked at
        let part = match self.opset {
            ..13 => self.tensor(&format!("{output}_roi"), &Constant::f32([0], &[])),
            _ => String::new(),
        };
        self.push("Resize", vec![input.clone(), part, of_scales], output, attributes);
        Ok(())
    }

    /// The kernel of a convolution in the order of ONNX, without the channels that only fill a block: its name.
    fn kernel(
        &mut self,
        convolution: &Convolution<'a>,
        kept: [usize; 2],
        block: usize,
    ) -> Result<String, CompilerError> {
        if let Some(known) = self.known(convolution.node, convolution.kernel, kept)? {
            return Ok(known);
        }
        let [outputs, inputs, height, width] = convolution.shape;
        let plain = convolution.plain(block);
        let area = height * width;
        let row = inputs * area;
        let [rows, columns] = [kept[0].min(outputs), kept[1].min(inputs)];
        let of_rows = (0..rows).flat_map(|output| &plain[output * row..][..columns * area]);
        let values: Vec<f32> = of_rows.copied().collect();
        let shape = [rows, columns, height, width];
        let called = self.name_of_kernel(convolution);
        self.replace(convolution.kernel, called, kept, &Constant::f32(shape, &values))
    }

    fn bias(&mut self, convolution: &Convolution<'a>, bias: &'a str, outputs: usize) -> Result<String, CompilerError> {
        if convolution.shape[0] == outputs {
            return Ok(bias.to_owned());
        }
        if let Some(known) = self.parts_of_biases.get(&(bias, outputs)) {
            return Ok(known.clone());
        }
        if let Some(known) = self.known(convolution.node, bias, [outputs, 1])? {
            return Ok(known);
        }
        let values = convolution.bias_values(outputs);
        let constant = Constant::f32([values.len()], &values);
        if self.kept_of_biases.get(bias).is_some_and(|lengths| lengths.len() > 1) {
            // another convolution reads the name with more or fewer channels
            let called = self.tensor(&format!("{bias}_{outputs}"), &constant);
            self.parts_of_biases.insert((bias, outputs), called.clone());
            return Ok(called);
        }
        self.replace(bias, bias.to_owned(), [outputs, 1], &constant)
    }

    /// What a tensor that has been laid out anew is called.
    fn known(&self, node: &NodeProto, name: &str, kept: [usize; 2]) -> Result<Option<String>, CompilerError> {
        match self.renamed.get(name) {
            Some((called, same)) if *same == kept => Ok(Some(called.clone())),
            Some(_) => Err(refused(node, &format!("reads `{}` with other channels than another node", shown(name)))),
            None => Ok(None),
        }
    }

    fn replace(
        &mut self,
        name: &'a str,
        called: String,
        kept: [usize; 2],
        constant: &Constant,
    ) -> Result<String, CompilerError> {
        self.taken.insert(called.clone());
        self.tensors.push((name.to_owned(), tensor_of(&called, constant)));
        self.renamed.insert(name, (called.clone(), kept));
        Ok(called)
    }

    /// The optimizer gives kernels names of its own, and leaves those of biases that fill their blocks. Such a name is marked as
    /// a name that nobody chose.
    fn name_of_kernel(&self, convolution: &Convolution<'_>) -> String {
        let kernel = convolution.kernel;
        if !kernel.starts_with("reorder") {
            return kernel.to_owned();
        }
        let module = convolution.bias.and_then(|bias| bias.strip_suffix(".bias"));
        let mut named = module.map(|module| format!("{module}.weight")).into_iter().chain([format!("onnx::{kernel}")]);
        named.find(|name| !self.taken.contains(name)).unwrap_or_else(|| kernel.to_owned())
    }

    /// The optimizer calls a node after what it makes, which an activation in it may have given its name.
    fn name_of(&self, convolution: &Convolution<'_>, kernel: &str) -> String {
        let name = convolution.node.name();
        let source = name.strip_suffix("_nchwc").unwrap_or(name);
        let source = source.strip_suffix("_output_0").unwrap_or(source);
        let is_own = source.rsplit('/').next().is_some_and(|last| last.starts_with("Conv"));
        match kernel.strip_suffix(".weight") {
            _ if is_own => source.to_owned(),
            Some(module) => format!("/{}/Conv", module.replace('.', "/")),
            // the module of what follows it lies in the same block of the source
            None => match source.rsplit_once('/') {
                Some((path, _)) if !path.is_empty() => format!("{path}/Conv"),
                _ => convolution.output.trim_start_matches('/').replace('/', "."),
            },
        }
    }

    fn push(&mut self, operator: &str, input: Vec<String>, output: &str, attribute: Vec<AttributeProto>) {
        let (op_type, name) = (Some(operator.to_owned()), Some(output.to_owned()));
        let output = vec![output.to_owned()];
        self.nodes.push(NodeProto { op_type, name, input, output, attribute, ..NodeProto::default() });
    }

    fn tensor(&mut self, wanted: &str, constant: &Constant) -> String {
        let name = self.free(wanted);
        self.tensors.push((String::new(), tensor_of(&name, constant)));
        name
    }

    fn free(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        while !self.taken.insert(name.clone()) {
            name.push('_');
        }
        name
    }
}

/// A node as one of the standard operators, without the attributes whose names begin so; with all where that is empty.
fn standard(node: &NodeProto, operator: &str, without: &str) -> NodeProto {
    let mut made = NodeProto { op_type: Some(operator.to_owned()), domain: None, ..node.clone() };
    made.attribute.retain(|attribute| without.is_empty() || !attribute.name().starts_with(without));
    made
}

fn tensor_of(name: &str, constant: &Constant) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        dims: constant.shape.iter().map(|length| *length as i64).collect(),
        data_type: Some(constant.dtype.to_onnx()),
        raw_data: Some(constant.bytes.clone()),
        ..TensorProto::default()
    }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), r#type: Some(kind as i32), ..AttributeProto::default() }
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: Some(value), ..attribute(name, AttributeType::Float) }
}

fn floats(name: &str, values: &[f32]) -> AttributeProto {
    AttributeProto { floats: values.to_vec(), ..attribute(name, AttributeType::Floats) }
}

fn whole(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, AttributeType::Ints) }
}

fn word(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: Some(value.as_bytes().to_vec().into()), ..attribute(name, AttributeType::String) }
}

fn text(node: &NodeProto, name: &str) -> String {
    let found = node.attribute.iter().find(|attribute| attribute.name() == name);
    let bytes = found.and_then(|attribute| attribute.s.as_ref());
    bytes.map_or_else(String::new, |bytes| String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::handmade::{graph, node, proto, value, weight, with};
    use crate::model_file::onnx::OperatorSetIdProto;

    /// A node of the domain: `node` takes domains without a point.
    fn blocked(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto { domain: Some(ONE_PROCESSOR.into()), ..node(operator, inputs, &[output]) }
    }

    fn activated(mut node: NodeProto, activation: &str, parameters: &[f32]) -> NodeProto {
        node.attribute.push(word("activation", activation));
        node.attribute.push(floats("activation_params", parameters));
        node
    }

    /// A number of a kernel `[O, I, H, W]` that no other place has; 0 where the channels only fill a block.
    fn number_at([output, input, place]: [usize; 3], kept: [usize; 2]) -> f32 {
        if output < kept[0] && input < kept[1] { (1 + place + 10 * input + 1000 * output) as f32 } else { 0.0 }
    }

    /// A kernel as MLAS reorders it: `OIHWBiBo`, or `OIHWBo` where `inner` is 1.
    fn reordered(name: &str, shape: [usize; 4], kept: [usize; 2], inner: usize, block: usize) -> TensorProto {
        let mut values = Vec::new();
        for output in (0..shape[0]).step_by(block) {
            for input in (0..shape[1]).step_by(inner) {
                for place in 0..shape[2] * shape[3] {
                    for input in input..input + inner {
                        values.extend((output..output + block).map(|output| number_at([output, input, place], kept)));
                    }
                }
            }
        }
        tensor_of(name, &Constant::f32(shape, &values))
    }

    fn bias(name: &str, length: usize, kept: usize) -> TensorProto {
        let values: Vec<f32> = (0..length).map(|at| if at < kept { at as f32 + 0.5 } else { 0.0 }).collect();
        tensor_of(name, &Constant::f32([length], &values))
    }

    fn file(nodes: Vec<NodeProto>, tensors: Vec<TensorProto>) -> ModelProto {
        let mut model = proto(graph(nodes, tensors, vec![value("x", &[3, 8, 8])], vec![crate::handmade::untyped("y")]));
        model.opset_import.push(OperatorSetIdProto { domain: Some(ONE_PROCESSOR.into()), version: Some(1) });
        gate::check(&model).unwrap_or_else(|_| panic!("the gate refuses the test's model"));
        model
    }

    /// Two convolutions, of `middle` channels between them and `last` at the end.
    fn two(block: usize, middle: usize, last: usize) -> ModelProto {
        let [padded, end] = [middle, last].map(|channels| channels.next_multiple_of(block));
        let first = blocked("Conv", &["x", "reorder", "a.bias"], "reorder_token_0");
        let nodes = vec![
            activated(first, "Clip", &[0.0, 6.0]),
            with(blocked("MaxPool", &["reorder_token_0"], "reorder_token_1"), "kernel_shape", &[1, 1]),
            blocked("Conv", &["reorder_token_1", "reorder_token_2", "b.bias"], "reorder_token_3"),
            with(blocked("ReorderOutput", &["reorder_token_3"], "y"), "channels", &[last as i64]),
        ];
        let tensors = vec![
            reordered("reorder", [padded, 3, 3, 3], [middle, 3], 1, block),
            bias("a.bias", padded, middle),
            reordered("reorder_token_2", [end, padded, 1, 1], [last, middle], block, block),
            bias("b.bias", end, last),
        ];
        file(nodes, tensors)
    }

    fn tensor(model: &ModelProto, name: &str) -> Constant {
        let tensors = &model.graph.as_ref().unwrap().initializer;
        let found = tensors.iter().find(|tensor| tensor.name() == name);
        super::super::constant_of(found.unwrap_or_else(|| panic!("no tensor is named {name}"))).unwrap()
    }

    fn operators(model: &ModelProto) -> Vec<(&str, &str)> {
        let nodes = &model.graph.as_ref().unwrap().node;
        assert!(nodes.iter().all(|node| node.domain().is_empty()));
        nodes.iter().map(|node| (node.op_type(), node.name())).collect()
    }

    fn plain(shape: [usize; 4]) -> Constant {
        let mut values = Vec::new();
        for output in 0..shape[0] {
            for input in 0..shape[1] {
                values.extend(
                    (0..shape[2] * shape[3]).map(|place| number_at([output, input, place], [shape[0], shape[1]])),
                );
            }
        }
        Constant::f32(shape, &values)
    }

    #[test]
    fn a_file_optimized_for_one_processor_has_its_convolutions_back() {
        for (block, middle, last, of_processor, is_stated) in [
            (8, 12, 20, None, true),
            (8, 12, 20, Some(16), true),
            (16, 20, 28, Some(8), true),
            // shapes allow both, and what fills the last block does not
            (8, 16, 12, Some(16), true),
            (16, 16, 12, Some(8), true),
            (8, 32, 16, Some(8), false),
            (16, 32, 16, Some(16), false),
        ] {
            let mut model = two(block, middle, last);
            let found = undo(&mut model, of_processor).unwrap();
            assert_eq!(found, Some(ChannelBlocks { length: block, is_stated }), "{block} {middle} {last}");
            assert_eq!(tensor(&model, "a.weight"), plain([middle, 3, 3, 3]), "{block} {middle} {last}");
            assert_eq!(tensor(&model, "b.weight"), plain([last, middle, 1, 1]), "{block} {middle} {last}");
            assert_eq!([tensor(&model, "a.bias").shape, tensor(&model, "b.bias").shape], [[middle], [last]]);
            let wanted = [
                ("Conv", "/a/Conv"),
                ("Clip", "reorder_token_0"),
                ("MaxPool", "reorder_token_1"),
                ("Conv", "/b/Conv"),
                ("Identity", "y"),
            ];
            assert_eq!(operators(&model), wanted);
            assert!(gate::check(&model).is_ok());
            assert!(model.opset_import.iter().all(|import| import.domain() != ONE_PROCESSOR));
        }
    }

    #[test]
    fn layers_of_a_file_optimized_for_one_processor_are_named_and_a_better_export_is_advised() {
        let model = crate::Model::from_bytes(two(8, 12, 20).encode_to_vec()).unwrap();
        let catalog = crate::OperatorCatalog::standard();
        let report = crate::describe(&model, None, &catalog).unwrap();
        let layers: Vec<(&str, usize)> =
            report.layers.iter().map(|layer| (layer.name.as_str(), layer.parameters)).collect();
        assert_eq!(layers, [("a", 12 * 27 + 12), ("b", 20 * 12 + 20)]);
        let said = format!("for one kind of processor ({ONE_PROCESSOR}), in blocks; it is read");
        assert!(report.notes.iter().any(|note| note.contains(&said)), "{:?}", report.notes);
        let advice = crate::export_advice(&model, &report, &catalog).unwrap();
        assert!(advice.iter().any(|one| one.change.contains("`ORT_ENABLE_EXTENDED` at most")), "{advice:?}");
    }

    #[test]
    fn a_convolution_without_a_name_is_called_after_the_block_that_it_lies_in() {
        let mut model = two(8, 12, 20);
        let graph = model.graph.as_mut().unwrap();
        for (at, name) in
            [(0, "/features/features.0/features.0.2/Clip_output_0_nchwc"), (2, "/head/Conv_output_0_nchwc")]
        {
            graph.node[at].name = Some(name.into());
            graph.node[at].input[2] = format!("onnx::Conv_{at}");
        }
        graph.initializer[1].name = Some("onnx::Conv_0".into());
        graph.initializer[3].name = Some("onnx::Conv_2".into());
        undo(&mut model, Some(8)).unwrap();
        let names = operators(&model);
        assert_eq!([names[0].1, names[3].1], ["/features/features.0/features.0.2/Conv", "/head/Conv"]);
        assert_eq!(tensor(&model, "onnx::reorder").shape, [12, 3, 3, 3]);
    }

    #[test]
    fn blocks_of_a_length_that_nothing_says_are_refused_where_the_processor_has_none() {
        let error = undo(&mut two(8, 32, 16), None).unwrap_err().to_string();
        assert!(error.contains("may be of 8 or of 16 channels is not supported"), "{error}");
        // numbers where nothing is computed of them
        let mut model = two(8, 12, 20);
        model.graph.as_mut().unwrap().initializer[3] = bias("b.bias", 24, 24);
        let error = undo(&mut model, Some(8)).unwrap_err().to_string();
        assert!(error.contains("fit no block of 8 or of 16 channels is not supported"), "{error}");
    }

    #[test]
    fn sums_depthwise_kernels_and_images_with_channels_last_are_read_back() {
        let depthwise = with(blocked("Conv", &["in", "w0", "b0"], "a"), "group", &[16]);
        let nodes = vec![
            with(blocked("ReorderInput", &["x"], "in"), "channels_last", &[1]),
            depthwise,
            activated(blocked("Conv", &["a", "w1", "", "in"], "b"), "Relu", &[]),
            node("Sigmoid", &["b"], &["c"]),
            node("Mul", &["b", "c"], &["d"]),
            with(with(blocked("ReorderOutput", &["d"], "y"), "channels_last", &[1]), "channels", &[12]),
        ];
        let tensors = vec![
            reordered("w0", [16, 1, 3, 3], [12, 1], 1, 8),
            bias("b0", 16, 12),
            reordered("w1", [16, 16, 1, 1], [12, 12], 8, 8),
        ];
        let mut model = file(nodes, tensors);
        assert_eq!(undo(&mut model, None).unwrap(), Some(ChannelBlocks { length: 8, is_stated: true }));
        assert_eq!(tensor(&model, "w0"), plain([12, 1, 3, 3]));
        assert_eq!(tensor(&model, "w1"), plain([12, 12, 1, 1]));
        let nodes = &model.graph.as_ref().unwrap().node;
        let groups = nodes[1].attribute.iter().find(|attribute| attribute.name() == "group").and_then(|group| group.i);
        assert_eq!(groups, Some(12));
        let wanted = ["Transpose", "Conv", "Conv", "Add", "Relu", "Sigmoid", "Mul", "Transpose"];
        assert_eq!(nodes.iter().map(NodeProto::op_type).collect::<Vec<_>>(), wanted);
        assert_eq!(nodes[3].input, ["b_conv", "in"]);
        assert_eq!((nodes[4].input[0].as_str(), nodes[4].output[0].as_str()), ("b_sum", "b"));
    }

    #[test]
    fn a_bias_of_two_convolutions_that_keep_different_channels_fits_both() {
        let nodes = vec![
            blocked("Conv", &["x", "w0", "b"], "a"),
            blocked("Conv", &["a", "w1", "b"], "c"),
            with(blocked("ReorderOutput", &["c"], "y"), "channels", &[12]),
        ];
        let tensors = vec![
            reordered("w0", [16, 3, 1, 1], [16, 3], 1, 8),
            reordered("w1", [16, 16, 1, 1], [12, 16], 8, 8),
            bias("b", 16, 0),
        ];
        let mut model = file(nodes, tensors);
        assert_eq!(undo(&mut model, None).unwrap(), Some(ChannelBlocks { length: 8, is_stated: true }));
        for (at, read, length) in [(0, "b", 16), (1, "b_12", 12)] {
            let node = &model.graph.as_ref().unwrap().node[at];
            assert_eq!((node.op_type(), node.input[2].as_str()), ("Conv", read));
            assert_eq!(tensor(&model, &node.input[1]).shape[0], length);
            assert_eq!(tensor(&model, read).shape, [length]);
        }
    }

    #[test]
    fn what_the_optimizer_does_not_write_is_refused_by_name() {
        let kernel = || reordered("w", [8, 3, 1, 1], [8, 3], 1, 8);
        let made = || blocked("Conv", &["x", "w"], "a");
        let left = || with(blocked("ReorderOutput", &["a"], "y"), "channels", &[8]);
        for (nodes, wanted) in [
            (vec![blocked("Pad", &["x"], "y")], "node `y` (Pad), which is not known,"),
            (vec![made(), node("Softmax", &["a"], &["y"])], "node `y` (Softmax), which reads blocks of channels,"),
            (vec![blocked("MaxPool", &["x"], "y")], "node `y` (MaxPool), which reads no blocks of channels,"),
            (vec![blocked("Conv", &["x", "x"], "y")], "which has no kernel of floats with four axes in the file,"),
            (vec![activated(made(), "Round", &[]), left()], "which has the activation Round, which is not known,"),
            (
                vec![made(), blocked("ReorderOutput", &["a"], "y")],
                "node `y` (ReorderOutput), which does not say how many channels it makes,",
            ),
            (
                vec![made(), left(), node("Relu", &["w"], &["z"])],
                "node `z` (Relu), which reads `w`, which lies in blocks of channels,",
            ),
            (vec![made(), node("Relu", &["a"], &["y"])], "output `y`, which lies in blocks of channels,"),
        ] {
            let error = undo(&mut file(nodes, vec![kernel()]), Some(8)).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
        let mut untouched = proto(graph(
            vec![node("Relu", &["x"], &["y"])],
            vec![weight("w", &[2])],
            vec![value("x", &[2])],
            vec![value("y", &[2])],
        ));
        assert_eq!(undo(&mut untouched, None).unwrap(), None);
    }
}
