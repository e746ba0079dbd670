//! Operators of traditional machine learning (`ai.onnx.ml`) as standard ones, where these say the same: what they hold in
//! attributes becomes constants, which can be trained. Definitions:
//! [Operators-ml.md](https://github.com/onnx/onnx/blob/main/docs/Operators-ml.md). An operator that is not here stays what it is.

use super::scope::Names;
use crate::CompilerError;
use crate::graph::{AXES_INPUT_SINCE, Attribute, Constant, ElementType, Graph, Node, ValueId};

pub(super) const DOMAIN: &str = "ai.onnx.ml";

/// Those that standard operators are made of.
pub(super) const OPERATORS: [&str; 10] = [
    "ArrayFeatureExtractor",
    "Binarizer",
    "FeatureVectorizer",
    "Imputer",
    "LinearClassifier",
    "LinearRegressor",
    "Normalizer",
    "OneHotEncoder",
    "Scaler",
    "ZipMap",
];

/// What stands for the outputs of a node of the domain, in order, none for labels that are strings; none where it stays what it is. `outputs`: what they are called.
///
/// # Errors
/// A form of it that standard operators do not say.
pub(super) fn made(
    graph: &mut Graph,
    names: &Names<'_>,
    node: &Node,
    outputs: &[String],
) -> Result<Option<Vec<Option<ValueId>>>, CompilerError> {
    if node.domain != DOMAIN || !OPERATORS.contains(&node.operator.as_str()) {
        return Ok(None);
    }
    let mut maker = Maker { graph, names, node, outputs };
    let made = match node.operator.as_str() {
        "LinearClassifier" => return maker.linear_classifier().map(Some),
        "ArrayFeatureExtractor" => maker.array_feature_extractor()?,
        "Binarizer" => maker.binarizer()?,
        "FeatureVectorizer" => maker.feature_vectorizer()?,
        "Imputer" => maker.imputer()?,
        "LinearRegressor" => maker.linear_regressor()?,
        "Normalizer" => maker.normalizer()?,
        "OneHotEncoder" => maker.one_hot_encoder()?,
        "Scaler" => maker.scaler()?,
        // what it makes of a tensor, a map for each row, says no more than the tensor
        "ZipMap" => maker.input(0)?,
        _ => return Ok(None),
    };
    Ok(Some(vec![Some(made)]))
}

struct Maker<'a, 'n> {
    graph: &'a mut Graph,
    names: &'a Names<'n>,
    node: &'a Node,
    outputs: &'a [String],
}

type Made = Result<ValueId, CompilerError>;

impl Maker<'_, '_> {
    fn refused(&self, what: impl std::fmt::Display, advice: &str) -> CompilerError {
        let (label, operator) = (self.graph.label(self.node), self.node.qualified_operator());
        CompilerError::unsupported(format!("node `{label}` ({operator}) with {what}"), advice)
    }

    fn unfit(&self, message: impl Into<String>) -> CompilerError {
        CompilerError::Node {
            node: self.graph.label(self.node),
            operator: self.node.qualified_operator(),
            message: message.into(),
        }
    }

    fn input(&self, at: usize) -> Made {
        self.node.input(at).ok_or_else(|| self.unfit(format!("input {at} is missing")))
    }

    fn floats(&self, name: &str) -> &[f32] {
        match self.node.attributes.get(name) {
            Some(Attribute::Floats(values)) => values,
            _ => &[],
        }
    }

    fn constant(&mut self, part: &str, constant: Constant) -> ValueId {
        let name = self.names.free(self.graph, &format!("{}.{part}", self.node.name));
        self.graph.constant(&name, constant)
    }

    /// Adds a node that makes something in between.
    fn add(&mut self, part: &str, operator: &str, inputs: &[ValueId], attributes: &[(&str, Attribute)]) -> Made {
        let name = self.names.free(self.graph, &format!("{}.{part}", self.node.name));
        self.graph.append(operator, inputs, attributes, &name)
    }

    /// Adds the node that makes an output.
    fn last(&mut self, output: usize, operator: &str, inputs: &[ValueId], attributes: &[(&str, Attribute)]) -> Made {
        match self.outputs.get(output).filter(|name| !name.is_empty()) {
            Some(name) => self.graph.append(operator, inputs, attributes, name),
            None => self.add("unused", operator, inputs, attributes),
        }
    }

    /// An input as 32-bit floats, which all of these operators compute in.
    fn float_input(&mut self, at: usize) -> Made {
        let value = self.input(at)?;
        if self.graph.tensor_type(value).is_some_and(|known| known.dtype == ElementType::F32) {
            return Ok(value);
        }
        let float = i64::from(ElementType::F32.to_onnx());
        self.add("float", "Cast", &[value], &[("to", float.into())])
    }

    /// y = (x − offset) · scale.
    fn scaler(&mut self) -> Made {
        let [offset, scale] = ["offset", "scale"].map(|name| self.floats(name).to_vec());
        if offset.is_empty() || scale.is_empty() {
            return Err(self.unfit("it has no offset or no scale"));
        }
        let x = self.float_input(0)?;
        let offset = self.constant("offset", Constant::f32([offset.len()], &offset));
        let scale = self.constant("scale", Constant::f32([scale.len()], &scale));
        let centred = self.add("centred", "Sub", &[x, offset], &[])?;
        self.last(0, "Mul", &[centred, scale], &[])
    }

    /// Whether a value is a softmax over the last axis.
    fn is_softmax(&self, value: ValueId) -> bool {
        let rank = self.graph.tensor_type(value).map(|known| known.shape.len() as i64);
        let axis = |node: &Node| node.int("axis").unwrap_or(-1);
        self.graph.producer(value).is_some_and(|node| {
            node.is("Softmax") && (axis(node) == -1 || rank.is_some_and(|rank| axis(node) == rank - 1))
        })
    }

    /// Each row by its sum, its length or its largest number; a row of which that is zero stays.
    fn normalizer(&mut self) -> Made {
        let x = self.float_input(0)?;
        match self.node.string("norm").unwrap_or("MAX") {
            // shares of a whole are divided by one
            "L1" if self.is_softmax(x) => self.last(0, "Identity", &[x], &[]),
            "L1" => self.last(0, "LpNormalization", &[x], &[("axis", (-1).into()), ("p", 1.into())]),
            "L2" => self.last(0, "LpNormalization", &[x], &[("axis", (-1).into()), ("p", 2.into())]),
            "MAX" => {
                let axes = vec![-1];
                let largest = if self.graph.opset < AXES_INPUT_SINCE {
                    self.add("largest", "ReduceMax", &[x], &[("axes", axes.into())])?
                } else {
                    let axes = self.constant("axes", Constant::i64([1], &axes));
                    self.add("largest", "ReduceMax", &[x, axes], &[])?
                };
                let zero = self.constant("zero", Constant::f32([], &[0.0]));
                let one = self.constant("one", Constant::f32([], &[1.0]));
                let is_zero = self.add("is_zero", "Equal", &[largest, zero], &[])?;
                let divisor = self.add("divisor", "Where", &[is_zero, one, largest], &[])?;
                self.last(0, "Div", &[x, divisor], &[])
            }
            other => Err(self.refused(format!("norm {}", millstream_schemas::shown(other)), "take MAX, L1 or L2")),
        }
    }

    /// x · Wᵀ + b, W `[outputs, inputs]`.
    fn linear(&mut self, outputs: usize, name: Option<usize>) -> Made {
        let [coefficients, intercepts] = ["coefficients", "intercepts"].map(|name| self.floats(name).to_vec());
        if outputs == 0 || coefficients.is_empty() || coefficients.len() % outputs != 0 {
            let (count, node) = (coefficients.len(), &self.node.operator);
            return Err(self.unfit(format!("{count} coefficients for {outputs} outputs of a {node}")));
        }
        let x = self.float_input(0)?;
        let shape = vec![outputs, coefficients.len() / outputs];
        let mut inputs = vec![x, self.constant("weight", Constant::f32(shape, &coefficients))];
        if !intercepts.is_empty() {
            inputs.push(self.constant("bias", Constant::f32([intercepts.len()], &intercepts)));
        }
        let attributes = [("transB", Attribute::Int(1))];
        match name {
            Some(output) => self.last(output, "Gemm", &inputs, &attributes),
            None => self.add("scores", "Gemm", &inputs, &attributes),
        }
    }

    fn linear_regressor(&mut self) -> Made {
        match self.node.string("post_transform").unwrap_or("NONE") {
            "NONE" => {
                let outputs = self.node.int("targets").unwrap_or(1);
                self.linear(usize::try_from(outputs).unwrap_or(0), Some(0))
            }
            other => Err(self.refused(format!("post_transform {}", millstream_schemas::shown(other)), "take NONE")),
        }
    }

    /// The label of each row, and a score for each class.
    fn linear_classifier(&mut self) -> Result<Vec<Option<ValueId>>, CompilerError> {
        let labels = self.node.ints("classlabels_ints").map(<[i64]>::to_vec).filter(|labels| !labels.is_empty());
        let names = match self.node.attributes.get("classlabels_strings") {
            Some(Attribute::Strings(names)) => names.len(),
            _ => 0,
        };
        let count = labels.as_ref().map_or(names, Vec::len);
        let classes = self.floats("intercepts").len().max(1);
        if classes != count {
            let (what, advice) =
                (format!("{classes} rows of coefficients for {count} classes"), "give each class its own");
            return Err(self.refused(what, advice));
        }
        let (scores, made) = match self.node.string("post_transform").unwrap_or("NONE") {
            "NONE" => {
                let scores = self.linear(classes, Some(1))?;
                (scores, scores)
            }
            "LOGISTIC" => {
                let scores = self.linear(classes, None)?;
                (scores, self.last(1, "Sigmoid", &[scores], &[])?)
            }
            "SOFTMAX" => {
                let scores = self.linear(classes, None)?;
                (scores, self.last(1, "Softmax", &[scores], &[("axis", (-1).into())])?)
            }
            other => {
                let what = format!("post_transform {}", millstream_schemas::shown(other));
                return Err(self.refused(what, "take NONE, LOGISTIC or SOFTMAX"));
            }
        };
        let Some(labels) = labels else { return Ok(vec![None, Some(made)]) };
        let best = [("axis", Attribute::Int(-1)), ("keepdims", Attribute::Int(0))];
        let best = self.add("best", "ArgMax", &[scores], &best)?;
        let labels = self.constant("labels", Constant::i64([labels.len()], &labels));
        let label = self.last(0, "Gather", &[labels, best], &[])?;
        Ok(vec![Some(label), Some(made)])
    }

    /// The places of the last axis that the second input names.
    fn array_feature_extractor(&mut self) -> Made {
        let (x, places) = (self.input(0)?, self.input(1)?);
        let rank = self.graph.known_type(x)?.shape.len();
        let flat = self.constant("flat", Constant::i64([1], &[-1]));
        let places = self.add("places", "Reshape", &[places, flat], &[])?;
        if rank > 1 {
            return self.last(0, "Gather", &[x, places], &[("axis", (-1).into())]);
        }
        let found = self.add("found", "Gather", &[x, places], &[("axis", 0.into())])?;
        let row = self.constant("row", Constant::i64([2], &[1, -1]));
        self.last(0, "Reshape", &[found, row], &[])
    }

    fn binarizer(&mut self) -> Made {
        let x = self.float_input(0)?;
        let threshold = self.constant("threshold", Constant::f32([], &[self.node.float("threshold").unwrap_or(0.0)]));
        let is_above = self.add("is_above", "Greater", &[x, threshold], &[])?;
        self.last(0, "Cast", &[is_above], &[("to", i64::from(ElementType::F32.to_onnx()).into())])
    }

    fn feature_vectorizer(&mut self) -> Made {
        let mut inputs = Vec::new();
        for at in 0..self.node.inputs.len() {
            let x = self.float_input(at)?;
            if self.graph.known_type(x)?.shape.len() != 2 {
                return Err(self.refused("an input that is not of rows of numbers", "give each input two axes"));
            }
            inputs.push(x);
        }
        self.last(0, "Concat", &inputs, &[("axis", 1.into())])
    }

    /// Numbers in the place of those that are missing.
    fn imputer(&mut self) -> Made {
        let values = self.floats("imputed_value_floats").to_vec();
        if values.is_empty() {
            return Err(self.refused("values that are no floats", "convert a model of floats"));
        }
        let x = self.float_input(0)?;
        let values = self.constant("imputed", Constant::f32([values.len()], &values));
        let missing = self.node.float("replaced_value_float").unwrap_or(0.0);
        let is_missing = if missing.is_nan() {
            self.add("is_missing", "IsNaN", &[x], &[])?
        } else {
            let missing = self.constant("missing", Constant::f32([], &[missing]));
            self.add("is_missing", "Equal", &[x, missing], &[])?
        };
        self.last(0, "Where", &[is_missing, values, x], &[])
    }

    /// A one at the place of the category on a new last axis; none where it is no category.
    fn one_hot_encoder(&mut self) -> Made {
        let Some(categories) = self.node.ints("cats_int64s").map(<[i64]>::to_vec) else {
            return Err(self.refused("categories that are no whole numbers", "convert a model of whole numbers"));
        };
        if self.node.int("zeros").unwrap_or(1) == 0 {
            return Err(self.refused("zeros = 0, which stops at a value that is no category,", "take zeros = 1"));
        }
        let x = self.input(0)?;
        let x = self.add("whole", "Cast", &[x], &[("to", i64::from(ElementType::I64.to_onnx()).into())])?;
        let last = self.constant("axis", Constant::i64([1], &[-1]));
        let x = self.add("wide", "Unsqueeze", &[x, last], &[])?;
        let categories = self.constant("categories", Constant::i64([categories.len()], &categories));
        let is_it = self.add("is_it", "Equal", &[x, categories], &[])?;
        self.last(0, "Cast", &[is_it], &[("to", i64::from(ElementType::F32.to_onnx()).into())])
    }
}
