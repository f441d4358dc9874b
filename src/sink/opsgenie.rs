//! Opsgenie: an alert an event.

use std::collections::BTreeMap;
use std::fmt;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Request, Url};
use serde::{Deserialize, Serialize};

use super::http::{Credential, OneByOne, Service, TlsConfig, parse_url, post_json, secret};
use super::templates::Templates;
use super::{Sink, SinkSettings};
use crate::event::Event;
use crate::template::{RenderError, Template};
use crate::yaml::{Located, Problem, Problems};

/// The sink as the configuration gives it.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OpsgenieConfig {
    /// Of an API integration.
    api_key: Located<String>,
    /// A file that holds it, instead of `apiKey`.
    api_key_file: Located<String>,
    /// Which Opsgenie: a URL, or a host as the incumbent has it.
    #[serde(rename = "URL")]
    url: Located<String>,
    /// `P1` to `P5`.
    priority: Located<String>,
    /// The alert's title; a template.
    message: Located<String>,
    /// Alerts with the same one are one alert; a template.
    alias: Located<String>,
    /// A template.
    description: Located<String>,
    /// Templates.
    tags: Vec<Located<String>>,
    /// Templates.
    details: BTreeMap<String, Located<String>>,
    /// TLS of another URL.
    pub tls: TlsConfig,
}

/// What to ask Opsgenie.
struct Opsgenie {
    url: Url,
    authorization: HeaderValue,
    priority: String,
    message: Template,
    alias: Template,
    description: Template,
    tags: Vec<Template>,
    details: Templates,
}

#[derive(Serialize)]
struct Alert<'a> {
    message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    alias: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    details: BTreeMap<&'a str, String>,
    priority: &'a str,
}

const API: &str = "https://api.opsgenie.com";
// The API refuses what has more characters.
const MAX_MESSAGE: usize = 130;
const MAX_ALIAS: usize = 512;
const MAX_DESCRIPTION: usize = 15_000;

/// Makes the sink. Reads files of credentials and certificates, connects nowhere.
pub fn build(config: &OpsgenieConfig, settings: SinkSettings) -> Result<Box<dyn Sink>, Problems> {
    OneByOne::build(Opsgenie::new(config), &config.tls, settings.timeout)
}

// === impl OpsgenieConfig ===

impl fmt::Debug for OpsgenieConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpsgenieConfig").finish_non_exhaustive()
    }
}

impl OpsgenieConfig {
    /// The key.
    pub fn credentials(&self) -> [Credential<'_>; 1] {
        [Credential::new("apiKey", &self.api_key, &self.api_key_file)]
    }

    fn url(&self) -> Result<Url, Problem> {
        let base = match self.url.as_str() {
            "" => API.to_owned(),
            url if url.contains("://") => url.to_owned(),
            host => format!("https://{host}"),
        };
        parse_url(&format!("{}/v2/alerts", base.trim_end_matches('/')))
            .map_err(|error| self.url.problem(error))
    }

    fn authorization(&self) -> Result<HeaderValue, Problems> {
        let [api_key] = Credential::read_all(self.credentials())?;
        if api_key.is_empty() {
            return Err(api_key.problem("Opsgenie needs an `apiKey`").into());
        }
        Ok(secret("GenieKey ", &api_key)?)
    }

    fn message(&self) -> Result<Template, Problem> {
        if self.message.is_empty() {
            return Err(self.message.problem("Opsgenie needs a `message`"));
        }
        Template::parse(&self.message)
    }

    fn priority(&self) -> Result<String, Problem> {
        match self.priority.as_str() {
            "" => Ok("P3".to_owned()),
            priority @ ("P1" | "P2" | "P3" | "P4" | "P5") => Ok(priority.to_owned()),
            _ => Err(self.priority.problem(format!(
                "`{}` is no priority: give one of P1, P2, P3, P4, P5",
                self.priority.shown()
            ))),
        }
    }
}

// === impl Opsgenie ===

impl Opsgenie {
    fn new(config: &OpsgenieConfig) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let url = problems.ok(config.url());
        let authorization = problems.ok(config.authorization());
        let priority = problems.ok(config.priority());
        let message = problems.ok(config.message());
        let [alias, description] =
            [&config.alias, &config.description].map(|text| problems.ok(Template::parse(text)));
        let tags = config.tags.iter();
        let tags = tags.filter_map(|tag| problems.ok(Template::parse(tag)));
        let tags: Vec<Template> = tags.collect();
        let details = problems.ok(Templates::parse(&config.details));
        let (
            Some(url),
            Some(authorization),
            Some(priority),
            Some(message),
            Some(alias),
            Some(description),
            Some(details),
        ) = (
            url,
            authorization,
            priority,
            message,
            alias,
            description,
            details,
        )
        else {
            return Err(problems);
        };
        problems.or(Self {
            url,
            authorization,
            priority,
            message,
            alias,
            description,
            tags,
            details,
        })
    }

    fn alert(&self, event: &Event) -> Result<Alert<'_>, RenderError> {
        let tags = self.tags.iter().map(|tag| tag.render(event));
        Ok(Alert {
            message: cut(self.message.render(event)?, MAX_MESSAGE),
            alias: cut(self.alias.render(event)?, MAX_ALIAS),
            description: cut(self.description.render(event)?, MAX_DESCRIPTION),
            tags: tags.collect::<Result<_, _>>()?,
            details: self.details.render(event)?,
            priority: &self.priority,
        })
    }
}

impl Service for Opsgenie {
    fn reads_object(&self) -> bool {
        let one = [&self.message, &self.alias, &self.description];
        one.into_iter()
            .chain(&self.tags)
            .any(Template::reads_object)
            || self.details.reads_object()
    }

    fn request(&self, event: &Event) -> Result<Request, String> {
        let alert = self.alert(event).map_err(|error| error.to_string())?;
        let mut request = post_json(self.url.clone(), &alert)?;
        request
            .headers_mut()
            .insert(AUTHORIZATION, self.authorization.clone());
        Ok(request)
    }
}

fn cut(mut text: String, characters: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(characters) {
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests;
