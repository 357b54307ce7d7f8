#pragma once

#include <cstdint>
#include <initializer_list>
#include <random>
#include <string>
#include <vector>

namespace twi::fuzz {

/// The same numbers for the same seeds, everywhere.
class Random {
 public:
  Random(uint64_t seed, uint64_t stream) {
    std::seed_seq sequence{seed, seed >> 32, stream, stream >> 32};
    numbers_.seed(sequence);
  }

  uint64_t Number() { return numbers_(); }
  /// One of 0 to below - 1.
  size_t Below(size_t below) { return numbers_() % below; }
  /// Once in `times`.
  bool OnceIn(size_t times) { return Below(times) == 0; }
  /// Short mostly, now and then long.
  size_t Length(size_t most) { return Below(Below(most) + 1); }

  std::string Bytes(size_t length) {
    std::string bytes(length, '\0');
    for (char& byte : bytes) byte = static_cast<char>(numbers_());
    return bytes;
  }

  template <typename T>
  T OneOf(std::initializer_list<T> all) {
    return *(all.begin() + Below(all.size()));
  }
  template <typename T>
  const T& OneOf(const std::vector<T>& all) {
    return all[Below(all.size())];
  }

 private:
  std::mt19937_64 numbers_;
};

}  // namespace twi::fuzz
