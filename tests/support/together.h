#pragma once

#include <thread>
#include <vector>

namespace twi::testing {

/// So many callers at once, each with its number.
template <typename Caller>
void Together(int callers, Caller caller) {
  std::vector<std::thread> threads;
  for (int i = 0; i < callers; ++i) threads.emplace_back([&caller, i] { caller(i); });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace twi::testing
