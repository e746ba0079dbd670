use std::fs;

use millstream_pipeline::Split;
use millstream_schemas::shown;

use super::boxes_outside::BoxesOutside;
use super::column::{Column, schema};
use super::division::{Candidate, divide};
use super::duplicates::{self, Known};
use super::import_options::ImportOptions;
use super::import_report::{ClassRows, ColumnReport, ImportReport, LeftOut, LeftOutReport, ShardReport, SplitReport};
use super::layout::Layout;
use super::row_reader::RowReader;
use super::scan::{Progress, Scanned, ScannedRow, scan};
use super::shards::{Shard, ShardRules, plan};
use super::source_files::SourceFiles;
use super::writing::Written;
use super::{finding, output_folder, source_patterns};
use crate::{Events, RecipeError, Stop};

/// What is left out is named up to this often.
const NAMED: usize = 10_000;

/// Makes Parquet files of folders, archives and tables. Stopped, whole files stay, and the same import goes on where it was.
///
/// # Errors
/// A source cannot be read or holds no row that can be used, or the folder holds other files or cannot be written.
pub fn import(options: &ImportOptions, events: &mut dyn Events, stop: &Stop) -> Result<ImportReport, RecipeError> {
    options.check()?;
    let name = options.file_name()?;
    let mut files = SourceFiles::open(&source_patterns::expanded(&options.sources)?, &options.output, stop)?;
    let found = if stop.is_requested() { None } else { finding::find(&files, options, stop)? };
    let mut left_out = std::mem::take(&mut files.left_out);
    let Some(mut layout) = found else {
        return Ok(report(options, &Layout::default(), Vec::new(), left_out, true));
    };
    left_out.append(&mut layout.left_out);
    if options.boxes != BoxesOutside::Keep && !(layout.has_boxes() && layout.has_images()) {
        let message = format!("{} has no pictures with boxes", options.sources_in_words());
        return Err(RecipeError::mismatch("--boxes", message));
    }
    if options.decimal_comma && layout.tables.is_empty() {
        let message = format!("{} has no table that is read", options.sources_in_words());
        return Err(RecipeError::mismatch("--decimal-comma", message));
    }
    layout.boxes = options.boxes;
    let schema = schema(&layout.columns);
    let Some(Scanned { rows: scanned, boxes_outside }) = scan(&layout, &files, events, stop)? else {
        return Ok(report(options, &layout, Vec::new(), left_out, true));
    };
    let of_boxes = boxes_outside.note(options.boxes, |at| layout.row_name(&layout.rows[at], &files));
    layout.notes.extend(of_boxes);
    let mut rows: Vec<(usize, ScannedRow)> = Vec::with_capacity(scanned.len());
    for (at, row) in scanned.into_iter().enumerate() {
        match row {
            Ok(row) => rows.push((at, row)),
            Err(reason) => left_out.push(LeftOut { name: layout.row_name(&layout.rows[at], &files), reason }),
        }
    }
    // of those that are left out nothing is said but why
    let of_no_box = layout.note_of_no_box(rows.iter().map(|(at, _)| *at));
    layout.notes.extend(of_no_box);
    left_out.sort();
    if rows.is_empty() {
        let first = left_out.first().map_or_else(String::new, |first| {
            format!("; of {}, the first is `{}`: {}", left_out.len(), shown(&first.name), first.reason)
        });
        let message = format!("none of its rows can be used{first}");
        return Err(RecipeError::mismatch(options.sources_in_words(), message));
    }
    let row_name = |at: usize| layout.row_name(&layout.rows[rows[at].0], &files);
    let splits = splits(&layout, &rows, options)?;
    let of_splits: Vec<(Split, ScannedRow)> = splits.iter().zip(&rows).map(|(split, row)| (*split, row.1)).collect();
    let mixed = Some(options.seed).filter(|_| layout.mixed);
    let rules = ShardRules { name: &name, bytes: options.shard_bytes, mixed, schema: &schema };
    let shards = plan(&of_splits, &rules, row_name);
    let known = of_splits.iter().map(|(split, row)| Known { identity: row.identity, split: *split, class: row.class });
    let duplicates = duplicates::find(&known.collect::<Vec<_>>(), row_name);
    let kept = output_folder::prepare(&options.output, &shards, options.overwrite)?;

    let written = Written { layout: &layout, files: &files, rows: &rows, schema: &schema };
    let total = shards.iter().zip(&kept).filter(|(_, kept)| !**kept).map(|(shard, _)| shard.rows.len() as u64).sum();
    let mut progress = Progress::new(events, "written", total);
    let mut reader = RowReader::new(&layout, &files);
    let (mut told, mut stopped) = ((0, 0), false);
    for (shard, _) in shards.iter().zip(&kept).filter(|(_, kept)| !**kept) {
        stopped = stop.is_requested()
            || !written.write(&mut reader, shard, &options.output, &mut told, &mut progress, stop)?;
        if stopped {
            break;
        }
    }
    let reports = split_reports(&layout, &shards, &kept, &of_splits, options);
    Ok(ImportReport { duplicates, ..report(options, &layout, reports, left_out, stopped) })
}

/// The split of each row that is used.
///
/// # Errors
/// The source has a split already that was to be made.
fn splits(layout: &Layout, rows: &[(usize, ScannedRow)], options: &ImportOptions) -> Result<Vec<Split>, RecipeError> {
    let candidates: Vec<Candidate> = rows
        .iter()
        .map(|(at, row)| Candidate { split: layout.rows[*at].split, identity: row.identity, class: row.class })
        .collect();
    let is_divided = || candidates.iter().any(|row| row.split.is_some_and(|split| split != Split::Train));
    if options.only_undivided && is_divided() {
        return Ok(divide(&candidates, &[], options.seed));
    }
    let there = |share: &Split| candidates.iter().any(|row| row.split == Some(*share));
    if let Some(share) = options.splits.iter().find(|share| there(&share.split)) {
        let message = format!("the source has a split `{}` of its own", share.split.name());
        return Err(RecipeError::mismatch("--split", message));
    }
    Ok(divide(&candidates, &options.splits, options.seed))
}

fn split_reports(
    layout: &Layout,
    shards: &[Shard],
    kept: &[bool],
    rows: &[(Split, ScannedRow)],
    options: &ImportOptions,
) -> Vec<SplitReport> {
    let mut reports: Vec<SplitReport> = Vec::new();
    for (shard, kept) in shards.iter().zip(kept) {
        let rows = shard.rows.len() as u64;
        let bytes = fs::metadata(options.output.join(&shard.file)).ok().map(|facts| facts.len());
        let file = ShardReport { file: shard.file.clone(), rows, bytes, kept: *kept };
        match reports.last_mut() {
            Some(last) if last.split == shard.split.name() => {
                last.rows += file.rows;
                last.files.push(file);
            }
            _ => reports.push(SplitReport {
                split: shard.split.name(),
                rows: file.rows,
                classes: Vec::new(),
                files: vec![file],
            }),
        }
    }
    if let Some(names) = layout.classes() {
        for report in &mut reports {
            // the last counts rows without a class
            let mut counts = vec![0_u64; names.len() + 1];
            for (_, row) in rows.iter().filter(|(split, _)| split.name() == report.split) {
                counts[row.class.map_or(names.len(), |class| class as usize)] += 1;
            }
            let names = names.iter().map(|name| Some(name.clone())).chain([None]);
            let counted = names.zip(counts).map(|(class, rows)| ClassRows { class, rows });
            report.classes = counted.filter(|of| of.class.is_some() || of.rows > 0).collect();
        }
    }
    reports
}

fn report(
    options: &ImportOptions,
    layout: &Layout,
    splits: Vec<SplitReport>,
    left_out: Vec<LeftOut>,
    stopped: bool,
) -> ImportReport {
    let mut notes = layout.notes.clone();
    let missing = |split: &SplitReport| {
        let none: Vec<String> = split
            .classes
            .iter()
            .filter(|of| of.rows == 0)
            .filter_map(|of| of.class.as_ref().map(|class| format!("`{}`", shown(class))))
            .collect();
        let more = if none.len() > 5 { format!(" and {} more", none.len() - 5) } else { String::new() };
        let first = none.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        if none.is_empty() { None } else { Some(format!("the split `{}` has no row of {first}{more}", split.split)) }
    };
    notes.extend(splits.iter().filter_map(missing));
    let column = |column: &Column| ColumnReport { name: column.name.clone(), holds: column.kind.in_words() };
    let count = left_out.len() as u64;
    let first = left_out.into_iter().take(NAMED).collect();
    ImportReport {
        folder: options.output.clone(),
        read_as: layout.name,
        rows: splits.iter().map(|split| split.rows).sum(),
        bytes: splits.iter().flat_map(|split| &split.files).filter_map(|file| file.bytes).sum(),
        columns: layout.columns.iter().map(column).collect(),
        classes: layout.classes().map(<[String]>::to_vec).unwrap_or_default(),
        splits,
        left_out: LeftOutReport { count, first },
        duplicates: Default::default(),
        notes,
        stopped,
    }
}
