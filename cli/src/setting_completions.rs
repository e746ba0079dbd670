//! Completions of what stands behind `--set`: places of a recipe, and the words that can stand there.

use clap::{Arg, Command, CommandFactory};
use clap_complete::Shell;
use millstream::recipes::Catalogs;
use millstream::schemas::recipe::Setting;

use crate::arguments::Arguments;

/// A script that completes these too, where the shell is one of those that it is written for: bash, zsh and fish.
pub(crate) fn added_to(script: String, shell: Shell) -> String {
    let settings = Catalogs::default().settings();
    match shell {
        Shell::Bash => format!("{script}{}", bash(&settings)),
        Shell::Zsh => zsh(&script, &settings),
        Shell::Fish => fish(&script, &settings),
        _ => script,
    }
}

/// `training.epochs=`, a line each.
fn keys(settings: &[Setting]) -> String {
    settings.iter().map(|setting| format!("{}=\n", setting.place)).collect()
}

/// `training.schedule=linear`, a line each.
fn pairs(settings: &[Setting]) -> String {
    let of = |setting: &Setting| -> String {
        setting.values.iter().map(|value| format!("{}={value}\n", setting.place)).collect()
    };
    settings.iter().map(of).collect()
}

/// Bash takes `=` for a word of its own, unless it is told otherwise: `--set=a.b=c` is up to five words. What stands behind `--set` is put together
/// again first, and `--color=always` is completed as `--color always` is.
fn bash(settings: &[Setting]) -> String {
    let (keys, pairs) = (keys(settings), pairs(settings));
    format!(
        r#"
_millstream_keys='{keys}'
_millstream_pairs='{pairs}'
_millstream_set() {{
    local cur="${{COMP_WORDS[COMP_CWORD]}}" at typed="" before="" found="" words="" pair
    if [[ "$cur" == --set=* ]]; then
        found=yes before="--set=" typed="${{cur#--set=}}"
    else
        for (( at = COMP_CWORD - 1; at >= 1 && at >= COMP_CWORD - 4; at-- )); do
            [[ "${{COMP_WORDS[at]}}" == "--set" ]] || continue
            found=yes typed="${{COMP_WORDS[*]:at+1:COMP_CWORD-at}}"
            typed="${{typed/#= /}}"
            [[ "$typed" == "=" ]] && typed=""
            typed="${{typed/ = /=}}"
            typed="${{typed/% =/=}}"
            # another word follows
            [[ "$typed" == *" "* ]] && found=""
            break
        done
    fi
    if [[ -n "$found" && "$typed" != *=* ]]; then
        COMPREPLY=( $(compgen -P "$before" -W "$_millstream_keys" -- "$typed") )
        compopt -o nospace 2>/dev/null
        return 0
    elif [[ -n "$found" ]]; then
        for pair in $_millstream_pairs; do
            [[ "$pair" == "${{typed%%=*}}="* ]] && words+=" $pair"
        done
        if [[ -n "$words" ]]; then
            COMPREPLY=( $(compgen -P "$before" -W "$words" -- "$typed") )
            # where words are parted, the last one is completed
            [[ "$cur" == *?=* ]] || COMPREPLY=( "${{COMPREPLY[@]#*=}}" )
            return 0
        fi
    fi
    # the value of another option, in one word with it or parted from it
    local option="" value="" last=$(( COMP_CWORD - 1 ))
    local -a parts=()
    if [[ "$cur" == --*=* ]]; then
        option="${{cur%%=*}}" value="${{cur#*=}}" before="${{cur%%=*}}="
        parts=( "${{COMP_WORDS[@]:0:COMP_CWORD}}" )
    elif (( last >= 1 )) && [[ "$cur" == "=" && "${{COMP_WORDS[last]}}" == --* ]]; then
        option="${{COMP_WORDS[last]}}"
        parts=( "${{COMP_WORDS[@]:0:last}}" )
    elif (( last >= 2 )) && [[ "${{COMP_WORDS[last]}}" == "=" && "${{COMP_WORDS[last-1]}}" == --* ]]; then
        option="${{COMP_WORDS[last-1]}}" value="$cur"
        parts=( "${{COMP_WORDS[@]:0:last-1}}" )
    fi
    if [[ -n "$option" ]]; then
        parts+=( "$option" "$value" )
        local -a COMP_WORDS
        local COMP_CWORD=$(( ${{#parts[@]}} - 1 ))
        COMP_WORDS=( "${{parts[@]}}" )
        _millstream "$1" "$value" "$option"
        [[ -n "$before" ]] && COMPREPLY=( "${{COMPREPLY[@]/#/$before}}" )
        return 0
    fi
    _millstream "$@"
}}
complete -F _millstream_set -o bashdefault -o default millstream
"#
    )
}

fn zsh(script: &str, settings: &[Setting]) -> String {
    let (keys, pairs) = (keys(settings), pairs(settings));
    let function = format!(
        r#"_millstream_settings() {{
    local -a keys pairs words
    keys=(
{keys})
    pairs=(
{pairs})
    if compset -P 1 '*='; then
        words=( ${{${{(M)pairs:#${{IPREFIX}}*}}#*=}} )
        if (( $#words )); then compadd -a words; else _default; fi
    else
        compadd -S '' -a keys
    fi
}}

"#
    );
    let script = script.replace(":KEY=VALUE:_default", ":KEY=VALUE:_millstream_settings");
    match script.rfind("if [ \"$funcstack[1]\"") {
        Some(at) => format!("{}{function}{}", &script[..at], &script[at..]),
        None => script,
    }
}

/// Fish would complete `--set` with files, and each of its words would have the text about `--set` beside it; of words that are no options the script
/// says nothing.
fn fish(script: &str, settings: &[Setting]) -> String {
    let (keys, pairs) = (keys(settings), pairs(settings));
    let takes_settings = |line: &&str| line.contains(" -l set -d ") && line.ends_with(" -r");
    let line = |line: &str| match takes_settings(&line) {
        true => format!("{}-x -a '(__millstream_settings)'\n", line.trim_end_matches("-r")),
        false => format!("{line}\n"),
    };
    let lines: String = script.lines().map(line).collect();
    format!(
        "{lines}{}\nfunction __millstream_settings\n    string split \\n -- '{}' | string replace -r '$' '\\t'\nend\n",
        fish_words(&Arguments::command(), None),
        format!("{keys}{pairs}").trim_end()
    )
}

/// A line for each command that takes one of a set of words; `within` is the command that it belongs to.
fn fish_words(command: &Command, within: Option<&str>) -> String {
    let of = |command: &Command| {
        let name = command.get_name();
        let when = match within {
            None => format!("__fish_millstream_using_subcommand {name}"),
            Some(outer) => {
                format!("__fish_millstream_using_subcommand {outer}; and __fish_seen_subcommand_from {name}")
            }
        };
        let words: Vec<String> = command
            .get_positionals()
            .flat_map(Arg::get_possible_values)
            .map(|word| word.get_name().to_owned())
            .collect();
        let own = match words.is_empty() {
            true => String::new(),
            false => format!("complete -c millstream -n \"{when}\" -f -a '{}'\n", words.join(" ")),
        };
        own + &fish_words(command, Some(name))
    };
    command.get_subcommands().map(of).collect()
}
