//! Dashboards and alert rules, held against the metric catalogue.
//!
//! A query that names a metric or a label that does not exist shows an empty panel or an alert that never fires, and
//! nobody notices. So every query is taken apart here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use connector_core::status::ImportState;
use connector_core::telemetry::{CATALOGUE, MetricKind, MetricSpec, Stage};
use serde_json::Value;

use self::promql::{Query, Selector};

mod promql;

/// Labels that Prometheus adds to everything it scrapes.
const TARGET_LABELS: [&str; 2] = ["job", "instance"];

/// Whether a series of this name belongs to the metric: histograms are scraped in three parts.
pub fn exposes(spec: &MetricSpec, name: &str) -> bool {
    let Some(rest) = name.strip_prefix(spec.name) else { return false };
    match spec.kind {
        MetricKind::Histogram => matches!(rest, "_bucket" | "_sum" | "_count"),
        MetricKind::Counter | MetricKind::Gauge => rest.is_empty(),
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards")
}

fn dashboards() -> Vec<(String, Value)> {
    let entries = fs::read_dir(folder()).expect("dashboards/ is there").map(|entry| entry.expect("readable").path());
    let files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    assert!(files.len() >= 3, "{files:?}");
    let parse = |path: PathBuf| {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("the disk works");
        let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, json)
    };
    files.into_iter().map(parse).collect()
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().expect("panels").iter().filter(|panel| panel["type"] != "row")
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().filter(|text| !text.is_empty()).unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// The metric behind a selector; `None` for Prometheus' own `up`.
fn metric(selector: &Selector, place: &str) -> Option<&'static MetricSpec> {
    if selector.name == "up" {
        return None;
    }
    let found = CATALOGUE.iter().find(|spec| exposes(spec, &selector.name));
    Some(found.unwrap_or_else(|| panic!("{place}: no metric is called {}", selector.name)))
}

/// The values that a label may have, where the set is known beforehand.
fn values(metric: &MetricSpec, label: &str) -> Option<Vec<String>> {
    let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    match (label, metric.name) {
        ("state", _) => Some(ImportState::ALL.iter().map(ToString::to_string).collect()),
        ("stage", _) => Some(Stage::ALL.iter().map(|stage| stage.as_str().to_owned()).collect()),
        ("outcome", "s3_connector_rows_total") => names(&["ingested", "quarantined"]),
        ("outcome", _) => names(&["ingested", "quarantined", "failed", "deferred", "gone", "skipped"]),
        _ => None,
    }
}

/// Checks names, labels and closed label values of one query, and that counters, and only they, are looked at as rates.
/// Returns the metrics it shows and the labels that its result can have.
fn check(expression: &str, place: &str) -> (Vec<&'static MetricSpec>, BTreeSet<&'static str>) {
    let query = Query::parse(expression).unwrap_or_else(|error| panic!("{place}: {error} in {expression}"));
    assert!(!query.selectors.is_empty(), "{place}: {expression} asks for nothing");
    let (mut metrics, mut labels) = (Vec::new(), BTreeSet::from(TARGET_LABELS));
    for selector in &query.selectors {
        let Some(spec) = metric(selector, place) else { continue };
        for (label, value) in &selector.matchers {
            let known = spec.labels.contains(&label.as_str()) || TARGET_LABELS.contains(&label.as_str());
            assert!(known, "{place}: {} has no label {label}", spec.name);
            let allowed = values(spec, label).unwrap_or_default();
            let wrong = value.split('|').find(|one| !allowed.is_empty() && !allowed.iter().any(|value| value == one));
            assert_eq!(wrong, None, "{place}: not a value of {label}");
        }
        let as_rate = matches!(selector.function.as_str(), "rate" | "increase");
        let right = match spec.kind {
            MetricKind::Counter => as_rate,
            MetricKind::Gauge => !as_rate,
            MetricKind::Histogram => as_rate || !selector.name.ends_with("_bucket"),
        };
        assert!(right, "{place}: {} is looked at by '{}'", selector.name, selector.function);
        labels.extend(spec.labels);
        labels.extend(selector.name.ends_with("_bucket").then_some("le"));
        metrics.push(spec);
    }
    for label in &query.grouping {
        assert!(labels.contains(label.as_str()), "{place}: no metric of {expression} has the label {label}");
    }
    (metrics, labels)
}

/// The names in `{{…}}` of a legend.
fn legend_labels(legend: &str) -> impl Iterator<Item = &str> {
    legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap_or_default().trim())
}

#[test]
fn every_query_of_a_dashboard_names_metrics_and_labels_that_exist() {
    for (file, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            let place = format!("{file}, panel '{}'", text(panel, "title"));
            for target in panel["targets"].as_array().expect("targets") {
                let (_, labels) = check(text(target, "expr"), &place);
                for label in legend_labels(text(target, "legendFormat")) {
                    assert!(labels.contains(label), "{place}: the legend wants {label}");
                }
            }
        }
    }
}

#[test]
fn every_metric_is_shown_by_a_panel() {
    let mut shown = BTreeSet::new();
    for (file, dashboard) in dashboards() {
        for target in panels(&dashboard).flat_map(|panel| panel["targets"].as_array().expect("targets")) {
            shown.extend(check(text(target, "expr"), &file).0.iter().map(|metric| metric.name));
        }
    }
    let hidden: Vec<&str> = CATALOGUE.iter().map(|spec| spec.name).filter(|name| !shown.contains(name)).collect();
    assert_eq!(hidden, [""; 0], "no panel shows these");
}

#[test]
fn dashboards_can_be_imported_side_by_side_into_any_grafana() {
    let mut uids = BTreeSet::new();
    for (file, dashboard) in dashboards() {
        assert!(uids.insert(text(&dashboard, "uid").to_owned()), "{file}: the uid is taken");
        text(&dashboard, "title");
        let variables = dashboard["templating"]["list"].as_array().expect("variables");
        let names: Vec<&str> = variables.iter().map(|variable| text(variable, "name")).collect();
        assert_eq!(names, ["datasource", "import"], "{file}");
        let choices = text(&variables[1]["query"], "query");
        let (name, label) =
            choices.strip_prefix("label_values(").and_then(|rest| rest.split_once(", ")).expect(choices);
        let spec = CATALOGUE.iter().find(|spec| spec.name == name).expect(choices);
        assert!(spec.labels.contains(&label.trim_end_matches(')')), "{file}: {choices}");
        let mut ids = BTreeSet::new();
        for panel in panels(&dashboard) {
            let place = format!("{file}, panel '{}'", text(panel, "title"));
            text(panel, "description");
            assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{place}: the id is taken");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{place}");
        }
    }
}

#[test]
fn every_alert_names_metrics_and_labels_that_exist_and_says_what_to_do() {
    let rules = fs::read_to_string(folder().join("prometheus/alerts.yml")).expect("alerts.yml is there");
    let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert!(alerts.len() >= 6);
    for alert in alerts {
        let name = alert.lines().next().unwrap_or_default();
        let field = |wanted: &str| {
            let line = alert.lines().find_map(|line| line.trim().strip_prefix(wanted)?.strip_prefix(": "));
            line.unwrap_or_else(|| panic!("{name} has no {wanted}"))
        };
        let expression = field("expr");
        assert!(!expression.starts_with(['|', '>', '"', '\'']), "{name}: keep the expression plain and on one line");
        let (_, labels) = check(expression, name);
        for label in alert.split("$labels.").skip(1) {
            let label = label.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
            assert!(labels.contains(label), "{name}: the text wants {label}");
        }
        for wanted in ["severity", "summary", "description"] {
            field(wanted);
        }
    }
}

#[test]
fn a_wrong_query_is_noticed() {
    let wrong = [
        "s3_connector_backlog_file",
        "s3_connector_commit_duration_seconds",
        "s3_connector_backlog_files_count",
        r#"s3_connector_backlog_files{key="a"}"#,
        r#"s3_connector_state{state="failed"}"#,
        r#"rate(s3_connector_rows_total{outcome=~"ingested|failed"}[5m])"#,
        r#"increase(s3_connector_errors_total{stage="list"}[5m])"#,
        "s3_connector_rows_total",
        "sum(s3_connector_rows_total)",
        "rate(s3_connector_backlog_files[5m])",
        "sum by (stage) (s3_connector_backlog_files)",
        "sum by (connection, import (s3_connector_backlog_files)",
        "sum(s3_connector_backlog_files",
        "vector(1)",
    ];
    for expression in wrong {
        let outcome = std::thread::spawn(move || check(expression, "here")).join();
        assert!(outcome.is_err(), "{expression} passed");
    }
}
