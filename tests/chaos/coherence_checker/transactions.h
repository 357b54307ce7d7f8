#pragma once

#include <grpcpp/generic/generic_stub.h>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "tests/chaos/coherence_checker/ledger.h"

namespace twi::checker {

/// A caller who writes in transactions of several calls, through one replica or another: with
/// savepoints, and not all come to an end.
class Transactions {
 public:
  Transactions(Clock::duration pause, Ledger* ledger);
  ~Transactions() { Stop(); }

  /// Where a replica is from now on.
  void Serve(size_t replica, const std::string& address);
  void Stop();
  int64_t committed() const { return committed_; }

 private:
  class Conversation;

  void Run();
  /// One transaction.
  void Write(size_t replica, size_t key);

  const Clock::duration pause_;
  Ledger* const ledger_;
  std::atomic<bool> stopping_{false};
  std::atomic<int64_t> committed_{0};
  std::mutex mutex_;
  std::array<std::shared_ptr<grpc::GenericStub>, kReplicas> stubs_;  ///< Guarded by mutex_.
  std::thread thread_;
};

}  // namespace twi::checker
