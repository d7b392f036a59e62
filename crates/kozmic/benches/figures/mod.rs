//! What a bench has measured, for `bench/table.mjs`: lines of JSON in `BENCH.jsonl` of the folder
//! that BENCH_FIGURES names. Without it nothing is written.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};

/// This run has written already; what the file had before was an older one's.
static HAS_BEGUN: AtomicBool = AtomicBool::new(false);

/// One row of the table.
#[must_use = "it is written by `write`"]
pub struct Figure {
    bench: &'static str,
    row: Map<String, Value>,
}

impl Figure {
    /// Times of one thing, which was done again and again, in milliseconds.
    pub fn times(bench: &'static str, what: &str, times: &[Duration]) -> Self {
        Self::of(bench, what, "ms").with("kozmic", spread(times))
    }

    /// One number, such as jobs a second.
    pub fn value(bench: &'static str, what: &str, unit: &str, value: f64) -> Self {
        Self::of(bench, what, unit).with("kozmic", json!({ "median": value }))
    }

    fn of(bench: &'static str, what: &str, unit: &str) -> Self {
        let row = json!({ "bench": bench, "what": what, "unit": unit, "load": load() });
        Self { bench, row: row.as_object().cloned().unwrap_or_default() }
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.row.insert(key.into(), value);
        self
    }

    /// The same done without Kozmic, in turn with it.
    pub fn beside(self, what: &str, times: &[Duration]) -> Self {
        let mut peer = spread(times);
        peer["what"] = what.into();
        self.with("beside", peer)
    }

    /// What must be so: `of` is `median`, `p99` or `ratio`.
    pub fn at_most(self, of: &str, most: f64) -> Self {
        self.with("limit", json!({ "of": of, "at_most": most }))
    }

    /// What the figure depends on, as what the database syncs.
    pub fn settings(self, settings: &str) -> Self {
        self.with("settings", settings.into())
    }

    pub fn write(self) {
        let Ok(folder) = std::env::var("BENCH_FIGURES") else { return };
        std::fs::create_dir_all(&folder).unwrap();
        let path = Path::new(&folder).join(format!("{}.jsonl", self.bench));
        let is_first = !HAS_BEGUN.swap(true, Ordering::Relaxed);
        let mut options = OpenOptions::new();
        let options = options.create(true).write(true);
        let mut file = options.truncate(is_first).append(!is_first).open(path).unwrap();
        writeln!(file, "{}", Value::Object(self.row)).unwrap();
    }
}

/// How many processes have wanted a processor, in the last minute.
fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn spread(times: &[Duration]) -> Value {
    let mut times = times.to_vec();
    times.sort_unstable();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let at = |percent: usize| milliseconds(times[(times.len() - 1) * percent / 100]);
    json!({
        "least": at(0), "median": milliseconds(times[times.len() / 2]), "p99": at(99),
        "greatest": at(100), "runs": times.len(),
    })
}

/// What SQLite syncs, as Kozmic opens it (`store/dialect.rs`).
pub const SQLITE: &str = "SQLite: journal_mode = WAL, synchronous = FULL";
