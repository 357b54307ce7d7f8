#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace twi::repositories {

/// Writes an integer to `at` in network byte order, as Postgres's binary format has all numbers.
template <std::integral T>
void PutBigEndian(T value, char* at) {
  const auto bits = static_cast<std::make_unsigned_t<T>>(value);
  for (size_t i = 0; i < sizeof(T); ++i) {
    at[i] = static_cast<char>(bits >> (8 * (sizeof(T) - 1 - i)));
  }
}

template <std::integral T>
void AppendBigEndian(T value, std::string* out) {
  char bytes[sizeof(T)];
  PutBigEndian(value, bytes);
  out->append(bytes, sizeof(T));
}

inline void AppendFloat(float value, std::string* out) {
  AppendBigEndian(std::bit_cast<uint32_t>(value), out);
}

inline void AppendDouble(double value, std::string* out) {
  AppendBigEndian(std::bit_cast<uint64_t>(value), out);
}

/// REQUIRES: `bytes` holds at least sizeof(T) bytes.
template <std::integral T>
T ReadBigEndian(std::string_view bytes) {
  std::make_unsigned_t<T> bits = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    bits = static_cast<std::make_unsigned_t<T>>(bits << 8 | static_cast<uint8_t>(bytes[i]));
  }
  return static_cast<T>(bits);
}

/// An int2, int4 or int8, told apart by its size.
inline int64_t ReadInteger(std::string_view bytes) {
  switch (bytes.size()) {
    case 2:
      return ReadBigEndian<int16_t>(bytes);
    case 4:
      return ReadBigEndian<int32_t>(bytes);
    default:
      return ReadBigEndian<int64_t>(bytes);
  }
}

/// A float4 or float8, told apart by its size.
inline double ReadReal(std::string_view bytes) {
  if (bytes.size() == 4) return std::bit_cast<float>(ReadBigEndian<uint32_t>(bytes));
  return std::bit_cast<double>(ReadBigEndian<uint64_t>(bytes));
}

// Times count from 2000-01-01 00:00 UTC: a timestamp microseconds (int8), a date days (int4). The
// ends of either integer are `infinity` and `-infinity`.
inline constexpr int64_t kPostgresEpoch = 946'684'800;  ///< In seconds since 1970.
inline constexpr int64_t kMicrosecond = 1'000'000;      ///< How many a second has.
inline constexpr int64_t kDaySeconds = 86'400;

// The first and last second that google.protobuf.Timestamp can tell: years 1 to 9999.
inline constexpr int64_t kFirstSecond = -62'135'596'800;
inline constexpr int64_t kLastSecond = 253'402'300'799;
/// google.protobuf.Duration goes this far both ways: 10,000 years.
inline constexpr int64_t kLongestSeconds = 315'576'000'000;

/// jsonb is this byte and the JSON text.
inline constexpr char kJsonbVersion = 1;

}  // namespace twi::repositories
