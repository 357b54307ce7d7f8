"""Makes a wheel of the package beside it, with nothing but Python (PEP 517)."""

import base64
import hashlib
import pathlib
import tomllib
import zipfile

FOLDER = pathlib.Path(__file__).resolve().parent
PROJECT = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
NAME = f"{PROJECT['name'].replace('-', '_')}-{PROJECT['version']}"
TAG = "py3-none-any"
WHEEL = f"Wheel-Version: 1.0\nGenerator: twi-data\nRoot-Is-Purelib: true\nTag: {TAG}\n"


def metadata():
    lines = ["Metadata-Version: 2.1", f"Name: {PROJECT['name']}", f"Version: {PROJECT['version']}",
             f"Summary: {PROJECT['description']}", f"License: {PROJECT['license']['text']}",
             f"Requires-Python: {PROJECT['requires-python']}",
             *(f"Requires-Dist: {name}" for name in PROJECT["dependencies"]),
             "Description-Content-Type: text/markdown"]
    return "\n".join(lines) + "\n\n" + (FOLDER / "README.md").read_text()


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    files = {str(path.relative_to(FOLDER)): path.read_bytes()
             for path in sorted((FOLDER / "twi_data").rglob("*"))
             if path.is_file() and path.suffix != ".pyc"}
    files |= {f"{NAME}.dist-info/METADATA": metadata().encode(),
              f"{NAME}.dist-info/WHEEL": WHEEL.encode()}
    record = f"{NAME}.dist-info/RECORD"
    lines = []
    wheel = f"{NAME}-{TAG}.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            lines.append(f"{name},sha256={digest},{len(content)}\n")
        archive.writestr(record, "".join([*lines, f"{record},,\n"]))
    return wheel
