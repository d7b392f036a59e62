//! What strangers and users are held to, and who may say where they come from.

use super::{ConfigError, Values};
use crate::model::{Invalid, Networks};

#[derive(Debug, Clone, Default)]
pub struct LimitSettings {
    /// What these say of whom they ask for is believed.
    pub trusted_proxies: Networks,
    /// Requests in a minute; none: any number. By address.
    pub sign_in: Option<u32>,
    /// By user.
    pub api: Option<u32>,
    /// By address: those that nobody vouches for.
    pub stranger: Option<u32>,
}

impl LimitSettings {
    pub(super) fn read(values: &Values) -> Result<Self, ConfigError> {
        let name = "KOZMIC_TRUSTED_PROXIES";
        let value = values.text(name).unwrap_or_default();
        let trusted_proxies = value.parse().map_err(|problem: Invalid| ConfigError::Malformed {
            name,
            value: value.clone(),
            problem: format!(
                "must be addresses, or blocks of them, with commas between, and no names: {problem}"
            ),
        })?;
        let rate = |name| {
            let rate: u32 = values.parsed(name, "must be a whole number of requests, or 0")?;
            Ok((rate > 0).then_some(rate))
        };
        Ok(Self {
            trusted_proxies,
            sign_in: rate("KOZMIC_SIGN_IN_RATE")?,
            api: rate("KOZMIC_API_RATE")?,
            stranger: rate("KOZMIC_STRANGER_RATE")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;

    #[test]
    fn proxies_are_named_and_rates_may_be_none() {
        let given = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> =
                pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            Settings::from_parts(&pairs, None).unwrap().limits
        };
        let limits = given(&[]);
        assert!(limits.trusted_proxies.is_empty() && limits.sign_in == Some(60));
        let limits = given(&[
            ("KOZMIC_TRUSTED_PROXIES", "127.0.0.1, 10.1.0.0/16,fd00::/8"),
            ("KOZMIC_API_RATE", "0"),
        ]);
        assert_eq!(limits.api, None);
        let trusts = |address: &str| limits.trusted_proxies.have(address.parse().unwrap());
        assert!(trusts("127.0.0.1") && trusts("10.1.2.3") && trusts("fd12::1"));
        assert!(trusts("::ffff:10.1.2.3"));
        assert!(!trusts("127.0.0.2") && !trusts("10.2.0.1") && !trusts("8.8.8.8"));
    }
}
