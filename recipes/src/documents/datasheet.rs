//! A datasheet with the seven sections of Gebru et al., "Datasheets for Datasets" (2021); what can be counted is counted.

use millstream_schemas::{count, grouped, percent};

use super::ledger::Ledger;
use super::statements::Statements;
use crate::data_facts::DataFacts;
use crate::input_facts::InputFacts;
use crate::pages::markdown::{code, list, prose, table, text};

/// `datasheet.md`.
pub(super) fn markdown(ledger: &Ledger) -> String {
    let said = &ledger.statements;
    let open = |answer: &Option<String>| Statements::or_open(answer).to_owned();
    let mut out = format!("# Datasheet: {}\n\n{}\n", text(&ledger.data_name), open(&said.data_description));
    if Statements::answer(&said.data_name).is_none() {
        out += "\nIts name is that of the folder that its files lie in, or of the first of them; `data_name` states another.\n";
    }
    out += &ledger.notes.iter().map(|note| format!("\n> {}\n", prose(note))).collect::<String>();
    out += &format!("\n## Motivation\n\n{}\n", open(&said.data_motivation));
    out += "\n## Composition\n";
    for data in &ledger.data {
        out += &composition(data);
    }
    if ledger.shared_rows.is_some() || !ledger.shared_between.is_empty() {
        out += "\n### Between the splits\n";
    }
    if let Some(shared) = &ledger.shared_rows {
        let looked = ledger.compared_in_words(shared);
        let of_set = if ledger.evaluated().len() > 1 { " of the split evaluate" } else { "" };
        out += &format!(
            "\n{} of {}{of_set} have an input that is one of the training rows, byte by byte{looked}.\n",
            grouped(shared.shared),
            count(shared.second, "evaluation row")
        );
    }
    for shared in &ledger.shared_between {
        out += &format!("\n{}.\n", text(&ledger.shared_in_words(shared)));
    }
    out += &format!("\n### Sensitive content\n\n{}\n", open(&said.data_sensitive));
    out += "\n## Collection process\n\n";
    out += &list(&[
        ("How", open(&said.data_collection)),
        ("Consent", open(&said.data_consent)),
        ("Creators", open(&said.data_creators)),
    ]);
    out += &format!("\n## Preprocessing, cleaning, labelling\n\n{}\n", open(&said.data_labelling));
    if !ledger.training.transforms.is_empty() {
        let transforms: Vec<String> = ledger.training.transforms.iter().map(|one| code(one)).collect();
        out += &format!("\nIn training, rows pass {}; the files stay as they are.\n", transforms.join(", "));
    }
    out += &format!(
        "\n## Uses\n\nThey trained and measured the model {}.\n\n{}\n",
        text(&ledger.name),
        open(&said.data_uses)
    );
    out += "\n## Distribution\n\n";
    out += &list(&[
        ("Terms", open(&said.data_distribution)),
        ("License", open(&said.data_license)),
        ("Published at", open(&said.data_url)),
        ("Published on", open(&said.data_published)),
        ("Version", open(&said.data_version)),
    ]);
    out += &format!("\n## Maintenance\n\n{}\n", open(&said.data_maintenance));
    out
}

/// Sizes or lengths, and damaged rows.
fn of_inputs(inputs: &InputFacts, rows: u64) -> String {
    let quantities = inputs.quantities.iter().map(|one| {
        let sizes = [one.least, one.low, one.median, one.high, one.most];
        [format!("{}, {}", text(&inputs.column), one.name)].into_iter().chain(sizes.map(grouped)).collect()
    });
    let mut out = String::from("\n");
    let unit = if inputs.kind == "image" { "pixels" } else { "length" };
    out += &table(
        &[unit, ">least", ">5 % are below", ">median", ">5 % are above", ">largest"],
        &quantities.collect::<Vec<Vec<String>>>(),
    );
    let which = match inputs.looked_at {
        all if all == rows => String::new(),
        some => format!(" of the first {} rows, which were looked at", grouped(some)),
    };
    let what = if inputs.kind == "image" { "whose image is missing or cannot be decoded" } else { "without a text" };
    let first = inputs.first_damaged.as_ref().map_or_else(String::new, |first| format!(", the first: {}", text(first)));
    out + &format!("\nDamaged{which}: {} {what}{first}.\n", count(inputs.damaged, "row"))
}

fn composition(data: &DataFacts) -> String {
    let mut out = format!(
        "\n### {}\n\n{} in {}.\n\n",
        text(&data.split),
        count(data.rows, "row"),
        count(data.file_count(), "file")
    );
    let files = data.files.iter().map(|file| {
        vec![
            code(&file.name),
            grouped(file.rows),
            grouped(file.bytes),
            file.sha256.as_deref().map_or_else(|| "not read".to_owned(), code),
            file.created_by.as_deref().map_or_else(String::new, text),
        ]
    });
    if data.not_listed == 0 {
        out += &table(&["file", ">rows", ">bytes", "SHA-256", "written by"], &files.collect::<Vec<_>>());
    } else {
        out += "What the files are called is not told: of so many the run noted only their number.\n";
    }
    let nulls = |name: &String| data.nulls.iter().find(|(column, _)| column == name);
    let columns = data.columns.iter().map(|(name, kind)| {
        let missing = nulls(name).map_or_else(|| "not counted in the files".into(), |(_, nulls)| grouped(*nulls));
        vec![code(name), text(kind), missing]
    });
    out += "\n";
    out += &table(&["column", "type", ">nulls"], &columns.collect::<Vec<_>>());
    if let Some(inputs) = &data.inputs {
        out += &of_inputs(inputs, data.rows);
    }
    if !data.classes.is_empty() {
        let total: u64 = data.classes.iter().map(|class| class.rows).sum();
        let classes = data.classes.iter().map(|class| {
            vec![text(&class.name), grouped(class.rows), percent(class.rows as f64 / total.max(1) as f64)]
        });
        out += "\n";
        out += &table(&["class", ">rows", ">share"], &classes.collect::<Vec<_>>());
    }
    if data.unlabelled + data.bad_labels > 0 {
        out += &format!(
            "\n{} without a class (−1), {} whose label is null or none of the classes.\n",
            count(data.unlabelled, "row"),
            grouped(data.bad_labels)
        );
    }
    out
}
