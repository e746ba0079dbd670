use std::collections::HashMap;
use std::sync::Arc;

use millstream_pipeline::Dataset;
use millstream_schemas::RowId;

/// Where rows stand in the file order of their dataset.
#[derive(Clone, Debug)]
pub(crate) struct RowIndex {
    /// By file, how many rows come before each row group.
    before: Arc<HashMap<Arc<str>, Vec<u64>>>,
    rows: u64,
}

impl RowIndex {
    pub(crate) fn of(dataset: &Dataset) -> Self {
        let (mut rows, mut before) = (0, HashMap::new());
        for file in dataset.files() {
            let of_group = |group: &millstream_pipeline::RowGroupSize| {
                let before = rows;
                rows += u64::from(group.rows);
                before
            };
            before.insert(Arc::clone(&file.name), file.row_groups.iter().map(of_group).collect());
        }
        Self { before: Arc::new(before), rows }
    }

    /// All rows.
    pub(crate) fn rows(&self) -> usize {
        usize::try_from(self.rows).unwrap_or(usize::MAX)
    }

    /// The place of a row; nothing where it is of another dataset.
    pub(crate) fn place(&self, row: &RowId) -> Option<usize> {
        let before = self.before.get(&row.file)?.get(row.row_group as usize)?;
        usize::try_from(before + u64::from(row.row)).ok().filter(|place| *place < self.rows())
    }
}
