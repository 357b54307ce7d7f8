#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "google/protobuf/message.h"
#include "repositories/operation.h"
#include "server/call.h"
#include "server/slow_queries.h"
#include "server/stream.h"
#include "server/task.h"
#include "sql/pool.h"

namespace twi::server {

/// Runs the catalog's operations for calls, each kind of streaming in its way: binds, runs in the
/// pool, records, encodes.
class Operations {
 public:
  /// `slow` is told of runs alone that take long; it may be null.
  Operations(sql::Pool* pool, SlowQueries* slow) : pool_(pool), slow_(slow) {}

  /// What the cache must know of a statement.
  struct Footprint {
    std::optional<sql::Snapshot> snapshot;  ///< Of a read: what it could see.
    std::optional<uint64_t> transaction;    ///< Of a write: which it was, where that is known.
  };

  /// What one statement answers is appended to `response`. `footprint` may be null.
  Task<absl::Status> Answer(Call& call, const google::protobuf::Message& request,
                            std::string* response, Footprint* footprint);

  /// Streams out: portion by portion, as fast as the client reads. `request` is filled here.
  Task<absl::Status> Send(Call& call, google::protobuf::Message* request);

  /// Streams in: chunk by chunk, each a transaction of its own unless the operation says otherwise.
  /// An error has the fact `requests_done`: how many requests, from the first, are done for good.
  Task<absl::Status> Take(Call& call, std::string* response);

 private:
  /// Takes the chunks in turn, in `lease`'s transaction if there is one.
  Task<absl::Status> TakeChunks(Call& call, sql::Lease* lease, repositories::Tally* tally);
  /// Takes all of them or, with an error, none.
  Task<absl::Status> TakeWhole(Call& call, repositories::Tally* tally);
  /// Runs what `execution` is bound to in `lease`'s transaction.
  static Task<absl::Status> RunIn(Call& call, sql::Lease& lease, sql::Execution& execution);
  /// Reads what the next statement takes. `pending`: `request` holds one that did not fit.
  static Task<absl::Status> Fill(Stream& stream, google::protobuf::Message* request, bool* pending,
                                 repositories::Chunk* chunk);

  sql::Pool* const pool_;
  SlowQueries* const slow_;
};

}  // namespace twi::server
