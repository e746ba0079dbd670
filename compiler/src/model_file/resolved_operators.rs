//! Operators of which nothing is left when a model is read: what each importer says that it takes.

use super::{aside, blocked_channels, conversion, optionals, sequences, traditional};
use crate::graph::ONE_PROCESSOR;

/// An operator of which nothing is left in a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResolvedOperator {
    /// Domain as in ONNX: empty for the standard operators.
    pub(crate) domain: &'static str,
    /// Name as in ONNX.
    pub(crate) name: &'static str,
    /// What becomes of it.
    pub(crate) how: &'static str,
}

/// Those operators, and the ones of which older versions are rewritten: where an operator of that name is known, it stays.
pub(crate) fn resolved_operators() -> impl Iterator<Item = ResolvedOperator> {
    let row = |domain, how| move |name| ResolvedOperator { domain, name, how };
    let sequences = sequences::OPERATORS.into_iter().map(row(
        "",
        "a sequence whose number of tensors is known becomes the tensors themselves, through which gradients go",
    ));
    let optionals = optionals::OPERATORS.into_iter().map(row(
        "",
        "whether the value is there is known, and it becomes the value itself, through which gradients go",
    ));
    let traditional = traditional::OPERATORS.into_iter().map(row(
        traditional::DOMAIN,
        "written as standard operators, through which gradients go; numbers in its attributes become constants, which can be trained",
    ));
    let aside = aside::OPERATORS
        .into_iter()
        .map(row(traditional::DOMAIN, "left aside with what it makes: batches hold tensors of numbers"));
    let rewritten =
        conversion::rewritten().map(row("", "an operator of older versions, read as the one that took its place"));
    let functions = conversion::functions()
        .map(row("", "written as the operators that ONNX defines it by, through which gradients go"));
    let blocked = blocked_channels::OPERATORS.into_iter().map(row(
        ONE_PROCESSOR,
        "what ONNX Runtime has laid out in blocks of channels is read as standard operators, through which gradients go",
    ));
    rewritten.chain(functions).chain(sequences).chain(optionals).chain(traditional).chain(aside).chain(blocked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Graph, Node};
    use crate::model_file::onnx::NodeProto;
    use crate::model_file::scope::Names;
    use crate::operators::OperatorCatalog;

    /// A name in a list that no importer takes would be a promise that is not kept.
    #[test]
    fn every_listed_operator_is_taken_by_its_importer() {
        let file = crate::model_file::onnx::GraphProto::default();
        let names = Names::of(&file);
        for row in resolved_operators() {
            let node = Node { domain: row.domain.into(), operator: row.name.into(), ..Node::default() };
            let mut graph = Graph::new(17, OperatorCatalog::standard());
            let proto = NodeProto {
                domain: Some(row.domain.into()),
                op_type: Some(row.name.into()),
                output: vec!["made".into()],
                ..NodeProto::default()
            };
            // what is taken is made of nothing here: an error, or a value
            let taken = [
                !matches!(traditional::made(&mut graph, &names, &node, &[]), Ok(None)),
                !matches!(sequences::made(&mut graph, &names, &node, &[]), Ok(None)),
                !matches!(optionals::made(&mut graph, &names, &proto, "node", &[]), Ok(None)),
                !aside::outputs(&proto, &[]).is_empty(),
                blocked_channels::is_blocked(&proto),
                conversion::rewritten()
                    .chain(conversion::functions())
                    .any(|name| row.domain.is_empty() && name == row.name),
            ];
            assert_eq!(taken.into_iter().filter(|taken| *taken).count(), 1, "{row:?}: {taken:?}");
        }
    }
}
