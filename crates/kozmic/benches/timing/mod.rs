//! Times of things that were done in turn, as a table.

use std::time::Duration;

/// Prints least, middle and greatest of each; the medians, in milliseconds.
pub fn table(title: &str, rows: &mut [(&str, Vec<Duration>)]) -> Vec<f64> {
    println!("{:<48} {:>8} {:>8} {:>8}", format!("{title}, milliseconds"), "min", "median", "max");
    let mut medians = Vec::new();
    for (what, times) in rows {
        times.sort_unstable();
        let at = |index: usize| times[index].as_secs_f64() * 1000.0;
        let (min, median, max) = (at(0), at(times.len() / 2), at(times.len() - 1));
        println!("{what:<48} {min:>8.0} {median:>8.0} {max:>8.0}");
        medians.push(median);
    }
    medians
}
