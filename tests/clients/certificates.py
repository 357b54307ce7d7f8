"""Certificates for tests, made by the `openssl` command line."""

import glob
import os
import pathlib
import shutil
import subprocess
import tempfile
import typing


class Pair(typing.NamedTuple):
    """The files of a certificate and of its private key."""
    certificate: pathlib.Path
    key: pathlib.Path


class Authority:
    """Who signs certificates. `pair` is its own; all that it makes is in `folder`."""

    def __init__(self, folder, name="authority"):
        self.folder = pathlib.Path(folder)
        self.made = 0
        self.pair = None
        self.pair = self.make(name, "basicConstraints=critical,CA:TRUE")

    def issue(self, *names, expired=False):
        """A new pair for a server or a client with these names, such as `DNS:bot.twi.internal`."""
        return self.make("issued", "basicConstraints=critical,CA:FALSE",
                         f"subjectAltName={','.join(names)}", expired=expired)

    def make(self, name, *extensions, expired=False):
        self.made += 1
        stem = self.folder / f"{name}-{self.made}"
        pair = Pair(stem.with_suffix(".crt"), stem.with_suffix(".key"))
        environment = os.environ
        if expired:
            library, = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
            environment = environment | {"LD_PRELOAD": library, "FAKETIME": "-3d"}
        signer = ["-CA", self.pair.certificate, "-CAkey", self.pair.key] if self.pair else []
        # Keys on elliptic curves: those of RSA take a second to find.
        subprocess.run(["openssl", "req", "-x509", *signer, "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:prime256v1", "-noenc", "-keyout", pair.key, "-out",
                        pair.certificate, "-days", "1", "-subj", f"/CN={stem.name}",
                        *(word for extension in extensions for word in ("-addext", extension))],
                       check=True, capture_output=True, env=environment)
        return pair


def publish(folder, pair):
    """Puts a pair into the folder as `tls.crt` and `tls.key`, as Kubernetes does it with a secret: they
    are links into another folder, and one rename changes both."""
    folder = pathlib.Path(folder)
    current = folder / "..data"
    before = current.resolve() if current.exists() else None
    version = pathlib.Path(tempfile.mkdtemp(prefix="..version.", dir=folder))
    version.chmod(0o755)
    for file, name in zip(pair, ("tls.crt", "tls.key")):
        shutil.copy(file, version / name)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    following = folder / "..following"
    following.symlink_to(version.name)
    following.rename(current)
    if before:
        shutil.rmtree(before)
    return Pair(folder / "tls.crt", folder / "tls.key")


def body(file):
    """The lines of a PEM file that are the certificate or the key itself."""
    return [line for line in pathlib.Path(file).read_text().splitlines() if "-----" not in line]
