/// The version that is pinned, installed and tested with.
pub const VERSION: &str = "1.31.1";
/// The oldest minor version of ONNX Runtime 1 whose interface is enough.
pub const OLDEST_MINOR: u32 = 24;
