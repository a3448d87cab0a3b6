"""Whether spans are made, of what they are part, and what they are told."""

from __future__ import annotations

import asyncio
import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gym_queue.client.calls import Call
from gym_queue.client.http1 import make_origin, write_request
from gym_queue.client.retry import SAFE
from gym_queue.errors import NoCapacity, StartupFailed
from gym_queue.tracing import NOWHERE, OFF, Tracing, current, is_sampled, start_tracing, trace_of

TRACE = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "vendor=1"}
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture
def kept():
    return InMemorySpanExporter()


@pytest.fixture
def tracing(kept):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    return Tracing(provider)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in ("GYM_ANYTHING_OTEL", ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)


def test_a_span_is_part_of_what_the_headers_say_and_what_runs_in_it_a_part_of_it(tracing, kept):
    headers = {"Traceparent": "not read", **TRACE, "authorization": "secret"}
    with tracing.span("outer", of=trace_of(headers), told={"gym_queue.env_id": "e"}), tracing.child("inner"):
        assert set(current()) == {"traceparent", "tracestate"}
    assert current() == NOWHERE
    inner, outer = kept.get_finished_spans()
    assert (outer.parent.span_id, outer.context.trace_id) == (int("b" * 16, 16), int("a" * 32, 16))
    assert inner.parent.span_id == outer.context.span_id
    assert dict(outer.attributes) == {"gym_queue.env_id": "e"}


def test_tasks_that_begin_in_a_span_are_part_of_it(tracing, kept):
    async def part() -> None:
        with tracing.child("part"):
            await asyncio.sleep(0)

    async def whole() -> None:
        with tracing.span("whole", of=NOWHERE):
            await asyncio.gather(part(), part())

    asyncio.run(whole())
    spans = {span.name: span for span in kept.get_finished_spans()}
    assert spans["part"].parent.span_id == spans["whole"].context.span_id


def test_where_no_span_runs_no_child_is_made(tracing, kept):
    with tracing.child("nobody's"):
        assert current() == NOWHERE
    assert kept.get_finished_spans() == ()


def test_a_trace_that_its_caller_does_not_keep_is_handed_on_and_not_sent(tracing, kept):
    dropped = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-00"}
    with tracing.span("quiet", of=dropped):
        assert current()["traceparent"].startswith(f"00-{'a' * 32}-")
        assert not is_sampled(current())
    assert kept.get_finished_spans() == ()


def test_an_error_is_told_by_its_code_and_raised_on(tracing, kept):
    with pytest.raises(NoCapacity), tracing.span("create", of=NOWHERE):
        raise NoCapacity("every slot is taken")
    with pytest.raises(KeyError), tracing.span("bug", of=NOWHERE):
        raise KeyError("x" * 1000)
    refused, bug = kept.get_finished_spans()
    assert refused.attributes["error.type"] == "no_capacity"
    assert refused.status.description == "every slot is taken"
    assert bug.attributes["error.type"] == "KeyError"
    assert len(bug.status.description) <= 300


def test_a_span_may_have_begun_before_it_was_known_to_end(tracing, kept):
    with tracing.span("wait", of=NOWHERE, ago_s=2.5):
        pass
    (wait,) = kept.get_finished_spans()
    assert wait.end_time - wait.start_time >= 2.5e9


@pytest.mark.parametrize(
    ("traceparent", "kept_by_caller"),
    [
        (TRACE["traceparent"], True),
        (f"00-{'a' * 32}-{'b' * 16}-03", True),
        (f"00-{'a' * 32}-{'b' * 16}-00", False),
        (f"00-{'a' * 32}-{'b' * 16}-0", False),
        ("", False),
        ("nonsense", False),
    ],
)
def test_the_flags_say_whether_the_caller_keeps_a_trace(traceparent, kept_by_caller):
    assert is_sampled({"traceparent": traceparent}) is kept_by_caller


def test_no_span_is_made_after_the_end(tracing, kept):
    tracing.stop()
    tracing.stop()
    assert tracing.span("late", of=TRACE) is OFF


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"GYM_ANYTHING_OTEL": "0", ENDPOINT: "http://x"},
        {"OTEL_SDK_DISABLED": "true", ENDPOINT: "http://x"},
    ],
)
def test_traces_are_off_unless_asked_for(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    tracing = start_tracing("test")
    assert not tracing.is_on
    assert tracing.span("x", of=TRACE) is tracing.child("x") is OFF


@pytest.mark.parametrize("variables", [{"GYM_ANYTHING_OTEL": "1"}, {ENDPOINT: "http://127.0.0.1:9"}])
def test_traces_are_on_when_asked_for(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    tracing = start_tracing("test", service_instance_id="w1")
    assert tracing.is_on
    tracing.stop()


def test_without_the_package_the_sentence_names_the_extra(monkeypatch):
    monkeypatch.setenv("GYM_ANYTHING_OTEL", "1")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(StartupFailed, match=r"pip install 'gym-queue\[otel\]'"):
        start_tracing("test")


@pytest.mark.parametrize(
    ("name", "value"), [("GYM_ANYTHING_OTEL", "perhaps"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]
)
def test_a_variable_that_cannot_be_followed_is_named(monkeypatch, name, value):
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    monkeypatch.setenv(name, value)
    with pytest.raises(StartupFailed, match=name):
        start_tracing("test")


def test_our_client_sends_the_span_that_its_program_is_in():
    call = Call("GET", "/health", 1.0, SAFE)
    origin = make_origin("http://localhost:5800", None)
    assert b"traceparent" not in write_request(origin, call, "r1")
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("program")
    with tracer.start_as_current_span("mine") as span:
        sent = write_request(origin, call, "r1").decode()
    here = span.get_span_context()
    assert f"\r\ntraceparent: 00-{here.trace_id:032x}-{here.span_id:016x}-{here.trace_flags:02x}\r\n" in sent
