//! The signature of a delivery: GitHub documentation, "Validating webhook
//! deliveries".

use aws_lc_rs::hmac;
use secrecy::{ExposeSecret as _, SecretString};

pub const HEADER: &str = "x-hub-signature-256";

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the delivery has no X-Hub-Signature-256 header; does the webhook have a secret?")]
    Missing,
    #[error("X-Hub-Signature-256 is not of the form sha256=<64 hex digits>")]
    Malformed,
    #[error("the signature does not match; is the webhook's secret the one of this hook?")]
    Mismatch,
}

/// Checks HMAC-SHA256 over the raw body, in constant time.
pub fn verify(header: &[u8], body: &[u8], secret: &SecretString) -> Result<(), SignatureError> {
    let digits = header.strip_prefix(b"sha256=").ok_or(SignatureError::Malformed)?;
    let mut tag = [0; 32];
    hex::decode_to_slice(digits, &mut tag).map_err(|_| SignatureError::Malformed)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    hmac::verify(&key, body, &tag).map_err(|_| SignatureError::Mismatch)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of GitHub's documentation.
    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const SIGNATURE: &str =
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn check(header: &str, body: &[u8]) -> Result<(), SignatureError> {
        verify(header.as_bytes(), body, &SECRET.into())
    }

    #[test]
    fn github_s_own_example_is_right() {
        assert_eq!(check(SIGNATURE, BODY), Ok(()));
    }

    #[test]
    fn anything_else_is_wrong() {
        assert_eq!(check(SIGNATURE, b"Hello, World"), Err(SignatureError::Mismatch));
        let other = format!("{}8", &SIGNATURE[..SIGNATURE.len() - 1]);
        assert_eq!(check(&other, BODY), Err(SignatureError::Mismatch));
        for malformed in [
            "",
            "sha256=",
            &SIGNATURE[7..],
            &SIGNATURE[..SIGNATURE.len() - 2],
            &SIGNATURE.replace("sha256", "sha1"),
            &SIGNATURE.replace('7', "g"),
            &format!("{SIGNATURE}00"),
        ] {
            assert_eq!(check(malformed, BODY), Err(SignatureError::Malformed), "{malformed}");
        }
    }
}
