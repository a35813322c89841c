"""docs/deploy: dashboard and alert rules ask for nothing that the service does not tell."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tools.testbed.redis_server import REPOSITORY
from tools.testbed.service_process import Person

from service.confirmations.status import GuardStatus
from service.web.metrics.guards import exposition_of

DEPLOY = REPOSITORY / "docs/deploy"
PAGE = (DEPLOY / "README.md").read_text(encoding="utf-8")

WORDS = {"and", "or", "unless", "bool", "offset", "group_left", "group_right"}
FROM_PROMETHEUS = {"job", "instance"}
"""Labels that it adds to each series when it asks for metrics."""

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOME_GUARD = GuardStatus("pod", "00", "1", "feed", "closed", 0, 0, NOW, False, None)
"""Of pods that are not there nothing is told."""

Labels = dict[str, set[str]]


def dashboard() -> dict[str, str]:
    """The queries of all panels, and of variables, by title."""
    board = json.loads((DEPLOY / "grafana.json").read_text(encoding="utf-8"))
    found = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in board["panels"]
        for target in panel.get("targets", [])
    }
    for variable in board["templating"]["list"]:
        if "definition" in variable:
            found[variable["name"]] = variable["definition"]
    return found


def rules() -> dict[str, str]:
    """The expressions of all alerts, by name."""
    document = yaml.safe_load((DEPLOY / "alerts.yaml").read_text(encoding="utf-8"))
    return {rule["alert"]: rule["expr"] for group in document["groups"] for rule in group["rules"]}


QUERIES = dashboard() | rules()


def selectors(query: str) -> Iterator[tuple[str, set[str]]]:
    """The metrics that a query names, each with the labels that it is chosen by."""
    query = re.sub(r'"(?:\\.|[^"\\])*"', '""', query)  # values
    query = re.sub(r"\[[^\]]*\]", "", query)  # ranges
    query = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", "", query)
    query = re.sub(r"label_values\(([^,]*),[^)]*\)", r"\1", query)
    for found in re.finditer(r"([A-Za-z_:][\w:]*)\s*(\{[^}]*\})?\s*(\()?", query):
        name, matchers, call = found.groups()
        if not call and name not in WORDS:
            yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers or ""))


def grouped(query: str) -> set[str]:
    """The labels that a query groups by."""
    groups = re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", query)
    return {name.strip() for group in groups for name in group.split(",")}


@pytest.fixture
async def told(http: httpx.AsyncClient, person: Person) -> Labels:
    """The series that /metrics has, and the labels of each."""
    found: Labels = defaultdict(set)
    text = (await http.get("/metrics")).text + exposition_of([SOME_GUARD]).decode()
    for family in text_string_to_metric_families(text):
        if family.type == "counter":  # none of it may have happened yet
            found[family.name + "_total"] |= set()
        if family.type == "histogram":
            found[family.name + "_count"] |= set()
        for sample in family.samples:
            found[sample.name] |= set(sample.labels)
    return found


async def test_what_is_asked_for_is_told(told: Labels) -> None:
    """Each metric in a panel or rule is one of /metrics, with the labels that it is chosen by."""
    wrong = []
    for title, query in QUERIES.items():
        names = dict.fromkeys(name for name, _ in selectors(query))
        for name, labels in selectors(query):
            if name not in told or not labels <= told[name] | FROM_PROMETHEUS:
                wrong.append((title, name, labels))
        there = set().union(*(told.get(name, set()) for name in names)) | FROM_PROMETHEUS
        if not grouped(query) <= there:
            wrong.append((title, query, grouped(query) - there))
    assert wrong == []


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ('sum by (a) (rate(x_total{b=~"c{}(",d!="e"}[5m])) / y',
         [("x_total", {"b", "d"}), ("y", set())]),
        ("histogram_quantile(0.9, sum by (le) (rate(x_bucket[$__rate_interval]))) > 0.1",
         [("x_bucket", set())]),
        ("absent(x) or y unless on (z) w offset 5m", [("x", set()), ("y", set()), ("w", set())]),
        ("label_values(x, job)", [("x", set())]),
    ],
)  # fmt: skip
def test_the_check_reads_queries(query: str, names: list[tuple[str, set[str]]]) -> None:
    """It finds the metrics in what such queries look like."""
    assert [each for each in selectors(query) if each[0] != "m"] == names


def test_the_files_are_whole() -> None:
    """Panels have a title, a place and a query of their own, rules a severity and what to do."""
    board = json.loads((DEPLOY / "grafana.json").read_text(encoding="utf-8"))
    ids = [panel["id"] for panel in board["panels"]]
    places = [tuple(panel["gridPos"].values()) for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    assert len(set(places)) == len(places)
    assert len(dashboard()) > 20
    for panel in board["panels"]:
        assert panel["title"]
        assert panel["type"] == "row" or (panel["targets"] and panel["description"])
    document = yaml.safe_load((DEPLOY / "alerts.yaml").read_text(encoding="utf-8"))
    for group in document["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("page", "ticket")
            assert set(rule["annotations"]) == {"summary", "action"}


async def test_the_page_lists_what_is_told(told: Labels) -> None:
    """docs/deploy/README.md has a row for each metric of ours, with its labels, and no other."""
    rows = re.findall(r"^\| `(openshow_\w+)` \| ([^|]*)\|", PAGE, re.MULTILINE)
    ours = {
        re.sub(r"_(bucket|sum|count|created)$", "", name): labels - {"le"}
        for name, labels in told.items()
        if name.startswith("openshow_") and not name.endswith("_created")
    }
    listed = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    assert set(listed) == set(ours)
    for name, labels in ours.items():
        assert labels <= listed[name], name
