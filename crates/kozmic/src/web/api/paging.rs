//! Lists come in pages. An answer says in `next` where to go on; sent as `after`, it leads
//! to what follows, whatever has come or gone meanwhile.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use utoipa::IntoParams;

use super::problem::Problem;
use crate::web::page::cut;

/// Rows of one answer, at the most.
pub(super) const MOST: i64 = 1_000;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// `next` of an answer: what follows it.
    after: Option<String>,
    /// How many, at the most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

impl Paging {
    /// For a list that counts otherwise.
    pub(super) fn behind(after: Option<String>) -> Self {
        Self { after, limit: None }
    }

    /// How many are wanted.
    pub(super) fn limit(&self, usual: i64) -> Result<i64, Problem> {
        match self.limit {
            None => Ok(usual),
            Some(limit) if (1..=MOST).contains(&limit) => Ok(limit),
            Some(limit) => {
                Err(Problem::bad_request(format!("`limit` is {limit}; it goes from 1 to {MOST}.")))
            }
        }
    }

    /// The place behind which to go on, in the list of this name.
    pub(super) fn after<T: FromStr>(&self, list: &str) -> Result<Option<T>, Problem> {
        let Some(after) = &self.after else { return Ok(None) };
        let bytes = URL_SAFE_NO_PAD.decode(after).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let place = text.as_ref().and_then(|text| text.strip_prefix(list)?.strip_prefix(':'));
        place.and_then(|place| place.parse().ok()).map(Some).ok_or_else(|| {
            Problem::bad_request("`after` is not the `next` of an answer of this list.".into())
        })
    }
}

/// The cursor that leads behind a place.
pub(super) fn cursor(list: &str, place: impl std::fmt::Display) -> String {
    URL_SAFE_NO_PAD.encode(format!("{list}:{place}"))
}

/// Leaves as many as are wanted, and says where to go on; one more was asked for.
pub(super) fn page<T, P: std::fmt::Display>(
    rows: &mut Vec<T>,
    limit: i64,
    list: &str,
    place: impl Fn(&T) -> P,
) -> Option<String> {
    let has_more = cut(rows, limit);
    rows.last().filter(|_| has_more).map(|last| cursor(list, place(last)))
}

/// A page of a list that is there as a whole, in the order of its places.
pub(super) fn part<T, P: FromStr + std::fmt::Display + PartialOrd>(
    mut rows: Vec<T>,
    paging: &Paging,
    list: &str,
    place: impl Fn(&T) -> P,
) -> Result<(Vec<T>, Option<String>), Problem> {
    let (limit, after) = (paging.limit(MOST)?, paging.after::<P>(list)?);
    if let Some(after) = after {
        rows.retain(|row| place(row) > after);
    }
    let next = page(&mut rows, limit, list, place);
    Ok((rows, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paging(after: Option<String>, limit: Option<i64>) -> Paging {
        Paging { after, limit }
    }

    #[test]
    fn pages_follow_one_another_while_rows_come_and_go() {
        let (rows, next) =
            part(vec![1, 2, 3, 4, 5], &paging(None, Some(2)), "numbers", |row| *row).unwrap();
        assert_eq!(rows, [1, 2]);
        let rest = paging(next, Some(2));
        let (rows, next) = part(vec![0, 1, 3, 4, 5], &rest, "numbers", |row| *row).unwrap();
        assert_eq!(rows, [3, 4]);
        let rest = paging(next, Some(2));
        let (rows, next) = part(vec![0, 1, 3, 5], &rest, "numbers", |row| *row).unwrap();
        assert_eq!((rows, next), (vec![5], None));
    }

    #[test]
    fn what_is_no_cursor_of_the_list_is_refused() {
        for after in ["", "!", "bnVtYmVycw", &cursor("others", 3), &cursor("numbers", "x")] {
            assert!(paging(Some(after.into()), None).after::<i64>("numbers").is_err(), "{after}");
        }
        for limit in [0, -1, 1001] {
            assert!(paging(None, Some(limit)).limit(50).is_err());
        }
        assert_eq!(paging(None, None).limit(50).unwrap(), 50);
    }
}
