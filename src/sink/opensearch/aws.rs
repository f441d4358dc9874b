//! Requests that are signed for Amazon (Signature Version 4).
//!
//! Where the credentials come from is AWS' own business: the environment, a profile, the web identity of a service account (IRSA),
//! EKS Pod Identity, or the machine's role, in that order.

use std::fmt;
use std::time::{Duration, SystemTime};

use ::http::HeaderValue;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as Provided;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::timeout;
use url::Url;

use crate::yaml::{Located, Problem};

mod http;

/// Signs requests, with the credentials that AWS gives to the process.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AwsConfig {
    /// By default the one that is in the host's name, or that of the environment (`AWS_REGION`).
    region: Located<String>,
    /// `es` or, for OpenSearch Serverless, `aoss`. By default the one that is in the host's name, or `es`.
    service: Located<String>,
    /// A role to take on with the credentials that are found.
    #[serde(rename = "roleARN")]
    role_arn: Located<String>,
}

/// What requests are signed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) region: String,
    pub(super) service: String,
}

/// Credentials that are asked for again before they expire, or when they turn out to be worth nothing.
pub(super) struct AwsCredentials {
    region: Region,
    role: Option<String>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    source: Option<SharedCredentialsProvider>,
    credentials: Option<Credentials>,
    /// When they are to be asked for again.
    until: Option<SystemTime>,
}

/// What requests to OpenSearch Serverless are signed for.
const SERVERLESS: &str = "aoss";
/// So long before they expire there have to be others.
const MARGIN: Duration = Duration::from_mins(5);
/// How long those that never expire are believed: the file that they are in may change.
const BELIEVED: Duration = Duration::from_mins(5);
/// How long until they are asked for again where nobody has any.
const PAUSE: Duration = Duration::from_secs(30);
/// How long may be asked for them.
const DEADLINE: Duration = Duration::from_secs(15);

// === impl AwsConfig ===

impl AwsConfig {
    /// What requests to `host` are signed for; `env` looks up environment variables.
    pub(super) fn scope(
        &self,
        host: Option<&Url>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Scope, Problem> {
        let named = host.and_then(|host| of_name(host.host_str()?));
        let service = match (self.service.as_str(), &named) {
            (service @ ("es" | SERVERLESS), _) => service.to_owned(),
            ("", Some(named)) => named.service.clone(),
            ("", None) => "es".to_owned(),
            _ => {
                let message = "say `es`, or `aoss` for OpenSearch Serverless";
                return Err(self.service.problem(message));
            }
        };
        let given = Some(self.region.value.clone());
        let of_environment = ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().map(&env);
        let mut regions = [given, named.map(|named| named.region)]
            .into_iter()
            .chain(of_environment)
            .flatten();
        let region = regions.find(|region| !region.is_empty());
        let region = region.ok_or_else(|| {
            self.region
                .problem("which region? Give `aws.region`, or set AWS_REGION")
        })?;
        Ok(Scope { region, service })
    }

    /// Whether it says that requests are for OpenSearch Serverless.
    pub(super) fn is_for_serverless(&self) -> bool {
        self.service.value == SERVERLESS
    }

    /// Where the credentials come from.
    pub(super) fn credentials(&self, scope: &Scope) -> AwsCredentials {
        AwsCredentials {
            region: Region::new(scope.region.clone()),
            role: Some(self.role_arn.value.clone()).filter(|role| !role.is_empty()),
            known: Mutex::default(),
        }
    }
}

/// Whether Amazon's serverless collections are at this host.
pub(super) fn is_serverless(host: &Url) -> bool {
    let named = host.host_str().and_then(of_name);
    named.is_some_and(|named| named.service == SERVERLESS)
}

/// What a host's name tells: `NAME.REGION.es.amazonaws.com`, `NAME.REGION.aoss.amazonaws.com` or, of
/// [newer collections](https://docs.aws.amazon.com/opensearch-service/latest/developerguide/serverless-collection-endpoints.html),
/// `NAME.aoss.REGION.on.aws`.
fn of_name(host: &str) -> Option<Scope> {
    let (region, service) = if let Some(name) = host.strip_suffix(".on.aws") {
        let mut labels = name.rsplit('.');
        let (region, service) = (labels.next()?, labels.next()?);
        labels.next()?;
        (region, Some(service).filter(|it| *it == SERVERLESS)?)
    } else {
        let (name, _) = host.split_once(".amazonaws.com")?;
        let mut labels = name.rsplit('.');
        let service = labels.next();
        let service = service.filter(|it| matches!(*it, "es" | SERVERLESS))?;
        let region = labels.next()?;
        labels.next()?;
        (region, service)
    };
    Some(Scope {
        region: region.to_owned(),
        service: service.to_owned(),
    })
}

// === impl AwsCredentials ===

impl AwsCredentials {
    /// Sees to it that there are credentials to sign with. Fails with the reason, for people.
    pub(super) async fn ready(&self) -> Result<(), String> {
        let mut known = self.known.lock().await;
        let now = SystemTime::now();
        if known.until.is_some_and(|until| now < until) {
            return Ok(());
        }
        let source = if let Some(source) = &known.source {
            source.clone()
        } else {
            let made = timeout(DEADLINE, self.source()).await;
            let made = made.map_err(|_| "there are no AWS credentials: no answer in time")?;
            let made = made.map_err(|error| crate::telemetry::chain(&error))?;
            known.source.insert(made).clone()
        };
        let reason = match timeout(DEADLINE, source.provide_credentials()).await {
            Ok(Ok(credentials)) if !can_be_sent(&credentials) => UNUSABLE.to_owned(),
            Ok(Ok(credentials)) => {
                let expiry = credentials.expiry();
                known.until = Some(expiry.map_or(now + BELIEVED, |expiry| expiry - MARGIN));
                known.credentials = Some(credentials);
                if expiry.is_none() {
                    // It would not look at its file again.
                    known.source = None;
                }
                return Ok(());
            }
            Ok(Err(error)) => told(&crate::telemetry::chain(&error)),
            Err(_) => "no answer in time".to_owned(),
        };
        // It remembers that it has failed.
        known.source = None;
        // Those that we have may be good for a while, which every request need not find out.
        let expiry = known.credentials.as_ref().map(Credentials::expiry);
        let again = expiry.map(|expiry| expiry.map_or(now + PAUSE, |end| end.min(now + PAUSE)));
        if again.is_some_and(|again| now < again) {
            known.until = again;
            return Ok(());
        }
        Err(format!("there are no AWS credentials: {reason}"))
    }

    /// They were refused: the next request asks for others.
    pub(super) async fn forget(&self) {
        let mut known = self.known.lock().await;
        known.until = None;
        known.source = None;
    }

    async fn source(&self) -> reqwest::Result<SharedCredentialsProvider> {
        let client = http::client()?;
        let config = ProviderConfig::without_region()
            .with_http_client(client.clone())
            .with_region(Some(self.region.clone()));
        // Or it would ask the machine for one.
        let chain = DefaultCredentialsChain::builder()
            .configure(config)
            .region(self.region.clone());
        let chain = chain.build().await;
        let Some(role) = &self.role else {
            return Ok(SharedCredentialsProvider::new(chain));
        };
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(client)
            .region(self.region.clone())
            .credentials_provider(SharedCredentialsProvider::new(chain));
        let role = AssumeRoleProvider::builder(role.clone())
            .session_name("kubernetes-event-exporter")
            .configure(&config.load().await);
        Ok(SharedCredentialsProvider::new(role.build().await))
    }
}

const UNUSABLE: &str =
    "an access key, or a token, holds characters that no header can, such as the end of a line";

/// Whether it can be signed with: the client takes for granted that it can.
fn can_be_sent(credentials: &Credentials) -> bool {
    let token = credentials.session_token();
    let texts = [Some(credentials.access_key_id()), token];
    let mut texts = texts.into_iter().flatten();
    texts.all(|text| HeaderValue::from_str(text).is_ok())
}

/// What whoever has credentials says, without the token that was to be sent there.
fn told(error: &str) -> String {
    if error.contains("could not be used as a header value") {
        return UNUSABLE.to_owned();
    }
    error.to_owned()
}

impl ProvideCredentials for AwsCredentials {
    fn provide_credentials<'a>(&'a self) -> Provided<'a>
    where
        Self: 'a,
    {
        // Whoever signs has asked whether they are ready.
        Provided::new(async {
            let known = self.known.lock().await.credentials.clone();
            known.ok_or_else(CredentialsError::not_loaded_no_source)
        })
    }
}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsCredentials")
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(config: &str, host: &str, region: Option<&str>) -> Result<Scope, String> {
        let reading = crate::yaml::read::<AwsConfig>(config, &|_| None, &|_, _| None);
        let url = Url::parse(host).unwrap();
        let env = |name: &str| (name == "AWS_REGION").then_some(region?.to_owned());
        let scope = reading.value.unwrap().scope(Some(&url), env);
        scope.map_err(|problem| problem.message)
    }

    #[test]
    fn what_is_signed_for_is_in_the_name_of_the_host_unless_it_is_given() {
        let is = |config, host, env, region: &str, service: &str| {
            let expected = Scope {
                region: region.into(),
                service: service.into(),
            };
            assert_eq!(
                scope(config, host, env).unwrap(),
                expected,
                "{config} {host}"
            );
        };
        let domain = "https://vpc-events-abc.eu-west-1.es.amazonaws.com/";
        is("{}", domain, Some("us-east-1"), "eu-west-1", "es");
        is("{region: us-east-2}", domain, None, "us-east-2", "es");
        let china = "https://x.cn-north-1.es.amazonaws.com.cn/";
        is("{}", china, None, "cn-north-1", "es");
        let collection = "https://abc.eu-central-1.aoss.amazonaws.com/";
        is("{}", collection, None, "eu-central-1", "aoss");
        let newer = "https://abc.aoss.us-east-1.on.aws/";
        is("{}", newer, None, "us-east-1", "aoss");
        is("{service: aoss}", "https://proxy/", Some("r"), "r", "aoss");
        let missing = scope("{}", "https://proxy/", None).unwrap_err();
        assert!(missing.contains("AWS_REGION"), "{missing}");
        let wrong = scope("{service: s3}", domain, None).unwrap_err();
        assert!(wrong.contains("`aoss`"), "{wrong}");
    }
}
