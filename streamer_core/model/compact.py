"""Encoding as compact ASCII JSON."""

import json
import json.encoder
from collections.abc import Callable
from typing import Any


def encoder(
    *, sort_keys: bool = False, default: Callable[[Any], Any] | None = None
) -> Callable[[Any], str]:
    """Give what encodes as `json.JSONEncoder` does, without NaN and infinities.

    `JSONEncoder.encode` makes an encoder in C for each value that it is given, which takes longer
    than to encode a small one: here it is made once. A value that holds itself is not told from one
    that is nested too deeply: both are a RecursionError.
    """
    plain = json.JSONEncoder(
        separators=(",", ":"), allow_nan=False, sort_keys=sort_keys, default=default
    )
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # pragma: no cover - a Python without it
        return plain.encode
    strings = json.encoder.encode_basestring_ascii
    pieces = make(None, plain.default, strings, None, ":", ",", sort_keys, False, False)
    return lambda value: "".join(pieces(value, 0))
