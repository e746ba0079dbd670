//! The scripts that start workers of a study by Slurm and by Ray's jobs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::running::Running;
use crate::search::{OPEN, arguments, outcome, script, search_path, status};
use crate::workplace::{Workplace, has_runtime};

/// What `sbatch` reads.
const SLURM: &str = include_str!("../../../examples/search/slurm.sh");

#[test]
fn the_script_for_slurm_has_its_directives_in_front_of_the_worker_that_takes_its_place() {
    let lines: Vec<&str> = SLURM.lines().collect();
    // from the first command on Slurm reads no directive
    let first = lines.iter().position(|line| !line.starts_with('#')).unwrap();
    assert_eq!((lines[0], &lines[first..]), ("#!/bin/bash", &["exec millstream search worker \"$@\""][..]));
    for wanted in [
        "#SBATCH --array=1-8",
        "#SBATCH --gres=gpu:1",
        "#SBATCH --signal=B:TERM@120",
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
    ] {
        assert!(lines[..first].contains(&wanted), "{wanted} is not in\n{SLURM}");
    }
    let page = include_str!("../../../docs/search.md");
    for line in lines.iter().filter(|line| !line.starts_with("# ")) {
        assert!(page.lines().any(|own| own == *line), "docs/search.md shows the script without {line}");
    }
}

#[test]
fn a_task_of_slurm_that_is_ended_and_queued_again_goes_on_with_the_trial_that_it_gave_back() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    let slurm = [&OPEN[..], &["output.folder=slurm"]].concat();
    place.run(&[&arguments("run", &slurm)[..], &["--trials", "1"]].concat()).done();
    let start = |restarts: &str| {
        let mut command = script(&place, "slurm.sh", &["slurm", "--json"]);
        command.env("SLURM_ARRAY_TASK_ID", "1").env("SLURM_RESTART_COUNT", restarts);
        Running::of(command)
    };
    let mut first = start("0");
    first.until("\"event\":\"step\"");
    first.signal("TERM");
    drop(first.ended());
    let journal = String::from_utf8(place.read("slurm/journal.jsonl")).unwrap();
    assert!(journal.contains("\"event\":\"released\""), "{journal}");
    let again = start("1").ended().done();
    assert!(again.contains("\"resumed\":true"), "{again}");
    place.run(&arguments("run", &OPEN)).done();
    assert_eq!(outcome(&status(&place, "slurm")), outcome(&status(&place, "study")));
}

/// The first line of a request and its body.
fn request(stream: &TcpStream) -> (String, String) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).unwrap();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let header = header.trim().to_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (first.trim().to_owned(), String::from_utf8(body).unwrap())
}

fn answer(mut stream: &TcpStream, status: &str, body: &str) {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .unwrap();
}

/// Stands in for the job server of a cluster: takes so many jobs, each a shell with the command in a folder that is not the study's, and
/// gives them with what was asked for.
fn job_server(place: &Workplace, count: usize) -> (String, JoinHandle<Vec<(Value, Child)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let (elsewhere, path) = (place.path("of-the-cluster"), search_path(place));
    std::fs::create_dir(&elsewhere).unwrap();
    let take = move |number: usize| {
        let (stream, _) = listener.accept().unwrap();
        let (first, body) = request(&stream);
        assert_eq!(first, "POST /api/jobs/ HTTP/1.1", "{body}");
        let job: Value = serde_json::from_str(&body).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", job["entrypoint"].as_str().unwrap()]).env("PATH", &path).current_dir(&elsewhere);
        let child = shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let id = format!("raysubmit_{number}");
        answer(&stream, "200 OK", &serde_json::json!({"job_id": id, "submission_id": id}).to_string());
        (job, child)
    };
    (address, std::thread::spawn(move || (0..count).map(take).collect()))
}

#[test]
fn workers_are_jobs_of_the_rest_interface_of_ray_and_share_a_study_whose_folder_has_blanks_and_quotes() {
    if !has_runtime() {
        return;
    }
    let place = Workplace::new();
    place.run(&[&arguments("run", &OPEN)[..], &["--trials", "1"]].concat()).done();
    std::fs::rename(place.path("study"), place.path("ray's study")).unwrap();
    let (address, jobs) = job_server(&place, 2);
    let mut command = script(&place, "ray_rest.sh", &["2", "ray's study", "--lost-after", "600"]);
    let ran = command.env("RAY_API_SERVER_ADDRESS", &address).env("CPUS", "2").env("GPUS", "0").output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.contains("raysubmit_0") && said.contains("raysubmit_1"), "{said}");
    for (job, mut child) in jobs.join().unwrap() {
        let keys: Vec<&String> = job.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["entrypoint", "entrypoint_num_cpus", "entrypoint_num_gpus"], "{job}");
        assert_eq!((&job["entrypoint_num_cpus"], &job["entrypoint_num_gpus"]), (&2.into(), &0.into()));
        assert!(child.wait().unwrap().success(), "{job}");
    }
    let shared = outcome(&status(&place, "ray's study"));
    place.run(&arguments("run", &OPEN)).done();
    assert_eq!(shared, outcome(&status(&place, "study")));
}

#[test]
fn a_cluster_that_refuses_a_job_ends_the_script_with_an_error() {
    let place = Workplace::bare();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let refuse = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        drop(request(&stream));
        answer(&stream, "400 Bad Request", "no");
    });
    std::fs::create_dir(place.path("study")).unwrap();
    let mut command = script(&place, "ray_rest.sh", &["1", "study"]);
    let ran = command.env("RAY_API_SERVER_ADDRESS", &address).output().unwrap();
    let told = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(!ran.status.success() && told.contains("400"), "{told}");
    refuse.join().unwrap();
}

/// A stand-in for Ray that writes what a job would run.
const RAY: &str = "#!/bin/bash\nwhile [ \"$1\" != -- ]; do shift; done\nshift\necho \"$*\" > job.log\n";

#[test]
fn a_study_that_the_cluster_alone_mounts_is_named_as_it_is_and_another_by_its_whole_path() {
    let place = Workplace::bare();
    for folder in ["bin", "study"] {
        std::fs::create_dir(place.path(folder)).unwrap();
    }
    place.write("bin/ray", RAY);
    assert!(Command::new("chmod").arg("+x").arg(place.path("bin/ray")).status().unwrap().success());
    let whole = place.path("").canonicalize().unwrap().join("study");
    for (named, wanted) in [("/of-the-cluster/a study", "/of-the-cluster/a study"), ("study", whole.to_str().unwrap())]
    {
        // a folder that is found by this is printed
        let with_path = |mut command: Command| {
            let ran = command.env("CDPATH", place.path("")).output().unwrap();
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        };
        with_path(script(&place, "ray.sh", &["1", named]));
        let ran = String::from_utf8(place.read("job.log")).unwrap();
        assert_eq!(ran.trim_end(), format!("millstream search worker {wanted}"));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let taken = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let (_, body) = request(&stream);
            answer(&stream, "200 OK", "{}");
            body
        });
        let mut command = script(&place, "ray_rest.sh", &["1", named]);
        command.env("RAY_API_SERVER_ADDRESS", address);
        with_path(command);
        let job: Value = serde_json::from_str(&taken.join().unwrap()).unwrap();
        assert_eq!(job["entrypoint"], format!("exec millstream search worker '{wanted}'"));
    }
}
