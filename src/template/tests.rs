use serde::Deserialize;

use super::*;
use crate::event::testing::recorded;
use crate::yaml;

mod bounds;

fn located(text: &str) -> Located<String> {
    Located {
        value: text.to_owned(),
        path: "layout.text".to_owned(),
        position: Position { line: 3, column: 9 },
        written: None,
    }
}

#[derive(Deserialize)]
struct Rows<T> {
    rows: Vec<T>,
}

fn rows<T: serde::de::DeserializeOwned>(file: &str) -> Vec<T> {
    let file: String = file.lines().map(without_variables).collect();
    yaml::parse::<Rows<T>>(&format!("rows:\n{file}"), &|_| None)
        .unwrap()
        .value
        .rows
}

/// A line in which nothing is a variable of the environment: `$` outside of actions is doubled.
fn without_variables(line: &str) -> String {
    let (mut line, mut escaped) = (line, String::new());
    while let Some((before, action)) = line.split_once("{{") {
        escaped.push_str(&before.replace('$', "$$"));
        let end = action.find("}}").map_or(action.len(), |end| end + 2);
        escaped.push_str("{{");
        escaped.push_str(&action[..end]);
        line = &action[end..];
    }
    escaped + &line.replace('$', "$$") + "\n"
}

#[derive(Deserialize)]
struct Row {
    template: String,
    event: Option<String>,
    output: Option<String>,
    when: Option<String>,
}

/// What comes of a row: the output, or when it fails.
fn outcome(template: &str, event: &Event) -> Result<String, &'static str> {
    let template = Template::parse(&located(template)).map_err(|_| "load")?;
    template.render(event).map_err(|_| "event")
}

#[test]
fn templates_render_as_the_incumbents_do() {
    let events = recorded();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for (file, text) in [
        (
            "templates.yaml",
            include_str!("../../tests/vectors/templates.yaml"),
        ),
        (
            "templates-more.yaml",
            include_str!("../../tests/vectors/templates-more.yaml"),
        ),
        (
            "functions.yaml",
            include_str!("../../tests/vectors/functions.yaml"),
        ),
    ] {
        for row in rows::<Row>(text) {
            checked += 1;
            let event = &events[row.event.as_deref().unwrap_or("full")];
            let expected = match &row.output {
                Some(output) => Ok(output.clone()),
                None => Err(row.when.as_deref().unwrap_or("event")),
            };
            let found = outcome(&row.template, event);
            if found.as_deref().map_err(|when| *when) != expected.as_deref().map_err(|when| *when) {
                wrong.push(format!(
                    "{file}: {}\n  expected {expected:?}\n  found    {found:?}",
                    row.template
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {checked}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(checked > 3500, "{checked}");
}

#[test]
fn whether_a_template_reads_the_object_is_told_without_an_event() {
    for (template, reads) in [
        ("plain", false),
        ("{{ .Message }} {{ .Labels.a }} {{ .Annotations }}", false),
        (
            "{{ .InvolvedObject.Kind }}/{{ .InvolvedObject.Name | upper }}",
            false,
        ),
        ("{{ with .Source.Host }}node {{ . }}{{ end }}", false),
        ("{{ with .InvolvedObject }}{{ .Name }}{{ end }}", false),
        ("{{ $o := .InvolvedObject }}{{ $o.Name }}", false),
        (
            "{{ define \"t\" }}{{ .Name }}{{ end }}{{ template \"t\" .InvolvedObject }}",
            false,
        ),
        (
            "{{ range $k, $v := .Labels }}{{ $k }}{{ . }}{{ end }}",
            false,
        ),
        ("{{ .InvolvedObject.Labels.app }}", true),
        ("{{ if .InvolvedObject.Deleted }}gone{{ end }}", true),
        ("{{ index .InvolvedObject.Annotations \"a\" }}", true),
        (
            "{{ range .InvolvedObject.OwnerReferences }}{{ .Kind }}{{ end }}",
            true,
        ),
        ("{{ toJson . }}", true),
        ("{{ . | toJson }}", true),
        ("{{ toJson .InvolvedObject }}", true),
        ("{{ toJson $ }}", true),
        ("{{ printf \"%s\" .ToJSON }}", true),
        ("{{ with .InvolvedObject }}{{ .Labels.app }}{{ end }}", true),
        (
            "{{ range .Finalizers }}{{ $.InvolvedObject.Labels }}{{ end }}",
            true,
        ),
        ("{{ $o := .InvolvedObject }}{{ $o.Labels.app }}", true),
        (
            "{{ $o := 1 }}{{ $o = .InvolvedObject }}{{ $o.Labels.app }}",
            true,
        ),
        ("{{ .DeDot.InvolvedObject.Labels.app }}", true),
        ("{{ (.InvolvedObject).Labels.app }}", true),
        (
            "{{ define \"t\" }}{{ .Labels }}{{ end }}{{ template \"t\" .InvolvedObject }}",
            true,
        ),
    ] {
        let parsed = Template::parse(&located(template)).unwrap();
        assert_eq!(parsed.reads_object(), reads, "{template}");
    }
}

#[test]
fn a_variable_of_the_environment_brings_no_actions() {
    let mut text = located("Bearer pa{{ s3cret }}");
    text.written = Some("Bearer ${TOKEN}".to_owned());
    let problem = Template::parse(&text).unwrap_err().to_string();
    assert!(
        problem.contains("holds `{{`") && !problem.contains("s3cret"),
        "{problem}"
    );
    text.written = Some("{{ .Reason }} ${X}".to_owned());
    text.value = "{{ .Reason }} x".to_owned();
    assert!(Template::parse(&text).is_ok());
}

#[test]
fn an_error_has_a_place() {
    let problem = Template::parse(&located("ok {{ .Reason | nofunc }}")).unwrap_err();
    assert_eq!(
        problem.to_string(),
        "3:25: layout.text: template: there is no function `nofunc`"
    );
    let problem = Template::parse(&located("{{ env \"HOME\" }}")).unwrap_err();
    assert!(
        problem.message.contains("reads the environment"),
        "{problem}"
    );
    let template = Template::parse(&located("{{ .Type }} {{ .Nope }}")).unwrap();
    assert_eq!(
        template.render(&Event::default()).unwrap_err().to_string(),
        "a template fails on this event: 3:24: layout.text: there is no field `Nope` in a *kube.EnhancedEvent"
    );
}

#[test]
fn what_no_event_can_mend_is_told_before_there_is_one() {
    for (template, told) in [
        ("{{ .Mesage }}", Some("there is no field `Mesage`")),
        (
            "{{ .InvolvedObject.Nmae }}",
            Some("there is no field `Nmae`"),
        ),
        (
            "{{ range .InvolvedObject.OwnerReferences }}{{ .Uid }}{{ end }}",
            Some("no field `Uid`"),
        ),
        (
            "{{ with .Series }}{{ .Cuont }}{{ end }}",
            Some("no field `Cuont`"),
        ),
        (
            "{{ if not .Series }}{{ .Nope }}{{ end }}",
            Some("no field `Nope`"),
        ),
        ("{{ lower }}", Some("`lower` takes 1 arguments, not 0")),
        ("{{ upper 5 }}", Some("expected string, found a number")),
        ("{{ template \"t\" }}", Some("there is no template `t`")),
        ("{{ .GetName \"x\" }}", Some("`GetName` takes no arguments")),
        // Too much, whatever the event.
        ("{{ range until 1000000000 }}{{ end }}", Some("too long")),
        ("{{ repeat 2000000000 \"x\" }}", Some("too long")),
        (
            "{{ define \"t\" }}{{ template \"t\" }}{{ end }}{{ template \"t\" }}",
            Some("too deeply"),
        ),
        // Types that never go together.
        (
            "{{ if eq .Count \"3\" }}{{ end }}",
            Some("can't be compared"),
        ),
        ("{{ if gt .Count 3.0 }}{{ end }}", Some("can't be compared")),
        (
            "{{ .LastTimestamp.IsDST }}",
            Some("there is no field `IsDST`"),
        ),
        ("{{ eq (fromJson .Message).code 3.0 }}", None),
        // A misspelt field, and what is likely meant.
        (
            "{{ .Mesage }}",
            Some("there is no field `Mesage` in a *kube.EnhancedEvent; did you mean `Message`?"),
        ),
        (
            "{{ .involvedObject.Name }}",
            Some("did you mean `InvolvedObject`?"),
        ),
        ("{{ .message }}", Some("did you mean `Message`?")),
        ("{{ .InvolvedObject.Nmae }}", Some("did you mean `Name`?")),
        ("{{ .Source.hots }}", Some("did you mean `Host`?")),
        // Some event may have it.
        ("{{ .InvolvedObject.Labels.team | upper }}", None),
        ("{{ (fromJson .Message).error }}", None),
        ("{{ .Series.Count }}", None),
        ("{{ fail \"no\" }}", None),
        ("{{ .Related.Name }}{{ .DeletionTimestamp }}", None),
    ] {
        let problem = Template::parse(&located(template)).unwrap().lint();
        match (problem, told) {
            (None, None) => {}
            (Some(problem), Some(told)) if problem.message.contains(told) => {}
            (problem, told) => panic!("{template}: {problem:?}, not {told:?}"),
        }
    }
    let sample: Event = serde_json::from_str(SAMPLE).unwrap();
    assert!(sample.series.is_some() && sample.involved_object.owner_references.len() == 1);
}

#[test]
fn layouts_are_written_as_the_incumbent_writes_them() {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct LayoutRow {
        layout: yaml::Value,
        event: Option<String>,
        #[serde(default)]
        de_dot: bool,
        output: Option<String>,
        kept: Option<yaml::Value>,
        when: Option<String>,
    }
    let events = recorded();
    let layouts = rows::<LayoutRow>(include_str!("../../tests/vectors/layouts.yaml"));
    assert!(layouts.len() > 30, "{}", layouts.len());
    for row in layouts {
        let event = &events[row.event.as_deref().unwrap_or("full")];
        let mut line = Vec::new();
        let outcome = match Layout::compile(&row.layout) {
            Err(_) => Err("load"),
            Ok(layout) => layout
                .append(event, row.de_dot, &mut line)
                .map_err(|_| "event"),
        };
        let expected = match &row.when {
            Some(when) => Err(when.as_str()),
            None => Ok(()),
        };
        assert_eq!(outcome, expected, "{:?}", row.layout);
        let written = String::from_utf8(line).unwrap();
        match (&row.kept, &row.output) {
            // Numbers, truths and nothing are what ours keeps; compared as values, and everything else to the byte.
            (Some(kept), _) => {
                let written: serde_json::Value = serde_json::from_str(&written).unwrap();
                assert_eq!(written, json(kept), "{:?}", row.layout);
            }
            (None, Some(output)) => assert_eq!(&written, output),
            (None, None) => {}
        }
    }
}

fn json(value: &yaml::Value) -> serde_json::Value {
    match value {
        yaml::Value::Null => serde_json::Value::Null,
        yaml::Value::Bool(value) => (*value).into(),
        yaml::Value::Int(value) => (*value).into(),
        yaml::Value::UInt(value) => (*value).into(),
        yaml::Value::Float(value) => (*value).into(),
        yaml::Value::String(text) => text.value.clone().into(),
        yaml::Value::List(values) => values.iter().map(json).collect(),
        yaml::Value::Map(entries) => entries
            .iter()
            .map(|(key, value)| (key.clone(), json(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

#[test]
fn numbers_of_a_layout_are_written_as_go_writes_them() {
    let layout = "[1.0, 1e3, 1e15, 1e20, 0.000001, 0.0000001, -2.5, 1e21, 12345678901, true, null]";
    let value: crate::yaml::Parsed<std::collections::BTreeMap<String, crate::yaml::Value>> =
        crate::yaml::parse(&format!("layout: {layout}"), &|_| None).unwrap();
    let mut line = Vec::new();
    let compiled = Layout::compile(&value.value["layout"]).unwrap();
    compiled
        .append(&Event::default(), false, &mut line)
        .unwrap();
    assert_eq!(
        String::from_utf8(line).unwrap(),
        "[1,1000,1000000000000000,100000000000000000000,0.000001,1e-7,-2.5,1e+21,12345678901,true,null]"
    );
}
