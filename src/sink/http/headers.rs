//! The headers that a configuration asks for.

use std::collections::BTreeMap;

use reqwest::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    TRANSFER_ENCODING,
};

use super::Credential;
use crate::event::Event;
use crate::template::Template;
use crate::yaml::{Located, Problem, Problems};

/// Headers of every request; their values are templates.
pub struct Headers {
    authorization: Option<HeaderValue>,
    given: Vec<(HeaderName, Template)>,
}

/// Without the value, which may be a secret.
const NO_HEADER: &str =
    "no header can hold this: it has a control character, such as the end of a line";

// === impl Headers ===

impl Headers {
    /// Reads `headers`. What they say of `Authorization` comes before `authorization`.
    pub fn parse(
        headers: &BTreeMap<String, Located<String>>,
        authorization: Option<HeaderValue>,
    ) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let given = headers
            .iter()
            .filter_map(|(name, value)| problems.ok(parse(name, value)))
            .collect();
        problems.or(Self {
            authorization,
            given,
        })
    }

    /// Whether any reads what a lookup of the involved object adds.
    pub fn reads_object(&self) -> bool {
        self.given
            .iter()
            .any(|(_, template)| template.reads_object())
    }

    /// Puts them into `to`, with the fields of `event`.
    pub fn render(&self, event: &Event, to: &mut HeaderMap) -> Result<(), String> {
        if let Some(authorization) = &self.authorization {
            to.insert(AUTHORIZATION, authorization.clone());
        }
        for (name, template) in &self.given {
            let text = template.render(event).map_err(|error| error.to_string())?;
            let mut value = HeaderValue::try_from(text)
                .map_err(|_| format!("the header {name} cannot hold what its template gives"))?;
            // What no event has a say in may be a key.
            value.set_sensitive(template.literal().is_some() && name != CONTENT_TYPE);
            to.insert(name, value);
        }
        Ok(())
    }
}

fn parse(name: &str, value: &Located<String>) -> Result<(HeaderName, Template), Problem> {
    let header = HeaderName::try_from(name)
        .map_err(|_| value.problem(format!("`{name}` is no legal name of a header")))?;
    if [CONTENT_LENGTH, TRANSFER_ENCODING].contains(&header) {
        return Err(value.problem("leave this header out: it follows from the body"));
    }
    let template = Template::parse(value)?;
    if template
        .literal()
        .is_some_and(|text| HeaderValue::from_str(text).is_err())
    {
        return Err(value.problem(NO_HEADER));
    }
    Ok((header, template))
}

/// Refuses headers that have fields, for `reason`. What is wrong with them besides is [`Headers::parse`]'s to tell.
pub fn refuse_fields(
    headers: &BTreeMap<String, Located<String>>,
    reason: &str,
) -> Result<(), Problems> {
    let has_fields = |value: &&Located<String>| {
        Template::parse(value).is_ok_and(|template| template.literal().is_none())
    };
    let refused: Problems = headers
        .values()
        .filter(has_fields)
        .map(|value| value.problem(reason))
        .collect();
    refused.or(())
}

/// Tells which of a user, a password, a bearer token and headers have no effect.
pub fn lint_access(
    [username, password, bearer_token]: [Credential<'_>; 3],
    headers: &BTreeMap<String, Located<String>>,
    warnings: &mut Vec<Problem>,
) {
    if !password.is_empty() && !username.is_given() {
        let message = "without effect: a password needs a `username`";
        warnings.push(password.place().problem(message));
    }
    let is_given = headers
        .keys()
        .any(|name| name.eq_ignore_ascii_case(AUTHORIZATION.as_str()));
    if is_given {
        for credential in [username, bearer_token] {
            if !credential.is_empty() {
                let key = credential.key();
                warnings.push(credential.place().problem(format!(
                    "without effect: `headers.Authorization` comes before `{key}`; leave one of them out"
                )));
            }
        }
    }
}

/// `Authorization` of basic authentication, or of a bearer token, or neither.
pub fn authorization(credentials: [Credential<'_>; 3]) -> Result<Option<HeaderValue>, Problems> {
    let [username, password, bearer_token] = Credential::read_all(credentials)?;
    match (username.as_str(), bearer_token.as_str()) {
        ("", "") => Ok(None),
        (_, "") => Ok(Some(basic(&username, &password))),
        ("", _) => Ok(Some(secret("Bearer ", &bearer_token)?)),
        _ => {
            let [user, _, token] = credentials.map(Credential::key);
            let message = format!("give either `{user}` or `{token}`");
            Err(bearer_token.problem(message).into())
        }
    }
}

/// `Authorization` of basic authentication.
pub fn basic(username: &str, password: &str) -> HeaderValue {
    use base64::Engine as _;
    let encoded =
        base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
    // Base64 is fit for a header, whatever it stands for.
    let mut value = HeaderValue::try_from(format!("Basic {encoded}"))
        .unwrap_or(HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}

/// A header whose value is never shown: `scheme` and a secret.
pub fn secret(scheme: &str, secret: &Located<String>) -> Result<HeaderValue, Problem> {
    let mut value = HeaderValue::try_from(format!("{scheme}{}", secret.value))
        .map_err(|_| secret.problem(NO_HEADER))?;
    value.set_sensitive(true);
    Ok(value)
}
