"""A role is assumed in the tenant's name, and kept until it is over. STS is an emulator's.

ministack evaluates who may assume a role; no emulator knows `dynamodb:LeadingKeys`, so that it may
touch nothing else is AWS's word, not this test's.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from streamer_plugin_tenancy.roles import TenantRoles

from streamer_core.ports import SystemClock
from streamer_core.scope import TenantScope
from streamer_core.testing import ManualClock
from tests.emulators import REGION, ministack

README = Path(__file__).parents[1] / "README.md"
ROLE = "arn:aws:iam::123456789012:role/tenant"


class Sts:
    """A client of STS, what it was asked, and the clock that its answers go by."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.client = boto3.client("sts", endpoint_url=endpoint, region_name=REGION)
        self.asked: list[dict[str, Any]] = []
        self.client.meta.events.register(
            "provide-client-params.sts.AssumeRole", lambda params, **_: self.asked.append(params)
        )

    def who(self, session: Any) -> str:
        client = session.client("sts", endpoint_url=self.endpoint, region_name=REGION)
        arn: str = client.get_caller_identity()["Arn"]
        return arn


@pytest.fixture
def sts(aws: Callable[[str], str]) -> Sts:
    return Sts(aws("moto"))


def session_of(roles: TenantRoles, tenant: str) -> Any:
    with TenantScope(tenant):
        return roles.session()


def test_the_role_is_assumed_in_the_tenants_name(sts: Sts) -> None:
    roles = TenantRoles(ROLE, external_id="streamer", sts=sts.client)
    session = session_of(roles, "acme")
    assert sts.asked == [
        {
            "RoleArn": ROLE,
            "RoleSessionName": "streamer-acme",
            "DurationSeconds": 3600,
            "Tags": [{"Key": "tenant", "Value": "acme"}],
            "ExternalId": "streamer",
        }
    ]
    assert sts.who(session) == "arn:aws:sts::123456789012:assumed-role/tenant/streamer-acme"


def test_a_session_is_kept_until_it_is_nearly_over(sts: Sts) -> None:
    clock = ManualClock()
    clock.set_now(SystemClock().now())
    roles = TenantRoles(ROLE, sts=sts.client, clock=clock)
    first = session_of(roles, "acme")
    clock.advance(3_200_000)
    assert session_of(roles, "acme") is first
    assert session_of(roles, "other") is not first
    clock.advance(200_000)
    assert session_of(roles, "acme") is not first
    assert len(sts.asked) == 3
    assert "ExternalId" not in sts.asked[0]


@pytest.mark.parametrize(
    ("role", "arn"),
    [
        ("arn:aws:iam::123456789012:role/of-{tenant}", "arn:aws:iam::123456789012:role/of-acme"),
        (
            {"acme": "arn:aws:iam::210987654321:role/streamer"}.__getitem__,
            "arn:aws:iam::210987654321:role/streamer",
        ),
    ],
    ids=["a role each", "an account each"],
)
def test_tenants_may_have_roles_and_accounts_of_their_own(sts: Sts, role: Any, arn: str) -> None:
    session = session_of(TenantRoles(role, sts=sts.client), "acme")
    assert sts.asked[0]["RoleArn"] == arn
    assert sts.who(session).startswith(f"arn:aws:sts::{arn.split(':')[4]}:assumed-role/")


def test_nobody_has_no_role(sts: Sts) -> None:
    with pytest.raises(RuntimeError, match="works for no tenant"):
        TenantRoles(ROLE, sts=sts.client).session()


@pytest.mark.parametrize("tenant", ["acme/../admin", "a" * 65, "ä*"])
def test_a_name_that_could_be_another_role_is_refused(sts: Sts, tenant: str) -> None:
    roles = TenantRoles("arn:aws:iam::123456789012:role/of-{tenant}", sts=sts.client)
    with pytest.raises(ValueError, match="cannot"):
        session_of(roles, tenant)
    assert sts.asked == []


def test_the_readmes_trust_asks_for_a_tenant_and_the_external_id(tmp_path: Path) -> None:
    found = re.findall(r"```json\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    (trust,) = (json.loads(one) for one in found if "sts:AssumeRole" in one)
    account = ROLE.split(":")[4]
    (statement,) = trust["Statement"]
    statement["Principal"] = {"AWS": f"arn:aws:iam::{account}:root"}
    with ministack(tmp_path, AUTH="true", MINISTACK_ACCOUNT_ID=account) as endpoint:
        given: Any = {"endpoint_url": endpoint, "region_name": REGION}
        iam, sts = boto3.client("iam", **given), boto3.client("sts", **given)
        iam.create_role(RoleName="tenant", AssumeRolePolicyDocument=json.dumps(trust))
        assert TenantRoles(ROLE, external_id="streamer", sts=sts).assume("acme").token
        for wrong in (None, "another"):
            with pytest.raises(ClientError, match="AccessDenied"):
                TenantRoles(ROLE, external_id=wrong, sts=sts).assume("acme")
        with pytest.raises(ClientError, match="AccessDenied"):
            sts.assume_role(RoleArn=ROLE, RoleSessionName="nobodys", ExternalId="streamer")
