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
mod tests;
