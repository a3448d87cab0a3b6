"""OpenTelemetry traces, off unless asked for: spans of a program, and the W3C headers that tie programs together."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from gym_queue.errors import GymQueueError, StartupFailed
from gym_queue.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, StatusCode

Trace = Mapping[str, str]
"""Where a span belongs, as W3C's headers ``traceparent`` and ``tracestate`` tell; empty: nowhere yet."""

HEADERS = ("traceparent", "tracestate")
PROTOCOL = "http/protobuf"
Told = str | int | float | bool
NOWHERE: Trace = MappingProxyType({})
NOTHING: Mapping[str, Told] = MappingProxyType({})
SHOWN = 300
"""Characters of an error's sentence that a span keeps."""
STOP_TIMEOUT_S = 5.0
"""Longest the last spans may take to leave when a program ends."""
SAMPLED_AT = 53
"""Where the flags of a traceparent begin."""
_current: ContextVar[Trace] = ContextVar("gym_queue_trace", default=NOWHERE)


class TracingSettings(BaseSettings):
    """OpenTelemetry's own variables say the rest: sampler, headers, time limits."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    otel: bool | None = Field(None, validation_alias="GYM_ANYTHING_OTEL")
    """Whether to send traces; None: when an endpoint is named."""
    endpoint: str | None = Field(None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    traces_endpoint: str | None = Field(None, validation_alias="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    protocol: str = Field(PROTOCOL, validation_alias="OTEL_EXPORTER_OTLP_PROTOCOL")
    traces_protocol: str | None = Field(None, validation_alias="OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
    disabled: bool = Field(default=False, validation_alias="OTEL_SDK_DISABLED")

    @property
    def wanted(self) -> bool:
        """Whether traces are to be sent."""
        named = bool(self.endpoint or self.traces_endpoint)
        return not self.disabled and (named if self.otel is None else self.otel)


class Notes(Protocol):
    """What a span is told while it runs."""

    def note(self, name: str, value: Told) -> None:
        """Add an attribute."""

    def fail(self, code: str, sentence: str) -> None:
        """Mark it as failed."""


class Tracing:
    """The spans of one program.

    Args:
        provider: Makes and sends them; None makes none, at no cost.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._provider = provider
        if provider is not None:
            from opentelemetry import trace
            from opentelemetry.context import Context
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

            self._tracer = provider.get_tracer("gym_queue", __version__)
            self._api, self._headers = trace, TraceContextTextMapPropagator()
            self._empty = Context()  # never what this thread happens to run in

    @property
    def is_on(self) -> bool:
        """Whether spans are made."""
        return self._provider is not None

    def span(
        self,
        name: str,
        *,
        of: Trace,
        kind: str = "INTERNAL",
        ago_s: float = 0.0,
        told: Mapping[str, Told] = NOTHING,
    ) -> AbstractContextManager[Notes]:
        """Return a span to run something in; what it calls is part of it, and an error that leaves it is told.

        Args:
            name: What is done; one of few names.
            of: What it is part of; NOWHERE begins a trace.
            kind: A name of OpenTelemetry's SpanKind.
            ago_s: How long ago it began.
            told: Its attributes: ids and names, never what callers send.
        """
        return OFF if self._provider is None else self._run(name, of, kind, ago_s, told)

    def child(self, name: str) -> AbstractContextManager[Notes]:
        """Return a span within the one that runs; where none does, none is made."""
        if self._provider is None or not (of := _current.get()):
            return OFF
        return self._run(name, of, "INTERNAL", 0.0, NOTHING)

    def stop(self) -> None:
        """Send what is left, for a few seconds at most; no span is made any more. Safe to call twice."""
        provider, self._provider = self._provider, None
        if provider is not None:  # it would wait long for a collector that hangs
            sending = threading.Thread(target=provider.shutdown, name="gym-queue-last-spans", daemon=True)
            sending.start()
            sending.join(STOP_TIMEOUT_S)

    @contextmanager
    def _run(
        self, name: str, of: Trace, kind: str, ago_s: float, told: Mapping[str, Told]
    ) -> Iterator[Notes]:
        span = self._tracer.start_span(
            name,
            self._headers.extract(of, self._empty),
            self._api.SpanKind[kind],
            dict(told),
            start_time=time.time_ns() - int(ago_s * 1e9),
        )
        here: dict[str, str] = {}
        self._headers.inject(here, self._api.set_span_in_context(span, self._empty))
        token = _current.set(here)
        notes = _SpanNotes(span, self._api.StatusCode.ERROR)
        try:
            yield notes
        except BaseException as error:
            notes.fail(error.code if isinstance(error, GymQueueError) else type(error).__name__, str(error))
            raise
        finally:
            _current.reset(token)
            span.end()


class _SpanNotes:
    def __init__(self, span: Span, failed: StatusCode) -> None:
        self._span, self._failed = span, failed

    def note(self, name: str, value: Told) -> None:
        self._span.set_attribute(name, value)

    def fail(self, code: str, sentence: str) -> None:
        self._span.set_attribute("error.type", code)
        self._span.set_status(self._failed, sentence[:SHOWN])


class _NoNotes:
    def note(self, name: str, value: Told) -> None:
        """Keep nothing."""

    def fail(self, code: str, sentence: str) -> None:
        """Keep nothing."""


OFF: AbstractContextManager[Notes] = nullcontext(_NoNotes())
NO_TRACING = Tracing()


def current() -> Trace:
    """Return what a span made here would be part of: the span that runs."""
    return _current.get()


def trace_of(headers: Mapping[str, str]) -> Trace:
    """Return what a request or a message is part of, as its headers tell."""
    return {name: str(value) for name in HEADERS if (value := headers.get(name))}


def of_caller() -> Trace:
    """Return what the program that uses our client does, when it uses OpenTelemetry itself: its current span."""
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return NOWHERE
    here = api.get_current_span().get_span_context()
    if not here.is_valid:
        return NOWHERE
    return {"traceparent": f"00-{here.trace_id:032x}-{here.span_id:016x}-{here.trace_flags:02x}"}


def is_sampled(trace: Trace) -> bool:
    """Return whether the caller keeps this trace, as its traceparent's flags tell."""
    flags = trace.get("traceparent", "")[SAMPLED_AT : SAMPLED_AT + 2]
    return len(flags) == 2 and flags[1] in "13579bdf"


def start_tracing(service: str, **resource: str) -> Tracing:
    """Return what sends a program's spans to the collector that OpenTelemetry's variables name, when they are wanted.

    Args:
        service: The program's name, unless OTEL_SERVICE_NAME says another.
        resource: Further attributes of the program, with ``.`` written as ``_``.

    Raises:
        StartupFailed: Traces are wanted, and the extra ``otel`` is not installed, or a variable cannot be followed.
    """
    try:
        settings = TracingSettings()
    except ValidationError as error:
        first = error.errors()[0]
        raise StartupFailed(f"the variable {first['loc'][0]} is not valid: {first['msg']}") from error
    if not settings.wanted:
        return NO_TRACING
    protocol = settings.traces_protocol or settings.protocol
    if protocol != PROTOCOL:
        raise StartupFailed(
            f"traces are sent by {PROTOCOL} alone, and OTEL_EXPORTER_OTLP_PROTOCOL asks for {protocol!r}: change it, or set GYM_ANYTHING_OTEL=0 to send none"
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider  # noqa: F401  missing as often as the exporter
    except ImportError as error:
        raise StartupFailed(
            "traces are wanted, and OpenTelemetry is not installed: run `pip install 'gym-queue[otel]'`, or set GYM_ANYTHING_OTEL=0"
        ) from error
    return Tracing(_provider(OTLPSpanExporter(), service, resource))


def _provider(exporter: SpanExporter, service: str, resource: Mapping[str, str]) -> TracerProvider:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {"service.name": os.environ.get("OTEL_SERVICE_NAME") or service, "service.version": __version__}
    told = {name.replace("_", "."): value for name, value in resource.items()}
    provider = TracerProvider(resource=Resource.create({**told, **named}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
