//! Where the database is.

use super::Trust;

/// Not shown by `Debug`: a password may be part of it.
#[derive(Clone)]
pub struct DatabaseUrl(pub String);

impl DatabaseUrl {
    /// PostgreSQL's certificate may be by one of one's own authorities, unless the URL says by whom
    /// it is.
    pub fn trusting(url: String, trust: &Trust) -> Self {
        let is_postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
        let says_so = ["sslrootcert", "ssl-root-cert", "ssl-ca"].iter().any(|it| url.contains(it));
        match (url.parse::<url::Url>(), trust.file()) {
            (Ok(mut parsed), Some((file, _))) if is_postgres && !says_so => {
                let file = file.display().to_string();
                parsed.query_pairs_mut().append_pair("sslrootcert", &file);
                Self(parsed.into())
            }
            _ => Self(url),
        }
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DatabaseUrl")
    }
}

impl std::ops::Deref for DatabaseUrl {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}
