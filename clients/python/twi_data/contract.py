"""The contract: messages and methods, made of the descriptor set that the build puts beside this file."""

import functools
import typing
from importlib import resources

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "twi.data.v1"


def packaged(name):
    """A file that the build puts into the package."""
    try:
        return (resources.files(__package__) / name).read_bytes()
    except FileNotFoundError as missing:
        raise ImportError(f"{missing.filename} is missing: the package is used as the build makes it, "
                          "build/<preset>/clients/python (target python_package)") from missing


def load():
    # A pool of our own: the program may have modules that protoc made of the same protos.
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(packaged("descriptors.binpb")).file:
        pool.Add(file)
    return pool


POOL = load()
# protobuf 4.22 replaced the factory that Debian 12 has, and later took it away.
message_class = (message_factory.GetMessageClass if hasattr(message_factory, "GetMessageClass")
                 else message_factory.MessageFactory(POOL).GetPrototype)


@functools.cache
def message(name):
    """The class of a message; its name is one of ours or a full one."""
    return message_class(POOL.FindMessageTypeByName(name if "." in name else f"{PACKAGE}.{name}"))


class Method(typing.NamedTuple):
    path: str
    request: type
    response: type
    request_streams: bool
    response_streams: bool


@functools.cache
def method(operation):
    """A method by its name, such as `QuotesService/GetQuote`."""
    name, _, rpc = operation.partition("/")
    service = POOL.FindServiceByName(name if "." in name else f"{PACKAGE}.{name}")
    found = service.methods_by_name[rpc]
    described = descriptor_pb2.MethodDescriptorProto()
    found.CopyToProto(described)
    return Method(f"/{service.full_name}/{rpc}", message_class(found.input_type),
                  message_class(found.output_type), described.client_streaming, described.server_streaming)
