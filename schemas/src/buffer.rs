//! The memory of tensors: aligned, and back to its pool when it is dropped.
#![expect(unsafe_code, reason = "memory of a stated alignment, and its parts written by several threads at once")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Bytes that every buffer's start is a multiple of: a cache line, and the widest vector registers.
pub const ALIGNMENT: usize = 64;

/// What buffers can hold: plain numbers, every bit pattern of which is a value.
pub trait Element: Copy + Default + PartialEq + fmt::Debug + Send + Sync + 'static + sealed::Sealed {}

mod sealed {
    pub trait Sealed {}
}

macro_rules! elements {
    ($($number:ty)*) => { $(impl sealed::Sealed for $number {} impl Element for $number {})* };
}
elements!(f32 f64 u8 u16 i32 i64);

/// Memory without a type.
struct Allocation {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it is plain memory that it alone owns.
unsafe impl Send for Allocation {}
// SAFETY: a shared reference gives no access to the memory.
unsafe impl Sync for Allocation {}

impl Allocation {
    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes.max(1), ALIGNMENT).expect("buffers are smaller than the address space")
    }

    fn zeroed(bytes: usize) -> Self {
        let layout = Self::layout(bytes);
        // SAFETY: the layout has a size above 0.
        let start = unsafe { alloc_zeroed(layout) };
        Self { start: NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout)), bytes }
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout, and nobody else frees it.
        unsafe { dealloc(self.start.as_ptr(), Self::layout(self.bytes)) }
    }
}

/// Buffers that are free to be used again: fresh memory costs a page fault for every 4 KiB.
#[derive(Clone, Default)]
pub struct BufferPool(Arc<Shelves>);

#[derive(Default)]
struct Shelves {
    /// Buffers of each length that are kept.
    most: usize,
    /// By bytes.
    free: Mutex<BTreeMap<usize, Vec<Allocation>>>,
}

impl BufferPool {
    /// Keeps at most `most` free buffers of each length.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Shelves { most, free: Mutex::default() }))
    }

    /// A buffer with any content, which comes back when it is dropped.
    pub fn take<T: Element>(&self, length: usize) -> Buffer<T> {
        let bytes = length.checked_mul(size_of::<T>()).expect("buffers are smaller than the address space");
        let mut free = self.0.free.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = free.get_mut(&bytes).and_then(Vec::pop);
        drop(free);
        let allocation = kept.unwrap_or_else(|| Allocation::zeroed(bytes));
        Buffer {
            allocation: Some(allocation),
            length,
            home: Arc::downgrade(&self.0),
            element: std::marker::PhantomData,
        }
    }

    /// Free buffers.
    pub fn kept(&self) -> usize {
        self.0.free.lock().unwrap_or_else(PoisonError::into_inner).values().map(Vec::len).sum()
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool").field("most", &self.0.most).field("kept", &self.kept()).finish()
    }
}

/// Numbers in memory that is aligned to [`ALIGNMENT`]. One from a [`BufferPool`] goes back to it when it is dropped.
pub struct Buffer<T: Element> {
    /// `None` only while it is dropped.
    allocation: Option<Allocation>,
    length: usize,
    home: Weak<Shelves>,
    element: std::marker::PhantomData<T>,
}

impl<T: Element> Buffer<T> {
    /// Zeros, of no pool.
    pub fn zeros(length: usize) -> Self {
        BufferPool::default().take(length)
    }

    fn start(&self) -> NonNull<T> {
        self.allocation.as_ref().expect("taken out only when it is dropped").start.cast()
    }
}

impl<T: Element> Drop for Buffer<T> {
    fn drop(&mut self) {
        let (Some(allocation), Some(home)) = (self.allocation.take(), self.home.upgrade()) else { return };
        let mut free = home.free.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = free.entry(allocation.bytes).or_default();
        if kept.len() < home.most {
            kept.push(allocation);
        }
    }
}

impl<T: Element> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the allocation holds `length` elements, aligned, initialized (zeroed when new, written as numbers since),
        // and every bit pattern is a value of an `Element`; `&self` keeps writers out.
        unsafe { std::slice::from_raw_parts(self.start().as_ptr(), self.length) }
    }
}

impl<T: Element> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `&mut self` excludes other access.
        unsafe { std::slice::from_raw_parts_mut(self.start().as_ptr(), self.length) }
    }
}

impl<T: Element> From<&[T]> for Buffer<T> {
    fn from(values: &[T]) -> Self {
        let mut buffer = Self::zeros(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

impl<T: Element> From<Vec<T>> for Buffer<T> {
    fn from(values: Vec<T>) -> Self {
        values.as_slice().into()
    }
}

impl<T: Element> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        (**self).into()
    }
}

impl<T: Element> PartialEq for Buffer<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Element> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// The right to write a part of a buffer, on any thread. No two parts of one buffer overlap, and together they become the
/// buffer again, without a copy.
pub struct BufferPart<T: Element> {
    whole: Arc<Parted<T>>,
    from: usize,
    to: usize,
}

/// A buffer while its parts are handed around.
struct Parted<T: Element>(Buffer<T>);

impl<T: Element> BufferPart<T> {
    /// All of a buffer.
    pub fn whole(buffer: Buffer<T>) -> Self {
        Self { from: 0, to: buffer.length, whole: Arc::new(Parted(buffer)) }
    }

    /// Splits off the first `count` elements.
    ///
    /// # Panics
    /// If there are not as many.
    #[must_use]
    pub fn take_front(&mut self, count: usize) -> Self {
        assert!(count <= self.to - self.from, "{count} of {} elements", self.to - self.from);
        let front = Self { whole: Arc::clone(&self.whole), from: self.from, to: self.from + count };
        self.from = front.to;
        front
    }

    /// The whole buffer again, once all its parts are given; `None` without parts.
    ///
    /// # Panics
    /// If a part is missing or of another buffer.
    pub fn join(parts: impl IntoIterator<Item = Self>) -> Option<Buffer<T>> {
        let mut parts = parts.into_iter();
        let Self { whole, .. } = parts.next()?;
        for part in parts {
            assert!(Arc::ptr_eq(&whole, &part.whole), "parts of two buffers");
        }
        Some(Arc::into_inner(whole).expect("all parts are given, so nobody else holds the buffer").0)
    }
}

impl<T: Element> Deref for BufferPart<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `from..to` lies in the buffer, which lives as long as the `Arc`; its elements are initialized; no other
        // part covers it, so nobody writes it meanwhile, and the buffer itself is out of reach until all parts are given.
        unsafe { std::slice::from_raw_parts(self.whole.0.start().as_ptr().add(self.from), self.to - self.from) }
    }
}

impl<T: Element> DerefMut for BufferPart<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `&mut self` excludes other access through this part.
        unsafe { std::slice::from_raw_parts_mut(self.whole.0.start().as_ptr().add(self.from), self.to - self.from) }
    }
}

impl<T: Element> fmt::Debug for BufferPart<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BufferPart({}..{})", self.from, self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_written_by_threads_make_one_buffer_in_place() {
        let buffer = Buffer::<f32>::zeros(1000);
        let address = buffer.as_ptr();
        assert_eq!(address as usize % ALIGNMENT, 0);
        let mut rest = BufferPart::whole(buffer);
        let parts: Vec<_> = (0..10).map(|_| rest.take_front(100)).collect();
        let threads = parts.into_iter().enumerate().map(|(index, mut part)| {
            std::thread::spawn(move || {
                part.fill(index as f32);
                part
            })
        });
        let threads: Vec<_> = threads.collect();
        let parts = threads.into_iter().map(|thread| thread.join().unwrap());
        let joined = BufferPart::join(parts.chain([rest])).unwrap();
        assert_eq!(joined.as_ptr(), address);
        assert!(joined.iter().enumerate().all(|(index, &value)| value == (index / 100) as f32));
    }

    #[test]
    fn a_buffer_comes_back_to_its_pool_when_it_is_dropped_and_no_more_than_are_kept() {
        let pool = BufferPool::new(2);
        let buffers = [(); 3].map(|()| pool.take::<i64>(16));
        let address = buffers[0].as_ptr();
        drop(buffers);
        assert_eq!(pool.kept(), 2);
        // Of another type and the same bytes.
        let again = [pool.take::<f32>(32), pool.take::<f32>(32)];
        assert!(again.iter().any(|buffer| buffer.as_ptr().cast() == address));
        assert_eq!(pool.kept(), 0);
        let held = again[0].clone();
        drop(pool);
        drop(again);
        assert_eq!(held.len(), 32);
    }

    #[test]
    fn dropped_parts_free_the_buffer_and_empty_ones_are_fine() {
        let pool = BufferPool::new(1);
        let mut rest = BufferPart::whole(pool.take::<f32>(8));
        rest.fill(1.0);
        let front = rest.take_front(4);
        drop(rest);
        assert_eq!((&*front, pool.kept()), (&[1.0; 4][..], 0));
        drop(front);
        assert_eq!(pool.kept(), 1);
        assert!(BufferPart::join([BufferPart::whole(Buffer::<u8>::zeros(0))]).unwrap().is_empty());
        assert!(BufferPart::<u8>::join([]).is_none());
    }

    #[test]
    #[should_panic(expected = "nobody else")]
    fn a_missing_part_is_noticed() {
        let mut rest = BufferPart::whole(Buffer::<f32>::zeros(8));
        let _front = rest.take_front(4);
        BufferPart::join([rest]);
    }

    #[test]
    #[should_panic(expected = "9 of 8")]
    fn more_than_there_is_cannot_be_taken() {
        let _part = BufferPart::whole(Buffer::<f32>::zeros(8)).take_front(9);
    }
}
