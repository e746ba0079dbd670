//! The crate as its users see it.

mod exactness;
mod extension;
mod functions;
mod killing;
mod quality;
mod rules;
mod sharing;
