use std::collections::HashMap;

use super::input_kind::InputKind;
use crate::graph::{Length, TensorType};

/// Lengths for the names that a file gives the axes of masks, kinds of tokens and places, where it has others for those of the tokens that
/// these tell of, as exporters do that name each axis of each input: they agree in every run. Of a model with one input of tokens. That
/// masks are as long as the tokens is taken for granted where an exporter made up the name and nothing else comes in, as keys and values of
/// earlier tokens would; a name that somebody gave says that the length is another.
pub(super) fn shared_names(inputs: &[(&str, Option<TensorType>)]) -> HashMap<String, Length> {
    let of_rows = inputs.iter().filter_map(|(name, known)| Some((*name, known.as_ref()?)));
    let of_rows = of_rows.filter(|(_, known)| known.shape.len() == 2);
    let (beside, others): (Vec<_>, Vec<_>) = of_rows.partition(|(name, _)| InputKind::of_name(name).is_some());
    let mut tokens = others.into_iter().filter(|(_, known)| !known.dtype.is_float());
    let (Some((_, tokens)), None) = (tokens.next(), tokens.next()) else { return HashMap::new() };
    let axes = if beside.len() + 1 == inputs.len() { 0..2 } else { 0..1 };
    let mut shared: HashMap<String, Length> = HashMap::new();
    for (input, known) in beside {
        for axis in axes.clone() {
            let (own, of_tokens) = (&known.shape[axis], &tokens.shape[axis]);
            let is_other = |name: &&str| tokens.shape.iter().all(|length| !length.names().contains(name));
            let is_for_axis = |name: &&str| axis == 0 || is_made_up(input, name);
            let name = own.name().filter(is_other).filter(is_for_axis);
            if let (Some(name), Some(_)) = (name, of_tokens.name()) {
                shared.entry(name.to_owned()).or_insert_with(|| of_tokens.clone());
            }
        }
    }
    shared
}

/// Whether nobody gave an input's axis its name: an exporter made it up, as TorchScript `input_ids_dynamic_axes_2`, PyTorch `s77`, tf2onnx
/// `unk__3` and Paddle2ONNX `p2o.DynamicDimension.3`, or the file has none, and it is called `input_ids_axis_1` here.
fn is_made_up(input: &str, name: &str) -> bool {
    let (traced, unnamed) = (format!("{input}_dynamic_axes_"), format!("{input}_axis_"));
    let fronts = [traced.as_str(), unnamed.as_str(), "s", "unk__", "DynamicDimension.", "p2o.DynamicDimension."];
    let mut numbers = fronts.into_iter().filter_map(|front| name.strip_prefix(front));
    numbers.any(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::ElementType;

    fn input(dtype: ElementType, shape: &[&str]) -> TensorType {
        let length = |name: &&str| name.parse::<usize>().map_or_else(|_| Length::named(name), Length::from);
        TensorType { dtype, shape: shape.iter().map(length).collect() }
    }

    #[test]
    fn masks_have_the_names_of_the_tokens_that_they_tell_of() {
        let ids = |shape: &[&str]| input(ElementType::I64, shape);
        let names = |inputs: &[(&str, TensorType)]| -> Vec<(String, String)> {
            let inputs: Vec<_> = inputs.iter().map(|(name, known)| (*name, Some(known.clone()))).collect();
            let mut all: Vec<_> =
                shared_names(&inputs).into_iter().map(|(name, length)| (name, length.to_string())).collect();
            all.sort();
            all
        };
        let pair = |name: &str, length: &str| (name.to_owned(), length.to_owned());
        let tokens = || ("input_ids", ids(&["a", "b"]));
        let mask = || ("attention_mask", ids(&["c", "s7"]));
        assert_eq!(names(&[tokens(), mask()]), [pair("c", "a"), pair("s7", "b")]);
        assert_eq!(
            names(&[mask(), tokens(), ("token_type_ids", ids(&["a", "unk__3"]))]),
            [pair("c", "a"), pair("s7", "b"), pair("unk__3", "b")]
        );
        let traced = "attention_mask_dynamic_axes_2";
        assert_eq!(names(&[tokens(), ("attention_mask", ids(&["a", traced]))]), [pair(traced, "b")]);
        // axes without names, and Paddle2ONNX's
        let unnamed = |input: &str| ids(&[&format!("{input}_axis_0"), &format!("{input}_axis_1")]);
        assert_eq!(
            names(&[("input_ids", unnamed("input_ids")), ("attention_mask", unnamed("attention_mask"))]),
            [pair("attention_mask_axis_0", "input_ids_axis_0"), pair("attention_mask_axis_1", "input_ids_axis_1")]
        );
        for front in ["", "p2o."] {
            let [a, b, c, d] = [0, 1, 2, 3].map(|at| format!("{front}DynamicDimension.{at}"));
            assert_eq!(
                names(&[("input_ids", ids(&[&a, &b])), ("token_type_ids", ids(&[&c, &d]))]),
                [pair(&c, &a), pair(&d, &b)]
            );
        }
        // another input's name for an axis is no name of this one
        assert!(names(&[tokens(), ("mask", ids(&["a", "other_axis_1"]))]).is_empty());
        // one row for all, and lengths that the file fixes
        assert_eq!(names(&[tokens(), ("position_ids", ids(&["1", "s12"]))]), [pair("s12", "b")]);
        assert!(names(&[("input_ids", ids(&["a", "16"])), ("mask", ids(&["a", "16"]))]).is_empty());
        // the mask tells of earlier tokens, too
        let past = || ("past.0.key", input(ElementType::F32, &["p", "4", "q", "8"]));
        assert_eq!(names(&[tokens(), ("attention_mask", ids(&["c", "p + s"])), past()]), [pair("c", "a")]);
        // lengths that somebody has told apart
        let items = [("item_ids", ids(&["rows", "k"])), ("user_types", ids(&["rows", "j"]))];
        assert!(names(&items).is_empty());
        // of which tokens each mask tells is not known
        assert!(names(&[tokens(), ("decoder_input_ids", ids(&["e", "f"])), mask()]).is_empty());
        assert!(names(&[("image", input(ElementType::F32, &["n", "3", "h", "w"])), mask()]).is_empty());
        // axes the other way round
        assert!(names(&[tokens(), ("mask", ids(&["b", "a"]))]).is_empty());
    }
}
