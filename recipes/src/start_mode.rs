/// Whether a run is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartMode {
    /// New; the output folder must not hold a run.
    #[default]
    New,
    /// New; a run in the output folder is deleted.
    Overwrite,
    /// Goes on from the newest whole checkpoint in the output folder, as it was.
    Resume,
    /// The same, with what the recipe says now where that may become another while a run goes on; from which step on is noted.
    Extend,
}

impl StartMode {
    /// Whether there is a run that goes on.
    pub fn goes_on(self) -> bool {
        matches!(self, Self::Resume | Self::Extend)
    }
}
