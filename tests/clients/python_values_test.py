"""The Python package: values there and back, as asyncpg has them, and records."""

import copy
import datetime
import decimal
import enum
import ipaddress
import math
import pickle
import unittest
import uuid

from package import Case
from twi_data import errors

Date, Time, DateTime, Delta = datetime.date, datetime.time, datetime.datetime, datetime.timedelta
Decimal = decimal.Decimal
UTC = datetime.timezone.utc
EAST = datetime.timezone(Delta(hours=2))
ID = uuid.UUID("9b2ef4a6-0c1e-4a57-9d0f-3f2a1b4c5d6e")

# By type: what goes there and comes back the same, in value and in type.
SAME = {
    "boolean": [True, False, None],
    "smallint": [-32768, 32767],
    "integer": [-2147483648, 0, 2147483647],
    "bigint": [-(1 << 63), (1 << 63) - 1, None],
    "oid": [4294967295],
    "real": [1.5, math.inf],
    "double precision": [0.1, -1e300, -math.inf],
    "numeric": [Decimal("12345678901234567890.10"), Decimal("-0.000001"), Decimal("1E+20")],
    "text": ["", "a 'quoted' \\ text", "ünï😀"],
    "varchar": ["abc"],
    "name": ["a_name"],
    "bytea": [b"", b"\x00\xff"],
    "json": ['{"a":  [1]}'],
    "uuid": [ID],
    "date": [Date(2026, 11, 27), Date(1, 1, 2), Date.max, Date.min],
    "time": [Time(12, 30), Time(23, 59, 59, 999999)],
    "timetz": [Time(12, 30, 1, 500000, EAST), Time(1, 2, tzinfo=UTC)],
    "timestamp": [DateTime(2026, 11, 27, 12, 30, 0, 500000), DateTime(1, 1, 2), DateTime.max, DateTime.min],
    "timestamptz": [DateTime(2026, 11, 27, 12, 30, 0, 7, UTC), DateTime.max, DateTime.min],
    "interval": [Delta(), Delta(days=-3, seconds=5, microseconds=7), Delta(days=400), Delta(microseconds=-1),
                 Delta(hours=1000000)],
    "bigint[]": [[], [1, None, 3], [[1, 2], [3, 4]]],
    "text[]": [["a,b", '"', "NULL", None, ""]],
    "timestamptz[]": [[DateTime(2026, 1, 1, tzinfo=UTC)]],
    "mood": ["cross"],
    "mood[]": [["calm", None]],
    "int4range": ["[1,5)"],
    "tsvector": ["'fox':2"],
    "inet": ["10.0.0.1"],
    "pair": ["(1,a)"],
}
# By type: what goes there, and as what it comes back.
OTHER = {
    "numeric": [(7, Decimal(7)), (1 << 70, Decimal(1 << 70))],
    "double precision": [(3, 3.0)],
    "bigint": [("7", 7)],
    "text": [(7, "7"), (enum.Enum("Mood", {"CALM": "calm"}).CALM, "calm")],
    "int": [(enum.IntEnum("Number", {"TWO": 2}).TWO, 2)],
    "bytea": [(bytearray(b"a"), b"a"), (memoryview(b"b"), b"b")],
    "json": [({"a": [1, None]}, '{"a": [1, null]}')],
    "jsonb": [({"b": 1, "a": 2}, '{"a": 2, "b": 1}'), ('[1]', "[1]")],
    "bigint[]": [((1, 2), [1, 2]), (range(3), [0, 1, 2]), ({5}, [5])],
    "inet": [(ipaddress.ip_address("::1"), "::1")],
    "cidr": [(ipaddress.ip_network("10.0.0.0/8"), "10.0.0.0/8")],
    "timestamp": [(DateTime(2026, 1, 1, 2, tzinfo=EAST), DateTime(2026, 1, 1)),
                  (Date(2026, 1, 1), DateTime(2026, 1, 1)), ("2026-01-01", DateTime(2026, 1, 1))],
    "timestamptz": [(DateTime(2026, 1, 1, 2, tzinfo=EAST), DateTime(2026, 1, 1, tzinfo=UTC)),
                    (DateTime(2026, 1, 1), DateTime(2026, 1, 1, tzinfo=UTC))],
    "date": [(DateTime(2026, 1, 1, 5), Date(2026, 1, 1)), ("2026-01-01", Date(2026, 1, 1))],
}
# What PostgreSQL has and Python has in its own way.
WRITTEN = {
    "interval '1 year 2 months 3 days 04:05:06.789'": Delta(365 + 60 + 3, hours=4, minutes=5, seconds=6.789),
    "interval '-1 year -2 months +3 days -04:05:06'": -Delta(365 + 60 - 3, hours=4, minutes=5, seconds=6),
    "interval '-00:00:00.000001'": Delta(microseconds=-1),
    "interval '1 mon'": Delta(days=30),
    "'infinity'::timestamptz": DateTime.max,
    "'-infinity'::date": Date.min,
    "'0044-03-15 BC'::date": errors.DataError,
    "'20000-01-01'::timestamp": errors.DataError,
    "'24:00'::time": errors.DataError,
    "'178000000 years'::interval": errors.DataError,
    "'NaN'::numeric + 1 is null": False,
    "null::int[]": None,
    "1.50": Decimal("1.50"),
    "row(1, 'a')": "(1,a)",
    "'a'::char(3)": "a  ",
    "''": "",
}


class Values(Case):

    async def test_there_and_back(self):
        for name, values in SAME.items():
            for value in values:
                await self.goes(name, value, value)

    async def test_what_comes_back_as_its_type_is(self):
        for name, pairs in OTHER.items():
            for value, expected in pairs:
                await self.goes(name, value, expected)

    async def goes(self, name, value, expected):
        with self.subTest(type=name, value=value):
            found = await self.db.fetchval(f"select $1::{name}", value)
            self.assertEqual(found, expected)
            self.assertIs(type(found), type(expected))
            if isinstance(expected, (DateTime, Time)):
                self.assertEqual(found.tzinfo is None, expected.tzinfo is None)

    async def test_as_postgresql_writes_them(self):
        for sql, expected in WRITTEN.items():
            with self.subTest(sql=sql):
                if isinstance(expected, type):
                    error = await self.refused(expected, self.db.fetchval(f"select {sql}"))
                    self.assertIn("as text", str(error))
                else:
                    self.assertEqual(await self.db.fetchval(f"select {sql}"), expected)
        self.assertTrue(math.isnan(await self.db.fetchval("select 'NaN'::float8")))
        self.assertTrue((await self.db.fetchval("select 'NaN'::numeric")).is_nan())

    async def test_the_kind_says_the_type_where_nothing_else_does(self):
        for value, name in ((True, "boolean"), (1, "bigint"), (1.0, "double precision"), ("a", "text"),
                            (Decimal(1), "numeric"), (b"a", "bytea"), (ID, "uuid"), (Date.today(), "date"),
                            (DateTime(2026, 1, 1), "timestamp without time zone"),
                            (DateTime(2026, 1, 1, tzinfo=UTC), "timestamp with time zone"),
                            (Delta(1), "interval"), ([1], "bigint[]")):
            with self.subTest(value=value):
                self.assertEqual(await self.db.fetchval("select pg_typeof($1)::text", value), name)


class Records(Case):

    async def asyncSetUp(self):
        await super().asyncSetUp()
        self.row = await self.db.fetchrow("select 1 as a, 'x' as b, null as c")

    async def test_as_a_sequence(self):
        row = self.row
        self.assertEqual((row[0], row[-2], row[1:], len(row)), (1, "x", ("x", None), 3))
        self.assertEqual(list(row), [1, "x", None])
        one, two, three = row
        self.assertEqual((one, two, three), (1, "x", None))
        for wrong in 3, -4:
            with self.assertRaises(IndexError):
                row[wrong]

    async def test_as_a_mapping(self):
        row = self.row
        self.assertEqual((row["a"], row.get("b"), row.get("d"), row.get("d", 7), row.get("c", 7)),
                         (1, "x", None, 7, None))
        self.assertEqual(list(row.keys()), ["a", "b", "c"])
        self.assertEqual(list(row.values()), [1, "x", None])
        self.assertEqual(list(row.items()), [("a", 1), ("b", "x"), ("c", None)])
        self.assertEqual(dict(row), {"a": 1, "b": "x", "c": None})
        self.assertEqual({**row}, dict(row))
        self.assertTrue("a" in row and "d" not in row and 1 not in row)
        with self.assertRaises(KeyError):
            row["d"]
        with self.assertRaises(TypeError):
            row["a"] = 2

    async def test_as_a_value(self):
        row = self.row
        self.assertEqual(repr(row), "<Record a=1 b='x' c=None>")
        self.assertEqual(row, (1, "x", None))
        self.assertEqual((1, "x", None), row)
        self.assertNotEqual(row, (1, "x"))
        self.assertEqual(row, await self.db.fetchrow("select 1, 'x', null"))
        self.assertEqual(len({row, await self.db.fetchrow("select 1, 'x', null")}), 1)
        self.assertEqual(sorted(await self.db.fetch("values (2), (1)")), [(1,), (2,)])
        for same in copy.copy(row), copy.deepcopy(row), pickle.loads(pickle.dumps(row)):
            self.assertEqual((same, dict(same)), (row, dict(row)))

    async def test_columns_of_one_name(self):
        row = await self.db.fetchrow("select 1 as a, 2 as a")
        self.assertEqual((row["a"], row[0], list(row.keys())), (2, 1, ["a", "a"]))


if __name__ == "__main__":
    unittest.main()
