"""The Debian package: built, taken apart, its program run as its service would run it; the unit verified."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

PROGRAM = os.environ["TWI_PROGRAM"]
BUILD = pathlib.Path(os.environ["TWI_BUILD"])
PROJECT = pathlib.Path(__file__).resolve().parents[2]
UNIT = "lib/systemd/system/twi-data.service"


def run(*command, **options):
    """What a command prints, which ends well."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=250, **options).stdout


class Package(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        run("cpack", "-G", "DEB", "-B", str(folder), cwd=BUILD)
        cls.file, = folder.glob("twi-data_*.deb")
        cls.root = folder / "root"
        run("dpkg-deb", "--extract", str(cls.file), str(cls.root))
        run("dpkg-deb", "--control", str(cls.file), str(folder / "control"))
        cls.control = folder / "control"
        cls.unit = (cls.root / UNIT).read_text()

    def setting(self, name):
        return re.search(rf"(?m)^{name}=(.*)$", self.unit)[1]

    def test_control(self):
        text = (self.control / "control").read_text()
        self.assertRegex(text, r"(?m)^Depends: .*\blibgrpc\+\+1")
        self.assertRegex(text, r"(?m)^Depends: .*\blibpq5")
        version = run(PROGRAM, "version").split()[1]
        self.assertRegex(text, rf"(?m)^Version: {re.escape(version)}$")

    def test_files(self):
        listed = run("dpkg-deb", "--contents", str(self.file))
        modes = {line.split()[5]: (line.split()[0], line.split()[1]) for line in listed.splitlines()}
        self.assertEqual(modes["./usr/bin/twi-data"], ("-rwxr-xr-x", "root/root"))
        # A DSN will stand there.
        self.assertEqual(modes["./etc/twi-data/environment"], ("-rw-------", "root/root"))
        self.assertEqual((self.control / "conffiles").read_text(), "/etc/twi-data/environment\n")
        for path in "copyright", "operations.md", "security.md":
            self.assertIn(f"./usr/share/doc/twi-data/{path}", modes)
        self.assertIn("./usr/share/twi-data/service_config.json", modes)
        self.assertIn("./usr/share/twi-data/proto/twi/data/v1/quotes.proto", modes)

    def test_python(self):
        said = run("/usr/bin/python3", "-c", "import twi_data; print(twi_data.__file__)", cwd="/",
                   env={"PYTHONPATH": str(self.root / "usr/lib/python3/dist-packages"),
                        "PYTHONDONTWRITEBYTECODE": "1"})
        self.assertEqual(said.strip(), f"{self.root}/usr/lib/python3/dist-packages/twi_data/__init__.py")
        self.assertRegex((self.control / "control").read_text(), r"(?m)^Suggests: python3-grpcio, python3-protobuf$")

    def test_scripts(self):
        for name in "postinst", "prerm", "postrm":
            run("sh", "-n", str(self.control / name))
            run("shellcheck", str(self.control / name))

    def test_unit(self):
        # Of the program there is only ours.
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        unit = folder / "twi-data.service"
        for changed, wrong in ((self.unit, False), (self.unit.replace("KillMode=mixed", "KillMode=gentle"), True)):
            unit.write_text(changed.replace("/usr/bin/twi-data", PROGRAM))
            done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], check=False,
                                  capture_output=True, text=True, timeout=250)
            # It looks at units of the machine, too.
            said = [line for line in done.stderr.splitlines() if "twi-data.service" in line]
            self.assertEqual(bool(said), wrong, said)

    def test_unit_is_hardened(self):
        # From 0 to 10, here in tenths; half of the services of a system have more than 90.
        run("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20",
            str(self.root / UNIT))

    def test_time_to_end(self):
        usage = run(PROGRAM, "--help")
        takes = sum(int(re.search(rf"--{flag}=(\d+)s", usage)[1]) for flag in ("drain_notice", "shutdown_grace"))
        self.assertGreater(int(self.setting("TimeoutStopSec")), takes + 10)

    def test_settings_are_flags(self):
        usage = run(PROGRAM, "--help")
        text = (self.root / "etc/twi-data/environment").read_text()
        names = re.findall(r"(?m)^#TWI_DATA_(\w+)=", text)
        self.assertGreater(len(names), 4)
        for name in names:
            self.assertIn(f"--{name.lower()}", usage)
        # As it comes, nothing is set.
        self.assertEqual(re.findall(r"(?m)^[^#\n].*", text), [])

    def test_the_program_runs(self):
        path, command = self.setting("ExecStart").split()
        self.assertEqual(command, "serve")
        self.assertEqual(run(str(self.root / path[1:]), "version"), run(PROGRAM, "version"))


if __name__ == "__main__":
    unittest.main()
