//! When a hook runs by the clock: a line as crontab(5) has it, in a time zone.
//!
//! Where clocks are set forward, a time that is left out that day comes at once after
//! the gap; where they are set back, a time that comes twice counts the first time. What
//! goes by an interval (`*` or `/` in the minutes or hours) goes on as time does.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use croner::{CivilDate, CivilDateTime, CivilTime, Cron, CronDateTime, Resolution, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ZonedDateTime};
use serde::{Deserialize, Serialize};

use super::{GitRef, Invalid, Timestamp};

/// `0 3 * * * Europe/Berlin on main`: five fields or a nickname like `@daily`; the time
/// zone's name in the IANA database, UTC where there is none; and the branch whose head
/// is built, the default branch where there is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CronLine {
    fields: String,
    zone: String,
    pub branch: Option<String>,
}

const HOW: &str = "write it as `0 3 * * * Europe/Berlin` or `0 3 * * 1-5 UTC on BRANCH`: minute, \
                   hour, day of the month, month, day of the week, then the time zone";

impl CronLine {
    /// The first time after this one; none when it never comes.
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        let zone = TimeZone::get(&self.zone).ok()?;
        // The next one comes after a whole second.
        let from = jiff::Timestamp::from_second(time.0.div_euclid(1_000)).ok()?;
        let from = Clock(from.to_zoned_datetime(zone));
        let found = patterns(&self.fields).ok()?.into_iter().filter_map(|pattern| {
            let found = pattern.find_next_occurrence(&from, false).ok()?;
            Some(Timestamp(found.0.timestamp().as_millisecond()))
        });
        found.min()
    }

    /// A point in time on this line's clock: `2027-03-28 03:00 CEST`.
    pub fn shows(&self, time: Timestamp) -> String {
        let zone = TimeZone::get(&self.zone).unwrap_or(TimeZone::UTC);
        match jiff::Timestamp::from_millisecond(time.0) {
            Ok(at) => at.to_zoned_datetime(zone).strftime("%Y-%m-%d %H:%M %Z").to_string(),
            Err(_) => time.to_string(),
        }
    }
}

impl fmt::Display for CronLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.fields, self.zone)?;
        match &self.branch {
            Some(branch) => write!(f, " on {branch}"),
            None => Ok(()),
        }
    }
}

impl FromStr for CronLine {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut words = text.split_whitespace().peekable();
        let count = if words.peek().is_some_and(|word| word.starts_with('@')) { 1 } else { 5 };
        let fields: Vec<&str> = words.by_ref().take(count).collect();
        if fields.len() < count {
            return Err(Invalid::new(format!("`{text}` has too few fields; {HOW}")));
        }
        let zone = match words.next_if(|word| *word != "on") {
            Some(name) => zone_name(name)?,
            None => "UTC".to_owned(),
        };
        let branch = match (words.next(), words.next(), words.next()) {
            (None, ..) => None,
            (Some("on"), Some(branch), None) => {
                GitRef::branch(branch)?;
                Some(branch.to_owned())
            }
            _ => return Err(Invalid::new(format!("`{text}` is no schedule; {HOW}"))),
        };
        let line = Self { fields: fields.join(" "), zone, branch };
        patterns(&line.fields)
            .map_err(|problem| Invalid::new(format!("`{}`: {problem}; {HOW}", line.fields)))?;
        if line.next_after(Timestamp::now()).is_none() {
            return Err(Invalid::new(format!("`{}` never comes", line.fields)));
        }
        Ok(line)
    }
}

impl TryFrom<String> for CronLine {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<CronLine> for String {
    fn from(line: CronLine) -> Self {
        line.to_string()
    }
}

/// The name as the IANA database writes it. The database is the machine's, or else the
/// one that Kozmic brings with it.
fn zone_name(name: &str) -> Result<String, Invalid> {
    if let Ok(zone) = TimeZone::get(name)
        && let Some(known) = zone.iana_name()
    {
        return Ok(known.to_owned());
    }
    let distance = |known: &str| {
        let (known, name) = (known.to_lowercase(), name.to_lowercase());
        // Who writes the city alone is understood as well.
        let city = known.rsplit('/').next().unwrap_or(&known);
        strsim::damerau_levenshtein(&known, &name).min(strsim::damerau_levenshtein(city, &name))
    };
    let known: Vec<String> =
        jiff::tz::db().available().map(|known| known.as_str().to_owned()).collect();
    let nearest = known.iter().min_by_key(|known| distance(known));
    let hint = match nearest.filter(|known| distance(known) <= 2) {
        Some(known) => format!("did you mean {known}?"),
        None => "write its name in the IANA database, like Europe/Berlin or UTC".to_owned(),
    };
    Err(Invalid::new(format!("there is no time zone `{name}`; {hint}")))
}

/// The patterns that a line stands for. Lists of plain hours and minutes are taken apart:
/// each of their times is one of its own where clocks are set.
fn patterns(fields: &str) -> Result<Vec<Cron>, CronError> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let whole = parser.parse(fields)?;
    let words: Vec<&str> = fields.split(' ').collect();
    let [minutes, hours, days @ ..] = words.as_slice() else { return Ok(vec![whole]) };
    let (Some(minutes), Some(hours)) = (numbers(minutes), numbers(hours)) else {
        return Ok(vec![whole]);
    };
    let days = days.join(" ");
    let times = hours.iter().flat_map(|hour| minutes.iter().map(move |minute| (minute, hour)));
    times.map(|(minute, hour)| parser.parse(&format!("{minute} {hour} {days}"))).collect()
}

/// `1,3-5` as numbers; none when it is anything else.
fn numbers(field: &str) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    for part in field.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u8, u8) = (first.parse().ok()?, last.parse().ok()?);
        all.extend(first..=last);
    }
    Some(all)
}

/// A zoned time as croner asks for one. (Its own way of asking jiff is for an older jiff.)
#[derive(Clone)]
struct Clock(ZonedDateTime);

impl CronDateTime for Clock {
    fn to_civil(&self) -> CivilDateTime {
        let time = self.0.datetime();
        let part = |number: i8| u32::try_from(number).unwrap_or(0);
        // What jiff has for a date and a time is one.
        CivilDateTime::new(
            CivilDate::from_parts_unchecked(
                i32::from(time.year()),
                part(time.month()),
                part(time.day()),
            ),
            CivilTime::from_parts_unchecked(
                part(time.hour()),
                part(time.minute()),
                part(time.second()),
            ),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        let days = self.0.weekday().to_sunday_zero_offset();
        Weekday::from_days_from_sunday(u32::try_from(days).unwrap_or(0))
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let part = |number: u32| i8::try_from(number).map_err(|_| CronError::InvalidDate);
        let year = i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?;
        let time = jiff::civil::DateTime::new(
            year,
            part(civil.month())?,
            part(civil.day())?,
            part(civil.hour())?,
            part(civil.minute())?,
            part(civil.second())?,
            0,
        )
        .map_err(|_| CronError::InvalidDate)?;
        let found = self.0.time_zone().to_ambiguous_zoned_datetime(time);
        let known = |zoned: Result<ZonedDateTime, jiff::Error>| {
            zoned.map(Clock).map_err(|_| CronError::InvalidTime)
        };
        Ok(match found.offset() {
            jiff::tz::AmbiguousOffset::Gap { .. } => Resolution::Gap,
            jiff::tz::AmbiguousOffset::Fold { .. } => {
                Resolution::Ambiguous(known(found.clone().earlier())?, known(found.later())?)
            }
            jiff::tz::AmbiguousOffset::Unambiguous { .. } => {
                Resolution::Single(known(found.unambiguous())?)
            }
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(SignedDuration::from_secs(seconds)).ok().map(Clock)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.timestamp().cmp(&other.0.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    /// The next times after one, as many as are expected.
    fn comes(line: &str, after: &str, expected: &[&str]) {
        let line: CronLine = line.parse().unwrap();
        let mut time = at(after);
        for expected in expected {
            time = line.next_after(time).unwrap();
            assert_eq!(time.to_string(), *expected, "{line}");
        }
    }

    #[test]
    fn a_time_of_day_follows_its_zone() {
        let line = "0 3 * * * Europe/Berlin";
        comes(line, "2027-01-01T12:00:00.250Z", &["2027-01-02T02:00:00Z"]);
        comes(line, "2027-07-01T12:00:00Z", &["2027-07-02T01:00:00Z"]);
        comes("0 3 * * *", "2027-07-01T03:00:00.5Z", &["2027-07-02T03:00:00Z"]);
        comes("@daily Asia/Kathmandu", "2027-07-01T12:00:00Z", &["2027-07-01T18:15:00Z"]);
    }

    #[test]
    fn a_time_that_a_day_lacks_comes_right_after_the_gap_and_once() {
        // Berlin, 2027-03-28: 01:59:59 is followed by 03:00:00.
        let days = ["2027-03-27T01:30:00Z", "2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"];
        comes("30 2 * * * Europe/Berlin", "2027-03-26T12:00:00Z", &days);
        let once = ["2027-03-28T01:00:00Z", "2027-03-29T00:10:00Z"];
        comes("10,50 2 * * * Europe/Berlin", "2027-03-27T12:00:00Z", &once);
        let both = ["2027-03-28T01:00:00Z", "2027-03-28T12:30:00Z", "2027-03-29T00:30:00Z"];
        comes("30 2,14 * * * Europe/Berlin", "2027-03-27T20:00:00Z", &both);
        let by_interval = ["2027-03-28T00:30:00Z", "2027-03-28T01:00:00Z", "2027-03-28T01:30:00Z"];
        comes("*/30 * * * * Europe/Berlin", "2027-03-28T00:00:00Z", &by_interval);
    }

    #[test]
    fn a_time_that_comes_twice_counts_once() {
        // Berlin, 2027-10-31: 02:59:59 CEST is followed by 02:00:00 CET.
        let days = ["2027-10-30T00:30:00Z", "2027-10-31T00:30:00Z", "2027-11-01T01:30:00Z"];
        comes("30 2 * * * Europe/Berlin", "2027-10-29T12:00:00Z", &days);
        let both = ["2027-10-31T00:30:00Z", "2027-10-31T13:30:00Z"];
        comes("30 2,14 * * * Europe/Berlin", "2027-10-30T20:00:00Z", &both);
        let hourly = ["2027-10-31T00:00:00Z", "2027-10-31T01:00:00Z", "2027-10-31T02:00:00Z"];
        comes("0 * * * * Europe/Berlin", "2027-10-30T23:30:00Z", &hourly);
    }

    #[test]
    fn lines_are_read_back_as_they_are_shown() {
        for (line, shown) in [
            ("0  3 * * 1-5   europe/berlin on release/1", "0 3 * * 1-5 Europe/Berlin on release/1"),
            ("@hourly", "@hourly UTC"),
            ("0 0 1 JAN * on main", "0 0 1 JAN * UTC on main"),
        ] {
            let line: CronLine = line.parse().unwrap();
            assert_eq!(line.to_string(), shown);
            assert_eq!(shown.parse::<CronLine>().unwrap(), line);
        }
        let summer: CronLine = "0 3 * * * Europe/Berlin".parse().unwrap();
        assert_eq!(summer.shows(at("2027-07-01T01:00:00Z")), "2027-07-01 03:00 CEST");
    }

    #[test]
    fn mistakes_say_what_is_right() {
        for (line, says) in [
            ("", "too few fields"),
            ("0 3 * *", "too few fields"),
            ("0 25 * * *", "0 25 * * *"),
            ("61 * * * * UTC", "61 * * * *"),
            ("@sometimes", "@sometimes"),
            ("0 0 30 2 * UTC", "never comes"),
            ("0 3 * * * Europe/Berln", "did you mean Europe/Berlin?"),
            ("0 3 * * * Berlin", "did you mean Europe/Berlin?"),
            ("0 3 * * * Mars/Olympus", "like Europe/Berlin or UTC"),
            ("0 3 * * * UTC on", "is no schedule"),
            ("0 3 * * * UTC on a..b", "refs/heads/a..b"),
            ("0 3 * * * UTC main", "is no schedule"),
        ] {
            let problem = line.parse::<CronLine>().unwrap_err().to_string();
            assert!(problem.contains(says), "{line}: {problem}");
        }
    }
}
