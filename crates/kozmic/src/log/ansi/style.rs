//! Colours and attributes (ECMA-48's SGR), and how HTML shows them: by classes of the
//! style sheet. Exact colours stand in data attributes besides; the pages allow no
//! inline styles, so the script of the viewer sets them.

use std::fmt::Write as _;

use vte::Params;

use super::palette::{Rgb, hex, legible, nearest, xterm};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Color {
    Default,
    /// 0 to 255, as xterm numbers them; the first 16 are the theme's.
    Indexed(u8),
    Rgb(u8, u8, u8),
}

/// Bits of [`Style::set`], by SGR's number for them, with the class that shows them.
const ATTRIBUTES: [(u16, u8, &str); 5] = [
    (1, BOLD, "bold"),
    (2, DIM, "dim"),
    (3, ITALIC, "it"),
    (4, UNDERLINE, "ul"),
    (9, STRIKE, "st"),
];
const BOLD: u8 = 1;
const DIM: u8 = 2;
const ITALIC: u8 = 4;
const UNDERLINE: u8 = 8;
const STRIKE: u8 = 16;
const INVERSE: u8 = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    fg: Color,
    bg: Color,
    set: u8,
}

impl Default for Style {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Style {
    pub(super) const DEFAULT: Self = Self { fg: Color::Default, bg: Color::Default, set: 0 };

    pub(super) fn is_default(&self) -> bool {
        *self == Self::DEFAULT
    }

    /// Select graphic rendition.
    pub(super) fn select(&mut self, params: &Params) {
        let mut codes = params.iter();
        if params.is_empty() {
            *self = Self::DEFAULT;
        }
        while let Some(code) = codes.next() {
            match code[0] {
                0 => *self = Self::DEFAULT,
                // 4:0 is "no underline" in the colon form.
                4 if code.get(1) == Some(&0) => self.set &= !UNDERLINE,
                1 => self.set |= BOLD,
                2 => self.set |= DIM,
                3 => self.set |= ITALIC,
                // The second is double.
                4 | 21 => self.set |= UNDERLINE,
                7 => self.set |= INVERSE,
                9 => self.set |= STRIKE,
                22 => self.set &= !(BOLD | DIM),
                23 => self.set &= !ITALIC,
                24 => self.set &= !UNDERLINE,
                27 => self.set &= !INVERSE,
                29 => self.set &= !STRIKE,
                n @ 30..=37 => self.fg = Color::Indexed(low(n - 30)),
                n @ 90..=97 => self.fg = Color::Indexed(low(n - 90 + 8)),
                39 => self.fg = Color::Default,
                n @ 40..=47 => self.bg = Color::Indexed(low(n - 40)),
                n @ 100..=107 => self.bg = Color::Indexed(low(n - 100 + 8)),
                49 => self.bg = Color::Default,
                n @ (38 | 48 | 58) => {
                    let color =
                        if code.len() > 1 { color_of(&code[1..]) } else { color_after(&mut codes) };
                    match (n, color) {
                        (38, Some(color)) => self.fg = color,
                        (48, Some(color)) => self.bg = color,
                        // That of an underline is not shown.
                        _ => {}
                    }
                }
                _ => {}
            }
        }
    }

    /// The escape sequence that sets this style on a default one; empty for the default.
    pub(super) fn sequence(self) -> String {
        let mut codes: Vec<String> = ATTRIBUTES
            .iter()
            .filter(|(_, bit, _)| self.set & bit != 0)
            .map(|(code, ..)| code.to_string())
            .collect();
        if self.set & INVERSE != 0 {
            codes.push("7".to_owned());
        }
        for (color, code) in [(self.fg, 38), (self.bg, 48)] {
            match color {
                Color::Default => {}
                Color::Indexed(n) => codes.push(format!("{code};5;{n}")),
                Color::Rgb(r, g, b) => codes.push(format!("{code};2;{r};{g};{b}")),
            }
        }
        if codes.is_empty() { String::new() } else { format!("\x1b[{}m", codes.join(";")) }
    }

    /// The attributes of an element that shows this style; empty for the default.
    pub(super) fn attributes(self) -> String {
        if self.is_default() {
            return String::new();
        }
        let is_inverse = self.set & INVERSE != 0;
        let (fg, bg) = if is_inverse { (self.bg, self.fg) } else { (self.fg, self.bg) };
        let (mut classes, mut exact) = (Vec::new(), String::new());
        // On a ground of its own a colour is what was asked for, else it must be legible.
        let on_log = bg == Color::Default && !is_inverse;
        match fg {
            Color::Default if is_inverse => classes.push("fi".to_owned()),
            Color::Default => {}
            Color::Indexed(n @ 0..16) => {
                classes.push(format!("{}{n}", if is_inverse { 'h' } else { 'f' }));
            }
            Color::Indexed(n) => {
                let shown = if on_log { legible(xterm(n)) } else { xterm(n) };
                classes.push(format!("f{}", if shown == xterm(n) { n } else { nearest(shown) }));
            }
            Color::Rgb(r, g, b) => {
                let shown = if on_log { legible((r, g, b)) } else { (r, g, b) };
                exactly(shown, 'f', &mut classes, &mut exact);
            }
        }
        match bg {
            Color::Default if is_inverse => classes.push("bi".to_owned()),
            Color::Default => {}
            Color::Indexed(n @ 0..16) => {
                classes.push(format!("{}{n}", if is_inverse { 'g' } else { 'b' }));
            }
            Color::Indexed(n) => classes.push(format!("b{n}")),
            Color::Rgb(r, g, b) => exactly((r, g, b), 'b', &mut classes, &mut exact),
        }
        let attributes = ATTRIBUTES.iter().filter(|(_, bit, _)| self.set & bit != 0);
        classes.extend(attributes.map(|(.., class)| (*class).to_owned()));
        if classes.is_empty() {
            return String::new();
        }
        format!(" class=\"{}\"{exact}", classes.join(" "))
    }
}

/// The nearest class, for those without the script, and the colour itself.
fn exactly(color: Rgb, letter: char, classes: &mut Vec<String>, exact: &mut String) {
    let class = nearest(color);
    classes.push(format!("{letter}{class}"));
    if xterm(class) != color {
        let _ = write!(exact, " data-{letter}=\"{}\"", hex(color));
    }
}

/// `5;n` or `2;r;g;b` among the codes that follow.
fn color_after<'a>(codes: &mut impl Iterator<Item = &'a [u16]>) -> Option<Color> {
    let kind = codes.next()?[0];
    let count = match kind {
        5 => 1,
        2 => 3,
        _ => 0,
    };
    let mut color = vec![kind];
    color.extend(codes.take(count).map(|code| code[0]));
    color_of(&color)
}

/// `5;n` or `2;r;g;b`, in the colon form also `2::r:g:b`.
fn color_of(codes: &[u16]) -> Option<Color> {
    match *codes {
        [5, n, ..] => Some(Color::Indexed(low(n))),
        [2, _, r, g, b, ..] | [2, r, g, b] => Some(Color::Rgb(low(r), low(g), low(b))),
        _ => None,
    }
}

fn low(n: u16) -> u8 {
    u8::try_from(n).unwrap_or(u8::MAX)
}
