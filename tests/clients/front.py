"""Between clients and a server: refuses what a test wants refused, and passes on all else as it is."""

import collections
import concurrent.futures
import functools

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2


def unavailable():
    """The server's answer while it has no database."""
    status = status_pb2.Status(code=grpc.StatusCode.UNAVAILABLE.value[0], message="not now")
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(100)
    for detail in (error_details_pb2.ErrorInfo(reason="DATABASE_UNAVAILABLE", domain="data.twi"),
                   retry):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


class Front(grpc.GenericRpcHandler):
    """As a context it listens on `target` and passes calls on to `server`. The first attempts of a
    method are refused, as many as `refusals` says; `attempts` holds, for each method, what each
    attempt says of how many of the same call were made before."""

    def __init__(self, server, refusals):
        self.server = server
        self.refusals = collections.Counter(refusals)
        self.attempts = collections.defaultdict(list)

    def __enter__(self):
        self.channel = grpc.insecure_channel(self.server)
        self.listener = grpc.server(concurrent.futures.ThreadPoolExecutor(16), [self])
        self.target = f"127.0.0.1:{self.listener.add_insecure_port('127.0.0.1:0')}"
        self.listener.start()
        return self

    def __exit__(self, *_):
        self.listener.stop(0).wait()
        self.channel.close()

    def service(self, handler_call_details):
        method = handler_call_details.method
        return grpc.stream_stream_rpc_method_handler(functools.partial(self.answer, method))

    def answer(self, method, requests, context):
        name = method.rpartition("/")[2]
        metadata = dict(context.invocation_metadata())
        self.attempts[name].append(int(metadata.get("grpc-previous-rpc-attempts", 0)))
        if self.refusals[name]:
            self.refusals[name] -= 1
            status = unavailable()
            context.set_trailing_metadata(
                (("grpc-status-details-bin", status.SerializeToString()),))
            context.abort(grpc.StatusCode.UNAVAILABLE, status.message)
        # Without a deadline grpcio says that some centuries remain, which it does not take itself.
        remaining = context.time_remaining()
        call = self.channel.stream_stream(method)(
            requests, timeout=remaining if remaining < 1e6 else None)
        context.add_callback(call.cancel)
        try:
            yield from call
        except grpc.RpcError as error:
            context.set_trailing_metadata(error.trailing_metadata())
            context.abort(error.code(), error.details())
