//! Which of many factors tell errors apart: found on one half of the rows, tested on the other.

use std::collections::{BTreeMap, HashSet};

use millstream_schemas::{GOLDEN, mix};

use super::factor::{Factor, Values};
use super::numbers::{between, shown};
use super::report::{Bin, FactorReport, Rate, Split};
use crate::significance::{fisher, holm, mantel_haenszel};

/// A side with fewer answers of a half says nothing.
const FEWEST: usize = 10;
/// And no smaller share of them.
const SMALLEST: f64 = 0.1;
/// Parts that numbers are shown in.
const BINS: usize = 6;
/// Chances below are called found.
const LEVEL: f64 = 0.05;

/// Answers, whether each errs, and the key of its row, by which rows fall into halves.
pub(super) struct Answers {
    pub(super) errs: Vec<bool>,
    pub(super) rows: Vec<u64>,
}

/// Where more err.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    Above(f64),
    /// This or less.
    UpTo(f64),
    Named(u32),
    NotNamed(u32),
    Missing,
    There,
}

impl Answers {
    /// Every factor that tells answers apart, the surest first.
    pub(super) fn factors(&self, factors: &[Factor], seed: u64) -> Vec<FactorReport> {
        let half = |row: &u64| mix(row ^ mix(seed.wrapping_add(GOLDEN))) & 1 == 0;
        let (found, tested): (Vec<usize>, Vec<usize>) =
            (0..self.errs.len()).partition(|answer| half(&self.rows[*answer]));
        let apart: Vec<&Factor> = factors.iter().filter(|factor| factor.tells_apart()).collect();
        let has_several = self.has_several_of_a_row();
        let mut reports: Vec<FactorReport> = apart
            .iter()
            .map(|factor| FactorReport {
                name: factor.name.clone(),
                of: factor.of,
                bins: self.bins(factor),
                split: self.split(factor, &found, &tested, has_several),
            })
            .collect();
        let chances: Vec<f64> = reports.iter().filter_map(|report| Some(report.split.as_ref()?.p)).collect();
        for (split, adjusted) in reports.iter_mut().filter_map(|report| report.split.as_mut()).zip(holm(&chances)) {
            split.p_adjusted = adjusted;
            // until here it says whether more err there on the other half, too
            split.confirmed &= adjusted < LEVEL;
        }
        reports.sort_by(|a, b| {
            let key = |report: &FactorReport| {
                report.split.as_ref().map_or((2, 1.0), |split| (i32::from(!split.confirmed), split.p))
            };
            let ((a, p), (b, q)) = (key(a), key(b));
            a.cmp(&b).then(p.total_cmp(&q))
        });
        reports
    }

    fn rate(&self, answers: impl Iterator<Item = usize>) -> Rate {
        let (mut errors, mut of) = (0, 0);
        for answer in answers {
            errors += u64::from(self.errs[answer]);
            of += 1;
        }
        Rate::of(errors, of)
    }

    /// The best division of one half, tested on the other; none where none leaves enough answers on both sides.
    fn split(&self, factor: &Factor, found: &[usize], tested: &[usize], has_several: bool) -> Option<Split> {
        let fewest = FEWEST.max((SMALLEST * found.len() as f64).ceil() as usize);
        let mut best: Option<(f64, Rule)> = None;
        let all = (found.iter().filter(|answer| self.errs[**answer]).count(), found.len());
        let mut consider = |errors: usize, of: usize, rules: [Rule; 2]| {
            if of < fewest || all.1 - of < fewest {
                return;
            }
            let score = chi_squared([errors, of], [all.0 - errors, all.1 - of]);
            let (there, elsewhere) = (errors * (all.1 - of), (all.0 - errors) * of);
            let rule = if there >= elsewhere { rules[0] } else { rules[1] };
            if score > best.map_or(0.0, |(score, _)| score) {
                best = Some((score, rule));
            }
        };
        match &factor.values {
            Values::Numbers(numbers) => {
                let mut known: Vec<(f64, bool)> =
                    found.iter().filter_map(|answer| Some((numbers[*answer]?, self.errs[*answer]))).collect();
                known.sort_by(|a, b| a.0.total_cmp(&b.0));
                let missing = found.len() - known.len();
                // those without a value stand on neither side of a threshold, and count as elsewhere of both
                let errors_known = known.iter().filter(|(_, errs)| *errs).count();
                let mut below = 0;
                for at in 1..known.len() {
                    below += usize::from(known[at - 1].1);
                    if known[at].0 > known[at - 1].0 {
                        let threshold = between(known[at - 1].0, known[at].0);
                        let rules = [Rule::Above(threshold), Rule::UpTo(threshold)];
                        if missing == 0 {
                            consider(errors_known - below, known.len() - at, rules);
                        } else {
                            consider(errors_known - below, known.len() - at, [rules[0], rules[0]]);
                            consider(below, at, [rules[1], rules[1]]);
                        }
                    }
                }
                if missing > 0 && factor.missing_tells() {
                    consider(all.0 - errors_known, missing, [Rule::Missing, Rule::There]);
                }
            }
            Values::Names(names, numbers) => {
                let mut counts = vec![(0, 0); names.len()];
                let mut missing = (0, 0);
                for answer in found {
                    let count = numbers[*answer].map_or(&mut missing, |name| &mut counts[name as usize]);
                    *count = (count.0 + usize::from(self.errs[*answer]), count.1 + 1);
                }
                let two = counts.len() == 2 && missing.1 == 0;
                for (name, (errors, of)) in counts.into_iter().enumerate() {
                    // of two names the other one is named
                    let other = if two { Rule::Named(1 - name as u32) } else { Rule::NotNamed(name as u32) };
                    consider(errors, of, [Rule::Named(name as u32), other]);
                }
                consider(missing.0, missing.1, [Rule::Missing, Rule::There]);
            }
        }
        let (_, rule) = best?;
        let of = |answers: &[usize]| {
            let (there, elsewhere): (Vec<usize>, Vec<usize>) =
                answers.iter().partition(|answer| rule.holds(factor, **answer));
            [self.rate(there.into_iter()), self.rate(elsewhere.into_iter())]
        };
        let (found, answers_tested, tested) = (of(found), tested, of(tested));
        // a rule that has fewer errors there is one by the other side's name
        if found[0].share <= found[1].share {
            return None;
        }
        let (p, more_there) = match has_several {
            false => {
                let p = fisher([tested[0].errors, tested[0].of], [tested[1].errors, tested[1].of]);
                (p, tested[0].share > tested[1].share)
            }
            true => self.within_rows(factor, rule, answers_tested),
        };
        Some(Split { rule: rule.in_words(factor), found, tested, p, p_adjusted: p, confirmed: more_there })
    }

    fn has_several_of_a_row(&self) -> bool {
        self.rows.iter().collect::<HashSet<_>>().len() < self.rows.len()
    }

    /// Several answers of one row are not independent; what is compared is the answers of each row among themselves.
    fn within_rows(&self, factor: &Factor, rule: Rule, answers: &[usize]) -> (f64, bool) {
        let mut strata: BTreeMap<u64, [u64; 4]> = BTreeMap::new();
        for answer in answers {
            let place = 2 * usize::from(!rule.holds(factor, *answer)) + usize::from(!self.errs[*answer]);
            strata.entry(self.rows[*answer]).or_default()[place] += 1;
        }
        mantel_haenszel(strata.into_values())
    }

    /// Numbers in parts of about as many answers, names as they are, the most frequent first.
    fn bins(&self, factor: &Factor) -> Vec<Bin> {
        let mut bins = Vec::new();
        match &factor.values {
            Values::Numbers(numbers) => {
                let mut known: Vec<(f64, usize)> =
                    numbers.iter().enumerate().filter_map(|(answer, number)| Some(((*number)?, answer))).collect();
                known.sort_by(|a, b| a.0.total_cmp(&b.0));
                let parts = BINS.min((known.len() / FEWEST).max(1));
                let mut from = 0;
                for part in 1..=parts {
                    let mut to = known.len() * part / parts;
                    // equal values stand together
                    while to > from && to < known.len() && known[to].0 == known[to - 1].0 {
                        to += 1;
                    }
                    if to > from {
                        let range = [known[from].0, known[to - 1].0];
                        bins.push(Bin {
                            label: match range[0] == range[1] {
                                true => shown(range[0]),
                                false => format!("{} to {}", shown(range[0]), shown(range[1])),
                            },
                            range: Some(range),
                            rate: self.rate(known[from..to].iter().map(|(_, answer)| *answer)),
                        });
                        from = to;
                    }
                }
            }
            Values::Names(names, numbers) => {
                let of = |name: usize| (0..numbers.len()).filter(move |answer| numbers[*answer] == Some(name as u32));
                bins.extend(names.iter().enumerate().map(|(at, name)| Bin {
                    label: name.clone(),
                    range: None,
                    rate: self.rate(of(at)),
                }));
                bins.sort_by(|a, b| b.rate.of.cmp(&a.rate.of).then_with(|| a.label.cmp(&b.label)));
            }
        }
        let missing = (0..self.errs.len()).filter(|answer| Rule::Missing.holds(factor, *answer));
        let rate = self.rate(missing);
        if rate.of > 0 {
            bins.push(Bin { label: "no value".into(), range: None, rate });
        }
        bins
    }
}

impl Rule {
    fn holds(self, factor: &Factor, answer: usize) -> bool {
        match &factor.values {
            Values::Numbers(numbers) => match (self, numbers[answer]) {
                (Self::Above(threshold), Some(number)) => number > threshold,
                (Self::UpTo(threshold), Some(number)) => number <= threshold,
                (Self::Missing, number) => number.is_none(),
                (Self::There, number) => number.is_some(),
                _ => false,
            },
            Values::Names(_, numbers) => match (self, numbers[answer]) {
                (Self::Named(name), number) => number == Some(name),
                (Self::NotNamed(name), number) => number != Some(name),
                (Self::Missing, number) => number.is_none(),
                (Self::There, number) => number.is_some(),
                _ => false,
            },
        }
    }

    fn in_words(self, factor: &Factor) -> String {
        let name = |at: u32| match &factor.values {
            Values::Names(names, _) => millstream_schemas::shown(&names[at as usize]),
            Values::Numbers(_) => String::new(),
        };
        match self {
            Self::Above(threshold) => format!("above {}", shown(threshold)),
            Self::UpTo(threshold) => format!("{} or less", shown(threshold)),
            Self::Named(at) => format!("is {}", name(at)),
            Self::NotNamed(at) => format!("is not {}", name(at)),
            Self::Missing => "has no value".into(),
            Self::There => "has a value".into(),
        }
    }
}

/// Pearson's, of two groups of which some err: how much better a division is than another of the same rows.
fn chi_squared([a_errors, a]: [usize; 2], [b_errors, b]: [usize; 2]) -> f64 {
    let (errors, all) = ((a_errors + b_errors) as f64, (a + b) as f64);
    let right = all - errors;
    if errors == 0.0 || right == 0.0 {
        return 0.0;
    }
    let cross = a_errors as f64 * (b - b_errors) as f64 - b_errors as f64 * (a - a_errors) as f64;
    all * cross * cross / (a as f64 * b as f64 * errors * right)
}

#[cfg(test)]
mod tests {
    use super::super::report::FactorOf;
    use super::*;

    /// Answers of so many rows; which err is said by a function of a row's number and a random number.
    fn answers(rows: u64, errs: impl Fn(u64, f64) -> bool) -> Answers {
        let random = |row: u64| mix(mix(row).wrapping_add(77)) as f64 / u64::MAX as f64;
        Answers { errs: (0..rows).map(|row| errs(row, random(row))).collect(), rows: (0..rows).map(mix).collect() }
    }

    fn noise(rows: u64, number: u64) -> Factor {
        let values = (0..rows).map(|row| Some((mix(row ^ mix(number + 1000)) % 1000) as f64)).collect();
        Factor::numbers(format!("noise {number}"), FactorOf::Column, values)
    }

    #[test]
    fn what_errors_depend_on_is_found_with_its_threshold_and_noise_is_not() {
        let angle = |row: u64| (mix(row ^ 5) % 450) as f64 / 10.0;
        let own = answers(1200, |row, random| random < if angle(row) > 25.0 { 0.31 } else { 0.09 });
        let degrees = Factor::numbers("degrees", FactorOf::Draw, (0..1200).map(|row| Some(angle(row))).collect());
        let factors: Vec<Factor> = (0..30).map(|number| noise(1200, number)).chain([degrees]).collect();
        let found = own.factors(&factors, 0);
        assert_eq!(found.len(), 31);
        let split = found[0].split.as_ref().unwrap();
        assert_eq!(found[0].name, "degrees");
        assert!(split.confirmed && split.p_adjusted > split.p, "{split:?}");
        let threshold: f64 = split.rule.strip_prefix("above ").unwrap().parse().unwrap();
        assert!((23.0..29.0).contains(&threshold), "{split:?}");
        let [there, elsewhere] = split.tested.map(|rate| rate.share.unwrap());
        assert!((there - 0.31).abs() < 0.08 && (elsewhere - 0.09).abs() < 0.05, "{split:?}");
        assert!(found[1..].iter().all(|factor| !factor.split.as_ref().is_some_and(|split| split.confirmed)));
        let bins = &found[0].bins;
        assert_eq!((bins.len(), bins.iter().map(|bin| bin.rate.of).sum::<u64>()), (6, 1200));
        assert_eq!(
            bins[5].rate.interval,
            millstream_training::metrics::wilson(bins[5].rate.errors, bins[5].rate.of, 0.95)
        );
    }

    #[test]
    fn names_and_missing_values_are_told_apart() {
        let kind = |row: u64| ["a", "b", "c"][(mix(row ^ 9) % 3) as usize];
        let own = answers(600, |row, random| random < if kind(row) == "b" { 0.6 } else { 0.1 });
        let names = Factor::names("kind", FactorOf::Column, (0..600).map(|row| Some(kind(row).to_owned())).collect());
        let gaps = (0..600).map(|row| (kind(row) != "b").then_some(1.0 + (row % 5) as f64)).collect();
        let found = own.factors(&[names.unwrap(), Factor::numbers("gaps", FactorOf::Column, gaps)], 1);
        let rules: Vec<&str> = found.iter().map(|factor| factor.split.as_ref().unwrap().rule.as_str()).collect();
        assert!(rules.contains(&"is b") && rules.contains(&"has no value"), "{rules:?}");
        assert!(found.iter().all(|factor| factor.split.as_ref().unwrap().confirmed));
        let gaps = found.iter().find(|factor| factor.name == "gaps").unwrap();
        assert_eq!(gaps.bins.last().unwrap().label, "no value");
        let many = (0..100).map(|row| Some(row.to_string())).collect();
        assert!(Factor::names("text", FactorOf::Column, many).is_none());
    }

    #[test]
    fn of_several_draws_of_a_row_those_of_the_row_are_compared() {
        // 100 rows, 6 draws of each: half of the rows err always, which says nothing about what was drawn
        let (rows, draws) = (100, 6);
        let drawn = |at: u64| (mix(at ^ 11) % 100) as f64;
        let key = |at: u64| mix(at % rows);
        let of_rows = |at: u64| Some((key(at) % 2) as f64 * 50.0 + (mix(at ^ 99) % 100) as f64 / 100.0);
        let errs = |at: u64| key(at) % 2 == 1 || drawn(at) > 80.0;
        let all = 0..rows * draws;
        let own = Answers { errs: all.clone().map(errs).collect(), rows: all.clone().map(key).collect() };
        let found = own.factors(
            &[
                Factor::numbers("drawn", FactorOf::Draw, all.clone().map(|at| Some(drawn(at))).collect()),
                Factor::numbers("of the row", FactorOf::Draw, all.map(of_rows).collect()),
            ],
            0,
        );
        let confirmed: Vec<&str> = found
            .iter()
            .filter(|factor| factor.split.as_ref().is_some_and(|split| split.confirmed))
            .map(|factor| factor.name.as_str())
            .collect();
        assert_eq!(confirmed, ["drawn"], "{found:?}");
    }

    #[test]
    fn nothing_is_said_of_few_rows_and_of_what_is_the_same_everywhere() {
        let own = answers(16, |row, _| row % 2 == 0);
        let same = Factor::numbers("same", FactorOf::Column, vec![Some(0.1 + 0.2); 16]);
        assert!(!same.tells_apart());
        let found = own.factors(&[same, noise(16, 0)], 0);
        assert!(found.len() == 1 && found[0].split.is_none(), "{found:?}");
    }

    #[test]
    fn of_a_hundred_studies_without_a_cause_few_find_one() {
        let mut confirmed = 0;
        for study in 0..100 {
            let own = answers(400, |row, _| mix(row ^ mix(study)).is_multiple_of(5));
            let factors: Vec<Factor> = (0..20).map(|number| noise(400, number + 100 * study)).collect();
            let found = own.factors(&factors, study);
            confirmed +=
                usize::from(found.iter().any(|factor| factor.split.as_ref().is_some_and(|split| split.confirmed)));
        }
        // 5 in 100 at most are expected; 11 or more of 100 would have a chance of 1 in 100 at that
        assert!(confirmed <= 10, "{confirmed}");
    }
}
