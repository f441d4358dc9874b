//! `dashboards.yaml`, and the saved objects that are made of it: what OpenSearch Dashboards writes when the same panels are
//! clicked together.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::template::{Field, fields};

/// The id of the index pattern, and what the others begin with.
pub const ID: &str = "kubernetes-events";
const TIME: &str = "@timestamp";
/// How many columns a dashboard has.
const WIDTH: u64 = 48;
const CONTROLS: &str = "Narrow to";
const CONTROLS_SIZE: [u64; 2] = [WIDTH, 7];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    names: BTreeMap<String, String>,
    controls: Vec<String>,
    columns: Vec<String>,
    dashboards: Vec<Dashboard>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dashboard {
    id: String,
    title: String,
    description: String,
    panels: Vec<Panel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Panel {
    id: String,
    title: String,
    draw: Draw,
    size: [u64; 2],
    #[serde(default)]
    by: Vec<String>,
    distinct: Option<String>,
    #[serde(default, rename = "where")]
    only: Phrases,
    #[serde(default)]
    unless: Phrases,
}

/// Fields and the values that they may have.
type Phrases = BTreeMap<String, Vec<String>>;

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Draw {
    Number,
    Time,
    Bars,
    Table,
    List,
}

/// What makes saved objects, with what it has to know of the index template.
struct Maker<'a> {
    source: &'a Source,
    fields: BTreeMap<String, Field>,
}

// === impl Source ===

impl Source {
    /// All saved objects, a line each.
    pub fn ndjson(&self, template: &Value) -> String {
        let maker = Maker {
            source: self,
            fields: fields(&template["template"]["mappings"]["properties"]),
        };
        let mut objects = vec![maker.index_pattern(template), maker.controls()];
        for dashboard in &self.dashboards {
            let panels = dashboard.panels.iter();
            objects.extend(panels.map(|panel| maker.panel(dashboard, panel)));
            objects.push(dashboard.object());
        }
        objects.iter().map(|object| format!("{object}\n")).collect()
    }
}

// === impl Maker ===

impl Maker<'_> {
    fn index_pattern(&self, template: &Value) -> Value {
        let patterns = template["index_patterns"].as_array().unwrap().iter();
        let title: Vec<&str> = patterns.filter_map(Value::as_str).collect();
        let mut fields: Vec<Value> = self
            .fields
            .iter()
            .map(|(name, field)| field.cached(name))
            .collect();
        for (name, kind) in [
            ("_id", "string"),
            ("_index", "string"),
            ("_score", "number"),
            ("_source", "_source"),
        ] {
            let found = kind == "string";
            fields.push(json!({
                "name": name, "type": kind, "esTypes": [name], "count": 0, "scripted": false,
                "searchable": found, "aggregatable": found, "readFromDocValues": false
            }));
        }
        let attributes = json!({
            "title": title.join(","), "timeFieldName": TIME, "fields": Value::from(fields).to_string()
        });
        saved("index-pattern", ID, &attributes, &[])
    }

    fn controls(&self) -> Value {
        let mut references = Vec::new();
        let mut controls = Vec::new();
        for (at, field) in self.source.controls.iter().enumerate() {
            let reference = format!("control_{at}_index_pattern");
            controls.push(json!({
                "id": field, "fieldName": self.field(field), "label": self.name(field), "parent": "", "type": "list",
                "options": {"type": "terms", "multiselect": true, "dynamicOptions": true, "size": 100, "order": "desc"},
                "indexPatternRefName": reference
            }));
            references.push(reference_to(&reference, "index-pattern", ID));
        }
        let state = json!({
            "title": format!("Kubernetes events / {CONTROLS}"), "type": "input_control_vis", "aggs": [],
            "params": {"controls": controls, "updateFiltersOnChange": true, "useTimeFilter": true, "pinFilters": false}
        });
        visualization(&format!("{ID}-controls"), &state, &json!({}), &references)
    }

    fn panel(&self, dashboard: &Dashboard, panel: &Panel) -> Value {
        let (filters, references) = self.filters(panel);
        let mut search = json!({
            "query": {"query": "", "language": "kuery"}, "filter": filters,
            "indexRefName": "kibanaSavedObjectMeta.searchSourceJSON.index"
        });
        let id = dashboard.panel_id(panel);
        // As it is called among the panels of others.
        let title = format!("{} / {}", dashboard.title, panel.title);
        if panel.draw == Draw::List {
            search["highlightAll"] = true.into();
            search["version"] = true.into();
            let attributes = json!({
                "title": title, "description": "", "hits": 0, "version": 1,
                "columns": self.source.columns, "sort": [[TIME, "desc"]],
                "kibanaSavedObjectMeta": {"searchSourceJSON": search.to_string()}
            });
            return saved("search", &id, &attributes, &references);
        }
        let (kind, params) = drawing(panel.draw);
        let aggregations = self.aggregations(panel);
        let state = json!({"title": title, "type": kind, "params": params, "aggs": aggregations});
        visualization(&id, &state, &search, &references)
    }

    fn filters(&self, panel: &Panel) -> (Vec<Value>, Vec<Value>) {
        let index = "kibanaSavedObjectMeta.searchSourceJSON.index";
        let mut references = vec![reference_to(index, "index-pattern", ID)];
        let only = panel.only.iter().map(|phrases| (phrases, false));
        let unless = panel.unless.iter().map(|phrases| (phrases, true));
        let mut filters = Vec::new();
        for (at, ((field, values), negate)) in only.chain(unless).enumerate() {
            let field = self.field(field);
            let reference =
                format!("kibanaSavedObjectMeta.searchSourceJSON.filter[{at}].meta.index");
            let phrases: Vec<Value> = values
                .iter()
                .map(|value| json!({"match_phrase": {&field: value}}))
                .collect();
            filters.push(json!({
                "meta": {
                    "type": "phrases", "key": field, "params": values, "value": values.join(", "), "alias": null,
                    "disabled": false, "negate": negate, "indexRefName": reference
                },
                "query": {"bool": {"should": phrases, "minimum_should_match": 1}},
                "$state": {"store": "appState"}
            }));
            references.push(reference_to(&reference, "index-pattern", ID));
        }
        (filters, references)
    }

    fn aggregations(&self, panel: &Panel) -> Vec<Value> {
        let metric = match &panel.distinct {
            Some(field) => (
                "cardinality",
                json!({"field": self.field(field), "customLabel": self.name(field)}),
            ),
            None => ("count", json!({"customLabel": "events"})),
        };
        let mut metrics = vec![metric];
        let mut buckets = Vec::new();
        if panel.draw == Draw::Table {
            metrics.push(("max", json!({"field": TIME, "customLabel": "last seen"})));
            let message = json!({
                "field": "message", "aggregate": "concat", "size": 1, "sortField": TIME, "sortOrder": "desc",
                "customLabel": "last message"
            });
            metrics.push(("top_hits", message));
        }
        if panel.draw == Draw::Time {
            let time = json!({
                "field": TIME, "interval": "auto", "min_doc_count": 1, "drop_partials": false, "extended_bounds": {},
                "useNormalizedOpenSearchInterval": true, "customLabel": ""
            });
            buckets.push(("date_histogram", time));
        }
        for field in &panel.by {
            let terms = json!({
                "field": self.field(field), "customLabel": self.name(field), "size": 20, "order": "desc", "orderBy": "1",
                "otherBucket": false, "otherBucketLabel": "other", "missingBucket": false, "missingBucketLabel": "none"
            });
            buckets.push(("terms", terms));
        }
        // A table's columns, or a chart's axis and what its bars are stacked of.
        let schemas = if panel.draw == Draw::Table {
            ["bucket"; 3]
        } else {
            ["segment", "group", "split"]
        };
        let metrics = metrics.into_iter().map(|metric| (metric, "metric"));
        let all = metrics.chain(buckets.into_iter().zip(schemas));
        all.zip(1..)
            .map(|(((kind, params), schema), id)| {
                json!({"id": format!("{id}"), "enabled": true, "type": kind, "schema": schema, "params": params})
            })
            .collect()
    }

    /// The field as panels use it.
    fn field(&self, name: &str) -> String {
        let field = self.fields.get(name);
        let field = field.unwrap_or_else(|| panic!("{name} is not in the index template"));
        if field.kind == "keyword" {
            format!("{name}.keyword")
        } else {
            name.to_owned()
        }
    }

    fn name<'a>(&'a self, field: &'a str) -> &'a str {
        self.source.names.get(field).map_or(field, String::as_str)
    }
}

// === impl Dashboard ===

impl Dashboard {
    fn panel_id(&self, panel: &Panel) -> String {
        format!("{ID}-{}-{}", self.id, panel.id)
    }

    /// The dashboard, its panels in rows from the left to the right.
    fn object(&self) -> Value {
        let controls = (
            format!("{ID}-controls"),
            CONTROLS,
            "visualization",
            CONTROLS_SIZE,
        );
        let panels = self.panels.iter().map(|panel| {
            let kind = if panel.draw == Draw::List {
                "search"
            } else {
                "visualization"
            };
            (self.panel_id(panel), panel.title.as_str(), kind, panel.size)
        });
        let (mut placed, mut references) = (Vec::new(), Vec::new());
        let (mut x, mut y, mut row) = (0, 0, 0);
        for (at, one) in std::iter::once(controls).chain(panels).enumerate() {
            let (id, title, kind, [width, height]) = one;
            if x + width > WIDTH {
                (x, y) = (0, y + row);
            }
            let (index, reference) = (at.to_string(), format!("panel_{at}"));
            placed.push(json!({
                "panelIndex": index, "gridData": {"x": x, "y": y, "w": width, "h": height, "i": index},
                "title": title, "embeddableConfig": {}, "version": "2.9.0", "panelRefName": reference
            }));
            references.push(reference_to(&reference, kind, &id));
            (x, row) = (x + width, height);
        }
        let search = json!({"query": {"query": "", "language": "kuery"}, "filter": []});
        let attributes = json!({
            "title": self.title, "description": self.description, "hits": 0, "version": 1,
            "panelsJSON": Value::from(placed).to_string(),
            "optionsJSON": json!({"hidePanelTitles": false, "useMargins": true}).to_string(),
            "timeRestore": true, "timeFrom": "now-24h", "timeTo": "now", "refreshInterval": {"pause": true, "value": 0},
            "kibanaSavedObjectMeta": {"searchSourceJSON": search.to_string()}
        });
        saved(
            "dashboard",
            &format!("{ID}-{}", self.id),
            &attributes,
            &references,
        )
    }
}

/// The versions of their formats, which every OpenSearch Dashboards reads.
fn saved(kind: &str, id: &str, attributes: &Value, references: &[Value]) -> Value {
    let version = match kind {
        "index-pattern" => "7.6.0",
        "visualization" => "7.10.0",
        _ => "7.9.3",
    };
    json!({
        "type": kind, "id": id, "attributes": attributes, "references": references, "migrationVersion": {kind: version}
    })
}

fn reference_to(name: &str, kind: &str, id: &str) -> Value {
    json!({"name": name, "type": kind, "id": id})
}

fn visualization(id: &str, state: &Value, search: &Value, references: &[Value]) -> Value {
    let colors = json!({"vis": {"colors": {"Normal": "#54B399", "Warning": "#E7664C"}}});
    let attributes = json!({
        "title": state["title"], "description": "", "version": 1, "visState": state.to_string(),
        "uiStateJSON": colors.to_string(), "kibanaSavedObjectMeta": {"searchSourceJSON": search.to_string()}
    });
    saved("visualization", id, &attributes, references)
}

/// The type of visualization, and how it looks.
fn drawing(draw: Draw) -> (&'static str, Value) {
    let chart = |kind: &str, category: &str, value: &str| {
        json!({
            "type": kind, "addTooltip": true, "addLegend": true, "legendPosition": "right", "times": [], "addTimeMarker": false,
            "grid": {"categoryLines": false}, "labels": {"show": false},
            "categoryAxes": [{
                "id": "CategoryAxis-1", "type": "category", "position": category, "show": true, "style": {}, "title": {},
                "scale": {"type": "linear"}, "labels": {"show": true, "filter": true, "truncate": 100}
            }],
            "valueAxes": [{
                "id": "ValueAxis-1", "name": "LeftAxis-1", "type": "value", "position": value, "show": true, "style": {},
                "scale": {"type": "linear", "mode": "normal"}, "labels": {"show": true, "rotate": 0, "filter": true, "truncate": 100},
                "title": {"text": "events"}
            }],
            "seriesParams": [{
                "show": true, "type": "histogram", "mode": "stacked", "data": {"id": "1", "label": "events"},
                "valueAxis": "ValueAxis-1", "drawLinesBetweenPoints": true, "showCircles": true, "lineWidth": 2
            }],
            "thresholdLine": {"show": false, "value": 10, "width": 1, "style": "full", "color": "#E7664C"}
        })
    };
    match draw {
        Draw::Number => (
            "metric",
            json!({
                "type": "metric", "addTooltip": true, "addLegend": false,
                "metric": {
                    "percentageMode": false, "useRanges": false, "colorSchema": "Green to Red", "metricColorMode": "None",
                    "colorsRange": [{"from": 0, "to": 10000}], "labels": {"show": true}, "invertColors": false,
                    "style": {"bgFill": "#000", "bgColor": false, "labelColor": false, "subText": "", "fontSize": 36}
                }
            }),
        ),
        Draw::Time => ("histogram", chart("histogram", "bottom", "left")),
        Draw::Bars => ("horizontal_bar", chart("histogram", "left", "bottom")),
        Draw::Table | Draw::List => (
            "table",
            json!({
                "perPage": 10, "showPartialRows": false, "showMetricsAtAllLevels": false, "showTotal": false,
                "totalFunc": "sum", "percentageCol": ""
            }),
        ),
    }
}
