//! How many of the last layers can be trained, where not all can.

/// The largest count up to `most` that is possible, where all smaller ones than a possible one are.
pub(crate) fn largest(most: usize, is_possible: impl Fn(usize) -> bool) -> usize {
    // as it is of most models
    if is_possible(most) {
        return most;
    }
    let (mut possible, mut beyond) = (0, most);
    while beyond - possible > 1 {
        let middle = usize::midpoint(possible, beyond);
        if is_possible(middle) {
            possible = middle;
        } else {
            beyond = middle;
        }
    }
    possible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_possible_count_is_found() {
        for most in 0..9 {
            for limit in 0..=most {
                assert_eq!(largest(most, |count| count <= limit), limit);
            }
        }
    }
}
