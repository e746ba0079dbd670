//! Operators that change the form of a tensor and none of its numbers.

/// Operators that hand on what they read in another form; a weight behind them is trained in the form that it is stored in.
pub(super) const VIEWS: [&str; 8] =
    ["Expand", "Flatten", "Identity", "Reshape", "Squeeze", "Tile", "Transpose", "Unsqueeze"];
