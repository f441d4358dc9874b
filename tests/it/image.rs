//! The container image, as the Dockerfile makes it. `chart/install.rs` runs it on a real node.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use kube::api::PostParams;
use serde_json::{Value, json};

use crate::support::{Cluster, Exporter, event, eventually, image, text};

const PROGRAM: &str = "kubernetes-event-exporter";
const ROOTS: &str = "etc/ssl/certs/ca-certificates.crt";
/// What runs programs for arm64 here.
const EMULATOR: &str = "qemu-aarch64-static";
/// What the image may be, unpacked, as it is shipped.
const MAX_BYTES: u64 = 15_000_000;

/// An image that is unpacked.
struct Image {
    folder: tempfile::TempDir,
    /// What it says of itself.
    about: Value,
}

impl Image {
    fn unpack(archive: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (parts, root) = (folder.path().join("parts"), folder.path().join("root"));
        untar(archive, &parts);
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap();
            parts.join("blobs").join(digest.replace(':', "/"))
        };
        let read =
            |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
        let manifest = read(&blob(&read(&parts.join("index.json"))["manifests"][0]));
        for layer in manifest["layers"].as_array().unwrap() {
            untar(&blob(layer), &root);
        }
        let about = read(&blob(&manifest["config"]));
        Self { folder, about }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Its files, with their sizes and permissions.
    fn files(&self) -> BTreeMap<String, (u64, u32)> {
        let (root, mut files) = (self.root(), BTreeMap::new());
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let about = fs::symlink_metadata(&path).unwrap();
                if about.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(&root).unwrap().display().to_string();
                    files.insert(name, (about.len(), about.permissions().mode() & 0o777));
                }
            }
        }
        files
    }
}

fn untar(archive: &Path, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let output = Command::new("tar")
        .arg("xpf")
        .arg(archive)
        .arg("-C")
        .arg(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// Checks what is the same for every architecture.
fn check(image: &Image, architecture: &str) {
    let config = &image.about["config"];
    assert_eq!(image.about["architecture"], architecture);
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], json!([format!("/{PROGRAM}")]));
    assert_eq!(config["ExposedPorts"], json!({"2112/tcp": {}}));
    let label = |name: &str| config["Labels"][format!("org.opencontainers.image.{name}")].clone();
    assert_eq!(label("title"), PROGRAM);
    assert_eq!(label("licenses"), env!("CARGO_PKG_LICENSE"));
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(label("revision"), "test");

    // No shell, no libraries.
    let files = image.files();
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, [ROOTS, PROGRAM]);
    assert_eq!((files[ROOTS].1, files[PROGRAM].1), (0o644, 0o755));
    if std::env::var("IMAGE_PROFILE").is_ok_and(|profile| profile == "release") {
        let bytes: u64 = files.values().map(|(size, _)| size).sum();
        assert!(bytes <= MAX_BYTES, "{bytes} bytes");
    }
    let roots = fs::read_to_string(image.root().join(ROOTS)).unwrap();
    assert!(roots.matches("-----BEGIN CERTIFICATE-----").count() > 50);
}

/// Lets the program say what it was built of.
fn tells_its_version(command: &mut Command) {
    let output = command.arg("version").output().unwrap();
    assert_eq!(
        text(&output.stdout),
        format!("{PROGRAM} {} (test)\n", env!("CARGO_PKG_VERSION")),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn the_image_is_a_static_program_and_the_roots_of_trust() {
    let image = Image::unpack(&image(&[]));
    check(&image, "amd64");
    // On its own.
    tells_its_version(
        Command::new("chroot")
            .arg(image.root())
            .arg(format!("/{PROGRAM}")),
    );
}

#[tokio::test]
#[ignore = "ten minutes more: make image-test"]
async fn the_image_for_arm64_delivers_too() {
    let image = Image::unpack(&image(&[("IMAGE_ARCH", "arm64")]));
    check(&image, "arm64");
    let program = image.root().join(PROGRAM);
    tells_its_version(Command::new(EMULATOR).arg(&program));

    let cluster = Cluster::shared();
    let events = cluster.namespace("arm64").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events");
    let config = format!(
        "namespace: arm64\nroute: {{match: [{{receiver: file}}]}}\nreceivers: [{{name: file, file: {{path: {}}}}}]",
        file.display()
    );
    // The program in place of the one that would be started, which is the shell's first argument.
    let other = format!("shift; exec {EMULATOR} \"$0\" \"$@\"");
    let by = ["sh", "-c", &other, program.to_str().unwrap()];
    let _exporter = Exporter::spawn_by(&by, &cluster.kubeconfig, &config)
        .ready()
        .await;
    let event = event("arm64", "emulated", "Back-off");
    events.create(&PostParams::default(), &event).await.unwrap();
    eventually("it is delivered", async || {
        fs::read_to_string(&file).is_ok_and(|text| text.contains("emulated"))
    })
    .await;
}
