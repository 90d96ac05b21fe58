"""Whether a failed attempt is followed by another."""

from streamer_core.defaults import NAME
from streamer_core.engine.runtime import Runtime
from streamer_core.model.policy import Verdict
from streamer_core.model.request import Failure, Request


def verdict(rt: Runtime, request: Request, failure: Failure) -> Verdict:
    """Ask the plugins, and the core's own policy where one of them breaks.

    A request must come to an end, whatever its plugins do.
    """
    try:
        answer: Verdict = rt.hook.streamer_retry(request=request, failure=failure)
    except Exception:
        rt.log.exception("streamer_retry failed", ref=request.ref, action=request.action)
        core = rt.hooks.get_plugin(NAME)
        assert core is not None
        answer = core.streamer_retry(request=request, failure=failure)
    return answer
