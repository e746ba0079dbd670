//! What `millstream COMMAND --help` prints, in parts.

const USAGE: &str = "Usage: ";

/// The help of a command, lines that were broken for a terminal joined again.
pub(super) struct Help {
    /// Paragraphs; the first is what stands beside the command in lists.
    pub(super) about: Vec<String>,
    pub(super) usage: String,
    /// Headings, each with the lines below it.
    parts: Vec<(String, Vec<String>)>,
}

/// What is said of a command, an argument, an option or an exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) means: String,
}

impl Help {
    pub(super) fn read(text: &str) -> Self {
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        let (about, rest) =
            lines.split_at(lines.iter().position(|line| line.starts_with(USAGE)).unwrap_or(lines.len()));
        let usage = rest.first().and_then(|line| line.strip_prefix(USAGE)).unwrap_or_default().to_owned();
        let mut parts: Vec<(String, Vec<String>)> = Vec::new();
        for line in rest.iter().skip(1) {
            match (line.strip_suffix(':').filter(|heading| !heading.starts_with(' ')), parts.last_mut()) {
                (Some(heading), _) => parts.push((heading.to_owned(), Vec::new())),
                (None, Some((_, below))) => below.push((*line).to_owned()),
                (None, None) => {}
            }
        }
        Self { about: paragraphs(about), usage, parts }
    }

    fn part(&self, heading: &str) -> &[String] {
        self.parts.iter().find(|(own, _)| own == heading).map_or(&[], |(_, lines)| lines)
    }

    /// Those below it, but for `help`.
    pub(super) fn commands(&self) -> Vec<Entry> {
        let mut commands = entries(self.part("Commands"), |line| indentation(line) == 2);
        commands.retain(|command| command.name != "help");
        commands
    }

    pub(super) fn arguments(&self) -> Vec<Entry> {
        entries(self.part("Arguments"), |line| indentation(line) == 2)
    }

    pub(super) fn options(&self) -> Vec<Entry> {
        let of = |heading: &str| {
            entries(self.part(heading), |line| indentation(line) <= 6 && line.trim_start().starts_with('-'))
        };
        [of("Options"), of("Common options")].concat()
    }

    /// Lines to be given to a shell, each with what is said of it.
    pub(super) fn examples(&self) -> Vec<Entry> {
        let mut examples: Vec<Entry> = Vec::new();
        for line in self.part("Examples").iter().chain(self.part("Example")).filter(|line| !line.is_empty()) {
            match examples.last_mut() {
                // a command that goes on
                Some(Entry { name, .. }) if name.ends_with(" \\") => {
                    *name = joined(name.trim_end_matches([' ', '\\']), line.trim())
                }
                Some(Entry { means, .. }) if indentation(line) > 2 => *means = joined(means, line.trim()),
                _ => examples.push(Entry { name: line.trim().into(), means: String::new() }),
            }
        }
        examples
    }

    /// What stands below a heading, `Writes` for example.
    pub(super) fn said_of(&self, heading: &str) -> String {
        paragraphs(&self.part(heading).iter().map(String::as_str).collect::<Vec<_>>()).join("\n\n")
    }

    pub(super) fn codes(&self) -> Vec<Entry> {
        let is_new =
            |line: &str| indentation(line) == 2 && line.trim_start().starts_with(|sign: char| sign.is_ascii_digit());
        entries(self.part("Exit codes"), is_new)
    }
}

impl Entry {
    /// Without what is said of a default at the end, and that.
    pub(super) fn with_default(&self) -> (&str, Option<&str>) {
        let found = self.means.strip_suffix(']').and_then(|means| means.rsplit_once("[default: "));
        found.map_or((&self.means, None), |(means, default)| (means.trim_end(), Some(default)))
    }

    /// What an option is called behind its `--`, without what it takes.
    pub(super) fn key(&self) -> &str {
        self.name.split("--").nth(1).and_then(|name| name.split([' ', '[', '.']).next()).unwrap_or(&self.name)
    }
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn joined(first: &str, second: &str) -> String {
    [first, second].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Lines between empty ones as one.
fn paragraphs(lines: &[&str]) -> Vec<String> {
    let parts = lines.split(|line| line.is_empty()).filter(|part| !part.is_empty());
    parts.map(|part| part.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")).collect()
}

/// What begins at a line that is one: its first line up to two blanks is the name, all else what it means.
fn entries(lines: &[String], is_new: impl Fn(&str) -> bool) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in lines.iter().filter(|line| !line.is_empty()) {
        match entries.last_mut() {
            Some(last) if !is_new(line) => last.means = joined(&last.means, line.trim()),
            _ => {
                let (name, means) = line.trim().split_once("  ").unwrap_or((line.trim(), ""));
                entries.push(Entry { name: name.into(), means: means.trim().into() });
            }
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str = "Trains a model as its\nrecipe says\n\nMore of it, by its log:\nand so on.\n\nUsage: x [OPTIONS] <A>\n\n\
                        Commands:\n  run     Begins\n  resume  Goes on\n          with it\n  help    Helps\n\n\
                        Arguments:\n  <A>  One thing\n  [B]...\n          Others\n\n\
                        Options:\n      --set <KEY>\n          A value\n          \n          [default: -]\n\nCommon options:\n  -q, --quiet\n          Less\n\n\
                        Examples:\n  millstream x a --json\n      says\n      more\n  cat b | millstream x -\n  millstream x c --long \\\n      'd e'\n\n\
                        Writes:\n  `a` and\n  `b`.\n\nExit codes:\n  0  done\n  1  an error; or\n     2 of them\n";

    fn entry(name: &str, means: &str) -> Entry {
        Entry { name: name.into(), means: means.into() }
    }

    #[test]
    fn a_help_is_read_in_parts_and_its_lines_are_joined() {
        let help = Help::read(HELP);
        assert_eq!(help.about, ["Trains a model as its recipe says", "More of it, by its log: and so on."]);
        assert_eq!(help.usage, "x [OPTIONS] <A>");
        assert_eq!(help.commands(), [entry("run", "Begins"), entry("resume", "Goes on with it")]);
        assert_eq!(help.arguments(), [entry("<A>", "One thing"), entry("[B]...", "Others")]);
        let options = help.options();
        assert_eq!(options, [entry("--set <KEY>", "A value [default: -]"), entry("-q, --quiet", "Less")]);
        assert_eq!(options[0].with_default(), ("A value", Some("-")));
        assert_eq!(options.iter().map(Entry::key).collect::<Vec<_>>(), ["set", "quiet"]);
        assert_eq!(
            help.examples(),
            [
                entry("millstream x a --json", "says more"),
                entry("cat b | millstream x -", ""),
                entry("millstream x c --long 'd e'", "")
            ]
        );
        assert_eq!(help.said_of("Writes"), "`a` and `b`.");
        assert_eq!(help.codes(), [entry("0", "done"), entry("1", "an error; or 2 of them")]);
    }
}
