//! The crate as its users see it.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod exactness;
mod extension;
mod functions;
mod killing;
mod quality;
mod rules;
mod sharing;
