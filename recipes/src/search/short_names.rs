/// The last parts of each place of a recipe, `least` or more of them, that no other of these places ends with:
/// `adamw.learning_rate` beside `sgd.learning_rate`.
pub fn short_names<'a>(places: &[&'a str], least: usize) -> Vec<&'a str> {
    places.iter().map(|place| short_name(place, places, least)).collect()
}

fn short_name<'a>(place: &'a str, places: &[&str], least: usize) -> &'a str {
    let starts = place.rmatch_indices('.').map(|(dot, _)| dot + 1);
    let ends_with = |other: &str, suffix: &str| {
        other.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let is_unique = |suffix: &str| !places.iter().any(|other| *other != place && ends_with(other, suffix));
    let mut suffixes = starts.skip(least.saturating_sub(1)).map(|start| &place[start..]);
    suffixes.find(|suffix| is_unique(suffix)).unwrap_or(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_parameters_by_one_name_are_told_apart_by_what_stands_before_it() {
        let places = [
            "training.optimizer",
            "training.optimizer.adamw.learning_rate",
            "training.optimizer.sgd.learning_rate",
            "model.methods[0].lora.rank",
            "model.methods[1].lora.rank",
            "seed",
        ];
        let wanted = [
            "optimizer",
            "adamw.learning_rate",
            "sgd.learning_rate",
            "methods[0].lora.rank",
            "methods[1].lora.rank",
            "seed",
        ];
        assert_eq!(short_names(&places, 1), wanted);
        let wanted = ["training.optimizer", wanted[1], wanted[2], wanted[3], wanted[4], "seed"];
        assert_eq!(short_names(&places, 2), wanted);
        assert_eq!(short_names(&["a.b", "b"], 1), ["a.b", "b"]);
    }
}
