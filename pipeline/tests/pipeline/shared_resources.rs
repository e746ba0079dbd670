//! Streams that share memory and workers: the bytes of each alone, never more held than one ceiling, none waits for another.

use millstream_pipeline::encodings::Encoders;
use millstream_pipeline::{Batches, PipelineError, SharedResources, StreamOptions};
use millstream_schemas::recipe::{ByteSize, OrderStrength};

use crate::corpus::{all, augmentation, damaged, digits, signature};

const MEMORY: ByteSize = ByteSize(1 << 20);

fn options(seed: u64, shared: Option<&SharedResources>) -> StreamOptions {
    let encoders = Encoders::standard(&digits(), None, "label").unwrap();
    let (memory, shared, order) = (MEMORY, shared.cloned(), OrderStrength::Global);
    StreamOptions { seed, memory, shared, order, batch: 8, epochs: 2, ..StreamOptions::new(augmentation(16), encoders) }
}

#[test]
fn streams_that_share_give_the_bytes_of_each_alone_whichever_stands_still() {
    let dataset = digits();
    let alone = [1, 2, 3].map(|seed| {
        let batches = all(&dataset, &options(seed, None)).unwrap();
        batches.iter().map(signature).collect::<Vec<_>>()
    });
    for workers in [1, 3] {
        let shared = SharedResources::new(MEMORY, 3, workers).unwrap();
        let mut streams = [1, 2, 3].map(|seed| Batches::open(&dataset, options(seed, Some(&shared)), None).unwrap());
        let mut got = [const { Vec::new() }; 3];
        // The second is taken from in turns with the third; the first stands still until they have ended.
        for turn in 0.. {
            let ended = got[1].len() == alone[1].len() && got[2].len() == alone[2].len();
            let index = if ended { 0 } else { 1 + usize::from(turn % 3 == 0) };
            match streams[index].next() {
                Some(batch) => got[index].push(signature(&batch.unwrap())),
                None if index == 0 => break,
                None => {}
            }
            assert_eq!(streams[0].counters().workers, workers);
        }
        assert!(got == alone, "{workers} workers");
        assert!((1..=MEMORY.0).contains(&shared.bytes_peak()), "{} bytes", shared.bytes_peak());
        drop(streams);
        assert_eq!(shared.bytes_held(), 0);
    }
}

#[test]
fn a_stream_that_is_dropped_gives_back_all_that_it_held_and_makes_room() {
    let dataset = digits();
    let shared = SharedResources::new(MEMORY, 1, 2).unwrap();
    for taken in [0, 1, 30] {
        let mut stream = Batches::open(&dataset, options(1, Some(&shared)), None).unwrap();
        let monitor = stream.monitor();
        assert_eq!(stream.by_ref().take(taken).filter(Result::is_ok).count(), taken);
        let refused = Batches::open(&dataset, options(2, Some(&shared)), None).unwrap_err();
        assert!(matches!(refused, PipelineError::AllPartsTaken { streams: 1 }), "{refused}");
        drop(stream);
        // The monitor lives on, and keeps nothing.
        assert_eq!((shared.bytes_held(), monitor.counters().batches_waiting), (0, 0));
    }
}

#[test]
fn a_fault_in_one_stream_does_not_touch_another() {
    let folder = tempfile::tempdir().unwrap();
    let (dataset, bad) = (digits(), damaged(folder.path()));
    let alone: Vec<_> = all(&dataset, &options(1, None)).unwrap().iter().map(signature).collect();
    let shared = SharedResources::new(MEMORY, 2, 2).unwrap();
    let encoders = Encoders::standard(&bad, None, "label").unwrap();
    let of_bad = StreamOptions { encoders, ..options(2, Some(&shared)) };
    let good = Batches::open(&dataset, options(1, Some(&shared)), None).unwrap();
    let mut failing = Batches::open(&bad, of_bad, None).unwrap();
    let mut got = Vec::new();
    let mut failed = false;
    for batch in good {
        got.push(signature(&batch.unwrap()));
        failed |= failing.next().is_some_and(|batch| batch.is_err());
    }
    assert!(failed && got == alone);
}

#[test]
fn what_cannot_be_shared_is_told_with_what_would_do() {
    let dataset = digits();
    for (streams, workers, wanted) in [
        (0, 1, "streams: resources are shared by at least one stream"),
        (1, 5000, "workers: 5000 threads; at most 4096"),
    ] {
        let message = SharedResources::new(MEMORY, streams, workers).unwrap_err().to_string();
        assert!(message.contains(wanted), "{message}");
    }
    let mut shared = SharedResources::new(ByteSize(1 << 10), 4, 1).unwrap();
    let other = shared.divided_among(3).unwrap();
    assert_eq!((other.streams(), other.memory(), other.workers()), (3, ByteSize(1 << 10), 1));
    assert!(shared.divided_among(0).is_err());
    let open = |shared: &SharedResources, memory| {
        let options = StreamOptions { memory, ..options(1, Some(shared)) };
        Batches::open(&dataset, options, None)
    };
    let message = open(&shared, MEMORY).unwrap_err().to_string();
    assert!(message.starts_with("streams share 1.0 KiB of memory, less than the 1.0 MiB"), "{message}");
    for _ in 0..3 {
        match open(&shared, ByteSize(1 << 10)).map(drop) {
            Ok(()) => return,
            Err(PipelineError::SharedMemory { ceiling, streams: 4, enough, .. }) => {
                assert!(enough > ceiling);
                shared = SharedResources::new(enough, 4, 1).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("what is asked for is not enough");
}
