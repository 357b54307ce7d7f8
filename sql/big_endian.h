#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace twi::sql {

/// Reads what PostgreSQL sends: integers in network order and texts ended by a zero byte. What is
/// read beyond the end is 0 or "", and then ok() is false.
class BigEndianReader {
 public:
  explicit BigEndianReader(std::string_view bytes) : bytes_(bytes) {}

  uint8_t Byte() { return static_cast<uint8_t>(Number(1)); }
  uint16_t Int16() { return static_cast<uint16_t>(Number(2)); }
  uint32_t Int32() { return static_cast<uint32_t>(Number(4)); }
  uint64_t Int64() { return Number(8); }
  std::string_view Text() {
    const size_t end = bytes_.find('\0');
    if (end == bytes_.npos) return Fail();
    const std::string_view text = bytes_.substr(0, end);
    bytes_.remove_prefix(end + 1);
    return text;
  }
  std::string_view Bytes(size_t count) {
    if (count > bytes_.size()) return Fail();
    const std::string_view bytes = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return bytes;
  }

  bool ok() const { return ok_; }
  bool empty() const { return bytes_.empty(); }

 private:
  uint64_t Number(size_t bytes) {
    uint64_t number = 0;
    for (unsigned char byte : Bytes(bytes)) number = number << 8 | byte;
    return number;
  }
  std::string_view Fail() {
    ok_ = false;
    bytes_ = {};
    return {};
  }

  std::string_view bytes_;
  bool ok_ = true;
};

template <std::unsigned_integral T>
void AppendBigEndian(T number, std::string* out) {
  for (int shift = 8 * (sizeof(T) - 1); shift >= 0; shift -= 8) {
    out->push_back(static_cast<char>(number >> shift));
  }
}

}  // namespace twi::sql
