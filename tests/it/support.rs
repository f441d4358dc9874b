//! Servers, the exporter as a process, and waiting for what has to happen.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::{Event, Namespace};
use kube::api::{ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use kubernetes_event_exporter::batch::queue;
use kubernetes_event_exporter::metrics::Metrics;
use serde_json::Value;

/// The program that is tested: the one that `EXPORTER` names, or the one that was built with the tests.
pub static EXPORTER: LazyLock<PathBuf> = LazyLock::new(|| {
    let given = std::env::var("EXPORTER");
    let path = given.unwrap_or_else(|_| env!("CARGO_BIN_EXE_kubernetes-event-exporter").to_owned());
    fs::canonicalize(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
});

/// Runs a script of `tests/env` and returns what it exports.
fn script(path: &str, args: &[&str], env: &[(&str, &str)]) -> BTreeMap<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/env")
        .join(path);
    let output = Command::new(script)
        .args(args)
        .env("OWNER_PID", std::process::id().to_string())
        .envs(env.iter().copied())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{path} {args:?}: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let exports = text
        .lines()
        .filter_map(|line| line.strip_prefix("export ")?.split_once('='));
    exports
        .map(|(name, value)| (name.to_owned(), value.trim_matches(['"', '\'']).to_owned()))
        .collect()
}

/// The real helm.
pub fn helm() -> &'static Path {
    static HELM: OnceLock<PathBuf> = OnceLock::new();
    HELM.get_or_init(|| script("helm/build.sh", &["3"], &[])["HELM"].clone().into())
}

/// The next one.
pub fn helm4() -> PathBuf {
    script("helm/build.sh", &["4"], &[])["HELM"].clone().into()
}

/// The container image, as its Dockerfile makes it: an OCI archive.
pub fn image(env: &[(&str, &str)]) -> PathBuf {
    script("image/build.sh", &[], env)["IMAGE"].clone().into()
}

/// Prometheus' tool; installed where that is possible.
pub fn promtool() -> &'static str {
    script("require.sh", &["prometheus"], &[]);
    "promtool"
}

/// Alertmanager's, likewise.
pub fn amtool() -> &'static str {
    script("require.sh", &["alertmanager"], &[]);
    "amtool"
}

/// A real browser, and what drives it.
pub struct Browser {
    pub program: PathBuf,
    /// A folder of modules.
    pub modules: PathBuf,
}

impl Browser {
    /// Installed where that is possible.
    pub fn get() -> Self {
        let exports = script("browser/install.sh", &[], &[]);
        Self {
            program: exports["BROWSER"].clone().into(),
            modules: exports["BROWSER_MODULES"].clone().into(),
        }
    }
}

/// A Kubernetes API server with etcd.
pub struct Cluster {
    name: String,
    pub kubeconfig: PathBuf,
    pub kubectl: PathBuf,
    /// Where its etcd answers without TLS; not, if it has a node and so a network of its own.
    pub etcd: String,
}

impl Cluster {
    /// The one that all tests share; each in a namespace of its own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start("test-shared", &[]))
    }

    pub fn start(name: &str, env: &[(&str, &str)]) -> Self {
        let env = [&[("COMPONENTS", "")], env].concat();
        let exports = script("kubernetes/up.sh", &[name], &env);
        Self {
            name: name.to_owned(),
            kubeconfig: exports["KUBECONFIG"].clone().into(),
            kubectl: exports["KUBECTL"].clone().into(),
            etcd: exports["ETCD"].clone(),
        }
    }

    /// Loads a container image into its node.
    pub fn import(&self, archive: &Path) {
        let archive = archive.to_str().unwrap();
        script("kubernetes/node-import.sh", &[&self.name, archive], &[]);
    }

    /// `start`, `stop`, `kill`, `pause` or `resume` one of its parts.
    pub fn control(&self, action: &str, component: &str) {
        script("kubernetes/ctl.sh", &[&self.name, action, component], &[]);
    }

    pub async fn client(&self) -> Client {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let file = Kubeconfig::read_from(&self.kubeconfig).unwrap();
        let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .unwrap();
        Client::try_from(config).unwrap()
    }

    /// How another user reaches it.
    pub fn kubeconfig_of(&self, user: &str, folder: &Path) -> PathBuf {
        let mut kubeconfig = Kubeconfig::read_from(&self.kubeconfig).unwrap();
        let login = kubeconfig.auth_infos[0].auth_info.as_mut().unwrap();
        login.impersonate = Some(user.to_owned());
        let path = folder.join(user);
        fs::write(&path, serde_json::to_string(&kubeconfig).unwrap()).unwrap();
        path
    }

    /// Makes a namespace and returns the Events in it.
    pub async fn namespace(&self, name: &str) -> Api<Event> {
        let client = self.client().await;
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        Api::<Namespace>::all(client.clone())
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
        Api::namespaced(client, name)
    }
}

/// A node that answers as OpenSearch does.
pub struct Node {
    pub url: String,
    pub certs: PathBuf,
    http: reqwest::Client,
}

impl Node {
    fn new(url: &str, certs: Option<&String>) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::builder()
            // Tests have runtimes of their own, and connections end with them.
            .pool_max_idle_per_host(0)
            .danger_accept_invalid_certs(true)
            .no_proxy()
            .build()
            .unwrap();
        Self {
            url: url.to_owned(),
            certs: certs.cloned().unwrap_or_default().into(),
            http,
        }
    }

    /// An Elasticsearch with these roles, as YAML, each of which is that of a user of its name. It has neither data streams nor policies.
    pub fn elasticsearch(name: &str, roles: &str) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), roles).unwrap();
        let env = [("ROLES", file.path().to_str().unwrap())];
        let exports = script("elasticsearch/up.sh", &[name], &env);
        let certs = exports.get("ELASTICSEARCH_CERTS");
        Self::new(&exports["ELASTICSEARCH_URL"], certs)
    }

    pub async fn call(&self, method: &str, path: &str, body: &str) -> Value {
        let (_, text) = self.ask(("admin", "admin-pw"), method, path, body).await;
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    }

    /// Calls that have to succeed: method, path and body.
    pub async fn call_all(&self, calls: &[(&str, &str, &str)]) {
        for (method, path, body) in calls {
            let answer = self.call(method, path, body).await;
            assert_eq!(answer.get("error"), None, "{method} {path}: {answer}");
        }
    }

    /// The status and the body of an answer to this user.
    pub async fn ask(
        &self,
        (user, password): (&str, &str),
        method: &str,
        path: &str,
        body: &str,
    ) -> (u16, String) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self
            .http
            .request(method, format!("{}{path}", self.url))
            .body(body.to_owned());
        let request = request
            .header("content-type", "application/json")
            .basic_auth(user, Some(password));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Every document of an index by its id.
    pub async fn documents(&self, index: &str) -> BTreeMap<String, Value> {
        self.call("POST", &format!("/{index}/_refresh"), "").await;
        let answer = self
            .call(
                "POST",
                &format!("/{index}/_search"),
                r#"{"size":10000,"query":{"match_all":{}}}"#,
            )
            .await;
        let hits = answer["hits"]["hits"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let entry = |hit: &Value| {
            (
                hit["_id"].as_str().unwrap().to_owned(),
                hit["_source"].clone(),
            )
        };
        hits.iter().map(entry).collect()
    }

    pub async fn count(&self, index: &str) -> u64 {
        self.call("POST", &format!("/{index}/_refresh"), "").await;
        self.call("GET", &format!("/{index}/_count"), "").await["count"]
            .as_u64()
            .unwrap_or(0)
    }
}

/// An OpenSearch node.
pub struct OpenSearch {
    name: String,
    node: Node,
}

impl OpenSearch {
    /// The one that all tests share; each with indices of its own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<OpenSearch> = OnceLock::new();
        SHARED.get_or_init(|| Self::start("test-shared", &[], &[]))
    }

    /// The one with the security plugin that all tests share. It is at 127.0.0.2 too, which its certificate is not for.
    pub fn secure() -> &'static Self {
        static SECURE: OnceLock<OpenSearch> = OnceLock::new();
        let settings = ["http.host=127.0.0.1,127.0.0.2"];
        SECURE.get_or_init(|| Self::start("test-secure", &settings, &[("SECURE", "1")]))
    }

    pub fn start(name: &str, settings: &[&str], env: &[(&str, &str)]) -> Self {
        let args = [&[name], settings].concat();
        let exports = script("opensearch/up.sh", &args, env);
        let certs = exports.get("OPENSEARCH_CERTS");
        Self {
            name: name.to_owned(),
            node: Node::new(&exports["OPENSEARCH_URL"], certs),
        }
    }

    pub fn control(&self, action: &str) {
        script("opensearch/ctl.sh", &[&self.name, action], &[]);
    }

    /// Ends it. Starting one of its name goes on from its data, on the same port.
    pub fn stop(&self) {
        script("opensearch/down.sh", &[&self.name], &[("DATA", "keep")]);
    }
}

impl Deref for OpenSearch {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

/// The program, running.
pub struct Exporter {
    child: Child,
    pub metrics_url: String,
    folder: tempfile::TempDir,
}

impl Exporter {
    /// Starts it on a cluster; ready when it says so.
    pub async fn start(kubeconfig: &Path, config: &str) -> Self {
        Self::spawn(kubeconfig, config).ready().await
    }

    /// Starts it with the configuration in `file`, and more arguments.
    pub async fn start_with(kubeconfig: &Path, file: &Path, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::spawn_in(folder, &[], kubeconfig, file, arguments)
            .ready()
            .await
    }

    pub async fn ready(self) -> Self {
        eventually("the exporter is ready", async || {
            self.get("/readyz")
                .await
                .is_some_and(|(code, _)| code == 200)
        })
        .await;
        self
    }

    pub fn spawn(kubeconfig: &Path, config: &str) -> Self {
        Self::spawn_by(&[], kubeconfig, config)
    }

    /// Starts it by a command that becomes the one that its last arguments are.
    pub fn spawn_by(by: &[&str], kubeconfig: &Path, config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        fs::write(&file, config).unwrap();
        Self::spawn_in(folder, by, kubeconfig, &file, &[])
    }

    fn spawn_in(
        folder: tempfile::TempDir,
        by: &[&str],
        kubeconfig: &Path,
        file: &Path,
        arguments: &[&str],
    ) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let out = |name: &str| Stdio::from(fs::File::create(folder.path().join(name)).unwrap());
        let mut command = by.iter().map(OsStr::new).chain([EXPORTER.as_os_str()]);
        let child = Command::new(command.next().unwrap())
            .args(command)
            .arg("-conf")
            .arg(file)
            .arg(format!("-kubeconfig={}", kubeconfig.display()))
            .args(["--metrics-address", &format!("127.0.0.1:{port}")])
            .args(arguments)
            .stdout(out("stdout"))
            .stderr(out("stderr"))
            .spawn()
            .unwrap();
        Self {
            child,
            metrics_url: format!("http://127.0.0.1:{port}"),
            folder,
        }
    }

    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        let response = reqwest::get(format!("{}{path}", self.metrics_url))
            .await
            .ok()?;
        Some((response.status().as_u16(), response.text().await.ok()?))
    }

    /// The value of a series, as soon as there is one: those of receivers come when it is known that this process delivers.
    pub async fn metric(&self, series: &str) -> f64 {
        let mut value = None;
        eventually(series, async || {
            let (_, text) = self.get("/metrics").await.unwrap();
            value = text
                .lines()
                .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
                .map(|value| value.parse().unwrap());
            value.is_some()
        })
        .await;
        value.unwrap()
    }

    /// What its page shows.
    pub async fn status(&self) -> Value {
        let (_, text) = self.get("/status").await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    pub fn stdout(&self) -> String {
        fs::read_to_string(self.folder.path().join("stdout")).unwrap()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap()
    }

    /// Its configuration, where [`Self::start`] has put it.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("config.yaml")
    }

    /// KiB that are resident.
    pub fn memory(&self) -> u64 {
        self.kib("VmRSS:")
    }

    /// KiB that were resident at the most.
    pub fn most_memory(&self) -> u64 {
        self.kib("VmHWM:")
    }

    fn kib(&self, of: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(of));
        line.unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap()
    }

    pub fn signal(&self, signal: &str) {
        let killed = Command::new("kill")
            .arg(signal)
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(killed.success());
    }

    /// Waits for its end; `None` if it was killed.
    pub async fn ended(mut self) -> (Option<i32>, String) {
        let mut status = None;
        eventually("the exporter ends", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        (status.unwrap().code(), self.log())
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `done`; fails after a minute.
pub async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let end = tokio::time::Instant::now() + Duration::from_secs(60);
    while !done().await {
        assert!(
            tokio::time::Instant::now() < end,
            "waited in vain until {what}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Runs a command of the program in a folder of its own, with this configuration and this input.
pub fn run(args: &[&str], config: &str, input: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.yaml"), config).unwrap();
    let mut child = Command::new(&*EXPORTER)
        .args(args)
        .current_dir(folder.path())
        .env_remove("KUBECONFIG")
        .env("HOME", folder.path())
        .env("OPENSEARCH_URL", "http://localhost:9200")
        .env("OPENSEARCH_INDEX", "kube-events")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have ended without reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// An example with the files of its credentials in `folder`; each holds its own name.
pub fn with_credentials(config: &str, folder: &Path) -> String {
    const PLACE: &str = "/etc/kubernetes-event-exporter/credentials/";
    for after in config.split(PLACE).skip(1) {
        let name = after.split_whitespace().next().unwrap();
        fs::write(folder.join(name), format!("{name}\n")).unwrap();
    }
    config.replace(PLACE, &format!("{}/", folder.display()))
}

/// All that `/metrics` can show, of a program with one receiver.
pub fn exposition() -> String {
    let metrics = Metrics::new(Some("event_exporter_")).unwrap();
    let (sender, _queue) = queue(1);
    metrics.receiver("r", &sender.probe());
    metrics.buffer("r");
    metrics.render().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// An Event as a recorder writes it.
pub fn event(namespace: &str, name: &str, message: &str) -> Event {
    let now: jiff::Timestamp = SystemTime::now().try_into().unwrap();
    let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    serde_json::from_value(serde_json::json!({
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": {"kind": "Pod", "namespace": namespace, "name": "web-0", "apiVersion": "v1"},
        "reason": "BackOff", "message": message, "type": "Warning", "count": 1,
        "source": {"component": "kubelet", "host": "node-1"},
        "firstTimestamp": now, "lastTimestamp": now
    }))
    .unwrap()
}

/// `count` events as JSON lines, with identities of their own.
pub fn lines(prefix: &str, count: usize, message: &str) -> String {
    (0..count).fold(String::new(), |mut lines, at| {
        let mut event = event("shop", &format!("{prefix}-{at}"), message);
        event.metadata.uid = Some(format!("{prefix}-uid-{at}"));
        event.metadata.resource_version = Some((1000 + at).to_string());
        lines.push_str(&serde_json::to_string(&event).unwrap());
        lines.push('\n');
        lines
    })
}

/// Compares a file with what the tests make of its sources, or writes it.
pub fn is_current(path: &Path, expected: &str) {
    let file = path.display();
    if std::env::var_os("RECORD").is_some() {
        fs::write(path, expected).unwrap();
    }
    assert!(
        fs::read_to_string(path).unwrap_or_default() == expected,
        "{file} is not what its source makes of it: this test with RECORD=1 writes it anew"
    );
}
