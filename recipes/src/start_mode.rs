/// Whether a run is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartMode {
    /// New; the output folder must not hold a run.
    #[default]
    New,
    /// New; a run in the output folder is deleted.
    Overwrite,
    /// Goes on from the newest whole checkpoint in the output folder.
    Resume,
}
