"""Connections of pynamodb: with the credentials of the environment, or of whoever gives some."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

import botocore
from botocore.config import Config
from botocore.credentials import CredentialProvider, DeferredRefreshableCredentials
from botocore.session import Session, get_session
from pynamodb.connection import Connection

from streamer_core.model.tables import Credentials

Give = Callable[[], Credentials]


_OURS = Config(user_agent=f"Botocore/{botocore.__version__} streamer")
"""botocore would put together twice for each call who calls: a quarter of its processor time."""


class OwnConnection(Connection):
    """A connection with the environment's credentials."""

    @property
    def session(self) -> Session:
        """Give this thread's session."""
        session = super().session
        if session.get_default_client_config() is None:
            session.set_default_client_config(_OURS)
        return session


class AssumedConnection(OwnConnection):
    """A connection whose sessions, one a thread, have the given credentials and no others.

    Args:
        give: gives credentials; asked again in time.
        given: as for `Connection`.
    """

    def __init__(self, give: Give, **given: Any) -> None:
        super().__init__(**given)
        self._given = _Given(give)

    @property
    def session(self) -> Session:
        """Give this thread's session."""
        session = super().session
        providers = session.get_component("credential_provider").providers
        if providers != [self._given]:
            providers[:] = [self._given]  # the environment's are not to be fallen back on
            # To read what AWS's API is takes longer than all else: once for all accounts.
            session.register_component("data_loader", _loader())
        return session


@cache
def _loader() -> Any:
    return get_session().get_component("data_loader")


class _Given(CredentialProvider):  # type: ignore[misc] # botocore is not typed
    METHOD = CANONICAL_NAME = "streamer-tenant"

    def __init__(self, give: Give) -> None:
        super().__init__()
        self._give = give

    def load(self) -> DeferredRefreshableCredentials:
        """Give credentials that are first asked for by the first call."""
        return DeferredRefreshableCredentials(self._fresh, self.METHOD)

    def _fresh(self) -> dict[str, str]:
        new = self._give()
        return {
            "access_key": new.key_id,
            "secret_key": new.secret,
            "token": new.token,
            "expiry_time": datetime.fromtimestamp(new.expires_at / 1000, UTC).isoformat(),
        }
