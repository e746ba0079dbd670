//! Text and pages for people: Markdown, and HTML that stands by itself.

pub(crate) mod markdown;
pub(crate) mod page;
