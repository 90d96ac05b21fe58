"""Events in the shapes that AWS documents, with values of our own.

API Gateway's developer guide ("$connect and $disconnect routes", "WebSocket API mapping template
and access logging variables"), and Lambda's ("Using Lambda with DynamoDB", "… with Amazon SQS").
Names and nesting were compared with what AWS keeps in `github.com/aws/aws-lambda-go`, in
`events/testdata`: `apigw-websocket-request*.json`, `dynamodb-event.json`, `sqs-event.json`.
"""

from collections.abc import Mapping
from typing import Any

CONNECTION_ID = "L0SM9cOFvHcCIhw="
"""As API Gateway makes them: base64, with `=`, and now and then a `/`."""


def context(event_type: str, route: str, **more: Any) -> dict[str, Any]:
    return {
        "routeKey": route,
        "eventType": event_type,
        "extendedRequestId": "Gi9DMGAxoAMF5Zg=",
        "requestTime": "25/Nov/2026:10:17:47 +0000",
        "messageDirection": "IN",
        "stage": "prod",
        "connectedAt": 1795601867185,
        "requestTimeEpoch": 1795601867186,
        "identity": {"userAgent": "Mozilla/5.0", "sourceIp": "203.0.113.7"},
        "requestId": "Gi9DMGAxoAMF5Zg=",
        "domainName": "abcdef1234.execute-api.eu-central-1.amazonaws.com",
        "connectionId": CONNECTION_ID,
        "apiId": "abcdef1234",
        **more,
    }


def connecting(
    headers: Mapping[str, list[str]], query: Mapping[str, str] | None = None
) -> dict[str, Any]:
    event: dict[str, Any] = {
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": {name: list(values) for name, values in headers.items()},
        "requestContext": context("CONNECT", "$connect"),
        "isBase64Encoded": False,
    }
    if query:  # left out where there is none
        event["queryStringParameters"] = dict(query)
        event["multiValueQueryStringParameters"] = {name: [one] for name, one in query.items()}
    return event


def disconnecting() -> dict[str, Any]:
    return {
        "headers": {"Host": "abcdef1234.execute-api.eu-central-1.amazonaws.com"},
        "multiValueHeaders": {"Host": ["abcdef1234.execute-api.eu-central-1.amazonaws.com"]},
        "requestContext": context(
            "DISCONNECT",
            "$disconnect",
            disconnectStatusCode=1001,
            disconnectReason="Going away",
        ),
        "isBase64Encoded": False,
    }


def message(body: str, **more: Any) -> dict[str, Any]:
    return {
        "requestContext": context("MESSAGE", "$default", messageId="Gi9DMcEcoAMCIhw="),
        "body": body,
        "isBase64Encoded": False,
        **more,
    }


def stream(*records: Mapping[str, Any]) -> dict[str, Any]:
    return {"Records": list(records)}


def inserted(number: int, **image: Any) -> dict[str, Any]:
    return {
        "eventID": f"{number:032x}",
        "eventName": "INSERT",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-central-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1795601867,
            "Keys": {"ref": {"S": f"{number:032x}"}},
            "NewImage": {"ref": {"S": f"{number:032x}"}, **image},
            "SequenceNumber": f"{number}00000000000000000000",
            "SizeBytes": 26,
            "StreamViewType": "NEW_IMAGE",
        },
        "eventSourceARN": "arn:aws:dynamodb:eu-central-1:123456789012:table/streamer-requests/"
        "stream/2026-11-25T10:00:00.000",
    }


def queued(*bodies: str) -> dict[str, Any]:
    return {
        "Records": [
            {
                "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
                "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
                "body": body,
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": "1545082649183",
                    "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                    "ApproximateFirstReceiveTimestamp": "1545082649185",
                },
                "messageAttributes": {},
                "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:timers",
                "awsRegion": "eu-central-1",
            }
            for body in bodies
        ]
    }


SCHEDULED: Mapping[str, Any] = {
    "version": "0",
    "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "account": "123456789012",
    "time": "2026-11-25T10:18:00Z",
    "region": "eu-central-1",
    "resources": ["arn:aws:events:eu-central-1:123456789012:rule/sweep"],
    "detail": {},
}
