//! What a recipe leaves open, where a recipe without anything open is wanted.

use millstream_schemas::recipe::{Fault, RecipeText, flow};
use millstream_schemas::shown_up_to;
use millstream_search::Space;
use serde_json::Value;

/// The value of a recipe in which something may be open: all but what the search itself is told.
pub(crate) fn without_search(text: &RecipeText) -> Value {
    let mut value = text.value().clone();
    if let Some(map) = value.as_object_mut() {
        map.shift_remove("search");
    }
    value
}

/// A fault for each value that is left open, or for what of that makes no sense.
pub(crate) fn open_places(text: &RecipeText) -> Vec<Fault> {
    match Space::extract(&without_search(text)) {
        Err(error) => vec![match error {
            millstream_search::SearchError::Space { place, message } => Fault::value(place, message),
            error => Fault::value("", error),
        }],
        Ok((space, _)) => {
            // What stands within an alternative is open where that is; naming that is enough.
            let open = space.parameters().iter().filter(|parameter| parameter.when.is_none());
            open.map(|parameter| {
                let written = serde_json::to_value(&parameter.distribution).unwrap_or_default();
                let message = format!(
                    "it is left open ({}), and this command wants one value; `millstream search run` looks for a good one",
                    shown_up_to(flow(&written), 60)
                );
                Fault::value(&parameter.name, message)
            })
            .collect()
        }
    }
}
