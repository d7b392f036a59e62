//! A log is the same however it came and wherever it lies.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use proptest::prelude::*;

use super::index::LINE_LIMIT;
use super::*;
use crate::model::Timestamp;
use crate::objects::Objects;

struct Place {
    folder: tempfile::TempDir,
    logs: Logs,
    job: JobUuid,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let logs = logs_in(folder.path());
        Self { folder, logs, job: JobUuid::random() }
    }

    fn live(&self) -> LiveLog {
        LiveLog::open(self.logs.folder(), self.job, &Bus::default()).unwrap()
    }

    async fn reader(&self) -> Reader {
        let mut reader = self.logs.reader(self.job).await.unwrap().expect("a log");
        reader.ended();
        reader
    }

    /// Nothing of it is remembered.
    async fn archive(&mut self) {
        assert!(matches!(self.logs.archive(self.job).await.unwrap(), Archived::Bytes(1..)));
        assert!(!self.log_file().exists());
        self.logs = logs_in(self.folder.path());
    }

    fn log_file(&self) -> std::path::PathBuf {
        self.logs.folder().path(self.job)
    }

    fn index_file(&self) -> std::path::PathBuf {
        sidecar::path_of(&self.log_file())
    }

    fn object(&self) -> std::path::PathBuf {
        self.logs.files(self.job).pop().unwrap()
    }
}

fn logs_in(folder: &Path) -> Logs {
    Logs::new(folder, Objects::in_folder(&folder.join("objects")).unwrap())
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(1).enable_all().build().unwrap().block_on(future)
}

/// What a log says when it is read from its beginning, line by line.
fn expected_rows(log: &[u8]) -> Vec<String> {
    let mut lines: Vec<&[u8]> = log.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    let mut renderer = Renderer::default();
    let rows = lines.iter().map(|line| {
        let kept = line.len().min(LINE_LIMIT);
        renderer.line(Line { bytes: &line[..kept], cut: (line.len() - kept) as u64 })
    });
    rows.collect()
}

/// What folds: a marker is one when its line has ended.
fn expected_sections(log: &[u8]) -> Vec<Section> {
    let ended = memchr::memchr_iter(b'\n', log).count();
    let lines = log.split(|byte| *byte == b'\n').take(ended).zip(1..);
    let folds: Vec<_> = lines.filter_map(|(line, number)| fold::of_line(number, line)).collect();
    fold::sections(&folds, expected_rows(log).len() as u64)
}

async fn all_bytes(reader: Reader, from: u64) -> Vec<u8> {
    reader.bytes(from).map_ok(|bytes| bytes.to_vec()).try_concat().await.unwrap()
}

/// Some lines from `from` on, however many calls it takes.
async fn rows(reader: &mut Reader, from: u64, count: usize) -> Vec<String> {
    let mut rows: Vec<Row> = Vec::new();
    while rows.len() < count {
        let next = from + rows.len() as u64;
        let more = reader.rows(next, count - rows.len()).await.unwrap();
        if more.is_empty() {
            break;
        }
        rows.extend(more);
    }
    for (row, number) in rows.iter().zip(from..) {
        assert_eq!(row.number, number);
    }
    rows.into_iter().map(|row| row.html).collect()
}

async fn is_as_written(reader: &mut Reader, log: &[u8], at: &[prop::sample::Index]) {
    let expected = expected_rows(log);
    assert_eq!(reader.line_count(), expected.len() as u64);
    assert_eq!(reader.byte_length(), log.len() as u64);
    assert!(all_bytes(reader.clone(), 0).await == log, "same length, other bytes");
    assert_eq!(reader.sections().await.unwrap(), expected_sections(log));
    for at in at {
        let from = at.index(expected.len() + 2);
        let count = (from * 7 + 3) % 50;
        let wanted = expected.iter().skip(from).take(count).cloned().collect::<Vec<_>>();
        assert_eq!(rows(reader, from as u64 + 1, count).await, wanted, "from line {}", from + 1);
        let byte = at.index(log.len() + 1);
        assert!(all_bytes(reader.clone(), byte as u64).await == log[byte..]);
    }
    let query = Query::new("needle", false, true).unwrap();
    let lines = log.split(|byte| *byte == b'\n').zip(1..);
    let wanted: Vec<u64> = lines
        .filter(|(line, _)| query.find(1, &line[..line.len().min(LINE_LIMIT)]).is_some())
        .map(|(_, number)| number)
        .take(MATCHES)
        .collect();
    let found = reader.find(&query, 1).await.unwrap();
    assert_eq!(found.matches.iter().map(|it| it.number).collect::<Vec<_>>(), wanted);
}

/// Pieces of output as scripts write it, and as none should.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => "[a-z ]{0,30}\n".prop_map(String::into_bytes),
        2 => prop::sample::select(vec![
            &b"\n"[..], b"\r\n", b"\x1b[31m", b"\x1b[1;38;2;1;2;3m", b"\x1b[0m", b"\x1b[", b"\x1b",
            b"::group::A title\n", b"::endgroup::\n", b"==> Heading\n", b"\x1b[32m==> Green\n",
            b"a needle\n", b"need", b"le\n", b"\xff\xfe\n", b"\xf0\x9f", b"\x9a\x80\n",
        ]).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => (1_usize..3_000, any::<u8>()).prop_map(|(count, byte)| vec![byte; count]),
        1 => (1_usize..4_000).prop_map(|count| b"short line of a long part\n".repeat(count)),
        1 => (60_000_usize..300_000).prop_map(|count| vec![b'x'; count]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn live_archived_and_reopened_are_the_same(
        pieces in prop::collection::vec(piece(), 0..40),
        reopen in any::<prop::sample::Index>(),
        at in prop::collection::vec(any::<prop::sample::Index>(), 3),
    ) {
        run(async {
            let mut place = Place::new();
            let mut live = place.live();
            let mut early = place.reader().await;
            let mut written = Vec::new();
            for (number, bytes) in pieces.iter().enumerate() {
                if number == reopen.index(pieces.len()) {
                    drop(live);
                    live = place.live();
                }
                live.append(bytes).unwrap();
                written.extend(bytes);
            }
            drop(live);
            early.refresh().await.unwrap();
            is_as_written(&mut early, &written, &at).await;
            is_as_written(&mut place.reader().await, &written, &at).await;
            // The index of a log that came in one piece, and of one that lost its own.
            let index = |place: &Place| early_index(&place.log_file());
            let by_pieces = index(&place);
            std::fs::remove_file(place.index_file()).unwrap();
            place.live();
            let at_once = index(&place);
            prop_assert_eq!(&by_pieces.marks, &at_once.marks);
            prop_assert_eq!(&by_pieces.folds, &at_once.folds);
            place.archive().await;
            is_as_written(&mut place.reader().await, &written, &at).await;
            Ok(())
        })?;
    }

    #[test]
    fn an_index_that_is_torn_or_ahead_misleads_nobody(
        pieces in prop::collection::vec(piece(), 1..30),
        at in prop::collection::vec(any::<prop::sample::Index>(), 2),
        index_cut in any::<prop::sample::Index>(),
        log_cut in any::<prop::sample::Index>(),
        flipped in any::<Option<prop::sample::Index>>(),
    ) {
        run(async {
            let place = Place::new();
            let mut live = place.live();
            for bytes in &pieces {
                live.append(bytes).unwrap();
            }
            drop(live);
            let mut log = std::fs::read(place.log_file()).unwrap();
            log.truncate(log_cut.index(log.len() + 1));
            std::fs::write(place.log_file(), &log).unwrap();
            let mut index = std::fs::read(place.index_file()).unwrap();
            index.truncate(index_cut.index(index.len() + 1));
            if let (Some(at), false) = (flipped, index.is_empty()) {
                let at = at.index(index.len());
                index[at] ^= 0x10;
            }
            std::fs::write(place.index_file(), &index).unwrap();
            is_as_written(&mut place.reader().await, &log, &at).await;
            // The next attempt goes on.
            let mut live = place.live();
            live.append(b"and on\n").unwrap();
            log.extend(b"and on\n");
            is_as_written(&mut place.reader().await, &log, &at).await;
        });
    }

    #[test]
    fn a_damaged_archive_is_an_error_and_never_another_log(
        pieces in prop::collection::vec(piece(), 1..20),
        at in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        run(async {
            let mut place = Place::new();
            place.live().append(&pieces.concat()).unwrap();
            place.archive().await;
            let mut object = std::fs::read(place.object()).unwrap();
            let at = at.index(object.len());
            if is_cut {
                object.truncate(at);
            } else {
                object[at] ^= 0x40;
            }
            std::fs::write(place.object(), object).unwrap();
            let expected = expected_rows(&pieces.concat());
            if let Ok(Some(mut reader)) = place.logs.reader(place.job).await {
                let rows = reader.rows(1, ROWS).await;
                prop_assert!(rows.is_err() || rows.unwrap().into_iter().zip(expected).all(|(row, html)| row.html == html));
                let bytes: Vec<Bytes> = reader.bytes(0).try_collect().await.unwrap();
                let bytes = bytes.concat();
                let says_so = bytes.windows(30).any(|part| part == b"\n[kozmic] the log is damaged: ");
                prop_assert!(says_so || bytes == pieces.concat());
            }
            Ok(())
        })?;
    }
}

fn early_index(log: &Path) -> index::Index {
    let mut index = index::Index::default();
    sidecar::Frames::open(log).unwrap().read(&mut index).unwrap();
    index
}

#[test]
fn lines_have_the_time_they_began_live_and_archived() {
    run(async {
        let mut place = Place::new();
        let mut live = place.live();
        let begin = Timestamp::now();
        live.append(b"one\ntwo ").unwrap();
        let between = Timestamp::now();
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        live.append(b"goes on\nthree\n").unwrap();
        let end = Timestamp::now();
        let times =
            |rows: Vec<Row>| rows.into_iter().map(|row| row.at.unwrap()).collect::<Vec<_>>();
        let live = times(place.reader().await.rows(1, 3).await.unwrap());
        assert!(live[0] >= begin && live[1] <= between && live[0] == live[1], "{live:?}");
        assert!(live[2] > between && live[2] <= end, "{live:?}");
        place.archive().await;
        assert_eq!(times(place.reader().await.rows(1, 3).await.unwrap()), live);
        assert_eq!(times(place.reader().await.rows(3, 1).await.unwrap()), live[2..]);
    });
}

#[test]
fn a_reader_from_before_the_writer_came_back_goes_on_with_it() {
    run(async {
        let place = Place::new();
        place.live().append(b"before\n==> lost\n").unwrap();
        // A power cut took the log's end, but not its index's.
        std::fs::write(place.log_file(), b"before\n").unwrap();
        let mut reader = place.logs.reader(place.job).await.unwrap().unwrap();
        assert_eq!(reader.line_count(), 1);
        let mut live = place.live();
        live.append(b"==> after\n").unwrap();
        let rows = reader.rows(2, 9).await.unwrap();
        assert!(rows.len() == 1 && rows[0].at.is_some(), "{rows:?}");
        let titles: Vec<_> =
            reader.sections().await.unwrap().into_iter().map(|section| section.title).collect();
        assert_eq!(titles, ["after"]);
    });
}

#[test]
fn a_marker_that_lost_its_end_is_none_until_it_ends_anew() {
    run(async {
        for (kept, wanted) in [("::gro", None), ("::group::A ti", Some("A tiny one"))] {
            let place = Place::new();
            place.live().append(b"::group::A title\n").unwrap();
            // A power cut took the end of the log's line, but not of its index.
            std::fs::write(place.log_file(), kept).unwrap();
            assert_eq!(place.reader().await.sections().await.unwrap(), []);
            place.live().append(b"ny one\n").unwrap();
            let sections = place.reader().await.sections().await.unwrap();
            assert_eq!(sections.first().map(|section| section.title.as_str()), wanted);
        }
    });
}

#[test]
fn times_take_little_however_often_a_script_prints() {
    let mut indexer = indexer::Indexer::at(&index::Mark::first());
    let mut index = index::Index::default();
    // A short line each millisecond for an hour.
    for at in 0..3_600_000 {
        indexer.feed(b"tick\n", Some(Timestamp(at)), &mut |record| index.note(record));
    }
    let marks = index.marks.len();
    assert!(index.times.len() < 181_000 + 64 * marks, "{} of {marks}", index.times.len());
    assert!(index::encode(&index).len() < 1 << 20, "{}", index::encode(&index).len());
    // No line's time is more than 20 ms off.
    for line in (1..3_600_000).step_by(977) {
        let at = index.times(line, 1).of(line).unwrap().0;
        let exact = i64::try_from(line).unwrap() - 1;
        assert!((exact - 20..=exact).contains(&at), "line {line}: {at} for {exact}");
    }
}

#[test]
fn the_unfinished_line_is_apart_until_the_job_is_over() {
    run(async {
        let place = Place::new();
        let mut live = place.live();
        let mut reader = place.logs.reader(place.job).await.unwrap().unwrap();
        live.append(b"done\nhalf a").unwrap();
        assert_eq!(reader.rows(1, 9).await.unwrap().len(), 1);
        let unfinished = reader.unfinished().await.unwrap().unwrap();
        assert_eq!((unfinished.number, unfinished.html.as_str()), (2, "half a"));
        live.append(b" line\n").unwrap();
        assert_eq!(reader.unfinished().await.unwrap(), None);
        assert_eq!(reader.rows(2, 9).await.unwrap()[0].html, "half a line");
        live.append(b"rest").unwrap();
        reader.ended();
        assert_eq!(reader.rows(3, 9).await.unwrap()[0].html, "rest");
        assert_eq!((reader.line_count(), reader.unfinished().await.unwrap()), (3, None));
    });
}

#[test]
fn archiving_that_was_cut_off_is_done_again() {
    run(async {
        let mut place = Place::new();
        let log = b"a line\n".repeat(100_000);
        place.live().append(&log).unwrap();
        let is_whole = async |place: &Place| all_bytes(place.reader().await, 0).await == log;
        // Cut off while it was packed.
        std::fs::write(place.log_file().with_extension("zst.new"), b"half of it").unwrap();
        assert!(is_whole(&place).await);
        // ... when it was sent, before the live log went.
        let (live, index) =
            (std::fs::read(place.log_file()).unwrap(), std::fs::read(place.index_file()).unwrap());
        place.archive().await;
        assert!(!place.log_file().with_extension("zst.new").exists());
        std::fs::write(place.log_file(), &live).unwrap();
        std::fs::write(place.index_file(), &index).unwrap();
        assert!(is_whole(&place).await);
        place.archive().await;
        assert!(is_whole(&place).await);
        // ... between the live log's end and its index's.
        std::fs::write(place.index_file(), &index).unwrap();
        assert_eq!(place.logs.live_jobs(), [place.job]);
        assert_eq!(place.logs.archive(place.job).await.unwrap(), Archived::Nothing);
        assert!(is_whole(&place).await && place.logs.live_jobs().is_empty());
        let archives: Vec<_> = place.logs.archives().try_collect().await.unwrap();
        assert_eq!(archives, [(place.job, std::fs::metadata(place.object()).unwrap().len())]);
        place.logs.remove(place.job).await.unwrap();
        assert!(place.logs.reader(place.job).await.unwrap().is_none());
        assert!(place.logs.archives().collect::<Vec<_>>().await.is_empty());
    });
}

#[test]
fn who_archives_at_the_same_time_archives_once() {
    run(async {
        let mut place = Place::new();
        let log: Vec<u8> = (0..200_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        place.live().append(&log).unwrap();
        let archive = |_| {
            let (logs, job) = (place.logs.clone(), place.job);
            tokio::spawn(async move { logs.archive(job).await.unwrap() })
        };
        let archived = futures_util::future::join_all((0..4).map(archive)).await;
        let did = archived.into_iter().filter(|it| *it.as_ref().unwrap() != Archived::Nothing);
        assert_eq!(did.count(), 1);
        place.logs = logs_in(place.folder.path());
        assert!(all_bytes(place.reader().await, 0).await == log);
    });
}

#[test]
fn an_archive_is_unpacked_by_other_programs() {
    run(async {
        let mut place = Place::new();
        let log: Vec<u8> = (0..60_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        place.live().append(&log).unwrap();
        place.archive().await;
        // As `zstd -dc` does: one frame after the other, those to be skipped skipped.
        let object = std::fs::File::open(place.object()).unwrap();
        assert!(zstd::stream::decode_all(object).unwrap() == log);
    });
}

#[test]
fn a_search_says_how_far_it_came() {
    run(async {
        let place = Place::new();
        place.live().append(&b"a needle\nhay\n".repeat(1_500)).unwrap();
        let query = Query::new("NEEDLE", false, false).unwrap();
        let mut reader = place.reader().await;
        let found = reader.find(&query, 1).await.unwrap();
        assert_eq!((found.matches.len(), found.looked_to, found.next), (1_000, 1_999, Some(2_000)));
        let found = reader.find(&query, 2_000).await.unwrap();
        assert_eq!((found.matches.len(), found.looked_to, found.next), (500, 3_000, None));
        assert_eq!(found.matches[0].number, 2_001);
        assert_eq!(found.matches[0].text, "a needle");
        assert_eq!(found.matches[0].at, 2..8);
        assert!(reader.find(&query, 9_999).await.unwrap().matches.is_empty());
    });
}
