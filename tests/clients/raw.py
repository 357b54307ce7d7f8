"""What the tests of DatabaseService share: values of Python, statements, transactions."""

import queue
import unittest

import grpc
from quotes_test import details
from twi.data.v1 import database_pb2, database_pb2_grpc, transaction_pb2, value_pb2

import server as program

Code = grpc.StatusCode
Value = value_pb2.Value


def plain(value):
    """What a value is in Python."""
    kind = value.WhichOneof("kind")
    if kind is None:
        return None
    if kind == "array":
        return [plain(element) for element in value.array.elements]
    return value.other.text if kind == "other" else getattr(value, kind)


def make(value):
    """The value of what Python has."""
    if value is None or isinstance(value, Value):
        return value or Value()
    if isinstance(value, list):
        return Value(array=value_pb2.Array(elements=[make(element) for element in value]))
    kind = {bool: "boolean", int: "integer", float: "real", str: "text", bytes: "bytea"}
    return Value(**{kind[type(value)]: value})


def query(sql, *parameters):
    return transaction_pb2.Query(sql=sql, parameters=[make(value) for value in parameters])


def rows(table):
    return [tuple(plain(value) for value in row.values) for row in table.rows]


def row(*values):
    return value_pb2.Row(values=[make(value) for value in values])


class Conversation:
    """A Transaction: each step is answered before the next. As a context it is ended at the end."""

    def __init__(self, stub, **begin):
        self.steps = queue.Queue()
        self.answers = stub.Transaction(iter(self.steps.get, None), timeout=60)
        self.begun = self.step(begin=transaction_pb2.Begin(**begin))

    def step(self, **step):
        self.steps.put(transaction_pb2.TransactionRequest(**step))
        return next(self.answers)

    def execute(self, sql, *parameters):
        return self.step(execute=query(sql, *parameters))

    def fetch(self, sql, *parameters, limit=0):
        answer = self.step(fetch=transaction_pb2.FetchStep(query=query(sql, *parameters), limit=limit))
        return rows(answer.outcome.table)

    def commit(self):
        return self.step(commit=transaction_pb2.Commit()).WhichOneof("result")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.steps.put(None)
        # What it still says.
        try:
            list(self.answers)
        except grpc.RpcError:
            pass


class Database(unittest.TestCase):
    """A server of the class's own, with a table for each test."""

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(program.Server("--pool_max=12"))
        cls.channel = cls.enterClassContext(grpc.insecure_channel(cls.server.grpc))
        cls.stub = database_pb2_grpc.DatabaseServiceStub(cls.channel)
        program.query(cls.server.dsn, "create type mood as enum ('calm', 'cross');"
                                      "create type pair as (a int, b text)")

    def setUp(self):
        self.psql("drop table if exists t cascade; create table t (id bigint primary key, "
                  "v text not null default '-' constraint short check (length(v) < 100))")

    def psql(self, sql):
        return program.query(self.server.dsn, sql)

    def fetch(self, sql, *parameters, **options):
        return rows(self.stub.Fetch(database_pb2.FetchRequest(
            query=query(sql, *parameters),
            options=database_pb2.RunOptions(**options))).table)

    def value(self, sql, *parameters, column=0):
        return self.stub.FetchVal(database_pb2.FetchValRequest(query=query(sql, *parameters),
                                                               column=column))

    def execute(self, sql, *parameters, **options):
        return self.stub.Execute(database_pb2.ExecuteRequest(
            query=query(sql, *parameters),
            options=database_pb2.RunOptions(**options))).outcome

    def failure(self, call, *arguments, **options):
        """The call must fail; its code, reason and metadata."""
        with self.assertRaises(grpc.RpcError) as context:
            call(*arguments, **options)
        found = details(context.exception)
        return context.exception.code(), found["ErrorInfo"].reason, found["ErrorInfo"].metadata
