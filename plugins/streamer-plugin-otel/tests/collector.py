"""An OTLP/HTTP receiver: writes each span that it is sent as a line of JSON; prints its port."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


def plain(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


def described(span: Span, resource: Any) -> dict[str, Any]:
    return {
        "name": span.name,
        "kind": Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        "trace": span.trace_id.hex(),
        "id": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "links": [[link.trace_id.hex(), link.span_id.hex()] for link in span.links],
        "failed": span.status.code == 2,
        "attributes": {one.key: plain(one.value) for one in span.attributes},
        "resource": {one.key: plain(one.value) for one in resource.attributes},
    }


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert self.path == "/v1/traces"
        assert self.headers["Content-Type"] == "application/x-protobuf"
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = ExportTraceServiceRequest.FromString(body)
        lines = [
            json.dumps(described(span, group.resource))
            for group in request.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]
        with Path(sys.argv[1]).open("a", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(ExportTraceServiceResponse().SerializeToString())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
sys.stdout.write(f"{server.server_address[1]}\n")
sys.stdout.flush()
server.serve_forever()
