//! Colours of the pages and pictures that we make are told apart by colour-blind eyes too, and seen on their ground.

use std::fs;
use std::path::{Path, PathBuf};

type Rgb = [f64; 3];

/// Differences of two colours (CIE 1976) that are told apart at a glance.
const LEAST_DIFFERENCE: f64 = 12.0;
/// Of a line or a mark with its ground (WCAG 2.1, 1.4.11).
const LEAST_CONTRAST: f64 = 3.0;

/// How eyes see that lack one kind of cones: Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision
/// Deficiency", 2009, severity 1.0; linear RGB. Protanopes, deuteranopes, tritanopes, and all others.
static EYES: [(&str, [Rgb; 3]); 4] = [
    (
        "protanopes",
        [[0.152_286, 1.052_583, -0.204_868], [0.114_503, 0.786_281, 0.099_216], [-0.003_882, -0.048_116, 1.051_998]],
    ),
    (
        "deuteranopes",
        [[0.367_322, 0.860_646, -0.227_968], [0.280_085, 0.672_501, 0.047_413], [-0.011_820, 0.042_940, 0.968_881]],
    ),
    (
        "tritanopes",
        [[1.255_528, -0.076_749, -0.178_779], [-0.078_411, 0.930_809, 0.147_602], [0.004_733, 0.691_367, 0.303_900]],
    ),
    ("all others", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
];

/// A page with colours that mean something.
struct Palette {
    file: &'static str,
    /// Variables of its style, each with a value on a light ground and one on a dark.
    colours: &'static [&'static str],
    grounds: &'static [&'static str],
}

static PALETTES: [Palette; 3] = [
    Palette {
        file: "training/src/report/page.html",
        colours: &["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"],
        grounds: &["ground", "panel"],
    },
    Palette {
        file: "recipes/src/search/page/style.css",
        colours: &["good", "best", "faint"],
        grounds: &["ground", "panel"],
    },
    Palette { file: "recipes/src/runs/page.css", colours: &["accent"], grounds: &["paper"] },
];

/// Variables that are no colour of a mark: letters, lines between things, areas.
const OTHERS: [&str; 6] = ["ink", "soft", "line", "low", "faint", "panel"];

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `#1f5fbf` or `#fff`, from 0 to 1.
fn colour(text: &str) -> Option<Rgb> {
    let digits: String = text.strip_prefix('#')?.chars().take_while(char::is_ascii_hexdigit).collect();
    let channel = |at: usize| match digits.len() {
        3 => u8::from_str_radix(&digits[at..=at].repeat(2), 16).ok(),
        6 => u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok(),
        _ => None,
    };
    Some([channel(0)?, channel(1)?, channel(2)?].map(|channel| f64::from(channel) / 255.0))
}

/// The values of a variable, in their order: on a light ground, on a dark one.
fn values(style: &str, variable: &str) -> Vec<Rgb> {
    let name = format!("--{variable}:");
    let parts = style.split(name.as_str()).skip(1);
    parts.filter_map(|rest| colour(rest.trim_start())).collect()
}

/// The variables of a style that are colours.
fn variables(style: &str) -> Vec<&str> {
    let named = style.split("--").skip(1).filter_map(|rest| rest.split_once(':'));
    let mut found: Vec<&str> =
        named.filter(|(_, value)| colour(value.trim_start()).is_some()).map(|(name, _)| name).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn linear(colour: Rgb) -> Rgb {
    colour.map(|value| if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) })
}

fn product(matrix: &[Rgb; 3], [a, b, c]: Rgb) -> Rgb {
    matrix.map(|[x, y, z]| x * a + y * b + z * c)
}

/// CIE 1976 L\*a\*b\* of linear RGB, white as D65.
fn lab(colour: Rgb) -> Rgb {
    const XYZ: [Rgb; 3] = [
        [0.412_456_4, 0.357_576_1, 0.180_437_5],
        [0.212_672_9, 0.715_152_2, 0.072_175_0],
        [0.019_333_9, 0.119_192_0, 0.950_304_1],
    ];
    let [x, y, z] = product(&XYZ, colour);
    let f = |t: f64| if t > 216.0 / 24_389.0 { t.cbrt() } else { (24_389.0 / 27.0 * t + 16.0) / 116.0 };
    let (x, y, z) = (f(x / 0.950_47), f(y), f(z / 1.088_83));
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// The difference of two colours to the eyes that see it least, and whose those are.
fn difference(one: Rgb, other: Rgb) -> (f64, &'static str) {
    let seen = |eyes: &[Rgb; 3], colour: Rgb| lab(product(eyes, linear(colour)).map(|value| value.clamp(0.0, 1.0)));
    let of = |(name, eyes): &(&'static str, [Rgb; 3])| {
        let (one, other) = (seen(eyes, one), seen(eyes, other));
        let squares: f64 = one.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum();
        (squares.sqrt(), *name)
    };
    EYES.iter().map(of).min_by(|a, b| a.0.total_cmp(&b.0)).expect("there are eyes")
}

fn contrast(one: Rgb, other: Rgb) -> f64 {
    let luminance = |colour: Rgb| {
        let [red, green, blue] = linear(colour);
        0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05
    };
    let (one, other) = (luminance(one), luminance(other));
    one.max(other) / one.min(other)
}

/// Pairs that some eyes do not tell apart, in words.
fn alike(colours: &[(String, Rgb)]) -> Vec<String> {
    let pairs =
        colours.iter().enumerate().flat_map(|(at, one)| colours[at + 1..].iter().map(move |other| (one, other)));
    let told = pairs.filter_map(|((one, a), (other, b))| {
        let (found, eyes) = difference(*a, *b);
        (found < LEAST_DIFFERENCE).then(|| format!("{one} and {other} are {found:.1} apart for {eyes}"))
    });
    told.collect()
}

#[test]
fn colours_of_pages_are_told_apart_by_colour_blind_eyes_and_seen_on_their_ground() {
    for Palette { file, colours, grounds } in &PALETTES {
        let style = read(file);
        for (place, scheme) in ["light", "dark"].into_iter().enumerate() {
            let of = |name: &str| match values(&style, name).as_slice() {
                both @ [_, _] => both[place],
                found => {
                    panic!("{file}: --{name} has {} values; wanted one for light grounds and one for dark", found.len())
                }
            };
            let named: Vec<(String, Rgb)> = colours.iter().map(|name| (format!("--{name}"), of(name))).collect();
            let faults = alike(&named);
            assert!(faults.is_empty(), "{file}, {scheme}: {}", faults.join("; "));
            for (name, colour) in &named {
                for ground in grounds.iter() {
                    let found = contrast(*colour, of(ground));
                    assert!(
                        found >= LEAST_CONTRAST,
                        "{file}, {scheme}: {name} on --{ground} has a contrast of {found:.2}"
                    );
                }
            }
        }
    }
}

#[test]
fn colours_of_pictures_are_told_apart_by_colour_blind_eyes() {
    // the range test's lines, by their classes, on white
    let chart = read("training/src/report/rate_chart.rs");
    let lines = [".loss {", ".steepest {", ".lowest {"].map(|class| {
        let rule = chart.split_once(class).unwrap_or_else(|| panic!("no `{class}` in the chart of rates")).1;
        let stroke = rule.split_once("stroke: ").and_then(|(_, value)| colour(value));
        (class.to_owned(), stroke.unwrap_or_else(|| panic!("`{class}` has no stroke")))
    });
    assert_eq!(alike(&lines), [""; 0]);
    assert!(lines.iter().all(|(_, colour)| contrast(*colour, [1.0; 3]) >= LEAST_CONTRAST));
    // tints of classes on the contact sheet
    let overlay = read("recipes/src/preview/overlay.rs");
    let list = overlay.split_once("const COLOURS").and_then(|(_, rest)| rest.split_once('=')?.1.split_once(';'));
    let list = list.unwrap_or_else(|| panic!("no list of colours in the overlay")).0;
    let numbers: Vec<f64> = list
        .split(|letter: char| !letter.is_ascii_digit())
        .filter_map(|number| number.parse::<f64>().ok())
        .map(|number| number / 255.0)
        .collect();
    let (tints, rest) = numbers.as_chunks::<3>();
    assert!(tints.len() >= 7 && rest.is_empty(), "{list}");
    let tints: Vec<(String, Rgb)> = tints.iter().enumerate().map(|(at, tint)| (format!("tint {at}"), *tint)).collect();
    assert_eq!(alike(&tints), [""; 0]);
}

#[test]
fn a_page_whose_colours_nobody_looks_at_is_told() {
    let mut left: Vec<PathBuf> = ["training/src", "recipes/src", "search/src", "cli/src"].map(PathBuf::from).to_vec();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(root.join(&folder)).unwrap().map(Result::unwrap) {
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                left.push(path);
                continue;
            }
            if !path.extension().is_some_and(|kind| kind == "css" || kind == "html") {
                continue;
            }
            let file = path.to_str().unwrap().replace('\\', "/");
            let style = read(&file);
            let palette = PALETTES.iter().find(|palette| palette.file == file);
            let is_known = |name: &&str| {
                OTHERS.contains(name)
                    || palette.is_some_and(|own| own.colours.contains(name) || own.grounds.contains(name))
            };
            let unknown: Vec<&str> = variables(&style).into_iter().filter(|name| !is_known(name)).collect();
            assert!(
                unknown.is_empty(),
                "{file}: {unknown:?} belong into PALETTES of tests/palettes.rs, or into OTHERS"
            );
        }
    }
}

#[test]
fn two_browns_that_deuteranopes_take_for_one_are_found() {
    let pair = |one: &str, other: &str| [one, other].map(|text| (text.to_owned(), colour(text).unwrap()));
    let faults = alike(&pair("#c2410c", "#8a6100"));
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(alike(&pair("#1f5fbf", "#bd3c05")), [""; 0]);
    let (found, _) = difference([0.5; 3], [0.5; 3]);
    assert!(found.abs() < 1e-12);
    assert!((contrast([1.0; 3], [0.0; 3]) - 21.0).abs() < 1e-9);
    assert_eq!(colour("#fff8"), None);
}
