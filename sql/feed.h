#pragma once

#include <bitset>
#include <chrono>
#include <initializer_list>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "sql/changes.h"

struct pg_conn;
struct pg_result;

namespace twi::sql {

class Bell;

/// One unbroken sequence of changes, from its beginning to its loss. Used by one thread, which
/// `bell` calls.
class Feed {
 public:
  /// `listener` may be null while nothing is opened.
  Feed(std::string dsn, ChangeListener* listener, Bell* bell)
      : dsn_(std::move(dsn)), listener_(listener), bell_(*bell) {}
  virtual ~Feed() = default;
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;

  virtual ChangesFrom from() const = 0;
  /// Begins, and tells so. FAILED_PRECONDITION says why the database does not allow it, UNAVAILABLE
  /// that it cannot be asked.
  virtual absl::Status Open() = 0;
  /// Tells until it is lost, and says why, or until it is to stop.
  virtual absl::Status Follow() = 0;

 protected:
  using Connected = std::unique_ptr<pg_conn, void (*)(pg_conn*)>;
  using Result = std::unique_ptr<pg_result, void (*)(pg_result*)>;

  // How often a feed finds out that it is current, unasked.
  static constexpr std::chrono::milliseconds kInterval{10};
  static constexpr std::chrono::milliseconds kSchemaInterval{1000};

  Connected Connect(bool replication) const;
  static absl::Status Broken(pg_conn* connection);
  /// Of a statement: FAILED_PRECONDITION, but UNAVAILABLE when the server is going down.
  static absl::Status Refused(pg_result* result);
  /// Runs a statement to its end, unless it is to stop.
  absl::StatusOr<Result> Run(pg_conn* connection, const std::string& text);
  /// Waits for any of the connections, at most two, or the bell. Says which may have something, in
  /// their order: all of them after the timeout, as what libpq holds already makes no socket ready.
  using Ready = std::bitset<2>;
  Ready Wait(std::initializer_list<pg_conn*> connections, std::chrono::milliseconds timeout);
  /// Of PostgreSQL's `16/B374D848`.
  static uint64_t Position(const char* text);

  const std::string dsn_;
  ChangeListener* const listener_;
  Bell& bell_;
};

}  // namespace twi::sql
