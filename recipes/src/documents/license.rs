//! A licence as a bill of materials says it: by its SPDX identifier where what is stated is one.

use serde_json::{Value, json};

/// Identifiers of <https://spdx.org/licenses/>: those that models, data and their code are given under. Others are told as a name.
#[rustfmt::skip]
const IDENTIFIERS: [&str; 63] = [
    "0BSD", "AFL-3.0", "AGPL-3.0", "AGPL-3.0-only", "AGPL-3.0-or-later", "Apache-2.0", "Artistic-2.0", "BSD-2-Clause",
    "BSD-3-Clause", "BSD-3-Clause-Clear", "BSL-1.0", "CC-BY-2.0", "CC-BY-2.5", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-NC-2.0",
    "CC-BY-NC-3.0", "CC-BY-NC-4.0", "CC-BY-NC-ND-3.0", "CC-BY-NC-ND-4.0", "CC-BY-NC-SA-2.0", "CC-BY-NC-SA-3.0",
    "CC-BY-NC-SA-4.0", "CC-BY-ND-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC0-1.0", "CDLA-Permissive-1.0",
    "CDLA-Permissive-2.0", "CDLA-Sharing-1.0", "ECL-2.0", "EPL-1.0", "EPL-2.0", "EUPL-1.1", "EUPL-1.2", "GFDL-1.3",
    "GPL-2.0", "GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0", "GPL-3.0-only", "GPL-3.0-or-later", "ISC", "LGPL-2.1",
    "LGPL-2.1-only", "LGPL-2.1-or-later", "LGPL-3.0", "LGPL-3.0-only", "LGPL-3.0-or-later", "MIT", "MIT-0", "MPL-2.0",
    "MS-PL", "NCSA", "ODbL-1.0", "ODC-By-1.0", "OFL-1.1", "OSL-3.0", "PDDL-1.0", "PostgreSQL", "Unlicense", "WTFPL",
    "Zlib",
];

/// The `licenses` of a component under what is stated: an identifier however its letters are written, identifiers joined by `OR` and
/// `AND`, or a name.
pub(super) fn licenses(stated: &str) -> Value {
    if let Some(id) = identifier(stated) {
        return json!([{"license": {"id": id}}]);
    }
    match expression(stated) {
        Some(expression) => json!([{ "expression": expression }]),
        None => json!([{"license": {"name": stated}}]),
    }
}

fn identifier(stated: &str) -> Option<&'static str> {
    IDENTIFIERS.into_iter().find(|id| id.eq_ignore_ascii_case(stated.trim()))
}

/// `MIT OR Apache-2.0`: every second word joins, and the others are identifiers.
fn expression(stated: &str) -> Option<String> {
    let words = stated.split_whitespace().enumerate();
    let known = words.map(|(at, word)| match at % 2 {
        0 => identifier(word),
        _ => ["AND", "OR"].into_iter().find(|joins| *joins == word),
    });
    let known: Vec<&str> = known.collect::<Option<_>>()?;
    (known.len() % 2 == 1).then(|| known.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_identifier_is_told_as_one_and_anything_else_by_its_name() {
        for (stated, wanted) in [
            ("mit", json!([{"license": {"id": "MIT"}}])),
            ("apache-2.0\n", json!([{"license": {"id": "Apache-2.0"}}])),
            ("cc-by-4.0", json!([{"license": {"id": "CC-BY-4.0"}}])),
            ("MIT OR apache-2.0", json!([{"expression": "MIT OR Apache-2.0"}])),
            ("MIT OR", json!([{"license": {"name": "MIT OR"}}])),
            ("MIT or ours", json!([{"license": {"name": "MIT or ours"}}])),
            ("Ours, for research alone", json!([{"license": {"name": "Ours, for research alone"}}])),
        ] {
            assert_eq!(licenses(stated), wanted, "{stated}");
        }
    }
}
