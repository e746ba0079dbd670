//! Small float tensors that exporters compute of shapes: `Cast`, `Div`, `Floor`, `Cast` and the like.
//!
//! Floats of the model itself are left alone, since they may be trained: of the inputs one must be made by a node of what is
//! known, and the others be single numbers. What names leave open is followed while it is whole, and then exact below 2²⁴.

use std::cell::Cell;

use super::folding::{self, is_small, small_shape, spread};
use crate::CompilerError;
use crate::graph::{Constant, ElementType, Graph, Integers, Known, Length, ValueId};
use crate::operators::TypeRuleInput;

type Folded = Result<Option<Known>, CompilerError>;

/// Shape arithmetic has an element an axis.
const MOST_ELEMENTS: usize = 64;
/// Whole numbers from here on are not all floats.
const LARGEST_WHOLE: f32 = 16_777_216.0;

/// An element that is known before the run.
#[derive(Clone, Debug)]
pub(crate) enum Element {
    Number(f32),
    /// An expression over named lengths.
    Whole(Length),
}

impl Element {
    /// A number that is known to be this float.
    fn as_number(&self) -> Option<f32> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Whole(length) => {
                length.as_number().map(|number| number as f32).filter(|number| number.abs() < LARGEST_WHOLE)
            }
        }
    }

    fn as_length(&self) -> Option<Length> {
        match self {
            Self::Number(number) if number.fract() == 0.0 && number.abs() < LARGEST_WHOLE => {
                Some(Length::number(*number as i64))
            }
            Self::Number(_) => None,
            Self::Whole(length) => Some(length.clone()),
        }
    }
}

/// A small tensor of 32-bit floats.
pub(crate) struct Floats {
    pub(crate) shape: Vec<usize>,
    pub(crate) elements: Vec<Element>,
    /// Whether a node makes it of what is known.
    pub(crate) is_computed: bool,
}

/// A value that is small, of floats, and known before the run.
fn known(rule: &TypeRuleInput<'_>, value: ValueId) -> Option<Floats> {
    let stated = rule.graph.tensor_type(value).filter(|stated| stated.dtype == ElementType::F32)?;
    let shape = small_shape(&stated.shape).filter(|shape| shape.iter().product::<usize>() <= MOST_ELEMENTS)?;
    if let Some(whole) = rule.graph.integers_of(value) {
        let elements = whole.elements.into_iter().map(Element::Whole).collect();
        return Some(Floats { shape, elements, is_computed: true });
    }
    let elements = rule.graph.constant_of(value)?.to_f32()?.into_iter().map(Element::Number).collect();
    let is_computed = rule.graph.producer(value).is_some_and(|node| node.inputs.iter().any(Option::is_some));
    Some(Floats { shape, elements, is_computed })
}

/// The only number of an input of floats that says how an operator computes, where it is whole.
pub(crate) fn whole_number(rule: &TypeRuleInput<'_>, index: usize) -> Option<Length> {
    known(rule, rule.node.input(index)?)?.elements.first()?.as_length()
}

/// Inputs that shape arithmetic may read, all of them; `None` where one is not known or may be a weight.
pub(crate) fn inputs(rule: &TypeRuleInput<'_>, indices: impl IntoIterator<Item = usize>) -> Option<Vec<Floats>> {
    let inputs = indices.into_iter().map(|index| known(rule, rule.node.input(index)?));
    let inputs = inputs.collect::<Option<Vec<Floats>>>()?;
    let fits = inputs.iter().all(|input| input.is_computed || input.elements.len() == 1);
    (fits && inputs.iter().any(|input| input.is_computed)).then_some(inputs)
}

/// Elements as a tensor; `None` where what is open is beside a fraction.
pub(crate) fn from_elements(shape: &[usize], elements: &[Element]) -> Option<Known> {
    let number = |element: &Element| match element {
        Element::Number(number) => Some(*number),
        Element::Whole(length) => length.as_number().map(|number| number as f32),
    };
    if let Some(numbers) = elements.iter().map(number).collect::<Option<Vec<f32>>>() {
        return is_small(shape).then(|| Known::Constant(Constant::f32(shape, &numbers)));
    }
    let elements = elements.iter().map(Element::as_length).collect::<Option<Vec<Length>>>()?;
    let followed = elements.iter().all(|element| element.as_number().is_some() || !element.is_excessive());
    followed.then(|| Known::Integers(Integers { dtype: ElementType::F32, shape: shape.to_vec(), elements }))
}

/// One number to one, element by element; `whole` of what is open.
pub(crate) fn unary(rule: &TypeRuleInput<'_>, number: fn(f32) -> f32, whole: fn(&Length) -> Option<Length>) -> Folded {
    let Some(input) = inputs(rule, [0]).and_then(|mut inputs| inputs.pop()) else { return Ok(None) };
    let value = |element: &Element| match element {
        Element::Number(value) => Some(Element::Number(number(*value))),
        Element::Whole(length) => whole(length).map(Element::Whole),
    };
    let elements = input.elements.iter().map(value).collect::<Option<Vec<Element>>>();
    Ok(elements.and_then(|elements| from_elements(&input.shape, &elements)))
}

/// The elements of two inputs in pairs, in the shape that they are broadcast to.
type Pairs = (Vec<usize>, Vec<(Element, Element)>);

/// The pairs of a node's two inputs; `None` where one is not known or may be a weight.
fn pairs(rule: &TypeRuleInput<'_>) -> Result<Option<Pairs>, CompilerError> {
    let Some([a, b]) = inputs(rule, [0, 1]).and_then(|inputs| <[Floats; 2]>::try_from(inputs).ok()) else {
        return Ok(None);
    };
    let [of_a, of_b] = [&a, &b].map(|side| side.shape.iter().map(Length::from).collect::<Vec<Length>>());
    let Some(shape) = small_shape(&rule.broadcast(&of_a, &of_b)?) else { return Ok(None) };
    let [a, b] = [a, b].map(|side| spread(&side.shape, &side.elements, &shape));
    Ok(Some((shape, a.into_iter().zip(b).collect())))
}

/// Two numbers to one, broadcast; `whole` of two of which one is open.
pub(crate) fn binary(
    rule: &TypeRuleInput<'_>,
    number: fn(f32, f32) -> f32,
    whole: fn(&Length, &Length) -> Option<Length>,
) -> Folded {
    let value = |a: &Element, b: &Element| match (a, b) {
        (Element::Number(a), Element::Number(b)) => Some(Element::Number(number(*a, *b))),
        _ => whole(&a.as_length()?, &b.as_length()?).map(Element::Whole),
    };
    let Some((shape, pairs)) = pairs(rule)? else { return Ok(None) };
    let elements = pairs.iter().map(|(a, b)| value(a, b)).collect::<Option<Vec<Element>>>();
    Ok(elements.and_then(|elements| from_elements(&shape, &elements)))
}

/// Floats made whole: numbers by `number`; of an open quotient that a `Div` makes, `whole` of dividend and divisor.
pub(crate) fn rounded(
    rule: &TypeRuleInput<'_>,
    number: fn(f32) -> f32,
    whole: fn(&Length, &Length) -> Option<Length>,
) -> Folded {
    if let Some(known) = unary(rule, number, |length| Some(length.clone()))? {
        return Ok(Some(known));
    }
    Ok(quotient(rule, whole).and_then(|(shape, elements)| {
        let elements: Vec<Element> = elements.into_iter().map(Element::Whole).collect();
        from_elements(&shape, &elements)
    }))
}

/// The rounded elements of an open quotient that a `Div` makes.
fn quotient(
    rule: &TypeRuleInput<'_>,
    whole: fn(&Length, &Length) -> Option<Length>,
) -> Option<(Vec<usize>, Vec<Length>)> {
    let node = rule.graph.producer(rule.node.input(0)?).filter(|node| node.is("Div"))?;
    let division = TypeRuleInput { graph: rule.graph, node, outputs: 1, output: 0 };
    let (shape, pairs) = pairs(&division).ok()??;
    let elements = pairs.iter().map(|(a, b)| whole(&a.as_length()?, &b.as_length()?));
    Some((shape, elements.collect::<Option<Vec<Length>>>()?))
}

/// Floats as integers, cut towards zero.
pub(crate) fn truncated(rule: &TypeRuleInput<'_>) -> Option<(Vec<usize>, Vec<Length>)> {
    let cut = |element: &Element| match element {
        // beyond them runtimes differ
        Element::Number(number) if number.abs() < 9.0e18 => Some(Length::number(number.trunc() as i64)),
        Element::Number(_) => None,
        Element::Whole(length) => Some(length.clone()),
    };
    if let Some(input) = inputs(rule, [0]).and_then(|mut inputs| inputs.pop()) {
        let elements = input.elements.iter().map(cut).collect::<Option<Vec<Length>>>()?;
        return Some((input.shape, elements));
    }
    if let Some((value, shape)) = rule.node.input(0).zip(rule.input(0).ok().and_then(|known| small_shape(&known.shape)))
        && let Some(numbers) = of_constants(rule.graph, value)
    {
        let elements = numbers.into_iter().map(|number| cut(&Element::Number(number)));
        return Some((shape, elements.collect::<Option<Vec<Length>>>()?));
    }
    quotient(rule, |a, b| (a.is_at_least(0) && b.is_at_least(1)).then(|| a.quotient(b)))
}

/// Operators on constants lie so deep in each other.
const DEEPEST: usize = 24;
/// And so many are looked at for one value, however often they read each other.
const MOST_NODES: usize = 512;

/// A small tensor that operators make of constants. Weights may be among them, so this is for what says a shape or becomes
/// integers, and has no gradient.
pub(crate) fn of_constants(graph: &Graph, value: ValueId) -> Option<Vec<f32>> {
    numbers(graph, value, DEEPEST, &Cell::new(MOST_NODES))
}

fn numbers(graph: &Graph, value: ValueId, deepest: usize, nodes_left: &Cell<usize>) -> Option<Vec<f32>> {
    nodes_left.set(nodes_left.get().checked_sub(1)?);
    let stated = graph.tensor_type(value)?;
    let count = small_shape(&stated.shape)?.iter().product::<usize>();
    if count > MOST_ELEMENTS {
        return None;
    }
    if stated.dtype == ElementType::I64 || stated.dtype == ElementType::I32 {
        let whole = graph.integers_of(value)?.elements;
        return whole.iter().map(|length| Element::Whole(length.clone()).as_number()).collect();
    }
    if stated.dtype == ElementType::F64 {
        return doubles(graph, value);
    }
    if stated.dtype != ElementType::F32 {
        return None;
    }
    if let Some(constant) = graph.constant_of(value) {
        return constant.to_f32();
    }
    let node = graph.producer(value).filter(|node| node.domain.is_empty() && deepest > 0)?;
    let input = |index: usize| numbers(graph, node.input(index)?, deepest - 1, nodes_left);
    let each = |number: fn(f32) -> f32| Some(input(0)?.into_iter().map(number).collect());
    let both = |number: fn(f32, f32) -> f32| {
        let (a, b) = (input(0)?, input(1)?);
        // other forms do not come in such arithmetic
        let fits = a.len() == count && (b.len() == count || b.len() == 1) || a.len() == 1 && b.len() == count;
        let at = |side: &[f32], at: usize| side[if side.len() == 1 { 0 } else { at }];
        fits.then(|| (0..count).map(|place| number(at(&a, place), at(&b, place))).collect())
    };
    let bound = |index: usize, none: f32| match node.input(index) {
        Some(_) => input(index).filter(|bound| bound.len() == 1).map(|bound| bound[0]),
        None => Some(none),
    };
    match node.operator.as_str() {
        "Identity" | "Cast" | "Unsqueeze" | "Squeeze" | "Reshape" | "Flatten" => input(0),
        "Sqrt" => each(f32::sqrt),
        "Floor" => each(f32::floor),
        "Ceil" => each(f32::ceil),
        "Neg" => each(|number| -number),
        "Add" => both(|a, b| a + b),
        "Sub" => both(|a, b| a - b),
        "Mul" => both(|a, b| a * b),
        "Div" => both(|a, b| a / b),
        "Max" if node.inputs.len() == 2 => both(f32::max),
        "Min" if node.inputs.len() == 2 => both(f32::min),
        "Pow" => both(|a, b| f64::from(a).powf(f64::from(b)) as f32),
        "Clip" => {
            let (low, high) = (bound(1, f32::MIN)?, bound(2, f32::MAX)?);
            Some(input(0)?.into_iter().map(|number| number.max(low).min(high)).collect())
        }
        "Concat" if stated.shape.len() == 1 => {
            let parts = node.inputs.iter().map(|part| numbers(graph, (*part)?, deepest - 1, nodes_left));
            parts.collect::<Option<Vec<Vec<f32>>>>().map(|parts| parts.concat())
        }
        _ => None,
    }
}

/// The numbers of a constant of doubles, where single precision has all of them.
fn doubles(graph: &Graph, value: ValueId) -> Option<Vec<f32>> {
    let chunks = graph.constant_of(value)?.bytes.chunks_exact(8);
    let numbers = chunks.map(|bytes| f64::from_le_bytes(bytes.try_into().expect("chunks of 8")));
    numbers.map(|number| Some(number as f32).filter(|single| f64::from(*single) == number)).collect()
}

/// The first input's elements in the output's shape.
pub(crate) fn reshaped(rule: &TypeRuleInput<'_>, shape: &[Length]) -> Option<Known> {
    if let Some(source) = inputs(rule, [0]).and_then(|mut inputs| inputs.pop()) {
        return from_elements(&small_shape(shape)?, &source.elements);
    }
    let source = folding::integer_input(rule, 0)?;
    folding::from_elements(source.dtype, &small_shape(shape)?, source.elements)
}

/// The first input in another element type: integers, and floats that are computed of shapes.
pub(crate) fn cast(rule: &TypeRuleInput<'_>, dtype: ElementType) -> Option<Known> {
    if let Some(source) = folding::integer_input(rule, 0) {
        let is_open = source.elements.iter().any(|element| element.as_number().is_none());
        return match dtype {
            ElementType::F32 if is_open => {
                let elements: Vec<_> = source.elements.into_iter().map(Element::Whole).collect();
                from_elements(&source.shape, &elements)
            }
            _ => folding::from_elements(dtype, &source.shape, source.elements),
        };
    }
    match dtype {
        ElementType::F32 => reshaped(rule, &rule.input(0).ok()?.shape),
        ElementType::I64 | ElementType::I32 => {
            let (shape, elements) = truncated(rule)?;
            folding::from_elements(dtype, &shape, elements)
        }
        _ => None,
    }
}

/// Two numbers to a truth value, broadcast: integers, or whole floats that are computed of shapes; `None` where it depends on what names
/// stand for.
pub(crate) fn comparison(rule: &TypeRuleInput<'_>, holds: fn(&Length, &Length) -> Option<bool>) -> Folded {
    if let Some(known) = folding::comparison(rule, holds)? {
        return Ok(Some(known));
    }
    let Some((shape, pairs)) = pairs(rule)? else { return Ok(None) };
    let truth = |a: &Element, b: &Element| holds(&a.as_length()?, &b.as_length()?).map(usize::from);
    let elements = pairs.iter().map(|(a, b)| truth(a, b).map(Length::from)).collect::<Option<Vec<Length>>>();
    Ok(elements.and_then(|elements| folding::from_elements(ElementType::Bool, &shape, elements)))
}

/// Two numbers to one, broadcast: integers by the first rule, floats that are computed of shapes by the others.
pub(crate) fn arithmetic(
    rule: &TypeRuleInput<'_>,
    integer: fn(&Length, &Length) -> Option<Length>,
    float: fn(f32, f32) -> f32,
    whole: fn(&Length, &Length) -> Option<Length>,
) -> Folded {
    match folding::binary(rule, integer)? {
        Some(known) => Ok(Some(known)),
        None => binary(rule, float, whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::OperatorCatalog;

    #[test]
    fn constants_that_read_each_other_twice_at_each_step_are_given_up_soon() {
        let known = |steps: usize| {
            let mut graph = Graph::new(17, OperatorCatalog::standard());
            let mut value = graph.constant("one", Constant::f32([1], &[1.0]));
            for _ in 0..steps {
                value = graph.times(value, value).unwrap();
            }
            of_constants(&graph, value)
        };
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let many = graph.constant("many", Constant::f32([MOST_ELEMENTS + 1], &[1.0; MOST_ELEMENTS + 1]));
        assert_eq!(of_constants(&graph, many), None);
        assert_eq!(known(4), Some(vec![1.0]));
        assert_eq!(known(20), None);
    }
}
