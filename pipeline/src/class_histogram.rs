use millstream_schemas::RowId;

use crate::encodings::Encoders;
use crate::error::Damage;
use crate::{Dataset, PipelineError};

/// How often each class occurs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassHistogram {
    /// Rows of each class, by index.
    pub counts: Vec<u64>,
    /// Rows with the label −1.
    pub unlabelled: u64,
    /// Rows whose label is null.
    pub null: u64,
    /// Rows whose label is none of the classes.
    pub out_of_range: u64,
    /// The first row with the label −1.
    pub first_unlabelled: Option<RowId>,
    /// The first row whose label is null or none of the classes, and what is wrong with it.
    pub first_bad: Option<(RowId, String)>,
}

impl Dataset {
    /// Reads the label column and counts; all zeros where there is none.
    ///
    /// # Errors
    /// The column cannot be read.
    pub fn class_histogram(&self, encoders: &Encoders) -> Result<ClassHistogram, PipelineError> {
        let Some((column, class)) = encoders.class_reading() else { return Ok(ClassHistogram::default()) };
        let mut histogram = ClassHistogram { counts: vec![0; encoders.classes().len()], ..ClassHistogram::default() };
        let (mut place, rows) = (0, self.rows());
        self.each_row(&[column.to_owned()], |row| {
            match class(row) {
                Ok(-1) => {
                    histogram.unlabelled += 1;
                    if histogram.first_unlabelled.is_none() && place < rows {
                        histogram.first_unlabelled = Some(self.row_at(place));
                    }
                }
                Ok(class) => {
                    let count = usize::try_from(class).ok().and_then(|class| histogram.counts.get_mut(class));
                    *count.expect("a class of this column has a place among its counts") += 1;
                }
                Err(damage) => {
                    let count =
                        if damage == Damage::NullLabel { &mut histogram.null } else { &mut histogram.out_of_range };
                    *count += 1;
                    if histogram.first_bad.is_none() && place < rows {
                        histogram.first_bad = Some((self.row_at(place), damage.to_string()));
                    }
                }
            }
            place += 1;
        })?;
        Ok(histogram)
    }
}
