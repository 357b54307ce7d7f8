#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace twi::checker {

/// A method that shows or writes the register of a key.
struct Method {
  std::string path;  ///< `/twi.test.v1.RegistersService/Get`
  grpc::ByteBuffer (*request)(int64_t key) = nullptr;
  /// The version that a response shows; nothing when it is none.
  std::optional<int64_t> (*version)(grpc::ByteBuffer* response) = nullptr;

  /// `Get`
  std::string name() const { return path.substr(path.rfind('/') + 1); }
};

/// Of the registers' own service.
Method OfRegisters(const std::string& name);
/// The bot's own operations that show a version.
const std::vector<Method>& OfTheBot();
/// SQL of a caller's own that does.
const std::vector<Method>& Raw();
/// Those that write the next one, and tell it.
const std::vector<Method>& Writing();

}  // namespace twi::checker
