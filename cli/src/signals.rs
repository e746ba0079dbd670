//! Ctrl-C and SIGTERM: the first asks, the second ends.

use std::sync::{Arc, Once, OnceLock};
use std::time::Duration;

use anyhow::Context;
use millstream::recipes::Stop;
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

use crate::screen;

/// How soon the first signal is answered.
const GLANCE: Duration = Duration::from_millis(50);

/// What the first signal is answered, where it is not a step that is finished.
static ANSWER: OnceLock<&str> = OnceLock::new();

/// As [`listen`], for work that ends in another way.
pub(crate) fn listen_and_answer(stop: &Stop, answer: &'static str) -> anyhow::Result<()> {
    ANSWER.get_or_init(|| answer);
    listen(stop)
}

/// Sets the flag at the first signal, and says so, since a step may take a while; a second one ends the process at once,
/// as if nobody listened.
pub(crate) fn listen(stop: &Stop) -> anyhow::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        // In this order: at the first signal the flag is not set yet, so that only the second handler does something.
        flag::register_conditional_default(signal, stop.flag()).context("cannot listen to signals")?;
        flag::register(signal, stop.flag()).context("cannot listen to signals")?;
    }
    // A limit on the size of files is an error of the write that meets it, not the end of the process.
    flag::register(SIGXFSZ, Arc::default()).context("cannot listen to signals")?;
    screen::expect_signals();
    let stop = stop.clone();
    // A handler itself may not print. The thread ends with the process.
    std::thread::spawn(move || {
        while !stop.is_requested() {
            std::thread::sleep(GLANCE);
        }
        answer();
    });
    Ok(())
}

/// Ends the process at once: threads that were left to themselves may still be opening a model.
pub(crate) fn leave(code: i32) -> ! {
    use std::io::Write;
    let _ = std::io::stdout().flush();
    let _ = std::io::stderr().flush();
    signal_hook::low_level::exit(code)
}

/// Says that the signal was heard, once: by the thread that waits for it, or before anything that follows from it.
pub(crate) fn answer() {
    static ANSWERED: Once = Once::new();
    ANSWERED.call_once(|| {
        let usual = "stopping: the step is finished and saved first; a second signal ends at once";
        screen::tell_stopping(ANSWER.get().copied().unwrap_or(usual));
    });
}
