#include "repositories/page_token.h"

#include <memory>

#include "absl/strings/escaping.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "repositories/binary_format.h"
#include "repositories/violations.h"
#include "sql/text.h"
#include "twi/data/v1/options.pb.h"

namespace twi::repositories {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr char kVersion = 1;

/// FNV-1a of 64 bits: the same in every process and release, as tokens outlive both.
uint64_t Hash(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (char c : bytes) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return hash;
}

absl::Status Invalid(const char* description) {
  return Wrong("page_token", description, "PAGE_TOKEN_INVALID");
}

/// Takes an integer off the front.
template <typename T>
T Take(std::string_view* bytes) {
  T value = ReadBigEndian<T>(*bytes);
  bytes->remove_prefix(sizeof(T));
  return value;
}

}  // namespace

uint64_t HashArguments(const Message& request) {
  std::unique_ptr<Message> arguments(request.New());
  arguments->CopyFrom(request);
  const auto* type = request.GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    const bool is_size = field->options().GetExtension(data::v1::rules).has_page();
    if (is_size || field->name() == "page_size" || field->name() == "page_token") {
      arguments->GetReflection()->ClearField(arguments.get(), field);
    }
  }
  // Fields that this server does not know change nothing in the answer.
  arguments->DiscardUnknownFields();

  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    arguments->SerializeToCodedStream(&coded);
  }
  return Hash(bytes);
}

absl::Status PageToken::Damaged() { return Invalid("is not one that this service gave out"); }

std::string PageToken::Encode(std::string_view operation, uint64_t arguments) const {
  std::string bytes(1, kVersion);
  AppendBigEndian(Hash(operation), &bytes);
  AppendBigEndian(arguments, &bytes);
  for (const std::string& value : key) {
    AppendBigEndian(static_cast<uint32_t>(value.size()), &bytes);
    bytes += value;
  }
  AppendBigEndian(Hash(bytes), &bytes);
  return absl::WebSafeBase64Escape(bytes);
}

absl::StatusOr<PageToken> PageToken::Decode(std::string_view token, std::string_view operation,
                                            uint64_t arguments, int keys) {
  constexpr size_t kHash = sizeof(uint64_t);
  std::string decoded;
  if (!absl::WebSafeBase64Unescape(ToAbsl(token), &decoded) || decoded.size() < 1 + 3 * kHash) {
    return Damaged();
  }
  std::string_view bytes = decoded;
  const std::string_view checksum = bytes.substr(bytes.size() - kHash);
  bytes.remove_suffix(kHash);
  if (ReadBigEndian<uint64_t>(checksum) != Hash(bytes)) return Damaged();
  if (Take<uint8_t>(&bytes) != kVersion) {
    return Invalid("is of another version: start again with the first page");
  }
  if (Take<uint64_t>(&bytes) != Hash(operation)) {
    return Invalid("belongs to another method");
  }
  if (Take<uint64_t>(&bytes) != arguments) {
    return Invalid("belongs to other arguments: keep all but page_size as they were");
  }

  PageToken page;
  while (bytes.size() >= sizeof(uint32_t)) {
    const auto size = Take<uint32_t>(&bytes);
    if (size > bytes.size()) return Damaged();
    page.key.emplace_back(bytes.substr(0, size));
    bytes.remove_prefix(size);
  }
  if (!bytes.empty() || page.key.size() != static_cast<size_t>(keys)) return Damaged();
  return page;
}

}  // namespace twi::repositories
