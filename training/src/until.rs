use std::path::PathBuf;

/// How far a run advances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until so many steps of the whole run are done. The evaluation of an epoch belongs to the epoch's last step.
    Step(u64),
    /// Until so many epochs of the whole run are done, their evaluations included.
    Epoch(u64),
    /// Until all epochs are done.
    End,
}

/// How far a run has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All epochs are done.
    Finished,
    /// It is where it was to advance to, and can be advanced further.
    Reached,
    /// It was asked to stop.
    Interrupted {
        /// The checkpoint from which it can go on, if checkpoints are written.
        checkpoint: Option<PathBuf>,
    },
}
