#pragma once

#include <string>
#include <string_view>

namespace twi::testing {

/// A TCP connection to a server on 127.0.0.1 that sends what no library would.
class RawClient {
 public:
  explicit RawClient(int port);
  ~RawClient();
  RawClient(RawClient&& other) noexcept;
  RawClient& operator=(RawClient&&) = delete;

  int socket() const { return socket_; }

  /// False when the server has closed the connection.
  bool Send(std::string_view bytes) const;

  /// Says that nothing more comes.
  void EndSending() const;

  /// All that the server sends until it closes the connection.
  std::string ReadAll() const;

  /// Whether the server has not closed the connection so far. Nothing may be left to read.
  bool Open() const;

 private:
  int socket_;
};

/// What the server answers to these bytes, in all.
std::string Exchange(int port, std::string_view bytes);

}  // namespace twi::testing
