//! Serving the page on this machine, and following the run.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use millstream_schemas::{grouped, percent, shown_path};
use millstream_training::report::Page;
use millstream_training::{RunRecord, TrainingError};

use super::followed::Followed;
use super::http::{self, Request};
use crate::run_folder::{RunFolder, folder_name};
use crate::{RecipeError, Stop, run_about};

/// How often the run is looked at, and connections are asked whether something is new.
const GLANCE: Duration = Duration::from_millis(250);
/// Pages are not drawn more often than this for one reader.
const REST: Duration = Duration::from_millis(1000);
/// A stream of events says something at least as often.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// A reader who takes longer has gone.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest that readers are waited for at the end, so that each is told of it: their own threads give up those that have gone.
const LAST_PATIENCE: Duration = Duration::from_secs(60);
const MOST_CONNECTIONS: usize = 32;
const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// How a run is watched.
#[derive(Clone, Copy, Debug, Default)]
pub struct WatchOptions {
    /// The port; 0 for any that is free.
    pub port: u16,
    /// End when the run has.
    pub until_end: bool,
}

/// Why watching ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchEnd {
    /// It was asked to.
    Stopped,
    /// The run has ended.
    RunEnded,
}

/// A page about a run, served to this machine alone.
#[derive(Debug)]
pub struct Watch {
    listener: TcpListener,
    address: SocketAddr,
    folder: RunFolder,
    until_end: bool,
}

impl Watch {
    /// Takes a port for the page of the run in a folder, which need not have begun.
    ///
    /// # Errors
    /// The port is taken.
    pub fn open(folder: &Path, options: WatchOptions) -> Result<Self, RecipeError> {
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
        let failed = |source| RecipeError::Io { doing: "listen on", path: PathBuf::from(wanted.to_string()), source };
        let listener = TcpListener::bind(wanted).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, folder: RunFolder(folder.to_owned()), until_end: options.until_end })
    }

    /// Where the page is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the page and follows the run, until it is asked to stop or, where that was wanted, the run has ended.
    ///
    /// # Errors
    /// The run's log cannot be read.
    pub fn serve(self, stop: &Stop) -> Result<WatchEnd, RecipeError> {
        let Self { listener, address, folder, until_end } = self;
        let log = folder.logs().join("events.jsonl");
        let mut state = State::new(Followed::new(log.clone()), folder);
        // before anybody is answered: a run that is there is not told as one that has not begun
        let mut looked = state.look(stop);
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            address,
            connections: AtomicUsize::new(0),
            stop: stop.clone(),
        });
        let (accepting, ended) = (Arc::clone(&shared), Stop::default());
        let until = ended.clone();
        let accepting = thread::spawn(move || accept(&listener, &accepting, &until));
        let mut outcome = Ok(WatchEnd::Stopped);
        while !stop.is_requested() {
            match looked {
                Ok(true) if until_end => outcome = Ok(WatchEnd::RunEnded),
                Ok(_) => {
                    thread::sleep(GLANCE);
                    // the lock is given back before anybody sleeps
                    looked = shared.lock().look(stop);
                    continue;
                }
                Err(source) => outcome = Err(RecipeError::Io { doing: "read", path: log.clone(), source }),
            }
            break;
        }
        // readers are told the last that there is
        let patience = Instant::now() + LAST_PATIENCE;
        while outcome.is_ok() && !stop.is_requested() && shared.connections() > 0 && Instant::now() < patience {
            thread::sleep(GLANCE);
        }
        ended.request();
        // it looks at the flag between two connections
        let _ = accepting.join();
        outcome
    }
}

/// What threads have together.
struct Shared {
    state: Mutex<State>,
    address: SocketAddr,
    connections: AtomicUsize,
    stop: Stop,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// The run as it was seen last.
struct State {
    followed: Followed,
    folder: RunFolder,
    version: u64,
    ended: bool,
    /// A page, and the version that it is of.
    page: Option<(u64, Arc<str>)>,
}

impl State {
    fn new(followed: Followed, folder: RunFolder) -> Self {
        Self { followed, folder, version: 0, ended: false, page: None }
    }

    /// Looks at the run; whether it has ended. A long log is read no further once it is to stop.
    fn look(&mut self, stop: &Stop) -> io::Result<bool> {
        let mut changed = false;
        loop {
            let advance = self.followed.advance()?;
            changed |= advance.changed;
            if !advance.is_more || stop.is_requested() {
                break;
            }
        }
        // a run without a log says by its record that it has ended
        let ended = match self.followed.record() {
            // one that is gone on with has not, though its log says so until it is opened again
            Some(_) => self.followed.has_ended() && !matches!(self.folder.writer(), Ok(Some(_))),
            None => self.folder.metrics().exists() && self.folder.writer().is_ok_and(|writer| writer.is_none()),
        };
        if changed || ended != self.ended {
            self.ended = ended;
            self.version += 1;
        }
        Ok(ended)
    }

    fn page(&mut self) -> Result<Arc<str>, TrainingError> {
        if let Some((_, page)) = self.page.as_ref().filter(|(version, _)| *version == self.version) {
            return Ok(Arc::clone(page));
        }
        let page: Arc<str> = self.draw()?.into();
        self.page = Some((self.version, Arc::clone(&page)));
        Ok(page)
    }

    fn draw(&self) -> Result<String, TrainingError> {
        // what the run itself has drawn at its end has more
        let report = self.folder.report();
        if self.ended
            && let Ok(page) = std::fs::read_to_string(&report)
        {
            return Ok(page);
        }
        let about = run_about::of_folder(&self.folder);
        let mut record = match self.followed.record() {
            Some(record) => record.clone(),
            None => RunRecord { version: RunRecord::VERSION, ending: self.nothing_yet(), ..RunRecord::default() },
        };
        if record.title.is_empty() {
            record.title = folder_name(&self.folder.0);
        }
        let total = self.followed.total_steps();
        if !self.ended && total > 0 {
            record.notes.insert(0, progress(record.history.steps, total));
            if self.folder.writer().is_ok_and(|writer| writer.is_none()) {
                record.notes.insert(0, "no process trains here now, and none has said that the run ended".into());
            }
        }
        let (title, runs, about) = (&*record.title, std::slice::from_ref(&record), std::slice::from_ref(&about));
        Page { title, runs, about, beside: &[], is_live: true }.render()
    }

    /// Why there is nothing to see.
    fn nothing_yet(&self) -> String {
        let folder = shown_path(&self.folder.0);
        match self.folder.writer() {
            Ok(Some(_)) => format!(
                "the run in {folder} writes no log that can be followed; `millstream train --watch`, or \
                 `--set 'output.logs=[jsonl]'`, writes one"
            ),
            _ => format!("no run has begun in {folder} yet"),
        }
    }
}

/// `step 50 of 200 (25.0 %)`. How much longer a run was made is in no log of an older build.
fn progress(done: u64, total: u64) -> String {
    match done <= total {
        true => {
            format!("step {} of {} ({})", grouped(done), grouped(total), percent(done as f64 / total.max(1) as f64))
        }
        false => format!("step {}", grouped(done)),
    }
}

/// Takes connections, a thread each.
fn accept(listener: &TcpListener, shared: &Arc<Shared>, ended: &Stop) {
    while !ended.is_requested() && !shared.stop.is_requested() {
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(GLANCE / 5);
            continue;
        };
        if shared.connections.fetch_add(1, Ordering::Relaxed) >= MOST_CONNECTIONS {
            shared.connections.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (shared, ended) = (Arc::clone(shared), ended.clone());
        thread::spawn(move || {
            // a reader that goes away is no error
            let _ = serve_one(stream, &shared, &ended);
            shared.connections.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn serve_one(mut stream: TcpStream, shared: &Shared, ended: &Stop) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let Some(request) = Request::read(&mut stream)? else {
        return http::answer(&mut stream, "400 Bad Request", TEXT, b"this is no request for the page\n", false);
    };
    let head = request.method == "HEAD";
    let mut refuse = |status: &str, why: &str| http::answer(&mut stream, status, TEXT, why.as_bytes(), head);
    // another site whose name leads here is not to read the page through somebody's browser
    if !request.host.as_deref().is_some_and(|host| is_ours(host, shared.address.port())) {
        return refuse("403 Forbidden", "this page is for this machine alone\n");
    }
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return refuse("405 Method Not Allowed", "the page can be read, and nothing else\n");
    }
    match request.path.as_str() {
        "/" => {
            let page = shared.lock().page();
            match page {
                Ok(page) => http::answer(&mut stream, "200 OK", HTML, page.as_bytes(), head),
                Err(error) => refuse("500 Internal Server Error", &format!("{error}\n")),
            }
        }
        "/events" if !head => send_events(&mut stream, shared, ended),
        _ => refuse("404 Not Found", "there is one page here, `/`; files lie in the run's folder\n"),
    }
}

/// The names of this machine for itself.
fn is_ours(host: &str, port: u16) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, number)) if number.parse() == Ok(port) => name,
        None if port == 80 => host,
        _ => return false,
    };
    matches!(name, "127.0.0.1" | "localhost")
}

/// `changed` when the page has, `ended` when the run has.
fn send_events(stream: &mut TcpStream, shared: &Shared, ended: &Stop) -> io::Result<()> {
    stream.write_all(http::header("200 OK", "text/event-stream", "").as_bytes())?;
    let (mut told, mut said) = (0, Instant::now());
    loop {
        let (version, run_ended) = {
            let state = shared.lock();
            (state.version, state.ended)
        };
        let name = if run_ended { "ended" } else { "changed" };
        if version != told {
            (told, said) = (version, Instant::now());
            stream.write_all(format!("event: {name}\ndata: {version}\n\n").as_bytes())?;
            if run_ended {
                return stream.flush();
            }
        } else if said.elapsed() >= HEARTBEAT {
            said = Instant::now();
            stream.write_all(b": \n\n")?;
        }
        stream.flush()?;
        let until = Instant::now() + REST;
        while Instant::now() < until {
            if ended.is_requested() || shared.stop.is_requested() {
                return Ok(());
            }
            thread::sleep(GLANCE);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn only_names_of_this_machine_are_answered() {
        for (host, wanted) in [
            ("127.0.0.1:7000", true),
            ("localhost:7000", true),
            ("localhost:7001", false),
            ("localhost", false),
            ("evil.example:7000", false),
            ("localhost.evil.example:7000", false),
            ("127.0.0.1.evil.example:7000", false),
            ("evil.example", false),
            ("", false),
        ] {
            assert_eq!(is_ours(host, 7000), wanted, "{host}");
        }
        assert!(is_ours("localhost", 80) && !is_ours("localhost", 81));
    }

    /// A run that was interrupted, and its page.
    fn interrupted(folder: &Path) -> RunFolder {
        let run = RunFolder(folder.to_owned());
        std::fs::create_dir_all(run.logs()).unwrap();
        let lines = [r#"{"event":"started","run":"a","total_steps":4}"#, r#"{"event":"ended","ending":"interrupted"}"#];
        std::fs::write(run.logs().join("events.jsonl"), lines.map(|line| format!("{line}\n")).concat()).unwrap();
        std::fs::write(run.report(), "the page of before").unwrap();
        run
    }

    #[test]
    fn a_reader_who_comes_before_the_run_was_looked_at_is_not_told_that_none_has_begun() {
        let folder = tempfile::tempdir().unwrap();
        interrupted(folder.path());
        let watch = Watch::open(folder.path(), WatchOptions::default()).unwrap();
        let mut reader = TcpStream::connect(watch.address()).unwrap();
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", watch.address());
        reader.write_all(request.as_bytes()).unwrap();
        let stop = Stop::default();
        let asked = stop.clone();
        let serving = thread::spawn(move || watch.serve(&asked));
        let mut page = String::new();
        reader.read_to_string(&mut page).unwrap();
        stop.request();
        assert_eq!(serving.join().unwrap().unwrap(), WatchEnd::Stopped);
        assert!(page.ends_with("the page of before"), "{page}");
    }

    #[test]
    fn no_run_is_said_to_be_further_than_it_goes() {
        for (done, total, wanted) in
            [(50, 200, "step 50 of 200 (25.0 %)"), (500, 500, "step 500 of 500 (100.0 %)"), (900, 500, "step 900")]
        {
            assert_eq!(progress(done, total), wanted);
        }
    }

    #[test]
    fn a_run_that_is_gone_on_with_is_not_taken_for_one_that_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let run = interrupted(folder.path());
        let mut state = State::new(Followed::new(run.logs().join("events.jsonl")), run.clone());
        let stop = Stop::default();
        assert!(state.look(&stop).unwrap());
        assert_eq!(&*state.page().unwrap(), "the page of before");
        let locked = run.lock().unwrap();
        assert!(!state.look(&stop).unwrap());
        assert_ne!(&*state.page().unwrap(), "the page of before");
        drop(locked);
        assert!(state.look(&stop).unwrap());
    }
}
