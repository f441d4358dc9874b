//! Who we are to the servers, and where Elastic's cloud has them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use opensearch::http::headers::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
};

use super::OpenSearchConfig;
use crate::event::Event;
use crate::sink::http::{Credential, Headers, refuse_fields, secret};
use crate::yaml::{Located, Problem, Problems};

// === impl OpenSearchConfig ===

impl OpenSearchConfig {
    /// A user, its password, and what may stand in place of them.
    pub fn credentials(&self) -> [Credential<'_>; 4] {
        [
            Credential::new("username", &self.username, &self.username_file),
            Credential::new("password", &self.password, &self.password_file),
            Credential::new("apiKey", &self.api_key, &self.api_key_file),
            Credential::new("bearerToken", &self.bearer_token, &self.bearer_token_file),
        ]
    }

    /// The user and its password, if there are both.
    pub(super) fn user(&self) -> Result<Option<(String, String)>, Problems> {
        let [username, password, ..] = self.credentials();
        let [username, password] = Credential::read_all([username, password])?;
        let user = (username.value, password.value);
        Ok(Some(user).filter(|(name, password)| !name.is_empty() && !password.is_empty()))
    }

    /// The headers of every request, with the credentials but for a user's, which may also stand in a host's URL.
    pub(super) fn access(&self) -> Result<HeaderMap, Problems> {
        let mut problems = Problems::default();
        problems.ok(refuse_fields(
            &self.headers,
            "one header serves many events: it can't have fields",
        ));
        for (name, value) in &self.headers {
            let name = HeaderName::try_from(name);
            if name.is_ok_and(|name| [CONTENT_TYPE, CONTENT_ENCODING].contains(&name)) {
                problems.push(value.problem("leave this header out: it follows from the body"));
            }
        }
        let authorization = problems.ok(self.authorization()).flatten();
        let headers = problems.ok(Headers::parse(&self.headers, authorization));
        let Some(headers) = headers.filter(|_| problems.is_empty()) else {
            return Err(problems);
        };
        let mut access = HeaderMap::new();
        headers
            .render(&Event::default(), &mut access)
            .map_err(Problem::nowhere)?;
        Ok(access)
    }

    fn authorization(&self) -> Result<Option<HeaderValue>, Problems> {
        let instead = self.instead_of_user()?;
        if self.aws.is_some() {
            let [username, ..] = self.credentials();
            let user = Some((username.key(), username.place()));
            let given = instead.or(user.filter(|(_, value)| !value.is_empty()));
            if let Some((key, value)) = given {
                return Err(value
                    .problem(format!("give either `aws` or `{key}`"))
                    .into());
            }
        }
        let [.., key, token] = self.credentials();
        let [key, token] = Credential::read_all([key, token])?;
        match (key.as_str(), token.as_str()) {
            ("", "") => Ok(None),
            ("", _) => Ok(Some(secret("Bearer ", &token)?)),
            _ => Ok(Some(api_key(&key)?)),
        }
    }

    /// The key of the credentials that stand in place of a user, and where those are given.
    pub(super) fn instead_of_user(&self) -> Result<Option<(String, &Located<String>)>, Problem> {
        let [username, _, api_key, bearer_token] = self.credentials();
        let header = self
            .headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(AUTHORIZATION.as_str()))
            .map(|(_, value)| value);
        let header = header.map(|value| ("headers.Authorization".to_owned(), value));
        let mut given = [api_key, bearer_token]
            .map(|credential| (credential.key(), credential.place()))
            .into_iter()
            .chain(header)
            .filter(|(_, value)| !value.is_empty());
        let user = Some(username.key()).filter(|_| !username.is_empty());
        match (user, given.next(), given.next()) {
            (Some(first), Some((second, value)), _)
            | (None, Some((first, _)), Some((second, value))) => {
                Err(value.problem(format!("give either `{first}` or `{second}`")))
            }
            (_, first, _) => Ok(first),
        }
    }
}

/// Elastic takes `id:key` in Base64; what its console shows is that already. OpenSearch's keys are taken as they are.
fn api_key(key: &Located<String>) -> Result<HeaderValue, Problem> {
    if !key.contains(':') {
        return secret("ApiKey ", key);
    }
    secret(
        "ApiKey ",
        &Located {
            value: STANDARD.encode(&key.value),
            ..key.clone()
        },
    )
}

/// The URL that a cloud ID stands for: behind the deployment's name and a colon, `host$elasticsearch$kibana` in Base64.
pub(super) fn cloud_url(id: &str) -> Option<String> {
    let encoded = id.rsplit_once(':').map_or(id, |(_, encoded)| encoded);
    let decoded = STANDARD_NO_PAD
        .decode(encoded.trim().trim_end_matches('='))
        .ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let mut parts = decoded.split('$');
    let (host, port) = split_port(parts.next()?);
    let (cluster, own_port) = split_port(parts.next()?);
    if host.is_empty() || cluster.is_empty() {
        return None;
    }
    let port = own_port.or(port).unwrap_or("443");
    Some(format!("https://{cluster}.{host}:{port}"))
}

fn split_port(text: &str) -> (&str, Option<&str>) {
    text.rsplit_once(':')
        .map_or((text, None), |(host, port)| (host, Some(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cloud_id_says_where_the_servers_are() {
        let id = |text: &str| format!("name:{}", STANDARD.encode(text));
        for (text, url) in [
            (
                "eu-west-1.aws.found.io$abc$def",
                Some("https://abc.eu-west-1.aws.found.io:443"),
            ),
            ("found.io:9243$abc$def", Some("https://abc.found.io:9243")),
            ("found.io:9243$abc:92$", Some("https://abc.found.io:92")),
            ("found.io$abc", Some("https://abc.found.io:443")),
            ("found.io", None),
            ("$abc", None),
            ("found.io$", None),
        ] {
            assert_eq!(cloud_url(&id(text)).as_deref(), url, "{text}");
        }
        assert_eq!(cloud_url("name:no base64"), None);
        let without_name = STANDARD.encode("a$b");
        assert_eq!(
            cloud_url(without_name.trim_end_matches('=')).as_deref(),
            Some("https://b.a:443")
        );
    }
}
