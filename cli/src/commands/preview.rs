use std::fs;

use anyhow::Context;
use millstream::recipes::preview::{self, DrawnPreview, PreviewOptions, PreviewSheet, SheetFormat, TextChange};
use millstream::recipes::{Catalogs, import_training_rows_of, require_no_input, require_no_source};

use crate::arguments::{self, Global};
use crate::colour::Meaning;
use crate::{Outcome, messages, output, progress};
use millstream::schemas::{Recipe, count, shown, shown_path};

pub(crate) fn run(global: &Global, arguments: &arguments::Preview, recipe: &Recipe) -> anyhow::Result<Outcome> {
    require_no_source(&arguments.output, recipe)?;
    require_no_input(&arguments.output, arguments.replay.as_deref())?;
    progress::imports(global, |events, stop| import_training_rows_of(recipe, events, stop))?;
    let preview = preview::Preview::open(recipe, &Catalogs::default())?;
    if !global.quiet {
        preview.notes().iter().for_each(|note| messages::tell(&format!("note: {note}")));
    }
    let drawn = match &arguments.replay {
        Some(file) => {
            let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", shown_path(file)))?;
            serde_json::from_str::<DrawnPreview>(&text).map_err(|error| {
                let (file, line, column) = (shown_path(file), error.line(), error.column());
                // Of the library's words only the key that is none of ours.
                let said = error.to_string();
                let key = said.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
                let what = key.map_or_else(|| "is unlike them".into(), |key| format!("has the unknown key `{}`", shown(key)));
                anyhow::anyhow!(
                    "{file} does not hold drawn steps as `preview --json` prints them: line {line}, column {column} {what}"
                )
            })?
        }
        None => {
            let options = PreviewOptions { rows: arguments.rows, draws: arguments.draws, seed: arguments.seed };
            preview.draw(&options)?
        }
    };
    match preview.render(&drawn)? {
        PreviewSheet::Image(sheet) => {
            let file = &arguments.output;
            if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                fs::create_dir_all(folder).with_context(|| format!("cannot make {}", shown_path(folder)))?;
            }
            let bytes = preview::encoded(&sheet, SheetFormat::of(file)?)?;
            fs::write(file, bytes).with_context(|| format!("cannot write {}", shown_path(file)))?;
            if !global.json {
                let (rows, size) = (drawn.rows.len() as u64, format!("{}×{}", sheet.width, sheet.height));
                let rows = count(rows, "row");
                output::print(&format!("{}: {rows}, {size} pixels, seed {}", shown_path(file), drawn.seed))?;
            }
        }
        PreviewSheet::Text(text) if !global.json && Meaning::is_on_output() => output::print(&text.painted(&paint))?,
        PreviewSheet::Text(text) if !global.json => output::print(&text.to_string())?,
        _ => {}
    }
    if global.json {
        output::print_json(&drawn)?;
    }
    Ok(Outcome::Done)
}

/// What was put into a text, and taken out of it.
fn paint(change: TextChange, text: &str) -> String {
    match change {
        TextChange::Added => Meaning::Added.output(text),
        TextChange::Removed => Meaning::Removed.output(text),
        TextChange::Kept => text.to_owned(),
    }
}
