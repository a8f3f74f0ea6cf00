"""The steps of the workload as spans of OpenTelemetry, for stores that take these."""

import json
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

_KINDS = {"llm": "LLM", "tool": "TOOL", "run": "CHAIN"}


def bodies(source: Iterator[dict[str, Any]], batch: int, count: int) -> list[bytes]:
    """Make the bodies of export requests with `count` spans in all."""
    return [_body(list(islice(source, min(batch, count - start)))) for start in range(0, count, batch)]


def _body(steps: Sequence[dict[str, Any]]) -> bytes:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.append(_pair("service.name", "bench"))
    resource.scope_spans.add().spans.extend(_span(step) for step in steps)
    return bytes(request.SerializeToString())


def _span(step: dict[str, Any]) -> Span:
    generation = step.get("generation") or {}
    texts = {
        "openinference.span.kind": _KINDS.get(step["type"], "UNKNOWN"),
        "session.id": step["threadId"],
        "input.value": json.dumps(step.get("input") or generation.get("messages") or {}),
        "output.value": json.dumps(step.get("output") or generation.get("messageCompletion") or {}),
        "metadata": json.dumps(step["metadata"]),
    }
    if generation:
        texts |= {"llm.model_name": generation["model"], "llm.provider": generation["provider"]}
    parent = step["parentId"]
    return Span(
        trace_id=uuid.UUID(step["threadId"]).bytes,
        span_id=_span_id(step["id"]),
        parent_span_id=_span_id(parent) if parent else b"",
        name=step["name"],
        start_time_unix_nano=_nanoseconds(step["startTime"]),
        end_time_unix_nano=_nanoseconds(step["endTime"]),
        attributes=[_pair(name, text) for name, text in texts.items()],
    )


def _span_id(identity: str) -> bytes:
    return uuid.UUID(identity).bytes[:8]


def _nanoseconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1_000_000) * 1_000


def _pair(name: str, text: str) -> KeyValue:
    return KeyValue(key=name, value=AnyValue(string_value=text))
