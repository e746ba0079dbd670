//! Intervals of the shares in tables of classes.

use super::bootstrap::{Bootstrap, HeldRows, Stopped, interval};
use super::metric::Metric;
use super::table::{Cell, Table};

/// A share of a class: the table, the class, and the cell of its record.
type Place = (usize, usize, usize);

/// Gives each share of the tables of a metric of these rows that has no interval one of draws of the rows; none where fewer than two
/// rows have it. `go_on` is asked before each resample.
///
/// # Errors
/// It said no.
pub(super) fn draw(
    (bootstrap, confidence): (Bootstrap, f64),
    metric: &Metric,
    classes: &[String],
    held: HeldRows<'_>,
    tables: &mut [(String, Table)],
    go_on: &mut dyn FnMut() -> bool,
) -> Result<(), Stopped> {
    let open = open_places(tables);
    if open.is_empty() {
        return Ok(());
    }
    let mut found: Vec<Vec<f64>> = vec![Vec::new(); open.len()];
    bootstrap.resampled(metric, classes, held, go_on, &mut |meter| {
        let drawn = meter.tables();
        for (place, values) in open.iter().zip(&mut found) {
            values.extend(share_at(&drawn, *place).filter(|share| !share.is_nan()));
        }
    })?;
    for ((table, class, cell), values) in open.into_iter().zip(found) {
        if let (Table::Classes(records), Some(ends)) = (&mut tables[table].1, interval(values, confidence)) {
            let column = records[class].0[cell].0.clone();
            records[class].set_interval(column, ends);
        }
    }
    Ok(())
}

fn open_places(tables: &[(String, Table)]) -> Vec<Place> {
    let mut open = Vec::new();
    for (table, (_, found)) in tables.iter().enumerate() {
        let Table::Classes(records) = found else { continue };
        for (class, record) in records.iter().enumerate() {
            for (cell, (column, value)) in record.0.iter().enumerate() {
                if matches!(value, Cell::Share(Some(_))) && record.interval(column).is_none() {
                    open.push((table, class, cell));
                }
            }
        }
    }
    open
}

fn share_at(tables: &[(String, Table)], (table, class, cell): Place) -> Option<f64> {
    let Table::Classes(records) = &tables.get(table)?.1 else { return None };
    match records.get(class)?.0.get(cell)?.1 {
        Cell::Share(share) => share,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use millstream_compiler::losses::PredictionKind;
    use millstream_schemas::{Choice, Tensor, mix};

    use super::super::{Measurement, MetricSet, standard, wilson};
    use super::*;
    use crate::metrics::{MeasuredBatch, Record};

    const ROWS: usize = 200;

    /// Of rows of so many places, of which four in five are right.
    fn records(places: usize, bootstrap: Option<Bootstrap>, in_a_batch: usize) -> Vec<Record> {
        let metrics = MetricSet::choose(
            standard(),
            Some(&[Choice::named("per_class")]),
            Some("loss"),
            PredictionKind::ClassScores,
        );
        let mut metrics = metrics.unwrap().with_confidence(0.9);
        metrics = bootstrap.into_iter().fold(metrics, MetricSet::with_bootstrap);
        let classes = ["a", "b", "c"].map(String::from);
        let truth = |at: usize| (mix(at as u64) % 2) as usize;
        let answer = |at: usize| if mix(900_000 + at as u64).is_multiple_of(5) { 1 - truth(at) } else { truth(at) };
        let mut measurement = Measurement::start(&metrics, &classes).unwrap();
        let all: Vec<usize> = (0..ROWS).collect();
        for rows in all.chunks(in_a_batch) {
            let targets = rows.iter().flat_map(|row| (0..places).map(move |place| truth(row * places + place) as i64));
            let mut prediction = vec![0.0_f32; rows.len() * 3 * places];
            for (at, row) in rows.iter().enumerate() {
                for place in 0..places {
                    prediction[(at * 3 + answer(row * places + place)) * places + place] = 1.0;
                }
            }
            let mut shape = vec![rows.len(), 3];
            let mut of_targets = vec![rows.len()];
            if places > 1 {
                shape.push(places);
                of_targets.push(places);
            }
            let targets = Tensor::i64(of_targets, targets.collect::<Vec<_>>());
            let weights = vec![1.0; rows.len()];
            let kind = PredictionKind::ClassScores;
            let batch = MeasuredBatch::new((&shape, &prediction), &targets, &weights, kind).unwrap();
            measurement.add(&batch, 0.1, 1.0).unwrap();
        }
        let found = measurement.finish().unwrap();
        let Some(Table::Classes(records)) = found.table("per_class") else { panic!("no table") };
        records.clone()
    }

    fn share(record: &Record, column: &str) -> f64 {
        match record.get(column) {
            Some(Cell::Share(Some(share))) => *share,
            other => panic!("{column}: {other:?}"),
        }
    }

    #[test]
    fn f1_of_a_class_has_an_interval_as_the_mean_of_all_has() {
        let bootstrap = Bootstrap { resamples: 400, seed: 7 };
        let of_rows = records(1, Some(bootstrap), 32);
        for record in &of_rows[..2] {
            let f1 = share(record, "f1");
            let [low, high] = record.interval("f1").unwrap();
            assert!(low < f1 && f1 < high && high - low < 0.2, "{low} to {high} about {f1}");
            let Some(Cell::Count(rows)) = record.get("rows") else { panic!("{record:?}") };
            let recall = share(record, "recall");
            let right = (recall * *rows as f64).round() as u64;
            assert_eq!(record.interval("recall"), wilson(right, *rows, 0.9), "a share of rows has Wilson's");
            assert!(record.interval("precision").is_some());
        }
        // of a class that is nowhere there is nothing to draw
        assert!(of_rows[2].0.iter().all(|(column, _)| of_rows[2].interval(column).is_none()));
        assert_eq!(records(1, Some(bootstrap), 7), of_rows, "batches change nothing");
        assert_ne!(records(1, Some(Bootstrap { seed: 8, ..bootstrap }), 32), of_rows);

        // places of a row are not independent of each other: all of their intervals are of draws of rows
        let of_places = records(4, Some(bootstrap), 32);
        for column in ["precision", "recall", "f1"] {
            let (value, [low, high]) = (share(&of_places[0], column), of_places[0].interval(column).unwrap());
            assert!(low < value && value < high && high - low < 0.1, "{column}: {low} to {high} about {value}");
        }
        let without = records(1, None, 32);
        assert!(
            without.iter().all(|record| record.cells().count() == record.0.len() && record.interval("f1").is_none())
        );
    }

    #[test]
    fn a_record_with_intervals_is_read_as_it_was_written() {
        let record = records(1, Some(Bootstrap { resamples: 20, seed: 1 }), 32).swap_remove(0);
        let written = serde_json::to_value(&record).unwrap();
        assert_eq!(written["intervals"]["f1"].as_array().map(Vec::len), Some(2), "{written}");
        assert_eq!(serde_json::from_value::<Record>(written).unwrap(), record);
        let odd = serde_json::json!({"name": "a", "intervals": {"f1": [0.5]}});
        assert!(serde_json::from_value::<Record>(odd).is_err());
    }
}
