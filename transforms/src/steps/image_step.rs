use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::ser::{Error as _, Serialize, Serializer};
use serde::{Deserialize, Serialize as SerializeDerive};

use super::filter::FilterStep;
use super::map::MapStep;
use super::point::PointStep;
use super::step::Step;
use super::whole::WholeStep;
use crate::image_facts::ImageFacts;

/// One thing that happens to an image, with exact parameters, by its family.
///
/// JSON and back is exact: `{"project": {…}}`, the step's name and its parameters.
#[derive(Clone, Debug)]
pub enum ImageStep {
    /// Needs the pixels within a radius.
    Filter(Arc<dyn FilterStep>),
    /// Says where each output pixel comes from.
    Map(Arc<dyn MapStep>),
    /// A function of one pixel and its place.
    Point(Arc<dyn PointStep>),
    /// Needs the whole image.
    Whole(Arc<dyn WholeStep>),
}

impl ImageStep {
    /// What it says about itself.
    pub fn step(&self) -> &dyn Step {
        match self {
            Self::Filter(step) => &**step,
            Self::Map(step) => &**step,
            Self::Point(step) => &**step,
            Self::Whole(step) => &**step,
        }
    }

    /// The parameters, if it is this step.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.step().as_any().downcast_ref()
    }

    /// The image afterwards.
    pub fn output(&self, input: &ImageFacts) -> ImageFacts {
        match self {
            Self::Map(step) => step.output(input),
            Self::Filter(_) | Self::Point(_) | Self::Whole(_) => *input,
        }
    }

    /// Where a point of the image is afterwards; not a number where it goes nowhere.
    pub fn forward(&self, x: f64, y: f64) -> (f64, f64) {
        match self {
            Self::Map(step) => step.forward(x, y),
            Self::Filter(_) | Self::Point(_) | Self::Whole(_) => (x, y),
        }
    }

    /// Whether it turns what is around a point of the image into its mirror image.
    pub(crate) fn mirrors(&self, x: f64, y: f64) -> bool {
        match self {
            Self::Map(step) => step.mirrors(x, y),
            Self::Filter(_) | Self::Point(_) | Self::Whole(_) => false,
        }
    }

    /// Whether it moves pixels, and what is marked in an image moves along.
    pub fn moves_pixels(&self) -> bool {
        matches!(self, Self::Map(_))
    }

    /// Whether values afterwards are for models alone, not between black and white: people are shown the image without.
    pub fn is_for_models(&self) -> bool {
        match self {
            Self::Point(step) => step.leaves_range(),
            Self::Filter(_) | Self::Map(_) | Self::Whole(_) => false,
        }
    }
}

impl PartialEq for ImageStep {
    fn eq(&self, other: &Self) -> bool {
        self.step().equals(other.step().as_any())
    }
}

impl Serialize for ImageStep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let parameters = self.step().to_json().map_err(S::Error::custom)?;
        serializer.serialize_newtype_variant("ImageStep", 0, self.step().name(), &parameters)
    }
}

/// The parameters for people; empty for a plain mirror image.
impl fmt::Display for ImageStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.step().caption())
    }
}

/// A step, and the transform that drew it. Displays as a caption: `rotate 12.3°`.
#[derive(Clone, Debug, PartialEq, SerializeDerive, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrawnStep {
    /// Registered name of the transform.
    pub transform: Cow<'static, str>,
    /// What happens.
    pub step: ImageStep,
}

impl fmt::Display for DrawnStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.transform)?;
        let detail = self.step.to_string();
        if detail.is_empty() { Ok(()) } else { write!(f, " {detail}") }
    }
}
