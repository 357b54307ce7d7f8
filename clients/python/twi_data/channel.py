"""The way to the servers: a channel of gRPC, and calls on it whose failures are exceptions of ours."""

import asyncio
import os
import pathlib
import weakref

import grpc

from . import errors
from .contract import method, packaged


def credentials(tls):
    """`tls` is a file of certificates that are trusted, or True for those that the system trusts, or
    whatever grpc.ssl_channel_credentials made."""
    if isinstance(tls, grpc.ChannelCredentials):
        return tls
    if isinstance(tls, (str, os.PathLike)):
        return grpc.ssl_channel_credentials(pathlib.Path(tls).read_bytes())
    return grpc.ssl_channel_credentials()


def method_of(operation):
    try:
        return method(operation)
    except KeyError:
        raise errors.InterfaceError(f"there is no operation {operation}") from None


class Channel:
    """Opened by the first call, since gRPC's belongs to the event loop that runs then."""

    def __init__(self, target, token=None, tls=None, options=()):
        self.target = target
        self.credentials = credentials(tls) if tls else None
        self.metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self.options = [("grpc.service_config", packaged("service_config.json").decode()), *options]
        self.channel = None
        self.callables = {}
        self.calls = weakref.WeakSet()
        self.closed = False

    def open(self):
        if self.closed:
            raise errors.InterfaceError("the database is closed")
        if self.channel is None:
            if self.credentials:
                self.channel = grpc.aio.secure_channel(self.target, self.credentials, self.options)
            else:
                self.channel = grpc.aio.insecure_channel(self.target, self.options)
        return self.channel

    async def close(self):
        self.closed = True
        # gRPC's own close overlooks those that are awaited by others than tasks of their own.
        for call in list(self.calls):
            call.cancel()
        if self.channel is not None:
            await self.channel.close()

    def begin(self, operation, *request, timeout=None, **options):
        """Begins a call of a method of the contract, of whatever kind."""
        if operation not in self.callables:
            found = method_of(operation)
            kind = "_".join("stream" if streams else "unary"
                            for streams in (found.request_streams, found.response_streams))
            self.callables[operation] = getattr(self.open(), kind)(
                found.path, found.request.SerializeToString, found.response.FromString)
        self.open()
        call = self.callables[operation](*request, timeout=timeout, metadata=self.metadata, **options)
        self.calls.add(call)
        return call

    async def call(self, operation, request, timeout=None, **options):
        """The answer to a request."""
        with errors.translated():
            return await self.begin(operation, request, timeout=timeout, **options)

    async def send(self, operation, requests, timeout=None):
        """The answer to a stream of requests, sent as fast as they are taken."""
        call = self.begin(operation, timeout=timeout)
        try:
            with errors.translated():
                async for request in requests:
                    try:
                        await call.write(request)
                    except asyncio.InvalidStateError:
                        # It has ended already, and says why.
                        break
                else:
                    await call.done_writing()
                return await call
        finally:
            call.cancel()

    async def stream(self, operation, request, timeout=None):
        """The answers to a request, one after the other. Who stops to ask for more ends the call."""
        call = self.begin(operation, request, timeout=timeout)
        try:
            with errors.translated():
                async for answer in call:
                    yield answer
        finally:
            call.cancel()
