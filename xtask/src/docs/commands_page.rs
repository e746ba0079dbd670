//! `docs/commands.md`: the help of every command.

use super::asked::Asked;
use super::schema_text::anchor;

const HEAD: &str = "\
# Commands

<!-- Written by `cargo xtask docs` from `millstream COMMAND --help`. -->

What `millstream COMMAND --help` prints, without the options that all commands have:

";

pub(super) fn page(asked: &Asked) -> Result<String, String> {
    let whole = asked.text(&["--help"])?;
    let mut names = Vec::new();
    for name in commands(&whole) {
        let help = asked.text(&[&name, "--help"])?;
        let inner = commands(&help);
        names.push(name.clone());
        names.extend(inner.into_iter().map(|inner| format!("{name} {inner}")));
    }
    let common = options(&whole);
    let mut text = format!("{HEAD}```text\n");
    text.push_str(&common.iter().map(|option| format!("{option}\n")).collect::<Vec<_>>().join("\n"));
    text.push_str("```\n");
    for part in ["Exit codes:", "Numbers:"] {
        if let Some(about) = section(&whole, part) {
            text.push_str(&format!("\n{}\n\n```text\n{}\n```\n", part.trim_end_matches(':'), about));
        }
    }
    let links: Vec<String> = names.iter().map(|name| format!("[`{name}`](#{})", anchor(name))).collect();
    text.push_str(&format!("\n{}\n", links.join(", ")));
    let is_common = |option: &str| common.iter().any(|other| key(other) == key(option));
    for name in &names {
        let words: Vec<&str> = name.split(' ').chain(["--help"]).collect();
        let help = asked.text(&words)?;
        text.push_str(&format!("\n## `{name}`\n\n```text\n{}\n```\n", without(&help, &is_common)));
    }
    Ok(text)
}

/// The commands that a help lists, but for `help`.
fn commands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The options that a help lists, each with what it says of it.
fn options(help: &str) -> Vec<String> {
    let Some(text) = section(help, "Options:") else { return Vec::new() };
    let mut options: Vec<String> = Vec::new();
    for line in text.lines() {
        match options.last_mut() {
            Some(last) if !line.trim_start().starts_with('-') || line.len() - line.trim_start().len() > 6 => {
                last.push('\n');
                last.push_str(line);
            }
            _ => options.push(line.to_owned()),
        }
    }
    options.into_iter().map(|option| option.trim_end().to_owned()).collect()
}

/// What an option is called, without what it takes and means.
fn key(option: &str) -> &str {
    option.split("--").nth(1).and_then(|name| name.split([' ', '[', '.', '\n']).next()).unwrap_or(option)
}

/// The lines below a heading, up to the next one.
fn section(help: &str, heading: &str) -> Option<String> {
    let lines = help.lines().skip_while(|line| *line != heading).skip(1);
    let lines: Vec<&str> = lines.take_while(|line| line.is_empty() || line.starts_with(' ')).collect();
    let text = lines.join("\n").trim_end().to_owned();
    (!text.is_empty()).then_some(text)
}

/// The help with those options left out, and no blank at the end of a line.
fn without(help: &str, is_left_out: &dyn Fn(&str) -> bool) -> String {
    let Some(listed) = section(help, "Options:") else { return help.trim_end().to_owned() };
    let kept: Vec<String> = options(help).into_iter().filter(|option| !is_left_out(option)).collect();
    let options =
        if kept.is_empty() { String::new() } else { format!("Options:\n{}", kept.join("\n").trim_end_matches('\n')) };
    let text = help.replacen(&format!("Options:\n{listed}"), &options, 1);
    let mut lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
    lines.dedup_by(|next, line| next.is_empty() && line.is_empty());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str = "Trains\n\nUsage: x [OPTIONS]\n\nCommands:\n  run     Begins\n  resume  Goes on\n          with it\n  help    Helps\n\n\
                        Options:\n      --set <KEY>\n          A value\n          \n          [default: -]\n\n  -q, --quiet\n          Less\n\nExample:\n  x\n";

    #[test]
    fn commands_and_options_are_found() {
        assert_eq!(commands(HELP), ["run", "resume"]);
        assert_eq!(options(HELP).iter().map(|option| key(option)).collect::<Vec<_>>(), ["set", "quiet"]);
    }

    #[test]
    fn options_are_left_out() {
        let text = without(HELP, &|option| key(option) == "quiet");
        assert!(
            text.contains("--set <KEY>") && !text.contains("Less") && text.ends_with("\n\nExample:\n  x"),
            "{text}"
        );
    }
}
