"""The shortest way to a hook's implementations, made once: what pluggy does for each call.

Who wants which arguments is written down as Python and compiled, as a dataclass's methods are. To
find it out anew for each call takes twice the time.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, NoReturn, cast

import pluggy

Way = Callable[..., Any]


def shortest(hook: pluggy.HookCaller) -> Way:
    """Give a function that answers as a hook does; it takes the hook's arguments by name."""
    implementations = hook.get_hookimpls()
    first = bool(hook.spec and hook.spec.opts.get("firstresult"))
    # pluggy keeps wrappers behind all others, the outermost last; of the others it asks the last
    # one first.
    around = [one for one in implementations if one.wrapper]
    inner = [one for one in reversed(implementations) if not one.wrapper]
    if any(one.hookwrapper for one in inner) or (around and not first):
        return hook
    names = tuple(hook.spec.argnames) if hook.spec else ()
    if first and len(inner) == 1:
        way = to_one(inner[0], names)
    else:
        way = _written(names, inner, _first if first else _all)
    for outer in around:
        way = _around(outer, to_one(outer, names), way)
    return way


def to_one(implementation: pluggy.HookImpl, names: tuple[str, ...]) -> Way:
    """Give a function that takes all arguments of a hook, for one implementation."""
    if implementation.argnames == names:
        return cast("Way", implementation.function)
    return _written(names, [implementation], lambda calls: [f"return {call}" for call in calls])


def _written(
    names: Sequence[str],
    those: Sequence[pluggy.HookImpl],
    lines: Callable[[Iterable[str]], Iterable[str]],
) -> Way:
    calls = [f"ask_{n}({', '.join(one.argnames)})" for n, one in enumerate(those)]
    source = "\n ".join([f"def way({', '.join(names)}):", *lines(calls)])
    made: dict[str, Any] = {f"ask_{n}": one.function for n, one in enumerate(those)}
    exec(source, made)  # noqa: S102 - of names that are Python's own signatures' alone
    return cast("Way", made["way"])


def _first(calls: Iterable[str]) -> Iterator[str]:
    for call in calls:
        yield from (f"answer = {call}", "if answer is not None:", " return answer")
    yield "return None"


def _all(calls: Iterable[str]) -> Iterator[str]:
    yield "answers = []"
    for call in calls:
        yield from (f"answer = {call}", "if answer is not None:", " answers.append(answer)")
    yield "return answers"


def _around(outer: pluggy.HookImpl, wrap: Way, way: Way) -> Way:
    """Call a wrapper around what is inside, as pluggy does, in a third of its time."""

    def around(**given: Any) -> Any:
        layer: Generator[None, Any, Any] = wrap(**given)
        try:
            next(layer)
        except StopIteration:
            raise RuntimeError(f"{outer.plugin_name}: the wrapper did not yield") from None
        try:
            answer = way(**given)
        except BaseException as error:  # noqa: BLE001 - the wrapper sees all there is
            return _failed(layer, error)
        try:
            layer.send(answer)
        except StopIteration as end:
            return end.value
        return _not_ended(layer)

    return around


def _failed(layer: Generator[None, Any, Any], error: BaseException) -> Any:
    """Let a wrapper see what was raised inside; give what it makes of that."""
    try:
        layer.throw(error)
    except StopIteration as end:
        return end.value
    except RuntimeError as made:
        # Python makes another error of a StopIteration that passes through a generator.
        if isinstance(error, StopIteration) and made.__cause__ is error:
            raise error from None
        raise
    return _not_ended(layer)


def _not_ended(layer: Generator[None, Any, Any]) -> NoReturn:
    layer.close()
    raise RuntimeError("a wrapper has a second yield")
