"""DatabaseService: transactions of several steps, by Python's grpcio."""

import threading
import unittest

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2
from quotes_test import details
from raw import Code, Conversation, Database, row, rows
from twi.data.v1 import quotes_pb2, transaction_pb2

import server as program


class Transactions(Database):

    def test_all_of_it_is_in_the_transaction(self):
        with Conversation(self.stub, isolation="ISOLATION_REPEATABLE_READ") as transaction:
            self.assertEqual(transaction.begun.WhichOneof("result"), "done")
            outcome = transaction.execute("insert into t values ($1, 'a')", 1).outcome
            self.assertEqual(outcome.command_tag, "INSERT 0 1")
            many = transaction.step(execute_many=transaction_pb2.ExecuteManyStep(
                sql="insert into t values ($1, $2)", rows=[row(2, "b"), row(3, "c")])).many
            self.assertEqual((many.row_count, many.affected_rows), (2, 2))
            many = transaction.step(copy=transaction_pb2.CopyStep(
                table="t", columns=["id"], rows=[row(4)])).many
            self.assertEqual((many.row_count, many.affected_rows), (1, 1))
            self.assertEqual(transaction.fetch("select id from t order by id", limit=2), [(1,), (2,)])
            self.assertEqual(transaction.fetch("select current_setting('transaction_isolation')"),
                             [("repeatable read",)])
            self.assertEqual(self.psql("select count(*) from t"), "0")
            self.assertEqual(transaction.commit(), "committed")
        self.assertEqual(self.psql("select count(*) from t"), "4")

    def test_operations_of_other_services_are_in_it(self):
        request = any_pb2.Any()
        request.Pack(quotes_pb2.CreateQuoteRequest(quote=" In a transaction. "), "type.googleapis.com/")
        for ends, there in ((lambda transaction: transaction.step(rollback={}), "0"),
                            (Conversation.commit, "1")):
            with Conversation(self.stub) as transaction:
                answer = transaction.step(call=transaction_pb2.CallStep(
                    operation="QuotesService/CreateQuote", request=request)).response
                made = quotes_pb2.CreateQuoteResponse()
                self.assertTrue(answer.Unpack(made))
                self.assertEqual(made.quote.quote, "In a transaction.")
                ends(transaction)
            self.assertEqual(self.psql("select count(*) from quotes "
                                       f"where serial_id = {made.quote.serial_id}"), there)
        with Conversation(self.stub) as transaction:
            for operation, wrong in (("QuotesService/Nothing", request),
                                     ("QuotesService/GetQuote", request)):
                error = transaction.step(call=transaction_pb2.CallStep(
                    operation=operation, request=wrong)).error
                self.assertEqual(error.code, Code.INVALID_ARGUMENT.value[0])

    def test_savepoints(self):
        with Conversation(self.stub) as transaction:
            transaction.execute("insert into t values (1)")
            self.assertEqual(transaction.step(savepoint='a"b').WhichOneof("result"), "done")
            error = transaction.execute("insert into t values (1)").error
            self.assertEqual(error.code, Code.ALREADY_EXISTS.value[0])
            error = transaction.execute("select 1").error
            self.assertEqual(error.code, Code.FAILED_PRECONDITION.value[0])
            info = error_details_pb2.ErrorInfo()
            self.assertTrue(error.details[0].Unpack(info))
            self.assertEqual(info.reason, "TRANSACTION_FAILED")
            transaction.step(rollback_to='a"b')
            transaction.execute("insert into t values (2)")
            self.assertEqual(transaction.step(release='a"b').WhichOneof("result"), "done")
            self.assertEqual(transaction.step(release="none").error.code,
                             Code.INVALID_ARGUMENT.value[0])
        with Conversation(self.stub) as transaction:
            transaction.execute("insert into t values (1)")
            transaction.step(savepoint="s")
            transaction.execute("insert into t values (1)")
            transaction.step(rollback_to="s")
            self.assertEqual(transaction.commit(), "committed")
        self.assertEqual(self.psql("select count(*) from t"), "1")

    def test_a_commit_of_what_failed_is_an_error(self):
        transaction = Conversation(self.stub)
        transaction.execute("insert into t values (1)")
        transaction.execute("select 1 / 0")
        self.assertEqual(self.failure(transaction.commit)[:2],
                         (Code.FAILED_PRECONDITION, "TRANSACTION_FAILED"))
        self.assertEqual(self.psql("select count(*) from t"), "0")

    def test_a_timeout_holds_while_the_client_does_nothing(self):
        transaction = Conversation(self.stub, timeout=duration_pb2.Duration(nanos=300_000_000))
        transaction.execute("insert into t values (1)")
        code, reason, _ = self.failure(next, transaction.answers)
        self.assertEqual((code, reason), (Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"))
        self.assertTrue(program.eventually(lambda: self.psql(
            "select count(*) from pg_stat_activity where state ~ 'idle in'") == "0"))
        self.assertEqual(self.psql("select count(*) from t"), "0")
        transaction.steps.put(None)

    def test_who_goes_wants_no_commit(self):
        for leave in (lambda transaction: transaction.steps.put(None),
                      lambda transaction: transaction.answers.cancel()):
            transaction = Conversation(self.stub)
            transaction.execute("insert into t values (1)")
            leave(transaction)
            self.assertTrue(program.eventually(lambda: self.psql(
                "select count(*) from pg_stat_activity where state ~ 'idle in'") == "0"))
        self.assertEqual(self.psql("select count(*) from t"), "0")

    def test_begin_says_how(self):
        with Conversation(self.stub, read_only=True) as transaction:
            error = transaction.execute("insert into t values (1)").error
            self.assertEqual(error.code, Code.FAILED_PRECONDITION.value[0])
        with Conversation(self.stub, isolation="ISOLATION_SERIALIZABLE", read_only=True,
                          deferrable=True) as transaction:
            self.assertEqual(transaction.fetch("select current_setting('transaction_deferrable')"),
                             [("on",)])
        transaction = Conversation(self.stub, timeout=duration_pb2.Duration(nanos=300_000_000))
        code, *_ = self.failure(transaction.execute, "select pg_sleep(30)")
        self.assertEqual(code, Code.DEADLINE_EXCEEDED)

    def test_what_is_no_transaction(self):
        for steps in ([], [{"commit": {}}], [{}], [{"begin": {}}, {"begin": {}}, {"commit": {}}]):
            requests = [transaction_pb2.TransactionRequest(**step) for step in steps]
            try:
                answers = list(self.stub.Transaction(iter(requests), timeout=10))
                self.assertTrue(any(answer.HasField("error") for answer in answers), steps)
            except grpc.RpcError as error:
                self.assertIn(error.code(), (Code.INVALID_ARGUMENT, Code.UNIMPLEMENTED), steps)
        with Conversation(self.stub) as transaction:
            for sql in ("commit", "rollback", "begin", "savepoint s"):
                error = transaction.execute(sql).error
                self.assertEqual(error.code, Code.INVALID_ARGUMENT.value[0], sql)

    def test_conflicts_are_told_as_such(self):
        self.execute("insert into t values (1)")
        first = Conversation(self.stub, isolation="ISOLATION_SERIALIZABLE")
        second = Conversation(self.stub, isolation="ISOLATION_SERIALIZABLE")
        for transaction in (first, second):
            transaction.fetch("select sum(id) from t")
        first.execute("insert into t values (2)")
        second.execute("insert into t values (3)")
        self.assertEqual(first.commit(), "committed")
        code, reason, _ = self.failure(second.commit)
        self.assertEqual((code, reason), (Code.ABORTED, "SERIALIZATION_FAILURE"))
        self.assertEqual(self.psql("select max(id) from t"), "2")

    def test_there_is_a_bound_to_those_that_are_open(self):
        open_ones = [Conversation(self.stub) for _ in range(3)]
        code, reason, _ = self.failure(Conversation, self.stub)
        self.assertEqual((code, reason), (Code.RESOURCE_EXHAUSTED, "OVERLOADED"))
        # Others still have connections.
        self.assertEqual(self.fetch("select 1"), [(1,)])
        open_ones.pop().commit()
        self.assertTrue(program.eventually(self.opens))
        for transaction in open_ones:
            transaction.commit()

    def opens(self):
        try:
            return Conversation(self.stub).commit() == "committed"
        except grpc.RpcError:
            return False

    def test_they_cost_no_connections(self):
        """A transaction gives its connection back."""
        opened = "twi_data_db_pool_connections_opened_total"
        before = program.metric(self.server, opened)
        for _ in range(30):
            with Conversation(self.stub) as transaction:
                transaction.execute("insert into t values (1) on conflict do nothing")
                transaction.commit()
        self.assertLessEqual(int(self.psql("select count(*) from pg_stat_activity "
                                           "where application_name = 'twi-data'")), 12)
        self.assertLessEqual(program.metric(self.server, opened), before + 12)

    def test_many_at_once_are_each_by_themselves(self):
        def work(number):
            for n in range(10):
                with Conversation(self.stub) as transaction:
                    transaction.execute("insert into t values ($1, $2)", number * 100 + n, str(number))
                    if n % 2 == 0:
                        transaction.commit()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.psql("select count(*) from t"), "10")


if __name__ == "__main__":
    unittest.main()
