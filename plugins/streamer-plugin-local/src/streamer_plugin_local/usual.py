"""How long the calls of each action usually take, so that slow ones are known before they run."""

_REMEMBERED = 8


class Usual:
    """A mean of each action's last calls, the latest of which count most."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def of(self, action: str, otherwise: float) -> float:
        """Give how many seconds a call usually takes; `otherwise`, of an action not seen yet."""
        return self._seconds.get(action, otherwise)

    def learn(self, action: str, seconds: float) -> None:
        """Note how long a call took."""
        usual = self._seconds.get(action, seconds)
        self._seconds[action] = usual + (seconds - usual) / _REMEMBERED
