//! `millstream watch`: the page of a run, on this machine alone.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use crate::workplace::{Workplace, has_runtime};

struct Watching {
    child: Child,
    out: BufReader<ChildStdout>,
    /// `127.0.0.1:PORT`
    host: String,
    /// Whether it was said that there is a run.
    has_begun: bool,
}

impl Watching {
    fn begin(place: &Workplace, arguments: &[&str]) -> Self {
        let mut command = place.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary starts");
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let told: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let host = told["address"].as_str().unwrap().trim_start_matches("http://").trim_end_matches('/').to_owned();
        assert!(host.starts_with("127.0.0.1:"), "{line}");
        Self { child, out, host, has_begun: told["has_begun"] == true }
    }

    fn connect(&self, request: &str) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(&self.host)?;
        stream.set_read_timeout(Some(Duration::from_secs(400)))?;
        stream.write_all(request.as_bytes())?;
        Ok(stream)
    }

    /// What is answered. A reader who says nothing for some seconds, as this one may on a busy machine, is given up and asks again.
    fn answer(&self, request: &str) -> String {
        for _ in 0..10 {
            let mut answer = String::new();
            let read = self.connect(request).and_then(|mut stream| stream.read_to_string(&mut answer));
            if read.is_ok() && !answer.is_empty() {
                return answer;
            }
        }
        panic!("no answer to {request}");
    }

    fn ask(&self, path: &str, host: &str) -> String {
        self.answer(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    }

    /// It ends by itself.
    fn end(mut self) {
        let status = self.child.wait().unwrap();
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        assert!(status.success(), "{status}: {rest}");
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // After a failed assertion only: it has ended otherwise.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// From before the run begins until it has ended, from another process.
#[test]
fn a_run_is_watched_from_before_it_begins_until_it_has_ended() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let watching = Watching::begin(&place, &["watch", "runs/run", "--until-end", "--json"]);
    assert!(!watching.has_begun);
    let page = watching.ask("/", &watching.host);
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("no run has begun"), "{page}");
    let request = format!("GET /events HTTP/1.1\r\nHost: {}\r\n\r\n", watching.host);
    let mut events = BufReader::new(watching.connect(&request).unwrap());
    place.run_with("train", &["output.folder=runs/run", "output.logs=[jsonl]"]).done();
    let mut told = String::new();
    let mut line = String::new();
    while events.read_line(&mut line).unwrap() > 0 {
        told.push_str(&std::mem::take(&mut line));
    }
    assert!(told.contains("text/event-stream") && told.contains("event: ended"), "{told}");
    watching.end();
    // one that has ended before has its own page, and the watching ends by itself
    let watching = Watching::begin(&place, &["watch", "runs/run", "--json"]);
    assert!(watching.has_begun);
    let page = watching.ask("/", &format!("localhost:{}", watching.host.rsplit(':').next().unwrap()));
    for part in ["Training loss", "Rows a second", "How it came about", "Recipe, with every default"] {
        assert!(page.contains(part), "{part} is missing");
    }
    for (path, host, wanted) in [
        ("/", "evil.example", "403"),
        ("/", "127.0.0.1:1", "403"),
        ("/model.onnx", watching.host.as_str(), "404"),
        ("/../runs/run/metrics.json", watching.host.as_str(), "404"),
        ("/%2e%2e/metrics.json", watching.host.as_str(), "404"),
        ("//etc/passwd", watching.host.as_str(), "404"),
    ] {
        let answer = watching.ask(path, host);
        assert!(answer.starts_with(&format!("HTTP/1.1 {wanted} ")), "{path} {host}: {answer}");
    }
    let post = format!("POST / HTTP/1.1\r\nHost: {}\r\n\r\n", watching.host);
    for (request, wanted) in [(post.as_str(), "405"), ("nonsense\r\n\r\n", "400")] {
        let answer = watching.answer(request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {wanted} ")), "{request}: {answer}");
    }
    // it ends when it is asked to
    let child = watching.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &child]).status().unwrap().success());
    watching.end();
}

/// The page beside a training in one process says where it is, and the log is there.
#[test]
fn a_training_serves_its_own_page_when_it_is_asked_to() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let ran = place.run(&["train", "recipe.yaml", "--output", "runs/own", "--watch"]);
    assert!(ran.stderr.contains("http://127.0.0.1:"), "{}", ran.stderr);
    ran.done();
    assert!(place.path("runs/own/logs/events.jsonl").exists());
    place.run(&["watch", "recipe.yaml"]).failed_with(&["is a file"]);
}

#[test]
fn watching_a_search_names_its_runs_and_a_port_that_is_taken_is_told_with_what_to_do() {
    let place = Workplace::new();
    for name in ["study/study.json", "study/trials/0000/recipe.yaml", "study/trials/0000/metrics.json"] {
        std::fs::create_dir_all(place.path(name).parent().unwrap()).unwrap();
        place.write(name, "");
    }
    let wanted = ["is the folder of a search", "lie the runs 0000", "search.html"];
    place.run(&["watch", "study", "--until-end"]).failed_with(&wanted);
    place.run(&["report", "study", "-o", "page.html"]).failed_with(&wanted);
    assert!(!place.path("page.html").exists());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    place.run(&["watch", "run", "--port", &port]).failed_with(&["leave `--port` out", &port]);
    place
        .run(&["report", "study/trials/0000", "-o", "none/page.html"])
        .failed_with(&["there is no folder none; make it"]);
}
