"""Make the bundles that `template.yaml` names, for a project: `make build PROJECT=folder`.

A project has `streamer.toml`, its handlers, and, where it needs them:

- `plugins.txt`, what every function needs: an authenticator, for one; a line may be a folder, with
  extras in brackets behind it. All plugins in the bundles are loaded, in place of those that
  `[streamer] plugins` names: that list is the laptop's, where `local` and `sqlite` are what
  `apigateway` and `dynamodb` are here;
- `requirements.txt`, what the handlers import.

Bundles are folders in `build/lambdas/`. Those of router and worker hold the handlers and what they
import; the others only what a function without handlers needs.

botocore, which does boto3's work, comes along, though Lambda has both: so the functions run with
the version that was tested, and not with another one some day. boto3 is left out, and so is what
botocore tells of several hundred services that Streamer never calls, unless something else that is
installed requires them (by an extra: where any extra is named), or `requirements.txt` names them.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAMBDAS = ROOT / "lambdas"
TEMPLATE = LAMBDAS / "template.yaml"
OUTPUT = ROOT / "build" / "lambdas"
WITH_HANDLERS = ("router", "worker")
WITHOUT_HANDLERS = ("connect", "disconnect", "processor", "notifier", "sweeper")
MEMBERS = (
    ROOT,
    ROOT / "plugins" / "streamer-plugin-dynamodb",
    ROOT / "plugins" / "streamer-plugin-apigateway",
)
PLUGINS, REQUIREMENTS = "plugins.txt", "requirements.txt"
FROZEN = "streamer.frozen.json"

_UV = str(Path(sys.executable).with_name("uv"))
_PLATFORM = "aarch64-manylinux2014"
_SERVICES = {"apigatewaymanagementapi", "dynamodb", "lambda", "sqs", "sts"}
_ASK_FOR_BOTOCORE = {
    *("boto3", "s3transfer", "pynamodb"),
    *("streamer_plugin_apigateway", "streamer_plugin_dynamodb"),
}
_NOT_ON_LAMBDA = (
    ".lock",
    "bin",
    "streamer_core/cli",
    "streamer_core/testing",
    "streamer_plugin_dynamodb/command.py",
)
_NOT_OF_A_PROJECT = (".*", "__pycache__", "tests", "build", "dist", "venv", "*.md", "*.txt")
# unchecked-hash: whoever packs or unpacks a bundle may change its files' times.
_COMPILED = ("-q", "-j", "0", "--invalidation-mode", "unchecked-hash", "-p", "/var/task")
_FREEZE = """
import sys
from dataclasses import replace
from pathlib import Path
from streamer_core import Settings, Streamer
from streamer_core.errors import ConfigurationError
from streamer_core.ports.detached import Detached

ON_A_LAPTOP = {"local", "sqlite"}

try:
    settings = Settings.load()
    settings = replace(settings, core=replace(settings.core, plugins=None))
    with Streamer(settings, transport=Detached()) as app:
        if missing := set(settings.named or ()) - set(app.plugins) - ON_A_LAPTOP:
            raise ConfigurationError(
                f"[streamer] plugins names {min(missing)!r}, which is in no bundle"
            )
        app.freeze(Path(sys.argv[1]))
except ConfigurationError as error:
    sys.exit(f"It would not start: {error}\\nIts plugins are those that plugins.txt names.")
"""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What bundles are made for.

    Args:
        python: the version of Python, as `3.14`.
        platform: as `uv pip install --python-platform` takes it; None is this machine's.
    """

    python: str
    platform: str | None

    @classmethod
    def of_template(cls) -> "Target":
        """Give what the template says that functions run on."""
        found = re.search(r"Runtime: python([\d.]+)", TEMPLATE.read_text("utf-8"))
        assert found is not None
        return cls(python=found[1], platform=_PLATFORM)

    @classmethod
    def here(cls) -> "Target":
        """Give this machine, where bundles are tried out."""
        return cls(python=".".join(map(str, sys.version_info[:2])), platform=None)

    def interpreter(self) -> str | None:
        """Find a Python of this version on this machine, of any platform."""
        command = [_UV, "python", "find", "--no-python-downloads", self.python]
        found = subprocess.run(command, check=False, capture_output=True, text=True)
        return found.stdout.strip() or None


def build(project: Path, output: Path = OUTPUT, target: Target | None = None) -> list[Path]:
    """Make all bundles anew, and give their folders.

    Raises:
        subprocess.CalledProcessError: a step failed; it has said why.
    """
    target = target or Target.of_template()
    shutil.rmtree(output, ignore_errors=True)
    parts = output / ".parts"
    named = [str(_wheel(member, parts / member.name)) for member in MEMBERS]
    for line in _lines(project / PLUGINS):
        name, bracket, extras = line.partition("[")
        folder = project / name
        own = folder.is_dir()
        built = _wheel(folder, parts / "own" / folder.name) if own else name
        named.append(f"{built}{bracket}{extras}")
    needed = ["-r", str(project / REQUIREMENTS)] if (project / REQUIREMENTS).exists() else []
    frozen = _frozen(project, [*named, *needed], parts)
    lean, full = parts / "lean", parts / "full"
    _install(named, lean, target)
    _leave_out(lean, named)
    _install([*named, *needed], full, target)
    _leave_out(full, [*named, *_lines(project / REQUIREMENTS)])
    _put_project(project, full)
    shutil.copy(project / "streamer.toml", lean)
    compiler = target.interpreter()
    for folder in (lean, full):
        shutil.copy(frozen, folder / FROZEN)
        _compile(folder, compiler)
    made = [_bundle(name, lean, output, compiler) for name in WITHOUT_HANDLERS]
    made += [_bundle(name, full, output, compiler) for name in WITH_HANDLERS]
    if compiler is None:
        print(
            f"No Python {target.python} is here: without compiled modules, functions take longer "
            f"to start. Install it: .venv/bin/uv python install {target.python}"
        )
    shutil.rmtree(parts)
    return made


def _lines(path: Path) -> list[str]:
    """Give the lines of a file that say something, or none where there is no file."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _wheel(folder: Path, output: Path) -> Path:
    _uv("build", "--wheel", "--no-sources", "--out-dir", str(output), str(folder))
    return next(output.glob("*.whl"))


def _install(named: Sequence[str], folder: Path, target: Target) -> None:
    platform = ["--python-platform", target.platform] if target.platform else []
    _uv(
        *("pip", "install", "--target", str(folder), "--python-version", target.python),
        *("--only-binary", ":all:", "--constraint", str(ROOT / "constraints.txt")),
        *(*platform, *named),
    )


def _leave_out(folder: Path, named: Sequence[str]) -> None:
    """Remove what no function needs of what is installed because it was named."""
    gone = [folder / name for name in _NOT_ON_LAMBDA]
    if not _calls_more_of_aws(folder, named):
        data = [path for path in (folder / "botocore" / "data").iterdir() if path.is_dir()]
        gone += [path for path in data if path.name not in _SERVICES]
        gone += [path for name in ("boto3", "s3transfer") for path in folder.glob(f"{name}*")]
    for path in gone:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _calls_more_of_aws(folder: Path, named: Sequence[str]) -> bool:
    """Tell whether anything but what Streamer itself brings asks for boto3 or botocore."""
    if any(re.match(r"boto(3|core)\b", one) for one in named):
        return True
    # What only an extra requires counts where an extra is named, as in streamer-plugin-jwt[aws].
    extras = any("[" in one for one in named)
    ending = "" if extras else r"(?!.*\bextra *==)"
    requires = re.compile(r"^Requires-Dist: boto(3|core)\b" + ending, re.MULTILINE)
    return any(
        requires.search(path.read_text("utf-8"))
        for path in folder.glob("*.dist-info/METADATA")
        if path.parent.name.partition("-")[0] not in _ASK_FOR_BOTOCORE
    )


def _frozen(project: Path, named: Sequence[str], parts: Path) -> Path:
    """Write down the plugins and handlers that are found where nothing else is installed."""
    site, path = parts / "here", parts / FROZEN
    _install(named, site, Target.here())
    environ = {
        **{name: text for name, text in os.environ.items() if not name.startswith("STREAMER_")},
        "PYTHONPATH": os.pathsep.join([str(site), str(project)]),
        "STREAMER_STORE": "dynamodb",
        "STREAMER_TRANSPORT": "apigateway",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    # -S: not from this environment, which has more plugins than the bundles.
    _run([sys.executable, "-S", "-c", _FREEZE, str(path)], cwd=project, env=environ)
    return path


def _put_project(project: Path, folder: Path) -> None:
    plugins = [Path(line.partition("[")[0]).name for line in _lines(project / PLUGINS)]
    ignored = shutil.ignore_patterns(*_NOT_OF_A_PROJECT, *plugins)
    shutil.copytree(project, folder, ignore=ignored, dirs_exist_ok=True)


def _bundle(name: str, installed: Path, output: Path, compiler: str | None) -> Path:
    bundle = output / name
    shutil.copytree(installed, bundle)
    shutil.copy(LAMBDAS / name / "handler.py", bundle)
    _compile(bundle / "handler.py", compiler)
    return bundle


def _compile(path: Path, python: str | None) -> None:
    """Put compiled modules beside the sources: a function may not write them when it starts."""
    if python is not None:
        root = path if path.is_dir() else path.parent
        _run([python, "-m", "compileall", *_COMPILED, "-s", str(root), str(path)])


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _uv(*arguments: str) -> str:
    return _run([_UV, "--quiet", *arguments])


def _run(
    command: Sequence[str], *, cwd: Path | None = None, env: dict[str, str] | None = None
) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def main() -> None:
    """Build, and print the bundles' sizes."""
    parser = argparse.ArgumentParser(description="Make the Lambda functions' bundles.")
    parser.add_argument("project", type=Path, help="a folder with streamer.toml and the handlers")
    project = parser.parse_args().project.resolve()
    if not (project / "streamer.toml").is_file():
        parser.error(f"{project} has no streamer.toml")
    try:
        made = build(project)
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
    for bundle in made:
        print(f"{_size(bundle) / 1e6:6.1f} MB  {bundle.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
