//! Mails: how they get to the server for outgoing mail, and what became of them.

use std::time::{Duration, Instant};

use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use secrecy::ExposeSecret as _;

use super::retry::doubled;
use crate::config::{MailServer, MailTls};
use crate::model::{Invalid, with_causes};
use crate::store::{Outcome, Reply};

const TIMEOUT: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// What could not be sent for so long is given up, as mail servers do (RFC 5321, 4.5.4.1).
const PATIENCE: Duration = Duration::from_hours(24 * 4);
/// Refusals that are of the sender and not of who is to get the mail (RFC 4954, 4 and 6):
/// another password mends them.
const OURS: [u16; 5] = [500, 530, 534, 535, 538];

type Transport = AsyncSmtpTransport<Tokio1Executor>;

#[derive(Debug, Clone)]
pub(super) struct Mailer {
    transport: Transport,
    from: Mailbox,
}

impl Mailer {
    pub(super) fn new(server: &MailServer) -> Result<Self, Invalid> {
        let from = server.from.parse().map_err(|_| {
            let from = &server.from;
            Invalid::new(format!(
                "KOZMIC_MAIL_FROM is `{from}`: it must be like Kozmic <ci@example.org>"
            ))
        })?;
        Ok(Self { transport: transport(server)?, from })
    }

    /// The part of ids that says where they are made.
    pub(super) fn domain(&self) -> &str {
        self.from.email.domain()
    }

    pub(super) fn message(&self) -> MessageBuilder {
        lettre::Message::builder().from(self.from.clone())
    }

    pub(super) async fn send(
        &self,
        mail: lettre::Message,
        attempts: i64,
        age: Duration,
    ) -> (Outcome, Reply) {
        let begun = Instant::now();
        let sent = tokio::time::timeout(TIMEOUT, self.transport.send(mail)).await;
        let took = begun.elapsed();
        let again = || {
            if age < PATIENCE {
                Outcome::Again(doubled(FIRST_PAUSE, LONGEST_PAUSE, attempts - 1))
            } else {
                Outcome::Refused
            }
        };
        match sent {
            Err(_) => {
                let words =
                    format!("the mail server gave no answer within {} s", TIMEOUT.as_secs());
                (again(), Reply { words, code: None, took })
            }
            Ok(Ok(response)) => {
                let words = response.first_line().unwrap_or("taken").to_owned();
                let code = Some(u16::from(response.code()).into());
                (Outcome::Sent, Reply { words, code, took })
            }
            Ok(Err(error)) => {
                let code = error.status().map(u16::from);
                let is_final =
                    error.is_permanent() && !code.is_some_and(|code| OURS.contains(&code));
                let reply = Reply { words: in_words(&error), code: code.map(i64::from), took };
                (if is_final { Outcome::Refused } else { again() }, reply)
            }
        }
    }
}

/// Connects, says EHLO, and does what the settings say about TLS and signing in; sends
/// nothing.
pub async fn try_mail_server(server: &MailServer) -> Result<(), String> {
    let mailer = Mailer::new(server).map_err(|problem| problem.to_string())?;
    match tokio::time::timeout(TIMEOUT, mailer.transport.test_connection()).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err("the mail server refused the connection".into()),
        Ok(Err(error)) => Err(in_words(&error)),
        Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
    }
}

fn transport(server: &MailServer) -> Result<Transport, Invalid> {
    let parameters = || {
        let mut parameters = TlsParameters::builder(server.host.clone());
        if let Some(pem) = &server.ca {
            let wrong =
                |_| Invalid::new("KOZMIC_SMTP_CA has no certificate in PEM, or a broken one");
            parameters = parameters
                .add_root_certificate(Certificate::from_pem(pem.as_bytes()).map_err(wrong)?);
        }
        parameters
            .build()
            .map_err(|error| Invalid::new(format!("TLS for the mail server: {}", in_words(&error))))
    };
    let tls = match server.tls {
        MailTls::Always => Tls::Wrapper(parameters()?),
        MailTls::Required => Tls::Required(parameters()?),
        MailTls::Opportunistic => Tls::Opportunistic(parameters()?),
        MailTls::None => Tls::None,
    };
    let mut builder = Transport::builder_dangerous(&server.host)
        .port(server.port)
        .timeout(Some(TIMEOUT))
        .tls(tls);
    if let Some((user, password)) = &server.user {
        let password = password.expose_secret().to_owned();
        builder = builder.credentials(Credentials::new(user.clone(), password));
    }
    Ok(builder.build())
}

/// What went wrong, down to the cause.
fn in_words(error: &SmtpError) -> String {
    let words = with_causes(error);
    words.chars().filter(|c| !c.is_control()).take(500).collect()
}
