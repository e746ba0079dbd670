//! Rows through operators that pick, repeat or lay out places.

use super::rows::{Change, Rows, Seen, Through};

impl Seen<'_> {
    /// Whether an operand that is the same for all rows has one entry on this axis, or none of it.
    fn is_single(&self, index: usize, axis: usize) -> Result<bool, String> {
        Ok(self.rows_of(index) == Rows::Apart && self.shape(index)?.get(axis).is_none_or(|length| *length == 1))
    }

    /// An operand of one row, repeated for as many as another has on the same axis.
    fn repeated(&self, input: usize, axis: usize, like: usize) -> Result<Change, String> {
        let shape = self.shape(input)?;
        if self.fixed != 1 || shape.get(axis) != Some(&1) {
            return Err("one of its operands is the same for all rows and of fixed length on their axis".into());
        }
        Ok(Change::Repeat { input, axis, rank: shape.len(), like, like_axis: axis })
    }

    /// Whether this picks lengths of a shape, and not the number of rows.
    pub(super) fn picks_other_lengths(&self) -> bool {
        let of_rows = || {
            let shape = self.graph.producer(self.node.input(0)?).filter(|node| node.is("Shape"))?;
            let start = shape.int("start").unwrap_or(0);
            match self.rows.get(&shape.input(0)?) {
                Some(Rows::Axis(axis, _)) if start >= 0 => i64::try_from(*axis).ok().map(|axis| axis - start),
                _ => None,
            }
        };
        let picked = || {
            let shape = self.shape(0).ok()?;
            let count = i64::try_from(*shape.first().filter(|_| shape.len() == 1)?).ok()?;
            let front = |at: i64| if at < 0 { at + count } else { at };
            match self.node.operator.as_str() {
                "Gather" => Some(self.integers(1)?.into_iter().map(front).collect::<Vec<i64>>()),
                "Slice" if self.node.input(4).is_none() || self.integers(4)? == [1] => {
                    let bounds = [self.integers(1)?, self.integers(2)?];
                    let (&[start], &[end]) = (bounds[0].as_slice(), bounds[1].as_slice()) else { return None };
                    // bounds may lie far outside
                    Some((front(start).clamp(0, count)..front(end).clamp(0, count)).collect())
                }
                _ => None,
            }
        };
        matches!((of_rows(), picked()), (Some(rows), Some(picked)) if !picked.contains(&rows))
    }

    /// Whether each row picks its own places alone, of several rows that lie one behind the other: known indices say so.
    fn picks_own_rows(&self, axis: usize, of_indices: usize) -> bool {
        let own = || {
            let (data, shape, picked) = (self.shape(0).ok()?, self.shape(1).ok()?, self.integers(1)?);
            let (length, places) = (*data.get(axis)?, *shape.get(of_indices)?);
            let (block, each) = (length.checked_div(self.fixed)?, places.checked_div(self.fixed)?);
            let inner: usize = shape[of_indices + 1..].iter().product();
            let (length, block) = (i64::try_from(length).ok()?, i64::try_from(block).ok()?);
            let is_own = |(at, index): (usize, &i64)| {
                let row = (at / inner % places / each) as i64;
                let index = if *index < 0 { *index + length } else { *index };
                (row * block..(row + 1) * block).contains(&index)
            };
            Some(self.fixed > 1 && each > 0 && inner > 0 && picked.iter().enumerate().all(is_own))
        };
        own().unwrap_or(false)
    }

    pub(super) fn gather(&self) -> Through {
        let (x, indices) = (self.shape(0)?, self.shape(1)?);
        let along = self.front(self.node.int("axis").unwrap_or(0), x.len())?;
        match (self.rows_of(0), self.rows_of(1)) {
            (Rows::Axis(axis, _), Rows::Apart) if axis < along => Ok(self.all(axis)),
            (Rows::Axis(axis, _), Rows::Apart) if axis > along => Ok(self.all(axis - 1 + indices.len())),
            (Rows::Apart, Rows::Axis(axis, _)) => Ok(self.all(along + axis)),
            (Rows::Axis(axis, 1), Rows::Axis(of_indices, 1))
                if axis == along && self.picks_own_rows(axis, of_indices) =>
            {
                Ok(self.all(along + of_indices))
            }
            _ => Err("it picks single rows".into()),
        }
    }

    /// All operands have the rows on one axis, which is not the one that places are picked on.
    pub(super) fn by_places(&self) -> Through {
        let given: Vec<usize> = (0..self.node.inputs.len()).filter(|index| self.node.input(*index).is_some()).collect();
        let like = given.iter().copied().find(|index| matches!(self.rows_of(*index), Rows::Axis(..)));
        let like = like.ok_or("no operand has the rows")?;
        let Rows::Axis(axis, times) = self.rows_of(like) else { return Err("no operand has the rows".into()) };
        let picks = if self.node.is("GridSample") {
            (axis > 0).then_some(axis)
        } else {
            Some(self.front(self.node.int("axis").unwrap_or(0), self.shape(0)?.len())?)
        };
        if picks == Some(axis) {
            return Err("it picks single rows".into());
        }
        for index in given {
            match self.rows_of(index) {
                Rows::Apart => return Ok((self.all(axis).0, Some(self.repeated(index, axis, like)?))),
                rows if rows == Rows::Axis(axis, times) => {}
                _ => return Err("its operands have the rows on different axes".into()),
            }
        }
        Ok(self.all(axis))
    }

    pub(super) fn gather_nd(&self) -> Through {
        let shared = self.node.int("batch_dims").unwrap_or(0);
        match (self.rows_of(0), self.rows_of(1)) {
            (Rows::Axis(axis, times), Rows::Axis(of_indices, of)) if (axis, times) == (of_indices, of) => {
                if (axis as i64) < shared { Ok(self.all(axis)) } else { Err("it picks single rows".into()) }
            }
            (Rows::Apart, Rows::Axis(axis, _)) if shared == 0 && axis + 1 < self.shape(1)?.len() => Ok(self.all(axis)),
            _ => Err("it picks single rows".into()),
        }
    }

    pub(super) fn one_hot(&self) -> Through {
        self.only_first()?;
        let (axis, rank) = (self.first_axis()?, self.made()?.len());
        let new = self.front(self.node.int("axis").unwrap_or(-1), rank)?;
        Ok(self.all(if new <= axis { axis + 1 } else { axis }))
    }

    pub(super) fn cum_sum(&self) -> Through {
        self.only_first()?;
        let (axis, rank) = (self.first_axis()?, self.shape(0)?.len());
        let along = self.integers(1).and_then(|axes| axes.first().copied()).ok_or("its axis is computed from data")?;
        if self.front(along, rank)? == axis { Err("it adds up over the rows".into()) } else { Ok(self.all(axis)) }
    }

    pub(super) fn tile(&self) -> Through {
        let axis = self.first_axis()?;
        let repeats = self.integers(1).ok_or("how often it repeats is computed from data")?;
        if repeats.get(axis) == Some(&1) { Ok(self.all(axis)) } else { Err("it repeats the rows".into()) }
    }

    /// Sizes that the file states for all axes count the rows too.
    pub(super) fn resize(&self) -> Through {
        let (axis, from, to) = (self.first_axis()?, self.shape(0)?, self.made()?);
        if from.get(axis) != to.get(axis) {
            return Err("it makes rows of rows".into());
        }
        if self.node.input(3).is_none() || self.rows_of(3) == Rows::Lengths {
            return Ok(self.all(axis));
        }
        let values = self.integers(3).ok_or("its sizes are computed from data")?;
        let at = match self.node.ints("axes") {
            Some(named) => self.fronts(named, from.len())?.iter().position(|named| *named == axis),
            None => Some(axis),
        };
        let Some(at) = at else { return Ok(self.all(axis)) };
        Ok((self.all(axis).0, Some(Change::Counted { input: 3, values, at, axis })))
    }

    /// The rows have one letter, in all that depends on them and in what is made.
    pub(super) fn einsum(&self) -> Through {
        let equation = self.node.string("equation").ok_or("it has no equation")?.replace(' ', "");
        let (read, made) = equation.split_once("->").ok_or("its equation does not say what is made")?;
        let mut letter = None;
        let mut apart = Vec::new();
        for (index, term) in read.split(',').enumerate() {
            match self.rows_of(index) {
                _ if term.contains('.') => return Err("its equation leaves axes without letters".into()),
                Rows::Axis(axis, times) => {
                    let own = term.chars().nth(axis).ok_or("its equation does not fit its operands")?;
                    if *letter.get_or_insert((own, times)) != (own, times) || term.matches(own).count() != 1 {
                        return Err("its operands have the rows on different axes".into());
                    }
                }
                _ => apart.push(term),
            }
        }
        let (letter, _) = letter.ok_or("no operand has the rows")?;
        if apart.iter().any(|term| term.contains(letter)) {
            return Err("one of its operands is the same for all rows and of fixed length on their axis".into());
        }
        let mut places = made.chars().enumerate().filter(|(_, own)| *own == letter).map(|(place, _)| place);
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(self.all(place)),
            _ => Err("it sums over the rows".into()),
        }
    }

    /// Queries, keys and values go with the rows; a mask may, or is the same for all of them.
    pub(super) fn attention(&self) -> Through {
        for index in (0..self.node.inputs.len()).filter(|index| self.node.input(*index).is_some()) {
            let is_fit = match self.rows_of(index) {
                Rows::Axis(0, 1) => index != 3 || self.shape(index)?.len() == 4,
                Rows::Apart => index == 3 && (self.shape(index)?.len() < 4 || self.is_single(index, 0)?),
                _ => false,
            };
            if !is_fit {
                return Err("one of its operands does not go with the rows".into());
            }
        }
        Ok(self.all(0))
    }

    /// Angles are the same for all rows, or go with them.
    pub(super) fn rotary_embedding(&self) -> Through {
        let (axis, positions) = (self.first_axis()?, self.node.input(3).is_some());
        if axis != 0 {
            return Err("the rows are not its first axis".into());
        }
        for index in [1, 2] {
            let is_fit = match self.rows_of(index) {
                Rows::Apart => positions || self.is_single(index, 0)?,
                rows => !positions && rows == Rows::Axis(0, 1),
            };
            if !is_fit {
                return Err("its angles do not go with the rows".into());
            }
        }
        if positions && self.rows_of(3) == Rows::Apart {
            return Ok((self.all(0).0, Some(self.repeated(3, 0, 0)?)));
        }
        Ok(self.all(0))
    }
}
