"""docs/metrics.md has the table of the metrics; the alert rules and the dashboard name only what is in it.

What promtool would check of the files in `deploy/` is checked here, and that each metric exists, has the
labels that are used, and is used as what it is: counters only as rates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from sojourn.service.metrics.table import LABELS, TABLE, Kind, markdown

ROOT = Path(__file__).parents[3]
RULES = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text(encoding="utf-8"))
DASHBOARD = json.loads((ROOT / "deploy/grafana/sojourn.json").read_text(encoding="utf-8"))
METRICS = {metric.name: metric for metric in TABLE}
OF_PROMETHEUS = {"instance", "job"}

_TOKEN = re.compile(
    r'(?P<string>"(?:[^"\\]|\\.)*")|(?P<range>\[(?:\d+[smhd]|\$__rate_interval)\])|(?P<number>\d+(?:\.\d+)?)'
    r"|(?P<name>[a-zA-Z_][a-zA-Z0-9_]*)|(?P<sign>=~|!~|!=|==|>=|<=|[-+*/<>=(),{}])|\s+"
)
_AGGREGATES = {"sum", "max", "min", "avg", "count"}
_RATES = {"rate", "increase"}
_FUNCTIONS = {*_AGGREGATES, *_RATES, "histogram_quantile", "predict_linear"}
_GROUPING = {"by", "on", "without", "ignoring"}
_BETWEEN = {"and", "or", "unless"}


@dataclass
class Use:
    """A metric in an expression. `inside` is the function whose argument it is."""

    name: str
    inside: str
    labels: set[str] = field(default_factory=set)
    ranged: bool = False


def read(expression: str) -> tuple[list[Use], set[str]]:
    """The metrics that an expression uses, and the labels that it groups by."""
    tokens = list(_tokens(expression))
    uses: list[Use] = []
    grouped: set[str] = set()
    opened: list[str] = []
    at = 0
    while at < len(tokens):
        kind, text = tokens[at]
        following = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        if kind == "name" and text in _GROUPING:
            end = tokens.index(("sign", ")"), at)
            grouped |= {word for what, word in tokens[at:end] if what == "name"} - {text}
            at = end
        elif kind == "name" and (text in _FUNCTIONS or text in _BETWEEN):
            assert text in _BETWEEN or following in ("(", "by"), f"{text} needs its argument: {expression}"
        elif kind == "name":
            use = Use(text, next((f for f in reversed(opened) if f), ""))
            if following == "{":
                end = tokens.index(("sign", "}"), at)
                use.labels = _matched(tokens[at + 2 : end], expression)
                at = end
            if at + 1 < len(tokens) and tokens[at + 1][0] == "range":
                use.ranged = True
                at += 1
            uses.append(use)
        elif text == "(":
            opened.append(_function_before(tokens, at))
        elif text == ")":
            assert opened, f"one bracket too many: {expression}"
            opened.pop()
        else:
            assert kind != "range", f"a range stands behind a metric: {expression}"
        at += 1
    assert not opened, f"a bracket is not closed: {expression}"
    return uses, grouped


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(expression):
        found = _TOKEN.match(expression, at)
        assert found, f"not PromQL from {expression[at:]!r} on"
        at = found.end()
        if found.lastgroup is not None:
            yield found.lastgroup, found.group()


def _function_before(tokens: list[tuple[str, str]], at: int) -> str:
    """The function whose argument the bracket opens; its `by (…)` may stand between."""
    before = at - 1
    if before >= 0 and tokens[before] == ("sign", ")"):
        while tokens[before][1] != "(":
            before -= 1
        before -= 2
    return tokens[before][1] if before >= 0 and tokens[before][1] in _FUNCTIONS else ""


def _matched(tokens: list[tuple[str, str]], expression: str) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(tokens), 4):
        (what, label), (_, sign), (value, _), *comma = tokens[start : start + 4]
        assert (what, value) == ("name", "string"), expression
        assert sign in ("=", "=~", "!=", "!~"), expression
        assert comma in ([], [("sign", ",")]), expression
        found.add(label)
    return found


def check(expression: str) -> None:
    uses, grouped = read(expression)
    assert uses, f"no metric in {expression}"
    allowed: set[str] = set()
    for use in uses:
        if use.name == "up":
            assert use.labels <= OF_PROMETHEUS
            continue
        of_histogram = re.sub(r"_(bucket|sum|count)$", "", use.name)
        metric = METRICS.get(use.name) or METRICS.get(of_histogram)
        assert metric is not None, f"there is no metric {use.name}: {expression}"
        assert (metric.kind is Kind.HISTOGRAM) == (metric.name != use.name), f"{use.name}: {expression}"
        labels = {*metric.labels, *OF_PROMETHEUS} | ({"le"} if use.name.endswith("_bucket") else set())
        assert use.labels <= labels, f"{use.name} has no {use.labels - labels}: {expression}"
        allowed |= labels
        if metric.kind is not Kind.GAUGE:
            assert use.inside in _RATES, f"{use.name} is a {metric.kind}; take its rate: {expression}"
        assert use.ranged == (use.inside in _RATES or use.inside == "predict_linear"), expression
    assert grouped <= allowed | OF_PROMETHEUS, f"nothing has {grouped - allowed}: {expression}"


def rules() -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def expressions_of_the_dashboard() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def test_the_page_has_the_table_of_the_code() -> None:
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    assert markdown() in page, f"docs/metrics.md should have\n{markdown()}"


def test_names_and_units_follow_the_conventions() -> None:
    assert len(METRICS) == len(TABLE), "a name is there twice"
    for metric in TABLE:
        assert re.fullmatch(r"(sojourn|process)_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER), metric.name
        assert not re.search(r"_(ms|milliseconds|minutes|mb|kb|megabytes|percent)(_|$)", metric.name)
        assert set(metric.labels) <= set(LABELS), metric.name
        assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)
        assert list(metric.buckets) == sorted(set(metric.buckets))
        assert metric.meaning.endswith("."), metric.name


def test_no_label_is_a_user_a_project_a_job_or_a_session() -> None:
    used = {label for metric in TABLE for label in metric.labels}
    assert used == set(LABELS)
    assert used.isdisjoint({"user", "project", "job", "session", "instance", "code", "program", "address"})


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_rule_can_be_loaded_and_names_what_exists(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"Sojourn[A-Za-z]+", rule["alert"])
    assert re.fullmatch(r"\d+[smhd]", rule.get("for", "1m"))
    assert rule["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    assert set(rule["annotations"]) == {"summary", "description"}
    check(rule["expr"])
    uses, _ = read(rule["expr"])
    kept = {label for use in uses if use.name in METRICS for label in METRICS[use.name].labels}
    for text in rule["annotations"].values():
        assert text.count("{{") == text.count("}}")
        for label in re.findall(r"\$labels\.(\w+)", text):
            assert label in kept | OF_PROMETHEUS, f"{rule['alert']}: {label}"


def test_no_alert_is_there_twice_and_the_file_has_nothing_else() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) > 10
    assert set(RULES) == {"groups"}
    assert all(set(group) == {"name", "rules"} for group in RULES["groups"])


@pytest.mark.parametrize("expression", expressions_of_the_dashboard())
def test_a_panel_shows_what_exists(expression: str) -> None:
    check(expression)


def test_the_dashboard_can_be_imported_anywhere() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(places) == len(set(places))
    for panel in DASHBOARD["panels"]:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]+)\}?", json.dumps(DASHBOARD["panels"])))
    assert used <= variables


@pytest.mark.parametrize(
    "wrong",
    [
        "sojourn_nothing > 0",
        'sojourn_queue_jobs{user="ann"} > 0',
        "sojourn_jobs_ended_total > 0",
        "rate(sojourn_jobs_ended_total) > 0",
        "sojourn_queue_jobs[5m]",
        "sum by (user) (sojourn_queue_jobs)",
        "sum(sojourn_queue_jobs",
        "rate(sojourn_job_wait_seconds[5m])",
        "sojourn_queue_jobs > ?",
        "5 > 4",
    ],
)
def test_what_is_wrong_in_an_expression_is_found(wrong: str) -> None:
    with pytest.raises(AssertionError):
        check(wrong)
