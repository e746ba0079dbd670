//! A transform.

use millstream::schemas::choice::Options;
use millstream::transforms::steps::map::{Border, Project};
use millstream::transforms::{self, ImageFacts, ImageStep, ImageTransform, Kernel, Matrix, Random, Target, Transform};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub const HALF_TURN: Transform = Transform {
    name: "half_turn",
    summary: "Turns the image upside down.",
    documentation: "By half a turn about its centre.",
    targets: &[Target::Boxes, Target::Image, Target::KeyPoints, Target::Masks],
    changes_label: Some("a 6 becomes a 9"),
    samples: &["{}"],
    probability: Some(0.5),
    build: transforms::Build::image::<HalfTurn>(),
};

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HalfTurn {}

impl Options for HalfTurn {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl ImageTransform for HalfTurn {
    fn is_random(&self) -> bool {
        false
    }

    fn changes_label(&self) -> bool {
        true
    }

    fn draw(&self, facts: &ImageFacts, _: &mut Random, steps: &mut Vec<ImageStep>) {
        let ImageFacts { width, height, .. } = *facts;
        let matrix = Matrix::scale_then_move(-1.0, -1.0, f64::from(width), f64::from(height));
        steps.push(
            Project { matrix, width, height, fill: [0; 3], border: Border::Fill, kernel: Kernel::Bilinear }.into(),
        );
    }
}
