#pragma once

#include <string_view>
#include <vector>

#include "google/protobuf/message.h"

namespace twi::repositories {

/// Whether `field` says which fields of an update count: a FieldMask called `update_mask`.
bool IsUpdateMask(const google::protobuf::FieldDescriptor& field);

/// The fields that paths of an update's mask may name. They are the request's own, or those of its
/// resource when the request has exactly one singular field of a message type of ours; beside
/// `update_mask` and the keys, which are fields without presence that are always set: ids
/// (`rules.id`) and what is `rules.required`, such as a title.
std::vector<const google::protobuf::FieldDescriptor*> MaskableFields(
    const google::protobuf::Descriptor& request);

/// Whether a mask names paths itself.
bool NamesPaths(const google::protobuf::Message& request,
                const google::protobuf::FieldDescriptor& mask);

/// The paths of an update's mask. An empty or absent mask stands for the maskable fields that are
/// set in `request`.
std::vector<std::string_view> MaskPaths(const google::protobuf::Message& request,
                                        const google::protobuf::FieldDescriptor& mask);

}  // namespace twi::repositories
