"""docs/deploy.md is true: its project builds, and it lists what the template has."""

import re
import subprocess
from pathlib import Path

import pytest
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES as OF_BOTOCORE

from lambdas.build import Target, build
from tests.docs.test_pages import BLOCK, code, table, text_of
from tests.e2e.aws.cloud import template
from tests.e2e.aws.conftest import PROJECT
from tests.e2e.aws.costs.page import watched_metrics

pytestmark = pytest.mark.uncovered


def written(page: str, folder: Path) -> None:
    """Write the files that a page shows."""
    for block in BLOCK.finditer(text_of(page)):
        if block["mark"] == "file":
            path = folder / block["said"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block["code"], "utf-8")


def test_the_project_of_the_page_builds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For a Python that is not here, where there is one: so it is said what that costs."""
    written("deploy.md", tmp_path)
    written("plugins.md", tmp_path / "streamer-plugin-apikey")
    (tmp_path / "shop" / "requirements.txt").write_text("boto3\n", "utf-8")
    (tmp_path / "shop" / "plugins.txt").write_text("../streamer-plugin-apikey[more]\n", "utf-8")
    with (tmp_path / "streamer-plugin-apikey" / "pyproject.toml").open("a", encoding="utf-8") as to:
        to.write('\n[project.optional-dependencies]\nmore = ["click"]\n')
    targets = [Target(python=f"3.{minor}", platform=None) for minor in (14, 13, 12, 11)]
    target = next((one for one in targets if one.interpreter() is None), Target.here())
    bundles = build(tmp_path / "shop", tmp_path / "bundles", target)
    for what in ("streamer_plugin_apikey", "click"):
        assert all((bundle / what).is_dir() for bundle in bundles), what
    for what in ("jobs.py", "boto3", "botocore/data/s3"):
        assert {one.name for one in bundles if (one / what).exists()} == {"router", "worker"}, what
    compiled = [path for bundle in bundles for path in bundle.rglob("*.pyc")]
    told = f"Install it: .venv/bin/uv python install {target.python}\n"
    assert bool(compiled) != (told in capsys.readouterr().out)


def test_a_plugin_that_the_settings_name_must_be_in_the_bundles(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "streamer.toml").write_text('[streamer]\nplugins = ["local", "jwt"]\n', "utf-8")
    (tmp_path / "plugins.txt").write_text(f"{PROJECT / 'tokens'}\n", "utf-8")
    with pytest.raises(subprocess.CalledProcessError):
        build(tmp_path, tmp_path / "bundles", Target.here())
    told = "names 'jwt', which is in no bundle\nIts plugins are those that plugins.txt names."
    assert told in capfd.readouterr().err


def test_the_python_to_install_is_the_functions_own() -> None:
    command = f"`.venv/bin/uv python install {Target.of_template().python}`"
    assert f"{command}. Without it the bundles have no compiled modules" in text_of("deploy.md")


def test_every_parameter_is_listed_with_its_default() -> None:
    shown = {code(row[0]): code(row[1]) for row in table("deploy.md", "parameter")}
    parameters = template()["Parameters"]
    assert list(shown) == list(parameters)
    nobody = ("AlarmEmail", "TenantTables", "TenantRoles")
    empty = {"TableKey": "AWS's own", **dict.fromkeys(nobody, "nobody")}
    assert shown == {n: str(one["Default"]) or empty[n] for n, one in parameters.items()}


def test_every_alarm_is_listed() -> None:
    listed = {
        name
        for row in table("deploy.md", "alarm, after the prefix")
        for name in re.findall(r"`([\w-]+)`", row[0])
    }
    resources = template()["Resources"].values()
    alarms = [one["Properties"] for one in resources if one["Type"] == "AWS::CloudWatch::Alarm"]
    assert listed == {alarm["AlarmName"]["Fn::Sub"].removeprefix("${Prefix}") for alarm in alarms}


def test_it_says_how_many_metrics_the_alarms_count() -> None:
    assert f"those count {watched_metrics()} metrics" in text_of("deploy.md")


def test_the_variables_of_aws_are_those_that_its_tools_read() -> None:
    """`sam` and `streamer` ask botocore, which knows no AWS_REGION."""
    read: set[str] = set()
    for _, names, *_ in OF_BOTOCORE.values():
        read.update([names] if isinstance(names, str) else names or ())
    named = set(re.findall(r"`(AWS_\w+)`", text_of("deploy.md")))
    assert named
    assert named <= read
