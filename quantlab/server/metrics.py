"""`/metrics` in Prometheus' text format: what the fleet that runs here, or the last one that did, asked of Binance.

Counters are one run's and begin again with the next, as Prometheus expects of a process that restarts. Figures that
nobody knows (bots of a run that has ended, the lag of a replay) are left out, not set to 0.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import CollectorRegistry

from quantlab.fleet.control import send
from quantlab.fleet.process import EngineInfo, running
from quantlab.ledger import Ledger
from quantlab.model import NotFound, QuantlabError
from quantlab.settings import Settings

#: A scrape may take 10 s by default: an engine that does not answer must not make it fail.
_ENGINE_S = 3.0
_PER_ENDPOINT = (
    ("questions", "asked", "Questions of the bots and their books, by endpoint."),
    ("request_weight", "weight", "Request weight spent, by endpoint."),
)
_TOTALS = (
    ("events", "Market events that the engine consumed."),
    ("order_requests", "Requests that could have moved money and reached the wire: 0 in a paper run."),
    ("refused", "Requests and frames that the egress guard kept from leaving."),
    ("stream_connects", "Stream connections opened."),
    ("stream_commands", "Stream commands sent."),
)


def metrics(settings: Settings) -> tuple[bytes, str]:
    """The page and its content type. Reads the engine's socket, the ledger where no engine runs."""
    engine = running(settings.home)
    status = _status(settings) if engine is not None else None
    found = status if engine is not None else _last_summary(settings)
    registry = CollectorRegistry()
    registry.register(_Page([*_engine(engine, status, settings), *(_run(found) if found else ())]))
    return generate_latest(registry), CONTENT_TYPE_LATEST


class _Page:
    """What a registry asks for its families."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _engine(engine: EngineInfo | None, status: Mapping[str, Any] | None, settings: Settings) -> Iterator[Metric]:
    """Whether there is an engine, how old it is and how far behind the market."""
    yield _gauge("engine_up", "1 when an engine runs here and answers.", status is not None)
    yield _gauge("request_weight_budget", "Request weight that may be spent in any 60 s.", settings.weight_per_minute)
    if engine is not None:
        yield _gauge("engine_start_time_seconds", "When the engine began, Unix time.", engine.started_ms / 1000)
    if status is None:
        return
    if status["engine_time_ms"]:
        engine_s = status["engine_time_ms"] / 1000
        yield _gauge("engine_time_seconds", "The latest stamp of the market that was consumed, Unix time.", engine_s)
        if status["source"]["kind"] in ("mainnet", "testnet"):
            yield _gauge("engine_lag_seconds", "This machine's clock minus that stamp.", time.time() - engine_s)
    bots = GaugeMetricFamily("quantlab_bots", "Bots by state.", labels=["state"])
    for state, count in sorted(Counter(str(bot["state"]) for bot in status["bots"]).items()):
        bots.add_metric([state], count)
    yield bots


def _run(found: Mapping[str, Any]) -> Iterator[Metric]:
    """What an engine's status and a run's summary have in common."""
    about = {"run_id": found["run_id"], "source": found["source"]["kind"], "state": found.get("state", "ended")}
    yield InfoMetricFamily("quantlab_run", "The run that these figures are of.", value=about)
    requests = found["requests"]
    by_endpoint: Mapping[str, Mapping[str, int]] = requests.get("by_endpoint", {})
    for name, key, words in _PER_ENDPOINT:
        family = CounterMetricFamily(f"quantlab_{name}", words, labels=["method", "path"])
        for endpoint, counts in by_endpoint.items():
            family.add_metric(endpoint.split(" ", 1), counts[key])
        yield family
    words = "What came of the questions: sent (retries too), shared with a request in flight, kept answers."
    family = CounterMetricFamily("quantlab_requests", words, labels=["method", "path", "outcome"])
    for endpoint, counts in by_endpoint.items():
        for outcome in ("sent", "shared", "kept"):
            family.add_metric([*endpoint.split(" ", 1), outcome], counts[outcome])
    yield family
    for name, words in _TOTALS:
        value = found.get(name, requests.get(name))
        if value is not None:
            yield CounterMetricFamily(f"quantlab_{name}", words, value=value)
    peak = requests.get("peak_weight_60s")
    if peak is not None:
        yield _gauge("request_weight_peak_60s", "The most request weight in any 60 s of the run.", peak)
    alerts = found["key_alerts"] if "key_alerts" in found else (found.get("keys") or {}).get("alerts")
    if alerts is not None:
        yield _gauge("key_alerts", "Alerts of the watch over the API keys.", len(alerts))


def _gauge(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"quantlab_{name}", words, value=value)


def _status(settings: Settings) -> dict[str, Any] | None:
    try:
        return send(settings.home, "status", timeout_s=_ENGINE_S)
    except QuantlabError:  # it starts, ends or hangs: `engine_up` says so
        return None


def _last_summary(settings: Settings) -> dict[str, Any] | None:
    """The summary of the newest run that has one."""
    try:
        with Ledger.open(settings.home, create=False) as ledger:
            for run_id in ledger.run_ids():
                run = ledger.run(run_id)
                if run.summary is not None:
                    return {"source": {"kind": run.source.kind}, **run.summary, "run_id": run_id, "state": run.state}
    except NotFound:
        pass
    return None
