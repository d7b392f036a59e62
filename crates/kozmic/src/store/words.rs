//! The words that builds are looked for by. What somebody typed is taken apart here, so
//! that nothing of it is a database's syntax.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::{PATIENCE, Result, failed};

/// A search for words may keep a processor busy for a while. Half of them search at the most, so
/// that other questions find one.
#[derive(Clone)]
pub(super) struct Searches(Arc<Semaphore>);

impl Default for Searches {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self(Arc::new(Semaphore::new((processors / 2).max(1))))
    }
}

impl Searches {
    /// Held until the search is over.
    pub(super) async fn turn(&self) -> Result<SemaphorePermit<'_>> {
        let turn = tokio::time::timeout(PATIENCE, self.0.acquire()).await;
        turn.map_err(|_| sqlx::Error::PoolTimedOut)
            .and_then(|turn| turn.map_err(|_| sqlx::Error::PoolClosed))
            .map_err(failed("look for builds"))
    }
}

/// Words that are looked for; more are left out.
const WORDS: usize = 8;
/// Letters of a word; more are left out.
const LETTERS: usize = 100;

/// The words of a text: what stands between ASCII's other signs and has a letter or a digit.
/// The migration `find_builds` parts what is looked through in the same way.
pub(super) fn of(text: &str) -> Vec<String> {
    text.split(|sign: char| sign.is_ascii() && !sign.is_ascii_alphanumeric())
        .filter(|word| word.chars().any(char::is_alphanumeric))
        .take(WORDS)
        .map(|word| word.chars().take(LETTERS).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_letters_and_digits_are_left() {
        for (text, words) in [
            ("Fix the-build", vec!["Fix", "the", "build"]),
            ("\"a\" OR b* NEAR(c) col:d \0e'", vec!["a", "OR", "b", "NEAR", "c", "col", "d", "e"]),
            ("größer 日本 🚀 —", vec!["größer", "日本"]),
            (" \t'\"*-^():{}", vec![]),
        ] {
            assert_eq!(of(text), words, "{text:?}");
        }
        assert_eq!(of(&"a ".repeat(100)).len(), WORDS);
        assert_eq!(of(&"ü".repeat(1000))[0].chars().count(), LETTERS);
    }
}
