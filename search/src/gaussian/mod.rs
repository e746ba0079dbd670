//! A Gaussian process over settings, what it expects to gain, and where it expects most.

mod acquisition;
mod maximization;
mod regression;

pub(crate) use acquisition::Acquisition;
pub(crate) use maximization::{Coordinate, maximize};
pub(crate) use regression::{Kernel, Regression};
