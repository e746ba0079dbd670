use super::Recipe;
use crate::count;

/// So many threads for each core are still no slip of the keyboard.
const MOST_PER_CORE: usize = 4;

impl Recipe {
    /// What can be told from the recipe alone, deserves a look and stops nothing, on a machine with so many cores.
    pub fn warnings(&self, cores: usize) -> Vec<String> {
        let most = cores.max(1).saturating_mul(MOST_PER_CORE);
        let threads = [("training.threads", self.training.threads), ("data.workers", self.data.workers)];
        let many = threads.into_iter().filter(|(_, threads)| *threads > most);
        let warning = |(place, threads)| {
            format!(
                "{place}: {threads} threads on {} wait for each other and take memory; 0 takes one for each core",
                count(cores.max(1), "core")
            )
        };
        many.map(warning).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::Recipe;

    #[test]
    fn thousands_of_threads_on_two_cores_are_warned_of() {
        for (changes, cores, wanted) in [
            (vec![], 2, vec![]),
            (vec!["training.threads=4096"], 2, vec!["training.threads: 4096 threads on 2 cores"]),
            (
                vec!["data.workers=64", "training.threads=9"],
                1,
                vec!["training.threads: 9 threads on 1 core ", "data.workers: 64"],
            ),
            (vec!["training.threads=8", "data.workers=8"], 2, vec![]),
            (vec!["training.threads=64"], 64, vec![]),
        ] {
            let changes: Vec<String> = changes.iter().map(|change| (*change).into()).collect();
            let text = "version: 1\ndata: {train: a}";
            let recipe = Recipe::from_text(text, Path::new("r.yaml"), Path::new("/"), &changes).unwrap();
            let got = recipe.warnings(cores);
            assert_eq!(got.len(), wanted.len(), "{got:?}");
            assert!(got.iter().zip(wanted).all(|(got, wanted)| got.starts_with(wanted)), "{got:?}");
        }
    }
}
