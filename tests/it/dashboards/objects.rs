//! The saved objects of `deploy/opensearch/dashboards.ndjson`, made of `panels.yaml`.

use serde::Deserialize;
use serde_json::{Value, json};

/// The index pattern of all panels.
const PATTERN: &str = "kubernetes-events";
const TIME: &str = "@timestamp";
/// What `kubectl get events` shows, and where it is.
const COLUMNS: [&str; 7] = [
    "type",
    "reason",
    "metadata.namespace",
    "involvedObject.kind",
    "involvedObject.name",
    "message",
    "count",
];
/// Columns of a dashboard's grid.
const WIDTH: u32 = 48;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dashboard {
    id: String,
    title: String,
    panels: Vec<Panel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Panel {
    title: String,
    kind: Kind,
    #[serde(default)]
    query: String,
    #[serde(default)]
    by: Vec<String>,
    distinct: Option<String>,
    /// Width and height.
    size: (u32, u32),
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Metric,
    Histogram,
    Bars,
    Table,
    Search,
}

/// The whole file: the index pattern, with the fields of this template, then each dashboard behind its panels.
pub fn file(panels: &str, template: &Value) -> String {
    let dashboards: Vec<Dashboard> = serde_saphyr::from_str(panels).unwrap();
    let mut objects = vec![pattern(template)];
    for dashboard in &dashboards {
        objects.extend(dashboard.panels.iter().map(|panel| panel.object(dashboard)));
        objects.push(dashboard.object());
    }
    objects.iter().map(|object| format!("{object}\n")).collect()
}

/// Every field of a mapping with its definition; a field's other forms behind it.
pub fn fields(mapping: &Value, prefix: &str, found: &mut Vec<(String, Value)>) {
    for (name, definition) in mapping.as_object().unwrap() {
        let path = format!("{prefix}{name}");
        if definition["properties"].is_object() {
            fields(&definition["properties"], &format!("{path}."), found);
            continue;
        }
        found.push((path.clone(), definition.clone()));
        if definition["fields"].is_object() {
            fields(&definition["fields"], &format!("{path}."), found);
        }
    }
}

/// Dashboards' own name of a type.
fn shown_type(mapped: &str) -> &str {
    match mapped {
        "keyword" | "text" => "string",
        "date" | "date_nanos" => "date",
        "long" => "number",
        "boolean" => "boolean",
        _ => "unknown",
    }
}

fn pattern(template: &Value) -> Value {
    let mut found = Vec::new();
    let mapping = &template["template"]["mappings"]["properties"];
    fields(mapping, "", &mut found);
    found.retain(|(_, definition)| definition["enabled"] != false);
    let fields: Vec<Value> = found
        .iter()
        .map(|(name, definition)| {
            let mapped = definition["type"].as_str().unwrap();
            let values = !matches!(mapped, "text" | "flat_object");
            let mut field = json!({
                "name": name, "type": shown_type(mapped), "esTypes": [mapped], "count": 0, "scripted": false,
                "searchable": true, "aggregatable": values, "readFromDocValues": values
            });
            if let Some(parent) = name.strip_suffix(".keyword") {
                field["subType"] = json!({"multi": {"parent": parent}});
            }
            field
        })
        .collect();
    json!({
        "id": PATTERN, "type": "index-pattern",
        "attributes": {
            "title": template["index_patterns"][0], "timeFieldName": TIME,
            "fields": Value::from(fields).to_string()
        },
        "references": [], "migrationVersion": {"index-pattern": "7.6.0"}
    })
}

// === impl Dashboard ===

impl Dashboard {
    fn object(&self) -> Value {
        let (mut panels, mut references) = (Vec::new(), Vec::new());
        let (mut x, mut y) = (0, 0);
        for (at, panel) in self.panels.iter().enumerate() {
            let (width, height) = panel.size;
            let (index, reference) = ((at + 1).to_string(), format!("panel_{at}"));
            panels.push(json!({
                "version": "2.9.0", "panelIndex": index, "panelRefName": reference, "embeddableConfig": {},
                "gridData": {"x": x, "y": y, "w": width, "h": height, "i": index}
            }));
            references
                .push(json!({"name": reference, "type": panel.saved_as(), "id": panel.id(self)}));
            x += width;
            if x >= WIDTH {
                (x, y) = (0, y + height);
            }
        }
        json!({
            "id": self.id, "type": "dashboard",
            "attributes": {
                "title": self.title, "description": "", "hits": 0, "version": 1,
                "panelsJSON": Value::from(panels).to_string(),
                "optionsJSON": json!({"useMargins": true, "hidePanelTitles": false}).to_string(),
                "timeRestore": true, "timeFrom": "now-24h", "timeTo": "now",
                "kibanaSavedObjectMeta": {
                    "searchSourceJSON": json!({"query": {"language": "kuery", "query": ""}, "filter": []}).to_string()
                }
            },
            "references": references, "migrationVersion": {"dashboard": "7.9.3"}
        })
    }
}

// === impl Panel ===

impl Panel {
    fn id(&self, dashboard: &Dashboard) -> String {
        let title = self.title.to_lowercase().replace(' ', "-");
        format!("{}-{title}", dashboard.id)
    }

    fn saved_as(&self) -> &'static str {
        match self.kind {
            Kind::Search => "search",
            _ => "visualization",
        }
    }

    fn object(&self, dashboard: &Dashboard) -> Value {
        let index = "kibanaSavedObjectMeta.searchSourceJSON.index";
        let source = json!({
            "query": {"language": "lucene", "query": self.query}, "filter": [], "indexRefName": index
        });
        let mut attributes = json!({
            // The list of all visualizations has the dashboard beside the title.
            "title": format!("{} [{}]", self.title, dashboard.title), "description": "", "version": 1,
            "kibanaSavedObjectMeta": {"searchSourceJSON": source.to_string()}
        });
        let saved_as = self.saved_as();
        if self.kind == Kind::Search {
            attributes["hits"] = 0.into();
            attributes["columns"] = json!(COLUMNS);
            attributes["sort"] = json!([[TIME, "desc"]]);
        } else {
            let state = json!({
                "title": attributes["title"], "type": self.form(), "aggs": self.aggregations(), "params": self.appearance()
            });
            attributes["visState"] = state.to_string().into();
            attributes["uiStateJSON"] = "{}".into();
        }
        let version = if self.kind == Kind::Search {
            "7.9.3"
        } else {
            "7.10.0"
        };
        json!({
            "id": self.id(dashboard), "type": saved_as, "attributes": attributes,
            "references": [{"name": index, "type": "index-pattern", "id": PATTERN}],
            "migrationVersion": {saved_as: version}
        })
    }

    /// Dashboards' name of the kind.
    fn form(&self) -> &'static str {
        match self.kind {
            Kind::Metric => "metric",
            Kind::Histogram => "histogram",
            Kind::Bars => "horizontal_bar",
            Kind::Table => "table",
            Kind::Search => "search",
        }
    }

    fn aggregations(&self) -> Vec<Value> {
        let mut made: Vec<Value> = Vec::new();
        let mut add = |kind: &str, schema: &str, params: Value| {
            let id = (made.len() + 1).to_string();
            made.push(json!({"id": id, "enabled": true, "type": kind, "schema": schema, "params": params}));
        };
        match &self.distinct {
            Some(field) => add(
                "cardinality",
                "metric",
                json!({"field": field, "customLabel": self.title}),
            ),
            None => add("count", "metric", json!({"customLabel": "Events"})),
        }
        if self.kind == Kind::Table {
            add(
                "max",
                "metric",
                json!({"field": "count", "customLabel": "Highest count"}),
            );
            add(
                "max",
                "metric",
                json!({"field": TIME, "customLabel": "Last seen"}),
            );
        }
        if self.kind == Kind::Histogram {
            let params = json!({"field": TIME, "interval": "auto", "useNormalizedOpenSearchInterval": true,
                "scaleMetricValues": false, "drop_partials": false, "min_doc_count": 1, "extended_bounds": {}});
            add("date_histogram", "segment", params);
        }
        for (at, field) in self.by.iter().enumerate() {
            let schema = match self.kind {
                Kind::Table => "bucket",
                Kind::Bars if at == 0 => "segment",
                _ => "group",
            };
            let params = json!({"field": field, "orderBy": "1", "order": "desc", "size": 20,
                "otherBucket": false, "otherBucketLabel": "Other",
                "missingBucket": false, "missingBucketLabel": "Missing"});
            add("terms", schema, params);
        }
        made
    }

    fn appearance(&self) -> Value {
        let (across, up) = match self.kind {
            Kind::Metric => {
                return json!({
                    "type": "metric", "addTooltip": true, "addLegend": false,
                    "metric": {
                        "percentageMode": false, "useRanges": false, "colorSchema": "Green to Red",
                        "metricColorMode": "None", "colorsRange": [{"from": 0, "to": 10000}],
                        "labels": {"show": true}, "invertColors": false,
                        "style": {"bgFill": "#000", "bgColor": false, "labelColor": false, "subText": "", "fontSize": 40}
                    }
                });
            }
            Kind::Table => {
                return json!({
                    "perPage": 10, "showPartialRows": false, "showMetricsAtAllLevels": false,
                    "showTotal": false, "totalFunc": "sum", "percentageCol": ""
                });
            }
            Kind::Bars => ("left", "bottom"),
            _ => ("bottom", "left"),
        };
        json!({
            "type": self.form(), "grid": {"categoryLines": false},
            "categoryAxes": [{
                "id": "CategoryAxis-1", "type": "category", "position": across, "show": true, "style": {},
                "scale": {"type": "linear"}, "labels": {"show": true, "filter": true, "truncate": 100}, "title": {}
            }],
            "valueAxes": [{
                "id": "ValueAxis-1", "name": "LeftAxis-1", "type": "value", "position": up, "show": true, "style": {},
                "scale": {"type": "linear", "mode": "normal"},
                "labels": {"show": true, "rotate": 0, "filter": true, "truncate": 100}, "title": {"text": "Events"}
            }],
            "seriesParams": [{
                "show": true, "type": "histogram", "mode": "stacked", "data": {"label": "Events", "id": "1"},
                "valueAxis": "ValueAxis-1", "drawLinesBetweenPoints": true, "lineWidth": 2, "showCircles": true
            }],
            "addTooltip": true, "addLegend": true, "legendPosition": "right", "times": [], "addTimeMarker": false,
            "labels": {"show": false},
            "thresholdLine": {"show": false, "value": 10, "width": 1, "style": "full", "color": "#E7664C"}
        })
    }
}
