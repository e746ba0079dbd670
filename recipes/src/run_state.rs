use serde::Serialize;

/// Whether a run can be advanced further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It can.
    UnderWay,
    /// It can; it was asked to stop, and has a checkpoint of where it stands if a step was made.
    Interrupted,
    /// All epochs are done.
    Finished,
    /// An error has ended it; its newest checkpoint is as good as ever.
    Failed,
}
