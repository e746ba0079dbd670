/// How a command ended, when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All was done.
    Done,
    /// A report that says no: printed already, and yet exit code 1.
    Refused,
    /// Interrupted; the state is saved.
    Interrupted,
}
