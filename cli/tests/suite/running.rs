//! The binary at work: its events read as they come, and signals sent to it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::workplace::{Ran, Workplace};

/// Bytes of events that a process can be ahead of who reads them: the smallest pipe there is. However late a test is woken after an
/// event, the process has done a few steps more and then waits; one that has many left cannot end before it is killed.
const AHEAD: usize = 4096;

/// A process that tells its events (`--json`).
pub(crate) struct Running {
    child: Process,
    events: BufReader<ChildStdout>,
    stderr: JoinHandle<String>,
}

/// It does not outlive a test that fails.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // it has mostly ended
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// The binary with these arguments, in this folder.
    pub(crate) fn start(place: &Workplace, arguments: &[&str]) -> Self {
        Self::of(place.command(arguments))
    }

    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let stdout = child.stdout.take().unwrap();
        rustix::pipe::fcntl_setpipe_size(&stdout, AHEAD).expect("the size of a pipe can be set");
        let mut stderr = child.stderr.take().unwrap();
        let read = move || {
            let mut bytes = Vec::new();
            stderr.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Self { child: Process(child), events: BufReader::with_capacity(256, stdout), stderr: std::thread::spawn(read) }
    }

    pub(crate) fn id(&self) -> String {
        self.child.0.id().to_string()
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.0.try_wait().unwrap().is_none()
    }

    /// Reads events until one is as wanted; `false` where the process ends before.
    pub(crate) fn reaches(&mut self, mut wanted: impl FnMut(&str) -> bool) -> bool {
        let mut line = String::new();
        while self.events.read_line(&mut line).unwrap() > 0 {
            if wanted(&line) {
                return true;
            }
            line.clear();
        }
        false
    }

    /// Reads events until one holds this text.
    #[track_caller]
    pub(crate) fn until(&mut self, text: &str) {
        assert!(self.reaches(|line| line.contains(text)), "it ended before {text}");
    }

    /// Reads events until a checkpoint of this step, or of a later one where it began behind it, is saved.
    #[track_caller]
    pub(crate) fn until_saved(&mut self, step: u64) {
        let saved = |line: &str| {
            let (_, name) = line.split_once("checkpoints/step-")?;
            name.split(|letter: char| !letter.is_ascii_digit()).next()?.parse::<u64>().ok()
        };
        assert!(self.reaches(|line| saved(line) >= Some(step)), "it ended before step {step} was saved");
    }

    /// Sends a signal, as `KILL`, to a process that may have ended by itself.
    pub(crate) fn signal(&self, signal: &str) {
        send(&self.id(), signal);
    }

    /// Waits for the end; what is left of the events is the standard output.
    pub(crate) fn ended(mut self) -> Ran {
        let mut stdout = Vec::new();
        self.events.read_to_end(&mut stdout).unwrap();
        let code = self.child.0.wait().unwrap().code();
        // who is killed may be in the middle of a letter
        Ran { code, stdout: String::from_utf8_lossy(&stdout).into_owned(), stderr: self.stderr.join().unwrap() }
    }

    /// Kills the process after this time; it may have ended by itself.
    pub(crate) fn ended_after(self, time: Duration) -> Ran {
        let id = self.id();
        let ended = std::thread::spawn(|| self.ended());
        std::thread::sleep(time);
        if !ended.is_finished() {
            send(&id, "KILL");
        }
        ended.join().unwrap()
    }

    /// Waits for the ends of several that may wait for each other.
    pub(crate) fn all_ended<const N: usize>(running: [Self; N]) -> [Ran; N] {
        std::thread::scope(|scope| running.map(|one| scope.spawn(|| one.ended())).map(|ended| ended.join().unwrap()))
    }

    /// Kills the process, which must not have ended by itself.
    #[track_caller]
    pub(crate) fn killed(self) {
        self.signal("KILL");
        let ran = self.ended();
        assert_eq!(ran.code, None, "it ended by itself: {}", ran.stderr);
    }
}

/// It may be gone.
fn send(id: &str, signal: &str) {
    Command::new("kill").args([&format!("-{signal}"), id]).stderr(Stdio::null()).status().unwrap();
}
