use pulldown_cmark::{Options, Parser, html::push_html};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.55 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}\
h1,h2,h3{line-height:1.25;overflow-wrap:anywhere}table{border-collapse:collapse;display:block;overflow-x:auto}\
th,td{border:1px solid #8886;padding:.3rem .6rem;vertical-align:top}\
code{font-size:.9em;overflow-wrap:anywhere}td code{overflow-wrap:normal}td:first-child{min-width:8rem}td:first-child code{overflow-wrap:anywhere}pre{overflow-x:auto;padding:.8rem;border:1px solid #8886}\
figure{margin:1rem 0;overflow-x:auto}svg{max-width:100%;height:auto}svg text{fill:currentColor;font:12px system-ui,sans-serif}\
em{opacity:.75}@media (max-width:36rem){body{margin:1rem auto;padding:0 .6rem}table{font-size:.85em}th,td{padding:.2rem .35rem}td:first-child{min-width:4rem}}@media print{body{max-width:none}}";

/// A part of a page.
pub(crate) enum Part {
    /// Text; HTML in it is shown as text.
    Markdown(String),
    /// A picture of ours, as SVG.
    Picture(String),
}

/// One page that stands by itself. Front matter is left out, and HTML in the text is shown as text.
pub(crate) fn html(title: &str, markdown: &str) -> String {
    let body =
        markdown.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n")).map_or(markdown, |(_, body)| body);
    of_parts(title, &[Part::Markdown(body.to_owned())])
}

/// One page of several parts.
pub(crate) fn of_parts(title: &str, parts: &[Part]) -> String {
    let mut found = String::new();
    for part in parts {
        match part {
            Part::Markdown(text) => push_markdown(&mut found, text),
            Part::Picture(svg) => found += &format!("<figure>{svg}</figure>\n"),
        }
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{}</title><style>{STYLE}</style></head><body>\n{found}</body></html>\n",
        escaped(title)
    )
}

fn push_markdown(into: &mut String, text: &str) {
    let parser = Parser::new_ext(text, Options::ENABLE_TABLES).map(|event| match event {
        pulldown_cmark::Event::Html(text) | pulldown_cmark::Event::InlineHtml(text) => {
            pulldown_cmark::Event::Text(text)
        }
        other => other,
    });
    push_html(into, parser);
}

/// Text of a page or of an attribute in double quotes.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A path of a link: what is no letter, digit or one of `-_.~/` by its bytes.
pub(crate) fn address(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => out.push(char::from(byte)),
            other => out += &format!("%{other:02X}"),
        }
    }
    // a first part with a colon would be a scheme
    if path.starts_with('/') { out } else { format!("./{out}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_state_cannot_bring_a_script() {
        let page = html("a<b", "---\nlicense: mit\n---\n# A\n\n<script>alert(1)</script>\n\n| a |\n| --- |\n| b |\n");
        assert!(!page.contains("<script>") && page.contains("&lt;script&gt;"), "{page}");
        assert!(
            page.contains("<title>a&lt;b</title>") && page.contains("<table>") && !page.contains("license: mit"),
            "{page}"
        );
    }

    #[test]
    fn pictures_stand_between_the_texts() {
        let page = of_parts("t", &[Part::Markdown("# A\n".into()), Part::Picture("<svg/>".into())]);
        assert!(page.contains("<h1>A</h1>\n<figure><svg/></figure>"), "{page}");
    }
}
