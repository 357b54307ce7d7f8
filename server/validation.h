#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "google/protobuf/message.h"

namespace twi::server {

/// What a method's requests must satisfy: made once from the `(rules)` of their fields, those of
/// nested messages included. A request type without any costs nothing to check.
class Validator {
 public:
  static Validator Make(const google::protobuf::Descriptor* request);

  Validator(Validator&&) noexcept;
  Validator& operator=(Validator&&) noexcept;
  ~Validator();

  /// A sentence for each field with a rule that means nothing for its type, such as `trim` of a
  /// number. None of such a field's rules is checked.
  const std::vector<std::string>& problems() const { return problems_; }

  /// Checks `request` and brings it to the form that operations see: strings trimmed where the rule
  /// says so, page sizes with their default and maximum applied. Beside the rules, enums must have
  /// known values and an `update_mask` may only name fields that an update sets. INVALID_ARGUMENT,
  /// reason FIELD_INVALID, with all violations at once as google.rpc.BadRequest; field names are
  /// paths such as `messages[2].content`.
  absl::Status Check(google::protobuf::Message* request) const;

 private:
  struct Type;
  struct Field;
  class Visit;

  Validator();
  /// The checks of a message type, made when it is first asked for.
  Type* Add(const google::protobuf::Descriptor* descriptor);
  /// Leaves out fields whose messages have nothing to check.
  void Prune();

  /// One of each message type; the first is the request's. They point to each other.
  std::vector<std::unique_ptr<Type>> types_;
  std::vector<std::string> problems_;
};

}  // namespace twi::server
