use std::sync::mpsc;
use std::thread::JoinHandle;

use crate::TrainingError;

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// A thread that makes a value, keeps it, and does what it is told with it.
///
/// ONNX Runtime's `Run` is not to be entered by two threads at once, and tensors that are bound to a session are changed
/// between runs: both are out of reach for anyone but the owner.
pub(super) struct SessionThread<S> {
    jobs: Option<mpsc::Sender<Job<S>>>,
    thread: Option<JoinHandle<()>>,
}

impl<S: 'static> SessionThread<S> {
    /// Starts the thread and waits until the value is made.
    pub(super) fn start(
        name: &'static str,
        make: impl FnOnce() -> Result<S, TrainingError> + Send + 'static,
    ) -> Result<Self, TrainingError> {
        let (sender, jobs) = mpsc::channel::<Job<S>>();
        let (made, is_made) = mpsc::channel();
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
            let mut value = match make() {
                Ok(value) => value,
                Err(error) => {
                    let _ = made.send(Err(error));
                    return;
                }
            };
            let _ = made.send(Ok(()));
            while let Ok(job) = jobs.recv() {
                job(&mut value);
            }
        });
        let thread = thread.map_err(TrainingError::io("start a thread for", name))?;
        let this = Self { jobs: Some(sender), thread: Some(thread) };
        is_made.recv().map_err(|_| TrainingError::SessionThread { doing: "open a session" })??;
        Ok(this)
    }

    /// Has something done and waits for the answer.
    pub(super) fn call<R: Send + 'static>(
        &self,
        doing: &'static str,
        job: impl FnOnce(&mut S) -> Result<R, TrainingError> + Send + 'static,
    ) -> Result<R, TrainingError> {
        let (answer, answered) = mpsc::channel();
        let died = || TrainingError::SessionThread { doing };
        let jobs = self.jobs.as_ref().ok_or_else(died)?;
        jobs.send(Box::new(move |value| {
            let _ = answer.send(job(value));
        }))
        .map_err(|_| died())?;
        answered.recv().map_err(|_| died())?
    }
}

impl<S> Drop for SessionThread<S> {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by whoever was waiting for its answer.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_on_the_thread_is_an_error_for_the_caller_and_for_all_after() {
        let thread = SessionThread::start("test", || Ok(1_i32)).unwrap();
        assert_eq!(thread.call("add", |value| Ok(*value + 1)).unwrap(), 2);
        let panicked = thread.call::<()>("panic", |_| panic!("on purpose"));
        assert!(panicked.unwrap_err().to_string().contains("asked to panic"));
        assert!(thread.call("add", |value| Ok(*value)).is_err());
    }
}
