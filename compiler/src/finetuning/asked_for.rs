//! Constants that a recipe names as what is trained, though nothing else tells that they are parameters.

use millstream_schemas::recipe::TrainSelection;

use super::layers::{layers, weights_of};
use crate::graph::{Graph, ValueId};
use crate::operators::OperatorCatalog;

/// Notes the constants whose whole name a pattern of `model.train` is, and that are no parameters without it: they become ones where the
/// reasons against that are guesses, as that a single number is of a formula, or that what stands in front of all layers normalizes.
pub(crate) fn ask_for(graph: &mut Graph, train: &TrainSelection, catalog: &OperatorCatalog) {
    let selections = train.selections();
    let named = selections.iter().flat_map(|selection| &selection.r#match).filter_map(|name| graph.find(name));
    let constants: Vec<ValueId> = named.filter(|value| graph.float_constant(*value).is_some()).collect();
    if constants.is_empty() {
        return;
    }
    let known = weights_of(&layers(graph, catalog));
    constants.into_iter().filter(|value| !known.contains(value)).for_each(|value| graph.ask_for(value));
}

#[cfg(test)]
mod tests {
    use millstream_schemas::recipe::{ParameterSelection, TrainPart, TrainSelection, TrainWord};

    use crate::handmade::{graph, model, node, value, weight};
    use crate::model_file::onnx::TensorProto;
    use crate::{FineTuning, OperatorCatalog, compile};

    /// The shapes of what is trained beside the head, or what is said.
    fn trained(train: &str) -> Result<Vec<(String, Vec<usize>)>, String> {
        let nodes = vec![
            node("Add", &["x", "shift"], &["a"]),
            node("MatMul", &["a", "first.weight"], &["b"]),
            node("Mul", &["b", "val_3"], &["c"]),
            node("Tanh", &["c"], &["d"]),
            node("Mul", &["d", "val_3"], &["e"]),
            node("Gemm", &["e", "head.weight"], &["y"]),
        ];
        let number = TensorProto { float_data: vec![0.731_819_9], ..weight("val_3", &[]) };
        let weights =
            vec![weight("shift", &[1, 4]), weight("first.weight", &[4, 4]), number, weight("head.weight", &[4, 3])];
        let model = model(graph(nodes, weights, vec![value("x", &[4])], vec![value("y", &[3])]));
        let head = crate::HeadChoice::keep();
        let train = match train {
            "all" => TrainSelection::All,
            "val_3 and all" => {
                let named = ParameterSelection { r#match: vec!["val_3".to_owned()], ..ParameterSelection::default() };
                TrainSelection::AnyOf(vec![TrainPart::Parameters(named), TrainPart::Word(TrainWord::All)])
            }
            name => TrainSelection::Match(vec![name.to_owned()]),
        };
        let wanted = FineTuning { train, head, ..FineTuning::head(2, 3) };
        let program = compile(&model, &wanted, &OperatorCatalog::standard()).map_err(|error| error.to_string())?;
        let entries = program.manifest.parameters.into_iter().filter(|entry| entry.layer != "head");
        Ok(entries.map(|entry| (entry.layer, entry.shape)).collect())
    }

    #[test]
    fn a_number_without_a_name_of_its_own_and_what_is_added_to_the_input_are_trained_where_a_recipe_names_them() {
        let own = |layer: &str, shape: &[usize]| vec![(layer.to_owned(), shape.to_vec())];
        assert_eq!(trained("all"), Ok(own("first", &[4, 4])));
        assert_eq!(trained("val_3"), Ok(own("val_3", &[])));
        // what is advised loses nothing
        assert_eq!(trained("val_3 and all"), Ok([own("first", &[4, 4]), own("val_3", &[])].concat()));
        assert_eq!(trained("shift"), Ok(own("shift", &[1, 4])));
        let message = trained("val_4").unwrap_err();
        assert!(message.contains("`val_4` matches no layer and no parameter"), "{message}");
    }
}
