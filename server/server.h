#pragma once

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/address.h"
#include "server/pipeline.h"
#include "server/tls_files.h"

namespace twi::server {

/// gRPC's side of the server: a port, and a completion queue with a thread of its own per
/// `threads`. Every RPC, whatever its method, goes to the pipeline.
class Server {
 public:
  /// Listens on `listen` (`HOST:PORT`, port 0: any; or `unix:PATH`) and serves at once. UNAVAILABLE
  /// when the address cannot be had. Clients are told to connect anew after about
  /// `max_connection_age`; 0: never.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const std::string& listen, int threads,
                                                       Pipeline* pipeline, const TlsFiles& tls = {},
                                                       absl::Duration max_connection_age = {});
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Where it listens, with the real port.
  const std::string& address() const { return address_; }

  /// Takes no new calls, lets those there are end for `grace` and then cancels them. Some may still
  /// wait for the database afterwards.
  void Shutdown(absl::Duration grace);

 private:
  explicit Server(Pipeline* pipeline) : pipeline_(pipeline) {}

  Pipeline* const pipeline_;
  std::string address_;
  grpc::AsyncGenericService service_;
  std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues_;
  std::unique_ptr<grpc::Server> server_;
  std::vector<std::thread> threads_;
};

}  // namespace twi::server
