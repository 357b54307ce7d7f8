#include "repositories/set_plan.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "google/protobuf/text_format.h"
#include "repositories/binary_format.h"
#include "repositories/json_writer.h"
#include "repositories/postgres_types.h"
#include "repositories/violations.h"

namespace twi::repositories {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::TextFormat;

// What one statement of a client stream takes at most.
constexpr int kChunkRequests = 128;
constexpr size_t kChunkBytes = size_t{1} << 20;

void Begin(std::string* array) {
  array->push_back(kJsonbVersion);
  array->push_back('[');
}

}  // namespace

SetPlan SetPlan::Make(const Descriptor* request, const std::vector<std::string>& keys,
                      const std::vector<std::string>& names, const std::vector<sql::Oid>& types,
                      std::vector<std::string>* problems) {
  SetPlan plan;
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] != kPlaceholder) {
      problems->push_back(
          absl::StrCat("uses :", names[i],
                       " beside :requests, which holds whole requests: take it from "
                       "their elements, request->>'",
                       names[i], "'"));
    } else if (types[i] != kJsonb) {
      problems->push_back(absl::StrCat("takes :requests as ", TypeName(types[i]),
                                       ": it is a jsonb array, cast it, :requests::jsonb"));
    }
  }
  for (int i = 0; i < request->field_count(); ++i) {
    for (std::string& problem : JsonProblems(*request->field(i))) {
      problems->push_back(std::move(problem));
    }
  }
  for (const std::string& key : keys) {
    std::string problem;
    FieldPath path = FindPath(*request, key, &problem);
    if (path.empty() || path.back()->is_repeated() || path.back()->message_type() != nullptr) {
      problems->push_back(absl::StrCat("`-- batch: ", key, "` names no plain field of ",
                                       request->name(),
                                       ": it is what no two calls of one statement "
                                       "may share"));
      continue;
    }
    plan.keys_.push_back(std::move(path));
  }
  return plan;
}

std::string SetPlan::KeyOf(const Message& request) const {
  std::string key;
  for (const FieldPath& path : keys_) {
    const Message* message = &request;
    for (const FieldDescriptor* field : path) {
      if (field == path.back()) break;
      // What is not set reads as its default.
      message = &message->GetReflection()->GetMessage(*message, field);
    }
    std::string value;
    TextFormat::PrintFieldValueToString(*message, path.back(), -1, &value);
    absl::StrAppend(&key, value.size(), ":", value);
  }
  return key;
}

absl::Status SetPlan::Bind(const Message& request, sql::Execution* execution) const {
  Violation violation;
  std::string* array = execution->parameters.Begin();
  Begin(array);
  if (!AppendJson(request, array, &violation)) return violation.ToStatus();
  array->push_back(']');
  execution->parameters.End();
  if (!keys_.empty()) execution->key = KeyOf(request);
  return absl::OkStatus();
}

absl::StatusOr<bool> SetPlan::Join(const Message& request, Chunk* chunk) const {
  if (chunk->requests >= kChunkRequests || chunk->array.size() >= kChunkBytes) return false;
  if (!keys_.empty() && !chunk->keys.insert(KeyOf(request)).second) return false;
  if (chunk->requests++ == 0) {
    Begin(&chunk->array);
  } else {
    chunk->array.push_back(',');
  }
  Violation violation;
  if (!AppendJson(request, &chunk->array, &violation)) return violation.ToStatus();
  return true;
}

void SetPlan::BindChunk(Chunk chunk, sql::Execution* execution) {
  chunk.array.push_back(']');
  execution->parameters.Add(chunk.array);
}

}  // namespace twi::repositories
