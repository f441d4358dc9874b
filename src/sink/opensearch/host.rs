//! The hosts of a cluster, and the requests that go to them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_config::Region;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use bytes::Bytes;
use opensearch::auth::{ClientCertificate, Credentials};
use opensearch::cert::{Certificate, CertificateValidation};
use opensearch::http::headers::HeaderMap;
use opensearch::http::transport::{
    BuildError, SingleNodeConnectionPool, Transport, TransportBuilder,
};
use opensearch::http::{Method, Url};
use tokio::time::Instant;
use url::Origin;

use super::access::cloud_url;
use super::aws::{AwsCredentials, Scope};
use super::{Dialect, OpenSearchConfig};
use crate::sink::http::{Secrets, TlsFiles, basic, classify, decode, innermost};
use crate::sink::{SendError, SendErrorKind};
use crate::yaml::{Problem, Problems};

/// The hosts, used in turn.
pub(super) struct Hosts {
    all: Vec<Host>,
    serverless: bool,
    next: AtomicUsize,
}

struct Host {
    transport: Transport,
    /// Without credentials.
    name: String,
    origin: Origin,
    secrets: Arc<Secrets>,
    aws: Option<Arc<AwsCredentials>>,
    resting_until: Mutex<Option<Instant>>,
    /// Of a request.
    timeout: Duration,
}

/// Who we are to all of them.
struct Access {
    headers: HeaderMap,
    user: Option<(String, String)>,
    signing: Option<(Scope, Arc<AwsCredentials>)>,
    tls: TlsFiles,
}

/// What a host has said.
pub(super) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// Without secrets, if the request failed as a whole.
    pub body: Bytes,
    /// Not to be found in what is told of it.
    pub secrets: Arc<Secrets>,
}

/// How long a host that did not answer is left alone, if there are others.
const REST: Duration = Duration::from_secs(15);

// === impl Hosts ===

impl Hosts {
    /// The hosts that `config` names, or the environment. Reads files of credentials and certificates, connects nowhere.
    pub(super) fn new(
        config: &OpenSearchConfig,
        dialect: Dialect,
        timeout: Duration,
    ) -> Result<Self, Problems> {
        Self::with(config, urls(config, dialect), timeout)
    }

    /// A server that is not of the cluster, and takes its users: Dashboards, Kibana.
    pub(super) fn beside(
        url: &str,
        config: &OpenSearchConfig,
        timeout: Duration,
    ) -> Result<Self, Problems> {
        let url = parse_host(url).map_err(|error| Problem::nowhere(error).into());
        Self::with(config, url.map(|url| vec![url]), timeout)
    }

    fn with(
        config: &OpenSearchConfig,
        urls: Result<Vec<Url>, Problems>,
        timeout: Duration,
    ) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let access = problems.ok(config.access());
        let user = problems.ok(config.user());
        let tls = problems.ok(config.tls.load());
        let urls = problems.ok(urls);
        let (Some(access), Some(user), Some(tls), Some(urls)) = (access, user, tls, urls) else {
            return Err(problems);
        };
        let env = |name: &str| std::env::var(name).ok();
        let aws = config.aws.as_ref();
        let signing = aws.map(|aws| {
            let scope = aws.scope(urls.first(), env)?;
            let credentials = Arc::new(aws.credentials(&scope));
            Ok::<_, Problem>((scope, credentials))
        });
        let access = Access {
            headers: access,
            user,
            signing: signing.transpose()?,
            tls,
        };
        let serverless = urls.iter().any(|url| config.is_serverless(url));
        // Each of them would tell the same.
        let hosts: Result<Vec<Host>, Problem> = urls
            .into_iter()
            .map(|url| Host::new(url, config, &access, timeout))
            .collect();
        Ok(Self {
            all: hosts?,
            serverless,
            next: AtomicUsize::new(0),
        })
    }

    /// Where the first one takes documents, without credentials, for people.
    pub(super) fn bulk_url(&self) -> String {
        let host = self.all.first().map_or("", |host| host.name.as_str());
        format!("{host}/_bulk")
    }

    /// Whether they are Amazon's serverless, which has no policies, and rules of its own for the rest.
    pub(super) fn are_serverless(&self) -> bool {
        self.serverless
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// Asks one of them.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Option<Bytes>,
    ) -> Result<Answer, SendError> {
        let host = self.next();
        if let Some(aws) = &host.aws {
            aws.ready().await.map_err(SendError::transient)?;
        }
        let answer = async {
            let response = host
                .transport
                .send(method, path, headers, None::<&()>, body, None)
                .await?;
            let (status, headers) = (response.status_code().as_u16(), response.headers().clone());
            let origin = response.url().origin();
            let answer = Answer {
                status,
                headers,
                body: response.bytes().await?,
                secrets: Arc::clone(&host.secrets),
            };
            Ok::<_, opensearch::Error>((origin, answer))
        };
        match answer.await {
            Ok((origin, mut answer)) => {
                host.rest_until(None);
                if let Some(aws) = &host.aws
                    && matches!(answer.status, 401 | 403)
                {
                    aws.forget().await;
                }
                if origin == host.origin {
                    if classify(answer.status).is_some() {
                        answer.body = host.secrets.hide(&answer.body).into();
                    }
                    return Ok(answer);
                }
                // The client follows redirects, by a GET even, so that this answers something else than was asked.
                Err(SendError {
                    kind: SendErrorKind::Denied,
                    reason: format!(
                        "{} redirects to {}: give that under `hosts`",
                        host.name,
                        origin.ascii_serialization()
                    ),
                    status: Some(answer.status),
                    retry_after: None,
                })
            }
            Err(error) => {
                host.rest_until(Some(Instant::now() + REST));
                Err(SendError::transient(format!(
                    "{}: {}",
                    host.name,
                    no_answer(&error)
                )))
            }
        }
    }

    /// The next one that is not resting; the next one if all are.
    fn next(&self) -> &Host {
        let now = Instant::now();
        let (first, count) = (self.next.load(Ordering::Relaxed), self.all.len());
        let awake = (0..count)
            .map(|step| (first + step) % count)
            .find(|&at| !self.all[at].is_resting(now));
        let at = awake.unwrap_or(first % count);
        self.next.store(at + 1, Ordering::Relaxed);
        self.all[at].is_tried(now);
        &self.all[at]
    }
}

// === impl Host ===

impl Host {
    fn new(
        mut url: Url,
        config: &OpenSearchConfig,
        access: &Access,
        timeout: Duration,
    ) -> Result<Self, Problem> {
        let tls = &access.tls;
        let user = match (url.username(), url.password()) {
            (user, Some(password)) if !user.is_empty() => Some((decode(user), decode(password))),
            _ => access.user.clone(),
        };
        let mut headers = access.headers.clone();
        if let Some((user, password)) = &user {
            headers.insert(http::header::AUTHORIZATION, basic(user, password));
        }
        let secrets = Arc::new(Secrets::of(&headers, &url));
        // Neither fails for a URL that has a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let origin = url.origin();
        let name = url.as_str().trim_end_matches('/').to_owned();
        // As the incumbent: sinks are in the cluster, proxies lead out of it.
        let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(url))
            .timeout(timeout)
            .disable_proxy();
        for (name, value) in &access.headers {
            builder = builder.header(name.clone(), value.clone());
        }
        if config.tls.insecure_skip_verify {
            builder = builder.cert_validation(CertificateValidation::None);
        } else if let Some(ca) = &tls.ca {
            let ca = Certificate::from_pem(ca).map_err(|_| config.tls.no_ca())?;
            builder = builder.cert_validation(CertificateValidation::Full(ca));
        }
        // The client takes either a certificate or a user, servers take both.
        match (&tls.identity, user) {
            (None, None) => {}
            (None, Some((user, password))) => {
                builder = builder.auth(Credentials::Basic(user, password));
            }
            (Some(identity), user) => {
                let pem = identity.pem();
                builder = builder.auth(Credentials::Certificate(ClientCertificate::Pem(pem)));
                if let Some((user, password)) = user {
                    builder = builder.header(http::header::AUTHORIZATION, basic(&user, &password));
                }
            }
        }
        if let Some((scope, credentials)) = &access.signing {
            let credentials: Arc<dyn ProvideCredentials> =
                Arc::<AwsCredentials>::clone(credentials);
            let credentials = SharedCredentialsProvider::new(credentials);
            let region = Region::new(scope.region.clone());
            builder = builder
                .auth(Credentials::AwsSigV4(credentials, region))
                .service_name(&scope.service);
        }
        let built = builder.build();
        let transport = built.map_err(|error| unbuilt(&error, config, tls, &name))?;
        Ok(Self {
            transport,
            name,
            origin,
            secrets,
            aws: access.signing.as_ref().map(|(_, it)| Arc::clone(it)),
            resting_until: Mutex::default(),
            timeout,
        })
    }

    fn rest_until(&self, until: Option<Instant>) {
        *self.resting() = until;
    }

    /// One that did not answer is tried by one request at a time: a host that is gone without a word costs each its whole timeout.
    fn is_tried(&self, now: Instant) {
        let mut until = self.resting();
        if until.is_some() {
            *until = Some(now + self.timeout.max(REST));
        }
    }

    fn is_resting(&self, now: Instant) -> bool {
        self.resting().is_some_and(|until| until > now)
    }

    fn resting(&self) -> MutexGuard<'_, Option<Instant>> {
        self.resting_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which of the files it is that can't be used: they are read only when the client is built.
fn unbuilt(error: &BuildError, config: &OpenSearchConfig, tls: &TlsFiles, name: &str) -> Problem {
    let is_bad = |pem: Vec<u8>| reqwest::Identity::from_pem(&pem).is_err();
    if tls.identity.as_ref().is_some_and(|it| is_bad(it.pem())) {
        return config.tls.no_identity();
    }
    if tls.ca.is_some() && !config.tls.insecure_skip_verify {
        return config.tls.no_ca();
    }
    let cause = match error {
        BuildError::Cert(error) => innermost(error),
        BuildError::Io(error) => innermost(error),
    };
    Problem::nowhere(format!("cannot set up connections to {name}: {cause}"))
}

fn urls(config: &OpenSearchConfig, dialect: Dialect) -> Result<Vec<Url>, Problems> {
    let cloud = &config.cloud_id;
    if !cloud.is_empty() {
        if !config.hosts.is_empty() {
            return Err(cloud.problem("give either `hosts` or `cloudID`").into());
        }
        let url = cloud_url(cloud).and_then(|url| parse_host(&url).ok());
        let url = url.ok_or_else(|| {
            cloud.problem("this is no cloud ID: copy it from the deployment's page, or give its URL under `hosts`")
        })?;
        return Ok(vec![url]);
    }
    if config.hosts.is_empty() {
        return hosts_of_environment(dialect);
    }
    // What is wrong with them is told where they are used.
    let instead = config.instead_of_user().ok().flatten();
    let mut problems = Problems::default();
    let urls = config.hosts.iter().filter_map(|host| {
        let url = parse_host(&host.value).map_err(|error| host.problem(error));
        let url = problems.ok(url)?;
        if let Some((key, _)) = &instead
            && !url.username().is_empty()
        {
            let message = format!("give either a user in `hosts` or `{key}`");
            problems.push(host.problem(message));
        }
        Some(url)
    });
    let urls = urls.collect();
    problems.or(urls)
}

fn hosts_of_environment(dialect: Dialect) -> Result<Vec<Url>, Problems> {
    let names = match dialect {
        Dialect::OpenSearch => ["OPENSEARCH_URL", "ELASTICSEARCH_URL"],
        Dialect::Elasticsearch => ["ELASTICSEARCH_URL", "OPENSEARCH_URL"],
    };
    let found = names
        .into_iter()
        .find_map(|name| Some((name, std::env::var(name).ok().filter(|v| !v.is_empty())?)));
    let Some((name, hosts)) = found else {
        let local = parse_host("http://localhost:9200/").map_err(Problem::nowhere)?;
        return Ok(vec![local]);
    };
    let mut problems = Problems::default();
    let urls = hosts.split(',').filter_map(|host| {
        problems.ok(parse_host(host.trim())
            .map_err(|error| Problem::nowhere(format!("the environment variable {name}: {error}"))))
    });
    let urls = urls.collect();
    problems.or(urls)
}

/// The URL of a host, whose path is a prefix of every request's.
pub(super) fn parse_host(text: &str) -> Result<Url, String> {
    let mut url = Url::parse(text)
        .map_err(|error| format!("a host is no URL: {error}; write https://NAME:PORT"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("a host must begin with http:// or https://".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("a host has no query: what follows `?` can't be sent with every request; for a token, give `apiKey`, `bearerToken` or `headers`".to_owned());
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

fn no_answer(error: &opensearch::Error) -> String {
    if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        format!("no answer: {}", innermost(error))
    }
}
