//! A release as Helm renders it, and the exporter's word on its configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{NAMESPACE, chart};
use crate::support::{EXPORTER, helm, text};

/// `helm template` of a release with these values.
pub fn template(release: &str, values: &str, sets: &[&str]) -> Output {
    template_by(helm(), release, values, sets)
}

/// The same by another Helm.
pub fn template_by(helm: &Path, release: &str, values: &str, sets: &[&str]) -> Output {
    let mut command = Command::new(helm);
    command.args(["template", release]).arg(chart());
    command.args(["--namespace", NAMESPACE, "--values", "-"]);
    for set in sets {
        command.args(["--set", set]);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(values.as_bytes()).unwrap();
    drop(input);
    child.wait_with_output().unwrap()
}

/// What a release is made of.
pub struct Release(pub Vec<Value>);

impl Release {
    pub fn of(values: &str, sets: &[&str]) -> Self {
        Self::named("events-to-opensearch", values, sets)
    }

    pub fn named(name: &str, values: &str, sets: &[&str]) -> Self {
        Self::rendered(&template(name, values, sets))
    }

    pub fn rendered(output: &Output) -> Self {
        assert!(output.status.success(), "{}", text(&output.stderr));
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text(&output.stdout)).unwrap();
        Self(objects.into_iter().filter(|it| !it.is_null()).collect())
    }

    pub fn all(&self, kind: &str) -> Vec<&Value> {
        self.0.iter().filter(|it| it["kind"] == kind).collect()
    }

    pub fn one(&self, kind: &str) -> &Value {
        let all = self.all(kind);
        assert_eq!(all.len(), 1, "{kind}");
        all[0]
    }

    pub fn config(&self) -> &str {
        let maps = self.all("ConfigMap").into_iter();
        let configs: Vec<_> = maps
            .filter_map(|it| it["data"]["config.yaml"].as_str())
            .collect();
        assert_eq!(configs.len(), 1);
        configs[0]
    }

    /// What is in its Secret, unpacked.
    pub fn credentials(&self) -> BTreeMap<String, String> {
        let secrets = self.all("Secret");
        let data = secrets.iter().filter_map(|it| it["data"].as_object());
        data.flatten()
            .map(|(name, value)| {
                let value = STANDARD.decode(value.as_str().unwrap()).unwrap();
                (name.clone(), text(&value))
            })
            .collect()
    }

    /// The directory of credentials and what the pod finds in it, by the name of the file; what is in Secrets that are there
    /// already says so.
    pub fn files(&self) -> Option<(&str, BTreeMap<String, String>)> {
        let mounts = self.container()["volumeMounts"].as_array().unwrap();
        let mount = mounts
            .iter()
            .find(|it| it["name"] == "receiver-credentials")?;
        let volumes = self.pod()["spec"]["volumes"].as_array().unwrap();
        let volume = volumes.iter().find(|it| it["name"] == mount["name"]);
        let sources = volume.unwrap()["projected"]["sources"].as_array().unwrap();
        let (own, credentials) = (self.all("Secret"), self.credentials());
        let mut files = BTreeMap::new();
        for secret in sources.iter().map(|source| &source["secret"]) {
            let is_own = own
                .iter()
                .any(|it| it["metadata"]["name"] == secret["name"]);
            for item in secret["items"].as_array().into_iter().flatten() {
                let (key, path) = (
                    item["key"].as_str().unwrap(),
                    item["path"].as_str().unwrap(),
                );
                let contents = if is_own { &credentials[key] } else { "given" };
                files.insert(path.to_owned(), contents.to_owned());
            }
        }
        Some((mount["mountPath"].as_str().unwrap(), files))
    }

    /// What its pod's environment has of its own Secret.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let variables = self.container()["env"].as_array().into_iter().flatten();
        let names: BTreeSet<&str> = variables.filter_map(|it| it["name"].as_str()).collect();
        let mut credentials = self.credentials();
        credentials.retain(|name, _| names.contains(name.as_str()));
        credentials
    }

    pub fn pod(&self) -> &Value {
        &self.one("Deployment")["spec"]["template"]
    }

    pub fn container(&self) -> &Value {
        &self.pod()["spec"]["containers"][0]
    }

    /// Of all its roles, but for that of its Lease.
    pub fn rules(&self) -> Vec<&Value> {
        let roles = ["Role", "ClusterRole"].map(|kind| self.all(kind)).concat();
        let is_lease = |role: &&&Value| {
            let name = role["metadata"]["name"].as_str();
            name.is_some_and(|name| name.ends_with("-lease"))
        };
        let lists = roles
            .iter()
            .filter(|role| !is_lease(role))
            .map(|role| role["rules"].as_array().unwrap());
        lists.flatten().collect()
    }
}

/// `check --strict` of the configuration that a release runs with, with the files and the environment that its pod has.
pub fn check(release: &Release, more: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut config = release.config().to_owned();
    if let Some((directory, files)) = release.files() {
        for (name, contents) in files {
            fs::write(folder.path().join(name), contents).unwrap();
        }
        config = config.replace(directory, folder.path().to_str().unwrap());
    }
    fs::write(folder.path().join("config.yaml"), config).unwrap();
    let output = Command::new(&*EXPORTER)
        .args(["check", "--strict", "config.yaml"])
        .current_dir(folder.path())
        .envs(release.environment())
        .envs(more.iter().copied())
        .output()
        .unwrap();
    let told = text(&output.stderr);
    assert_eq!(output.status.success(), told.is_empty(), "{told}");
    told
}
