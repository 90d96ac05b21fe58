# mypy: ignore-errors
"""Chalice's WebSocket dispatch of one message, in process: prints its cost by batch, in µs.

`python chalice_routing.py BATCHES TIMES`: so many batches of so many messages.

Chalice hands over the connection and the body; finding the action, validating and encoding is the
application's, written here as short as it can be. Its management client is a list.
"""

import json
import sys
import time
from typing import Any

from chalice import Chalice
from pydantic import BaseModel

BATCHES, TIMES = map(int, sys.argv[1:])


class Text(BaseModel):
    text: str


class Client:
    """Takes the place of boto3's client and session."""

    region_name = "eu-west-1"

    def client(self, *_: Any, **__: Any) -> "Client":
        return self

    def post_to_connection(self, ConnectionId: str, Data: str) -> None:  # noqa: N803 - boto3's
        self.last = (ConnectionId, Data)


app = Chalice("peer")
app.experimental_feature_flags.add("WEBSOCKETS")
client = app.websocket_api.session = Client()


@app.on_ws_message()
def message(event: Any) -> None:
    body = event.json_body
    answer = ACTIONS[body["action"]](Text.model_validate(body["payload"]))
    said = {"type": "response", "request_id": body["id"], "success": True, "data": answer}
    app.websocket_api.send(event.connection_id, json.dumps(said))


def echo(text: Text) -> dict[str, str]:
    return {"text": text.text}


ACTIONS = {"echo": echo}
CONTEXT = {
    "apiId": "a",
    "stage": "s",
    "domainName": "d",
    "connectionId": "c",
    "routeKey": "$default",
    "eventType": "MESSAGE",
}
EVENT = {
    "requestContext": CONTEXT,
    "body": json.dumps({"id": "r-1", "action": "echo", "payload": {"text": "x" * 120}}),
}

costs = []
for _ in range(BATCHES):
    began = time.perf_counter_ns()
    for _ in range(TIMES):
        message(EVENT, {})
    costs.append((time.perf_counter_ns() - began) / TIMES / 1000)
assert "success" in client.last[1]
print(json.dumps(costs))
