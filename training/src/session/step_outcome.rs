use super::loss_scale::LossScale;

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepOutcome {
    /// The loss before the update: a mean over the rows that have weight.
    pub loss: f32,
    /// Rows that have weight; 0 too where the loss has none, as of masks without a class or of rows without a pair.
    pub rows: u64,
    /// What the loss is a mean over: a mean over several steps weighs each by this.
    pub weight: f64,
    /// Whether parameters were updated: not when no row has weight in the loss, nor when the loss or a gradient is not finite. Gradients
    /// on a device are looked at where [`StepSettings::watch_gradients`](crate::StepSettings::watch_gradients) says so or the
    /// loss is scaled; elsewhere parameters that are no numbers show at the next loss or checkpoint.
    pub updated: bool,
    /// Whether nothing was updated because gradients of float16 were not finite at a scale of the loss that was halved for the
    /// next step: that is no fault.
    pub skipped: bool,
    /// Joint Euclidean norm of all gradients, those of penalties with them, before clipping, where they are looked at (on the CPU
    /// always); NaN of a device where they are not finite.
    pub gradient_norm: Option<f64>,
    /// The scale of the loss for the next step, in float16.
    pub loss_scale: Option<LossScale>,
    /// Seconds spent in the graph, with the copy of the batch into it.
    pub seconds_in_graph: f64,
    /// Seconds spent in the update.
    pub seconds_in_update: f64,
}
