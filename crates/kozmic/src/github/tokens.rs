//! Whose token makes a call for a project: the owner's, or that of another who may.

use secrecy::SecretString;

use super::client::{Client, Result};
use super::error::GithubError;
use super::known::KnownRepository;
use crate::model::{RemoteRepository, TokenHolder, UserId};

/// A call that was tried with several tokens in turn.
#[derive(Debug)]
pub struct Tried<T> {
    pub answer: Result<T>,
    /// Whose tokens GitHub does not take any more.
    pub refused: Vec<UserId>,
    /// Whose token it took.
    pub accepted: Option<UserId>,
}

impl Client {
    /// Makes a call with the first token that it is allowed to. One that was revoked, or
    /// whose holder may not do this, makes room for the next; a limit or an absence of
    /// GitHub's does not: it would only be got round.
    pub async fn by_any<'h, T, F: Future<Output = Result<T>>>(
        &self,
        holders: &'h [TokenHolder],
        call: impl Fn(&'h SecretString) -> F,
    ) -> Tried<T> {
        let mut refused = Vec::new();
        let mut denied = None;
        for holder in holders {
            match call(&holder.token).await {
                Err(GithubError::BadToken { .. }) => refused.push(holder.user),
                Err(
                    error @ (GithubError::NotFound { .. }
                    | GithubError::Refused { status: 403, .. }),
                ) => {
                    // What the first of them is told, who is likely to be the owner.
                    denied.get_or_insert(error);
                }
                answer => {
                    let accepted = Some(holder.user);
                    return Tried { answer, refused, accepted };
                }
            }
        }
        let answer = Err(denied.unwrap_or(GithubError::NoToken));
        Tried { answer, refused, accepted: None }
    }

    /// The same about one repository, after its id was compared: what a project asks of
    /// GitHub, it asks so.
    pub async fn by_any_of<T, F: Future<Output = Result<T>>>(
        &self,
        holders: &[TokenHolder],
        repository: &RemoteRepository,
        call: impl Fn(KnownRepository) -> F,
    ) -> Tried<T> {
        let call = &call;
        self.by_any(
            holders,
            |token| async move { call(self.known(token, repository).await?).await },
        )
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::config::Trust;

    fn call() -> String {
        "GET /x".into()
    }

    async fn tried(tokens: &[&str]) -> Tried<String> {
        let client =
            Client::new(&"http://127.0.0.1:1".parse().unwrap(), &Trust::default()).unwrap();
        let holders: Vec<TokenHolder> = (1..)
            .zip(tokens)
            .map(|(id, token)| TokenHolder {
                user: UserId(id),
                login: (*token).into(),
                token: (*token).into(),
            })
            .collect();
        client
            .by_any(&holders, |token| async {
                match token.expose_secret() {
                    "revoked" => Err(GithubError::BadToken { call: call() }),
                    "hidden" => Err(GithubError::NotFound { call: call() }),
                    "limited" => {
                        let pause = Duration::from_secs(7);
                        Err(GithubError::RateLimited { call: call(), pause })
                    }
                    good => Ok(good.to_owned()),
                }
            })
            .await
    }

    #[tokio::test]
    async fn another_token_takes_over_where_it_may() {
        let one = tried(&["revoked", "hidden", "good", "other"]).await;
        assert_eq!(one.answer.unwrap(), "good");
        assert_eq!((one.refused, one.accepted), (vec![UserId(1)], Some(UserId(3))));
        let none = tried(&["revoked", "revoked"]).await;
        assert!(matches!(none.answer, Err(GithubError::NoToken)));
        assert_eq!(none.refused, [UserId(1), UserId(2)]);
        assert!(matches!(
            tried(&["hidden", "revoked"]).await.answer,
            Err(GithubError::NotFound { .. })
        ));
        // A limit is not got round.
        let limited = tried(&["limited", "good"]).await;
        assert!(matches!(limited.answer, Err(GithubError::RateLimited { .. })));
        assert!(matches!(tried(&[]).await.answer, Err(GithubError::NoToken)));
    }
}
