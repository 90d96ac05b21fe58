"""AWS's word for a tenant: a role assumed in its name, for what a handler has on AWS itself.

A session for a handler needs boto3, by the extra `streamer-plugin-tenancy[aws]`; the role of a
tenant's own tables only botocore, which the store on DynamoDB brings.
"""

import re
import threading
from collections.abc import Callable
from typing import Any

from streamer_core.model.tables import Credentials
from streamer_core.ports import Clock, SystemClock
from streamer_core.scope import current_tenant

TAG = re.compile(r"[\w .:/=+@-]{1,256}")
"""What a tag of a session may be: IAM user guide, "Rules for tagging"."""
_IN_ARN = re.compile(r"[A-Za-z0-9_.@=+-]{1,64}")
_NOT_IN_SESSION_NAME = re.compile(r"[^A-Za-z0-9_=,.@-]")  # STS API: AssumeRole, RoleSessionName
_MARGIN_MS = 300_000
_MOST_SESSIONS = 1_000


class TenantRoles:
    """Gives sessions of boto3 that may do what the present tenant's role may do.

    ```python
    roles = TenantRoles("arn:aws:iam::123456789012:role/tenant", external_id="streamer")
    table = roles.session().resource("dynamodb").Table("orders")     # in a handler
    ```

    Args:
        role: the role's ARN, in which `{tenant}` stands for the tenant's name; or a function of the
            tenant that gives it, as where each has an account of its own.
        external_id: what the role's trust asks for, where it belongs to somebody else's account.
        seconds: how long a session is good (900 to 43200; 3600 where roles are chained).
        sts: a client of STS; left out: as the AWS environment says.
        clock: tells when a session is over.
    """

    def __init__(
        self,
        role: str | Callable[[str], str],
        *,
        external_id: str | None = None,
        seconds: int = 3600,
        sts: Any = None,
        clock: Clock | None = None,
    ) -> None:
        self._role = role
        self._external_id = external_id
        self._seconds = seconds
        self._sts = sts
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._sessions: dict[str, tuple[float, Any]] = {}

    def session(self) -> Any:
        """Give a `boto3.Session` of the tenant that this thread works for.

        It is kept until five minutes before its end: ask for it each time.

        Raises:
            RuntimeError: this thread works for no tenant.
            ValueError: the tenant's name cannot be a session's tag, or stand in an ARN.
            botocore.exceptions.ClientError: STS refuses.
        """
        tenant = current_tenant()
        if tenant is None:
            raise RuntimeError("this thread works for no tenant; nobody's role can be assumed")
        with self._lock:
            until, session = self._sessions.get(tenant, (0.0, None))
        if session is None or self._clock.now() >= until - _MARGIN_MS:
            until, session = self._assumed(tenant)  # STS may be slow: no other tenant waits for it
            with self._lock:
                if len(self._sessions) >= _MOST_SESSIONS:
                    self._sessions.clear()
                self._sessions[tenant] = until, session
        return session

    def assume(self, tenant: str) -> Credentials:
        """Assume the role in a tenant's name, anew at each call.

        Raises:
            ValueError: the tenant's name cannot be a session's tag, or stand in an ARN.
            botocore.exceptions.ClientError: STS refuses.
        """
        from botocore.session import get_session  # noqa: PLC0415 - slow to import

        if not TAG.fullmatch(tenant):
            raise ValueError(f"tenant {tenant!r:.100} cannot be the tag of a session")
        with self._lock:  # botocore makes one client at a time
            self._sts = self._sts or get_session().create_client("sts")
        trust = {"ExternalId": self._external_id} if self._external_id else {}
        answer = self._sts.assume_role(
            RoleArn=self._arn(tenant),
            RoleSessionName=_NOT_IN_SESSION_NAME.sub("-", f"streamer-{tenant}")[:64],
            DurationSeconds=self._seconds,
            Tags=[{"Key": "tenant", "Value": tenant}],
            **trust,
        )["Credentials"]
        return Credentials(
            key_id=answer["AccessKeyId"],
            secret=answer["SecretAccessKey"],
            token=answer["SessionToken"],
            expires_at=int(answer["Expiration"].timestamp() * 1000),
        )

    def _assumed(self, tenant: str) -> tuple[float, Any]:
        import boto3  # noqa: PLC0415 - an extra, and slow to import

        new = self.assume(tenant)
        session = boto3.Session(
            aws_access_key_id=new.key_id,
            aws_secret_access_key=new.secret,
            aws_session_token=new.token,
        )
        return new.expires_at, session

    def _arn(self, tenant: str) -> str:
        if callable(self._role):
            return self._role(tenant)
        if "{tenant}" in self._role and not _IN_ARN.fullmatch(tenant):
            raise ValueError(f"tenant {tenant!r:.100} cannot stand in a role's name")
        return self._role.replace("{tenant}", tenant)
