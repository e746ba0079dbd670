//! Ctrl-C and SIGTERM: the first asks, the second ends.

use anyhow::Context;
use millstream::recipes::Stop;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Sets the flag at the first signal; a second one ends the process at once, as if nobody listened.
pub(crate) fn listen(stop: &Stop) -> anyhow::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        // In this order: at the first signal the flag is not set yet, so that only the second handler does something.
        flag::register_conditional_default(signal, stop.flag()).context("cannot listen to signals")?;
        flag::register(signal, stop.flag()).context("cannot listen to signals")?;
    }
    Ok(())
}
