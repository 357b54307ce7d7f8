#pragma once

#include <string>

namespace twi::checker {

/// A server of the registers in a process of its own, which ends with the one that started it.
class Replica {
 public:
  /// The process's main program: prints its address, and serves until it is killed.
  static int Serve(const std::string& dsn, const std::string& source, const std::string& mutant);

  /// Starts this program once more. It ends at once when the database is away.
  Replica(const std::string& dsn, const std::string& source, const std::string& mutant);
  ~Replica();
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  const std::string& address() const { return address_; }
  int pid() const { return pid_; }
  bool Running();

 private:
  int pid_ = -1;
  std::string address_;
};

}  // namespace twi::checker
