#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "sql/copying.h"
#include "sql/errors.h"

struct pg_conn;

namespace twi::sql {

class Connection;

/// A COPY on a connection, which for its time is out of pipeline mode. Its data go between the
/// caller's side and the socket as fast as the slower of the two takes them.
///
/// On the loop's thread. Nothing blocks, and nothing is told from inside Start and GiveUp.
class Transfer {
 public:
  Transfer(Connection* connection, std::shared_ptr<Copying> copying);

  bool in() const { return copying_->statement().in; }
  /// Sends the statement.
  void Start();
  /// Does what can be done now. It may be the end of it.
  void Move();
  /// The socket has something to read.
  void Hear();
  /// Comes every some milliseconds while it goes on.
  void Look();
  /// Ends it without its effect: a COPY in is told to fail, of a COPY out the rest is read and
  /// dropped. A cancel must go with it, as the database may wait for something else than us.
  void GiveUp();

 private:
  enum class Phase { kStarting, kMoving, kEnding };

  void Flush();
  /// Takes results until the copy begins or is over.
  void Collect();
  void Push();
  /// Puts one block on the wire. False when that has to wait.
  bool PushBlock();
  /// Sends the end, or with a reason that it is to fail.
  void End(const char* reason);
  void Pull();
  /// Tells what was read.
  void Give();
  bool Consume();
  void Break();
  void Post();

  Connection& connection_;
  pg_conn* const raw_;
  const std::shared_ptr<Copying> copying_;
  Phase phase_ = Phase::kStarting;
  bool giving_up_ = false;
  /// What is being sent, and how much of it was.
  std::string outgoing_;
  size_t sent_ = 0;
  /// The database said something that is no notice while it should read: libpq keeps an error to
  /// itself until the end is sent. Unless it is the half of a notice, it is one.
  bool doubted_ = false;
  bool looked_ = false;
  /// What was read for who has asked.
  std::string chunk_;
  std::optional<DatabaseError> error_;
};

}  // namespace twi::sql
