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

    /// Of every row its class by number and one more, by row group; 0 for a row without a class.
    ///
    /// # Errors
    /// The column cannot be read, or a row's class cannot and `fails` says that this ends all.
    pub(crate) fn row_classes(&self, encoders: &Encoders, fails: bool) -> Result<Vec<Vec<u32>>, PipelineError> {
        let Some((column, class)) = encoders.class_reading() else { return Ok(Vec::new()) };
        let (mut classes, mut bad) = (Vec::new(), None);
        self.each_row(&[column.to_owned()], |row| {
            classes.push(match class(row) {
                Ok(class) => u32::try_from(class + 1).unwrap_or(0),
                Err(damage) => {
                    bad.get_or_insert((classes.len() as u64, damage));
                    0
                }
            });
        })?;
        if let Some((row, damage)) = bad.filter(|_| fails) {
            let row = self.row_at(row);
            return Err(PipelineError::Damaged { image: self.image_name(&row), row, damage });
        }
        let mut all = classes.into_iter();
        Ok(self.inner.groups.iter().map(|group| all.by_ref().take(group.rows as usize).collect()).collect())
    }
}
