#include "tests/chaos/coherence_checker/ledger.h"

#include <algorithm>

namespace twi::checker {
namespace {

constexpr std::chrono::milliseconds kEvery{2};
constexpr size_t kSamples = 500;

}  // namespace

Ledger::Ledger() {
  for (auto& known : known_) known = 1;
  sampler_ = std::thread([this] { Sample(); });
}

Ledger::~Ledger() {
  stopping_ = true;
  sampler_.join();
}

void Ledger::Sample() {
  while (!stopping_) {
    Past now;
    for (size_t reg = 0; reg < kRegisters; ++reg) now.known[reg] = Known(reg);
    now.after = Clock::now();
    {
      std::lock_guard lock(mutex_);
      past_.push_back(now);
      if (past_.size() > kSamples) past_.pop_front();
    }
    std::this_thread::sleep_for(kEvery);
  }
}

int64_t Ledger::KnownBefore(size_t reg, Clock::duration age) const {
  const Clock::time_point then = Clock::now() - age;
  std::lock_guard lock(mutex_);
  const auto sample = std::find_if(past_.rbegin(), past_.rend(),
                                   [&](const Past& past) { return past.after <= then; });
  return sample == past_.rend() ? 1 : sample->known[reg];
}

}  // namespace twi::checker
