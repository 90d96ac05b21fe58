"""A deployment on ministack: `lambdas/template.yaml`, with bundles as `make build` makes them.

`sam deploy` makes it, as in `make deploy`: it packs and uploads the bundles, and has CloudFormation
make what the template names.

The functions run as processes, behind a real WebSocket, under the runtime client that AWS runs
(`awslambdaric`), and find nothing but it and what is in their bundles. Each has its own role of the
template, and may do what that allows: the emulator evaluates IAM's policies (`AUTH`). What it does
for the functions it does without asking: read the stream and the queue, and write logs.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from streamer_plugin_dlq.letters import Letters
from streamer_plugin_dlq.settings import DlqSettings
from streamer_plugin_dynamodb.database import Database, connect
from streamer_plugin_dynamodb.store import DynamoStore

from lambdas.build import ROOT, TEMPLATE, Target, build
from streamer_core.ports import SystemClock
from tests.emulators import PYTHON, REGION

PREFIX = "e2e-"
OWN = "own-"
"""What the names of tables of tenants' own begin with."""

ABROAD = "arn:aws:iam::210987654321:role/streamer-overseas"
"""The role of a tenant whose tables are in an account of its own."""

STACK = "streamer"
SAM = ROOT / ".venv" / "sam" / "bin" / "sam"
NOT_HERE = {
    "ApiDefaultRouteResponse": "made below by API Gateway's own API; this CloudFormation has none",
    "Budget": "this CloudFormation has no AWS::Budgets::Budget",
    "ErrorsAlarm": "this CloudWatch has no metric math",
    "ThrottlesAlarm": "this CloudWatch has no metric math",
}
"""Resources of the template that the emulator cannot make."""

_PARSE = """
import json, sys
from samtranslator.yaml_helper import yaml_parse
print(json.dumps(yaml_parse(sys.stdin.read())))
"""
_DEPLOYED_S = 300
_BOOTSTRAP = """#!/bin/sh
export PYTHONPATH="$LAMBDA_TASK_ROOT:{runtime}"
cd "$LAMBDA_TASK_ROOT" && exec {python} -S -m awslambdaric "$_HANDLER"
"""


def template() -> dict[str, Any]:
    """Read the template; the short forms of CloudFormation's functions are made long ones."""
    text = TEMPLATE.read_text("utf-8")
    done = subprocess.run(
        [PYTHON, "-c", _PARSE], input=text, stdout=subprocess.PIPE, text=True, check=True
    )
    read: dict[str, Any] = json.loads(done.stdout)
    return read


class Cloud:
    """Tables, functions, queues and an API.

    Args:
        address: of the emulator.
        project: a folder with `streamer.toml` and the handlers.
        folder: to build in.
        environment: of the functions, besides.
    """

    def __init__(self, address: str, project: Path, folder: Path, **environment: str) -> None:
        self.address = address
        self.database = Database(PREFIX, connect(region=REGION, endpoint=address))
        self._runtime = folder / "runtime"
        self.bundles = {
            path.name: path for path in build(project, folder / "bundles", Target.here())
        }
        self._bootstrap()
        self._deploy(self._fitted(template(), environment), folder)
        self.api_id = self._made("Api")
        self.url = f"{address.replace('http://', 'ws://')}/_aws/execute-api/{self.api_id}/prod"
        self.timers, self.parking = self._made("Timers"), self._made("Parking")
        self.dead_timers = self._made("DeadTimers")
        self._answer()

    @cached_property
    def store(self) -> DynamoStore:
        """Give a store on the deployment's tables."""
        return DynamoStore(self.database, SystemClock())

    @cached_property
    def letters(self) -> Letters:
        """Give the dead letters on the deployment's tables."""
        return Letters(self.store, self.store.clock, DlqSettings().keep)

    def invoke(self, name: str, event: Mapping[str, Any]) -> Any:
        """Call a function, wait for it, and give its answer."""
        answer = self.client("lambda").invoke(FunctionName=PREFIX + name, Payload=json.dumps(event))
        payload = json.loads(answer["Payload"].read() or b"null")
        assert "FunctionError" not in answer, payload
        return payload

    def messages(self, queue: str) -> list[str]:
        """Take what waits in a queue."""
        taken = self.client("sqs").receive_message(
            QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1
        )
        return [message["Body"] for message in taken.get("Messages", ())]

    @cached_property
    def account(self) -> str:
        """Give the ARN of the account's root."""
        arn: str = self.client("sts").get_caller_identity()["Arn"]
        return arn

    def arn(self, queue: str) -> str:
        """Give a queue's ARN."""
        asked = self.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
        arn: str = asked["Attributes"]["QueueArn"]
        return arn

    def allowed(self, role: str, resource: str, actions: Sequence[str]) -> set[str]:
        """Give which of these actions on `service:resource` a role has."""
        described = self.client("iam").get_role(RoleName=self._made(role))["Role"]
        account = described["Arn"].split(":")[4]
        service, _, name = resource.partition(":")
        answer = self.client("iam").simulate_principal_policy(
            PolicySourceArn=described["Arn"],
            ActionNames=[f"{service}:{one}" for one in actions],
            ResourceArns=[f"arn:aws:{service}:{REGION}:{account}:{name}"],
        )
        return {
            one["EvalActionName"].removeprefix(f"{service}:")
            for one in answer["EvaluationResults"]
            if one["EvalDecision"] == "allowed"
        }

    def logged(self) -> list[str]:
        """Give the lines in the log group of the functions."""
        pages = self.client("logs").get_paginator("filter_log_events")
        read = pages.paginate(logGroupName=self._made("Logs"))
        return [event["message"] for page in read for event in page["events"]]

    @contextmanager
    def lacking(self, policy: str, action: str) -> Iterator[None]:
        """Take an action out of one of the template's policies for a while."""
        iam, arn = self.client("iam"), self._made(policy)
        usual = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        version = iam.get_policy_version(PolicyArn=arn, VersionId=usual)["PolicyVersion"]

        def put(document: Mapping[str, Any]) -> None:
            written = json.dumps(document)
            iam.create_policy_version(PolicyArn=arn, PolicyDocument=written, SetAsDefault=True)

        put(_without(action, version["Document"]))
        try:
            yield
        finally:
            put(version["Document"])

    def client(self, service: str) -> Any:
        """Give boto's client of one of the emulator's services."""
        return boto3.client(service, endpoint_url=self.address, region_name=REGION)

    def _bootstrap(self) -> None:
        """Give the functions what runs them."""
        for bundle in self.bundles.values():
            bootstrap = bundle / "bootstrap"
            bootstrap.write_text(_BOOTSTRAP.format(python=sys.executable, runtime=self._runtime))
            bootstrap.chmod(0o755)
        # As on Lambda, the runtime client is the function's, and none of the bundle's.
        uv, into = Path(sys.executable).with_name("uv"), ["--target", str(self._runtime)]
        pinned = ["--constraint", str(ROOT / "constraints.txt")]
        subprocess.run([uv, "-q", "pip", "install", *into, *pinned, "awslambdaric"], check=True)

    def _fitted(self, wanted: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
        """Give the template as this emulator can deploy it. All that differs is here."""
        for name in NOT_HERE:
            del wanted["Resources"][name]
        for resource in wanted["Resources"].values():
            if resource["Type"] == "AWS::Serverless::Function":
                name = Path(resource["Properties"]["CodeUri"]).name
                resource["Properties"]["CodeUri"] = str(self.bundles[name])
        (collecting,) = wanted["Resources"]["CollectPolicy"]["Properties"]["PolicyDocument"][
            "Statement"
        ]
        # AWS has no such action: sqs:DeleteMessage allows it (API reference of SQS, AddPermission).
        collecting["Action"].append("sqs:DeleteMessageBatch")
        everywhere = wanted["Globals"]["Function"]
        everywhere["Runtime"] = "provided.al2023"  # another would be looked for as a container
        everywhere["Environment"]["Variables"] |= {
            "AWS_ENDPOINT_URL": self.address,
            "STREAMER_PLUGINS__APIGATEWAY__ENDPOINT": {
                "Fn::Sub": f"{self.address}/_aws/execute-api/${{Api}}/prod"
            },
            **environment,
        }
        return wanted

    def _deploy(self, fitted: Mapping[str, Any], folder: Path) -> None:
        path = folder / "template.json"
        path.write_text(json.dumps(fitted), "utf-8")
        own = {"AWS_ENDPOINT_URL": self.address, "SAM_CLI_TELEMETRY": "0", "HOME": str(folder)}
        command = [
            *(str(SAM), "deploy", "--template-file", str(path), "--stack-name", STACK),
            *("--resolve-s3", "--capabilities", "CAPABILITY_IAM"),
            *("--parameter-overrides", f"Prefix={PREFIX}", "CollectDeadLetters=true"),
            *(f"TenantTables={OWN}", f"TenantRoles={ABROAD}"),
        ]
        done = subprocess.run(
            command,
            env={**os.environ, **own},
            capture_output=True,
            text=True,
            timeout=_DEPLOYED_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _made(self, name: str) -> str:
        answer = self.client("cloudformation").describe_stack_resource(
            StackName=STACK, LogicalResourceId=name
        )
        made: str = answer["StackResourceDetail"]["PhysicalResourceId"]
        return made

    def _answer(self) -> None:
        """Make the resource that has the router's answers sent: see NOT_HERE."""
        route = self._made("ApiDefaultRoute").rpartition("/")[2]  # AWS gives it without the API's
        self.client("apigatewayv2").create_route_response(
            ApiId=self.api_id, RouteId=route, RouteResponseKey="$default"
        )


def _without(action: str, document: Mapping[str, Any]) -> dict[str, Any]:
    lists = [
        {**one, "Action": [one["Action"]] if isinstance(one["Action"], str) else one["Action"]}
        for one in document["Statement"]
    ]
    left = [
        {**one, "Action": [allowed for allowed in one["Action"] if allowed != action]}
        for one in lists
    ]
    assert left != lists, f"{action} is not allowed anyway"
    # IAM takes no statement without an action; the emulator would let it allow all.
    return {**document, "Statement": [one for one in left if one["Action"]]}
