//! Slack: `chat.postMessage` with a token, or an incoming webhook.

use std::collections::BTreeMap;
use std::fmt;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Request, Url};
use serde::{Deserialize, Serialize};

use super::http::{
    Answer, Credential, OneByOne, Service, TlsConfig, classify, parse_url, post_json, secret,
};
use super::templates::Templates;
use super::{SendError, SendErrorKind, Sink, SinkSettings};
use crate::event::Event;
use crate::template::{RenderError, Template};
use crate::yaml::{Located, Problems};

/// The sink as the configuration gives it.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct SlackConfig {
    /// Of a bot that may write.
    token: Located<String>,
    /// A file that holds it, instead of `token`.
    #[serde(rename = "tokenFile")]
    token_file: Located<String>,
    /// The URL of an incoming webhook, instead of a token.
    webhook: Located<String>,
    /// A file that holds it, instead of `webhook`.
    #[serde(rename = "webhookFile")]
    webhook_file: Located<String>,
    /// Where `chat.postMessage` is, if not at Slack.
    endpoint: Located<String>,
    /// The channel's id or name; a template. A webhook has one of its own.
    channel: Located<String>,
    /// The text; a template.
    message: Located<String>,
    /// Of the attachment's edge; a template.
    color: Located<String>,
    /// Below the attachment; a template.
    footer: Located<String>,
    /// Of the attachment; a template.
    title: Located<String>,
    /// Above the title; a template.
    author_name: Located<String>,
    /// Of the attachment, by title; templates.
    fields: BTreeMap<String, Located<String>>,
    /// TLS of an endpoint.
    pub tls: TlsConfig,
}

/// What to ask Slack.
struct Slack {
    url: Url,
    /// None for a webhook, whose URL is the secret.
    authorization: Option<HeaderValue>,
    channel: Template,
    message: Template,
    color: Template,
    footer: Template,
    title: Template,
    author_name: Template,
    fields: Templates,
}

#[derive(Serialize)]
struct Message<'a> {
    #[serde(skip_serializing_if = "String::is_empty")]
    channel: String,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    attachments: Option<[Attachment<'a>; 1]>,
}

#[derive(Serialize)]
struct Attachment<'a> {
    #[serde(skip_serializing_if = "String::is_empty")]
    color: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    author_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Field<'a>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    footer: String,
}

#[derive(Serialize)]
struct Field<'a> {
    title: &'a str,
    value: String,
    short: bool,
}

#[derive(Deserialize)]
struct Verdict {
    ok: bool,
    #[serde(default)]
    error: String,
}

const API: &str = "https://slack.com/api/chat.postMessage";

/// Makes the sink. Reads files of credentials and certificates, connects nowhere.
pub fn build(config: &SlackConfig, settings: SinkSettings) -> Result<Box<dyn Sink>, Problems> {
    OneByOne::build(Slack::new(config), &config.tls, settings.timeout)
}

// === impl SlackConfig ===

impl fmt::Debug for SlackConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlackConfig")
            .field("channel", &self.channel.value)
            .finish_non_exhaustive()
    }
}

impl SlackConfig {
    /// A token, or the URL of a webhook.
    pub fn credentials(&self) -> [Credential<'_>; 2] {
        [
            Credential::new("token", &self.token, &self.token_file),
            Credential::new("webhook", &self.webhook, &self.webhook_file),
        ]
    }

    /// Where to, and who says so.
    fn target(&self) -> Result<(Url, Option<HeaderValue>), Problems> {
        let [token, webhook] = Credential::read_all(self.credentials())?;
        if webhook.is_empty() {
            if token.is_empty() {
                let message =
                    "Slack needs a `token`, or the URL of an incoming webhook under `webhook`";
                return Err(token.problem(message).into());
            }
            let url = match self.endpoint.as_str() {
                "" => API,
                url => url,
            };
            let url = parse_url(url).map_err(|error| self.endpoint.problem(error))?;
            return Ok((url, Some(secret("Bearer ", &token)?)));
        }
        if !token.is_empty() {
            let [token, other] = self.credentials().map(Credential::key);
            let message = format!("give either `{token}` or `{other}`");
            return Err(webhook.problem(message).into());
        }
        if !self.endpoint.is_empty() {
            let message =
                "`endpoint` goes with a `token`: give the URL of a webhook under `webhook` alone";
            return Err(self.endpoint.problem(message).into());
        }
        let url = parse_url(&webhook).map_err(|error| webhook.problem(error))?;
        Ok((url, None))
    }
}

// === impl Slack ===

impl Slack {
    fn new(config: &SlackConfig) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let target = problems.ok(config.target());
        let [token, webhook] = config.credentials();
        if !token.is_empty() && webhook.is_empty() && config.channel.is_empty() {
            let message = "with a `token`, Slack needs a `channel`";
            problems.push(config.channel.problem(message));
        }
        let texts = [
            &config.channel,
            &config.message,
            &config.color,
            &config.footer,
            &config.title,
            &config.author_name,
        ];
        let texts = texts.map(|text| problems.ok(Template::parse(text)));
        let fields = problems.ok(Templates::parse(&config.fields));
        let (
            Some((url, authorization)),
            [
                Some(channel),
                Some(message),
                Some(color),
                Some(footer),
                Some(title),
                Some(author_name),
            ],
            Some(fields),
        ) = (target, texts, fields)
        else {
            return Err(problems);
        };
        let slack = Self {
            url,
            authorization,
            channel,
            message,
            color,
            footer,
            title,
            author_name,
            fields,
        };
        if slack.message.literal() == Some("") && !slack.has_attachment() {
            let message = "there is nothing to say: give a `message`";
            problems.push(config.message.problem(message));
        }
        problems.or(slack)
    }

    /// A colour alone would be the edge of nothing.
    fn has_attachment(&self) -> bool {
        let given = |template: &Template| template.literal() != Some("");
        !self.fields.is_empty()
            || given(&self.title)
            || given(&self.author_name)
            || given(&self.footer)
    }

    fn message(&self, event: &Event) -> Result<Message<'_>, RenderError> {
        let attachment = || {
            let fields = self.fields.render(event)?.into_iter();
            Ok::<_, RenderError>([Attachment {
                color: self.color.render(event)?,
                author_name: escape(&self.author_name.render(event)?),
                title: escape(&self.title.render(event)?),
                fields: fields
                    .map(|(title, value)| Field {
                        title,
                        value: escape(&value),
                        short: false,
                    })
                    .collect(),
                footer: escape(&self.footer.render(event)?),
            }])
        };
        Ok(Message {
            channel: self.channel.render(event)?,
            text: escape(&self.message.render(event)?),
            attachments: self.has_attachment().then(attachment).transpose()?,
        })
    }
}

impl Service for Slack {
    fn reads_object(&self) -> bool {
        let one = [
            &self.channel,
            &self.message,
            &self.color,
            &self.footer,
            &self.title,
            &self.author_name,
        ];
        one.into_iter().any(Template::reads_object) || self.fields.reads_object()
    }

    fn request(&self, event: &Event) -> Result<Request, String> {
        let message = self.message(event).map_err(|error| error.to_string())?;
        let mut request = post_json(self.url.clone(), &message)?;
        if let Some(authorization) = &self.authorization {
            request
                .headers_mut()
                .insert(AUTHORIZATION, authorization.clone());
        }
        Ok(request)
    }

    fn verdict(&self, answer: &Answer) -> Result<(), SendError> {
        let by_status = classify(answer.status);
        if self.authorization.is_none() {
            // A webhook says the error as it is.
            let error = String::from_utf8_lossy(&answer.body);
            return by_status.map_or(Ok(()), |kind| {
                Err(answer.error(kind_of(error.trim()).unwrap_or(kind)))
            });
        }
        let verdict = serde_json::from_slice::<Verdict>(&answer.body);
        match (by_status, verdict) {
            (None, Ok(Verdict { ok: true, .. })) => Ok(()),
            // Slack repeats the message behind that, which can be more than is read of an answer.
            (None, Err(_)) if answer.body.starts_with(br#"{"ok":true"#) => Ok(()),
            (None, Err(_)) => Err(answer.error(SendErrorKind::Transient)),
            (Some(kind), Err(_)) => Err(answer.error(kind)),
            (kind, Ok(Verdict { error, .. })) => {
                let kind = kind_of(&error).or(kind);
                Err(answer.error(kind.unwrap_or(SendErrorKind::Refused)))
            }
        }
    }
}

/// Slack's own words for what is not the message's fault.
fn kind_of(error: &str) -> Option<SendErrorKind> {
    match error {
        "ratelimited"
        | "rate_limited"
        | "message_limit_exceeded"
        | "internal_error"
        | "fatal_error"
        | "service_unavailable"
        | "request_timeout"
        | "team_added_to_org"
        | "rollup_error" => Some(SendErrorKind::Transient),
        "not_authed"
        | "invalid_auth"
        | "invalid_token"
        | "account_inactive"
        | "token_revoked"
        | "token_expired"
        | "no_permission"
        | "missing_scope"
        | "not_allowed_token_type"
        | "org_login_required"
        | "ekm_access_denied"
        | "access_denied"
        | "accesslimited"
        | "team_access_not_granted"
        | "two_factor_setup_required"
        | "enterprise_is_restricted"
        | "action_prohibited"
        | "no_service"
        | "no_service_id"
        | "no_active_hooks"
        | "no_team"
        | "team_disabled" => Some(SendErrorKind::Denied),
        _ => None,
    }
}

/// What Slack would read as a link or as a call to the whole channel becomes text: messages are hostile input.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
