use millstream_schemas::{AxisLength, TensorEntry};

use crate::graph::{Graph, Length, ValueId};

/// What a manifest says of an input or output of a training graph.
pub(crate) fn tensor_entry(graph: &Graph, value: ValueId) -> TensorEntry {
    let tensor_type = graph.tensor_type(value).expect("inputs and outputs of a training graph have types");
    TensorEntry {
        name: graph.name(value).to_owned(),
        dtype: tensor_type.dtype.name().to_owned(),
        shape: tensor_type.shape.iter().map(axis_length).collect(),
    }
}

/// As the manifest writes it.
pub(crate) fn axis_length(length: &Length) -> AxisLength {
    length.fixed().map_or_else(|| AxisLength::Named(length.onnx_name()), AxisLength::Fixed)
}
