"""A tenant's own tables in a deployment, set up as docs/deploy.md tells."""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from streamer_plugin_dynamodb.database import Database, connect
from streamer_plugin_dynamodb.store import DynamoStore
from streamer_plugin_dynamodb.tables import Requests

from lambdas.build import ROOT
from streamer_core.model.request import Status
from streamer_core.ports import SystemClock
from tests.e2e.aws.cloud import OWN, PREFIX, Cloud
from tests.e2e.aws.conftest import PROJECT
from tests.e2e.aws.kit import chunks, joined, new_id, scenario
from tests.emulators import REGION

pytestmark = pytest.mark.timeout(180)

TENANT = "globex"
TABLES = f"{OWN}{TENANT}-"
OPERATORS = {
    "STREAMER_STORE": "dynamodb",
    "STREAMER_TRANSPORT": "local",
    "STREAMER_PLUGINS": "local,dynamodb,tenancy,ratelimit,circuitbreaker,jwt",
    "STREAMER_PLUGINS__DYNAMODB__PREFIX": PREFIX,
}
READ: dict[str, dict[str, Any]] = {
    "boolean": {"action": "store_true"},
    "integer": {"type": int},
    "list": {"nargs": "*"},
    "structure": {"type": json.loads},
}
"""How an option of AWS's command line is read, by its type."""


def mapping(cloud: Cloud, stream: str) -> dict[str, Any]:
    """Give what the page's command for the mapping asks for, of this stream and deployment."""
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    (command,) = re.findall(r"\$ aws lambda create-event-source-mapping(.*?)\n\n", page, re.DOTALL)
    model = cloud.client("lambda").meta.service_model.operation_model("CreateEventSourceMapping")
    parser = argparse.ArgumentParser(exit_on_error=False)
    for name, shape in model.input_shape.members.items():
        option = "--" + xform_name(name, "-")
        parser.add_argument(option, dest=name, **READ.get(shape.type_name, {}))
    words = shlex.split(command.replace("\\\n", ""))
    given = {name: value for name, value in vars(parser.parse_args(words)).items() if value}
    given["DestinationConfig"]["OnFailure"]["Destination"] = cloud.arn(cloud.parking)
    return given | {"FunctionName": f"{PREFIX}processor", "EventSourceArn": stream}


@pytest.fixture(scope="module")
def own(cloud: Cloud) -> Iterator[Database]:
    """Make the tenant's tables, and have the processor read the stream of its requests."""
    streamer = Path(sys.executable).with_name("streamer")
    command = [str(streamer), "tables", "--tenant", TENANT, "create"]
    environment = {**os.environ, **OPERATORS, "AWS_ENDPOINT_URL": cloud.address}
    subprocess.run(command, cwd=PROJECT, env=environment, check=True, timeout=60)
    tables = Database(TABLES, connect(region=REGION, endpoint=cloud.address))
    described = tables.call("describe_table", {"TableName": tables.name(Requests)})
    client = cloud.client("lambda")
    made = client.create_event_source_mapping(
        **mapping(cloud, described["Table"]["LatestStreamArn"])
    )
    yield tables
    client.delete_event_source_mapping(UUID=made["UUID"])


@scenario
async def test_its_stream_wakes_the_workers(cloud: Cloud, own: Database) -> None:
    """Nobody sweeps here: a worker comes by the stream or not at all."""
    theirs = DynamoStore(own, SystemClock())
    async with joined(cloud, f"{TENANT}.gus") as wire:
        name = await wire.send("count", {"steps": 3}, id=new_id())
        ref = (await wire.answer(name))["ref"]
        assert (await wire.end(name))["result"] == {"steps": 3}
        assert chunks(wire, name) == [0, 1, 2]
    stored = theirs.get(ref)
    assert stored is not None
    assert (stored.status, stored.tenant) == (Status.COMPLETED, TENANT)
    assert cloud.store.get(ref) is None


@scenario
async def test_who_comes_back_gets_the_rest_from_there(cloud: Cloud, own: Database) -> None:
    async with joined(cloud, f"{TENANT}.gus") as wire:
        name = await wire.send("count", {"steps": 3, "pause_s": 0.2}, id=new_id())
        await wire.answer(name)
    async with joined(cloud, f"{TENANT}.gus") as back:
        await back.send("streamer.resume", {"requests": {name: 0}})
        assert (await back.end(name))["result"] == {"steps": 3}
    async with joined(cloud, "acme.ann") as other:
        answer = await other.ask("streamer.cancel", {"request_id": name})
        assert answer["error"]["code"] == "NOT_FOUND"
