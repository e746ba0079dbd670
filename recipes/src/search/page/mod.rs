//! The page of a study: one file that names no other. What a mark stands for is told where a pointer rests on it.

mod axis;
mod contour;
mod coordinates;
mod front;
mod history;
mod importance;
mod marks;
mod plot;
mod slices;
mod table;

use millstream_schemas::{count, shown};

use super::setting_words::left_open_in_words;
use super::status::StudyReport;
use plot::escaped;

const STYLE: &str = include_str!("style.css");

/// The page as text.
pub(crate) fn render(study: &StudyReport) -> String {
    let name = escaped(&shown(&study.name));
    let panels = [
        history::history(study),
        history::intermediate(study),
        importance::render(study),
        front::render(study),
        coordinates::render(study),
    ];
    let panels: String =
        panels.into_iter().flatten().chain(slices::render(study)).chain(contour::render(study)).collect();
    let wanted = count(study.wanted.max(study.trials.len() as u64), "trial");
    let runs =
        if study.runs > 1 { format!(", each the mean of {}", count(study.runs as u64, "run")) } else { String::new() };
    let said = format!(
        "{} of {wanted} finished{runs}; {}; proposed by {}",
        study.finished(),
        left_open_in_words(study.parameters.len(), &study.size),
        study.proposer
    );
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{name}</title>\n<style>\n{STYLE}</style></head>\n<body>\n<h1>{name}</h1>\n<p class=\"soft\">{}</p>\n\
         {}{}{}{}{}{}<div class=\"grid\">\n{panels}</div>\n{}</body></html>\n",
        escaped(&said),
        table::differences(study),
        table::best(study),
        table::front(study),
        table::lead(study),
        table::given_up(study),
        table::about(study),
        table::trials(study),
    )
}

#[cfg(test)]
mod tests {
    use millstream_search::{Space, TrialState};
    use millstream_training::metrics::FigureKind;
    use serde_json::{Value, json};

    use super::*;
    use crate::search::{StudyAbout, StudyDifference, TrialReport};

    /// A study of two figures, with trials of every kind.
    fn study(figures: usize, trials: usize) -> StudyReport {
        let open = json!({"rate": {"log_uniform": [1e-4, 1e-1]}, "<b>&": {"choose": ["x<y", "z"]}, "layers": {"integer": [1, 4]}});
        let (space, _) = Space::extract(&open).unwrap();
        let trial = |number: u64| {
            let assignment = space.drawn(7, number);
            let state = match number % 5 {
                3 => TrialState::Stopped,
                4 => TrialState::Failed,
                _ => TrialState::Complete,
            };
            let value = 0.5 + assignment.get("layers").unwrap() / 10.0;
            TrialReport {
                number,
                state,
                values: if state == TrialState::Complete {
                    [value, 10.0 - value][..figures].to_vec()
                } else {
                    Vec::new()
                },
                interval: (number == 1).then_some([0.25, 0.75]),
                settings: space.values(&assignment).into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
                places: space
                    .parameters()
                    .iter()
                    .map(|one| assignment.get(&one.name).map(|setting| one.distribution.unit(setting)))
                    .collect(),
                reports: vec![(1, 0.3), (2, if number == 2 { f64::NAN } else { value })],
                violation: if number == 6 { 0.5 } else { 0.0 },
                out_of_bounds: if number == 6 { vec!["seconds 2.50 s".to_owned()] } else { Vec::new() },
                reason: (state == TrialState::Failed).then(|| "<script>alert(1)</script>".into()),
                is_given_up: number == 4,
                seconds: Some(1.5),
            }
        };
        let kinds = [FigureKind::loss(), FigureKind { name: "seconds".into(), ..FigureKind::loss() }];
        StudyReport {
            name: "a <study>".into(),
            folder: "/s".into(),
            about: StudyAbout {
                began: Some("2026-11-27T16:05:09Z".into()),
                model: Some("/models/<i>.onnx".into()),
                epochs: Some(3),
                ..StudyAbout::default()
            },
            figures: kinds[..figures].to_vec(),
            constraints: vec!["seconds at most 2.00 s".into()],
            parameters: space.parameters().to_vec(),
            size: space.size().to_string(),
            proposer: "tpe".into(),
            stopping: vec!["asha".into()],
            wanted: 50,
            runs: 1,
            confidence: 0.95,
            first_run: None,
            trial_runs: Vec::new(),
            folds: None,
            is_over: trials >= 50,
            trials: (0..trials as u64).map(trial).collect(),
            best: (trials > 0).then_some(0),
            front: if trials > 0 { vec![0] } else { Vec::new() },
            importance: vec![("layers".into(), 0.9), ("rate".into(), 0.1)],
        }
    }

    #[test]
    fn trials_that_a_stopping_rule_ended_were_compared_too() {
        let study = study(1, 20);
        assert_eq!(
            (study.compared(), study.feasible()),
            (16, 11),
            "four failed; three of each five are complete, one out of bounds"
        );
    }

    #[test]
    fn a_study_that_a_rule_has_brought_to_its_end_is_done_though_trials_are_set_aside() {
        let all = study(1, 20);
        assert!(all.is_done(20) && !all.is_done(21));
        let over = StudyReport { is_over: true, ..study(1, 20) };
        assert!(over.is_done(50), "as many as the recipe wants");
        assert!(!over.is_done(60), "more are wanted than the recipe says");
    }

    #[test]
    fn trials_that_no_other_beats_in_three_figures_are_not_said_to_be_the_best_by_two() {
        let both = "trials that no other beats in both";
        let mut front = StudyReport { front: vec![0, 1, 2], ..study(2, 20) };
        assert!(render(&front).contains(both));
        front.figures.push(FigureKind { name: "parameters".into(), ..FigureKind::loss() });
        let complete = front.trials.iter_mut().filter(|trial| !trial.values.is_empty());
        complete.for_each(|trial| trial.values.push(trial.number as f64));
        assert!(!render(&front).contains(both));
    }

    #[test]
    fn importance_does_not_claim_what_values_do_only_together() {
        let study = study(1, 20);
        let said = study.importance_in_words().unwrap();
        let wanted = "main effects alone, scaled to 100 % together, by a forest fitted to 12 complete trials";
        assert!(said.contains(wanted) && said.contains("(interactions) is left out"), "{said}");
        assert!(render(&study).contains(wanted));
        let unknown = StudyReport { importance: Vec::new(), ..study };
        assert_eq!(unknown.importance_in_words(), None);
        assert!(!render(&unknown).contains("main effects alone"));
    }

    #[test]
    fn a_trial_out_of_bounds_is_not_said_to_be_incomplete_where_it_is_drawn() {
        assert!(render(&study(1, 20)).contains("hollow: out of bounds, or not complete"));
        let free = StudyReport { constraints: Vec::new(), ..study(1, 20) };
        assert!(render(&free).contains("hollow: not complete"));
    }

    #[test]
    fn on_paper_there_is_no_dark_ground_and_nothing_is_cut_off() {
        assert_eq!(STYLE.matches("prefers-color-scheme").count(), 1);
        assert!(STYLE.contains("@media screen and (prefers-color-scheme: dark)"));
        let (_, print) = STYLE.split_once("@media print").unwrap();
        for part in
            ["color-scheme: light", ".panel, .wide { overflow: visible; }", ".coordinates { min-width: 0 !important; }"]
        {
            assert!(print.contains(part), "{part} is not in {print}");
        }
    }

    #[test]
    fn commands_can_be_typed_where_folders_have_blanks_and_brackets() {
        let study = StudyReport { folder: "/my studies (2)".into(), ..study(1, 20) };
        let command = study.comparing_command().unwrap();
        assert!(command.starts_with("millstream compare '/my studies (2)/trials/00"), "{command}");
        assert!(command.ends_with("' --predict"), "{command}");
        let said = study.given_up_in_words().unwrap();
        assert!(said.contains("`millstream search resume '/my studies (2)'`"), "{said}");
    }

    #[test]
    fn trials_that_were_ended_early_show_the_last_figure_that_they_reported() {
        let study = study(1, 20);
        let last = study.trials[3].reports[1].1;
        let wanted = format!("last {}", super::super::shown_figure(&study.figures[0], Some(last)));
        assert_eq!(study.figure_in_words(&study.trials[3], 0), wanted);
        assert!(render(&study).contains(&wanted));
        assert!(!study.figure_in_words(&study.trials[0], 0).contains("last"));
    }

    #[test]
    fn every_picture_is_there_and_what_it_shows_is_told_on_hover() {
        let page = render(&study(1, 20));
        // the trials scroll in their own box, and letters of charts keep their size where there is little or much room
        for part in [
            "<h2>Trials</h2>\n<div class=\"wide\"><table>",
            "preserveAspectRatio=\"none\"",
            "@media (max-width: 560px)",
        ] {
            assert!(page.contains(part), "{part} is missing in {page}");
        }
        for title in ["History", "On the way", "Importance", "Parallel coordinates", "loss by rate", "loss over"] {
            assert!(page.contains(title), "{title}");
        }
        assert!(!page.contains("no other beats"), "one figure has no front");
        assert!(render(&study(2, 20)).contains("no other beats"));
        assert!(page.matches("<title>").count() > 100, "{}", page.matches("<title>").count());
        assert!(page.contains("<title>trial 0: loss"), "{page}");
        let mark = page.split("<title>trial 0 after 1: ").nth(1).and_then(|rest| rest.split('<').next());
        let mark = mark.unwrap_or_else(|| panic!("a value on the way has no mark: {page}"));
        assert!(mark.starts_with("loss 0.3") && !mark.contains("rate"), "a mark repeats the trial's values: {mark}");
        assert!(page.contains("trial 4 was given up") && page.contains("search retry"), "{page}");
    }

    #[test]
    fn an_interval_stands_behind_the_figure_that_it_is_of_and_names_its_own_confidence() {
        let best = StudyReport { best: Some(1), confidence: 0.9, ..study(2, 20) };
        let page = render(&best);
        let told = page.split("<b>Best: ").nth(1).and_then(|rest| rest.split("</b>").next()).unwrap();
        let [behind_interval, settings] = [", seconds ", "rate "].map(|part| told.find(part).unwrap());
        let interval = told.find(" (0.2500 to 0.7500)").unwrap();
        assert!(interval < behind_interval && interval < settings, "{told}");
        assert!(page.contains("Intervals are of each trial by itself, 90 %"), "{page}");
        assert!(render(&study(1, 20)).contains("Intervals are of each trial by itself, 95 %"));
    }

    #[test]
    fn a_study_whose_complete_trials_are_all_out_of_bounds_is_not_said_to_have_none_complete() {
        let mut bounded = StudyReport { best: None, front: Vec::new(), ..study(1, 3) };
        assert!(render(&bounded).contains("No complete trial is within the constraints."));
        bounded.trials.clear();
        assert!(render(&bounded).contains("No trial is complete yet."));
        bounded.is_over = true;
        assert!(render(&bounded).contains("No trial is complete."));
    }

    #[test]
    fn the_reason_of_a_failed_trial_is_told_to_its_end() {
        let mut failed = study(1, 20);
        failed.trials[4].reason = Some(format!("{}a smaller rate may help", "the loss is inf; ".repeat(20)));
        let page = render(&failed);
        assert!(page.contains("the loss is inf; a smaller rate may help</td>"), "{page}");
    }

    #[test]
    fn a_reader_who_was_not_there_sees_what_the_study_is_of_and_how_sure_its_figures_are() {
        let page = render(&study(1, 20));
        for wanted in [
            "<th>Began</th><td>2026-11-27T16:05:09Z</td>",
            "<th>Base model</th><td>/models/&lt;i&gt;.onnx</td>",
            "<th>Epochs</th><td>3</td>",
            "<th>Batch</th><td>left open</td>",
            "(0.2500 to 0.7500)",
            "is not told by whether they overlap",
            "millstream compare /s/trials/",
        ] {
            assert!(page.contains(wanted), "{wanted} is not in {page}");
        }
        assert!(!render(&study(1, 1)).contains("millstream compare"), "one trial has nothing to be compared with");
    }

    #[test]
    fn a_trial_out_of_bounds_the_constraints_and_the_front_are_told_and_each_figure_has_an_axis() {
        let page = render(&study(2, 20));
        for wanted in [
            "<th>Constraints</th><td>seconds at most 2.00 s</td>",
            "<td class=\"number\">6</td><td>out of bounds (seconds 2.50 s)</td>",
            "No other trial beats in all figures: 0",
            "<title>seconds</title>seconds</text>",
        ] {
            assert!(page.contains(wanted), "{wanted} is not in {page}");
        }
        assert!(!render(&study(1, 20)).contains("No other trial beats"));
    }

    #[test]
    fn trials_of_other_rows_are_told_and_that_means_of_few_runs_are_not_tested() {
        let mut mixed = study(1, 20);
        mixed.about.differences = vec![StudyDifference { place: "data.evaluate".into(), trials: vec![2, 3] }];
        assert!(render(&mixed).contains("trials 2 and 3 are of other evaluation rows"));
        let repeated =
            StudyReport { runs: 3, first_run: Some("fold-1".into()), figures: vec![share()], ..study(1, 20) };
        let page = render(&repeated);
        assert!(page.contains("is chance is not told: each is the mean of 3 runs"), "{page}");
        assert!(page.contains("/fold-1 --predict"), "{page}");
    }

    fn share() -> FigureKind {
        FigureKind { name: "accuracy".into(), ..FigureKind::loss() }
    }

    #[test]
    fn foreign_text_is_text_and_no_coordinate_is_no_number() {
        for (figures, trials) in [(1, 0), (1, 1), (1, 20), (2, 1), (2, 20)] {
            let page = render(&study(figures, trials));
            assert!(!page.contains("<script") && !page.contains("<b>&") && !page.contains("a <study>"), "{page}");
            for bad in ["NaN", "=\"inf", ">inf", " inf<", " inf\""] {
                assert!(!page.contains(bad), "{bad} with {trials} trials");
            }
            assert!(!page.contains("http"), "it names no address");
        }
        assert!(matches!(json!(1), Value::Number(_)));
    }
}
