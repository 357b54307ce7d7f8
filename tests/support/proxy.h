#pragma once

#include <atomic>
#include <string>
#include <thread>

namespace twi::testing {

/// Stands between a client and the database's socket, and cuts connections when a test says so.
class Proxy {
 public:
  /// Before the database that `dsn` names by `host=DIR port=N`.
  explicit Proxy(const std::string& dsn);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  /// The same database by way of this.
  const std::string& dsn() const { return dsn_; }

  /// From now on what the database answers is not passed on.
  void HoldAnswers() { holding_ = true; }
  /// From now on the connections that there are pass nothing on, as if the network had lost them;
  /// new ones pass both ways.
  void Freeze();
  /// Ends all connections, on both sides, without what was held; new ones pass both ways.
  void Cut();

 private:
  void Run();

  std::string folder_;
  std::string path_;
  std::string server_;
  std::string dsn_;
  int listener_;
  std::atomic<bool> holding_{false};
  std::atomic<bool> cutting_{false};
  std::atomic<bool> freezing_{false};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace twi::testing
