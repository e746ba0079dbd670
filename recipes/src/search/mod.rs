//! A search: many trials of a recipe that leaves values open, each of them a run.
//!
//! [`OpenRecipe`] is such a recipe, [`run()`] begins a study of it in a [`StudyFolder`], [`resume`] goes on with one, alone or beside
//! other processes. [`status`] says how far it is, [`retry`] lets what has failed be tried again, [`best`] writes the recipe of the winner, [`refit`] trains it on all rows.

mod about;
mod best;
mod figures;
mod first_fingerprints;
pub(crate) mod folds;
mod interval;
mod open_recipe;
mod page;
mod parts;
mod pool;
mod resource;
mod results;
mod retry;
mod room_together;
mod same_data;
mod same_measure;
mod same_recipe;
mod search_event;
mod setting_words;
mod short_names;
mod status;
mod study_folder;
mod trial;
mod trial_run;
mod work;
mod workers;

pub(crate) use figures::{SECONDS, is_cost};
pub(crate) use folds::sources as fold_sources;
pub(crate) use parts::names as run_names;
pub(crate) use pool::Pool;
pub(crate) use results::finished;
pub(crate) use setting_words::LONGEST_SETTING;

pub use about::StudyAbout;
pub use best::{BestReport, best, refit};
pub use figures::{shown_figure, shown_figure_interval, shown_figure_with_interval};
pub use folds::FoldSource;
pub use millstream_search::journal::{csv, optuna};
pub use open_recipe::OpenRecipe;
pub use retry::retry;
pub use same_data::StudyDifference;
pub use search_event::{SearchEvent, SearchEvents};
pub use setting_words::{alternative_in_words, left_open_in_words, setting_in_words, whole_setting};
pub use short_names::short_names;
pub use status::{StudyReport, TrialReport, status, study};
pub use study_folder::StudyFolder;
pub use trial_run::TrialRun;
pub use work::{SearchOptions, SearchSummary, resume, run};
