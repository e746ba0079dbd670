//! Weights of members that somebody gives.

/// Refuses what are no weights: negative, infinite, or all 0.
pub(super) fn check(weights: Option<&[f64]>) -> Result<(), String> {
    let Some(weights) = weights else { return Ok(()) };
    let are_weights =
        weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0) && weights.iter().any(|weight| *weight > 0.0);
    if are_weights { Ok(()) } else { Err(format!("weights are 0 or more, not all of them 0, got {weights:?}")) }
}
