//! What a YAML scanner stumbled over, in words.

use granit_parser::ErrorKind;

/// What is wrong at the place where the scanner stopped, and what to do.
pub(super) fn in_words(kind: &ErrorKind) -> String {
    use ErrorKind as K;
    match kind {
        K::UnexpectedEofFlowSequence | K::ExpectedFlowSequenceSeparator => {
            "a list that `[` opened is not closed; wanted `,` or `]`"
        }
        K::UnexpectedEofFlowMapping | K::UnexpectedEofImplicitFlowMapping | K::ExpectedFlowMappingSeparator => {
            "a mapping that `{` opened is not closed; wanted `,` or `}`"
        }
        K::TabNotAllowed | K::TabInBlockIndentation => "a tab; indent with blanks",
        K::InvalidIndentation => "this line is indented like none around it; indent it like its neighbours",
        K::ExpectedBlockMappingKey | K::SimpleKeyExpected | K::InvalidSimpleKey => {
            "no `key: value` stands here; after a key comes `: `, keys of one mapping are indented alike, and text that \
             starts with `{` or `[` is quoted"
        }
        K::MappingValueNotAllowed | K::InvalidColonPlacement => {
            "a `: ` that cannot stand here: a second one in its line (quote text that holds one), one in a line that is \
             indented further than its neighbours, or one behind a line whose own `:` has no blank after it"
        }
        K::InvalidMappingValueWhitespace => "no blank stands after `:`",
        K::ExpectedBlockSequenceEntry => "wanted a further `- item`, indented like those before it",
        K::UnknownAnchor => {
            "this refers by `*` to what no `&` has named; quote text that starts with `*` ('*.parquet')"
        }
        K::UndeclaredTagHandle => "text that starts with `!`; quote it",
        K::UnexpectedCharacter { character } => {
            return format!(
                "`{}` cannot start a value; quote text that starts with it",
                crate::shown(character.to_string())
            );
        }
        K::UnclosedFlowCollection { open } => {
            return format!("`{open}` is not closed");
        }
        K::MismatchedFlowCollectionEnd { open, close } => {
            return format!("`{close}` closes what `{open}` opened");
        }
        K::MisplacedFlowCollectionEnd => "a closing bracket without its opening one",
        K::UnclosedQuotedScalar => "a quote is not closed",
        K::InvalidTrailingSingleQuotedScalar | K::InvalidTrailingDoubleQuotedScalar => {
            "text goes on behind its closing quote; quote all of it, with `''` for a quote inside `'…'`"
        }
        K::UnknownQuotedScalarEscape | K::InvalidQuotedScalarHexEscape => {
            "`\\` before a letter means something else inside `\"…\"`; use `'…'`"
        }
        K::BlockSequenceEntryNotAllowed | K::InvalidBlockEntryWhitespace | K::BlockEntryInFlowCollection => {
            "`- ` begins a list item, and none can stand here"
        }
        K::TabInIndentation | K::TabAtBlockScalarStart => "a tab; indent with blanks",
        K::RecursionLimitExceeded => "more brackets or lists inside each other than any recipe has",
        K::CommentNotSeparated => "no blank stands before `#`",
        K::MultipleDocumentsUnsupported | K::ExpectedDocumentStart => {
            "the recipe ends before this; is it indented less than the lines before it?"
        }
        _ => "this is not YAML; quote text with marks in it, and check the brackets, quotes and indentation before it",
    }
    .to_owned()
}

/// What a parser of JSON stumbled over.
pub(super) fn of_json(at_end: bool) -> String {
    if at_end {
        "the text ends before its brackets or quotes are closed".into()
    } else {
        "this is not JSON; wanted a value, `,` or a closing bracket, no comment, and no `,` before a closing bracket"
            .into()
    }
}

/// What no scanner told and a reader of values refused.
pub(super) fn other() -> String {
    "this cannot be read; write plain keys, text and finite numbers (no `.inf`, no `.nan`), without tags (`!`) and without \
     references (`*`) to what holds them"
        .into()
}
