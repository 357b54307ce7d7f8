#include "repositories/field_mask.h"

#include "google/protobuf/field_mask.pb.h"
#include "twi/data/v1/options.pb.h"

namespace twi::repositories {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FieldMask;
using google::protobuf::Message;

/// The one field of a message type of ours, or null.
const FieldDescriptor* ResourceField(const Descriptor& request) {
  const FieldDescriptor* resource = nullptr;
  for (int i = 0; i < request.field_count(); ++i) {
    const FieldDescriptor* field = request.field(i);
    const Descriptor* type = field->message_type();
    if (type == nullptr || field->is_repeated()) continue;
    if (type->full_name().starts_with("google.protobuf.")) continue;
    if (resource != nullptr) return nullptr;
    resource = field;
  }
  return resource;
}

/// Whether the field must be set whatever the mask says, so that it tells which row is meant.
bool IsKey(const FieldDescriptor& field) {
  const auto& rules = field.options().GetExtension(data::v1::rules);
  return !field.is_repeated() && !field.has_presence() && (rules.id() || rules.required());
}

bool IsSet(const Message& message, const FieldDescriptor* field) {
  const auto* reflection = message.GetReflection();
  return field->is_repeated() ? reflection->FieldSize(message, field) > 0
                              : reflection->HasField(message, field);
}

}  // namespace

bool IsUpdateMask(const FieldDescriptor& field) {
  return field.name() == "update_mask" && !field.is_repeated() &&
         field.message_type() == FieldMask::descriptor();
}

std::vector<const FieldDescriptor*> MaskableFields(const Descriptor& request) {
  const FieldDescriptor* resource = ResourceField(request);
  const Descriptor& target = resource == nullptr ? request : *resource->message_type();
  std::vector<const FieldDescriptor*> fields;
  for (int i = 0; i < target.field_count(); ++i) {
    const FieldDescriptor* field = target.field(i);
    if (!IsKey(*field) && !IsUpdateMask(*field)) fields.push_back(field);
  }
  return fields;
}

bool NamesPaths(const Message& request, const FieldDescriptor& mask) {
  const auto& message = request.GetReflection()->GetMessage(request, &mask);
  return static_cast<const FieldMask&>(message).paths_size() > 0;
}

std::vector<std::string_view> MaskPaths(const Message& request, const FieldDescriptor& mask) {
  std::vector<std::string_view> paths;
  const auto* reflection = request.GetReflection();
  const auto& named = static_cast<const FieldMask&>(reflection->GetMessage(request, &mask));
  if (named.paths_size() > 0 || !IsUpdateMask(mask)) {
    paths.assign(named.paths().begin(), named.paths().end());
    return paths;
  }
  const FieldDescriptor* resource = ResourceField(*request.GetDescriptor());
  const Message& target = resource == nullptr ? request : reflection->GetMessage(request, resource);
  for (const FieldDescriptor* field : MaskableFields(*request.GetDescriptor())) {
    if (IsSet(target, field)) paths.push_back(field->name());
  }
  return paths;
}

}  // namespace twi::repositories
