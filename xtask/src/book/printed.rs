//! Whether a command printed what its page says.
//!
//! The normal form in which the two are held against each other is this file: blanks, empty lines and lines of progress (`2/9 rows`) do not count; times, sizes and rates are any,
//! and so are all shares and times of a line with a time in it, and columns of seconds and bytes; shares in percent may differ by three points, other
//! numbers with a fraction by five in a hundred. Everything else is the same. A line `…` stands for any lines, `…` for any words of a line, and
//! `…` at the start or end of a word for any letters there, so that a path may be anywhere.

/// Words behind a number that is not compared.
const UNITS: [&str; 14] = ["B", "GB", "GiB", "KiB", "MB", "MiB", "bytes", "h", "kB", "min", "ms", "ns", "s", "µs"];
/// Those of them that are times.
const TIMES: [&str; 6] = ["h", "min", "ms", "ns", "s", "µs"];
/// Last words above columns of tables that are not compared: `seconds of work` is one.
const COLUMNS: [&str; 3] = ["bytes", "seconds", "work"];
/// What is left out.
const ANY: &str = "…";
/// Points by which a share in percent may differ.
const POINTS: f64 = 3.0;
/// By which part of itself another number may.
const PART: f64 = 0.05;

/// The first line of a page that was not printed, and what was in its place; none where all is as the page says.
pub(super) fn difference(page: &str, printed: &str) -> Option<String> {
    let (wanted, got) = (lines(page), lines(printed));
    let segments: Vec<&[Line]> = wanted.split(|line| line.text == ANY).collect();
    let (mut from, last) = (0, segments.len() - 1);
    for (at, segment) in segments.iter().enumerate() {
        if segment.is_empty() {
            continue;
        }
        let rest = got.get(from..).unwrap_or_default();
        let longest = rest.len().checked_sub(segment.len());
        // the first segment is at the start, the last at the end, those between somewhere
        let places = match (at == 0, at == last, longest) {
            (_, _, None) => return Some(first_difference(segment, rest)),
            (true, true, Some(longest)) if longest > 0 => {
                return Some(match first_unlike(segment, rest) {
                    Some(_) => first_difference(segment, rest),
                    None => format!("it goes on with `{}`", rest[segment.len()].text),
                });
            }
            (true, ..) => 0..=0,
            (false, true, Some(longest)) => longest..=longest,
            (false, false, Some(longest)) => 0..=longest,
        };
        match places.clone().find(|place| first_unlike(segment, &rest[*place..]).is_none()) {
            Some(place) => from += place + segment.len(),
            None if places.start() == places.end() => {
                return Some(first_difference(segment, &rest[*places.start()..]));
            }
            None => return Some(format!("nowhere behind that it printed `{}`", segment[0].text)),
        }
    }
    None
}

fn first_difference(wanted: &[Line], got: &[Line]) -> String {
    let at = first_unlike(wanted, got).unwrap_or_default();
    let instead = got.get(at).map_or_else(|| "nothing more".to_owned(), |line| format!("`{}`", line.text));
    format!("the page has `{}`, and it printed {instead}", wanted.get(at).map_or("", |line| &line.text))
}

/// The place of the first line that is not as wanted.
fn first_unlike(wanted: &[Line], got: &[Line]) -> Option<usize> {
    wanted.iter().enumerate().position(|(at, line)| got.get(at).is_none_or(|got| !are_alike(&line.words, &got.words)))
}

/// A line without blanks at its ends.
struct Line {
    text: String,
    words: Vec<Word>,
}

#[derive(Clone, Debug, PartialEq)]
enum Word {
    /// This, or what is left out in it.
    Text(String),
    /// A number with a fraction, between what is around it.
    Number { before: String, value: f64, unit_in_last_place: f64, after: String, is_percent: bool },
    /// A time, a size, or a number of a line or column of such, with its unit.
    Measured,
}

fn lines(text: &str) -> Vec<Line> {
    let (mut lines, mut columns) = (Vec::new(), Vec::new());
    for line in text.lines().filter(|line| !line.trim().is_empty() && !is_progress(line)) {
        // tables stand in a little
        if !line.starts_with("  ") {
            columns.clear();
        }
        let headings: Vec<usize> =
            placed(line).into_iter().filter(|(_, word)| COLUMNS.contains(word)).map(|(end, _)| end).collect();
        let words = words(line, &columns);
        if !headings.is_empty() && line.starts_with("  ") {
            columns = headings;
        }
        lines.push(Line { text: line.trim().to_owned(), words });
    }
    lines
}

/// Whether a line says how far something is, which is told now and then.
fn is_progress(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.windows(2).any(|pair| {
        let is_part = pair[0].split_once('/').is_some_and(|(done, all)| {
            [done, all].iter().all(|part| {
                part.starts_with(|digit: char| digit.is_ascii_digit())
                    && number(part).is_some_and(|(_, rest, _)| rest.is_empty())
            })
        });
        is_part && ["rows", "steps"].contains(&pair[1].trim_end_matches(','))
    })
}

/// The words of a line, each with the column that it ends in.
fn placed(line: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut start = None;
    let ends = line.char_indices().map(Some).chain([None]).enumerate();
    for (column, letter) in ends {
        match (letter, start) {
            (Some((at, letter)), None) if !letter.is_whitespace() => start = Some(at),
            (Some((at, letter)), Some(from)) if letter.is_whitespace() => {
                found.push((column, &line[from..at]));
                start = None;
            }
            (None, Some(from)) => found.push((column, &line[from..])),
            _ => {}
        }
    }
    found
}

/// The words of a line in their normal form; `columns` are where those of a table end that are not compared.
fn words(line: &str, columns: &[usize]) -> Vec<Word> {
    let placed = placed(line);
    let (mut words, mut has_time, mut is_unit) = (Vec::new(), false, false);
    for (at, (end, word)) in placed.iter().enumerate() {
        if std::mem::take(&mut is_unit) {
            continue;
        }
        let next = placed.get(at + 1).map_or("", |(_, next)| *next);
        let unit = next.trim_end_matches([',', ':', ';', ')', '.']);
        let starts = word.trim_start_matches(['(', '~', '+', '-', '−']);
        let is_number =
            number(starts).is_some_and(|(value, ..)| value.len() == starts.trim_end_matches([',', ')']).len());
        if is_number && UNITS.contains(&unit) {
            (has_time, is_unit) = (has_time || TIMES.contains(&unit), true);
            words.push(Word::Measured);
        } else if is_number && columns.contains(end) {
            words.push(Word::Measured);
        } else {
            words.push(Word::of(word, next));
        }
    }
    if has_time {
        for word in words.iter_mut().filter(|word| matches!(word, Word::Number { .. })) {
            *word = Word::Measured;
        }
    }
    words
}

/// The number that a text begins with, what stands behind it, and how many digits its fraction has.
fn number(text: &str) -> Option<(&str, &str, usize)> {
    let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let mut end = digits(0);
    if end == 0 {
        return None;
    }
    while text[end..].starts_with(',') && digits(end + 1) == 3 {
        end += 4;
    }
    let mut fraction = 0;
    if text[end..].starts_with('.') && digits(end + 1) > 0 {
        fraction = digits(end + 1);
        end += 1 + fraction;
    }
    if fraction > 0 && text[end..].starts_with('e') {
        let sign = usize::from(text[end + 1..].starts_with(['-', '+']));
        if digits(end + 1 + sign) > 0 {
            end += 1 + sign + digits(end + 1 + sign);
        }
    }
    Some((&text[..end], &text[end..], fraction))
}

impl Word {
    /// A word, and the one behind it.
    fn of(word: &str, next: &str) -> Self {
        let start = word.find(|letter: char| letter.is_ascii_digit());
        let alone =
            start.filter(|start| !word[..*start].contains(|letter: char| letter.is_alphanumeric() || letter == '_'));
        let found = alone.and_then(|start| Some((start, number(&word[start..])?)));
        let Some((start, (digits, after, fraction @ 1..))) = found else { return Self::Text(word.to_owned()) };
        let Ok(value) = digits.replace(',', "").parse::<f64>() else { return Self::Text(word.to_owned()) };
        let exponent = digits.split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok()).unwrap_or(0);
        let is_percent = after.starts_with('%') || (after.is_empty() && next.starts_with('%'));
        let unit_in_last_place = 10_f64.powi(exponent - fraction as i32);
        Self::Number {
            before: word[..start].to_owned(),
            value,
            unit_in_last_place,
            after: after.to_owned(),
            is_percent,
        }
    }

    /// Whether this of a page is that which was printed.
    fn is_like(&self, printed: &Self) -> bool {
        match (self, printed) {
            (Self::Text(wanted), Self::Text(got)) => match wanted.split_once(ANY) {
                Some((start, end)) => {
                    got.len() >= start.len() + end.len() && got.starts_with(start) && got.ends_with(end)
                }
                None => wanted == got,
            },
            (
                Self::Number { before, value, unit_in_last_place: unit, after, is_percent },
                Self::Number { before: other_before, value: other, after: other_after, .. },
            ) => {
                let most = if *is_percent { POINTS } else { (PART * value.abs().max(other.abs())).max(*unit) };
                before == other_before && after == other_after && (value - other).abs() <= most * (1.0 + 1e-9)
            }
            (wanted, got) => wanted == got,
        }
    }
}

/// Whether these words of a page are those that were printed, where `…` alone stands for any.
fn are_alike(wanted: &[Word], got: &[Word]) -> bool {
    match (wanted.split_first(), got.split_first()) {
        (None, None) => true,
        (Some((Word::Text(any), rest)), _) if any == ANY => {
            (0..=got.len()).any(|skipped| are_alike(rest, &got[skipped..]))
        }
        (Some((first, rest)), Some((printed, others))) => first.is_like(printed) && are_alike(rest, others),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "training on the CPU\nresults go to …/runs/digits\nbefore training: accuracy 19.7 %, loss 1.6094\n\
                        epoch 1/9: accuracy 89.0 %, loss 0.3140, the best so far\n…\n\
                        a step took 20.8 ms: 91.4 % graph, 6.4 % update\nat most 84 MB of memory\n";

    fn printed(change: (&str, &str)) -> String {
        let whole = "training on the CPU\nresults go to /tmp/book-1.5/runs/digits\n\nbefore training: accuracy 21.2 %, loss 1.6200\n\
                     epoch 1/9: accuracy 88.2 %, loss 0.3056, the best so far\nepoch 2/9: accuracy 98.7 %, loss 0.0483\n\
                     a step took 1.08 s: 20.0 % graph,  70.1 % update\nat most 1.2 GB of memory\n";
        assert!(whole.contains(change.0), "{}", change.0);
        whole.replace(change.0, change.1)
    }

    #[test]
    fn what_varies_is_no_difference_and_what_is_stale_is_one() {
        assert_eq!(difference(PAGE, &printed(("", ""))), None);
        let progress =
            "evaluated 16/1,228 rows, 1,100 rows/s, 2 s left\nepoch 1/9, 19/43 steps, loss 0.2560\nbefore training";
        assert_eq!(difference(PAGE, &printed(("before training", progress))), None);
        for (change, wanted) in [
            (("loss 0.3056", "loss 0.2056"), "loss 0.3140"),
            (("accuracy 88.2 %", "accuracy 79.2 %"), "accuracy 89.0 %"),
            (("training on the CPU", "training on a GPU"), "training on the CPU"),
            (("/runs/digits", "/runs/other"), "…/runs/digits"),
            (("epoch 1/9", "epoch 1/12"), "epoch 1/9"),
            (("at most 1.2 GB of memory\n", ""), "a step took"),
            (("of memory\n", "of memory\nand one more line\n"), "a step took"),
            (("20.0 % graph", "20.0 % other"), "a step took"),
        ] {
            let said = difference(PAGE, &printed(change)).unwrap_or_else(|| panic!("{change:?} is a difference"));
            assert!(said.contains(wanted), "{change:?}: {said}");
        }
    }

    #[test]
    fn rows_that_are_left_out_without_a_mark_are_told() {
        let rows = "  input  class  probability\n  a      0          100.0 %\n  b      2           94.0 %\n  c      1           50.1 %\n";
        let page = |left: &str| rows.replace("  b      2           94.0 %\n", left);
        assert!(difference(&page(""), rows).is_some_and(|said| said.contains("`c 1") || said.contains("`c      1")));
        assert_eq!(difference(&page("  …\n"), rows), None);
        let start = "  input  class  probability\n  a      0          100.0 %\n";
        assert_eq!(difference(start, rows).as_deref(), Some("it goes on with `b      2           94.0 %`"));
        assert_eq!(difference(&format!("{start}  …\n"), rows), None);
        assert!(difference(&format!("…\n{start}"), rows).is_some());
        assert!(difference(&format!("…\n{}\n…\n", "d 1"), rows).is_some_and(|said| said.contains("`d 1`")));
    }

    #[test]
    fn columns_of_seconds_and_bytes_are_any_and_their_neighbours_are_not() {
        let page = "  trial  accuracy  seconds\n      2    96.0 %      4.4\n      3    95.0 %     12.0\n";
        assert_eq!(difference(page, &page.replace(" 4.4", " 9.9")), None);
        assert!(difference(page, &page.replace("96.0", "86.0")).is_some());
        let page = "  file          bytes  what it holds\n  step.onnx    12,452  loss\n";
        assert_eq!(difference(page, &page.replace("12,452", "13,001")), None);
        // no table any more
        let page = "  file  bytes\n  a        12\nwritten 12 files\n";
        assert!(difference(page, &page.replace("written 12", "written 13")).is_some());
    }

    #[test]
    fn words_may_be_left_out_within_a_line_and_numbers_within_words_are_exact() {
        assert_eq!(difference("673 rows in 1 file, …\n", "673 rows in 1 file, 88 KiB, one row group\n"), None);
        assert!(difference("673 rows in 1 file, …\n", "674 rows in 1 file, 88 KiB\n").is_some());
        assert!(difference("a-00000-of-00001.parquet\n", "a-00000-of-00002.parquet\n").is_some());
        assert_eq!(difference("rate 8.754e-4 here\n", "rate 8.9e-4 here\n"), None);
        assert!(difference("rate 8.754e-4 here\n", "rate 8.754e-3 here\n").is_some());
        assert_eq!(
            difference("(97.6 % to 99.9 %), loss 0.0295; more\n", "(96.1 % to 100.0 %), loss 0.0290; more\n"),
            None
        );
    }
}
