#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace twi::sql {

/// The values bound to a statement's placeholders $1, $2, … in Postgres's binary format: all bytes
/// in one buffer.
class Parameters {
 public:
  /// Makes room for that many values of a few bytes each.
  void Reserve(size_t values) {
    values_.reserve(values);
    buffer_.reserve(32 * values);
  }

  void AddNull() { values_.push_back({0, -1}); }
  void Add(std::string_view bytes) {
    Begin()->append(bytes);
    End();
  }

  /// A value written in place: what is appended to the result until End is the value.
  std::string* Begin() {
    values_.push_back({static_cast<uint32_t>(buffer_.size()), 0});
    return &buffer_;
  }
  void End() {
    values_.back().length = static_cast<int>(buffer_.size() - values_.back().offset);
    // A pointer to an empty value must not be null: libpq takes that for NULL.
    buffer_.push_back('\0');
  }

  int size() const { return static_cast<int>(values_.size()); }
  bool is_null(int i) const { return values_[i].length < 0; }
  std::string_view value(int i) const {
    return is_null(i) ? std::string_view()
                      : std::string_view(buffer_).substr(values_[i].offset, values_[i].length);
  }

 private:
  struct Value {
    uint32_t offset;
    int length;  ///< -1: NULL.
  };
  std::vector<Value> values_;
  std::string buffer_;
};

}  // namespace twi::sql
