"""docs/performance.md shows the committed figures and no others, and says where they are from."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import page, run
from benchmarks.peers import compare
from benchmarks.peers.measures import DONE, FIRST
from benchmarks.peers.setups import OWN, STREAMER
from benchmarks.peers.tables import AWAY
from benchmarks.report import ROOT, Report

TEXT = page.PAGE.read_text("utf-8")
RESULTS = page.committed(page.RESULTS)
CURVES = page.plots(page.PLOTS)
WRITTEN = "<!-- figures: {} -->\nold\n<!-- end -->\n"


def block_of(name: str) -> str:
    (body,) = [body for found, body in page.BLOCK.findall(TEXT) if found == name]
    return str(body)


# -- the page


def test_the_blocks_are_what_the_committed_figures_give() -> None:
    assert page.filled(TEXT, RESULTS, CURVES) == TEXT, "run `make performance`"


def test_every_benchmark_has_a_block() -> None:
    shown = {name for name, _ in page.BLOCK.findall(TEXT)}
    assert {*run.NAMES, *run.ON_DEMAND} <= shown


def test_figures_stand_with_their_date_machine_commit_and_command() -> None:
    for name, result in RESULTS.items():
        shown = block_of(name)
        assert result["date"][:10] in shown, name
        assert f"{result['cores']} cores of {result['cpu']}" in shown, name
        assert result["commit"][:12] in shown, name
        assert f"$ {result['command']}\n" in shown, name
        assert f"python -m benchmarks {name}" in result["command"], name


def test_plots_that_are_shown_are_there() -> None:
    for image in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", TEXT):
        assert (page.PAGE.parent / image).exists(), image


def test_no_figure_is_written_by_hand() -> None:
    prose = page.BLOCK.sub("", TEXT)
    assert not re.search(r"\d\s?(ms|µs|KB|MB|msg/s|req/s|%|times)\b", prose)


# -- how it is written


def result_of(name: str, tmp_path: Path) -> dict[str, Any]:
    report = Report(name, "A title", quick=False, command=f"python -m benchmarks {name}")
    report.add("fast enough", 12_345.6, "msg/s", bound=10_000, aim=20_000, more_is_better=True)
    report.add("  a share | of it", 0.1234, "µs  12.5 %")
    report.add("too slow", 51, "ms", bound=50.0, aim=10.0)
    report.add("quick", 9, "ms", bound=50.0, aim=10.0)
    report.note("A note")
    written: dict[str, Any] = json.loads(report.write(tmp_path).read_text("utf-8"))
    return written


def test_a_table_shows_value_bound_aim_and_verdict(tmp_path: Path) -> None:
    shown = page.filled(WRITTEN.format("echo"), {"echo": result_of("echo", tmp_path)}, [])
    assert "old" not in shown
    assert "| fast enough | 12,346 msg/s | ≥ 10,000 | ≥ 20,000 | within the bound |" in shown
    assert "| &emsp;a share \\| of it | 0.123 µs 12.5 % |  |  |  |" in shown
    assert "| too slow | 51 ms | ≤ 50 | ≤ 10 | **missed** |" in shown
    assert "| quick | 9 ms | ≤ 50 | ≤ 10 | aim reached |" in shown
    assert "\n\n- A note\n" in shown


def test_a_run_that_failed_says_so_first(tmp_path: Path) -> None:
    soak = {**result_of("soak", tmp_path), "failures": ["memory grows"]}
    assert "\n- **Failed**: memory grows\n- A note\n" in page.filled(
        WRITTEN.format("soak"), {"soak": soak}, []
    )


def test_bounds_are_gathered_and_counted(tmp_path: Path) -> None:
    echo = result_of("echo", tmp_path)
    text = WRITTEN.format("bounds") + WRITTEN.format("echo")
    shown = page.filled(text, {"echo": echo}, [])
    assert "1 of 3 bounds are **missed**; 1 of 3 aims are reached." in shown
    assert "| echo: too slow |" in shown
    echo["figures"][0]["name"] = "  a part"
    assert "echo: a part" not in page.filled(text, {"echo": echo}, [])
    echo["figures"] = [one for one in echo["figures"] if one["verdict"] != "MISSED"]
    shown = page.filled(text, {"echo": echo}, [])
    assert "All bounds hold; 1 of 2 aims are reached." in shown


def test_what_has_not_been_measured_says_so() -> None:
    shown = page.filled(WRITTEN.format("echo") + WRITTEN.format("bounds"), {}, [])
    assert "Not measured yet: `python -m benchmarks echo`" in shown
    assert "Nothing has been measured yet" in shown


def test_it_is_the_same_when_it_is_written_again(tmp_path: Path) -> None:
    results = {"growth": result_of("growth", tmp_path)}
    once = page.filled(WRITTEN.format("growth"), results, ["chunks", "queued"])
    assert once.count("![") == 2
    assert "![chunks](growth/chunks.svg)" in once
    assert page.filled(once, results, ["chunks", "queued"]) == once


def test_figures_without_a_block_are_not_left_out_in_silence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no block shows echo"):
        page.filled("", {"echo": result_of("echo", tmp_path)}, [])


def test_a_block_without_an_end_swallows_nothing() -> None:
    begin = "<!-- figures: echo -->\n"
    with pytest.raises(ValueError, match="has no <!-- end -->"):
        page.filled(begin + "text\n", {}, [])
    with pytest.raises(ValueError, match="has no <!-- end -->"):
        page.filled(begin + "text\n" + WRITTEN.format("queue"), {}, [])


def test_figures_of_a_quick_run_are_refused(tmp_path: Path) -> None:
    Report("echo", "A title", quick=True).write(tmp_path)
    with pytest.raises(ValueError, match="quick"):
        page.committed(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="benchmarks read /proc")
def test_the_command_names_every_option(tmp_path: Path) -> None:
    options = ["--quick", "--rate", "9", "--rate", "7", "--seconds", "0.1"]
    setting = {"STREAMER_PLUGINS__LOCAL__SYNC_WORKERS": "1"}
    subprocess.run(
        [sys.executable, "-m", "benchmarks", "routing", *options, "--out", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, **setting},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    assert json.loads((tmp_path / "routing.json").read_text("utf-8"))["command"] == (
        "STREAMER_PLUGINS__LOCAL__SYNC_WORKERS=1 "
        "python -m benchmarks routing --quick --rate=9 --rate=7 --seconds=0.1"
    )


# -- peers


def test_peers_stand_side_by_side_with_ratios_and_what_they_keep(tmp_path: Path) -> None:
    peer = "celery threads (snapshots, acks early)"
    report = Report("peers", "A title", quick=False, command="python -m benchmarks peers")
    routing = {compare.ENGINE: {compare.BEST: 30.0}, compare.CHALICE: {compare.BEST: 10.0}}
    compare.compare(report, "routing", routing)
    for place, told in {STREAMER: 20, peer: 0}.items():
        report.add(f"{place}: {AWAY}", told, "of 20")
        report.add(f"{place}: echo that never ended", 0, bound=0)
    found = {STREAMER: {DONE: 3000.0, FIRST: 8.0}, peer: {DONE: 1000.0, FIRST: 4.0}}
    compare.compare(report, "requests", found)
    kept = vars(OWN)
    report.keep("durability", {STREAMER: kept, peer: kept | {"killed": "lost"}})
    result = json.loads(report.write(tmp_path).read_text("utf-8"))
    shown = page.filled(WRITTEN.format("peers"), {"peers": result}, [])
    assert "|  | streamer<br>(SQLite, synchronous FULL) | celery threads<br>(snapshots," in shown
    assert "| enqueue to complete | 3,000 req/s | 1,000 req/s |" in shown
    assert "| enqueue to complete | 3.00 |\n| first progress, p99 | 0.50 |" in shown
    assert "| routing a message, best | 0.33 |" in shown
    assert "| echo that never ended | 0 | 0 |" in shown
    assert "| lost |" in shown
    wins = shown.partition("**Where a peer wins**")[2]
    assert f"- {peer} wins in first progress, p99: 4 ms against 8\n" in wins
    assert f"- {compare.CHALICE} wins in routing a message, best: 10 µs against 30\n" in wins
    assert "wins in enqueue" not in wins
