use std::collections::BTreeMap;

use serde::Serialize;

/// The model's input that the images go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelInput {
    /// Its name in the graph.
    pub name: String,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

impl ModelInput {
    /// Shapes that the data decides, for the compiler.
    pub(crate) fn shapes(&self, batch: usize) -> BTreeMap<String, Vec<usize>> {
        BTreeMap::from([(self.name.clone(), vec![batch, 3, self.height as usize, self.width as usize])])
    }
}
