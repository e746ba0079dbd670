use serde::Serialize;

use crate::model_file::{OLDEST_KEPT, OPSETS, READ_AS, resolved_operators};
use crate::operators::{Gradient, OperatorCatalog};

/// What models may consist of: the rows of a catalog, and operators of which nothing is left when a model is read.
#[derive(Clone, Debug, Serialize)]
pub struct KnownOperators {
    /// The oldest version of the standard operators that is read.
    pub oldest_opset: i64,
    /// The newest.
    pub newest_opset: i64,
    /// Models of this version and newer ones keep it.
    pub kept_from: i64,
    /// The version that older ones are read as, where their meaning is kept.
    pub read_as: i64,
    /// By domain and then by name.
    pub operators: Vec<KnownOperator>,
}

/// An operator that models may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KnownOperator {
    /// Domain as in ONNX: empty for the standard operators.
    pub domain: &'static str,
    /// Name as in ONNX.
    pub operator: &'static str,
    /// First and last version of the domain whose definition is followed; none of an operator that is resolved.
    pub opsets: Option<(i64, i64)>,
    /// How a gradient goes through it.
    pub gradient: Passage,
    /// Why the gradient is zero or there is none, or what becomes of the operator.
    pub reason: Option<&'static str>,
    /// Whether small integers that it makes are computed while compiling, where what it reads is known: shape arithmetic.
    pub folded: bool,
}

/// How a gradient goes through an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Passage {
    /// By a rule of its own.
    Defined,
    /// By those of simpler operators, which stand for it in the training step.
    Expanded,
    /// It is zero.
    Zero,
    /// There is none: the operator may stand where no gradient has to go, in front of all that is trained for example.
    None,
    /// Nothing is left of the operator when a model is read.
    Resolved,
}

/// What models may consist of, by the rules of a catalog.
pub fn known_operators(catalog: &OperatorCatalog) -> KnownOperators {
    let rows = catalog.rows().map(|row| {
        let (gradient, reason) = match row.gradient {
            Gradient::Defined(_) => (Passage::Defined, None),
            Gradient::Expand(_) => (Passage::Expanded, None),
            Gradient::Zero(reason) => (Passage::Zero, Some(reason)),
            Gradient::Missing => (Passage::None, None),
            Gradient::Refused(reason) => (Passage::None, Some(reason)),
        };
        KnownOperator {
            domain: row.domain,
            operator: row.name,
            opsets: Some((*row.opsets.start(), *row.opsets.end())),
            gradient,
            reason,
            folded: row.fold.is_some(),
        }
    });
    let resolved = resolved_operators().filter(|row| catalog.find(row.domain, row.name).is_none());
    let resolved = resolved.map(|row| KnownOperator {
        domain: row.domain,
        operator: row.name,
        opsets: None,
        gradient: Passage::Resolved,
        reason: Some(row.how),
        folded: false,
    });
    let mut operators: Vec<KnownOperator> = rows.chain(resolved).collect();
    operators.sort_by_key(|row| (row.domain, row.operator));
    KnownOperators {
        oldest_opset: *OPSETS.start(),
        newest_opset: *OPSETS.end(),
        kept_from: OLDEST_KEPT,
        read_as: READ_AS,
        operators,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::Operator;

    #[test]
    fn every_row_is_listed_once_with_the_way_of_its_gradient() {
        let standard = OperatorCatalog::standard();
        let known = known_operators(&standard).operators;
        assert!(known.is_sorted_by_key(|row| (row.domain, row.operator)));
        let names: std::collections::BTreeSet<_> = known.iter().map(|row| (row.domain, row.operator)).collect();
        assert_eq!(names.len(), known.len(), "an operator stands twice");
        let found = |operator: &str| known.iter().find(|row| row.operator == operator).unwrap();
        let ways = [
            ("Relu", Passage::Defined),
            ("QuickGelu", Passage::Expanded),
            ("Floor", Passage::Zero),
            ("Scan", Passage::None),
            ("Upsample", Passage::Resolved),
            ("SequenceAt", Passage::Resolved),
            ("Imputer", Passage::Resolved),
            ("Scatter", Passage::Resolved),
        ];
        for (operator, way) in ways {
            assert_eq!(found(operator).gradient, way, "{operator}");
        }
        // what is rewritten and stays what it is called is a row
        assert_eq!((found("Clip").gradient, found("Clip").opsets.is_some()), (Passage::Defined, true));
        assert!(known.iter().all(|row| row.reason.is_some() != (row.gradient <= Passage::Expanded)), "{known:?}");
        let relu = standard.find("", "Relu").unwrap().clone();
        let own = standard.with_operator(Operator { domain: "test.extension", gradient: Gradient::Missing, ..relu });
        assert_eq!(known_operators(&own).operators.len(), known.len() + 1);
    }
}
