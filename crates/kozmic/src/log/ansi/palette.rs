//! xterm's 256 colours, and which of them can be read on the log's ground.

use std::fmt::Write as _;

pub(super) type Rgb = (u8, u8, u8);

/// Relative luminance below which a colour has less than 4.5 : 1 on the log's ground,
/// #101418 (WCAG 2.2, 1.4.3).
const LEAST_LUMINANCE: f64 = 0.21;

/// xterm's colours 16 to 255: a cube of 6×6×6 and 24 greys.
pub(super) fn xterm(n: u8) -> Rgb {
    if n >= 232 {
        let grey = 8 + 10 * (n - 232);
        return (grey, grey, grey);
    }
    let n = n.saturating_sub(16);
    (level(n / 36), level(n / 6 % 6), level(n % 6))
}

fn level(step: u8) -> u8 {
    if step == 0 { 0 } else { 55 + 40 * step }
}

/// The colour of 16 to 255 that is nearest to this one.
pub(super) fn nearest(color: Rgb) -> u8 {
    let values = [color.0, color.1, color.2];
    let step = |value: u8| (0..6).min_by_key(|step| level(*step).abs_diff(value)).unwrap_or(0);
    let cube = values.iter().fold(0, |index, value| 6 * index + step(*value)) + 16;
    let mean = values.iter().map(|value| u16::from(*value)).sum::<u16>() / 3;
    let grey = 232 + u8::try_from((mean.saturating_sub(3) / 10).min(23)).unwrap_or(23);
    let distance = |n: u8| {
        let shown = xterm(n);
        let pairs = [shown.0, shown.1, shown.2].into_iter().zip(values);
        pairs.map(|(shown, wanted)| u32::from(shown.abs_diff(wanted)).pow(2)).sum::<u32>()
    };
    if distance(grey) < distance(cube) { grey } else { cube }
}

/// The colour itself, or one as light as it must be to be read on the log's ground.
pub(super) fn legible((r, g, b): Rgb) -> Rgb {
    let linear = [r, g, b].map(to_linear);
    let luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    if luminance >= LEAST_LUMINANCE {
        return (r, g, b);
    }
    // As much white as is missing.
    let white = (LEAST_LUMINANCE - luminance) / (1.0 - luminance);
    let [r, g, b] = linear.map(|value| to_byte(value + white * (1.0 - value)));
    (r, g, b)
}

/// sRGB's transfer function (IEC 61966-2-1).
fn to_linear(value: u8) -> f64 {
    let value = f64::from(value) / 255.0;
    if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255, rounded")]
fn to_byte(linear: f64) -> u8 {
    let value =
        if linear <= 0.003_130_8 { linear * 12.92 } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 };
    (value.clamp(0.0, 1.0) * 255.0).ceil() as u8
}

pub(super) fn hex((r, g, b): Rgb) -> String {
    format!("{r:02x}{g:02x}{b:02x}")
}

/// The rules of the classes `f16` to `f255` and `b16` to `b255`.
pub fn style_sheet() -> String {
    let mut css =
        String::from("/* xterm's colours 16 to 255, of letters and of their ground. */\n");
    for n in 16..=255 {
        let color = hex(xterm(n));
        let _ = writeln!(css, ".b{n}{{background:#{color}}}.f{n}{{color:#{color}}}");
    }
    css
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_palette_is_xterms() {
        assert_eq!(xterm(16), (0, 0, 0));
        assert_eq!(xterm(196), (255, 0, 0));
        assert_eq!(xterm(231), (255, 255, 255));
        assert_eq!(xterm(232), (8, 8, 8));
        assert_eq!(xterm(255), (238, 238, 238));
        for n in 16..=255 {
            assert_eq!(xterm(nearest(xterm(n))), xterm(n), "{n}");
        }
    }

    #[test]
    fn dark_colours_are_lifted_until_they_can_be_read_and_light_ones_are_kept() {
        let luminance = |(r, g, b)| {
            let [r, g, b] = [r, g, b].map(to_linear);
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        let ground = luminance((0x10, 0x14, 0x18));
        for n in 16..=255 {
            let shown = legible(xterm(n));
            let contrast = (luminance(shown) + 0.05) / (ground + 0.05);
            assert!(contrast >= 4.5, "{n}: {contrast}");
        }
        assert_eq!(legible((255, 200, 100)), (255, 200, 100));
        let (r, g, b) = legible((0, 0, 95));
        assert!(b > r && r == g, "it is blue still");
    }
}
