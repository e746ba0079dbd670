use std::any::Any;
use std::fmt::Debug;

use serde::Serialize;
use serde_json::Value;

use crate::image_facts::ImageFacts;

/// What every drawn step says about itself, whatever its family.
pub trait Step: Parameters + Debug + Send + Sync {
    /// The registered name, under which it is serialized.
    fn name(&self) -> &'static str;

    /// Refuses what cannot be rendered from an image like this, with what was wanted and what was got.
    ///
    /// # Errors
    /// Impossible parameters, or channels that the step has no meaning for.
    fn check(&self, input: &ImageFacts) -> Result<(), String>;

    /// The parameters for people, such as `12.3°`; empty where the name of the transform says all.
    fn caption(&self) -> String;
}

/// What a step has for being plain data.
pub trait Parameters: Any {
    /// Itself, to be asked for its type.
    fn as_any(&self) -> &dyn Any;

    /// Whether another step is of the same type and has the same parameters.
    fn equals(&self, other: &dyn Any) -> bool;

    /// The parameters as JSON.
    ///
    /// # Errors
    /// None, for structs of numbers and names.
    fn to_json(&self) -> serde_json::Result<Value>;
}

impl<T: Any + PartialEq + Serialize> Parameters for T {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<T>() == Some(self)
    }

    fn to_json(&self) -> serde_json::Result<Value> {
        // by way of text, so that floats of 32 bits keep their short form
        serde_json::from_str(&serde_json::to_string(self)?)
    }
}

/// Refuses factors that no image survives.
pub(super) fn check_factor(factor: f32) -> Result<(), String> {
    const MOST: f32 = 1000.0;
    if (0.0..=MOST).contains(&factor) { Ok(()) } else { Err(format!("factor is between 0 and {MOST}, got {factor}")) }
}

/// Refuses images without red, green and blue.
pub(super) fn check_colour(input: &ImageFacts) -> Result<(), String> {
    match input.channels {
        3 => Ok(()),
        other => Err(format!("wants red, green and blue, and the image has {other} channels")),
    }
}
