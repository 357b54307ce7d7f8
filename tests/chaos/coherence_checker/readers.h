#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/chaos/coherence_checker/ledger.h"

namespace twi::checker {

/// What the readers came to.
struct Findings {
  int64_t reads = 0;
  int64_t hits = 0;
  int64_t joins = 0;
  int64_t writes = 0;
  int64_t errors = 0;
  int64_t violations = 0;
  std::vector<std::string> first;  ///< Of the violations, in words.
};

/// Callers of the replicas, each with one call under way: they read registers in all ways with all
/// freshnesses, write some, and check every answer. One thread.
class Readers {
 public:
  struct Options {
    int count = 64;
    int writes_of_1000 = 5;
    int cancels_of_1000 = 0;
    /// What `bounded` promises.
    Clock::duration bound = std::chrono::milliseconds(50);
  };

  Readers(const Options& options, Ledger* ledger);
  ~Readers() { Stop(); }

  /// Where a replica serves now.
  void Serve(size_t replica, const std::string& address);
  void Stop();
  Findings findings() const;

  /// Every register in every way of every replica, when nobody writes any more, must be what it was
  /// made last; how many were not is added to the violations.
  void CheckFinal();

 private:
  struct Way;
  struct Caller;
  static const std::vector<Way>& Ways();

  void Run();
  void Begin(Caller& caller);
  void End(Caller& caller);
  void Check(Caller& caller, int64_t version);
  void Violated(const Caller& caller, const std::string& what);
  std::shared_ptr<grpc::GenericStub> StubOf(size_t replica);
  size_t Draw(size_t below) { return std::uniform_int_distribution<size_t>(0, below - 1)(random_); }
  size_t DrawKey();

  const Options options_;
  Ledger* const ledger_;
  std::mt19937 random_{1};
  grpc::CompletionQueue queue_;
  std::array<std::vector<std::shared_ptr<grpc::GenericStub>>, kReplicas> stubs_;
  /// The greatest version that a read with `strict` has shown.
  std::array<int64_t, kRegisters> strict_{};
  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;
  Findings findings_;  ///< Guarded by mutex_, as is stubs_.
  std::thread thread_;
};

}  // namespace twi::checker
