#pragma once

#include <atomic>
#include <coroutine>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "sql/execution.h"

namespace twi::sql {

class Copying;
class Lease;
struct Lent;

/// A COPY, and for how long it is wanted.
struct CopyOptions {
  /// One `COPY … FROM STDIN` or `COPY … TO STDOUT`. Anything else is refused before it is sent.
  std::string text;
  /// Cancelled then, whether a step is under way or not.
  Clock::time_point deadline = Clock::time_point::max();
  /// Set by any thread when nobody wants it any more. Outlives the copy.
  const std::atomic<bool>* cancelled = nullptr;
};

/// What came of a COPY that is over.
struct CopyOutcome {
  absl::Status status = {};
  int64_t rows = 0;
  /// What went wrong in the database's words and state: for logs and metrics, never for callers.
  std::string sqlstate = {};
  std::string database_message = {};
  /// The session is gone with it.
  bool broken = false;
};

/// A COPY in a session that its caller has borrowed: what both directions share.
///
/// It is used by steps, one at a time: Begin, then as many Put or Next as there are, then End or
/// Abort. Each is awaited (`co_await copy.Begin()`), or is given a function that is called when it
/// is done: false then means that it is done already, and the function is not called. Whoever
/// awaits goes on on the pool's thread, or at once.
///
/// Once it is over, by its end, an abort or an error, the session takes the next statement; nothing
/// is ever run again. Inside a transaction an error or abort has failed that, as any error does:
///
///   as for statements              what the database refuses; facts `row`, from 1, and `column`
///                                  say where the data are wrong, when the database knows
///   DEADLINE_EXCEEDED, CANCELLED   it was too late or unwanted; the database has undone it
///   UNAVAILABLE                    the connection broke, and nothing was done
///   UNKNOWN                        it broke outside a transaction, when the database may have
///                                  committed already: a copy in after its end was sent
///   INVALID_ARGUMENT               it is no such COPY
///
/// Dropped before it is over it is undone, and the session closed.
class Copy {
 public:
  using Done = std::function<void()>;

  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;

  /// Is done when the database is ready for data, or has them ready.
  auto Begin() { return Step{*this, &Copy::StartBegin, &Copy::status, {}}; }
  bool Begin(Done done) { return StartBegin({}, std::move(done)); }

  /// Gives it up; the reason is for the database's log. OK when the session can be used again,
  /// whatever had become of the copy.
  auto Abort(std::string_view reason) {
    return Step{*this, &Copy::StartAbort, &Copy::aborted, reason};
  }
  bool Abort(std::string_view reason, Done done) { return StartAbort(reason, std::move(done)); }

  /// An error once it has failed; OK while it goes on or when it went well.
  absl::Status status() const;
  /// Of an abort.
  absl::Status aborted() const;
  bool over() const;
  /// REQUIRES: it is over.
  CopyOutcome outcome() const;

 protected:
  Copy(const Lease& lease, CopyOptions options, bool in);
  ~Copy();

  /// A step that is awaited.
  struct Step {
    Copy& copy;
    bool (Copy::*start)(std::string_view bytes, Done done);
    absl::Status (Copy::*result)() const;
    std::string_view bytes;

    bool await_ready() const { return false; }
    bool await_suspend(std::coroutine_handle<> waiter) {
      return (copy.*start)(bytes, [waiter] { waiter.resume(); });
    }
    absl::Status await_resume() const { return (copy.*result)(); }
  };

  bool StartBegin(std::string_view, Done done);
  bool StartPut(std::string_view bytes, Done done);
  bool StartNext(std::string_view, Done done);
  bool StartEnd(std::string_view, Done done);
  bool StartAbort(std::string_view reason, Done done);
  /// What the last Next came to.
  absl::StatusOr<std::string> Taken();

 private:
  /// Has the loop look at what has changed.
  void Wake();

  const std::shared_ptr<Lent> lent_;
  const std::shared_ptr<Copying> copying_;
};

/// COPY … FROM STDIN. Bytes are in whatever format the statement names, and put in pieces of any
/// size: rows may be cut anywhere.
class CopyIn : public Copy {
 public:
  /// REQUIRES: the lease holds a session.
  CopyIn(const Lease& lease, CopyOptions options) : Copy(lease, std::move(options), /*in=*/true) {}

  /// Is done when all bytes were taken and more may be put: at most 1 MiB lies here at any time.
  /// The bytes must stay until then. An error of the database comes as soon as it is known,
  /// whatever is still to be sent.
  auto Put(std::string_view bytes) { return Step{*this, &CopyIn::StartPut, &Copy::status, bytes}; }
  bool Put(std::string_view bytes, Done done) { return StartPut(bytes, std::move(done)); }

  /// That was all. OK when the rows are there: committed, or in the transaction.
  auto End() { return Step{*this, &CopyIn::StartEnd, &Copy::status, {}}; }
  bool End(Done done) { return StartEnd({}, std::move(done)); }
};

/// COPY … TO STDOUT.
class CopyOut : public Copy {
 public:
  /// REQUIRES: the lease holds a session.
  CopyOut(const Lease& lease, CopyOptions options)
      : Copy(lease, std::move(options), /*in=*/false) {}

  /// `absl::StatusOr<std::string>`: whole rows, some 64 KiB of them or what is there after a
  /// while; "" at the end. Nothing is read from the database while nobody asks.
  auto Next() {
    struct Awaiter : Step {
      absl::StatusOr<std::string> await_resume() const {
        return static_cast<CopyOut&>(copy).Taken();
      }
    };
    return Awaiter{{*this, &CopyOut::StartNext, &Copy::status, {}}};
  }
  bool Next(Done done) { return StartNext({}, std::move(done)); }
  /// Once that is done, what it came to.
  using Copy::Taken;
};

}  // namespace twi::sql
