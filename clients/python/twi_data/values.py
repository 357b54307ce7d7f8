"""Values: of Python into those of the contract and back, with the types that asyncpg has for them."""

import datetime
import decimal
import enum
import ipaddress
import json
import re
import uuid

from .contract import message
from .errors import DataError

Value = message("Value")
Array = message("Array")
Row = message("Row")

INT64 = range(-1 << 63, 1 << 63)
INTERVAL = re.compile(r"(?:(?P<years>[+-]?\d+) years? ?)?(?:(?P<months>[+-]?\d+) mons? ?)?"
                      r"(?:(?P<days>[+-]?\d+) days? ?)?"
                      r"(?:(?P<sign>[+-]?)(?P<hours>\d+):(?P<minutes>\d+):(?P<seconds>\d+(?:\.\d+)?))?")
# As asyncpg has it, the ends of Python's calendar stand for the ends of all time.
ENDS = {datetime.datetime.max: "infinity", datetime.datetime.min: "-infinity",
        datetime.date.max: "infinity", datetime.date.min: "-infinity"}


def beyond(text, kind):
    return DataError(f"{text!r} is beyond the {kind} of Python: select it as text, `column::text`")


def moment(kind, text):
    """A date or a time that PostgreSQL wrote."""
    if text.endswith("infinity"):
        return kind.min if text[0] == "-" else kind.max
    try:
        return kind.fromisoformat(text)
    except ValueError:
        raise beyond(text, kind.__name__) from None


def interval(text):
    """A year is 365 days and a month 30, as asyncpg counts them."""
    found = INTERVAL.fullmatch(text)
    try:
        part = {name: value or 0 for name, value in found.groupdict().items()}
        days = int(part["years"]) * 365 + int(part["months"]) * 30 + int(part["days"])
        # Exact, whatever the number of seconds.
        time = datetime.timedelta(hours=int(part["hours"]), minutes=int(part["minutes"]),
                                  microseconds=int(decimal.Decimal(part["seconds"]) * 1_000_000))
        return datetime.timedelta(days=days) + (-time if part["sign"] == "-" else time)
    except (AttributeError, OverflowError):
        raise beyond(text, "timedelta") from None


def other(value):
    if value.type == "time with time zone":
        return moment(datetime.time, value.text)
    return value.text


DECODERS = {
    "numeric": decimal.Decimal,
    "uuid": uuid.UUID,
    "date": lambda text: moment(datetime.date, text),
    "time": lambda text: moment(datetime.time, text),
    "timestamp": lambda text: moment(datetime.datetime, text),
    "timestamptz": lambda text: moment(datetime.datetime, text),
    "interval": interval,
    "array": lambda array: [decode(element) for element in array.elements],
    "other": other,
}


def decode(value):
    """What a value is in Python."""
    kind = value.WhichOneof("kind")
    if kind is None:
        return None
    plain = getattr(value, kind)
    return DECODERS[kind](plain) if kind in DECODERS else plain


def of_int(number):
    return Value(integer=number) if number in INT64 else Value(numeric=str(number))


def of_datetime(time):
    if end := time.tzinfo is None and ENDS.get(time):
        return Value(timestamp=end)
    if time.tzinfo is None:
        return Value(timestamp=time.isoformat(" "))
    # By UTC it is the same moment, whether a column knows of zones or not.
    return Value(timestamptz=time.astimezone(datetime.timezone.utc).isoformat(" "))


def of_time(time):
    if time.tzinfo is not None:
        return Value(other={"type": "time with time zone", "text": time.isoformat()})
    return Value(time=time.isoformat())


def of_timedelta(length):
    return Value(interval=f"{length.days} days {length.seconds}.{length.microseconds:06} seconds")


# In this order: a bool is an int, a datetime a date.
ENCODERS = [
    (Value, lambda value: value),
    (enum.Enum, lambda member: encode(member.value)),
    (bool, lambda value: Value(boolean=value)),
    (int, of_int),
    (str, lambda text: Value(text=str(text))),
    (float, lambda number: Value(real=number)),
    (decimal.Decimal, lambda number: Value(numeric=str(number))),
    ((bytes, bytearray, memoryview), lambda content: Value(bytea=bytes(content))),
    (datetime.datetime, of_datetime),
    (datetime.date, lambda date: Value(date=ENDS.get(date) or date.isoformat())),
    (datetime.time, of_time),
    (datetime.timedelta, of_timedelta),
    (uuid.UUID, lambda value: Value(uuid=str(value))),
    (dict, lambda document: Value(json=json.dumps(document))),
    ((ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Interface, ipaddress.IPv6Interface,
      ipaddress.IPv4Network, ipaddress.IPv6Network), lambda address: Value(text=str(address))),
    ((list, tuple, set, frozenset, range),
     lambda values: Value(array=Array(elements=[encode(value) for value in values]))),
]


def encode(value):
    """The value of what Python has. Which type it is read as, the statement says."""
    if value is None:
        return Value()
    for kinds, encoder in ENCODERS:
        if isinstance(value, kinds):
            return encoder(value)
    raise TypeError(f"there is no type of the database for {type(value).__name__}")


def parameters(values):
    """The values of a statement's placeholders, or of a row's columns."""
    encoded = []
    for place, value in enumerate(values, 1):
        try:
            encoded.append(encode(value))
        except (TypeError, ValueError, RecursionError) as error:
            raise DataError(f"argument ${place}: {error}") from error
    return encoded


def row(values):
    return Row(values=parameters(values))
