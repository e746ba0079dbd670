//! The C library's allocator, set so that memory that was given back leaves the process. Blocks of pages and pixels are made
//! on one thread and dropped on another; as the C library comes, each thread has an arena of its own that keeps them, and
//! the process grows far beyond what the stream counts.
#![expect(unsafe_code, reason = "the C library's allocator is set by a C function")]

use std::env;

/// Threads share so many arenas.
const ARENAS: i32 = 4;
/// Blocks of so many bytes are mapped, and unmapped when they are dropped. By itself the limit rises up to 32 MiB with
/// the blocks that are dropped.
const MAPPED: i32 = 1 << 20;
/// Free bytes at the end of the heap that are kept.
const KEPT: i32 = 8 << 20;

/// Sets the allocator before there is a second thread. What the environment says of it (mallopt(3)) stays.
pub(crate) fn start() {
    if env::var_os("GLIBC_TUNABLES").is_some() {
        return;
    }
    for (name, parameter, value) in [
        ("MALLOC_ARENA_MAX", libc::M_ARENA_MAX, ARENAS),
        ("MALLOC_MMAP_THRESHOLD_", libc::M_MMAP_THRESHOLD, MAPPED),
        ("MALLOC_TRIM_THRESHOLD_", libc::M_TRIM_THRESHOLD, KEPT),
    ] {
        if env::var_os(name).is_none() {
            // SAFETY: mallopt(3) takes any two numbers and sets a parameter; no other thread runs yet.
            unsafe { libc::mallopt(parameter, value) };
        }
    }
}
