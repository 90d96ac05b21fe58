"""Tenants' own tables, made as docs/deploy.md tells an operator to.

The emulator evaluates the policies across accounts; it maps no stream of another account.
"""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import boto3
from botocore import xform_name
from streamer_plugin_dynamodb.database import Database, connect
from streamer_plugin_dynamodb.tables import Requests

from lambdas.build import ROOT
from tests.e2e.aws.cloud import ABROAD, OWN, PREFIX, Cloud, template
from tests.emulators import REGION

PAGE = (ROOT / "docs" / "deploy.md").read_text("utf-8")
README = (ROOT / "plugins" / "streamer-plugin-tenancy" / "README.md").read_text("utf-8")
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


def create_own(cloud: Cloud, project: Path, tenant: str) -> None:
    """Make tables in the deployment's account, and have the processor read their stream."""
    _create(cloud, project, tenant)
    made = own_tables(cloud, tenant)
    described = made.call("describe_table", {"TableName": made.name(Requests)})["Table"]
    wanted = _mapping(cloud, described["LatestStreamArn"])
    cloud.client("lambda").create_event_source_mapping(**wanted)


def own_tables(cloud: Cloud, tenant: str) -> Database:
    """Open a tenant's own tables in the deployment's account."""
    return Database(f"{OWN}{tenant}-", connect(region=REGION, endpoint=cloud.address))


def create_abroad(cloud: Cloud, project: Path, tenant: str, external_id: str) -> None:
    """Make a role in another account, and tables by it."""
    account, role = ABROAD.split(":")[4], ABROAD.rpartition("/")[2]
    iam = boto3.client(
        "iam",
        endpoint_url=cloud.address,
        region_name=REGION,
        aws_access_key_id=account,  # the emulator takes it for the account's root
        aws_secret_access_key="any",
    )
    blocks = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
    (trust,) = (one for one in blocks if "sts:AssumeRole" in one)
    trust = trust.replace("arn:aws:iam::123456789012:role/streamer-worker", cloud.account)
    trust = trust.replace('"streamer"', f'"{external_id}"')
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust)
    policy = template()["Resources"]["TenantTablesPolicy"]["Properties"]["PolicyDocument"]
    usual = _allowing(policy["Statement"][0]["Action"])
    iam.put_role_policy(RoleName=role, PolicyName="usual", PolicyDocument=usual)
    (sentence,) = re.findall(r"so that it needs (.*?) meanwhile", PAGE)
    making = [f"dynamodb:{one.split(':')[-1]}" for one in re.findall(r"`(.*?)`", sentence)]
    iam.put_role_policy(RoleName=role, PolicyName="meanwhile", PolicyDocument=_allowing(making))
    _create(cloud, project, tenant)
    iam.delete_role_policy(RoleName=role, PolicyName="meanwhile")


def _mapping(cloud: Cloud, stream: str) -> dict[str, Any]:
    """Give what the page's command for the mapping asks for, of this stream and deployment."""
    (command,) = re.findall(r"\$ aws lambda create-event-source-mapping(.*?)\n\n", PAGE, re.DOTALL)
    model = cloud.client("lambda").meta.service_model.operation_model("CreateEventSourceMapping")
    parser = argparse.ArgumentParser(exit_on_error=False)
    for name, shape in model.input_shape.members.items():
        option = "--" + xform_name(name, "-")
        parser.add_argument(option, dest=name, **READ.get(shape.type_name, {}))
    words = shlex.split(command.replace("\\\n", ""))
    given = {name: value for name, value in vars(parser.parse_args(words)).items() if value}
    given["DestinationConfig"]["OnFailure"]["Destination"] = cloud.arn(cloud.parking)
    return given | {"FunctionName": f"{PREFIX}processor", "EventSourceArn": stream}


def _create(cloud: Cloud, project: Path, tenant: str) -> None:
    command = [str(Path(sys.executable).with_name("streamer")), "tables", "--tenant", tenant]
    environment = {**os.environ, **OPERATORS, "AWS_ENDPOINT_URL": cloud.address}
    subprocess.run([*command, "create"], cwd=project, env=environment, check=True, timeout=60)


def _allowing(actions: Iterable[str]) -> str:
    tables = f"arn:aws:dynamodb:{REGION}:{ABROAD.split(':')[4]}:table/{PREFIX}*"
    statement = {"Effect": "Allow", "Action": [*actions], "Resource": tables}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
