//! Turns the image about its centre.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementary::sin_cos_degrees;
use crate::image_facts::ImageFacts;
use crate::image_transform::ImageTransform;
use crate::matrix::Matrix;
use crate::options::{Options, between};
use crate::random::Random;
use crate::steps::ImageStep;
use crate::steps::map::{Border, Project};
use crate::target::Target;
use crate::transform::{Build, Transform};

pub(crate) const TRANSFORM: Transform = Transform {
    name: "rotate",
    summary: "Turns the image about its centre by a random angle.",
    documentation: "The angle is uniform between −`degrees` and +`degrees`; positive is counter-clockwise. The size \
        stays. Corners that come from outside show what `border` says: after a crop, the picture around it, and where that \
        ends the colour `fill`.",
    targets: Target::PLACES,
    changes_label: Some("beyond 90 degrees a 6 becomes a 9"),
    samples: &[
        r#"{"degrees": 15}"#,
        r#"{"degrees": 180, "border": "fill", "fill": [128, 128, 128], "probability": 0.8}"#,
    ],
    probability: Some(1.0),
    build: Build::image::<Rotate>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rotate {
    /// Largest angle either way, in degrees (0 to 180).
    #[schemars(range(min = 0, max = 180))]
    degrees: f64,
    /// What is seen beyond the edges.
    #[serde(default = "Border::picture")]
    border: Border,
    /// Red, green, blue (0 to 255) for what comes from outside.
    #[serde(default)]
    fill: [u8; 3],
}

impl Options for Rotate {
    fn validate(&self) -> Result<(), String> {
        between("degrees", self.degrees, 0.0, 180.0)
    }
}

/// From the output to the input of a turn by `degrees` counter-clockwise about the centre.
fn turned(facts: &ImageFacts, degrees: f64) -> Matrix {
    let (sin, cos) = sin_cos_degrees(degrees);
    let (x, y) = (f64::from(facts.width) / 2.0, f64::from(facts.height) / 2.0);
    Matrix([cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y, 0.0, 0.0, 1.0])
}

impl ImageTransform for Rotate {
    fn is_random(&self) -> bool {
        self.degrees > 0.0
    }

    fn changes_label(&self) -> bool {
        self.degrees > 90.0
    }

    fn draw(&self, facts: &ImageFacts, random: &mut Random, steps: &mut Vec<ImageStep>) {
        let degrees = random.uniform_in(-self.degrees..self.degrees);
        steps.push(Project::within(turned(facts, degrees), facts, self.border, self.fill));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_transform::draw;

    #[test]
    fn positive_is_counter_clockwise_about_the_centre() {
        let matrix = turned(&ImageFacts::new(8, 8), 90.0);
        assert_eq!(matrix.apply(4.0, 4.0), (4.0, 4.0));
        // what is shown at the top came from the right
        assert_eq!(matrix.apply(4.0, 0.0), (8.0, 4.0));
    }

    #[test]
    fn angles_fill_the_range() {
        let rotate = Rotate { degrees: 30.0, border: Border::Fill, fill: [0; 3] };
        let mut angles = Vec::new();
        for row in 0..1000 {
            if let Some(Project { matrix, .. }) = draw(&rotate, 20, 20, row)[0].get() {
                angles.push(matrix.0[3].atan2(matrix.0[0]).to_degrees());
            }
        }
        assert_eq!(angles.len(), 1000);
        assert!(angles.iter().all(|angle| angle.abs() <= 30.0));
        assert!(angles.iter().any(|angle| *angle < -27.0) && angles.iter().any(|angle| *angle > 27.0));
    }
}
