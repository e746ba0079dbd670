//! Which maps of a model a head of boxes can stand on.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::finetuning::{heads, normalize};
use crate::graph::{Graph, Length, ValueId};
use crate::model_file::Model;
use crate::operators::OperatorCatalog;
use crate::{CompilerError, batch_axis};

/// The maps that the head `boxes` finds behind an output of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BoxMaps {
    /// The output, as `model.output` names it.
    pub output: String,
    /// The map that is read, then those that `finer` 1, 2 and so on goes to; none where there is no map.
    pub maps: Vec<BoxMap>,
    /// Why there is none, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<String>,
}

/// A map of features `[batch, features, height, width]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BoxMap {
    /// What the value is called in the file.
    pub name: String,
    /// Features of each place.
    pub features: usize,
    /// Places down and across; `None` where the model leaves them open.
    pub places: [Option<usize>; 2],
    /// Pixels of the picture down and across for each place, rounded: the stride; `None` where either is open.
    pub pixels: [Option<usize>; 2],
}

/// The maps behind each output of a model of pictures, by the rules of a catalog; none where no input is a picture.
///
/// # Errors
/// As [`describe`](crate::describe()).
pub fn box_maps(model: &Model, catalog: &OperatorCatalog) -> Result<Vec<BoxMaps>, CompilerError> {
    let mut graph = model.graph(&BTreeMap::new(), catalog)?;
    let Some(picture) = graph.inputs().iter().find_map(|input| picture_sides(&graph, *input)) else {
        return Ok(Vec::new());
    };
    batch_axis::repeat_equal_rows(&mut graph, catalog)?;
    normalize(&mut graph);
    let of_output = |output: &ValueId| {
        let (maps, obstacle) = match heads::maps_of_boxes(&graph, *output) {
            Ok(maps) => (maps.into_iter().map(|map| described(&graph, map, picture)).collect(), None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        BoxMaps { output: graph.name(*output).to_owned(), maps, obstacle }
    };
    Ok(graph.outputs().iter().map(of_output).collect())
}

fn described(graph: &Graph, (map, features): (ValueId, usize), picture: [Option<usize>; 2]) -> BoxMap {
    let places = match graph.tensor_type(map).map(|known| known.shape.as_slice()) {
        Some([_, _, height, width]) => [height.fixed(), width.fixed()],
        _ => [None; 2],
    };
    let stride = |axis: usize| {
        let (pixels, places) = (picture[axis]?, places[axis].filter(|places| *places > 0)?);
        Some((pixels + places / 2) / places)
    };
    BoxMap { name: graph.name(map).to_owned(), features, places, pixels: [stride(0), stride(1)] }
}

/// Height and width of a picture, where an input is one: channels lie in front of them or behind.
fn picture_sides(graph: &Graph, input: ValueId) -> Option<[Option<usize>; 2]> {
    let is_channels = |length: &Length| length.fixed().is_some_and(|channels| (1..=4).contains(&channels));
    match graph.tensor_type(input)?.shape.as_slice() {
        [_, channels, height, width] if is_channels(channels) => Some([height.fixed(), width.fixed()]),
        [_, height, width, channels] if is_channels(channels) => Some([height.fixed(), width.fixed()]),
        _ => None,
    }
}
