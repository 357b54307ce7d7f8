#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <vector>

#include "sql/changes.h"

namespace twi::testing {

/// Notes what it is told.
class Recorder : public sql::ChangeListener {
 public:
  void OnOpen(uint64_t, sql::ChangesFrom way) override {
    Note([&] {
      ++opened;
      from = way;
    });
  }
  void OnCommit(const sql::Changes& changes) override {
    Note([&] { commits.push_back(changes); });
  }
  void OnSchemaChange() override {
    Note([this] { ++schema_changes; });
  }
  void OnCurrent(sql::BootClock::time_point as_of, uint64_t) override {
    Note([&] { current = as_of; });
  }
  void OnTick(uint64_t) override {}
  void OnClosed() override {
    Note([this] { ++closed; });
  }

  template <typename Condition>
  void Until(Condition condition) {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, std::chrono::seconds(60), condition)) << "waited in vain";
  }

  // Looked at within Until, or when nothing happens.
  int opened = 0;
  sql::ChangesFrom from = sql::ChangesFrom::kNone;
  int closed = 0;
  int schema_changes = 0;
  std::vector<sql::Changes> commits;
  sql::BootClock::time_point current{};

 private:
  template <typename Change>
  void Note(Change change) {
    {
      std::lock_guard lock(mutex_);
      change();
    }
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace twi::testing
