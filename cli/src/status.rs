//! Where a run is, in one line of any width.

use millstream::recipes::Event;
use millstream::schemas::{count, decimal, grouped};

use crate::terminal::{columns, start};

/// Where a run is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Status {
    /// Number from 1, and how many there are.
    epoch: Option<(u64, u64)>,
    doing: Doing,
    rows_per_second: f64,
    seconds_left: f64,
}

#[derive(Clone, Debug, PartialEq)]
enum Doing {
    Training { step: u64, total: u64, mean_loss: f64, batches_waiting: usize },
    Evaluating { rows: u64, total: u64 },
    Importing { doing: &'static str, rows: u64, total: u64 },
    Reestimating { rows: u64, total: u64 },
    Trying { step: u64, total: u64, learning_rate: f64, loss: f64 },
}

/// A part of the line, and how little it matters: the highest goes first.
struct Part(u8, String);

const BETWEEN: &str = "  ";
const BAR: std::ops::RangeInclusive<usize> = 8..=30;

impl Status {
    /// None for what is no progress, and for a step of a run that has not said how many there are (`total_steps` is 0): the one of a
    /// dry run is told by its result.
    pub(crate) fn of(event: &Event, total_steps: u64) -> Option<Self> {
        Some(match event {
            Event::Step { .. } if total_steps == 0 => return None,
            Event::Step {
                step, epoch, epochs, mean_loss, samples_per_second, batches_waiting, seconds_left, ..
            } => Self {
                epoch: Some((*epoch, *epochs)),
                doing: Doing::Training {
                    step: *step,
                    total: total_steps,
                    mean_loss: *mean_loss,
                    batches_waiting: *batches_waiting,
                },
                rows_per_second: *samples_per_second,
                seconds_left: *seconds_left,
            },
            Event::Evaluating { epoch, epochs, rows, total, samples_per_second, seconds_left } => Self {
                epoch: epoch.zip(*epochs),
                doing: Doing::Evaluating { rows: *rows, total: *total },
                rows_per_second: *samples_per_second,
                seconds_left: *seconds_left,
            },
            Event::Importing { doing, rows, total, rows_per_second, seconds_left, .. } => Self {
                epoch: None,
                doing: Doing::Importing { doing, rows: *rows, total: *total },
                rows_per_second: *rows_per_second,
                seconds_left: *seconds_left,
            },
            Event::Reestimating { rows, total, samples_per_second, seconds_left } => Self {
                epoch: None,
                doing: Doing::Reestimating { rows: *rows, total: *total },
                rows_per_second: *samples_per_second,
                seconds_left: *seconds_left,
            },
            Event::Tried { step, steps, learning_rate, loss, samples_per_second, seconds_left } => Self {
                epoch: None,
                doing: Doing::Trying { step: *step, total: *steps, learning_rate: *learning_rate, loss: *loss },
                rows_per_second: *samples_per_second,
                seconds_left: *seconds_left,
            },
            _ => return None,
        })
    }

    pub(crate) fn is_evaluation(&self) -> bool {
        matches!(self.doing, Doing::Evaluating { .. } | Doing::Reestimating { .. })
    }

    /// In so many columns at most: what matters least is left out first.
    pub(crate) fn line(&self, most: usize) -> String {
        let parts = self.parts();
        let mut order: Vec<usize> = (0..parts.len()).collect();
        order.sort_by_key(|index| parts[*index].0);
        let mut taken = Vec::new();
        let mut used = 0;
        for index in order {
            let wide = columns(&parts[index].1) + if taken.is_empty() { 0 } else { BETWEEN.len() };
            if used + wide > most {
                break;
            }
            used += wide;
            taken.push(index);
        }
        if taken.is_empty() {
            let most_important = parts.iter().min_by_key(|part| part.0).map_or("", |part| &part.1);
            return start(most_important, most).to_owned();
        }
        let whole = taken.len() == parts.len();
        let mut room = if whole { most.saturating_sub(used) } else { 0 };
        taken.sort_unstable();
        let mut texts: Vec<String> = taken.into_iter().map(|index| parts[index].1.clone()).collect();
        // The numbers say the same: a bar takes what they leave.
        if room >= *BAR.start() + BETWEEN.len() {
            let wide = (room - BETWEEN.len()).min(*BAR.end());
            texts.insert(usize::from(self.epoch.is_some()), self.bar(wide));
            room -= wide + BETWEEN.len();
        }
        if let Some(waiting) = self.waiting().filter(|waiting| columns(waiting) + BETWEEN.len() <= room) {
            texts.push(waiting);
        }
        texts.join(BETWEEN)
    }

    /// All of it, for a log.
    pub(crate) fn sentence(&self) -> String {
        self.parts().into_iter().map(|part| part.1).chain(self.waiting()).collect::<Vec<_>>().join(", ")
    }

    fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        if let Some((epoch, epochs)) = self.epoch {
            parts.push(Part(0, format!("epoch {epoch}/{epochs}")));
        }
        match self.doing {
            Doing::Training { step, total, mean_loss, .. } => {
                parts.push(Part(4, format!("{}/{} steps", grouped(step), grouped(total))));
                parts.push(Part(1, format!("loss {}", decimal(mean_loss))));
            }
            Doing::Evaluating { rows, total } => {
                parts.push(Part(1, format!("evaluated {}/{} rows", grouped(rows), grouped(total))));
            }
            Doing::Importing { doing, rows, total } => {
                parts.push(Part(1, format!("{doing} {}/{} rows", grouped(rows), grouped(total))));
            }
            Doing::Reestimating { rows, total } => {
                parts.push(Part(1, format!("statistics of {}/{} rows", grouped(rows), grouped(total))));
            }
            Doing::Trying { step, total, learning_rate, loss } => {
                parts.push(Part(1, format!("{}/{} steps", grouped(step), grouped(total))));
                parts.push(Part(2, format!("learning rate {learning_rate:.1e}")));
                parts.push(Part(3, format!("loss {}", decimal(loss))));
            }
        }
        // before anything is done nobody knows
        if self.progress().0 > 0 || self.seconds_left > 0.0 {
            parts.push(Part(3, format!("{} rows/s", rate(self.rows_per_second))));
            parts.push(Part(2, format!("{} left", duration(self.seconds_left))));
        }
        parts
    }

    fn waiting(&self) -> Option<String> {
        let Doing::Training { batches_waiting, .. } = self.doing else { return None };
        Some(format!("{} waiting", count(batches_waiting, "batch")))
    }

    /// Steps or rows, and how many there will be.
    fn progress(&self) -> (u64, u64) {
        match self.doing {
            Doing::Training { step, total, .. } | Doing::Trying { step, total, .. } => (step, total),
            Doing::Evaluating { rows, total }
            | Doing::Importing { rows, total, .. }
            | Doing::Reestimating { rows, total } => (rows, total),
        }
    }

    fn bar(&self, wide: usize) -> String {
        let (done, total) = self.progress();
        let inside = wide.saturating_sub(2);
        let full = (inside as f64 * done as f64 / total.max(1) as f64) as usize;
        // Plain letters: others are of two columns on some terminals.
        format!("[{}{}]", "=".repeat(full.min(inside)), " ".repeat(inside.saturating_sub(full)))
    }
}

/// `812`, `8.1`: three digits are enough for what changes all the time.
fn rate(rows: f64) -> String {
    if rows < 100.0 { format!("{rows:.1}") } else { grouped(rows.round() as u64) }
}

/// `1:02:03`, `2:03`, `3 s`.
fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}"),
        (hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn training() -> Status {
        Status {
            epoch: Some((2, 5)),
            doing: Doing::Training { step: 340, total: 1000, mean_loss: 0.43121, batches_waiting: 3 },
            rows_per_second: 812.3,
            seconds_left: 200.0,
        }
    }

    fn evaluating(epoch: Option<(u64, u64)>) -> Status {
        Status {
            epoch,
            doing: Doing::Evaluating { rows: 2500, total: 5000 },
            rows_per_second: 45.12,
            seconds_left: 3725.0,
        }
    }

    #[test]
    fn a_narrow_line_says_what_matters_most() {
        for (status, most, wanted) in [
            (training(), 5, "epoch"),
            (training(), 20, "epoch 2/5"),
            (training(), 39, "epoch 2/5  loss 0.4312  3:20 left"),
            (training(), 59, "epoch 2/5  loss 0.4312  812 rows/s  3:20 left"),
            (training(), 79, "epoch 2/5  [====         ]  340/1,000 steps  loss 0.4312  812 rows/s  3:20 left"),
            (
                training(),
                199,
                "epoch 2/5  [=========                   ]  340/1,000 steps  loss 0.4312  812 rows/s  3:20 left  3 batches waiting",
            ),
            (evaluating(Some((1, 5))), 39, "epoch 1/5  evaluated 2,500/5,000 rows"),
            (evaluating(None), 59, "evaluated 2,500/5,000 rows  45.1 rows/s  1:02:05 left"),
            (evaluating(None), 79, "[===========           ]  evaluated 2,500/5,000 rows  45.1 rows/s  1:02:05 left"),
        ] {
            let line = status.line(most);
            assert_eq!(line, wanted, "{most}");
            assert!(columns(&line) <= most, "{line}");
        }
    }

    #[test]
    fn nothing_is_said_to_be_left_before_anything_is_done() {
        let begun = |rows, seconds_left| Status {
            epoch: None,
            doing: Doing::Importing { doing: "writing", rows, total: 48 },
            rows_per_second: 0.0,
            seconds_left,
        };
        assert_eq!(begun(0, 0.0).sentence(), "writing 0/48 rows");
        assert_eq!(begun(24, 1.0).sentence(), "writing 24/48 rows, 0.0 rows/s, 1 s left");
    }

    #[test]
    fn a_step_of_a_run_of_unknown_length_is_not_one_of_none() {
        let step = Event::Step {
            step: 1,
            epoch: 1,
            epochs: 8,
            loss: 1.1,
            mean_loss: 1.1,
            learning_rate: 0.01,
            samples_per_second: 8.0,
            batches_waiting: 2,
            seconds_left: 0.0,
        };
        assert_eq!(Status::of(&step, 0), None);
        let told = Status::of(&step, 16).map(|status| status.sentence()).unwrap_or_default();
        assert!(told.starts_with("epoch 1/8, 1/16 steps, loss 1.1"), "{told}");
    }

    #[test]
    fn no_width_and_no_number_makes_a_line_too_long() {
        let mut odd = training();
        odd.doing = Doing::Training { step: u64::MAX, total: 0, mean_loss: f64::NAN, batches_waiting: usize::MAX };
        (odd.rows_per_second, odd.seconds_left) = (f64::INFINITY, f64::INFINITY);
        for status in [training(), odd, evaluating(None)] {
            for most in 0..250 {
                assert!(columns(&status.line(most)) <= most);
            }
        }
    }
}
