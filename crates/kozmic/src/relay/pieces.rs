//! Logs that grow: a stream for each attempt of a job, which holds the latest pieces, and
//! a key that tells which process has the log.

use std::time::Duration;

use bytes::Bytes;
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use redis::streams::StreamReadReply;

use super::{PATIENCE, Relay, RelayError, Result};
use crate::model::JobUuid;

/// Pieces that a stream holds, about; what is older is asked for.
const PIECES: usize = 64;
/// Streams that nobody writes are forgotten after so many seconds.
const STREAM_LIFE: u64 = 3_600;
/// Where a log is, is forgotten after so many seconds without word of its worker.
const PLACE_LIFE: u64 = 120;
/// Pieces that are read at a time.
const AT_ONCE: usize = 16;

/// Later attempts win; an attempt that is over changes nothing. Says whether it is ours.
const CLAIM: &str = "local known = redis.call('GET', KEYS[1]) \
    if known then \
        local attempt, node = string.match(known, '^(%d+) (.*)$') \
        if attempt and tonumber(attempt) > tonumber(ARGV[1]) then \
            if node ~= ARGV[2] then return 0 end \
            redis.call('EXPIRE', KEYS[1], ARGV[3]) \
            return 1 \
        end \
    end \
    redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'EX', ARGV[3]) \
    return 1";

/// Forgets where a log is, if it is with this process.
const FORGET: &str = "local known = redis.call('GET', KEYS[1]) \
    if known and string.match(known, '^%d+ (.*)$') == ARGV[1] then redis.call('DEL', KEYS[1]) end \
    return 1";

/// Which process has the log of a job, and in which attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub attempt: i64,
    pub node: String,
}

/// Some bytes of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// How many bytes are before them.
    pub at: u64,
    pub bytes: Bytes,
}

/// The pieces of an attempt's log as they come, those that are still there first.
pub struct Pieces {
    connection: MultiplexedConnection,
    stream: String,
    last: String,
}

impl Relay {
    /// This process has the job's log, in this attempt. False: a later attempt is elsewhere.
    pub async fn log_is_here(&self, job: JobUuid, attempt: i64) -> Result<bool> {
        let mut claim = redis::cmd("EVAL");
        claim.arg(CLAIM).arg(1).arg(self.place_key(job)).arg(attempt).arg(self.node());
        self.query::<i64>(claim.arg(PLACE_LIFE)).await.map(|ours| ours == 1)
    }

    /// It is here no more.
    pub async fn log_is_gone(&self, job: JobUuid) -> Result<()> {
        let mut forget = redis::cmd("EVAL");
        forget.arg(FORGET).arg(1).arg(self.place_key(job)).arg(self.node());
        self.query::<i64>(&forget).await.map(drop)
    }

    /// None: no process has it.
    pub async fn log_place(&self, job: JobUuid) -> Result<Option<Place>> {
        let place: Option<String> = self.query(redis::cmd("GET").arg(self.place_key(job))).await?;
        Ok(place.and_then(|place| {
            let (attempt, node) = place.split_once(' ')?;
            Some(Place { attempt: attempt.parse().ok()?, node: node.to_owned() })
        }))
    }

    pub async fn log_grew(&self, job: JobUuid, attempt: i64, piece: &Piece) -> Result<()> {
        let stream = self.stream_key(job, attempt);
        let mut add = redis::cmd("XADD");
        add.arg(&stream).arg("MAXLEN").arg("~").arg(PIECES).arg("*");
        add.arg("at").arg(piece.at).arg("bytes").arg(&piece.bytes[..]);
        self.query::<String>(&add).await?;
        self.query::<i64>(redis::cmd("EXPIRE").arg(stream).arg(STREAM_LIFE)).await.map(drop)
    }

    /// On a connection of its own: it waits.
    pub async fn log_pieces(&self, job: JobUuid, attempt: i64) -> Result<Pieces> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(None);
        let connection = self.0.client.get_multiplexed_async_connection_with_config(&config);
        let stream = self.stream_key(job, attempt);
        Ok(Pieces { connection: connection.await?, stream, last: "0".into() })
    }

    fn place_key(&self, job: JobUuid) -> String {
        format!("{}:place:{job}", self.0.prefix)
    }

    fn stream_key(&self, job: JobUuid, attempt: i64) -> String {
        format!("{}:log:{job}:{attempt}", self.0.prefix)
    }
}

impl Pieces {
    /// The next ones; none when none came for so long.
    pub async fn next(&mut self, wait: Duration) -> Result<Vec<Piece>> {
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT")
            .arg(AT_ONCE)
            .arg("BLOCK")
            .arg(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1));
        read.arg("STREAMS").arg(&self.stream).arg(&self.last);
        let answer = read.query_async::<Option<StreamReadReply>>(&mut self.connection);
        let answer = tokio::time::timeout(wait + PATIENCE, answer).await;
        let answer = answer.map_err(|_| RelayError::Away("it does not answer".into()))?;
        let mut pieces = Vec::new();
        for entry in answer?.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids) {
            let malformed = || RelayError::Away("a piece of a log makes no sense".into());
            let at = entry.get("at").ok_or_else(malformed)?;
            let bytes: Vec<u8> = entry.get("bytes").ok_or_else(malformed)?;
            pieces.push(Piece { at, bytes: bytes.into() });
            self.last = entry.id;
        }
        Ok(pieces)
    }
}
