//! What the chart refuses, before anything changes.

use super::{WORKSHOP_SETS, template, with_receiver};
use crate::support::text;

fn is_refused(values: &str, sets: &[&str], told: &str) {
    let output = template("x", values, sets);
    let said = text(&output.stderr);
    assert!(!output.status.success(), "{values}");
    assert!(said.contains(told), "{values}: {said}");
}

#[test]
fn what_cannot_run_is_refused_with_a_sentence() {
    for (values, sets, told) in [
        // The workshop's --set without its values file.
        (
            "",
            &WORKSHOP_SETS[..],
            "config.receivers[0] has no name: a rule delivers to a receiver by its name. If its other keys came by --set, give the rest of config in a values file",
        ),
        (
            "config: {receivers: [{name: a, stdout: {}}], route: {routes: [{match: [{receiver: b}]}]}}",
            &[],
            "config.route.routes[0].match[0].receiver: there is no receiver \"b\" among config.receivers, which are: a",
        ),
        (
            "config: {receivers: [{name: a, stdout: {}}, {name: a, stdout: {}}], route: {match: [{receiver: a}]}}",
            &[],
            "config.receivers[1]: another receiver is named \"a\" as well",
        ),
        (
            "config: {receivers: [{name: a, stdout: {}}]}",
            &[],
            "config.route is missing",
        ),
        (
            "config: {route: {match: [{receiver: a}]}}",
            &[],
            "config.route is given, and there is nobody to route to",
        ),
        (
            "config: {namespaces: [a], receivers: [{name: a, stdout: {}}], route: {match: [{namespaceLabels: {team: b}, receiver: a}]}}",
            &[],
            "config.route: rules with namespaceLabels need the right to list and watch the namespaces of the whole cluster",
        ),
        ("config: \"a: [\"", &[], "config: the text is no YAML"),
        (
            "replicaCount: 2\nconfig: {leaderElection: {enabled: false}}",
            &[],
            "replicaCount: without leader election each replica delivers every event",
        ),
        (
            "replicaCount: 2\nconfig: {checkpoint: {file: /x}}",
            &[],
            "config.checkpoint: with leader election",
        ),
        (
            "metrics: {enabled: true, serviceMonitor: {enabled: true}, podMonitor: {enabled: true}}",
            &[],
            "every metric would be there twice",
        ),
        (
            "metrics: {serviceMonitor: {enabled: true}}",
            &[],
            "a ServiceMonitor needs the Service",
        ),
        (
            "config: {receivers: [{name: a, opensearch: {index: x}, existingSecret: {usernameKey: u}}], route: {match: [{receiver: a}]}}",
            &[],
            "config.receivers[0].existingSecret has no name",
        ),
        (
            &with_receiver("opensearch: {index: x}, existingSecret: {name: s, userKey: u}"),
            &[],
            "config.receivers[0].existingSecret.userKey: a receiver of type opensearch has no such key: known are name, usernameKey",
        ),
        (
            &with_receiver("opensearch: {index: x}, existingSecret: s"),
            &[],
            "config.receivers[0].existingSecret is no mapping",
        ),
        (
            &with_receiver("opensearch: {index: x, password: s3cret, passwordFile: /x}"),
            &[],
            "config.receivers[0].opensearch.password: give either this or passwordFile",
        ),
        (
            &with_receiver("webhook: {endpoint: \"https://admin:s3cret@${HOST}/x\"}"),
            &[],
            "config.receivers[0].webhook.endpoint: has a password beside a variable",
        ),
        (
            "config: {receivers: {a: {stdout: {}}}, route: {match: [{receiver: a}]}}",
            &[],
            "config.receivers is no list",
        ),
        (
            "existingConfigMap: a\nconfig: {logLevel: info}",
            &[],
            "existingConfigMap and config are given",
        ),
        (
            "config: {namespaces: [\"${POD_NAMESPACE}\"]}",
            &[],
            "config.namespaces: ${POD_NAMESPACE} can't be known here",
        ),
    ] {
        is_refused(values, sets, told);
    }
}

#[test]
fn what_no_value_can_be_is_refused_by_the_schema() {
    for (values, sets, told) in [
        (
            "replicaCuont: 2",
            &[],
            "additional properties 'replicaCuont' not allowed",
        ),
        (
            "image: {tagg: x}",
            &[],
            "additional properties 'tagg' not allowed",
        ),
        ("replicaCount: two", &[], "got string, want integer"),
        ("image: null", &[], "missing property 'image'"),
        (
            "config: {kubeBurst: \"60\"}",
            &[],
            "at '/config/kubeBurst': '60' does not match",
        ),
        (
            &with_receiver("stdout: {format: table}"),
            &[],
            "at '/config/receivers/0/stdout/format': value must be 'json'",
        ),
    ] as [(&str, &[&str], &str); 6]
    {
        is_refused(values, sets, told);
    }
}
