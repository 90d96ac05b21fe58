"""A reconnect storm: clients with a request each are cut at once, and all come back for it.

Each request emits three chunks. A client is served when its `resumed` has come and all numbered
messages up to the terminal one are there, from before the cut or after it.
"""

from benchmarks.gateway import gateway
from benchmarks.load import running
from benchmarks.options import Options
from benchmarks.report import Report


def run(report: Report, options: Options) -> None:
    """Cut them, and count."""
    count = options.crowd
    with (
        gateway(quick=options.quick) as server,
        running("reconnect", server.port, connections=count, action="chunks", patience=120) as load,
    ):
        load.until("begin")
        before = server.cpu()
        load.until("end")
        cpu = server.cpu() - before
        figures = load.figures()
    report.keep("reconnect", figures)
    report.add("clients", count)
    report.add("requests that had ended before the cut", figures["ended_before"])
    report.add("to the last connection", figures["open_s"], "s")
    report.add("to the last `resumed`", figures["resumed_s"], "s")
    report.add("to the last terminal message", figures["terminal_s"], "s")
    report.add("back: p50", figures["back"].get("p50", 0), "ms")
    report.add("back: p99", figures["back"].get("p99", 0), "ms")
    report.add("served", figures["resumed"], bound=count, more_is_better=True)
    report.add("lost", figures["lost"], bound=0)
    report.add("not recovered", figures["unrecovered"], bound=0)
    report.add("errors", figures["errors"], bound=0)
    report.add("numbered messages sent twice", figures["repeats"])
    report.add("gateway CPU", 1e6 * cpu.gateway / count, "µs/client")
    report.add("workers CPU", 1e6 * cpu.workers / count, "µs/client")
