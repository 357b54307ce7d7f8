#pragma once

#include <atomic>
#include <chrono>

namespace twi::sql {

/// Calls a thread that waits for files: somebody asks for something, or it is to stop.
class Bell {
 public:
  Bell();
  ~Bell();
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;

  /// Any thread.
  void Ring();
  void Stop();

  bool stopping() const { return stopping_; }
  /// Whether it was rung since it was answered last.
  bool Answer() { return asked_.exchange(false); }
  /// To wait for with others; readable until it was Hushed.
  int file() const { return file_; }
  void Hush();
  /// Waits, unless it is to stop.
  void Pause(std::chrono::milliseconds pause);

 private:
  int file_;  ///< An eventfd.
  std::atomic<bool> stopping_{false};
  std::atomic<bool> asked_{false};
};

}  // namespace twi::sql
