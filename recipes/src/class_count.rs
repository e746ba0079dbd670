use millstream_schemas::{grouped, shown};
use serde::{Deserialize, Serialize};

/// One class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCount {
    /// Its name.
    pub name: String,
    /// Its rows.
    pub rows: u64,
}

/// One warning however many classes are without rows; `place` says where, after a blank.
pub(crate) fn empty_classes(classes: &[ClassCount], place: &str) -> Option<String> {
    const MOST: usize = 3;
    let empty: Vec<&ClassCount> = classes.iter().filter(|class| class.rows == 0).collect();
    let names = |classes: &[&ClassCount]| {
        let names: Vec<String> = classes.iter().map(|class| format!("`{}`", shown(&class.name))).collect();
        names.join(", ")
    };
    match empty.as_slice() {
        [] => None,
        [class] => Some(format!("class {} has no rows{place}", names(&[class]))),
        empty => {
            let (count, of) = (grouped(empty.len() as u64), grouped(classes.len() as u64));
            let more = match empty.len().saturating_sub(MOST) {
                0 => String::new(),
                more => format!(" and {} more", grouped(more as u64)),
            };
            let named = names(&empty[..empty.len().min(MOST)]);
            Some(format!("{count} of {of} classes have no rows{place}: {named}{more}"))
        }
    }
}
