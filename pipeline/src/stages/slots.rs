//! One buffer, taken apart so that each thread can write its own part, and put together again without a copy.

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

/// A vector's allocation while parts of it are handed around.
#[derive(Debug)]
struct Allocation {
    start: NonNull<f32>,
    length: usize,
    capacity: usize,
}

// SAFETY: the allocation is plain memory; it is only reached through `Slots`, which do not overlap, and taken back or
// freed only when it is owned alone.
unsafe impl Send for Allocation {}
// SAFETY: as above; a shared reference gives no access to the memory.
unsafe impl Sync for Allocation {}

impl Allocation {
    fn into_vec(self) -> Vec<f32> {
        let whole = ManuallyDrop::new(self);
        // SAFETY: these came from a vector in `Slots::new`, are given back at most once (`self` is consumed and not
        // dropped), and no `Slots` is left that points here, because each holds a count on the `Arc` that `self` was
        // taken out of.
        unsafe { Vec::from_raw_parts(whole.start.as_ptr(), whole.length, whole.capacity) }
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        // SAFETY: as in `into_vec`, which does not run this.
        drop(unsafe { Vec::from_raw_parts(self.start.as_ptr(), self.length, self.capacity) });
    }
}

/// The right to write `from..to` of a buffer. No two of one buffer overlap.
#[derive(Debug)]
pub(crate) struct Slots {
    allocation: Arc<Allocation>,
    from: usize,
    to: usize,
}

impl Slots {
    /// All of a buffer.
    pub(crate) fn new(buffer: Vec<f32>) -> Self {
        let mut buffer = ManuallyDrop::new(buffer);
        let start = NonNull::new(buffer.as_mut_ptr()).expect("a vector's pointer is never null");
        let allocation = Allocation { start, length: buffer.len(), capacity: buffer.capacity() };
        Self { from: 0, to: allocation.length, allocation: Arc::new(allocation) }
    }

    /// Splits off the first `count` floats.
    pub(crate) fn take_front(&mut self, count: usize) -> Self {
        assert!(count <= self.to - self.from, "{count} of {} floats", self.to - self.from);
        let front = Self { allocation: Arc::clone(&self.allocation), from: self.from, to: self.from + count };
        self.from = front.to;
        front
    }

    /// The whole buffer again, once all its parts are given.
    ///
    /// # Panics
    /// If a part is missing or of another buffer.
    pub(crate) fn join(parts: impl IntoIterator<Item = Self>) -> Vec<f32> {
        let mut parts = parts.into_iter();
        let Some(Self { allocation, .. }) = parts.next() else { return Vec::new() };
        for part in parts {
            assert!(Arc::ptr_eq(&allocation, &part.allocation), "parts of two buffers");
        }
        let whole = Arc::into_inner(allocation);
        whole.expect("all parts are given, so nobody else holds the allocation").into_vec()
    }
}

impl Deref for Slots {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `from..to` lies in the allocation, which lives as long as the `Arc`; every float in it is
        // initialized (it was a vector's content); no other `Slots` covers it, so nobody writes it meanwhile.
        unsafe { std::slice::from_raw_parts(self.allocation.start.as_ptr().add(self.from), self.to - self.from) }
    }
}

impl DerefMut for Slots {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`, and `&mut self` excludes other access through this one.
        unsafe { std::slice::from_raw_parts_mut(self.allocation.start.as_ptr().add(self.from), self.to - self.from) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_written_by_threads_make_one_buffer_in_place() {
        let buffer = vec![0.0; 1000];
        let address = buffer.as_ptr();
        let mut rest = Slots::new(buffer);
        let parts: Vec<_> = (0..10).map(|_| rest.take_front(100)).collect();
        let threads: Vec<_> = parts
            .into_iter()
            .enumerate()
            .map(|(index, mut part)| {
                std::thread::spawn(move || {
                    part.fill(index as f32);
                    part
                })
            })
            .collect();
        let parts = threads.into_iter().map(|thread| thread.join().unwrap());
        let joined = Slots::join(parts.chain([rest]));
        assert_eq!(joined.as_ptr(), address);
        assert!(joined.iter().enumerate().all(|(index, &value)| value == (index / 100) as f32));
    }

    #[test]
    fn dropped_parts_free_the_buffer_and_empty_ones_are_fine() {
        let mut rest = Slots::new(vec![1.0; 8]);
        let front = rest.take_front(4);
        drop(rest);
        assert_eq!(&*front, [1.0; 4]);
        assert!(Slots::join([Slots::new(Vec::new())]).is_empty());
    }

    #[test]
    #[should_panic(expected = "nobody else")]
    fn a_missing_part_is_noticed() {
        let mut rest = Slots::new(vec![1.0; 8]);
        let _front = rest.take_front(4);
        Slots::join([rest]);
    }

    #[test]
    #[should_panic(expected = "9 of 8")]
    fn more_than_there_is_cannot_be_taken() {
        Slots::new(vec![1.0; 8]).take_front(9);
    }
}
