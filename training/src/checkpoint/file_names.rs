/// A larger manifest is neither written nor read.
pub(super) const LARGEST_MANIFEST: usize = 64 << 20;

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const MANIFEST_HASH: &str = "manifest.json.sha256";
/// The run so far: it grows with evaluations, their sets and tables of classes, and no manifest would hold it.
pub(super) const HISTORY: &str = "history.json";
pub(super) const WEIGHTS: &str = "weights.safetensors";
pub(super) const STATE: &str = "state.safetensors";
pub(super) const BEST: &str = "best.safetensors";
/// With running statistics that were computed anew, of a run at its end.
pub(super) const EXPORTED: &str = "exported.safetensors";
pub(super) const LAST: &str = "last.safetensors";

/// The file of a state that will be averaged.
pub(super) fn kept_name(index: usize) -> String {
    format!("kept-{index}.safetensors")
}
