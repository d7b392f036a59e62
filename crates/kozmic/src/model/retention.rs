//! How long, and how much of, what jobs leave is kept.

use std::fmt;

use super::{Invalid, parse_bytes, readable_bytes};

/// In days; a hundred years.
const LONGEST: i64 = 36_500;

/// What a project keeps of its logs. The newest build's stay in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogRetention {
    /// Days after a job's end; none: for good.
    pub days: Option<i64>,
    /// Bytes of all its archived logs; none: as many as there are.
    pub bytes: Option<i64>,
}

impl LogRetention {
    /// The bytes as [`parse_log_bytes`] takes them; empty: no bound.
    pub fn written_bytes(&self) -> String {
        let Some(bytes) = self.bytes else { return String::new() };
        let units = [("T", 40), ("G", 30), ("M", 20), ("K", 10)];
        let unit = units.into_iter().find(|(_, shift)| bytes.trailing_zeros() >= *shift);
        unit.map_or_else(|| bytes.to_string(), |(unit, shift)| format!("{}{unit}", bytes >> shift))
    }
}

impl fmt::Display for LogRetention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.days {
            Some(days) => write!(f, "for {days} days")?,
            None => f.write_str("for good")?,
        }
        match self.bytes.and_then(|bytes| u64::try_from(bytes).ok()) {
            Some(bytes) => write!(f, ", up to {}", readable_bytes(bytes)),
            None => Ok(()),
        }
    }
}

/// One of a retention's bounds as people set it; none: it is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound(pub Option<i64>);

/// A number of days from 1, or `off` for no bound.
pub fn parse_days(text: &str) -> Result<Bound, Invalid> {
    match text.trim() {
        "" | "off" => Ok(Bound(None)),
        text => match text.parse() {
            Ok(days) if (1..=LONGEST).contains(&days) => Ok(Bound(Some(days))),
            _ => Err(Invalid::new(format!("must be a number of days from 1 to {LONGEST}, or off"))),
        },
    }
}

/// A number of bytes from 1M, or `off` for no bound.
pub fn parse_log_bytes(text: &str) -> Result<Bound, Invalid> {
    match text.trim() {
        "" | "off" => Ok(Bound(None)),
        text => match parse_bytes(text).map(i64::try_from) {
            Ok(Ok(bytes)) if bytes >= 1 << 20 => Ok(Bound(Some(bytes))),
            _ => Err(Invalid::new("must be a number of bytes from 1M, like 512M or 10G, or off")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_numbers_or_off() {
        assert_eq!(parse_days("30").unwrap(), Bound(Some(30)));
        assert_eq!(
            (parse_days("off").unwrap(), parse_days(" ").unwrap()),
            (Bound(None), Bound(None))
        );
        assert_eq!(parse_log_bytes("2G").unwrap(), Bound(Some(2 << 30)));
        assert_eq!(parse_log_bytes("").unwrap(), Bound(None));
        for size in ["2G", "512M", "1025K", "1048577"] {
            let Bound(bytes) = parse_log_bytes(size).unwrap();
            assert_eq!(LogRetention { days: None, bytes }.written_bytes(), size);
        }
        for wrong in ["0", "-1", "36501", "a month", "1.5"] {
            assert!(parse_days(wrong).is_err(), "{wrong}");
        }
        for wrong in ["0", "1K", "1 G", "9999999999G"] {
            assert!(parse_log_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
