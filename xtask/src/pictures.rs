//! `cargo xtask pictures`: what is seen at each step of docs/first-steps.md, as pictures of a run of that very page.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::book;
use crate::command::{ask, program, root, target};

const PAGE: &str = "docs/first-steps.md";
const FOLDER: &str = "docs/images";
/// The command on the page whose picture is taken as it is written, and the file that it writes.
const SHEET: (&str, &str) = ("sheet.png", "first-steps-preview.png");
const REPORT: &str = "runs/digits/report.html";
/// Parts of the report by their headings, how wide they are in pixels, and the file.
const PARTS: [(&[&str], u32, &str); 3] = [
    (&["Training loss", "Accuracy on the evaluation rows"], 1100, "first-steps-curves.png"),
    (&["Per class", "Confusion matrix"], 1100, "first-steps-classes.png"),
    (&["Most wrong about"], 760, "first-steps-mistakes.png"),
];
/// Bytes of a picture at most: everybody who takes the repository takes it.
const LARGEST: u64 = 150_000;

/// Carries out the page (or takes the folder where that was done, by `--run FOLDER`) and takes the pictures with Chromium (or what `--browser`
/// names).
pub(crate) fn pictures(arguments: &[&str]) -> Result<(), String> {
    let (mut run, mut browser) = (None, PathBuf::from("chromium"));
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().map(PathBuf::from).ok_or(format!("{argument} wants a path"));
        match *argument {
            "--run" => run = Some(value()?),
            "--browser" => browser = value()?,
            _ => return Err("usage: cargo xtask pictures [--run FOLDER] [--browser FILE]".into()),
        }
    }
    let run = match run {
        Some(run) => run,
        None => {
            book::book(&[PAGE])?;
            target()?.join("book-run")
        }
    };
    let (from, to) = (run.join(SHEET.0), path(SHEET.1));
    fs::copy(&from, &to).map_err(|error| format!("{}: {error}", from.display()))?;
    let report = run.join(REPORT);
    let report = fs::read_to_string(&report).map_err(|error| format!("{}: {error}", report.display()))?;
    for (headings, width, file) in PARTS {
        take(&browser, &run, &part(&report, headings)?, width, &path(file))?;
    }
    let mut files = std::iter::once(SHEET.1).chain(PARTS.map(|(.., file)| file));
    files.try_for_each(|file| small_enough(&path(file)))
}

fn path(file: &str) -> PathBuf {
    root().join(FOLDER).join(file)
}

fn small_enough(path: &Path) -> Result<(), String> {
    let length = fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?.len();
    println!("{}: {length} bytes", path.display());
    if length <= LARGEST { Ok(()) } else { Err(format!("{} has more than {LARGEST} bytes", path.display())) }
}

/// The report with these of its parts alone.
///
/// # Errors
/// It lacks one.
fn part(report: &str, headings: &[&str]) -> Result<String, String> {
    let (head, body) = report.split_once("<body>").ok_or("the report has no <body>")?;
    let sections = headings.iter().map(|heading| {
        let title = format!("<h3>{heading}");
        let at = body.find(&title).ok_or_else(|| format!("the report has no part `{heading}`"))?;
        let start = body[..at].rfind("<section").unwrap_or(at);
        let end = body[at..].find("</section>").map_or(body.len(), |length| at + length + "</section>".len());
        Ok(body[start..end].to_owned())
    });
    let sections = sections.collect::<Result<Vec<String>, String>>()?;
    // light whatever the machine prefers, and the height in the title, where `--dump-dom` tells it
    Ok(format!(
        "{head}<style>:root {{ color-scheme: light; }} body {{ margin: 0; padding: 0; }} main {{ margin: 0; padding: 12px; max-width: none; }} .panel {{ margin: 0; }}</style>\n<body>\n<main><div class=\"grid\">\n{}\n\
         </div></main>\n<script>document.title = Math.ceil(document.querySelector('main').getBoundingClientRect().bottom);</script>\n</body>\n</html>\n",
        sections.join("\n")
    ))
}

/// A picture of a page, as high as it is.
fn take(browser: &Path, folder: &Path, page: &str, width: u32, to: &Path) -> Result<(), String> {
    let file = folder.join(".picture.html");
    fs::write(&file, page).map_err(|error| format!("{}: {error}", file.display()))?;
    let browse = |height: u32, more: &OsString| {
        let mut command = program(browser, &["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]);
        command.arg(format!("--window-size={width},{height}")).arg(more).arg(format!("file://{}", file.display()));
        ask(&mut command).ok_or_else(|| format!("{} shows no page; `--browser FILE` names another", browser.display()))
    };
    let seen = browse(2000, &"--dump-dom".into())?;
    let height = seen.split("<title>").nth(1).and_then(|rest| rest.split('<').next()?.parse().ok());
    let height: u32 = height.ok_or_else(|| format!("{} does not say how high the page is", browser.display()))?;
    let mut picture = OsString::from("--screenshot=");
    picture.push(to);
    browse(height, &picture).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_its_sections_with_the_head_of_the_page() {
        let report = "<html><head><style>x</style></head>\n<body>\n<main><section class=\"a\"><h3>One</h3>1</section>\n\
                      <section class=\"b\"><h3>Two: more</h3>2</section></main></body></html>";
        let page = part(report, &["Two"]).unwrap();
        assert!(
            page.starts_with("<html><head><style>x</style></head>")
                && page.contains("<section class=\"b\"><h3>Two: more</h3>2</section>")
        );
        assert!(!page.contains("One"), "{page}");
        assert!(part(report, &["Three"]).unwrap_err().contains("`Three`"));
    }
}
