"""A cold router: its start and its first message, against an eager start of the same packages.

The router is the bundle that `make build` makes. Both run under the runtime client that Lambda
runs, `awslambdaric`, which asks a small server for its event as it would ask Lambda, and DynamoDB
is an emulator. What a function costs that does nothing (the interpreter and the runtime client) is
taken from both. Fresh processes, by turns.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path

from streamer_plugin_dynamodb import deployment
from streamer_plugin_dynamodb.database import Database, connect
from streamer_plugin_dynamodb.store import DynamoStore

from benchmarks.options import Options
from benchmarks.report import Report
from lambdas.build import Target, build
from streamer_core.model.connection import Connection
from streamer_core.model.principal import Principal
from streamer_core.ports import SystemClock
from tests.emulators import CREDENTIALS, REGION, ministack
from tests.emulators.runtime import BOUND_S, function, runtime_api
from tests.samples import aws_events

BOUND, AIM = 0.75, 0.5
PREFIX = "cold-"

NOTHING = """
def handler(event, context):
    return {"statusCode": 200}
"""

EAGER = """
import os
from importlib.metadata import entry_points

import boto3
import pynamodb.models
import structlog
from pydantic import BaseModel


class Message(BaseModel):
    action: str
    payload: dict = {}


PLUGINS = list(entry_points(group="streamer.plugins"))
LOG = structlog.get_logger()
DYNAMODB = boto3.client("dynamodb")
MANAGEMENT = boto3.client("apigatewaymanagementapi", endpoint_url=os.environ["MANAGEMENT"])


def handler(event, context):
    key = {"id": {"S": event["requestContext"]["connectionId"]}}
    found = DYNAMODB.get_item(TableName="cold-connections", Key=key, ConsistentRead=True)
    assert found["Item"]
    message = Message.model_validate_json(event["body"])
    return {"statusCode": 200, "body": message.model_dump_json()}
"""

PYPROJECT = """
[project]
name = "tokens"
version = "1"

[project.entry-points."streamer.plugins"]
tokens = "tokens:TokensPlugin"

[build-system]
requires = ["hatchling>=1.26"]
build-backend = "hatchling.build"

[tool.hatch.build.targets.wheel]
include = ["tokens.py"]
"""

HANDLERS = """
from streamer_core import handler


@handler("echo")
def echo(payload: dict) -> dict:
    return payload
"""

TOKENS = """
from streamer_core.markers import hookimpl


class TokensPlugin:
    def __init__(self, settings, app):
        pass

    @hookimpl
    def streamer_authenticate(self, handshake):
        return None
"""


def run(report: Report, options: Options) -> None:
    """Alternate them."""
    os.environ.update(CREDENTIALS)
    rounds = options.size(15, 1)
    with tempfile.TemporaryDirectory(prefix="streamer-benchmark-") as name:
        folder = Path(name)
        with ministack(folder) as address:
            _tables(address)
            environment = _environment(address)
            functions = {
                "nothing": _function(folder / "nothing", NOTHING),
                "eager": _function(folder / "eager", EAGER),
                "router": _router(folder),
            }
            taken: dict[str, list[float]] = {which: [] for which in functions}
            for turn in range(rounds + 1):
                for which, place in functions.items():
                    seconds = _cold(place, environment)
                    if turn:  # the first one compiles
                        taken[which].append(seconds)
    medians = {which: statistics.median(those) for which, those in taken.items()}
    for which, seconds in medians.items():
        report.add(which, 1000 * seconds, "ms")
    nothing = medians["nothing"]
    ratio = (medians["router"] - nothing) / (medians["eager"] - nothing)
    report.add("(router - nothing) / (eager - nothing)", ratio, "", bound=BOUND, aim=AIM)
    report.note(f"medians of {rounds} fresh processes each, from their start to the first answer")


def _tables(address: str) -> None:
    database = Database(PREFIX, connect(region=REGION, endpoint=address))
    deployment.create(database)
    store = DynamoStore(database, SystemClock())
    now = store.clock.now()
    principal = Principal(user="ann", tenant="acme")
    store.put_connection(
        Connection(
            id=aws_events.CONNECTION_ID,
            principal=principal,
            connected_at=now,
            expires_at=now + 7_200_000,
        )
    )


def _environment(address: str) -> dict[str, str]:
    return {
        **CREDENTIALS,
        "AWS_ENDPOINT_URL": address,
        "MANAGEMENT": f"{address}/prod",
        "STREAMER_STORE": "dynamodb",
        "STREAMER_TRANSPORT": "apigateway",
        "STREAMER_FROZEN": "streamer.frozen.json",
        "STREAMER_PLUGINS__DYNAMODB__PREFIX": PREFIX,
        "STREAMER_PLUGINS__APIGATEWAY__ENDPOINT": f"{address}/prod",
    }


def _function(place: Path, code: str) -> Path:
    """Make the folder of a function of one module."""
    place.mkdir()
    (place / "handler.py").write_text(code)
    return place


def _router(folder: Path) -> Path:
    """Make the router's bundle, as `make build` does, for this machine."""
    project, plugin = folder / "project", folder / "project" / "tokens"
    plugin.mkdir(parents=True)
    (project / "streamer.toml").write_text('[streamer]\nhandlers = ["jobs"]\n')
    (project / "jobs.py").write_text(HANDLERS)
    (project / "plugins.txt").write_text("./tokens\n")
    (plugin / "tokens.py").write_text(TOKENS)
    (plugin / "pyproject.toml").write_text(PYPROJECT)
    made = build(project, folder / "bundles", Target.here())
    return next(bundle for bundle in made if bundle.name == "router")


def _cold(place: Path, environment: dict[str, str]) -> float:
    """Start a function, and give the seconds to its first answer."""
    with runtime_api() as api:
        told = api.invoke(aws_events.message('{"action": "echo", "payload": {"n": 1}}'))
        began = time.perf_counter()
        with function(place, api, environment):
            answer = told.result(BOUND_S)
            seconds = time.perf_counter() - began
    if answer.kind != "response" or answer.body.get("statusCode") != 200:
        raise RuntimeError(f"{place.name}: {answer}")
    if "error" in answer.body.get("body", ""):
        raise RuntimeError(f"{place.name}: {answer}")
    return seconds
