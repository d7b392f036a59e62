//! Whether GitHub can be reached, and what its clock says.

use reqwest::{StatusCode, header};

use super::client::{Client, Result};
use super::error::{GithubError, cause};
use crate::model::Timestamp;

/// What GitHub answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// By the answer's `Date` header (RFC 9110, 6.6.1), to the second; none without one.
    pub clock: Option<Timestamp>,
}

impl Client {
    /// Asks without a token for what costs nothing: "Rate limit" in GitHub's documentation.
    /// An Enterprise Server may have limits switched off, and says 404; it has answered.
    pub async fn reach(&self) -> Result<Reached> {
        const CALL: &str = "GET /rate_limit";
        let away = |problem: String| GithubError::Away { call: CALL.into(), problem };
        let request = self.http.get(self.url("/rate_limit"));
        let request = request.header(header::ACCEPT, "application/vnd.github+json");
        let answer = request.send().await.map_err(|error| away(cause(&error)))?;
        let status = answer.status();
        if !status.is_success()
            && !matches!(status, StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED)
        {
            return Err(away(format!("the answer was {status}")));
        }
        let date = answer.headers().get(header::DATE).and_then(|date| date.to_str().ok());
        let clock = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        Ok(Reached { clock: clock.map(|at| Timestamp(at.timestamp().as_millisecond())) })
    }
}
