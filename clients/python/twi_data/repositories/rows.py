"""Messages of the contract as rows of the old layer, and arguments as messages."""

import dataclasses
import datetime
import functools

from google.protobuf.json_format import MessageToDict

from ..contract import message
from ..errors import DataError

# The column whose times know their zone. The others are UTC and do not say so.
AWARE = {"time_added"}


@functools.cache
def row_class(descriptor):
    """The class of a message's rows: attributes named as the columns."""
    return dataclasses.make_dataclass(descriptor.name, [field.name for field in descriptor.fields])


def prefix(field):
    """`TARGET_FORUM_`, which the values of the enum TargetForum begin with."""
    return field.enum_type.values[0].name.removesuffix("UNSPECIFIED")


def plain(holder, field):
    """A field as the old layer had it: None without a value, an enum in small letters."""
    value = getattr(holder, field.name)
    if field.label == field.LABEL_REPEATED:
        return list(value)
    if field.has_presence and not holder.HasField(field.name):
        return None
    if field.enum_type:
        name = field.enum_type.values_by_number[value].name
        return name.removeprefix(prefix(field)).lower() if value else None
    if not field.message_type:
        return value
    if field.message_type.full_name == "google.protobuf.Timestamp":
        return value.ToDatetime(datetime.timezone.utc if field.name in AWARE else None)
    return MessageToDict(value)


def columns(holder):
    return {field.name: plain(holder, field) for field in holder.DESCRIPTOR.fields}


def row(holder):
    return row_class(holder.DESCRIPTOR)(**columns(holder))


def filled(kind, values):
    """A message of these values; None is no value."""
    made = kind()
    for name, value in values.items():
        if value is None:
            continue
        field = kind.DESCRIPTOR.fields_by_name[name]
        try:
            if field.enum_type:
                value = f"{prefix(field)}{value}".upper()
            elif isinstance(value, datetime.datetime):
                time, value = value, message("google.protobuf.Timestamp")()
                value.FromDatetime(time)
            elif isinstance(value, dict):
                members, value = value, message("google.protobuf.Struct")()
                value.update(members)
            made.MergeFrom(kind(**{name: value}))
        except (AttributeError, TypeError, ValueError) as error:
            raise DataError(f"{name}: {error}") from error
    return made


def request_of(kind, values, into=None):
    """The request with these values, or with a message of them in its field `into`."""
    if not into:
        return filled(kind, values)
    inner = message(kind.DESCRIPTOR.fields_by_name[into].message_type.full_name)
    return kind(**{into: filled(inner, values)})
