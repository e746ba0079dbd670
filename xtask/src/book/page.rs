//! A page as what a reader would do.

use std::path::Path;

/// What a page has to carry out, in its order, each with its place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) name: String,
    pub(crate) blocks: Vec<(String, Block)>,
    /// Places of commands of which what they print is not held against the page, with the reasons.
    pub(crate) not_compared: Vec<(String, String)>,
    /// Why it is run only where it is named.
    pub(crate) on_request: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Block {
    Commands(Vec<Command>),
    /// What a file holds.
    File {
        name: String,
        text: String,
    },
    Python(String),
    /// Commands or Python that are run with the Python that a variable of the environment names.
    With {
        variable: String,
        block: Box<Block>,
    },
    /// Why not.
    NotRun(String),
}

/// What stands behind a `$`, with what is below it up to the next one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Command {
    /// With the lines that it goes on in.
    pub(crate) line: String,
    /// What the page says that it prints; its lines end.
    pub(crate) printed: String,
}

/// What may be said above a block or a page.
const MARKS: &str = "`<!-- not run: REASON -->`, `<!-- page not run: REASON -->`, `<!-- page on request: REASON -->`, `<!-- not compared: REASON -->`, \
                     `<!-- python of: VARIABLE -->` and `<!-- file: NAME -->`";

impl Page {
    /// # Errors
    /// A mark of a page is none of those that there are, or stands above nothing; or commands would neither be run nor say why.
    pub(crate) fn of(name: &str, text: &str) -> Result<Self, String> {
        let (mut blocks, mut not_compared) = (Vec::new(), Vec::new());
        let (mut mark, mut whole, mut on_request) = (None::<(&str, &str)>, None, None);
        let mut lines = text.lines().enumerate();
        while let Some((at, line)) = lines.next() {
            let place = format!("{name}:{}", at + 1);
            let nothing_follows = || Err(format!("{place}: the line above it is a mark for a block, and none follows"));
            if line.trim_start().starts_with("<!--") {
                if mark.is_some() {
                    return nothing_follows();
                }
                let said = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
                match said.and_then(|said| said.split_once(": ")) {
                    Some(("page not run", reason)) => whole = Some(reason.to_owned()),
                    Some(("page on request", reason)) => on_request = Some(reason.to_owned()),
                    Some((kind @ ("not run" | "not compared" | "file" | "python of"), what)) => {
                        mark = Some((kind, what))
                    }
                    _ => return Err(format!("{place}: `{line}` is no mark; there are {MARKS}")),
                }
                continue;
            }
            let Some(language) = line.strip_prefix("```") else {
                if mark.is_some() {
                    return nothing_follows();
                }
                continue;
            };
            let mut block = String::new();
            for (_, line) in lines.by_ref().take_while(|(_, line)| *line != "```") {
                block += line;
                block.push('\n');
            }
            match (mark.take(), language, &whole) {
                (Some(("file", name)), ..) => blocks.push((place, Block::File { name: name.into(), text: block })),
                (_, "console" | "python" | "bash" | "sh", Some(reason)) => {
                    blocks.push((place, Block::NotRun(reason.clone())));
                }
                (Some(("not compared", reason)), "console", None) => {
                    not_compared.push((place.clone(), reason.into()));
                    blocks.push((place, Block::Commands(commands(&block))));
                }
                (Some(("not compared", _)), ..) => {
                    return Err(format!("{place}: the line above it is a mark for commands, and these are none"));
                }
                (Some(("python of", variable)), language @ ("console" | "python"), None) => {
                    let block =
                        if language == "python" { Block::Python(block) } else { Block::Commands(commands(&block)) };
                    blocks.push((place, Block::With { variable: variable.into(), block: Box::new(block) }));
                }
                (Some(("python of", _)), ..) => {
                    return Err(format!("{place}: `python of` stands above commands or Python"));
                }
                (Some((_, reason)), ..) => blocks.push((place, Block::NotRun(reason.into()))),
                (None, "console", None) => blocks.push((place, Block::Commands(commands(&block)))),
                (None, "python", None) => blocks.push((place, Block::Python(block))),
                (None, "bash" | "sh", None) => {
                    return Err(format!(
                        "{place}: a block of `{language}` is not run; write commands behind a `$` in a block of `console`, or \
                         `<!-- not run: REASON -->` above it"
                    ));
                }
                (None, ..) => {}
            }
        }
        if mark.is_some() {
            return Err(format!("{name}: its last line is a mark for a block, and none follows"));
        }
        Ok(Self { name: name.into(), blocks, not_compared, on_request })
    }

    /// Whether what is printed at a place is held against the page.
    pub(crate) fn is_compared(&self, place: &str) -> bool {
        self.not_compared.iter().all(|(other, _)| other != place)
    }

    /// Places of what is not run, with their reasons.
    pub(crate) fn left_out(&self) -> impl Iterator<Item = (&str, &str)> {
        self.blocks.iter().filter_map(|(place, block)| match block {
            Block::NotRun(reason) => Some((place.as_str(), reason.as_str())),
            _ => None,
        })
    }
}

/// What stands behind a `$`, and goes on in the next line behind a `\`; everything else is what is printed.
fn commands(block: &str) -> Vec<Command> {
    let (mut found, mut goes_on): (Vec<Command>, bool) = (Vec::new(), false);
    for line in block.lines() {
        match (line.strip_prefix("$ "), found.last_mut()) {
            (_, Some(command)) if goes_on => {
                command.line.push('\n');
                command.line.push_str(line);
            }
            (Some(command), _) => found.push(Command { line: command.to_owned(), printed: String::new() }),
            (None, Some(command)) => {
                command.printed.push_str(line);
                command.printed.push('\n');
                continue;
            }
            (None, None) => continue,
        }
        goes_on = line.ends_with('\\');
    }
    found
}

/// The line with examples as they are built, and a page that is followed until its run has ended.
pub(crate) fn runnable(line: &str, builds: &Path) -> String {
    let mut line = line.to_owned();
    if let Some(rest) = line.strip_prefix("cargo run --release --example ")
        && let Some((name, arguments)) = rest.split_once(" -- ")
    {
        let example = builds.join("examples").join(name);
        let parent = arguments.split_whitespace().next().and_then(|file| Path::new(file.trim_matches('\'')).parent());
        let folder = parent.map_or(String::new(), |parent| format!("mkdir -p './{}' && ", parent.display()));
        line = format!("{folder}'{}' {arguments}", example.display());
    }
    if line.starts_with("millstream watch ") {
        line = line.replacen("watch", "watch --until-end", 1);
    }
    line
}

/// The folder or file that a command makes and does not replace.
pub(crate) fn made_by(command: &str) -> Option<String> {
    let words: Vec<&str> = command.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
    let after = |flags: &[&str]| {
        let at = words.iter().position(|word| flags.contains(word))?;
        words.get(at + 1).map(|word| (*word).to_owned())
    };
    match words.as_slice() {
        ["millstream", "train", ..] if words.contains(&"--resume") || words.contains(&"--overwrite") => None,
        ["millstream", "train", named, ..] => after(&["-o", "--output"]).or_else(|| {
            let stem = Path::new(named).file_stem()?.to_str()?;
            // recipes of the examples say where theirs go
            let folder =
                if named.starts_with("examples/") { format!("target/book-run/{stem}") } else { format!("runs/{stem}") };
            Some(folder)
        }),
        ["millstream", "init" | "import" | "compile", ..] => after(&["-o", "--output"]),
        ["millstream", "ensemble", "fit" | "members", ..] => after(&["-o", "--output"]),
        ["millstream", "search", "run", named, ..] => Some(format!("runs/{}", Path::new(named).file_stem()?.to_str()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str, printed: &str) -> Command {
        Command { line: line.into(), printed: printed.into() }
    }

    #[test]
    fn a_page_is_what_a_reader_does() {
        let text = "# Page\n\n```console\n$ a b \\\n    c\nprinted\n$ d   # why\n```\n\n<!-- not run: no wish -->\n```console\n$ e\n```\n\
                    <!-- file: x.yaml -->\n```yaml\nversion: 1\n```\n```yaml\npart: 1\n```\n```python\nf()\n```\n";
        let page = Page::of("p.md", text).unwrap();
        assert_eq!(page.left_out().collect::<Vec<_>>(), [("p.md:11", "no wish")]);
        let blocks: Vec<Block> = page.blocks.into_iter().map(|(_, block)| block).collect();
        assert_eq!(
            blocks,
            [
                Block::Commands(vec![command("a b \\\n    c", "printed\n"), command("d   # why", "")]),
                Block::NotRun("no wish".into()),
                Block::File { name: "x.yaml".into(), text: "version: 1\n".into() },
                Block::Python("f()\n".into()),
            ]
        );
        let page =
            Page::of("p.md", "<!-- not compared: other data -->\n```console\n$ a\nb\n```\n```console\n$ a\n```\n")
                .unwrap();
        assert_eq!(page.blocks[0].1, Block::Commands(vec![command("a", "b\n")]));
        assert_eq!(["p.md:2", "p.md:6"].map(|place| page.is_compared(place)), [false, true]);
        let page =
            Page::of("p.md", "<!-- page on request: large -->\n<!-- python of: X -->\n```console\n$ a\n```\n").unwrap();
        assert_eq!(page.on_request.as_deref(), Some("large"));
        let inner = Box::new(Block::Commands(vec![command("a", "")]));
        assert_eq!(page.blocks[0].1, Block::With { variable: "X".into(), block: inner });
        let page = Page::of("p.md", "<!-- page not run: by hand -->\n# x\n```console\n$ a\n```\n").unwrap();
        assert_eq!(page.blocks[0].1, Block::NotRun("by hand".into()));
    }

    #[test]
    fn misspelt_and_lost_marks_and_commands_that_say_nothing_are_told() {
        for (text, wanted) in [
            ("<!-- not run: x -->\n\n```console\n$ a\n```\n", Some("p.md:2: the line above it is a mark")),
            ("<!-- not-run: x -->\n```console\n$ a\n```\n", Some("p.md:1: `<!-- not-run: x -->` is no mark")),
            ("<!--not run: x-->\n```console\n$ a\n```\n", Some("is no mark")),
            ("<!-- not run -->\n```console\n$ a\n```\n", Some("is no mark")),
            ("<!-- file: a -->\n<!-- not run: x -->\n```console\n$ a\n```\n", Some("p.md:2: the line above it")),
            ("```console\n$ a\n```\n<!-- not run: x -->\n", Some("p.md: its last line is a mark")),
            ("x\n\n```bash\na\n```\n", Some("p.md:3: a block of `bash` is not run")),
            ("```sh\na\n```\n", Some("a block of `sh` is not run")),
            ("<!-- not run: x -->\n```bash\na\n```\n", None),
            ("<!-- file: a.sh -->\n```sh\na\n```\n", None),
            ("<!-- page not run: x -->\n```bash\na\n```\n", None),
            ("<!-- not compared: x -->\n```console\n$ a\nb\n```\n", None),
            (
                "<!-- not compared: x -->\n```yaml\na: 1\n```\n",
                Some("p.md:2: the line above it is a mark for commands"),
            ),
            ("<!-- python of: X -->\n```python\na\n```\n", None),
            ("<!-- python of: X -->\n```yaml\na\n```\n", Some("stands above commands or Python")),
        ] {
            match (Page::of("p.md", text), wanted) {
                (Ok(page), None) => assert_eq!(page.blocks.len(), 1, "{text}"),
                (Err(message), Some(wanted)) => assert!(message.contains(wanted), "{text}: {message}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn what_a_command_makes_is_known() {
        for (command, wanted) in [
            ("millstream train flowers.yaml --watch   # says", Some("runs/flowers")),
            ("millstream train flowers/ model.onnx", Some("runs/flowers")),
            ("millstream train fives.yaml --set a=1 -o runs/head", Some("runs/head")),
            ("millstream train fives.yaml --resume", None),
            ("millstream init 'x-*.parquet' d.onnx \\\n  --evaluate y -o digits.yaml", Some("digits.yaml")),
            ("millstream predict runs/flowers photos/ -o x.csv", None),
        ] {
            assert_eq!(made_by(command).as_deref(), wanted, "{command}");
        }
    }

    #[test]
    fn examples_are_run_as_they_are_built() {
        let line = runnable("cargo run --release --example net -- t/n.onnx 2", Path::new("/b"));
        assert_eq!(line, "mkdir -p './t' && '/b/examples/net' t/n.onnx 2");
        let line = runnable("cargo run --release --example net -- 'd/*.parquet' n.onnx", Path::new("/b"));
        assert_eq!(line, "mkdir -p './d' && '/b/examples/net' 'd/*.parquet' n.onnx");
        assert_eq!(runnable("millstream watch runs/x", Path::new("/b")), "millstream watch --until-end runs/x");
    }
}
