//! How others are reached from here. Whatever speaks HTTP begins with [`http`]: by the proxies
//! that the environment names, as every program does it, and with one's own authorities trusted
//! beside the system's.

mod proxy;

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::Trust;

pub use proxy::{Proxy, proxies, without_passwords};

/// The beginning of every HTTP client that reaches others.
pub fn http(trust: &Trust) -> reqwest::Result<reqwest::ClientBuilder> {
    let builder =
        reqwest::Client::builder().user_agent(concat!("kozmic/", env!("CARGO_PKG_VERSION")));
    Ok(match trust.pem() {
        Some(pem) => {
            builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(pem.as_bytes())?)
        }
        None => builder,
    })
}

/// All that is trusted, the system's authorities and one's own, in PEM: for what takes the one
/// in place of the other. None: the system's are all.
pub fn all_trusted(trust: &Trust) -> Option<String> {
    let mut all = trust.pem()?.to_owned();
    for certificate in rustls_native_certs::load_native_certs().certs {
        let body = STANDARD.encode(certificate);
        let _ = write!(all, "-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    }
    Some(all)
}
