//! A fine-tuning method.

use std::sync::Arc;

use millstream::compiler::CompilerError;
use millstream::compiler::finetuning::methods::{
    self, AdaptedLayers, Added, LinearMap, MergedWeight, MethodFunction, MethodKind, MethodModel,
};
use millstream::compiler::finetuning::{Layer, Weight};
use millstream::compiler::graph::Constant;
use millstream::schemas::choice::Options;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub const OUTPUT_SCALE: MethodKind = MethodKind {
    name: "output_scale",
    summary: "A factor on every column of linear layers without a bias.",
    documentation: "y = (x·W)·s, s = 1 at first; merged, column j of W becomes W[:, j]·s[j].",
    samples: &["{}"],
    build: methods::Build::of::<OutputScale>(),
};

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct OutputScale {
    /// Which layers it goes to.
    layers: AdaptedLayers,
}

impl Options for OutputScale {
    fn validate(&self) -> Result<(), String> {
        self.layers.validate()
    }
}

impl MethodFunction for OutputScale {
    fn add(&self, model: &mut MethodModel<'_>) -> Result<Added, CompilerError> {
        let mut added = Added { merged: Some(Vec::new()), ..Added::default() };
        for weight in self.layers.weights(model)? {
            let LinearMap::Dense { outputs, is_transposed, .. } = weight.map else { continue };
            let readers = weight.readers(model.graph);
            if readers.iter().any(|at| model.graph.nodes()[*at].input(2).is_some()) {
                continue;
            }
            let name = format!("{}.output_scale", weight.layer);
            let scale = model.graph.named_constant(&name, Constant::f32([outputs], &vec![1.0; outputs]));
            for at in readers.into_iter().rev() {
                let result = format!("{}.unscaled", weight.layer);
                model
                    .graph
                    .replace_result(at, &result, |graph, own| graph.append("Mul", &[own, scale], &[], "scaled"))?;
            }
            let node = model.graph.nodes().iter().position(|node| node.input(1) == Some(scale)).expect("just added");
            let weights = vec![Weight { value: scale, shape: vec![outputs], node, input: 1 }];
            let beside = Some(weight.layer.clone());
            added.layers.push(Layer { name, operator: "Mul".into(), weights, learning_rate_multiplier: 1.0, beside });
            added.adapted.push(weight.layer);
            let rule = Arc::new(move |own: &Constant, trained: &[&Constant]| {
                let (mut values, scale) = (own.to_f32().expect("floats"), trained[0].to_f32().expect("floats"));
                let rows = values.len() / outputs;
                for (at, value) in values.iter_mut().enumerate() {
                    *value *= scale[if is_transposed { at / rows } else { at % outputs }];
                }
                Constant::f32(own.shape.clone(), &values)
            });
            let merged = MergedWeight { weight: weight.value, trained: vec![scale], rule };
            added.merged.get_or_insert_default().push(merged);
        }
        Ok(added)
    }
}
