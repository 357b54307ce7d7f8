"""proto/SERVICES.md is what follows from the protos, and names every method."""

import re
import subprocess
import unittest

import server as program

PROTO = program.CONTRACT.parents[2]
CASES = PROTO.parent / "tests" / "cases"


class Services(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.text = (PROTO / "SERVICES.md").read_text()

    def test_generated(self):
        made = subprocess.run([PROTO / "describe"], check=True, capture_output=True,
                              input=program.run("proto", text=False).stdout)
        self.maxDiff = None
        self.assertEqual(self.text, made.stdout.decode(), "write it anew with tools/generate")

    def test_each_method_has_a_sentence_and_a_kind(self):
        rows = dict(re.findall(r"^\| (\w+) \| (.+ \| (?:read|write)\b.*) \|$", self.text, re.MULTILINE))
        methods = {name for proto in program.CONTRACT.glob("*.proto")
                   for name in re.findall(r"^  rpc (\w+)", proto.read_text(), re.MULTILINE)}
        self.assertEqual(set(rows), methods)
        self.assertEqual(rows["GetQuote"],
                         "A quote by its `serial_id`. | read, kept 300 s | INVALID_ARGUMENT, NOT_FOUND")
        self.assertEqual(rows["ImportMessages"].split(" | ")[1], "write, stream in")
        self.assertEqual(rows["StreamMessages"].split(" | ")[1], "read, stream out")

    def test_each_error_that_a_method_names_has_a_case(self):
        # INVALID_ARGUMENT is tried with every field of every method.
        named = {}
        for service, rows in re.findall(r"^## (\w+)\n((?:(?!## ).*\n)+)", self.text, re.MULTILINE):
            for method, errors in re.findall(r"^\| (\w+) \| .* \| ([A-Z_, ]*) \|$", rows, re.MULTILINE):
                named[f"{service}/{method}"] = set(errors.split(", ")) - {"", "INVALID_ARGUMENT"}
        shown = {name: set() for name in named}
        for file in CASES.glob("*.textproto"):
            for case in file.read_text().split("\ncase {\n")[1:]:
                method = re.search(r'^  method: "(.+)"', case, re.MULTILINE).group(1)
                shown[method].update(re.findall(r'\bcode: "(?!INVALID_ARGUMENT)(\w+)"', case))
        # For these it takes somebody who writes meanwhile: PersonalDataTest has him.
        for name in "PersonalDataService/DeleteUserData", "ServersService/PurgeServer":
            shown[name].add("FAILED_PRECONDITION")
        # What is written by hand has no cases: AdminUpkeepTest sees it.
        for name in "RefreshMaterializedViews", "ApplyOptimizations", "MaintainIndexes":
            shown.setdefault(f"AdminService/{name}", set()).add("FAILED_PRECONDITION")
        # Nor has raw SQL: database_test sees it.
        shown["DatabaseService/Prepare"].add("ALREADY_EXISTS")
        shown["DatabaseService/Unprepare"].add("NOT_FOUND")
        self.assertGreater(sum(map(len, named.values())), 80)
        self.assertEqual(named, shown)


if __name__ == "__main__":
    unittest.main()
