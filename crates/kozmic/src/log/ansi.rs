//! A line as a terminal would show it, as HTML. The escape sequences are parsed
//! by vte; here they move a cursor within the line and set styles (ECMA-48).
//! Movements to other lines are ignored. Everything that is shown is escaped.

mod state;

use std::fmt::Write as _;

use vte::{Params, Parser, Perform};

use super::Line;

/// Cells of one line that are shown; the plain log has all of them.
const CELLS_LIMIT: usize = 10_000;

/// Renders the lines of a log in their order: colours go on from line to line.
#[derive(Default)]
pub struct Renderer {
    parser: Parser,
    screen: Screen,
}

impl std::fmt::Debug for Renderer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Renderer")
    }
}

impl Renderer {
    /// The HTML of one line.
    pub fn line(&mut self, line: Line<'_>) -> String {
        self.screen.clear();
        self.screen.cut = line.cut;
        self.parser.advance(&mut self.screen, line.bytes);
        // An unfinished sequence ends with its line.
        self.parser.advance(&mut self.screen, b"\x18");
        self.screen.html()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Color {
    #[default]
    Default,
    /// 0 to 255, as xterm numbers them; the first 16 are the theme's.
    Indexed(u8),
    Rgb(u8, u8, u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is one attribute of ECMA-48")]
struct Style {
    fg: Color,
    bg: Color,
    bold: bool,
    dim: bool,
    italic: bool,
    underline: bool,
    strike: bool,
    inverse: bool,
}

#[derive(Default)]
struct Screen {
    cells: Vec<(char, Style)>,
    column: usize,
    style: Style,
    /// Characters, or bytes, that are not shown.
    cut: u64,
}

impl Screen {
    fn clear(&mut self) {
        self.cells.clear();
        self.column = 0;
        self.cut = 0;
    }

    fn put(&mut self, c: char) {
        if self.column >= CELLS_LIMIT {
            self.cut += 1;
            self.column += 1;
            return;
        }
        while self.cells.len() <= self.column {
            self.cells.push((' ', Style::default()));
        }
        self.cells[self.column] = (c, self.style);
        self.column += 1;
    }

    fn erase(&mut self, from: usize, to: usize) {
        if to >= self.cells.len() {
            self.cells.truncate(from);
        } else {
            for cell in self.cells.iter_mut().take(to).skip(from) {
                *cell = (' ', self.style);
            }
        }
    }

    fn html(&self) -> String {
        let mut html = String::with_capacity(self.cells.len() + 16);
        let mut rest = self.cells.as_slice();
        while let Some((_, style)) = rest.first() {
            let run = rest.iter().take_while(|(_, other)| other == style).count();
            let (text, after) = rest.split_at(run);
            let attributes = style.attributes();
            if attributes.is_empty() {
                escape(text, &mut html);
            } else {
                let _ = write!(html, "<span{attributes}>");
                escape(text, &mut html);
                html.push_str("</span>");
            }
            rest = after;
        }
        if self.cut > 0 {
            let _ = write!(
                html,
                "<span class=\"cut\">… {} more characters in the plain log</span>",
                self.cut
            );
        }
        html
    }

    fn select_graphic_rendition(&mut self, params: &Params) {
        let mut codes = params.iter();
        if params.is_empty() {
            self.style = Style::default();
        }
        while let Some(code) = codes.next() {
            let style = &mut self.style;
            match code[0] {
                0 => *style = Style::default(),
                1 => style.bold = true,
                2 => style.dim = true,
                3 => style.italic = true,
                // 4:0 is "no underline" in the colon form.
                4 => style.underline = code.get(1) != Some(&0),
                7 => style.inverse = true,
                9 => style.strike = true,
                22 => (style.bold, style.dim) = (false, false),
                23 => style.italic = false,
                24 => style.underline = false,
                27 => style.inverse = false,
                29 => style.strike = false,
                n @ 30..=37 => style.fg = Color::Indexed(low(n - 30)),
                n @ 90..=97 => style.fg = Color::Indexed(low(n - 90 + 8)),
                39 => style.fg = Color::Default,
                n @ 40..=47 => style.bg = Color::Indexed(low(n - 40)),
                n @ 100..=107 => style.bg = Color::Indexed(low(n - 100 + 8)),
                49 => style.bg = Color::Default,
                n @ (38 | 48) => {
                    let color = if code.len() > 1 {
                        color_of(&code[1..])
                    } else {
                        let more: Vec<u16> = codes.by_ref().take(1).map(|c| c[0]).collect();
                        let count = match more.first() {
                            Some(5) => 1,
                            Some(2) => 3,
                            _ => 0,
                        };
                        let more: Vec<u16> = more
                            .into_iter()
                            .chain(codes.by_ref().take(count).map(|c| c[0]))
                            .collect();
                        color_of(&more)
                    };
                    if let Some(color) = color {
                        *(if n == 38 { &mut self.style.fg } else { &mut self.style.bg }) = color;
                    }
                }
                _ => {}
            }
        }
    }
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

fn escape(cells: &[(char, Style)], html: &mut String) {
    for (c, _) in cells {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            // They would reorder what stands around them on the page.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => html.push('\u{fffd}'),
            c => html.push(*c),
        }
    }
}

impl Style {
    /// Classes for what the theme decides, a style attribute for exact colours.
    fn attributes(self) -> String {
        let (fg, bg) = if self.inverse { (self.bg, self.fg) } else { (self.fg, self.bg) };
        let mut classes = Vec::new();
        let mut exact = String::new();
        for (color, letter, property) in [(fg, 'f', "color"), (bg, 'b', "background-color")] {
            match color {
                Color::Default if self.inverse => classes.push(format!("{letter}i")),
                Color::Default => {}
                Color::Indexed(n @ 0..16) => classes.push(format!("{letter}{n}")),
                Color::Indexed(n) => {
                    let (r, g, b) = xterm(n);
                    let _ = write!(exact, "{property}:#{r:02x}{g:02x}{b:02x};");
                }
                Color::Rgb(r, g, b) => {
                    let _ = write!(exact, "{property}:#{r:02x}{g:02x}{b:02x};");
                }
            }
        }
        for (set, class) in [
            (self.bold, "bold"),
            (self.dim, "dim"),
            (self.italic, "it"),
            (self.underline, "ul"),
            (self.strike, "st"),
        ] {
            if set {
                classes.push(class.to_owned());
            }
        }
        let mut attributes = String::new();
        if !classes.is_empty() {
            let _ = write!(attributes, " class=\"{}\"", classes.join(" "));
        }
        if !exact.is_empty() {
            let _ = write!(attributes, " style=\"{exact}\"");
        }
        attributes
    }
}

/// xterm's colours 16 to 255: a cube of 6×6×6 and 24 greys.
fn xterm(n: u8) -> (u8, u8, u8) {
    if n >= 232 {
        let grey = 8 + 10 * (n - 232);
        return (grey, grey, grey);
    }
    let n = n.saturating_sub(16);
    let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
    (level(n / 36), level(n / 6 % 6), level(n % 6))
}

impl Perform for Screen {
    fn print(&mut self, c: char) {
        self.put(c);
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\r' => self.column = 0,
            0x08 => self.column = self.column.saturating_sub(1),
            b'\t' => {
                let stop = (self.column / 8 + 1) * 8;
                while self.column < stop {
                    // Blanks are kept so that columns line up; what stands there stays.
                    if self.column < self.cells.len() { self.column += 1 } else { self.put(' ') }
                }
            }
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], _ignore: bool, action: char) {
        if !intermediates.is_empty() {
            return;
        }
        let first = params.iter().next().map_or(0, |param| usize::from(param[0]));
        let count = first.max(1);
        match action {
            'm' => self.select_graphic_rendition(params),
            'C' => self.column = (self.column + count).min(CELLS_LIMIT),
            'D' => self.column = self.column.saturating_sub(count),
            'G' => self.column = (count - 1).min(CELLS_LIMIT),
            'K' => match first {
                0 => self.erase(self.column, usize::MAX),
                1 => self.erase(0, self.column + 1),
                2 => self.erase(0, usize::MAX),
                _ => {}
            },
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Line<'_> {
        Line { bytes, cut: 0 }
    }

    fn html(line: &str) -> String {
        Renderer::default().line(of(line.as_bytes()))
    }

    #[test]
    fn text_is_escaped_inside_and_outside_of_colours() {
        assert_eq!(html("<b>&\"'"), "&lt;b&gt;&amp;&quot;&#39;");
        assert_eq!(html("\x1b[31m<b>"), "<span class=\"f1\">&lt;b&gt;</span>");
        assert!(!html("a\u{202e}b").contains('\u{202e}'));
    }

    #[test]
    fn colours_and_attributes_become_classes() {
        assert_eq!(html("\x1b[1;92mok\x1b[0m."), "<span class=\"f10 bold\">ok</span>.");
        assert_eq!(html("\x1b[38;5;196mx"), "<span style=\"color:#ff0000;\">x</span>");
        assert_eq!(html("\x1b[48;2;1;2;3mx"), "<span style=\"background-color:#010203;\">x</span>");
        assert_eq!(html("\x1b[38:2::1:2:3mx"), "<span style=\"color:#010203;\">x</span>");
        assert_eq!(html("\x1b[7mx"), "<span class=\"fi bi\">x</span>");
        assert_eq!(html("\x1b[4mx\x1b[24my"), "<span class=\"ul\">x</span>y");
    }

    #[test]
    fn colours_go_on_from_line_to_line() {
        let mut renderer = Renderer::default();
        renderer.line(of(b"\x1b[31mred"));
        assert_eq!(renderer.line(of(b"still")), "<span class=\"f1\">still</span>");
        renderer.skip(of(b"\x1b[0m"));
        assert_eq!(renderer.line(of(b"plain")), "plain");
    }

    #[test]
    fn the_cursor_moves_within_the_line() {
        assert_eq!(html("10%\r99%"), "99%");
        assert_eq!(html("long line\rab\x1b[K"), "ab");
        assert_eq!(html("ab\x08c"), "ac");
        assert_eq!(html("abc\x1b[2Dx"), "axc");
        assert_eq!(html("a\tb"), "a       b");
        assert_eq!(html("abc\x1b[2Kx"), "   x");
        assert_eq!(html("x\x1b[5;1Hy\x1b[Az"), "xyz");
    }

    #[test]
    fn what_is_no_text_does_no_harm() {
        assert_eq!(html("a\x1b]0;title\x07b"), "ab");
        assert_eq!(html("a\x1b[38;5m\x1b[999mb"), "ab");
        assert_eq!(html("a\x1b["), "a");
        assert_eq!(Renderer::default().line(of(b"a\xff\xfeb")), "a\u{fffd}\u{fffd}b");
        let mut renderer = Renderer::default();
        renderer.line(of(b"a\x1b[3"));
        assert_eq!(renderer.line(of(b"1mb")), "1mb");
    }

    #[test]
    fn a_line_without_end_is_cut_and_says_so() {
        let html = html(&"x".repeat(CELLS_LIMIT + 5));
        assert!(
            html.ends_with("… 5 more characters in the plain log</span>"),
            "{}",
            &html[html.len() - 80..]
        );
        assert!(html.len() < CELLS_LIMIT + 100);
    }
}
