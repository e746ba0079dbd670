//! Which modules PEFT holds whole: those that `modules_to_save` names, and what else it takes for them.

use std::collections::{BTreeMap, BTreeSet};

use super::adapter::{Adapter, AdapterMethod};

/// What PEFT holds whole of each classifier (`SEQ_CLS`), whatever `modules_to_save` names.
pub(crate) const HEADS_OF_CLASSIFIERS: [&str; 2] = ["classifier", "score"];

/// What an adapter holds, apart from the numbers.
#[derive(Clone, Debug)]
pub(crate) struct Outline<'a> {
    /// By which method.
    pub(crate) method: AdapterMethod,
    /// The modules that it adds something to.
    pub(crate) modules: BTreeSet<&'a str>,
    /// The parameters that it holds whole, each with how many axes it has.
    pub(crate) whole: BTreeMap<&'a str, usize>,
}

impl<'a> Outline<'a> {
    pub(super) fn of(adapter: &'a Adapter) -> Self {
        let whole = adapter.whole.iter().map(|(name, tensor)| (name.as_str(), tensor.shape().len()));
        let modules = adapter.modules.keys().map(String::as_str).collect();
        Self { method: adapter.method, modules, whole: whole.collect() }
    }

    /// The module that is held whole for a parameter; none of a bias that is held by itself, which PEFT puts in the place of the model's.
    pub(crate) fn whole_module<'b>(&self, name: &'b str) -> Option<&'b str> {
        let (module, part) = name.rsplit_once('.')?;
        (part != "bias" || self.whole.contains_key(format!("{module}.weight").as_str())).then_some(module)
    }

    /// The modules that it holds whole beside what it adapts.
    pub(crate) fn saved_modules(&self) -> BTreeSet<&'a str> {
        let whole = self.whole.keys().filter_map(|name| self.whole_module(name));
        whole.filter(|module| !self.is_norm(module)).collect()
    }

    /// Whether its folder says that the model is a classifier: of a method that gives vectors to a model, for which PEFT has to be told
    /// what that is, where the head is held whole.
    pub(crate) fn is_of_classifier(&self) -> bool {
        self.method.has_prompt() && self.whole.keys().any(|name| head_around(name).is_some())
    }

    /// What `modules_to_save` names: of a classifier the head, and not the modules in it, which PEFT would wrap twice.
    pub(super) fn named_modules(&self) -> BTreeSet<&'a str> {
        let saved = self.saved_modules();
        if !self.is_of_classifier() {
            return saved;
        }
        saved.into_iter().map(|module| head_around(module).unwrap_or(module)).collect()
    }

    /// The modules that it adapts: those that it adds something to, or normalizations.
    pub(super) fn adapted_modules(&self) -> BTreeSet<&'a str> {
        let norms = self.whole.keys().filter_map(|name| Some(name.rsplit_once('.')?.0));
        self.modules.iter().copied().chain(norms.filter(|module| self.is_norm(module))).collect()
    }

    /// Whether a module is a normalization that LN_TUNING has trained: one whose weight is a vector.
    pub(super) fn is_norm(&self, module: &str) -> bool {
        let axes = self.whole.get(format!("{module}.weight").as_str());
        self.method == AdapterMethod::LnTuning && axes == Some(&1)
    }

    /// As [`Adapter::clash`].
    pub(crate) fn clash(&self) -> Option<(&'a str, &'a str)> {
        let saved = self.saved_modules();
        let with =
            |module: &'a str| saved.iter().find(|saved| is_taken_for(saved, module)).map(|saved| (module, *saved));
        self.adapted_modules().into_iter().find_map(with)
    }
}

/// Whether PEFT takes a module for one that `modules_to_save` names. It compares the ends of paths whatever stands before them, so that
/// `classifier` means `pre_classifier` too, and adapts nothing with a saved path among its parts.
pub(crate) fn is_taken_for(saved: &str, module: &str) -> bool {
    module.ends_with(saved) || format!(".{module}.").contains(&format!(".{saved}."))
}

/// The head of a classifier that something is a part of by its path; nothing of other modules.
fn head_around(path: &str) -> Option<&'static str> {
    let is_around = |head: &&str| path.strip_prefix(*head).is_some_and(|rest| rest.starts_with('.'));
    HEADS_OF_CLASSIFIERS.into_iter().find(is_around)
}

impl Adapter {
    /// A module that it adapts and one that it holds whole, where PEFT takes the first for the second and does not load the folder.
    pub fn clash(&self) -> Option<(&str, &str)> {
        Outline::of(self).clash()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_taken_for_a_saved_one_by_the_end_of_its_path() {
        for (saved, module, wanted) in [
            ("classifier", "classifier", true),
            ("classifier", "pre_classifier", true),
            ("classifier", "classifier.dense", true),
            ("classifier.out_proj", "classifier.dense", false),
            ("pre_classifier", "classifier", false),
            ("layer.1.dense", "bert.layer.11.dense", false),
            ("score", "model.layers.0.q_proj", false),
        ] {
            assert_eq!(is_taken_for(saved, module), wanted, "{saved} {module}");
        }
    }
}
