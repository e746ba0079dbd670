/// How far a warm-up has come at a step, and the step and number of steps after it. The first step is one part above
/// zero, so that no step is wasted, and the last one has the full rate. However short, a warm-up has a step.
pub(super) fn after_warmup(warmup: f64, step: u64, total: u64) -> Result<(u64, u64), f64> {
    // A tenth as `f32` is a little more than a tenth, which is not to cost a step.
    let share = warmup.clamp(0.0, 1.0) * (1.0 - f64::from(f32::EPSILON));
    let steps = (share * total as f64).ceil() as u64;
    if step < steps { Err((step + 1) as f64 / steps as f64) } else { Ok((step - steps, (total - steps).max(1))) }
}
