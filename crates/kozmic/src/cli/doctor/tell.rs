//! Whether builds can be told of, and what is watched arrives: nothing is sent to people.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use url::Url;

use super::{Finding, error, ok, the_seal, warning};
use crate::config::{MailTls, Settings};
use crate::model::with_causes;
use crate::outgoing;
use crate::report::{try_mail_server, try_webhook};
use crate::store::{Store, sqlite_file};
use crate::telemetry;

const PATIENCE: Duration = Duration::from_secs(10);
/// Webhooks that are tried, and people whose mails are refused that are named.
const MOST: i64 = 50;

pub(super) async fn of_mail(settings: &Settings) -> Finding {
    const PART: &str = "mail";
    let Some(server) = &settings.notify.mail else {
        return ok(PART, "none is sent: KOZMIC_SMTP_URL is not set");
    };
    let place = format!("{}:{}", server.host, server.port);
    if let Err(problem) = try_mail_server(server).await {
        let advice = "see KOZMIC_SMTP_URL, KOZMIC_SMTP_CA and docs/notifications.md";
        let advice = super::advice(None, &problem, advice);
        return error(PART, format!("{place}: {problem}"), advice);
    }
    let is_open = matches!(server.tls, MailTls::None | MailTls::Opportunistic);
    if is_open && server.user.is_some() {
        let what = format!("{place} answers, and is given a password that may not be encrypted");
        return warning(PART, what, "take smtps://, or ?tls=required");
    }
    ok(PART, format!("{place} answers, and would take mail from {}", server.from))
}

/// What only the database knows: where webhooks lead, and whose mails are refused.
pub(super) async fn of_told(settings: &Settings) -> Vec<Finding> {
    let url = &settings.database_url;
    if sqlite_file(url).is_some_and(|file| !file.exists()) {
        return Vec::new();
    }
    let looked = async {
        let store = Store::open(url, the_seal(settings)?).await?;
        let mut findings = Vec::new();
        // What is wrong with the database is told where that is looked at.
        if store.migrations_due().await? == 0 {
            findings.extend(of_webhooks(settings, &store).await?);
            let troubles = store.mail_troubles(MOST).await?;
            findings.extend(troubles.into_iter().map(|(login, why)| {
                let advice = "their address at GitHub may have changed: they sign in again";
                warning("mail", format!("the last mail to {login} was refused: {why}"), advice)
            }));
        }
        store.close().await;
        anyhow::Ok(findings)
    };
    looked.await.unwrap_or_default()
}

async fn of_webhooks(settings: &Settings, store: &Store) -> anyhow::Result<Vec<Finding>> {
    const PART: &str = "webhooks";
    let mut tried = Vec::new();
    for id in store.all_webhooks(MOST).await? {
        let Some(target) = store.webhook_target(id).await? else { continue };
        let networks = settings.notify.webhook_networks.clone();
        tried.push(tokio::spawn(
            async move { (target.host(), try_webhook(&networks, &target).await) },
        ));
    }
    let (mut findings, count) = (Vec::new(), tried.len());
    for tried in tried {
        if let (host, Err(problem)) = tried.await? {
            let advice = "see the project's notifications, and KOZMIC_WEBHOOK_NETWORKS";
            findings.push(warning(PART, format!("{host}: {problem}"), advice));
        }
    }
    if findings.is_empty() && count > 0 {
        findings.push(ok(PART, format!("{count} can be reached")));
    }
    Ok(findings)
}

/// The collector of traces, and Sentry.
pub(super) async fn of_watch(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(root) = &settings.watch.otlp_url {
        let url = telemetry::traces_endpoint(root);
        // A request of no spans.
        let request = client(settings).map(|http| {
            http.post(url).header("content-type", "application/x-protobuf").body(Vec::new())
        });
        findings.push(match answer(request).await {
            Ok(status) if status.is_success() => ok("traces", format!("{root} takes them")),
            Ok(status) => {
                error("traces", format!("{root} answers {status}"), "see KOZMIC_OTLP_URL")
            }
            Err(problem) => {
                let advice = super::advice(Some(root), &problem, "see KOZMIC_OTLP_URL");
                error("traces", format!("{root}: {problem}"), advice)
            }
        });
    }
    if let Some(dsn) = &settings.watch.sentry_dsn
        && let Ok(url) = dsn.expose_secret().parse::<Url>()
    {
        let host = url.host_str().unwrap_or_default().to_owned();
        let root = url.join("/").map(|mut root| {
            // The key is no user of the pages.
            let _ = root.set_username("");
            root
        });
        let request =
            root.map_err(anyhow::Error::from).and_then(|root| Ok(client(settings)?.get(root)));
        findings.push(match answer(request).await {
            Ok(_) => ok("errors", format!("{host} answers")),
            Err(problem) => {
                let advice = super::advice(Some(&url), &problem, "see KOZMIC_SENTRY_DSN");
                error("errors", format!("{host}: {problem}"), advice)
            }
        });
    }
    findings
}

fn client(settings: &Settings) -> anyhow::Result<reqwest::Client> {
    let none = reqwest::redirect::Policy::none();
    Ok(outgoing::http(&settings.trust)?.timeout(PATIENCE).redirect(none).build()?)
}

async fn answer(
    request: anyhow::Result<reqwest::RequestBuilder>,
) -> Result<reqwest::StatusCode, String> {
    let request = request.map_err(|error| format!("{error:#}"))?;
    let sent = request.send().await.map_err(reqwest::Error::without_url);
    sent.map(|answer| answer.status()).map_err(|error| with_causes(&error))
}
