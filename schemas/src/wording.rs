/// What a deserializer wanted, in words instead of the names of Rust types.
///
/// ```
/// assert_eq!(millstream_schemas::plain("u8"), "a whole number from 0 to 255");
/// assert_eq!(millstream_schemas::plain("a path"), "a path");
/// ```
pub fn plain(wanted: &str) -> &str {
    match wanted {
        "u8" => "a whole number from 0 to 255",
        "u16" | "u32" | "u64" | "usize" => "a whole number of 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" => "text",
        "path string" => "a path",
        "a sequence" => "a list",
        "an array of length 2" => "a list of 2 numbers",
        "an array of length 3" => "a list of 3 numbers",
        "a map" => "a mapping",
        other => other,
    }
}
