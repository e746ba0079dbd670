//! `cargo xtask legible`: whether the pages that the product writes can be read at every width and on paper, as Chromium lays them out.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::command::{ask, built, cargo, program, root, run, target};
use crate::runtime;

/// Where the runs lie whose pages are looked at, below the build folder.
const FOLDER: &str = "legible";
/// How a page is looked at: what that is called, and how wide it is in CSS pixels. The last is A4 within margins of 10 mm.
const VIEWS: [(&str, u32); 4] = [("a telephone", 400), ("a tablet", 800), ("a desktop", 1400), ("paper", 718)];
const PAPER: usize = VIEWS.len() - 1;
/// Letters are as large as this at the least, in CSS pixels.
const LEAST: f64 = 9.0;

/// Tells the page around it how wide the page and its window are, and the smallest letters: their size and what they say.
const MEASURE: &str = r#"<script>addEventListener("load", () => {
  const page = document.documentElement, texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let size = Infinity, text = "";
  while (texts.nextNode()) {
    const node = texts.currentNode, owner = node.parentElement;
    if (!node.data.trim() || owner.closest("script, style, title") || !owner.getClientRects().length) continue;
    const scale = owner.ownerSVGElement ? Math.hypot(owner.getScreenCTM().a, owner.getScreenCTM().b) : 1;
    const own = parseFloat(getComputedStyle(owner).fontSize) * scale;
    if (own < size) { size = own; text = node.data.trim().slice(0, 60); }
  }
  parent.postMessage([page.scrollWidth, page.clientWidth, size, text], "*");
});</script>"#;

/// Gathers what the pages in it tell, in their order, in its title.
const GATHER: &str = r#"<script>const found = [];
addEventListener("message", event => {
  const frames = [...document.querySelectorAll("iframe")];
  found[frames.findIndex(frame => frame.contentWindow === event.source)] = event.data;
  document.title = JSON.stringify(found);
});</script>"#;

/// Looks at these pages, or makes a small run and a small study and looks at the report, the study's page and the page of all runs, with
/// Chromium (or what `--browser` names).
pub(crate) fn legible(arguments: &[&str]) -> Result<(), String> {
    let (mut pages, mut browser) = (Vec::new(), PathBuf::from("chromium"));
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match *argument {
            "--browser" => browser = rest.next().map(PathBuf::from).ok_or("--browser wants a path")?,
            option if option.starts_with('-') => {
                return Err("usage: cargo xtask legible [--browser FILE] [PAGE.html…]".into());
            }
            page => pages.push(root().join(page)),
        }
    }
    if pages.is_empty() {
        pages = made()?;
    }
    let mut all = Vec::new();
    for page in &pages {
        let name = page.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        for (at, seen) in measured(&browser, page)?.iter().enumerate() {
            println!("   {name}, {} ({} px): {seen}", VIEWS[at].0, VIEWS[at].1);
            all.extend(faults(at, seen).into_iter().map(|fault| format!("{name}: {fault}")));
        }
    }
    if all.is_empty() { Ok(()) } else { Err(all.join("\n       ")) }
}

/// Pages of a run of a minute or two.
fn made() -> Result<Vec<PathBuf>, String> {
    let packages = ["--package", "millstream-cli", "--package", "millstream"];
    let targets = ["--bin", "millstream", "--example", "digits_network"];
    run(&mut cargo(&[&["build", "--release", "--locked"][..], &packages, &targets].concat()))?;
    let millstream = built("release", "millstream")?;
    runtime::get(&millstream)?;
    let folder = target()?.join(FOLDER);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let (network, digits, study) = (folder.join("network.onnx"), folder.join("digits"), folder.join("study"));
    run(program(built("release/examples", "digits_network")?, &[]).arg(&network))?;
    let set = |key: &str, value: &Path| format!("{key}={}", value.display());
    for (words, recipe, model, output, more) in [
        (&["train"][..], "examples/digits/pretrain.yaml", &network, &digits, "data.workers=2"),
        (&["search", "run"], "examples/digits/search.yaml", &digits.join("model.onnx"), &study, "search.trials=4"),
    ] {
        let mut command = program(&millstream, words);
        command.args([recipe, "--quiet", "--set", "training.epochs=2", "--set", more]);
        command.args(["--set", &set("model.path", model), "--set", &set("output.folder", output)]);
        run(&mut command)?;
    }
    let runs = folder.join("runs.html");
    run(program(&millstream, &["runs", "--quiet", "--html"]).arg(&runs).arg(&folder))?;
    Ok(vec![digits.join("report.html"), study.join("search.html"), runs])
}

/// What Chromium tells of a page in each of the views.
fn measured(browser: &Path, page: &Path) -> Result<Vec<Value>, String> {
    let text = fs::read_to_string(page).map_err(|error| format!("{}: {error}", page.display()))?;
    let folder = target()?.join("legible-frames");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display())).map(|()| file)
    };
    write("screen.html", &measuring(&text, false)?)?;
    write("paper.html", &measuring(&text, true)?)?;
    let around = write("around.html", &around())?;
    let options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1500,1000"];
    let mut command = program(browser, &options);
    command.args(["--virtual-time-budget=20000", "--dump-dom"]).arg(format!("file://{}", around.display()));
    let seen = ask(&mut command)
        .ok_or_else(|| format!("{} shows no page; `--browser FILE` names another", browser.display()))?;
    let title = seen.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    let found = title.and_then(|(title, _)| serde_json::from_str::<Vec<Value>>(title).ok()).unwrap_or_default();
    if found.len() == VIEWS.len() && found.iter().all(Value::is_array) {
        Ok(found)
    } else {
        Err(format!("{} does not say how {} is laid out", browser.display(), page.display()))
    }
}

/// A page that tells how it is laid out; on paper with the rules for that.
///
/// # Errors
/// It has no end.
fn measuring(page: &str, on_paper: bool) -> Result<String, String> {
    let (before, after) = page.rsplit_once("</body>").ok_or("the page has no </body>")?;
    let before = match on_paper {
        true => before.replace("@media print", "@media all").replace("@media screen and", "@media not all and"),
        false => before.to_owned(),
    };
    Ok(format!("{before}{MEASURE}</body>{after}"))
}

/// A page with each view in a frame of its width.
fn around() -> String {
    let frame = |(at, (_, width)): (usize, &(&str, u32))| {
        let file = if at == PAPER { "paper" } else { "screen" };
        format!("<iframe src=\"{file}.html\" style=\"width: {width}px; height: 900px; border: 0\"></iframe>")
    };
    let frames: String = VIEWS.iter().enumerate().map(frame).collect();
    format!("<!doctype html>\n<html><head><title></title></head><body>{GATHER}{frames}</body></html>\n")
}

/// What is wrong with how a page is laid out in a view: `[scrollWidth, clientWidth, size of the smallest letters, what they say]`.
fn faults(view: usize, seen: &Value) -> Vec<String> {
    let (name, _) = VIEWS[view];
    let number = |at: usize| seen[at].as_f64().unwrap_or(f64::NAN);
    let mut faults = Vec::new();
    if number(0) != number(1) {
        faults.push(format!("on {name} it is {} px wide in a window of {} px", seen[0], seen[1]));
    }
    // a page without letters is none
    if number(2).is_nan() || number(2) < LEAST {
        faults.push(format!("on {name} the letters of {} are {:.1} px large, less than {LEAST}", seen[3], number(2)));
    }
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pages_that_are_too_wide_and_letters_that_are_too_small_are_told() {
        assert!(faults(0, &json!([400, 400, 9.0, "a"])).is_empty());
        let wide = faults(0, &json!([417, 400, 12.0, "a"]));
        assert!(wide.len() == 1 && wide[0].contains("417 px wide in a window of 400 px"), "{wide:?}");
        let small = faults(PAPER, &json!([718, 718, 5.9, "0.5"]));
        assert!(small.len() == 1 && small[0].starts_with("on paper the letters of \"0.5\" are 5.9 px"), "{small:?}");
        assert_eq!(faults(1, &json!([800, 800, null, ""])).len(), 1);
    }

    #[test]
    fn a_page_on_paper_has_the_rules_for_paper_alone() {
        let page = "<style>@media screen and (prefers-color-scheme: dark) { a } @media print { b }</style><body>x</body></html>";
        let screen = measuring(page, false).unwrap();
        assert!(screen.contains("@media print") && screen.ends_with("</script></body></html>"), "{screen}");
        let paper = measuring(page, true).unwrap();
        assert!(paper.contains("@media all { b }") && !paper.contains("@media screen"), "{paper}");
        assert!(measuring("<p>", true).is_err());
        assert_eq!(around().matches("<iframe").count(), VIEWS.len());
    }
}
