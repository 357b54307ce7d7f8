#include "repositories/field_path.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "repositories/postgres_types.h"
#include "repositories/spelling.h"

namespace twi::repositories {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

FieldPath FindPath(const Descriptor& type, const std::string& name, std::string* problem) {
  FieldPath path;
  const Descriptor* inner = &type;
  const std::vector<std::string> steps = absl::StrSplit(name, '.');
  for (const std::string& step : steps) {
    if (inner == nullptr || (!path.empty() && path.back()->is_repeated())) {
      *problem = absl::StrCat("goes below ", path.back()->name(), ", which is ",
                              FieldTypeName(*path.back()),
                              ": only singular messages have fields below them");
      return {};
    }
    const FieldDescriptor* field = inner->FindFieldByName(step);
    if (field == nullptr) {
      *problem = absl::StrCat("is no field: ", FieldSuggestion(*inner, step));
      return {};
    }
    path.push_back(field);
    inner = field->message_type();
  }
  return path;
}

}  // namespace twi::repositories
