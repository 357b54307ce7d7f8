#pragma once

#include <cstdint>
#include <string>

#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "repositories/binary_format.h"
#include "repositories/violations.h"

namespace twi::repositories {

/// Whether `time` lies in years 1 to 9999; else `violation` says so. What the database does not
/// keep, nanoseconds within a microsecond, is cut off by those who write it.
inline bool IsValid(const google::protobuf::Timestamp& time, Violation* violation) {
  if (time.seconds() >= kFirstSecond && time.seconds() <= kLastSecond && time.nanos() >= 0 &&
      time.nanos() < 1'000'000'000) {
    return true;
  }
  violation->description = "must be a time in years 1 to 9999 with 0 to 999,999,999 nanos";
  return false;
}

/// Whether `duration` lies within 10,000 years and its two parts have the same sign; else
/// `violation` says so.
inline bool IsValid(const google::protobuf::Duration& duration, Violation* violation) {
  const int64_t seconds = duration.seconds();
  const int64_t nanos = duration.nanos();
  const bool same_sign = (seconds >= 0 && nanos >= 0) || (seconds <= 0 && nanos <= 0);
  if (seconds >= -kLongestSeconds && seconds <= kLongestSeconds && nanos > -1'000'000'000 &&
      nanos < 1'000'000'000 && same_sign) {
    return true;
  }
  violation->description = "must be at most 10,000 years, its seconds and nanos of one sign";
  return false;
}

}  // namespace twi::repositories
