"""What calls raise. The names are asyncpg's where a program may have caught them, below the DatabaseError
of the old layer."""

import asyncio

import grpc

from .contract import message

DOMAIN = "data.twi"
Status = message("google.rpc.Status")


class DatabaseError(Exception):
    """A call failed.

    `code` is gRPC's (`ALREADY_EXISTS`), `reason` the server's (`ROW_EXISTS`; proto/twi/data/v1/errors.proto
    has all), `sqlstate` PostgreSQL's. `violations` are the fields that break rules, with why, and
    `retry_after` the seconds after which the server would rather be called again. Values of rows are in
    none of it; PostgreSQL's detail and hint, which may have some, stay with the server.
    """

    sqlstate = None
    detail = hint = None

    def __init__(self, text="", code=None, reason=None, metadata=None, violations=(), retry_after=None):
        super().__init__(text)
        self.message = text
        self.code = code
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.violations = list(violations)
        self.retry_after = retry_after
        self.sqlstate = self.metadata.get("sqlstate") or self.sqlstate
        self.constraint = self.constraint_name = self.metadata.get("constraint")
        self.table_name = self.metadata.get("table")
        self.column_name = self.metadata.get("column")

    def __reduce__(self):
        return type(self), (self.message, self.code, self.reason, self.metadata, self.violations,
                            self.retry_after)


# As asyncpg calls it.
PostgresError = DatabaseError


class InterfaceError(DatabaseError):
    """The package is used in a way that cannot be; the server was not asked."""


class NotFoundError(DatabaseError):
    """There is no such row."""


class DataError(DatabaseError):
    """A value is none of its type, or breaks a rule."""
    sqlstate = "22000"


class IntegrityConstraintViolationError(DatabaseError):
    sqlstate = "23000"


class NotNullViolationError(IntegrityConstraintViolationError):
    sqlstate = "23502"


class ForeignKeyViolationError(IntegrityConstraintViolationError):
    sqlstate = "23503"


class UniqueViolationError(IntegrityConstraintViolationError):
    sqlstate = "23505"


class CheckViolationError(IntegrityConstraintViolationError):
    sqlstate = "23514"


class ExclusionViolationError(IntegrityConstraintViolationError):
    sqlstate = "23P01"


class SyntaxOrAccessError(DatabaseError):
    sqlstate = "42000"


class PostgresSyntaxError(SyntaxOrAccessError):
    sqlstate = "42601"


class UndefinedTableError(SyntaxOrAccessError):
    sqlstate = "42P01"


class UndefinedColumnError(SyntaxOrAccessError):
    sqlstate = "42703"


class UndefinedFunctionError(SyntaxOrAccessError):
    sqlstate = "42883"


class InsufficientPrivilegeError(SyntaxOrAccessError):
    """The caller, or the server's role, may not do that."""
    sqlstate = "42501"


class InvalidAuthorizationSpecificationError(DatabaseError):
    """The token or the certificate is missing, or nobody's."""
    sqlstate = "28000"


class ReadOnlySQLTransactionError(DatabaseError):
    sqlstate = "25006"


class InFailedSQLTransactionError(DatabaseError):
    """A statement of the transaction has failed before."""
    sqlstate = "25P02"


class RetryableError(DatabaseError):
    """Transactions were in each other's way: the whole of it may be done again."""


class SerializationError(RetryableError):
    sqlstate = "40001"


class DeadlockDetectedError(RetryableError):
    sqlstate = "40P01"


class QueryTimeoutError(DatabaseError, TimeoutError):
    """It took longer than it may. A write may have been done, outside of a transaction."""
    sqlstate = "57014"


class OverloadedError(DatabaseError):
    """The server has too much to do, or the caller asks too much of it."""
    sqlstate = "53300"


class ResultTooLargeError(DatabaseError):
    """The answer does not go into one message. Nothing was done; `paginate` reads it in pages."""


class ServerUnavailableError(DatabaseError, ConnectionError):
    """The server or its database cannot be reached. With a `reason` nothing was done."""
    sqlstate = "08006"


class OutcomeUnknownError(DatabaseError):
    """The connection to the database broke: a write may have been done."""
    sqlstate = "08007"


def below(kind):
    return [kind, *(found for child in kind.__subclasses__() for found in below(child))]


SQLSTATES = {kind.sqlstate: kind for kind in below(DatabaseError) if kind.sqlstate}
REASONS = {
    "ROW_NOT_FOUND": NotFoundError,
    "ROW_EXISTS": UniqueViolationError,
    "FOREIGN_KEY_MISSING": ForeignKeyViolationError,
    "CONSTRAINT_VIOLATED": IntegrityConstraintViolationError,
    **dict.fromkeys(("FIELD_INVALID", "REQUEST_MALFORMED", "TEXT_CONTAINS_NUL", "VALUE_INVALID",
                     "VALUE_UNREPRESENTABLE"), DataError),
    "SQL_INVALID": PostgresSyntaxError,
    "READ_ONLY": ReadOnlySQLTransactionError,
    "TRANSACTION_FAILED": InFailedSQLTransactionError,
    "TRANSACTION_IDLE": RetryableError,
    "SERIALIZATION_FAILURE": SerializationError,
    "DEADLOCK": DeadlockDetectedError,
    "RESULT_TOO_LARGE": ResultTooLargeError,
    "OUTCOME_UNKNOWN": OutcomeUnknownError,
    "PERMISSION_DENIED": InsufficientPrivilegeError,
    "NOT_GRANTED": InsufficientPrivilegeError,
    **dict.fromkeys(("OVERLOADED", "RATE_LIMITED", "TOO_MANY_IN_FLIGHT", "DATABASE_EXHAUSTED"),
                    OverloadedError),
}
CODES = {
    "DEADLINE_EXCEEDED": QueryTimeoutError,
    "UNAVAILABLE": ServerUnavailableError,
    "UNAUTHENTICATED": InvalidAuthorizationSpecificationError,
    "PERMISSION_DENIED": InsufficientPrivilegeError,
    "ABORTED": RetryableError,
}
NAMES = {code.value[0]: code.name for code in grpc.StatusCode}


def kind_of(code, reason, sqlstate):
    """PostgreSQL's word counts most, down to its class (`23`), then the server's reason, then gRPC's."""
    return (CODES.get(code) if code == "DEADLINE_EXCEEDED" else None) or SQLSTATES.get(sqlstate) or (
        SQLSTATES.get(sqlstate[:2] + "000") if sqlstate else None) or REASONS.get(reason) or (
        CODES.get(code, DatabaseError))


def of_status(status):
    """The exception for a google.rpc.Status."""
    reason, metadata, violations, retry_after = None, {}, [], None
    for detail in status.details:
        name = detail.type_url.rpartition("/")[2]
        try:
            found = message(name).FromString(detail.value)
        except KeyError:
            continue
        if name == "google.rpc.ErrorInfo" and found.domain == DOMAIN:
            reason, metadata = found.reason, dict(found.metadata)
        elif name == "google.rpc.BadRequest":
            violations += [(violation.field, violation.description)
                           for violation in found.field_violations]
        elif name == "google.rpc.RetryInfo":
            retry_after = found.retry_delay.ToTimedelta().total_seconds()
    code = NAMES.get(status.code, "UNKNOWN")
    kind = kind_of(code, reason, metadata.get("sqlstate"))
    return kind(status.message, code, reason, metadata, violations, retry_after)


def of_call(error):
    """The exception for a call that gRPC says has failed."""
    trailers = error.trailing_metadata() or ()
    for key, value in trailers:
        if key == "grpc-status-details-bin":
            return of_status(Status.FromString(value))
    return of_status(Status(code=error.code().value[0], message=error.details() or ""))


class translated:
    """As a context: what gRPC raises within is raised as an exception of ours."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, grpc.aio.AioRpcError):
            raise of_call(error) from error
        if isinstance(error, asyncio.CancelledError) and not asyncio.current_task().cancelling():
            # It is the call that was cancelled, and not who waits for it.
            raise InterfaceError("the database was closed meanwhile") from error
