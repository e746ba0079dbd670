use std::collections::BTreeSet;

use millstream_schemas::shown;

/// How the paths of modules in the source of a model become the names of its layers in a file: a part at the front is cut, and
/// another put there, both the same for all.
///
/// A file that was exported through a wrapper calls `encoder.query` for example `m.encoder.query`, and what was trained in a
/// larger model `bert.encoder.query`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleNames {
    cut: Vec<String>,
    put: Vec<String>,
}

/// Most names that an error lists.
const MOST_LISTED: usize = 6;

impl ModuleNames {
    /// Finds the one way in which all modules are layers, by the end that the names share; of several the one that keeps most.
    ///
    /// # Errors
    /// There is none, or two keep as much.
    pub fn between<'a>(
        modules: impl IntoIterator<Item = &'a str>,
        layers: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, String> {
        let modules: Vec<Vec<String>> = modules.into_iter().map(parts).collect();
        let layers: BTreeSet<Vec<String>> = layers.into_iter().map(parts).collect();
        let Some(first) = modules.first() else { return Ok(Self { cut: Vec::new(), put: Vec::new() }) };
        let mut found: Vec<Self> = Vec::new();
        for layer in &layers {
            let same = first.iter().rev().zip(layer.iter().rev()).take_while(|(a, b)| a == b).count();
            if same == 0 {
                continue;
            }
            let names = Self { cut: front(first, same), put: front(layer, same) };
            let all = modules.iter().all(|module| names.of(module).is_some_and(|name| layers.contains(&name)));
            if all && !found.contains(&names) {
                found.push(names);
            }
        }
        let changed = |names: &Self| names.cut.len() + names.put.len();
        found.sort_by_key(changed);
        let (reason, is_one) = match found.as_slice() {
            [] => ("no common front of the names makes every module a layer of the model".to_owned(), false),
            [_] => (String::new(), true),
            [one, other, ..] => {
                let reason = format!("both {} and {} make every module a layer of the model", one.told(), other.told());
                (reason, changed(one) < changed(other))
            }
        };
        if is_one {
            return Ok(found.swap_remove(0));
        }
        let listed = |names: &mut dyn Iterator<Item = String>| {
            let mut all: Vec<String> = names.collect();
            let more = all.len().saturating_sub(MOST_LISTED);
            all.truncate(MOST_LISTED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{}{more}", all.iter().map(|name| format!("`{}`", shown(name))).collect::<Vec<_>>().join(", "))
        };
        let not_there = modules.iter().filter(|module| !layers.iter().any(|layer| layer.ends_with(module)));
        let mut modules: Vec<String> = not_there.map(|module| module.join(".")).collect();
        if modules.is_empty() {
            modules = vec![first.join(".")];
        }
        Err(format!(
            "{reason}. Modules of the adapter: {}; layers of the model: {}",
            listed(&mut modules.into_iter()),
            listed(&mut layers.iter().map(|layer| layer.join(".")))
        ))
    }

    /// The name of a module's layer; nothing where the module does not begin with what is cut. Parts are joined by dots.
    pub fn layer_of(&self, module: &str) -> Option<String> {
        self.of(&parts(module)).map(|name| name.join("."))
    }

    /// The layer of a module among these names, as it is called there.
    pub fn find<'a>(&self, module: &str, layers: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
        let wanted = self.of(&parts(module))?;
        layers.into_iter().find(|layer| parts(layer) == wanted)
    }

    fn of(&self, module: &[String]) -> Option<Vec<String>> {
        let rest = module.strip_prefix(self.cut.as_slice())?;
        Some([self.put.as_slice(), rest].concat())
    }

    fn told(&self) -> String {
        format!("`{}` for `{}`", shown(self.put.join(".")), shown(self.cut.join(".")))
    }

    /// What all of these names begin with, in front of a first dot, where they are two or more: the wrapper that a model was
    /// exported through.
    pub fn wrapper<'a>(layers: impl IntoIterator<Item = &'a str>) -> Option<String> {
        let all: BTreeSet<Vec<String>> = layers.into_iter().map(parts).collect();
        let first = all.first()?.first()?.clone();
        let shared = all.len() > 1 && all.iter().all(|name| name.len() > 1 && name[0] == first);
        shared.then_some(first)
    }

    /// A layer's name without that front, with dots between its parts.
    pub fn module_of(layer: &str, wrapper: Option<&str>) -> String {
        let own = parts(layer);
        match own.split_first() {
            Some((first, rest)) if Some(first.as_str()) == wrapper && !rest.is_empty() => rest.join("."),
            _ => own.join("."),
        }
    }
}

fn parts(name: &str) -> Vec<String> {
    name.split(['.', '/']).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// All but so many of the last.
fn front(parts: &[String], last: usize) -> Vec<String> {
    parts[..parts.len() - last].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_front_for_all_makes_modules_layers_and_what_is_not_clear_is_refused() {
        let layers = ["m.encoder.0.query", "m.encoder.1.query", "m.encoder.0.output.dense", "m.pooler.dense"];
        for (modules, layer) in [
            (["encoder.0.query", "encoder.1.query"].as_slice(), "m.encoder.0.query"),
            (&["bert.encoder.0.query", "bert.encoder.0.output.dense"], "m.encoder.0.query"),
            (&["m.encoder.0.query"], "m.encoder.0.query"),
            (&["pooler.dense"], "m.pooler.dense"),
        ] {
            let names = ModuleNames::between(modules.iter().copied(), layers).unwrap();
            assert_eq!(names.find(modules[0], layers), Some(layer), "{modules:?}");
        }
        let refused = |modules: &[&str]| ModuleNames::between(modules.iter().copied(), layers).unwrap_err();
        // a layer that is not there is not taken for another of the same end
        for modules in [&["encoder.0.query", "encoder.2.query"], &["other.key", "other.value"]] {
            let message = refused(modules);
            assert!(message.contains(modules[1]) && message.contains("`m.encoder.0.query`"), "{message}");
        }
        let message = refused(&["query"]);
        assert!(message.contains("both `m.encoder.0` for ``") && message.contains("`m.pooler.dense`"), "{message}");
    }

    #[test]
    fn a_wrapper_is_what_all_layers_begin_with() {
        assert_eq!(ModuleNames::wrapper(["m.a.b", "m/c"]).as_deref(), Some("m"));
        for none in [["bert.a", "classifier"].as_slice(), &["m.a"], &["m", "m.a"], &[]] {
            assert_eq!(ModuleNames::wrapper(none.iter().copied()), None, "{none:?}");
        }
        assert_eq!(ModuleNames::module_of("m/a/b", Some("m")), "a.b");
        assert_eq!(ModuleNames::module_of("head", Some("m")), "head");
    }
}
