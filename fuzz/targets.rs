//! What is fuzzed. `tests/it/fuzz.rs` runs the seeds through the same functions, so that they are tests everywhere.

use kubernetes_event_exporter::config::Config;
use kubernetes_event_exporter::event::Event;
use kubernetes_event_exporter::route::Route;
use kubernetes_event_exporter::template::Template;
use kubernetes_event_exporter::yaml::Located;

const EVENT: &str = r#"{
  "metadata": {"name": "web-0.17", "namespace": "shop", "uid": "u-1", "resourceVersion": "7",
    "creationTimestamp": "2024-05-01T10:00:00Z", "labels": {"a.b/c": "d"}, "annotations": {"e": "f"}},
  "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web-0", "uid": "u-2", "apiVersion": "v1",
    "fieldPath": "spec.containers{web}", "labels": {"app": "web"}},
  "reason": "BackOff", "message": "Back-off \"restarting\" <failed> container {{ }} é\n", "type": "Warning", "count": 3,
  "source": {"component": "kubelet", "host": "node-1"},
  "firstTimestamp": "2024-05-01T09:00:00Z", "lastTimestamp": "2024-05-01T10:00:00Z"
}"#;

fn event() -> Event {
    serde_json::from_str(EVENT).expect("the event is one")
}

/// Reads a configuration; one that can be run is asked where an event goes.
pub fn config_load(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let env = |name: &str| (name.len() > 3).then(|| name.to_lowercase());
    let found = Config::inspect(text, &env);
    for problem in found.errors.iter().chain(&found.warnings) {
        assert!(!problem.to_string().contains('\n'), "{problem:?}");
    }
    match (found.config, found.errors.is_empty()) {
        (None, true) => panic!("neither a configuration nor an error"),
        (Some(config), true) => {
            let receivers = config.receivers.iter();
            let names: Vec<&str> = receivers.map(|receiver| receiver.name.as_str()).collect();
            let route = Route::compile(&config.route, &names, &mut Vec::new());
            route.expect("it is checked").resolve(&event());
        }
        _ => {}
    }
}

/// Parses a template; one that is good is rendered.
pub fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let text = Located {
        value: text.to_owned(),
        ..Located::default()
    };
    if let Ok(template) = Template::parse(&text) {
        let _ = template.render(&event());
    }
}
