//! A head whose scores cannot grow without bound, as Gemma 2 has it.

use millstream::Choice;
use millstream::compiler::finetuning::heads::{
    FeatureHead, HeadBuild, HeadFunction, HeadInput, HeadKind, HeadModel, HeadOptions, PlacedHead,
};
use millstream::compiler::graph::Constant;
use millstream::compiler::initializers::InitializerKind;
use millstream::compiler::{CompilerError, Initializer};
use millstream::schemas::choice::{Catalog, ChoiceError, Options, above};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub const SOFT_CAPPED: HeadKind = HeadKind {
    name: "soft_capped",
    summary: "A new one whose scores stay within a bound.",
    documentation: "cap·tanh(x / cap) of the scores x of a new last linear layer.",
    samples: &["{}", r#"{"cap": 30}"#],
    build: HeadBuild::of::<SoftCapped>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct SoftCapped {
    /// The bound, above 0.
    cap: f64,
    /// How its weights are drawn.
    new_with: Choice,
    #[serde(skip)]
    initializer: Initializer,
}

impl Default for SoftCapped {
    fn default() -> Self {
        Self { cap: 10.0, new_with: Choice::named("xavier_uniform"), initializer: Initializer::default() }
    }
}

impl Options for SoftCapped {
    fn validate(&self) -> Result<(), String> {
        above("cap", self.cap)
    }
}

impl HeadOptions for SoftCapped {
    fn find_initializers(&mut self, place: &str, catalog: &Catalog<InitializerKind>) -> Result<(), ChoiceError> {
        self.initializer = Initializer::choose(catalog, &self.new_with, &format!("{place}.new_with"))?;
        Ok(())
    }
}

impl HeadFunction for SoftCapped {
    fn place(&self, model: &mut HeadModel<'_>) -> Result<PlacedHead, CompilerError> {
        let initializer = self.initializer.clone();
        let head = FeatureHead { reads: HeadInput::BeforeHead, initializer, ..FeatureHead::default() };
        let placed = head.place(model)?;
        let cap = model.graph.named_constant("head.cap", Constant::f32([], &[self.cap as f32]));
        let small = model.graph.append("Div", &[placed.prediction, cap], &[], "small")?;
        let bent = model.graph.append("Tanh", &[small], &[], "bent")?;
        let prediction = model.graph.append("Mul", &[bent, cap], &[], "capped")?;
        model.graph.set_outputs(&[prediction]);
        Ok(PlacedHead { prediction, ..placed })
    }
}
