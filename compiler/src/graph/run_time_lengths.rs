//! Lengths as values of the graph: constants where they are numbers, else computed at each run from the shapes of inputs.

use super::length::{Factor, Term};
use super::{Attribute, Constant, ElementType, Graph, Integers, Known, Length, ValueId};
use crate::CompilerError;

type Emitted = Result<ValueId, CompilerError>;

/// `Shape` names a part of the axes from this opset on.
const PART_OF_SHAPE_SINCE: i64 = 15;

impl Graph {
    /// A vector of these lengths. What is computed is computed once, whoever asks.
    ///
    /// # Errors
    /// No input has an axis of that name.
    pub fn lengths(&mut self, lengths: &[Length]) -> Emitted {
        let numbers: Option<Vec<i64>> = lengths.iter().map(Length::as_number).collect();
        if let Some(numbers) = numbers {
            return Ok(self.integers(&numbers));
        }
        if let Some(computed) = self.computed_lengths.get(lengths) {
            return Ok(*computed);
        }
        let value = match lengths {
            [one] => self.computed(one)?,
            _ => {
                let mut parts = Vec::new();
                for run in lengths.chunk_by(|a, b| a.as_number().is_some() && b.as_number().is_some()) {
                    parts.push(self.lengths(run)?);
                }
                self.concat(&parts, 0)?
            }
        };
        self.set_known(value, Known::Integers(Integers::vector(lengths.to_vec())));
        self.computed_lengths.insert(lengths.to_vec(), value);
        Ok(value)
    }

    /// The length, a float scalar; at least one.
    pub fn length_as_float(&mut self, length: &Length) -> Emitted {
        if let Some(number) = length.fixed() {
            return Ok(self.scalar(number.max(1) as f32));
        }
        let count = self.lengths(std::slice::from_ref(length))?;
        let count = self.cast(count, ElementType::F32)?;
        self.reshape::<Length>(count, &[])
    }

    /// 1 / length, a float scalar.
    pub fn one_over(&mut self, length: &Length) -> Emitted {
        if let Some(number) = length.fixed() {
            return Ok(self.scalar(1.0 / number as f32));
        }
        let count = self.length_as_float(length)?;
        let one = self.scalar(1.0);
        self.divided_by(one, count)
    }

    /// The whole numbers from 0 up to a length, which is not among them: int64.
    pub fn positions(&mut self, count: &Length) -> Emitted {
        const MOST_WRITTEN: usize = 1 << 16;
        if let Some(count) = count.fixed().filter(|count| *count <= MOST_WRITTEN) {
            return Ok(self.integers(&(0..count as i64).collect::<Vec<i64>>()));
        }
        let limit = self.lengths(std::slice::from_ref(count))?;
        let limit = self.reshape::<Length>(limit, &[])?;
        let known = Integers { dtype: ElementType::I64, shape: Vec::new(), elements: vec![count.clone()] };
        self.set_known(limit, Known::Integers(known));
        let [start, step] = [0, 1].map(|value| self.constant("whole", Constant::i64([], &[value])));
        self.add("Range", &[start, limit, step], &[])
    }

    /// A vector of one length that is no number.
    fn computed(&mut self, length: &Length) -> Emitted {
        if let Some(name) = length.name() {
            return self.named_length(name);
        }
        let mut sum = None;
        for term in length.terms().to_vec() {
            let product = self.computed_term(&term)?;
            sum = Some(match sum {
                Some(sum) => self.plus(sum, product)?,
                None => product,
            });
        }
        sum.ok_or_else(|| CompilerError::unsupported(format!("a length {length}"), "state the lengths of the inputs"))
    }

    fn computed_term(&mut self, term: &Term) -> Emitted {
        let mut product =
            (term.coefficient != 1 || term.factors.is_empty()).then(|| self.integers(&[term.coefficient]));
        for factor in &term.factors {
            let factor = match factor {
                Factor::Symbol(name) => self.lengths(&[Length::named(name)])?,
                Factor::Quotient(a, b) => self.of_two("Div", a, b)?,
                Factor::Minimum(a, b) => self.of_two("Min", a, b)?,
            };
            product = Some(match product {
                Some(product) => self.times(product, factor)?,
                None => factor,
            });
        }
        Ok(product.expect("a term without factors is its coefficient"))
    }

    fn of_two(&mut self, operator: &str, a: &Length, b: &Length) -> Emitted {
        let [a, b] = [a, b].map(|side| self.lengths(std::slice::from_ref(side)));
        self.add(operator, &[a?, b?], &[])
    }

    /// From the shape of the first input that has an axis of this name.
    fn named_length(&mut self, name: &str) -> Emitted {
        let wanted = Length::named(name);
        let place = |input: &ValueId| {
            let axis = self.tensor_type(*input)?.shape.iter().position(|length| *length == wanted)?;
            Some((*input, axis as i64))
        };
        let Some((input, axis)) = self.inputs().iter().find_map(place) else {
            return Err(CompilerError::unsupported(
                format!("an axis of length `{wanted}`, which no input has"),
                "state the lengths of the inputs",
            ));
        };
        if self.opset >= PART_OF_SHAPE_SINCE {
            return self.add("Shape", &[input], &[("start", axis.into()), ("end", (axis + 1).into())]);
        }
        let shape = self.add("Shape", &[input], &[])?;
        let index = self.constant("axis", Constant::i64([1], &[axis]));
        self.add("Gather", &[shape, index], &[("axis", Attribute::Int(0))])
    }
}

#[cfg(test)]
mod tests {
    use super::super::TensorType;
    use super::*;
    use crate::operators::OperatorCatalog;

    #[test]
    fn numbers_are_constants_and_a_name_is_looked_up_once() {
        for opset in [13, 17] {
            let mut graph = Graph::new(opset, OperatorCatalog::standard());
            let batch = Length::named("batch");
            graph.input("x", TensorType::f32([Length::from(3), batch.clone()]));
            let fixed = graph.lengths(&[2.into(), 3.into()]).unwrap();
            assert!(graph.constant_of(fixed).is_some() && graph.nodes().is_empty());
            let pair = graph.lengths(&[2.into(), &batch * 2 + 1]).unwrap();
            let count = graph.nodes().len();
            assert_eq!(graph.lengths_of(pair), Some(vec![2.into(), &batch * 2 + 1]));
            assert_eq!(graph.lengths(&[2.into(), &batch * 2 + 1]).unwrap(), pair);
            graph.lengths(&[batch]).unwrap();
            assert_eq!(graph.nodes().len(), count);
            let error = graph.lengths(&[Length::named("other")]).unwrap_err().to_string();
            assert!(error.contains("`other`, which no input has"), "{error}");
        }
    }
}
