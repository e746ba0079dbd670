//! How much room a text takes on a page, as far as that is known without its font.

/// In sizes of its letters: those of most alphabets are narrow, others about as wide as high.
pub(super) fn width_of(text: &str) -> f64 {
    let width = |letter: char| if u32::from(letter) < 0x1100 { 0.6 } else { 1.05 };
    text.chars().map(width).sum()
}

/// Cut in its middle to so many letters, since names that belong together begin alike.
pub(super) fn in_the_middle(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let last = most.saturating_sub(1) / 2;
    let first: String = text.chars().take(most.saturating_sub(1) - last).collect();
    first + "…" + &text.chars().skip(count - last).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_keeps_its_beginning_and_its_end() {
        assert_eq!(in_the_middle("Boeing 737-800 in the colours of 2024", 16), "Boeing 7…of 2024");
        assert_eq!(in_the_middle("short", 16), "short");
        assert_eq!(in_the_middle("äöüäöü", 5).chars().count(), 5);
        assert!(width_of("漢字") > width_of("abc"));
    }
}
