"""A trace's context as metadata carry it."""

from collections.abc import Mapping

from opentelemetry.propagators.textmap import Getter


class Printable(Getter[Mapping[str, str]]):
    """Reads what could stand in a header, as the propagators expect.

    They warn of what they cannot read in its own words, and those are a client's: with a line break
    among them it could write lines of the log.
    """

    def get(self, carrier: Mapping[str, str], key: str) -> list[str] | None:
        """Give the text of that name, or None."""
        text = carrier.get(key)
        return [text] if text is not None and text.isascii() and text.isprintable() else None

    def keys(self, carrier: Mapping[str, str]) -> list[str]:
        """Give the names."""
        return list(carrier)


PRINTABLE = Printable()
