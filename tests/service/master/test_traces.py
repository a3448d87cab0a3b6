"""A real master and worker send their spans to a collector that this test is."""

from __future__ import annotations

import gzip
import secrets
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gym_queue.testing import Fleet, FleetSetup
from tests.waiting import wait_until

TOKEN = "the-cluster-token-of-traces"
SECRET = "a-secret-of-the-caller"
SPEC = {
    "id": "traced",
    "runner": "fake",
    "observation": [{"type": "rgb_screen", "resolution": [64, 64], "inline": True}],
    "action": [{"type": "mouse"}],
}


class Collector:
    """Takes spans by OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                outer.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_request(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            service = text_of(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                self.spans += [(service, span) for span in scope.spans]

    def of(self, trace_id: str) -> dict[str, tuple[str, Span]]:
        """Return the spans of a trace by name, with their programs."""
        return {span.name: (service, span) for service, span in self.spans if span.trace_id.hex() == trace_id}

    def wait_for(self, trace_id: str, *names: str) -> dict[str, tuple[str, Span]]:
        wait_until(lambda: set(names) <= set(self.of(trace_id)))
        return self.of(trace_id)


def text_of(attributes) -> dict[str, str]:
    return {
        pair.key: str(getattr(pair.value, pair.value.WhichOneof("value") or "string_value"))
        for pair in attributes
    }


class Cluster:
    def __init__(self, fleet: Fleet, collector: Collector) -> None:
        self.fleet, self.collector = fleet, collector
        self.http = httpx.Client(
            base_url=fleet.url,
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=30,
            trust_env=False,
        )

    def post(self, path: str, trace: str | None = None, **body: object) -> httpx.Response:
        headers = {"traceparent": trace} if trace else {}
        return self.http.post(path, json=body, headers=headers)

    def create(self, trace: str | None = None, **over: object) -> httpx.Response:
        body = {"env_spec": {**SPEC, **over}, "metadata": {"note": SECRET}}
        return self.post("/envs/create", trace, **body)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    collector = Collector()
    threading.Thread(target=collector.server.serve_forever, daemon=True).start()
    variables = {
        "GYM_ANYTHING_TOKEN": TOKEN,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "20",
    }
    setup = FleetSetup(workers=1, max_envs=2, worker_arguments=("--runners", "fake"), variables=variables)
    with Fleet(setup) as fleet:
        cluster = Cluster(fleet, collector)
        with cluster.http:
            yield cluster
    collector.server.shutdown()
    collector.server.server_close()


def new_trace(flags: str = "01") -> tuple[str, str]:
    """Return a trace's id, and a traceparent of it."""
    trace_id = secrets.token_hex(16)
    return trace_id, f"00-{trace_id}-{secrets.token_hex(8)}-{flags}"


def parent_of(spans: dict[str, tuple[str, Span]], name: str) -> str | None:
    """Return the name of the span that another one is a part of."""
    ids = {span.span_id: each for each, (_, span) in spans.items()}
    return ids.get(spans[name][1].parent_span_id)


def test_one_trace_goes_from_the_caller_through_queue_and_celery_to_the_reset_in_the_worker(cluster):
    trace_id, trace = new_trace()
    env_id = cluster.create(trace).json()["env_id"]
    assert cluster.post(f"/envs/{env_id}/reset").status_code == 200
    reset = "POST /envs/{env_id}/reset"
    spans = cluster.collector.wait_for(trace_id, "POST /envs/create", "send create", reset, "reset")
    assert spans["POST /envs/create"][1].parent_span_id.hex() == trace.split("-")[2]
    assert {name: (spans[name][0], parent_of(spans, name)) for name in spans} == {
        "POST /envs/create": ("gym-queue-master", None),
        "wait for a slot": ("gym-queue-master", "POST /envs/create"),
        "send create": ("gym-queue-master", "POST /envs/create"),
        "gym_queue.create_env": ("gym-queue-worker", "send create"),
        "open environment": ("gym-queue-worker", "gym_queue.create_env"),
        reset: ("gym-queue-worker", "gym_queue.create_env"),
        "reset": ("gym-queue-worker", reset),
    }
    for _, span in spans.values():
        assert span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.status.code != span.status.STATUS_CODE_ERROR
    assert text_of(spans["gym_queue.create_env"][1].attributes)["gym_queue.env_id"] == env_id
    cluster.post(f"/envs/{env_id}/close")


def test_a_wait_for_a_slot_is_as_long_as_it_was(cluster):
    taken = [cluster.create().json()["env_id"] for _ in range(2)]
    trace_id, trace = new_trace()
    waits = threading.Thread(target=lambda: taken.append(cluster.create(trace).json()["env_id"]))
    waits.start()
    wait_until(lambda: cluster.http.get("/queue").json()["total"] == 1)
    waited_s = cluster.http.get("/queue").json()["waiting"][0]["waiting_s"]
    cluster.post(f"/envs/{taken.pop(0)}/close")
    waits.join()
    spans = cluster.collector.wait_for(trace_id, "POST /envs/create", "wait for a slot")
    wait = spans["wait for a slot"][1]
    assert wait.end_time_unix_nano - wait.start_time_unix_nano >= waited_s * 1e9
    for env_id in taken:
        cluster.post(f"/envs/{env_id}/close")


def test_an_error_is_told_by_its_code_on_both_sides(cluster):
    trace_id, trace = new_trace()
    reply = cluster.create(trace, action=[])
    code = reply.json()["code"]
    assert reply.status_code == 422
    spans = cluster.collector.wait_for(trace_id, "POST /envs/create", "gym_queue.create_env")
    for name in ("POST /envs/create", "send create", "gym_queue.create_env", "open environment"):
        span = spans[name][1]
        assert (text_of(span.attributes)["error.type"], span.status.code) == (code, 2), name


def test_an_error_of_a_call_is_told_by_its_code(cluster):
    env_id = cluster.create().json()["env_id"]
    trace_id, trace = new_trace()
    reply = cluster.post(f"/envs/{env_id}/step", trace, actions=[])
    assert reply.json()["code"] == "env_state"
    spans = cluster.collector.wait_for(trace_id, "POST /envs/{env_id}/step")
    told = text_of(spans["POST /envs/{env_id}/step"][1].attributes)
    assert (told["error.type"], told["http.response.status_code"]) == ("env_state", "409")
    cluster.post(f"/envs/{env_id}/close")


def test_steps_are_spans_only_where_the_caller_keeps_the_trace(cluster):
    kept_id, kept = new_trace()
    dropped_id, dropped = new_trace("00")
    env_id = cluster.create(dropped).json()["env_id"]
    cluster.post(f"/envs/{env_id}/reset")
    click = {"mouse": {"left_click": [1, 1]}}
    for trace in (None, dropped, kept):
        assert cluster.post(f"/envs/{env_id}/step", trace, actions=[click]).status_code == 200
    cluster.post(f"/envs/{env_id}/close", kept)
    spans = cluster.collector.wait_for(kept_id, "POST /envs/{env_id}/close")
    assert {"POST /envs/{env_id}/step", "step"} <= set(spans)
    calls = [span for _, span in cluster.collector.spans if span.name.endswith("/step")]
    steps = [span for span in calls if text_of(span.attributes)["gym_queue.env_id"] == env_id]
    assert [span.trace_id.hex() for span in steps] == [kept_id]
    assert cluster.collector.of(dropped_id) == {}


def test_no_secret_is_in_any_span(cluster):
    trace_id, trace = new_trace()
    env = cluster.create(trace).json()
    cluster.post(f"/envs/{env['env_id']}/close")
    cluster.collector.wait_for(trace_id, "POST /envs/create", "POST /envs/{env_id}/close")
    shown = str(cluster.collector.spans)
    assert env["env_id"] in shown
    assert not [secret for secret in (TOKEN, SECRET, env["env_token"]) if secret in shown]


@pytest.mark.parametrize("trace", ["", "00-zz-zz-01", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "x" * 4000])
def test_a_traceparent_that_is_none_begins_a_trace_of_its_own(cluster, trace):
    reply = cluster.create(trace)
    assert reply.status_code == 201
    cluster.post(f"/envs/{reply.json()['env_id']}/close")
