"""A deployment on ministack: the functions as processes, behind a real WebSocket.

The functions run under the runtime client that AWS runs (`awslambdaric`), from this checkout.
"""

import io
import json
import sys
import zipfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from streamer_plugin_dynamodb import deployment
from streamer_plugin_dynamodb.database import Database, connect
from streamer_plugin_dynamodb.store import DynamoStore
from streamer_plugin_dynamodb.stream import FILTER

from streamer_core.ports import SystemClock
from tests.emulators import CREDENTIALS, REGION

LAMBDAS = Path(__file__).parents[3] / "lambdas"
PREFIX = "e2e-"
STAGE = "prod"
INVOKED = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions"
ROLE = "arn:aws:iam::000000000000:role/streamer"
BOOTSTRAP = """#!/bin/sh
export PYTHONPATH="$LAMBDA_TASK_ROOT"
cd "$LAMBDA_TASK_ROOT" && exec {python} -m awslambdaric "$_HANDLER"
"""


class Cloud:
    """Tables, functions, queues and an API.

    Args:
        address: of the emulator.
        project: a folder with `streamer.toml` and the handlers.
        environment: of the functions, besides.
    """

    def __init__(self, address: str, project: Path, **environment: str) -> None:
        self.address = address
        self.database = Database(PREFIX, connect(region=REGION, endpoint=address))
        deployment.create(self.database)
        self.timers, self.parking = (self._queue(name) for name in ("timers", "parking"))
        self.api_id = self._client("apigatewayv2").create_api(
            Name="streamer",
            ProtocolType="WEBSOCKET",
            RouteSelectionExpression="$request.body.action",
        )["ApiId"]
        endpoint = f"{address}/_aws/execute-api/{self.api_id}/{STAGE}"
        self.url = endpoint.replace("http://", "ws://")
        self._project = project
        self._environment = {
            "STREAMER_STORE": "dynamodb",
            "STREAMER_TRANSPORT": "apigateway",
            "STREAMER_PLUGINS__DYNAMODB__PREFIX": PREFIX,
            "STREAMER_PLUGINS__APIGATEWAY__ENDPOINT": endpoint,
            "STREAMER_PLUGINS__APIGATEWAY__WORKER": "worker",
            "STREAMER_PLUGINS__APIGATEWAY__TIMERS": self.timers,
            "STREAMER_PLUGINS__APIGATEWAY__PARKING": self.parking,
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": address,
            **environment,
        }
        for name in ("connect", "disconnect", "router", "processor", "sweeper"):
            self._function(name, timeout=29)
        self._function("worker", timeout=60)
        self._routes()
        self._streams()

    @cached_property
    def store(self) -> DynamoStore:
        """Give a store on the deployment's tables."""
        return DynamoStore(self.database, SystemClock())

    def invoke(self, name: str, event: Mapping[str, Any]) -> Any:
        """Call a function, wait for it, and give its answer."""
        answer = self._client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
        payload = json.loads(answer["Payload"].read() or b"null")
        assert "FunctionError" not in answer, payload
        return payload

    def messages(self, queue: str) -> list[str]:
        """Take what waits in a queue."""
        taken = self._client("sqs").receive_message(
            QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1
        )
        return [message["Body"] for message in taken.get("Messages", ())]

    def _client(self, service: str) -> Any:
        return boto3.client(service, endpoint_url=self.address, region_name=REGION)

    def _queue(self, name: str) -> str:
        url: str = self._client("sqs").create_queue(QueueName=name)["QueueUrl"]
        return url

    def _function(self, name: str, *, timeout: int) -> None:
        self._client("lambda").create_function(
            FunctionName=name,
            Runtime="provided.al2023",
            Role=ROLE,
            Handler="handler.handler",
            Code={"ZipFile": self._bundle(name)},
            Timeout=timeout,
            MemorySize=256,
            Environment={"Variables": self._environment},
        )

    def _bundle(self, name: str) -> bytes:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as bundle:
            bootstrap = zipfile.ZipInfo("bootstrap")
            bootstrap.external_attr = 0o755 << 16
            bundle.writestr(bootstrap, BOOTSTRAP.format(python=sys.executable))
            bundle.write(LAMBDAS / name / "handler.py", "handler.py")
            for path in sorted(self._project.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    bundle.write(path, str(path.relative_to(self._project)))
        return packed.getvalue()

    def _routes(self) -> None:
        api = self._client("apigatewayv2")
        for route, name in (
            ("$connect", "connect"),
            ("$disconnect", "disconnect"),
            ("$default", "router"),
        ):
            arn = f"arn:aws:lambda:{REGION}:000000000000:function:{name}"
            integration = api.create_integration(
                ApiId=self.api_id,
                IntegrationType="AWS_PROXY",
                IntegrationUri=f"{INVOKED}/{arn}/invocations",
            )["IntegrationId"]
            given = {"RouteResponseSelectionExpression": "$default"} if name == "router" else {}
            made = api.create_route(
                ApiId=self.api_id, RouteKey=route, Target=f"integrations/{integration}", **given
            )
            if given:
                api.create_route_response(
                    ApiId=self.api_id, RouteId=made["RouteId"], RouteResponseKey="$default"
                )
        api.create_stage(ApiId=self.api_id, StageName=STAGE, AutoDeploy=True)

    def _streams(self) -> None:
        functions = self._client("lambda")
        table = self.database.call("describe_table", {"TableName": f"{PREFIX}requests"})["Table"]
        functions.create_event_source_mapping(
            EventSourceArn=table["LatestStreamArn"],
            FunctionName="processor",
            StartingPosition="TRIM_HORIZON",
            BatchSize=100,
            FunctionResponseTypes=["ReportBatchItemFailures"],
            FilterCriteria={"Filters": [{"Pattern": json.dumps(FILTER)}]},
        )
        arn = self._client("sqs").get_queue_attributes(
            QueueUrl=self.timers, AttributeNames=["QueueArn"]
        )["Attributes"]["QueueArn"]
        functions.create_event_source_mapping(
            EventSourceArn=arn, FunctionName="worker", BatchSize=1
        )
