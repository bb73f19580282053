"""What a Prometheus would have to say of a page of metrics: read by its own client's parser, and by the conventions of
prometheus.io/docs/practices/naming."""

import re
from collections.abc import Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

MOST_SERIES = 200
UNITS = ("_seconds", "_bytes")
NO_UNITS = re.compile(r"_(ms|us|ns|millis|micros|nanos|milliseconds|minutes|hours|kb|mb|kilobytes|percent)(_|$)")


def families(text: str) -> dict[str, Metric]:
    """The families of a page, by name (of counters without `_total`). Raises ValueError for what is no page."""
    found: dict[str, Metric] = {}
    for each in text_string_to_metric_families(text):
        if each.name in found:
            raise ValueError(f"{each.name} stands there twice")
        found[each.name] = each
    return found


def faults(text: str) -> list[str]:
    """What is wrong with a page."""
    found = [] if text.endswith("\n") else ["the last line has no end"]
    for name, family in families(text).items():
        found += [f"{name}: {fault}" for fault in _faults(name, family)]
        if f"# HELP {name}" not in text or f"# TYPE {name}" not in text:
            found.append(f"{name}: no HELP or no TYPE")
    return found


def _faults(name: str, family: Metric) -> Iterator[str]:
    if not re.fullmatch(r"mlthon_[a-z][a-z0-9_]*", name):
        yield "not a name of ours in small letters"
    if len(family.documentation) < 10 or not family.documentation.endswith("."):
        yield f"is not explained: {family.documentation!r}"
    if family.type not in ("counter", "gauge", "histogram"):
        yield f"is a {family.type}"
    if family.type == "counter" and not all(each.name == f"{name}_total" for each in family.samples):
        yield "a counter ends in _total"
    if family.type != "counter" and name.endswith(("_total", "_count", "_sum", "_bucket")):
        yield "ends like something else"
    if family.type == "histogram" and not name.endswith(UNITS):
        yield "a histogram has a unit"
    if NO_UNITS.search(name):
        yield "units are seconds and bytes"
    if family.type == "histogram":
        yield from _buckets(family)
    series = {
        tuple(sorted((key, value) for key, value in each.labels.items() if key != "le")) for each in family.samples
    }
    if len(series) > MOST_SERIES:
        yield f"{len(series)} series"
    keys = [(each.name, *sorted(each.labels.items())) for each in family.samples]
    if len(set(keys)) != len(keys):
        yield "a series stands there twice"
    if len({frozenset(each.labels) - {"le"} for each in family.samples}) > 1:
        yield "labels differ from series to series"


def _buckets(family: Metric) -> Iterator[str]:
    by_series: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    counts: dict[tuple[tuple[str, str], ...], float] = {}
    for each in family.samples:
        key = tuple(sorted((name, value) for name, value in each.labels.items() if name != "le"))
        if each.name.endswith("_bucket"):
            by_series.setdefault(key, []).append((float(each.labels["le"]), each.value))
        elif each.name.endswith("_count"):
            counts[key] = each.value
    for key, buckets in by_series.items():
        if buckets != sorted(buckets) or [count for _, count in buckets] != sorted(count for _, count in buckets):
            yield f"{key}: buckets are not in order, or do not grow"
        if buckets[-1] != (float("inf"), counts.get(key)):
            yield f"{key}: the last bucket is not the count"
