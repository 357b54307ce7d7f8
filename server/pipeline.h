#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "repositories/catalog.h"
#include "server/access.h"
#include "server/caching.h"
#include "server/call.h"
#include "server/failures.h"
#include "server/method.h"
#include "server/metrics.h"
#include "server/operations.h"
#include "server/principal.h"
#include "server/record.h"
#include "server/service.h"
#include "server/slow_queries.h"
#include "server/span_exporter.h"
#include "server/task.h"
#include "sql/pool.h"

namespace twi::server {

/// The path of every call of every service, health and reflection included: the same steps in the
/// same order.
class Pipeline {
 public:
  struct Options {
    std::chrono::milliseconds default_deadline{300'000};
    /// Where statements are told that took long; null: none does.
    SlowQueries* slow_queries = nullptr;
    /// Where calls are told that failed; null: none is.
    Failures* failures = nullptr;
    /// Each call has its line in the log.
    bool access_log = false;
    /// Where spans of traces go; null: nowhere.
    SpanExporter* exporter = nullptr;
    /// The largest request of a method that does not stream in, in bytes.
    size_t message_limit = 4 * 1024 * 1024;
    /// Calls in flight of all callers together, so that one who never waits may have 10,000
    /// streams. An idle one takes some 20 KiB.
    int call_limit = 24'000;
  };

  /// Serves the catalog's operations on the pool, and the handwritten services. `caching` may be
  /// null: then no answer is kept. So may `access`: then everybody may call everything.
  Pipeline(const Options& options, const repositories::Catalog* catalog, sql::Pool* pool,
           Caching* caching, Access* access, const std::vector<Service*>& services,
           Metrics* metrics);
  /// What is wrong with the rules of requests; nothing may be served then.
  const std::vector<std::string>& problems() const { return problems_; }

  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  /// The method at a path (`/twi.data.v1.QuotesService/GetQuote`), or null.
  const Method* Find(const std::string& path) const;

  /// Where calls of methods that do not exist are counted.
  MethodMetrics* unknown_method() const { return metrics_->unknown_method(); }

  /// Whether the call may go on: who makes it, whether he may, whether there is such a method and
  /// room for a call. Ends it if not, before anything of it is read.
  bool Admit(Call& call);
  /// Ends the call when the answer to its first message is kept. Whether there is another message,
  /// which a unary call must not have, is not waited for.
  bool AnswerKept(Call& call);
  /// Serves a call whose request has been received, or whose stream has begun.
  Detached Serve(Call& call);

  SpanExporter* exporter() const { return options_.exporter; }
  std::chrono::milliseconds default_deadline() const { return options_.default_deadline; }

  /// A call object was made or is gone.
  void Began() { calls_.fetch_add(1, std::memory_order_relaxed); }
  void Ended() { calls_.fetch_sub(1, std::memory_order_release); }
  /// How many there are: calls in flight, and those that wait for one to arrive.
  int calls() const { return calls_.load(std::memory_order_acquire); }

 private:
  Method& Add(const google::protobuf::MethodDescriptor& descriptor);
  /// Why the call may not go on, or OK.
  absl::Status Enter(Call& call);
  /// From the received call to its status, with the response's bytes in the call.
  Task<absl::Status> Answer(Call& call);
  /// Parses and validates what a unary call received.
  absl::Status Receive(Call& call, google::protobuf::Message* request) const;
  /// Ends the call and tells of it.
  void Finish(Call& call, absl::Status status);

  const Options options_;
  Operations operations_;
  Caching* const caching_;
  Access* const access_;
  Metrics* const metrics_;
  const Recorders recorders_;
  absl::flat_hash_map<std::string, std::unique_ptr<Method>> methods_;
  std::vector<std::string> problems_;
  std::atomic<int> calls_{0};
  /// All who are not asked who they are, as where access is controlled anybody may watch the
  /// health.
  Principal nobody_{""};
};

}  // namespace twi::server
