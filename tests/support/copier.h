#pragma once

#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "sql/copy.h"

namespace twi::sql {

/// A step that is under way.
class UnderWay {
 public:
  template <typename Start>
  explicit UnderWay(Start start) : done_(std::make_shared<std::promise<void>>()) {
    if (!start([done = done_] { done->set_value(); })) done_->set_value();
    over_ = done_->get_future();
  }
  bool over() const { return over_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }
  void Wait() const { over_.wait(); }

 private:
  std::shared_ptr<std::promise<void>> done_;
  std::future<void> over_;
};

// Steps that are waited for.

inline absl::Status Begun(Copy& copy) {
  UnderWay([&](Copy::Done done) { return copy.Begin(std::move(done)); }).Wait();
  return copy.status();
}
inline absl::Status Put(CopyIn& copy, std::string_view bytes) {
  UnderWay([&](Copy::Done done) { return copy.Put(bytes, std::move(done)); }).Wait();
  return copy.status();
}
inline absl::Status End(CopyIn& copy) {
  UnderWay([&](Copy::Done done) { return copy.End(std::move(done)); }).Wait();
  return copy.status();
}
inline absl::Status Abort(Copy& copy) {
  UnderWay([&](Copy::Done done) { return copy.Abort("a test", std::move(done)); }).Wait();
  return copy.aborted();
}
inline absl::StatusOr<std::string> Next(CopyOut& copy) {
  UnderWay([&](Copy::Done done) { return copy.Next(std::move(done)); }).Wait();
  return copy.Taken();
}

/// All of it in one go.
inline absl::Status PutAll(CopyIn& copy, std::string_view bytes) {
  if (absl::Status status = Begun(copy); !status.ok()) return status;
  if (absl::Status status = Put(copy, bytes); !status.ok()) return status;
  return End(copy);
}
inline absl::StatusOr<std::string> TakeAll(CopyOut& copy) {
  std::string all;
  if (absl::Status status = Begun(copy); !status.ok()) return status;
  while (true) {
    const absl::StatusOr<std::string> chunk = Next(copy);
    if (!chunk.ok()) return chunk.status();
    if (chunk->empty()) return all;
    all += *chunk;
  }
}

}  // namespace twi::sql
