//! Which modules PEFT holds whole: those that `modules_to_save` names, and what else it takes for them.

use std::collections::BTreeSet;

use super::adapter::Adapter;

/// The module that is held whole for a parameter; none of a bias that is held by itself, which PEFT puts in the place of the model's.
pub(crate) fn whole_module<'a>(adapter: &Adapter, name: &'a str) -> Option<&'a str> {
    let (module, part) = name.rsplit_once('.')?;
    (part != "bias" || adapter.whole.contains_key(&format!("{module}.weight"))).then_some(module)
}

/// The modules that an adapter holds whole beside what it adapts.
pub(crate) fn saved_modules(adapter: &Adapter) -> BTreeSet<&str> {
    let whole = adapter.whole.keys().filter_map(|name| whole_module(adapter, name));
    whole.filter(|module| !adapter.is_norm(module)).collect()
}

/// The modules that it adapts: those that it adds something to, or normalizations.
pub(crate) fn adapted_modules(adapter: &Adapter) -> BTreeSet<&str> {
    adapter.modules.keys().map(String::as_str).chain(adapter.norms()).collect()
}

/// Whether PEFT takes a module for one that `modules_to_save` names. It compares the ends of paths whatever stands before them, so that
/// `classifier` means `pre_classifier` too, and adapts nothing with a saved path among its parts.
pub(crate) fn is_taken_for(saved: &str, module: &str) -> bool {
    module.ends_with(saved) || format!(".{module}.").contains(&format!(".{saved}."))
}

impl Adapter {
    /// A module that it adapts and one that it holds whole, where PEFT takes the first for the second and does not load the folder.
    pub fn clash(&self) -> Option<(&str, &str)> {
        let saved = saved_modules(self);
        let with = |module| saved.iter().find(|saved| is_taken_for(saved, module)).map(|saved| (module, *saved));
        adapted_modules(self).into_iter().find_map(with)
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
