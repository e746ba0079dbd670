//! Equal streams that run at the same time: each batch once, for each taker the bits that it has alone, whoever stands still, ends, or is
//! behind.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use millstream_pipeline::encodings::Encoders;
use millstream_pipeline::{Batches, JointBatches, JointCounts, JointStreams, SharedResources, StreamOptions};
use millstream_schemas::recipe::{ByteSize, DamagedPolicy, OrderStrength};
use millstream_schemas::{Batch, ResumePoint};

use crate::corpus::{all, augmentation, damaged, digits, signature};

const MEMORY: ByteSize = ByteSize(4 << 20);
/// Longer than any test takes: nobody loses its place on a machine that is busy with other things, and a wait that should not be
/// never ends.
const PATIENT: Duration = Duration::from_secs(100_000);

fn patient() -> JointStreams {
    JointStreams::with_patience(PATIENT)
}

fn options(seed: u64, shared: Option<&SharedResources>) -> StreamOptions {
    let encoders = Encoders::standard(&digits(), None, "label").unwrap();
    let (memory, shared, order) = (MEMORY, shared.cloned(), OrderStrength::Global);
    StreamOptions { seed, memory, shared, order, batch: 8, epochs: 3, ..StreamOptions::new(augmentation(16), encoders) }
}

fn shared(streams: usize) -> SharedResources {
    SharedResources::new(ByteSize(MEMORY.0 * streams as u64), streams, 2).unwrap()
}

fn signatures(
    batches: impl Iterator<Item = Result<Batch, millstream_pipeline::PipelineError>>,
) -> Vec<(Vec<String>, Vec<u32>)> {
    batches.map(|batch| signature(&batch.unwrap())).collect()
}

#[test]
fn takers_of_any_pace_have_the_bits_of_each_alone_and_equal_streams_are_one() {
    let dataset = digits();
    let alone: Vec<_> = all(&dataset, &options(1, None)).unwrap().iter().map(signature).collect();
    let other: Vec<_> = all(&dataset, &options(2, None)).unwrap().iter().map(signature).collect();
    let (joint, shared, together) = (patient(), shared(4), Barrier::new(4));
    let got = std::thread::scope(|scope| {
        let takers = [(1, 0), (1, 1), (1, 3), (2, 1)].map(|(seed, pause)| {
            let (joint, shared, dataset, together) = (&joint, &shared, &dataset, &together);
            scope.spawn(move || {
                let batches = JointBatches::open(Some(joint), dataset, options(seed, Some(shared)), None).unwrap();
                together.wait();
                let slow = batches.inspect(|_| std::thread::sleep(Duration::from_millis(pause)));
                signatures(slow)
            })
        });
        takers.map(|taker| taker.join().unwrap())
    });
    assert!(got[..3].iter().all(|got| *got == alone) && got[3] == other);
    assert_eq!(joint.counts(), JointCounts { opened: 2, joined: 2, left: 0 });
    assert!(shared.bytes_peak() <= shared.memory().0, "{} bytes", shared.bytes_peak());
    assert_eq!(shared.bytes_held(), 0);
}

#[test]
fn streams_of_other_numbers_of_epochs_share_those_that_they_have_in_common() {
    let dataset = digits();
    let of = |epochs: u64, shared: Option<&SharedResources>| StreamOptions { epochs, ..options(1, shared) };
    let alone = |epochs: u64| -> Vec<_> { all(&dataset, &of(epochs, None)).unwrap().iter().map(signature).collect() };
    // epochs of each in the order in which they are opened; streams that are opened, and places in them
    for (epochs, opened, joined) in [(&[3, 1, 2][..], 1, 2), (&[1, 3, 3], 2, 3), (&[1, 2, 4], 3, 3)] {
        let (joint, shared) = (patient(), shared(epochs.len()));
        let open = |epochs: &u64| JointBatches::open(Some(&joint), &dataset, of(*epochs, Some(&shared)), None).unwrap();
        let mut streams: Vec<JointBatches> = epochs.iter().map(open).collect();
        let mut got: Vec<Vec<_>> = epochs.iter().map(|_| Vec::new()).collect();
        // a batch each in turn, so that none falls behind
        while streams.iter_mut().zip(&mut got).fold(false, |goes_on, (stream, got)| {
            let batch = stream.next().map(|batch| signature(&batch.unwrap()));
            let has_more = batch.is_some();
            got.extend(batch);
            goes_on || has_more
        }) {}
        for (epochs, got) in epochs.iter().zip(&got) {
            assert!(*got == alone(*epochs), "{epochs} epochs");
        }
        assert_eq!(joint.counts(), JointCounts { opened, joined, left: 0 }, "{epochs:?}");
        // one that has all that it wanted holds nobody up while it is still there
        drop(streams);
        assert_eq!(shared.bytes_held(), 0);
    }
    let (joint, shared) = (patient(), shared(2));
    let open = |epochs| JointBatches::open(Some(&joint), &dataset, of(epochs, Some(&shared)), None).unwrap();
    let (mut short, mut long) = (open(1), open(3));
    let first = alone(1).len();
    let mut got = Vec::new();
    for batch in short.by_ref() {
        batch.unwrap();
        got.extend(signatures(long.by_ref().take(1)));
    }
    // without a wait for the one that has had its only epoch
    got.extend(signatures(long));
    assert!(got == alone(3) && got.len() == 3 * first);
    // and goes on where it is resumed
    let batches = all(&dataset, &of(3, None)).unwrap();
    let resumed = JointBatches::open(Some(&joint), &dataset, of(3, Some(&shared)), Some(&batches[first].resume));
    assert!(signatures(resumed.unwrap()) == alone(3)[first + 1..]);
}

#[test]
fn one_that_stands_still_holds_nobody_up_for_long_and_goes_on_alone_to_the_same_bits() {
    let dataset = digits();
    let alone: Vec<_> = all(&dataset, &options(1, None)).unwrap().iter().map(signature).collect();
    for taken in [0, 3] {
        let (joint, shared) = (patient(), shared(2));
        let open = || JointBatches::open(Some(&joint), &dataset, options(1, Some(&shared)), None).unwrap();
        let (mut slow, quick) = (open(), open());
        let mut got = signatures(slow.by_ref().take(taken));
        // in this very thread nothing would come of waiting
        assert!(signatures(quick) == alone);
        assert!(slow.is_joint());
        got.extend(signatures(slow.by_ref()));
        assert!(got == alone && !slow.is_joint());
        assert_eq!(joint.counts(), JointCounts { opened: 1, joined: 1, left: 1 });
        assert_eq!(slow.counters().batches as usize, alone.len());
        assert_eq!(slow.counters().rows, 3 * dataset.rows());
    }
    // another thread's is waited for, and not for ever
    let patience = Duration::from_millis(300);
    let (joint, shared) = (JointStreams::with_patience(patience), shared(2));
    let open = || JointBatches::open(Some(&joint), &dataset, options(1, Some(&shared)), None).unwrap();
    let began = Instant::now();
    let mut still = open();
    let got = std::thread::scope(|scope| scope.spawn(|| signatures(open())).join().unwrap());
    assert!(got == alone && began.elapsed() >= patience, "{:?}", began.elapsed());
    assert!(signatures(still.by_ref()) == alone);
    assert_eq!(joint.counts(), JointCounts { opened: 1, joined: 1, left: 1 });
}

#[test]
fn one_that_ends_early_leaves_the_others_alone_and_one_that_comes_late_or_resumes_has_a_stream_of_its_own() {
    let dataset = digits();
    let batches = all(&dataset, &options(1, None)).unwrap();
    let alone: Vec<_> = batches.iter().map(signature).collect();
    let (joint, shared) = (JointStreams::default(), shared(4));
    let open = |from: Option<&ResumePoint>| {
        JointBatches::open(Some(&joint), &dataset, options(1, Some(&shared)), from).unwrap()
    };
    let (mut first, mut second) = (open(None), open(None));
    assert!(signatures(first.by_ref().take(2)) == alone[..2]);
    assert!(signatures(second.by_ref().take(1)) == alone[..1]);
    drop(first);
    let mut got = signatures(second.by_ref().take(20));
    let resumed = open(Some(&batches[4].resume));
    assert!(signatures(resumed) == alone[5..]);
    let late = open(None);
    assert!(signatures(late) == alone);
    got.extend(signatures(second));
    assert!(got == alone[1..]);
    let JointCounts { opened, joined, .. } = joint.counts();
    assert!(opened >= 2 && joined >= 1 && opened + joined == 4, "{:?}", joint.counts());
    assert_eq!(shared.bytes_held(), 0);
}

#[test]
fn a_damaged_row_is_each_takers_own_fault_or_note() {
    let folder = tempfile::tempdir().unwrap();
    let bad = damaged(folder.path());
    let (joint, shared) = (JointStreams::default(), shared(2));
    let encoders = Encoders::standard(&bad, None, "label").unwrap();
    let of =
        |damaged: DamagedPolicy| StreamOptions { encoders: encoders.clone(), damaged, ..options(2, Some(&shared)) };
    let open = |damaged| JointBatches::open(Some(&joint), &bad, of(damaged), None).unwrap();
    let mut alone = Batches::open(&bad, StreamOptions { shared: None, ..of(DamagedPolicy::Fail) }, None).unwrap();
    let wanted = alone.find_map(Result::err).unwrap().to_string();
    let mut failing = [open(DamagedPolicy::Fail), open(DamagedPolicy::Fail)];
    for failing in &mut failing {
        assert_eq!(failing.find_map(Result::err).unwrap().to_string(), wanted);
        assert!(failing.next().is_none());
    }
    drop(failing);
    let notes = ["a.jsonl", "b.jsonl"].map(|name| folder.path().join(name));
    let noting = notes.each_ref().map(|path| open(DamagedPolicy::Quarantine(Some(path.clone()))));
    let counts = noting.map(|mut noting| {
        assert!(noting.by_ref().all(|batch| batch.is_ok()));
        assert!(noting.first_unreadable().is_some());
        let counters = noting.counters();
        (counters.rows, counters.skipped, counters.damaged_rows)
    });
    assert!(counts[0] == counts[1] && counts[0].2 > 0, "{counts:?}");
    let [first, second] = notes.map(|path| std::fs::read_to_string(path).unwrap());
    assert!(first == second && first.lines().count() as u64 == counts[0].2, "{first}");
}

#[test]
fn without_room_for_more_batches_each_has_a_stream_of_its_own() {
    let dataset = digits();
    let alone: Vec<_> = all(&dataset, &options(1, None)).unwrap().iter().map(signature).collect();
    // room for two batches and a unit of rows, and no more
    let mut memory = ByteSize(1 << 10);
    let (joint, shared) = loop {
        let shared = SharedResources::new(memory, 1, 1).unwrap();
        let small = StreamOptions { memory: ByteSize(1 << 10), ..options(1, Some(&shared)) };
        match Batches::open(&dataset, small, None) {
            Ok(_) => break (JointStreams::default(), shared),
            Err(_) => memory = ByteSize(memory.0 + memory.0 / 8),
        }
    };
    let small = StreamOptions { memory: ByteSize(1 << 10), ..options(1, Some(&shared)) };
    let batches = JointBatches::open(Some(&joint), &dataset, small.clone(), None);
    // images that are too large for so little are an error of each alike
    match batches.map(|batches| batches.collect::<Result<Vec<_>, _>>()) {
        Ok(Ok(batches)) => assert!(batches.iter().map(signature).collect::<Vec<_>>() == alone),
        Ok(Err(error)) | Err(error) => {
            let alone = Batches::open(&dataset, small, None).unwrap().find_map(Result::err).unwrap();
            assert_eq!(error.to_string(), alone.to_string());
        }
    }
}
