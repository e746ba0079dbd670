use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Gradient, Operator, STANDARD, TypeRuleInput};
use crate::CompilerError;
use crate::graph::{Graph, Node, OF_ONE_PROCESSOR, ONE_PROCESSOR, OperatorTypes, TensorType, standard_domain};

/// The operators that a compilation knows, by domain and name. Copies share their rows.
///
/// ```
/// use millstream_compiler::operators::{OperatorCatalog, Gradient, Operator, Sample, varied};
///
/// /// `Absolute` of the domain `test.extension`, version 1: y = |x|.
/// const ABSOLUTE: Operator = Operator {
///     domain: "test.extension",
///     name: "Absolute",
///     opsets: 1..=1,
///     weights: &[],
///     types: |rule| Ok(vec![rule.input(0)?.clone()]),
///     fold: None,
///     gradient: Gradient::Expand(|node| {
///         let x = node.input(0)?;
///         Ok(vec![node.graph.add("Abs", &[x], &[])?])
///     }),
///     samples: || vec![Sample::new("both signs", vec![varied(&[2, 3])], vec![])],
/// };
///
/// let catalog = OperatorCatalog::standard().with_operator(ABSOLUTE);
/// assert!(catalog.find("test.extension", "Absolute").is_some());
/// ```
#[derive(Clone)]
pub struct OperatorCatalog {
    domains: Arc<BTreeMap<&'static str, Rows>>,
}

/// The rows of a domain by name.
type Rows = BTreeMap<&'static str, Operator>;

impl OperatorCatalog {
    /// All operators that this crate has rules for: the standard ones, and some of `com.microsoft`.
    pub fn standard() -> Self {
        let mut domains: BTreeMap<&str, Rows> = BTreeMap::new();
        for row in STANDARD {
            domains.entry(row.domain).or_default().insert(row.name, row.clone());
        }
        Self { domains: Arc::new(domains) }
    }

    /// With one more operator. A row of the same domain and name is replaced, so that a rule can be mended from outside.
    #[must_use]
    pub fn with_operator(mut self, row: Operator) -> Self {
        let rows = Arc::make_mut(&mut self.domains).entry(standard_domain(row.domain)).or_default();
        rows.insert(row.name, row);
        self
    }

    /// The row of an operator; the standard domain is `""` or `ai.onnx`.
    pub fn find(&self, domain: &str, name: &str) -> Option<&Operator> {
        self.domains.get(standard_domain(domain))?.get(name)
    }

    /// All rows, by domain and then by name.
    pub fn rows(&self) -> impl Iterator<Item = &Operator> {
        self.domains.values().flat_map(BTreeMap::values)
    }

    /// How the reverse pass goes through an operator in this version of its domain, or why it cannot.
    pub(crate) fn gradient_of(&self, domain: &str, name: &str, opset: i64) -> Result<Gradient, String> {
        let unknown = match domain {
            ONE_PROCESSOR => OF_ONE_PROCESSOR,
            _ => "it is not in the operator table",
        };
        self.find(domain, name).ok_or(unknown)?.gradient_in(opset)
    }
}

impl OperatorTypes for OperatorCatalog {
    fn output_types(
        &self,
        graph: &Graph,
        node: &Node,
        outputs: usize,
    ) -> Option<Result<Vec<TensorType>, CompilerError>> {
        let row = self.find(&node.domain, &node.operator)?;
        Some(row.output_types(&TypeRuleInput { graph, node, outputs, output: 0 }))
    }
}

impl std::fmt::Debug for OperatorCatalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.rows().map(|row| (row.domain, row.name))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_the_same_domain_and_name_is_replaced_in_this_catalog_alone() {
        let standard = OperatorCatalog::standard();
        let relu = standard.find("ai.onnx", "Relu").unwrap().clone();
        let other = standard.clone().with_operator(Operator { gradient: Gradient::Missing, ..relu.clone() });
        assert_eq!(other.rows().count(), standard.rows().count());
        assert!(other.gradient_of("", "Relu", 17).is_err() && standard.gradient_of("", "Relu", 17).is_ok());
        let own = standard.with_operator(Operator { domain: "test.extension", gradient: Gradient::Missing, ..relu });
        assert!(own.gradient_of("", "Relu", 17).is_ok() && own.gradient_of("test.extension", "Relu", 17).is_err());
        assert!(own.find("odd", "Relu").is_none());
    }

    #[test]
    fn no_two_rows_of_the_list_are_of_one_operator() {
        assert_eq!(OperatorCatalog::standard().rows().count(), STANDARD.len());
    }
}
