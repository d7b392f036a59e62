//! How others are reached: proxies, and whose certificates are trusted.

use std::fmt::Display;

use url::Url;

use super::{Finding, error, ok};
use crate::config::Settings;
use crate::outgoing::{Proxy, proxies};

const PROXY: &str = "proxy";

pub(super) fn of_outgoing(settings: &Settings) -> Vec<Finding> {
    let mut findings: Vec<Finding> = proxies()
        .into_iter()
        .map(|(name, proxy)| match proxy {
            Ok(proxy) => ok(PROXY, format!("{name} is {proxy}")),
            Err(problem) => error(PROXY, format!("{name} {problem}"), "see docs/air-gapped.md"),
        })
        .collect();
    if !findings.is_empty() {
        let api = &settings.github_api_url;
        let way = Proxy::of(api)
            .map_or_else(|| "directly".into(), |proxy| format!("by the proxy {proxy}"));
        findings.push(ok(PROXY, format!("GitHub is reached {way}")));
    }
    findings.extend(settings.trust.file().map(|(file, count)| {
        let file = file.display();
        ok("trust", format!("certificates by the system's authorities, and by {count} of {file}"))
    }));
    findings
}

/// What to do about something that was not reached: where a certificate or a proxy may be why,
/// that is what it says, and else `otherwise`.
pub(super) fn advice(url: Option<&Url>, problem: &impl Display, otherwise: &str) -> String {
    let problem = problem.to_string().to_lowercase();
    if problem.contains("certificate") || problem.contains("unknownissuer") {
        return format!(
            "if an authority of your own has made its certificate, put that authority's into the \
             file that KOZMIC_CA_FILE names; {otherwise}"
        );
    }
    match url.and_then(Proxy::of) {
        Some(proxy) => format!(
            "see whether the proxy {proxy} runs, lets this machine in and may connect there \
             (HTTPS_PROXY, HTTP_PROXY, NO_PROXY); {otherwise}"
        ),
        None => otherwise.to_owned(),
    }
}
