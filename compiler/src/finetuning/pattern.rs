/// Whether a whole name matches a pattern: `*` stands for any run of characters, `?` for one.
///
/// ```
/// use millstream_compiler::finetuning::pattern_matches;
/// assert!(pattern_matches("layer3.*.conv?", "layer3.0.conv1"));
/// assert!(!pattern_matches("layer3", "layer3.0"));
/// ```
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                // let the last star take one character more and try again: linear in space, never exponential
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}
