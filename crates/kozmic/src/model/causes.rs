//! Errors in full.

use std::error::Error;

/// An error with its causes, on one line, none of them twice: libraries leave them out of
/// their own sentences at times.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let said = deeper.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = deeper.source();
    }
    text
}
