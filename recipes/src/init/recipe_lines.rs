use std::fmt::Write;

use millstream_pipeline::encodings::{BOX_CLASS_FIELDS, BOX_CROWD_FIELD};

use super::boxes::BoxTask;
use super::guess::{Guess, Head, SMALL};
use super::image_preparation::{ImagePreparation, Size};
use super::input::Input;
use super::number_columns::named;
use super::told::Told;
use crate::commented::quoted;

/// Rows that a run of images sees at least, some of them again and again.
const ROWS_OF_A_RUN: u64 = 6_000;

/// What stands for a model that is still to be named.
const NO_MODEL: &str = "\
# The model is missing: any ONNX file with weights; docs/getting-a-model.md says how one is made of PyTorch, timm, transformers, Keras or
# scikit-learn. `millstream init` with it behind the data fills in what follows from it: sizes, inputs, the last layer, rates.
# model:
#   path: model.onnx
#   head: HEAD
#   train: all";

/// [`NO_MODEL`] with the last layer that a model of what is told has.
fn no_model(guess: &Guess) -> String {
    let head = match &guess.told {
        _ if guess.is_at_places(None) => {
            "boxes  # a new last layer that tells boxes at the places of the model's last map"
        }
        Told::Boxes { boxes, .. } if boxes.task != BoxTask::InOrder => {
            "keep  # of a model that gives four numbers; of any other {new_with: zeros}, a new last layer"
        }
        Told::Boxes { .. } => "keep  # of a model that gives the four numbers of each box",
        _ => "{new_with: zeros}  # a new last layer, which begins by telling nothing",
    };
    NO_MODEL.replace("HEAD", head)
}

/// A recipe with what was guessed, and comments; `head` is none where there is no model.
pub(super) fn written(guess: &Guess, head: Option<Head>) -> String {
    let mut text = String::new();
    let mut line = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    match head {
        Some(_) => line("# `millstream check` says what this recipe does, `millstream train` does it."),
        None if guess.input.is_shown() => line(
            "# `millstream preview` shows what this recipe makes of the rows; `millstream train` wants a model besides.",
        ),
        None => {}
    }
    line("version: 1");
    line("seed: 1");
    match (&guess.model, head) {
        (Some(model), Some(head)) => of_model(model, head).lines().for_each(&mut line),
        _ => line(&no_model(guess)),
    }
    line("data:");
    line(&format!("  train: {}", patterns(&guess.train)));
    match guess.evaluate.as_slice() {
        [] => line("  # evaluate: rows-to-measure-on.parquet"),
        rows => line(&format!("  evaluate: {}", patterns(rows))),
    }
    line(&format!("  batch: {}", batch(guess)));
    line(&of_data(guess, head));
    if let Input::Image { size, preparation, .. } = &guess.input {
        line(&transforms(guess, *size, preparation));
    }
    line(training(guess, head).trim_end());
    line("output:");
    line(&format!("  folder: {}", path(&guess.output)));
    text
}

fn of_model(model: &str, head: Head) -> String {
    let (named, why) = match head {
        Head::Keep => ("keep", "its own last layer"),
        Head::New => ("{new_with: zeros}", "a new last layer, which begins by telling nothing"),
        Head::Pooled => ("{pooled: mean}", "a new last layer on the mean of the tokens"),
        Head::OnFeatures => ("{on_features: {}}", "a new last layer on what the model gives"),
        Head::Boxes => ("boxes", "a new last layer that tells boxes at the places of the model's last map"),
    };
    format!(
        "model:\n  path: {}\n  head: {named}  # {why}\n  # or `head` (that layer alone: quick, for few rows), {{last: 4}}, norms, biases, or \
         methods: [{{lora: {{rank: 8}}}}]\n  train: all",
        path(model)
    )
}

fn batch(guess: &Guess) -> u64 {
    let usual = match (&guess.input, &guess.told) {
        (_, Told::Mask { .. }) => 8,
        (Input::Image { .. }, _) => 16,
        _ => 32,
    };
    // a few steps an epoch, however few rows there are
    usual.min((guess.rows / 4).max(1))
}

/// What an input is made of; a comment where it is the input of no known model.
fn inputs(guess: &Guess, of_one: &str) -> String {
    let mark = if guess.model.is_some() { "  " } else { "  # " };
    let mut text = format!("{mark}inputs:\n");
    for line in of_one.lines() {
        let _ = writeln!(text, "{mark}  {line}");
    }
    text
}

fn of_data(guess: &Guess, head: Option<Head>) -> String {
    let mut text = String::new();
    match &guess.input {
        Input::Image { column, .. } => {
            let _ = writeln!(text, "  input: {}", quoted(column));
        }
        Input::Text { column, input, beside, tokenizer, most } => {
            text.push_str("  order: global\n");
            if guess.model.is_none() {
                let _ = writeln!(
                    text,
                    "  input: {}\n  # once there is a model, these lines without their `#` in place of `input`, with the model's tokenizer:",
                    quoted(column)
                );
            }
            let beside: String =
                beside.iter().map(|(option, input)| format!(", {option}: {}", quoted(input))).collect();
            let (column, tokenizer) = (quoted(column), path(tokenizer));
            let tokens = format!("{{column: {column}, tokenizer: {tokenizer}, max_length: {most}{beside}}}");
            text.push_str(&inputs(guess, &format!("{}:\n  token_ids: {tokens}", quoted(input))));
        }
        Input::Numbers { input, columns, row_numbers, are_whole } => {
            if !row_numbers.is_empty() {
                let _ = writeln!(
                    text,
                    "  # left out, since they number the rows and say nothing of them: {}",
                    named(row_numbers)
                );
            }
            if guess.model.is_none() {
                text.push_str("  # once there is a model, these lines without their `#`, with the name of its input in place of `input`:\n");
            }
            let names: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
            let how = if *are_whole { "" } else { "standardize: true, missing: mean, " };
            let numbers = format!("{{{how}column: [{}]}}", names.join(", "));
            text.push_str(&inputs(guess, &format!("{}:\n  number: {numbers}", quoted(input))));
        }
    }
    let _ = match &guess.told {
        Told::Class { column } => writeln!(text, "  label: {}", quoted(column)),
        Told::Labels { column } => {
            writeln!(text, "  targets:\n    labels: {{multi_label: {{column: {}}}}}", quoted(column))
        }
        Told::Number { column } => {
            writeln!(text, "  targets:\n    value: {{number: {{column: {}, standardize: true}}}}", quoted(column))
        }
        Told::Points { column, points } => {
            let stored_in = if points.are_shares { ", stored_in: shares" } else { "" };
            writeln!(
                text,
                "  targets:\n    # a row of which a point is not marked, or leaves the picture, is not learned\n    \
                 points: {{key_points: {{column: {}, count: {}{stored_in}, visibility: false}}}}",
                quoted(column),
                points.count
            )
        }
        Told::Mask { column, masks } => {
            let classes: Vec<String> = masks.classes.iter().map(|class| quoted(class)).collect();
            let values = if masks.values.is_empty() { String::new() } else { format!(", values: {:?}", masks.values) };
            let names = if masks.is_named {
                ""
            } else {
                " nothing says what the classes are called: name them, in their order;"
            };
            let void = if masks.values.contains(&255) { "" } else { " pixels of 255 do not count" };
            let comment = format!("{names}{void}");
            let comment = comment.trim().trim_end_matches(';');
            let comment = if comment.is_empty() { String::new() } else { format!("    # {comment}\n") };
            writeln!(
                text,
                "  targets:\n{comment}    mask: {{mask: {{column: {}, classes: [{}]{values}}}}}",
                quoted(column),
                classes.join(", ")
            )
        }
        Told::Boxes { column, boxes } => {
            let field =
                boxes.field.as_ref().map_or_else(String::new, |field| format!(", box_field: {}", quoted(field)));
            let is_at_places = guess.is_at_places(head);
            let classes = boxes.class_field.as_deref().filter(|field| is_at_places && *field != BOX_CLASS_FIELDS[0]);
            let classes = classes.map_or_else(String::new, |field| format!(", class_field: {}", quoted(field)));
            let (most, form) = match boxes.task {
                // pictures of nothing are to be told as such
                _ if is_at_places => (boxes.most, ", as: classed, beyond: cut"),
                BoxTask::InOrder => (boxes.most, ", beyond: cut, class_field: '', without_boxes: no_weight"),
                _ => (1, ", as: flat, beyond: cut, class_field: '', without_boxes: no_weight"),
            };
            let of_one = match is_at_places && boxes.class_field.is_none() {
                true => "    # nothing says of which classes they are: all of one, `object`\n",
                false => "",
            };
            let (of_crowds, crowds) = match (boxes.has_crowds, is_at_places) {
                (true, true) if boxes.most > boxes.most_things => {
                    ("    # boxes around a crowd (`iscrowd`) take places of `most` too\n", String::new())
                }
                (true, false) => {
                    let told = "    # boxes around a crowd are left out: they are around no thing of a picture\n";
                    (told, format!(", crowd_field: {BOX_CROWD_FIELD}"))
                }
                _ => ("", String::new()),
            };
            let numbers = if boxes.is_recorded {
                "what their four numbers are (`convention`) is said by the data"
            } else {
                "what their four numbers seem to be (`convention`) is seen by `millstream preview`"
            };
            writeln!(
                text,
                "  targets:\n    # {numbers}\n{of_one}{of_crowds}    boxes:\n      \
                 boxes: {{column: {}{field}{classes}, convention: {}, most: {most}{form}{crowds}, least_visible: 0.3}}",
                quoted(column),
                boxes.convention
            )
        }
    };
    text.trim_end().to_owned()
}

fn transforms(guess: &Guess, size: Size, preparation: &ImagePreparation) -> String {
    let ImagePreparation { mean, std, crop_share, from, .. } = preparation;
    let list = |values: &[f64]| {
        let values: Vec<String> = values.iter().map(f64::to_string).collect();
        values.join(", ")
    };
    let mut text = "transforms:\n".to_owned();
    for told in preparation.otherwise() {
        let _ = writeln!(text, "  # {told}");
    }
    text.push_str("  train:\n");
    let is_of_boxes = matches!(guess.told, Told::Boxes { .. });
    let [width, height] = size;
    let (shorter, written) = (width.min(height), written_size(size));
    let least = if shorter < SMALL || is_of_boxes { 0.7 } else { 0.5 };
    let is_of_points = matches!(guess.told, Told::Points { .. });
    if is_of_points {
        // a crop would leave points out, and the rows with them
        let _ = writeln!(
            text,
            "    - resize: {{size: {written}}}\n    - translate: {{fraction: [0.1, 0.1], border: edge}}"
        );
    } else {
        let _ = writeln!(text, "    - random_resized_crop: {{size: {written}, area: [{least}, 1.0]}}");
    }
    if is_of_points {
        text.push_str(
            "    # no flips: which points change places in a mirror image is said by `left_right` of `key_points`\n",
        );
    } else if has_sides(guess) {
        text.push_str("    # no flips: the names of the classes look like signs, which have a left and a right\n");
    } else {
        text.push_str("    - horizontal_flip\n");
    }
    if is_of_points {
        text.push_str("    - rotate: {degrees: 5}\n");
    } else if is_of_boxes {
        text.push_str("    # no turns: of a box that is turned the box around it remains, which is too large\n");
    } else {
        text.push_str("    - rotate: {degrees: 10}\n");
    }
    if shorter >= SMALL {
        text.push_str("    - color_jitter: {brightness: 0.2, contrast: 0.2, saturation: 0.2}\n");
    }
    if !mean.is_empty() {
        let _ = writeln!(text, "    # {from}");
        let _ = writeln!(text, "    - normalize: &normalize {{mean: [{}], std: [{}]}}", list(mean), list(std));
    }
    text.push_str("  evaluate:\n");
    // of places in a picture all are measured
    let is_whole = is_of_boxes || is_of_points || matches!(guess.told, Told::Mask { .. });
    if *crop_share < 1.0 && !is_whole && width == height {
        let resized = (shorter as f64 / crop_share).round() as u64;
        let _ = writeln!(text, "    - resize: {{shorter_side: {resized}}}\n    - center_crop: {{size: {written}}}");
    } else {
        // a rectangle cut out of an image of any shape would lose most of some
        let _ = writeln!(text, "    - resize: {{size: {written}}}");
    }
    if !mean.is_empty() {
        text.push_str("    - normalize: *normalize");
    }
    text.trim_end().to_owned()
}

/// A size as transforms have it.
fn written_size(size: Size) -> String {
    match size {
        [width, height] if width == height => width.to_string(),
        [width, height] => format!("[{width}, {height}]"),
    }
}

/// Whether classes are called like digits or letters.
fn has_sides(guess: &Guess) -> bool {
    let is_sign = |name: &String| name.chars().count() == 1 || name.parse::<u64>().is_ok();
    // classes of masks are called by their numbers where nothing names them
    let are_named = !matches!(&guess.told, Told::Mask { masks, .. } if !masks.is_named);
    are_named && !guess.classes.is_empty() && guess.classes.iter().all(is_sign)
}

fn training(guess: &Guess, head: Option<Head>) -> String {
    let mut text = "training:\n".to_owned();
    let is_at_places = guess.is_at_places(head);
    let (epochs, rate, schedule) = match &guess.input {
        // what is known already is not to be forgotten
        Input::Image { .. } if is_at_places && head == Some(Head::Keep) => {
            ((2 * ROWS_OF_A_RUN).div_ceil(guess.rows.max(1)).clamp(6, 30), "0.0001", "cosine: {warmup: 0.1}")
        }
        // where things are takes longer to be learned
        Input::Image { .. } if is_at_places => {
            ((4 * ROWS_OF_A_RUN).div_ceil(guess.rows.max(1)).clamp(12, 60), "0.0003", "cosine: {warmup: 0.1}")
        }
        // what is known already is not to be forgotten
        Input::Image { .. } if head == Some(Head::Keep) && matches!(guess.told, Told::Class { .. }) => {
            (ROWS_OF_A_RUN.div_ceil(guess.rows.max(1)).clamp(3, 30), "0.00003", "cosine: {warmup: 0.1}")
        }
        Input::Image { .. } => {
            (ROWS_OF_A_RUN.div_ceil(guess.rows.max(1)).clamp(3, 30), "0.0003", "cosine: {warmup: 0.1}")
        }
        Input::Text { .. } => (3, "0.00005", "linear: {warmup: 0.1}"),
        Input::Numbers { .. } => (40, "0.003", "cosine: {warmup: 0.1}"),
    };
    let _ = writeln!(text, "  epochs: {epochs}");
    match &guess.told {
        Told::Class { .. } => {}
        Told::Labels { .. } => {
            text.push_str("  loss: binary_cross_entropy\n  metrics: [f1, exact_match, average_precision]\n");
        }
        Told::Number { .. } => text.push_str("  loss: mse\n"),
        Told::Points { .. } => text.push_str("  loss: mse\n  metrics: [mae]\n"),
        Told::Mask { masks, .. } => {
            text.push_str("  # `{dice: {cross_entropy: 0.5}}` where most of a picture is of one class\n");
            if masks.is_one_score && head == Some(Head::Keep) {
                text.push_str("  # of one score a pixel it is binary cross-entropy\n");
            }
            text.push_str("  loss: sparse_cross_entropy\n  metrics: [mean_iou, dice, accuracy]\n  best: mean_iou\n");
        }
        Told::Boxes { .. } if is_at_places => {
            text.push_str("  loss: fcos\n  metrics: [mean_average_precision]\n  best: mean_average_precision\n");
        }
        Told::Boxes { boxes, .. } => {
            let padding = if boxes.task == BoxTask::InOrder { ", ignore_padding: true" } else { "" };
            let _ = writeln!(text, "  loss: {{huber: {{delta: 0.1{padding}}}}}\n  metrics: [mae]");
        }
    }
    let _ = writeln!(
        text,
        "  # `millstream lr-find` looks for a better one\n  optimizer:\n    adamw: {{learning_rate: {rate}}}"
    );
    // numbers of boxes lie between 0 and 1: large steps of a layer on many features go far beyond
    let is_of_boxes = matches!(guess.told, Told::Boxes { .. });
    if let Some(layer) = head.and_then(|head| guess.new_layer(head)).filter(|_| !is_of_boxes) {
        let _ = writeln!(
            text,
            "  learning_rate_multipliers:\n    # the new layer begins from nothing\n    - {{match: {}, multiplier: 10}}",
            quoted(layer)
        );
    }
    if head == Some(Head::Boxes) {
        text.push_str(
            "  learning_rate_multipliers:\n    # the new layers begin from nothing\n    - {match: 'head*', multiplier: 3}\n",
        );
    }
    let _ = writeln!(text, "  schedule:\n    {schedule}");
    // of several boxes nothing is found for some epochs, which says nothing of those that follow
    if !guess.evaluate.is_empty() && !is_at_places {
        text.push_str("  # ends when so many epochs are no better than the best\n  early_stopping: {patience: 5}\n");
    }
    text
}

fn patterns(all: &[String]) -> String {
    match all {
        [only] => path(only),
        several => {
            let several: Vec<String> = several.iter().map(|one| path(one)).collect();
            format!("[{}]", several.join(", "))
        }
    }
}

/// A path, in which a dollar would begin a variable.
fn path(text: &str) -> String {
    quoted(&text.replace('$', "$$"))
}
