//! Deploy keys: SSH keys of one repository each (GitHub documentation, "REST API
//! endpoints for deploy keys").

use aws_lc_rs::rand;
use reqwest::Method;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use serde::Deserialize;
use ssh_key::private::Ed25519Keypair;
use ssh_key::{LineEnding, PrivateKey};

use super::client::Result;
use super::error::GithubError;
use super::known::KnownRepository;

/// An Ed25519 key pair in OpenSSH's formats.
#[derive(Debug)]
pub struct KeyPair {
    pub private_key: SecretString,
    /// One line, with its comment.
    pub public_key: String,
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the system gave no random bytes for a key")]
    NoRandomness,
    #[error("a key can't be written in OpenSSH's format: {0}")]
    Format(#[from] ssh_key::Error),
}

impl KeyPair {
    /// A new pair; the comment is to tell people whose it is.
    pub fn generate(comment: &str) -> std::result::Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        rand::fill(&mut seed[..]).map_err(|_| KeyError::NoRandomness)?;
        let key = PrivateKey::new(Ed25519Keypair::from_seed(&seed).into(), comment)?;
        Ok(Self {
            private_key: key.to_openssh(LineEnding::LF)?.as_str().into(),
            public_key: key.public_key().to_openssh()?,
        })
    }
}

#[derive(Deserialize)]
struct Answer {
    id: i64,
    key: String,
}

impl KnownRepository {
    /// "Create a deploy key" that can only read; its id. One that was registered
    /// before, without anybody noting it, is found again.
    pub async fn register_deploy_key(&self, title: &str, public_key: &str) -> Result<i64> {
        let name = &self.name;
        let body = serde_json::json!({"title": title, "key": public_key, "read_only": true});
        let call = format!("/repos/{name}/keys");
        match self.send::<Answer>(Method::POST, &call, Some(&body)).await {
            Ok(answer) => Ok(answer.id),
            Err(GithubError::Refused { call, status, message })
                if message.contains("already in use") =>
            {
                let found = self.find_deploy_key(public_key).await?;
                found.ok_or(GithubError::Refused { call, status, message })
            }
            Err(error) => Err(error),
        }
    }

    /// "Get a deploy key": whether it is still there.
    pub async fn has_deploy_key(&self, id: i64) -> Result<bool> {
        let name = &self.name;
        match self.get::<Answer>(&format!("/repos/{name}/keys/{id}")).await {
            Ok(_) => Ok(true),
            Err(GithubError::NotFound { .. }) => {
                self.sees(&format!("/repos/{name}/keys")).await?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// "Delete a deploy key"; one that is gone already is no error.
    pub async fn delete_deploy_key(&self, id: i64) -> Result<()> {
        let name = &self.name;
        let call = format!("/repos/{name}/keys/{id}");
        match self.send::<serde::de::IgnoredAny>(Method::DELETE, &call, None::<&()>).await {
            Err(GithubError::NotFound { .. }) => self.sees(&format!("/repos/{name}/keys")).await,
            answer => answer.map(drop),
        }
    }

    /// "List deploy keys": the one with this public half.
    async fn find_deploy_key(&self, public_key: &str) -> Result<Option<i64>> {
        let name = &self.name;
        let answers: Vec<Answer> = self.get_all(&format!("/repos/{name}/keys")).await?;
        let found = answers.iter().find(|one| is_same_key(&one.key, public_key));
        Ok(found.map(|one| one.id))
    }
}

/// GitHub drops the comment.
fn is_same_key(one: &str, other: &str) -> bool {
    one.split_whitespace().take(2).eq(other.split_whitespace().take(2))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_pair_is_two_halves_of_one_new_key() {
        let pair = KeyPair::generate("kozmic octo/orbit").unwrap();
        let private = PrivateKey::from_openssh(pair.private_key.expose_secret()).unwrap();
        assert_eq!(private.public_key().to_openssh().unwrap(), pair.public_key);
        assert!(pair.public_key.starts_with("ssh-ed25519 AAAA"), "{}", pair.public_key);
        assert!(pair.public_key.ends_with(" kozmic octo/orbit"), "{}", pair.public_key);
        let other = KeyPair::generate("kozmic octo/orbit").unwrap();
        assert!(!is_same_key(&pair.public_key, &other.public_key));
        let bare = pair.public_key.trim_end_matches(" kozmic octo/orbit");
        assert!(is_same_key(bare, &pair.public_key));
        assert!(!format!("{pair:?}").contains("PRIVATE KEY"));
    }
}
