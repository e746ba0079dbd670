use std::io::Write;

use millstream_pipeline::Split;
use millstream_pipeline::arrow_schema::Schema;
use millstream_schemas::FingerprintWriter;

use super::column::BOX_CONVENTIONS;
use super::division::drawn;
use super::scan::ScannedRow;

/// Bytes of a row beside its cells, and of a file beside its rows.
const BESIDE_A_ROW: u64 = 32;
const BESIDE_ROWS: u64 = 64 << 10;

/// Of another way to write files.
const VERSION: u32 = 1;

/// A file that is to be written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shard {
    pub(super) split: Split,
    /// Its name.
    pub(super) file: String,
    /// Places of its rows among all, in their order.
    pub(super) rows: Vec<usize>,
    /// Of the schema, and of names and contents of its rows.
    pub(super) fingerprint: String,
}

/// How rows are put into files.
pub(super) struct ShardRules<'a> {
    /// What files' names begin with.
    pub(super) name: &'a str,
    /// Bytes of a file at most.
    pub(super) bytes: u64,
    /// The seed of rows in an order of their own; none where they keep theirs.
    pub(super) mixed: Option<u64>,
    pub(super) schema: &'a Schema,
}

/// Puts the rows of each split into files.
pub(super) fn plan(
    rows: &[(Split, ScannedRow)],
    rules: &ShardRules<'_>,
    row_name: impl Fn(usize) -> String,
) -> Vec<Shard> {
    let mut shards = Vec::new();
    for split in [Split::Train, Split::Validation, Split::Test] {
        let mut members: Vec<usize> = (0..rows.len()).filter(|at| rows[*at].0 == split).collect();
        if let Some(seed) = rules.mixed {
            // rows of the same content are not to lie beside each other
            let key = |at: &usize| rows[*at].1.content ^ name_number(&row_name(*at));
            members.sort_by_cached_key(|at| (drawn(key(at), seed.wrapping_add(1)), *at));
        }
        let mut files: Vec<Vec<usize>> = Vec::new();
        let mut left = 0;
        for at in members {
            let bytes = rows[at].1.bytes + BESIDE_A_ROW;
            match files.last_mut() {
                Some(file) if bytes <= left => {
                    file.push(at);
                    left -= bytes;
                }
                _ => {
                    files.push(vec![at]);
                    left = rules.bytes.saturating_sub(BESIDE_ROWS.min(rules.bytes / 4)).saturating_sub(bytes);
                }
            }
        }
        let count = files.len();
        shards.extend(files.into_iter().enumerate().map(|(number, members)| {
            let file = format!("{}-{}-{number:05}-of-{count:05}.parquet", rules.name, split.name());
            let fingerprint = fingerprint(&members, rows, rules.schema, &row_name);
            Shard { split, file, rows: members, fingerprint }
        }));
    }
    shards
}

fn name_number(name: &str) -> u128 {
    let mut numbers = name.bytes().fold((0_u64, 0_u64), |(a, b), byte| {
        (a.wrapping_mul(31).wrapping_add(byte.into()), b.wrapping_mul(131).wrapping_add(byte.into()))
    });
    numbers.0 = millstream_schemas::mix(numbers.0);
    (u128::from(numbers.0) << 64) | u128::from(numbers.1)
}

fn fingerprint(
    members: &[usize],
    rows: &[(Split, ScannedRow)],
    schema: &Schema,
    row_name: &impl Fn(usize) -> String,
) -> String {
    let mut all = FingerprintWriter::default();
    let mut write = |bytes: &[u8]| all.write_all(bytes).expect("a hash can always be written to");
    write(&VERSION.to_le_bytes());
    write(schema.metadata().get("huggingface").map_or("", String::as_str).as_bytes());
    // files without boxes stay what they were
    write(schema.metadata().get(BOX_CONVENTIONS).map_or("", String::as_str).as_bytes());
    for at in members {
        let name = row_name(*at);
        write(&(name.len() as u64).to_le_bytes());
        write(name.as_bytes());
        write(&rows[*at].1.content.to_le_bytes());
    }
    all.finish().0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_hold_what_they_may_and_every_row_is_in_one() {
        let row = |at: u64| ScannedRow { identity: at.into(), content: at.into(), bytes: 1000, class: None };
        let rows: Vec<(Split, ScannedRow)> =
            (0..100).map(|at| (if at < 90 { Split::Train } else { Split::Test }, row(at))).collect();
        let schema = Schema::empty();
        let rules = ShardRules { name: "x", bytes: 30_000, mixed: Some(0), schema: &schema };
        let shards = plan(&rows, &rules, |at| format!("{at}"));
        let names: Vec<&str> = shards.iter().map(|shard| shard.file.as_str()).collect();
        assert_eq!(names[0], "x-train-00000-of-00005.parquet");
        assert_eq!(names[5], "x-test-00000-of-00001.parquet");
        let mut all: Vec<usize> = shards.iter().flat_map(|shard| shard.rows.clone()).collect();
        assert!(!all.is_sorted());
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        let kept = plan(&rows, &ShardRules { mixed: None, ..rules }, |at| format!("{at}"));
        assert_eq!(kept[0].rows, (0..21).collect::<Vec<_>>());
        let other =
            plan(&rows, &ShardRules { name: "x", bytes: 30_000, mixed: None, schema: &schema }, |at| format!("n{at}"));
        assert_ne!(other[0].fingerprint, kept[0].fingerprint);
        let tiny =
            plan(&rows[..3], &ShardRules { name: "x", bytes: 1, mixed: None, schema: &schema }, |at| at.to_string());
        assert_eq!(tiny.len(), 3);
    }
}
