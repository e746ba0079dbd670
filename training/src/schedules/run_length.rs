/// How long a run is, for what is counted in parts of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunLength {
    /// Steps of the whole run.
    pub steps: u64,
    /// Steps of a pass over the training rows.
    pub steps_per_epoch: u64,
}
