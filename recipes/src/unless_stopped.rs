use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::{RecipeError, Stop};

/// How soon an end is noticed that somebody asks for.
const GLANCE: Duration = Duration::from_millis(20);

/// Does work that takes its time and changes nothing outside of it, such as opening a model or compiling it, in a thread of its own.
/// When somebody asks for an end, that thread is left to itself and what it gives is dropped.
///
/// # Errors
/// That of the work; [`RecipeError::Stopped`] when it was asked to stop.
pub(crate) fn unless_stopped<T: Send + 'static>(
    stop: &Stop,
    work: impl FnOnce() -> Result<T, RecipeError> + Send + 'static,
) -> Result<T, RecipeError> {
    let (done, waiting) = channel();
    let worker = thread::spawn(move || _ = done.send(work()));
    loop {
        match waiting.recv_timeout(GLANCE) {
            Ok(made) => return made,
            Err(RecvTimeoutError::Timeout) if stop.is_requested() => return Err(RecipeError::Stopped),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => match worker.join() {
                Err(panic) => resume_unwind(panic),
                Ok(()) => unreachable!("what the work gives is sent before it ends"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn an_end_that_is_asked_for_while_a_model_is_compiled_is_not_waited_for() {
        let stop = Stop::default();
        assert_eq!(unless_stopped(&stop, || Ok(5)).unwrap(), 5);
        let failed = unless_stopped::<()>(&stop, || Err(RecipeError::mismatch("model", "wrong"))).unwrap_err();
        assert_eq!(failed.to_string(), "model: wrong");
        let (_held, never) = channel::<()>();
        let asking = stop.clone();
        let asker = thread::spawn(move || {
            thread::sleep(2 * GLANCE);
            asking.request();
        });
        // work that never ends by itself
        let stopped = unless_stopped(&stop, move || Ok(never.recv().is_ok())).unwrap_err();
        assert!(matches!(stopped, RecipeError::Stopped), "{stopped}");
        asker.join().unwrap();
    }

    #[test]
    #[should_panic(expected = "as it was")]
    fn a_panic_of_the_work_is_handed_on() {
        let _ = unless_stopped::<()>(&Stop::default(), || panic!("as it was"));
    }
}
