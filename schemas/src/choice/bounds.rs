//! Bounds of options, said with the value: `probability is between 0 and 1, got 50`.

use std::fmt;

/// Refuses a value outside of `low` to `high`, or one that is no number.
///
/// # Errors
/// The bounds and the value, in words.
pub fn between<T: PartialOrd + fmt::Display>(name: &str, value: T, low: T, high: T) -> Result<(), String> {
    require(value >= low && value <= high, || format!("{name} is between {low} and {high}, got {value}"))
}

/// Refuses a share that is all: from 0 to below 1.
///
/// # Errors
/// The bounds and the value, in words.
pub fn share(name: &str, value: f64) -> Result<(), String> {
    require((0.0..1.0).contains(&value), || format!("{name} is 0 to below 1, got {value}"))
}

/// Refuses what is not a finite number above 0.
///
/// # Errors
/// The bound and the value, in words.
pub fn above(name: &str, value: f64) -> Result<(), String> {
    require(value.is_finite() && value > 0.0, || format!("{name} is a finite number above 0, got {value}"))
}

/// Refuses what is not a finite number of 0 or more.
///
/// # Errors
/// The bound and the value, in words.
pub fn at_least(name: &str, value: f64) -> Result<(), String> {
    require(value.is_finite() && value >= 0.0, || format!("{name} is a finite number of 0 or more, got {value}"))
}

/// Refuses what is not a range, low end first, within bounds.
///
/// # Errors
/// The bounds and the range, in words.
pub fn range(name: &str, [low, high]: [f64; 2], least: f64, most: f64) -> Result<(), String> {
    let holds = least <= low && low <= high && high <= most;
    require(holds, || format!("{name} is [low, high] between {least} and {most}, got [{low}, {high}]"))
}

fn require(holds: bool, message: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(message()) }
}
