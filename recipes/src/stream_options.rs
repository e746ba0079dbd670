use millstream_pipeline::{Beside, StreamOptions};
use millstream_schemas::Recipe;
use millstream_schemas::recipe::OrderStrength;

use crate::RowSource;

/// How a recipe's rows are streamed, once and in this order.
pub(crate) fn stream_options(recipe: &Recipe, source: &RowSource, order: OrderStrength) -> StreamOptions {
    let (data, seed, output) = (&recipe.data, recipe.seed, &recipe.output.folder);
    StreamOptions {
        seed,
        epochs: 1,
        batch: data.batch,
        order,
        window: data.window,
        group_by_length: data.group_by_length,
        sampling: None,
        workers: data.workers,
        memory: data.memory,
        beside: Beside::Nothing,
        images_beside: false,
        shared: None,
        damaged: data.damaged.with_file_in(output),
        transparency: data.transparency,
        drop_last: false,
        draws: None,
        chain: source.chain.clone(),
        encoders: source.encoders.clone(),
    }
}
