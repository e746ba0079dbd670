use pulldown_cmark::{Options, Parser, html::push_html};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.55 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}\
h1,h2,h3{line-height:1.25}table{border-collapse:collapse;display:block;overflow-x:auto}\
th,td{border:1px solid #8886;padding:.3rem .6rem;vertical-align:top}\
code{font-size:.9em;overflow-wrap:anywhere}pre{overflow-x:auto;padding:.8rem;border:1px solid #8886}\
em{opacity:.75}@media print{body{max-width:none}}";

/// One page that stands by itself. Front matter is left out, and HTML in the text is shown as text.
pub(super) fn html(title: &str, markdown: &str) -> String {
    let body =
        markdown.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n")).map_or(markdown, |(_, body)| body);
    let parser = Parser::new_ext(body, Options::ENABLE_TABLES).map(|event| match event {
        pulldown_cmark::Event::Html(text) | pulldown_cmark::Event::InlineHtml(text) => {
            pulldown_cmark::Event::Text(text)
        }
        other => other,
    });
    let mut found = String::new();
    push_html(&mut found, parser);
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style></head><body>\n{found}</body></html>\n"
    )
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
}
