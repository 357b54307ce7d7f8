#include "server/validation.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "google/protobuf/field_mask.pb.h"
#include "repositories/field_mask.h"
#include "repositories/field_value.h"
#include "repositories/violations.h"
#include "sql/text.h"
#include "twi/data/v1/options.pb.h"

namespace twi::server {
namespace {

using data::v1::FieldRules;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FieldMask;
using google::protobuf::Message;
using google::protobuf::OneofDescriptor;
using repositories::FieldValue;

// Rows of a list when neither the call nor the field's rule says more.
constexpr int64_t kUsualRows = 100;
constexpr int64_t kMostRows = 1000;

bool IsInteger(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      return true;
    default:
      return false;
  }
}

bool IsReal(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE ||
         field.cpp_type() == FieldDescriptor::CPPTYPE_FLOAT;
}

/// The first rule that means nothing for a field of this type, or null.
const char* Misfit(const FieldRules& rules, const FieldDescriptor& field) {
  const bool text = field.type() == FieldDescriptor::TYPE_STRING;
  const bool bytes = field.type() == FieldDescriptor::TYPE_BYTES;
  const bool number = IsInteger(field) || IsReal(field);
  if (rules.has_min() && !number) return "min";
  if (rules.has_max() && !number) return "max";
  if (rules.has_min_len() && !text && !bytes) return "min_len";
  if (rules.has_max_len() && !text && !bytes) return "max_len";
  if (rules.has_min_items() && !field.is_repeated()) return "min_items";
  if (rules.has_max_items() && !field.is_repeated()) return "max_items";
  if (rules.id() && !IsInteger(field)) return "id";
  if (rules.has_page() && (field.is_repeated() || (field.type() != FieldDescriptor::TYPE_INT32 &&
                                                   field.type() != FieldDescriptor::TYPE_INT64))) {
    return "page";
  }
  if (rules.trim() && !text) return "trim";
  if (rules.has_max_newlines() && !text) return "max_newlines";
  return nullptr;
}

int64_t CountCodePoints(std::string_view text) {
  return std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; });
}

std::string Plural(int64_t count, const char* unit) {
  return absl::StrCat(count, " ", unit, count == 1 ? "" : "s");
}

/// From the request to a value, told backwards: written out only when something is wrong.
struct Path {
  const Path* parent;
  const FieldDescriptor* field;
  int index;

  std::string ToString() const;
};

std::string Below(const Path* parent, const std::string& name) {
  return parent == nullptr ? name : absl::StrCat(parent->ToString(), ".", name);
}

std::string Path::ToString() const {
  const std::string path = Below(parent, field->name());
  return index < 0 ? path : absl::StrCat(path, "[", index, "]");
}

}  // namespace

struct Validator::Field {
  const FieldDescriptor* field;
  const FieldRules* rules;  ///< In the field's options; empty rules when it has none.
  Type* message = nullptr;  ///< What to check in the field's messages, if anything.
  bool is_mask = false;     ///< An `update_mask`, and the paths that it may have:
  std::vector<std::string> maskable;

  bool has_own_checks() const {
    return is_mask || field->enum_type() != nullptr || rules->ByteSizeLong() > 0;
  }
};

struct Validator::Type {
  const Descriptor* descriptor;
  std::vector<Field> fields;
  std::vector<const OneofDescriptor*> required;  ///< One member of each must be set.
  bool checks = false;                           ///< There is something to check, here or below.
};

Validator::Validator() = default;
Validator::Validator(Validator&&) noexcept = default;
Validator& Validator::operator=(Validator&&) noexcept = default;
Validator::~Validator() = default;

Validator Validator::Make(const Descriptor* request) {
  Validator validator;
  validator.Add(request);
  validator.Prune();
  return validator;
}

Validator::Type* Validator::Add(const Descriptor* descriptor) {
  const auto known =
      std::ranges::find(types_, descriptor, [](const auto& type) { return type->descriptor; });
  if (known != types_.end()) return known->get();
  Type* type = types_.emplace_back(std::make_unique<Type>()).get();
  type->descriptor = descriptor;
  for (int i = 0; i < descriptor->field_count(); ++i) {
    Field field;
    field.field = descriptor->field(i);
    field.rules = &field.field->options().GetExtension(data::v1::rules);
    if (const char* rule = Misfit(*field.rules, *field.field); rule != nullptr) {
      problems_.push_back(absl::StrCat("rule ", rule, " means nothing for field ",
                                       field.field->full_name(), ", which is ",
                                       field.field->is_repeated() ? "repeated " : "",
                                       field.field->type_name(), ": take it away"));
      field.rules = &FieldRules::default_instance();
    }
    const Descriptor* message = field.field->message_type();
    if (repositories::IsUpdateMask(*field.field)) {
      field.is_mask = true;
      for (const auto* maskable : repositories::MaskableFields(*descriptor)) {
        field.maskable.push_back(maskable->name());
      }
    } else if (message != nullptr && !message->full_name().starts_with("google.protobuf.")) {
      field.message = Add(message);
    }
    type->fields.push_back(std::move(field));
  }
  for (int i = 0; i < descriptor->real_oneof_decl_count(); ++i) {
    const OneofDescriptor* oneof = descriptor->oneof_decl(i);
    if (oneof->options().GetExtension(data::v1::required)) type->required.push_back(oneof);
  }
  type->checks = !type->required.empty();
  return type;
}

void Validator::Prune() {
  const auto checks = [](const Field& field) {
    return field.has_own_checks() || (field.message != nullptr && field.message->checks);
  };
  // Types may hold each other, so what is known of one may say more of another.
  for (bool changed = true; changed;) {
    changed = false;
    for (auto& type : types_) {
      if (type->checks || std::ranges::none_of(type->fields, checks)) continue;
      type->checks = changed = true;
    }
  }
  for (auto& type : types_) {
    std::erase_if(type->fields, [&](const Field& field) { return !checks(field); });
  }
}

/// One walk through one request.
class Validator::Visit {
 public:
  void Check(const Type& type, Message* message, const Path* parent) {
    for (const Field& field : type.fields) {
      Path path = {parent, field.field, -1};
      if (field.field->is_repeated()) {
        CheckRepeated(field, message, &path);
      } else {
        CheckSingular(field, message, path);
      }
    }
    for (const OneofDescriptor* oneof : type.required) {
      if (message->GetReflection()->HasOneof(*message, oneof)) continue;
      violations_.Add(violations_.full() ? "" : Below(parent, oneof->name()), "must be set");
    }
  }

  absl::Status ToStatus() const { return violations_.ToStatus(); }

 private:
  void Add(const Path& path, std::string_view description) {
    violations_.Add(violations_.full() ? "" : path.ToString(), description);
  }

  void CheckRepeated(const Field& field, Message* message, Path* path) {
    const FieldRules& rules = *field.rules;
    const int size = message->GetReflection()->FieldSize(*message, field.field);
    if (rules.required() && size == 0) Add(*path, "must not be empty");
    if (rules.has_min_items() && size < rules.min_items()) {
      Add(*path, absl::StrCat("must have at least ", Plural(rules.min_items(), "element"), ", not ",
                              size));
    }
    if (rules.has_max_items() && size > rules.max_items()) {
      Add(*path,
          absl::StrCat("must have at most ", Plural(rules.max_items(), "element"), ", not ", size));
      // Elements of a list that is too long are not looked at: it may be far too long.
      return;
    }
    for (path->index = 0; path->index < size; ++path->index) {
      if (rules.trim()) Trim(*field.field, path->index, message);
      if (field.message == nullptr) {
        CheckValue(field, FieldValue(*message, field.field, path->index), *path);
      } else {
        Check(*field.message,
              message->GetReflection()->MutableRepeatedMessage(message, field.field, path->index),
              path);
      }
    }
  }

  void CheckSingular(const Field& field, Message* message, const Path& path) {
    const auto* reflection = message->GetReflection();
    if (field.rules->trim()) Trim(*field.field, -1, message);
    if (field.rules->has_page()) SetPageSize(*field.rules, *field.field, message, path);
    if (!reflection->HasField(*message, field.field)) {
      if (field.rules->required()) return Add(path, "must be set");
      if (field.field->has_presence()) return;
    }
    if (field.message == nullptr) return CheckValue(field, FieldValue(*message, field.field), path);
    Check(*field.message, reflection->MutableMessage(message, field.field), &path);
  }

  void CheckValue(const Field& field, const FieldValue& value, const Path& path) {
    if (field.field->enum_type() != nullptr) {
      CheckEnum(value, path);
    } else if (field.field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      CheckText(*field.rules, value, path);
    } else if (IsInteger(*field.field)) {
      CheckInteger(*field.rules, value, path);
    } else if (IsReal(*field.field)) {
      CheckReal(*field.rules, value, path);
    } else if (field.is_mask) {
      CheckMask(field, value, path);
    }
  }

  static void Trim(const FieldDescriptor& field, int index, Message* message) {
    std::string scratch;
    const std::string_view text = FieldValue(*message, &field, index).Text(&scratch);
    const absl::string_view trimmed = absl::StripAsciiWhitespace(ToAbsl(text));
    if (trimmed.size() == text.size()) return;
    const auto* reflection = message->GetReflection();
    if (index < 0) {
      reflection->SetString(message, &field, std::string(trimmed));
    } else {
      reflection->SetRepeatedString(message, &field, index, std::string(trimmed));
    }
  }

  void SetPageSize(const FieldRules& rules, const FieldDescriptor& field, Message* message,
                   const Path& path) {
    const int64_t most = rules.page().max() > 0 ? rules.page().max() : kMostRows;
    const int64_t usual = rules.page().default_() > 0 ? rules.page().default_() : kUsualRows;
    const int64_t wanted = *FieldValue(*message, &field).Integer();
    if (wanted < 0) return Add(path, "must not be negative");
    const int64_t size = std::min(wanted == 0 ? usual : wanted, most);
    if (size == wanted) return;
    const auto* reflection = message->GetReflection();
    if (field.type() == FieldDescriptor::TYPE_INT64) {
      reflection->SetInt64(message, &field, size);
    } else {
      reflection->SetInt32(message, &field, static_cast<int32_t>(size));
    }
  }

  void CheckEnum(const FieldValue& value, const Path& path) {
    const int number = static_cast<int>(*value.Integer());
    if (value.field().enum_type()->FindValueByNumber(number) == nullptr) {
      Add(path, absl::StrCat("has no value ", number));
    }
  }

  void CheckText(const FieldRules& rules, const FieldValue& value, const Path& path) {
    if (!rules.has_min_len() && !rules.has_max_len() && !rules.has_max_newlines()) return;
    std::string scratch;
    const std::string_view text = value.Text(&scratch);
    const bool is_text = value.field().type() == FieldDescriptor::TYPE_STRING;
    const char* unit = is_text ? "character" : "byte";
    const int64_t length = is_text ? CountCodePoints(text) : static_cast<int64_t>(text.size());
    if (rules.has_min_len() && length < rules.min_len()) {
      Add(path,
          absl::StrCat("must have at least ", Plural(rules.min_len(), unit), ", not ", length));
    }
    if (rules.has_max_len() && length > rules.max_len()) {
      Add(path,
          absl::StrCat("must have at most ", Plural(rules.max_len(), unit), ", not ", length));
    }
    if (rules.has_max_newlines() && std::ranges::count(text, '\n') > rules.max_newlines()) {
      Add(path, absl::StrCat("must have at most ", Plural(rules.max_newlines(), "line feed")));
    }
  }

  void CheckInteger(const FieldRules& rules, const FieldValue& value, const Path& path) {
    // What is past int64 is past every rule's number.
    const int64_t number = value.Integer().value_or(std::numeric_limits<int64_t>::max());
    if (rules.id() && number <= 0) return Add(path, "must be an id, which is greater than 0");
    if (rules.has_min() && number < rules.min()) {
      Add(path, absl::StrCat("must be at least ", rules.min()));
    }
    if (rules.has_max() && number > rules.max()) {
      Add(path, absl::StrCat("must be at most ", rules.max()));
    }
  }

  void CheckReal(const FieldRules& rules, const FieldValue& value, const Path& path) {
    const double number = value.Real();
    // Written so that NaN breaks both.
    if (rules.has_min() && !(number >= static_cast<double>(rules.min()))) {
      Add(path, absl::StrCat("must be at least ", rules.min()));
    }
    if (rules.has_max() && !(number <= static_cast<double>(rules.max()))) {
      Add(path, absl::StrCat("must be at most ", rules.max()));
    }
  }

  void CheckMask(const Field& field, const FieldValue& value, const Path& path) {
    const auto& mask = static_cast<const FieldMask&>(value.Message());
    for (const std::string& named : mask.paths()) {
      if (std::ranges::find(field.maskable, named) != field.maskable.end()) continue;
      Add(path, absl::StrCat("must name fields that can be updated: ",
                             absl::StrJoin(field.maskable, ", ")));
      return;
    }
  }

  repositories::Violations violations_;
};

absl::Status Validator::Check(Message* request) const {
  const Type& type = *types_.front();
  if (!type.checks) return absl::OkStatus();
  Visit visit;
  visit.Check(type, request, nullptr);
  return visit.ToStatus();
}

}  // namespace twi::server
