"""A real WebSocket API on an emulator, whose one function tells a client its connection's id."""

import io
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from tests.emulators import REGION

CODE = """
def handler(event, context):
    return {"statusCode": 200, "body": event["requestContext"]["connectionId"]}
"""
ROLE = "arn:aws:iam::000000000000:role/any"
INVOKED = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions"


@pytest.fixture(scope="session")
def address(aws: Callable[[str], str]) -> Iterator[str]:
    """Give the address of an emulator, to which the AWS environment points, too."""
    with pytest.MonkeyPatch.context() as patch:
        url = aws("ministack")
        patch.setenv("AWS_ENDPOINT_URL", url)
        yield url


@pytest.fixture(scope="session")
def client_of(address: str) -> Any:
    """Give a function that makes a client of a service."""
    return lambda service: boto3.client(service, endpoint_url=address, region_name=REGION)


@pytest.fixture(scope="session")
def function(client_of: Any) -> str:
    """Give the function's ARN."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as bundle:
        bundle.writestr("handler.py", CODE)
    made: str = client_of("lambda").create_function(
        FunctionName="who",
        Runtime="python3.12",
        Role=ROLE,
        Handler="handler.handler",
        Code={"ZipFile": packed.getvalue()},
    )["FunctionArn"]
    return made


@pytest.fixture(scope="session")
def api(client_of: Any, address: str, function: str) -> str:
    """Give the management API's address; the client's is the same with `ws`."""
    gateway = client_of("apigatewayv2")
    api_id = gateway.create_api(
        Name="who", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action"
    )["ApiId"]
    integration = gateway.create_integration(
        ApiId=api_id,
        IntegrationType="AWS_PROXY",
        IntegrationUri=f"{INVOKED}/{function}/invocations",
    )["IntegrationId"]
    route = gateway.create_route(
        ApiId=api_id,
        RouteKey="$default",
        Target=f"integrations/{integration}",
        RouteResponseSelectionExpression="$default",
    )["RouteId"]
    gateway.create_route_response(ApiId=api_id, RouteId=route, RouteResponseKey="$default")
    gateway.create_stage(ApiId=api_id, StageName="prod", AutoDeploy=True)
    return f"{address}/_aws/execute-api/{api_id}/prod"
