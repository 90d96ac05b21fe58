"""Keys, and an OpenID Connect issuer on loopback, for tests."""

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

_MAKERS: dict[str, Callable[[], Any]] = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ES512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "Ed448": ed448.Ed448PrivateKey.generate,
}


class TestKey:
    """A private key, and what others may see of it.

    Args:
        kind: an algorithm of its type, or `Ed448`.
        kid: its id.
        private: the key itself; made where left out.
    """

    __test__ = False

    def __init__(self, kind: str = "ES256", kid: str | None = None, private: Any = None) -> None:
        self.algorithm = "EdDSA" if kind == "Ed448" else kind
        self.kid = kid
        self.private = private or _MAKERS[kind]()

    @property
    def public_pem(self) -> str:
        """The public key as PEM."""
        public = self.private.public_key()
        pem: bytes = public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return pem.decode()

    @property
    def private_pem(self) -> str:
        """The private key as PEM."""
        pem: bytes = self.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return pem.decode()

    def jwk(self, **other: Any) -> dict[str, Any]:
        """Give the public key as JWK."""
        kinds: dict[str, Any] = {"RS": RSAAlgorithm, "ES": ECAlgorithm, "Ed": OKPAlgorithm}
        found = json.loads(kinds[self.algorithm[:2]].to_jwk(self.private.public_key()))
        named = {"kid": self.kid} if self.kid else {}
        return {**found, **named, **other}

    def sign(self, claims: dict[str, Any], **headers: Any) -> str:
        """Sign claims."""
        named = {"kid": self.kid} if self.kid else {}
        return jwt.encode(
            claims, self.private, algorithm=self.algorithm, headers={**named, **headers}
        )


@cache
def key_of(kind: str, kid: str | None = None) -> TestKey:
    """Give a key of a kind and id, the same each time."""
    return TestKey(kind, kid)


class LoopbackIssuer:
    """Serves a discovery document and a key set on loopback; use as a context.

    Attributes:
        keys: what the set holds.
        asked: paths asked for so far.
        answer: what is served instead of the key set, where it is set: a status and a body.
        released: a key set is served only while it is set.
        drip_s: a pause between the answer's bytes.
        document: fields of the discovery document that differ.
    """

    def __init__(self, *keys: TestKey) -> None:
        self.keys = list(keys)
        self.asked: list[str] = []
        self.answer: tuple[int, bytes] | None = None
        self.headers: dict[str, str] = {}
        self.released = threading.Event()
        self.released.set()
        self.drip_s = 0.0
        self.document: dict[str, Any] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.jwks = f"{self.url}/keys"

    def __enter__(self) -> "LoopbackIssuer":
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def fetches(self) -> int:
        """How often the key set was asked for."""
        return self.asked.count("/keys")

    def _body(self, path: str) -> tuple[int, bytes]:
        if path != "/keys":
            found = {"issuer": self.url, "jwks_uri": self.jwks, **self.document}
            return 200, json.dumps(found).encode()
        self.released.wait(30)
        if self.answer is not None:
            return self.answer
        return 200, json.dumps({"keys": [key.jwk() for key in self.keys]}).encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                status, body = issuer._body(self.path)
                self.send_response(status)
                for name, value in issuer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                with suppress(OSError):  # whoever asked may have gone
                    self._write(body)

            def _write(self, body: bytes) -> None:
                pieces = [body[n : n + 1] for n in range(len(body))] if issuer.drip_s else [body]
                for piece in pieces:
                    self.wfile.write(piece)
                    time.sleep(issuer.drip_s)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Handler
