//! `docs/operators.md`: which operators models may have and how a gradient goes through each, from `inspect --operators --json` and the
//! comment above each row in its source.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use super::asked::Asked;
use super::schema_text::{anchor, escaped};
use crate::command::root;

const FOLDER: &str = "compiler/src/operators";

/// How a gradient goes through an operator: as the program says it, the heading of its column, and what it means.
const WAYS: [(&str, &str, &str); 5] = [
    ("defined", "own gradient", "a rule of its own, held against central differences on ONNX Runtime"),
    (
        "expanded",
        "as simpler ones",
        "where its gradient is needed, the node becomes simpler operators in the training step; evaluation and export keep the node",
    ),
    (
        "zero",
        "zero",
        "the derivative is zero everywhere or undefined; what stands in front of it learns nothing through it",
    ),
    ("none", "none", "training through it is an error that says why; in front of all that is trained it may stand"),
    ("resolved", "resolved", "nothing is left of it when a model is read"),
];

pub(super) fn page(asked: &Asked) -> Result<String, String> {
    let known = asked.json(&["inspect", "--operators", "--json"])?;
    let rows: Vec<&Value> = known["operators"].as_array().into_iter().flatten().collect();
    let notes = notes()?;
    let mut domains: Vec<&str> = rows.iter().map(|row| word(row, "domain")).collect();
    domains.dedup();
    let mut text = head(&known, rows.len());
    text.push_str(&counts(&rows, &domains));
    for (way, heading, meaning) in WAYS {
        text.push_str(&format!("- **{heading}** (`{way}` in `--json`): {meaning}.\n"));
    }
    for domain in domains {
        text.push_str(&format!("\n## {}\n\n", title(domain)));
        text.push_str("| operator | opsets | gradient | what it computes, and its limits |\n|---|---|---|---|\n");
        for row in rows.iter().filter(|row| word(row, "domain") == domain) {
            text.push_str(&line(row, &notes)?);
        }
    }
    Ok(text)
}

fn head(known: &Value, count: usize) -> String {
    format!(
        "# Operators

<!-- Written by `cargo xtask docs` from `millstream inspect --operators --json` and the comment above each row in its source. -->

The {count} operators that a model may have. `millstream inspect --operators` lists them, `millstream inspect model.onnx` those of a model, and
`millstream check recipe.yaml` which of its nodes lie between what is trained and the loss: only there a gradient is needed. A program of yours adds rows of its own
([CONTRIBUTING](../CONTRIBUTING.md#add-an-operator)); what layers do in training is said in [What layers do in training](layers.md).

- Models of opset {} to {} of the standard operators are read. Those before {} are read as {} where their meaning is kept, which the opsets below are of.
- An operator that is not here may stand where no gradient has to go, if ONNX Runtime has it; training through it is an error.
- `If`, `Loop` and `Scan` are written out on import where what decides about them is known before the run, as are functions that the file defines; the rows below are of the others.
- *Folded*: what it makes of small integers is computed while compiling where its inputs are known, so that the shape arithmetic of exporters goes.

",
        known["oldest_opset"], known["newest_opset"], known["kept_from"], known["read_as"]
    )
}

/// How many operators of a domain there are, by the way of their gradients.
fn counts(rows: &[&Value], domains: &[&str]) -> String {
    let headings = WAYS.map(|(_, heading, _)| heading).join(" | ");
    let mut text = format!("| domain | operators | {headings} |\n|---|{}\n", "---:|".repeat(WAYS.len() + 1));
    let mut line = |name: &str, of: &dyn Fn(&Value) -> bool| {
        let counted = |way: &str| rows.iter().filter(|row| of(row) && word(row, "gradient") == way).count();
        let cells = WAYS.map(|(way, ..)| counted(way));
        let cells = [cells.iter().sum()].into_iter().chain(cells).map(|count: usize| count.to_string());
        text.push_str(&format!("| {name} | {} |\n", cells.collect::<Vec<_>>().join(" | ")));
    };
    for domain in domains {
        let title = title(domain);
        line(&format!("[{title}](#{})", anchor(title)), &|row| word(row, "domain") == *domain);
    }
    line("all", &|_| true);
    text + "\n"
}

fn title(domain: &str) -> &str {
    if domain.is_empty() { "ai.onnx" } else { domain }
}

fn word<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_default()
}

/// The row of the page for an operator.
fn line(row: &Value, notes: &BTreeMap<(String, String), String>) -> Result<String, String> {
    let (domain, name, reason) = (word(row, "domain"), word(row, "operator"), word(row, "reason"));
    let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let (gradient, note) = match word(row, "gradient") {
        "resolved" => ("resolved".to_owned(), format!("{}{}.", reason[..1].to_uppercase(), &reason[1..])),
        way => {
            let note = notes.get(&(domain.to_owned(), name.to_owned()));
            let note =
                note.ok_or_else(|| format!("{FOLDER}: the row of `{name}` ({domain}) has no comment above it"))?;
            let (_, heading, _) = WAYS.iter().find(|(known, ..)| *known == way).ok_or(format!("WAYS lacks `{way}`"))?;
            (format!("{heading}{because}"), note.clone())
        }
    };
    let folded = if row["folded"] == true { " *Folded.*" } else { "" };
    let opsets = match (&row["opsets"][0], &row["opsets"][1]) {
        (Value::Null, _) => String::new(),
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first} to {last}"),
    };
    let cells = [format!("`{name}`"), opsets, gradient, note + folded];
    Ok(format!("| {} |\n", cells.map(|cell| escaped(&cell).replace('|', "\\|")).join(" | ")))
}

/// What the source says of each operator, by domain and name, on one line.
fn notes() -> Result<BTreeMap<(String, String), String>, String> {
    let cannot = |error: std::io::Error| format!("{FOLDER} cannot be read: {error}");
    let mut notes = BTreeMap::new();
    for entry in fs::read_dir(root().join(FOLDER)).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if path.is_file() {
            notes.extend(note(&fs::read_to_string(&path).map_err(cannot)?));
        }
    }
    Ok(notes)
}

/// The comment above the row of a file, and the domain and name that it begins with.
fn note(source: &str) -> Option<((String, String), String)> {
    let (above, _) = source.split_once("pub(super) const OPERATOR: Operator = Operator {")?;
    let comment: Vec<&str> = above.lines().rev().map_while(|line| line.strip_prefix("///")).collect();
    let text: Vec<&str> = comment.iter().rev().flat_map(|line| line.split_whitespace()).collect();
    let text = text.join(" ");
    let (operator, _) = text.strip_prefix('`')?.split_once('`')?;
    let (domain, name) = operator.rsplit_once('.').unwrap_or(("", operator));
    let said = text.strip_prefix(&format!("`{operator}`: ")).unwrap_or(&text);
    Some(((domain.to_owned(), name.to_owned()), without_paths(said)))
}

/// Names of other rows without where they lie in the source.
fn without_paths(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once("[`") {
        let Some((name, after)) = link.split_once("`]") else { break };
        kept.push_str(&format!("{before}`{name}`"));
        rest = match after.strip_prefix('(').and_then(|target| target.split_once(')')) {
            Some((_, behind)) => behind,
            None => after,
        };
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SOURCE: &str = "/// Not this.\n\n/// `Abs`: y = |x|, as\n/// [`sign`](super::sign) says.\npub(super) const OPERATOR: Operator = Operator {\n";

    #[test]
    fn the_comment_of_a_row_is_its_note() {
        let wanted = ((String::new(), "Abs".to_owned()), "y = |x|, as `sign` says.".to_owned());
        assert_eq!(note(SOURCE), Some(wanted));
        assert_eq!(note("pub(super) const OPERATOR: Operator = Operator {\n"), None);
        let (other, _) = note(&SOURCE.replace("`Abs`", "`com.microsoft.Abs`")).unwrap();
        assert_eq!(other, ("com.microsoft".to_owned(), "Abs".to_owned()));
    }

    #[test]
    fn a_row_says_its_opsets_its_gradient_and_why() {
        let notes = BTreeMap::from([((String::new(), "Floor".to_owned()), "`Floor`: |x| < y.".to_owned())]);
        let floor = json!({"domain": "", "operator": "Floor", "opsets": [6, 25], "gradient": "zero", "reason": "steps", "folded": true});
        assert_eq!(
            line(&floor, &notes).unwrap(),
            "| `Floor` | 6 to 25 | zero: steps | `Floor`: \\|x\\| &lt; y. *Folded.* |\n"
        );
        let gone = json!({"domain": "", "operator": "Upsample", "opsets": null, "gradient": "resolved", "reason": "an older one", "folded": false});
        assert_eq!(line(&gone, &notes).unwrap(), "| `Upsample` |  | resolved | An older one. |\n");
        assert!(line(&json!({"domain": "", "operator": "New", "gradient": "zero"}), &notes).is_err());
    }

    #[test]
    fn every_row_in_the_source_has_a_comment() {
        let rows = fs::read_to_string(root().join(FOLDER).join("mod.rs")).unwrap();
        let listed = rows.lines().filter(|line| line.ends_with("::OPERATOR,")).count();
        assert!(listed > 200 && notes().unwrap().len() == listed, "{listed}, {}", notes().unwrap().len());
    }
}
