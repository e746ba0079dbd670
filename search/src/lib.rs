//! Hyperparameter search, without any knowledge of models or data.
//!
//! A [`Space`] says what may be chosen, a [`Proposer`] which settings are tried next, a [`StoppingRule`] which trials are not
//! worth going on with, and a [`Study`] keeps what came of them. A [`SharedStudy`] is a study in a file, that several processes
//! work on and that any of them may leave at any moment.
//!
//! Nothing here is global, and nothing depends on the time: what is proposed is a function of the study's seed, the trial's
//! number and what was told until then, so the same study gives the same trials again.
//!
//! ```
//! use millstream_search::{Asked, Catalogs, Objective, Outcome, Space, Study, StudySettings};
//! use serde_json::json;
//!
//! // Any value of a recipe may be left open.
//! let (space, template) = Space::extract(&json!({
//!     "optimizer": {"choose": ["sgd", {"adam": {"beta": {"uniform": [0.8, 0.99]}}}]},
//!     "learning_rate": {"log_uniform": [1e-5, 1e-1]},
//!     "layers": {"integer": [1, 8]},
//! }))?;
//! let settings = StudySettings::new("an example", space, vec![Objective::minimize("loss")]);
//! let mut study = Study::new(settings, &Catalogs::default())?;
//! for _ in 0..20 {
//!     let Asked::Trial(trial) = study.ask()? else { break };
//!     let recipe = template.filled(&trial.assignment)?;
//!     let loss = (recipe["learning_rate"].as_f64().unwrap().log10() + 3.0).powi(2);
//!     study.tell(trial.number, Outcome::complete(loss))?;
//! }
//! let best = study.best().expect("trials were completed");
//! assert!(best.values[0] < 1.0);
//! # Ok::<(), millstream_search::SearchError>(())
//! ```

#![forbid(unsafe_code)]

mod catalogs;
mod error;
mod evolution;
mod gaussian;
pub mod importance;
pub mod journal;
mod numerics;
mod parzen;
pub mod proposers;
mod random;
mod real;
pub mod spaces;
pub mod stopping;
mod study;
mod trials;

pub use catalogs::Catalogs;
pub use error::SearchError;
pub use journal::{SharedStudy, Sharing};
pub use proposers::Proposer;
pub use random::Random;
pub use spaces::{Assignment, Space, Template};
pub use stopping::{Decision, StoppingRule};
pub use study::{Asked, AskedTrial, Outcome, Study, StudySettings};
pub use trials::{ConfidenceInterval, Direction, History, Objective, Trial, TrialState};
