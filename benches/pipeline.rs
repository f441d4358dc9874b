//! What the steps cost that every event goes through: decode, route, document, bulk lines, layout; and being looked at.

use std::hint::black_box;
use std::sync::Arc;

use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main,
};
use kubernetes_event_exporter::event::{Document, DocumentOptions, Event};
use kubernetes_event_exporter::outlet::Fate;
use kubernetes_event_exporter::recent::{Recent, Went};
use kubernetes_event_exporter::route::{Hits, Route, RouteConfig};
use kubernetes_event_exporter::sink::opensearch::bulk::{Action, Operation};
use kubernetes_event_exporter::source::frames::{Frame, decode};
use kubernetes_event_exporter::template::Layout;
use kubernetes_event_exporter::yaml::{self, Value};

/// A real cluster's watch.
fn frames() -> Vec<&'static [u8]> {
    let text = include_str!("../tests/vectors/recorded/watch.jsonl");
    text.lines()
        .filter(|line| !line.contains("\"BOOKMARK\""))
        .map(str::as_bytes)
        .collect()
}

fn events() -> Vec<Arc<Event>> {
    let events = frames()
        .into_iter()
        .filter_map(|line| match decode::<Event>(line) {
            Frame::Applied(event) => Some(Arc::new(event)),
            _ => None,
        });
    events.collect()
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> T {
    match yaml::parse(text, &|_| None) {
        Ok(parsed) => parsed.value,
        Err(problem) => unreachable!("{problem}"),
    }
}

fn bench(criterion: &mut Criterion) {
    let (frames, events) = (frames(), events());
    let mut group = criterion.benchmark_group("per event");

    group.throughput(Throughput::Elements(frames.len() as u64));
    group.bench_function("decode a frame", |bencher| {
        bencher.iter(|| {
            for line in &frames {
                drop(black_box(decode::<Event>(line)));
            }
        });
    });

    group.throughput(Throughput::Elements(events.len() as u64));
    let rules: String = (0..100)
        .map(|at| format!("- match: [{{namespace: \"^team-{at}-\", reason: \"Failed|BackOff\", type: Warning, receiver: r}}]\n"))
        .collect();
    let config: RouteConfig = parse(&format!("routes:\n{rules}"));
    let Ok(route) = Route::compile(&config, &["r"], &mut Vec::new()) else {
        unreachable!()
    };
    group.bench_function("route by 100 rules", |bencher| {
        bencher.iter(|| {
            for event in &events {
                drop(black_box(route.resolve(event)));
            }
        });
    });

    bench_status(&mut group, &events);

    let mut body = Vec::with_capacity(1 << 20);
    group.bench_function("write a document", |bencher| {
        bencher.iter(|| {
            body.clear();
            for event in &events {
                let _ = Document {
                    event,
                    options: DocumentOptions::default(),
                }
                .append(&mut body);
            }
            black_box(body.len())
        });
    });

    group.bench_function("write a bulk operation and its document", |bencher| {
        bencher.iter_batched(
            || Vec::with_capacity(1 << 20),
            |mut body| {
                for event in &events {
                    let id = Some((
                        event.metadata.uid.as_str(),
                        event.metadata.resource_version.as_str(),
                    ));
                    let _ = Operation {
                        action: Action::Create { id },
                        index: "kube-events",
                    }
                    .append(&mut body);
                    body.push(b'\n');
                    let _ = Document {
                        event,
                        options: DocumentOptions::default(),
                    }
                    .append(&mut body);
                    body.push(b'\n');
                }
                body
            },
            BatchSize::LargeInput,
        );
    });

    bench_layout(
        &mut group,
        &events,
        "render a layout of 8 fields",
        "{a: \"{{ .Message }}\", b: \"{{ .Reason }}\", c: \"{{ .Type }}\", d: \"{{ .InvolvedObject.Kind }}/{{ .InvolvedObject.Name }}\",
          e: \"{{ .Namespace }}\", f: \"{{ .LastTimestamp }}\", g: \"{{ .Count }}\", h: \"{{ .Source.Component }}\"}",
    );
    bench_layout(
        &mut group,
        &events,
        "render a layout of 8 templates that call functions",
        r##"{a: '{{ .Message | trunc 200 | replace "\n" " " }}', b: '{{ if eq .Type "Warning" }}danger{{ else }}good{{ end }}',
          c: '{{ .InvolvedObject.Kind | lower }}/{{ .InvolvedObject.Name }}', d: '{{ toJson .InvolvedObject.Labels }}',
          e: '{{ index .InvolvedObject.Labels "app" | default "none" }}', f: '{{ .LastTimestamp.UTC.Format "2006-01-02T15:04:05Z" }}',
          g: '{{ printf "%s x%d" .Reason .Count }}', h: '{{ regexReplaceAll "[0-9a-f]{8,}" .Message "#" }}'}"##,
    );
    group.finish();
}

/// What the status page costs those who deliver.
fn bench_status(group: &mut BenchmarkGroup<'_, WallTime>, events: &[Arc<Event>]) {
    let config: RouteConfig = parse(
        "match: [{receiver: r}]\nroutes: [{match: [{type: Normal|Warning}, {kind: ., receiver: r}]}]",
    );
    let Ok(route) = Route::compile(&config, &["r"], &mut Vec::new()) else {
        unreachable!()
    };
    group.bench_function("route by 3 rules that match", |bencher| {
        bencher.iter(|| {
            for event in events {
                drop(black_box(route.resolve(event)));
            }
        });
    });
    let hits = Hits::none_of(&route);
    let resolved: Vec<_> = events.iter().map(|event| route.resolve(event)).collect();
    group.bench_function("count the 3 rules", |bencher| {
        bencher.iter(|| {
            for resolution in &resolved {
                hits.count(black_box(resolution));
            }
        });
    });
    let recent = Recent::default();
    group.bench_function("keep it among the last events", |bencher| {
        bencher.iter(|| {
            for event in events {
                let to = "opensearch".to_owned();
                let fate = Fate::Queued;
                recent.saw(Arc::clone(event), vec![Went { to, fate }], false);
            }
        });
    });
}

/// Renders one layout for every event.
fn bench_layout(
    group: &mut BenchmarkGroup<'_, WallTime>,
    events: &[Arc<Event>],
    name: &str,
    layout: &str,
) {
    let value: Value = parse(layout);
    let Ok(layout) = Layout::compile(&value) else {
        unreachable!()
    };
    let mut body = Vec::with_capacity(1 << 20);
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            body.clear();
            for event in events {
                drop(black_box(layout.append(event, false, &mut body)));
            }
        });
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
