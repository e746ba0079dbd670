use std::fmt;

use millstream_schemas::shown_up_to;

/// What ONNX Runtime said when it refused something, without the places in its own source.
#[derive(Debug)]
pub struct OnnxRuntimeError(pub ort::Error);

impl fmt::Display for OnnxRuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown_up_to(without_places(self.0.message()).trim(), 800))
    }
}

impl std::error::Error for OnnxRuntimeError {}

fn without_places(said: &str) -> String {
    let is_place = |word: &str| {
        let file = word.rsplit_once(':').filter(|(_, line)| line.chars().all(|digit| digit.is_ascii_digit()));
        file.is_some_and(|(file, _)| [".h", ".cc", ".cpp", ".cu"].iter().any(|end| file.ends_with(end)))
    };
    let words = said.split(' ').filter(|word| !is_place(word));
    let mut text = words.collect::<Vec<_>>().join(" ");
    // A function with its parameters, which hold brackets of their own.
    while let Some(start) = text.find("onnxruntime::") {
        let (mut depth, mut end) = (0_i32, text.len());
        for (at, letter) in text[start..].char_indices() {
            depth += i32::from(letter == '(') - i32::from(letter == ')');
            if letter == ')' && depth == 0 || letter.is_whitespace() && depth == 0 && at > 0 {
                end = start + at + letter.len_utf8();
                break;
            }
        }
        text.replace_range(start..end, "");
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_the_source_of_onnx_runtime_are_not_shown() {
        for (said, wanted) in [
            (
                "Non-zero status code returned while running Reshape node. Name:'r' Status Message: \
                 /onnxruntime_src/onnxruntime/core/providers/cpu/tensor/reshape_helper.h:91 \
                 onnxruntime::ReshapeHelper::ReshapeHelper(const onnxruntime::TensorShape&, onnxruntime::TensorShapeVector&, \
                 bool) gsl::narrow_cast<int64_t>(size) == 1 was false. Input shape:{10,4}\n",
                "Non-zero status code returned while running Reshape node. Name:'r' Status Message: \
                 gsl::narrow_cast<int64_t>(size) == 1 was false. Input shape:{10,4}",
            ),
            (
                "Got invalid dimensions for input: x index: 0 Got: 3",
                "Got invalid dimensions for input: x index: 0 Got: 3",
            ),
            ("onnxruntime::Half(", ""),
        ] {
            assert_eq!(without_places(said), wanted);
        }
    }
}
