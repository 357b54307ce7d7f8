#include "repositories/value_text.h"

#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "repositories/postgres_types.h"
#include "repositories/violations.h"
#include "sql/text.h"

namespace twi::repositories {
namespace {

using data::v1::Value;

// As PostgreSQL has it.
constexpr int kMostDimensions = 6;

constexpr sql::Oid kOid = 26;
constexpr sql::Oid kUnknown = 705;
constexpr sql::Oid kTime = 1083;

std::string RealText(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  char text[32];
  return {text, std::to_chars(text, text + sizeof(text), value).ptr};
}

absl::Status AppendArray(const Value& value, const std::string& field, int dimensions,
                         std::string* out);

/// Appends the text of a value that is neither NULL nor an array.
absl::Status AppendScalar(const Value& value, const std::string& field, std::string* out) {
  const auto text = [&]() -> std::string_view {
    switch (value.kind_case()) {
      case Value::kNumeric:
        return value.numeric();
      case Value::kText:
        return value.text();
      case Value::kJson:
        return value.json();
      case Value::kUuid:
        return value.uuid();
      case Value::kDate:
        return value.date();
      case Value::kTime:
        return value.time();
      case Value::kTimestamp:
        return value.timestamp();
      case Value::kTimestamptz:
        return value.timestamptz();
      case Value::kInterval:
        return value.interval();
      case Value::kOther:
        return value.other().text();
      default:
        return "";
    }
  }();
  switch (value.kind_case()) {
    case Value::kBoolean:
      out->append(value.boolean() ? "t" : "f");
      break;
    case Value::kInteger:
      absl::StrAppend(out, value.integer());
      break;
    case Value::kReal:
      out->append(RealText(value.real()));
      break;
    case Value::kBytea:
      absl::StrAppend(out, "\\x", absl::BytesToHexString(value.bytea()));
      break;
    default:
      // The text format ends there.
      if (text.find('\0') != text.npos) {
        return Wrong(field, "must not contain U+0000", "TEXT_CONTAINS_NUL");
      }
      out->append(text);
  }
  return absl::OkStatus();
}

/// Appends the text of a value that is not NULL.
absl::Status Append(const Value& value, const std::string& field, std::string* out) {
  if (value.has_array()) return AppendArray(value, field, 1, out);
  return AppendScalar(value, field, out);
}

absl::Status AppendArray(const Value& value, const std::string& field, int dimensions,
                         std::string* out) {
  if (dimensions > kMostDimensions) {
    return Wrong(field, absl::StrCat("must have at most ", kMostDimensions, " dimensions"));
  }
  out->push_back('{');
  for (const Value& element : value.array().elements()) {
    if (out->back() != '{') out->push_back(',');
    absl::Status status;
    if (element.kind_case() == Value::KIND_NOT_SET) {
      out->append("NULL");
    } else if (element.has_array()) {
      status = AppendArray(element, field, dimensions + 1, out);
    } else {
      std::string text;
      status = AppendScalar(element, field, &text);
      out->push_back('"');
      for (const char c : text) {
        if (c == '"' || c == '\\') out->push_back('\\');
        out->push_back(c);
      }
      out->push_back('"');
    }
    if (!status.ok()) return status;
  }
  out->push_back('}');
  return absl::OkStatus();
}

/// Reads what PostgreSQL writes of an array: `{1,NULL,"a \"b\""}`, `{{1},{2}}`.
class ArrayReader {
 public:
  ArrayReader(sql::Oid element, const TypeInfo& info, std::string_view text)
      : element_(element), info_(info), text_(text) {}

  /// False when it has no such form, as with bounds that do not begin at 1.
  bool Read(data::v1::Array* array) { return ReadArray(array) && at_ == text_.size(); }

 private:
  bool Take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  bool ReadArray(data::v1::Array* array) {
    if (!Take('{')) return false;
    if (Take('}')) return true;
    do {
      if (!ReadElement(array->add_elements())) return false;
    } while (Take(','));
    return Take('}');
  }

  bool ReadElement(Value* value) {
    if (at_ < text_.size() && text_[at_] == '{') return ReadArray(value->mutable_array());
    const bool quoted = Take('"');
    std::string text;
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (quoted ? c == '"' : c == ',' || c == '}') break;
      if (c == '\\') ++at_;
      if (at_ < text_.size()) text.push_back(text_[at_]);
    }
    if (quoted && !Take('"')) return false;
    if (quoted || text != "NULL") ReadValue(element_, info_, text, value);
    return true;
  }

  const sql::Oid element_;
  const TypeInfo& info_;
  const std::string_view text_;
  size_t at_ = 0;
};

/// Of either output form; nothing when it is in neither.
std::optional<std::string> Bytes(std::string_view text) {
  if (text.starts_with("\\x")) return absl::HexStringToBytes(ToAbsl(text.substr(2)));
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      bytes.push_back(text[i]);
    } else if (text.substr(i + 1).starts_with('\\')) {
      bytes.push_back(text[++i]);
    } else {
      int byte = 0;
      const auto digits = text.substr(i + 1, 3);
      if (std::from_chars(digits.data(), digits.data() + digits.size(), byte, 8).ec !=
          std::errc()) {
        return std::nullopt;
      }
      bytes.push_back(static_cast<char>(byte));
      i += 3;
    }
  }
  return bytes;
}

}  // namespace

absl::Status BindValue(const Value& value, const std::string& field, sql::Parameters* out) {
  if (value.kind_case() == Value::KIND_NOT_SET) {
    out->AddNull();
    return absl::OkStatus();
  }
  absl::Status status = Append(value, field, out->Begin());
  out->End();
  return status;
}

sql::Oid TypeOf(const Value& value) {
  switch (value.kind_case()) {
    case Value::kBoolean:
      return kBool;
    case Value::kInteger:
      return kInt8;
    case Value::kReal:
      return kFloat8;
    case Value::kNumeric:
      return kNumeric;
    case Value::kText:
      return kText;
    case Value::kBytea:
      return kBytea;
    case Value::kJson:
      return kJsonb;
    case Value::kUuid:
      return kUuid;
    case Value::kDate:
      return kDate;
    case Value::kTime:
      return kTime;
    case Value::kTimestamp:
      return kTimestamp;
    case Value::kTimestamptz:
      return kTimestamptz;
    case Value::kInterval:
      return kInterval;
    case Value::kArray:
      for (const Value& element : value.array().elements()) {
        if (const sql::Oid type = TypeOf(element); type != 0) {
          return element.has_array() ? type : ArrayType(type);
        }
      }
      return 0;
    default:
      return 0;
  }
}

void ReadValue(sql::Oid type, const TypeInfo& info, std::string_view text, Value* value) {
  const std::string copy(text);
  int64_t integer = 0;
  double real = 0;
  switch (type) {
    case kBool:
      return value->set_boolean(text == "t");
    case kInt2:
    case kInt4:
    case kInt8:
    case kOid:
      if (!absl::SimpleAtoi(copy, &integer)) break;
      return value->set_integer(integer);
    case kFloat4:
    case kFloat8:
      if (!absl::SimpleAtod(copy, &real)) break;
      return value->set_real(real);
    case kNumeric:
      return value->set_numeric(copy);
    case kText:
    case kVarchar:
    case kBpchar:
    case kName:
    case kUnknown:
      return value->set_text(copy);
    case kBytea:
      if (auto bytes = Bytes(text)) return value->set_bytea(*std::move(bytes));
      break;
    case kJson:
    case kJsonb:
      return value->set_json(copy);
    case kUuid:
      return value->set_uuid(copy);
    case kDate:
      return value->set_date(copy);
    case kTime:
      return value->set_time(copy);
    case kTimestamp:
      return value->set_timestamp(copy);
    case kTimestamptz:
      return value->set_timestamptz(copy);
    case kInterval:
      return value->set_interval(copy);
    default:
      break;
  }
  if (info.element != 0) {
    const TypeInfo element{info.element_name};
    if (ArrayReader(info.element, element, text).Read(value->mutable_array())) return;
  }
  value->mutable_other()->set_type(info.name);
  value->mutable_other()->set_text(copy);
}

absl::Status AppendCopyRow(const data::v1::Row& row, const std::string& field, std::string* out) {
  for (int i = 0; i < row.values_size(); ++i) {
    if (i > 0) out->push_back('\t');
    if (row.values(i).kind_case() == Value::KIND_NOT_SET) {
      out->append("\\N");
      continue;
    }
    std::string text;
    absl::Status status = Append(row.values(i), absl::StrCat(field, ".values[", i, "]"), &text);
    if (!status.ok()) return status;
    for (const char c : text) {
      switch (c) {
        case '\\':
          out->append("\\\\");
          break;
        case '\n':
          out->append("\\n");
          break;
        case '\r':
          out->append("\\r");
          break;
        case '\t':
          out->append("\\t");
          break;
        default:
          out->push_back(c);
      }
    }
  }
  out->push_back('\n');
  return absl::OkStatus();
}

}  // namespace twi::repositories
