#pragma once

#include <httplib.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

#include "absl/status/statusor.h"
#include "server/address.h"
#include "server/certificate.h"
#include "server/http.h"

namespace twi::server {

/// Accepts connections, has the library read one request of each, and bounds what the library does
/// not: how long a connection lasts in all, how many there are, and how much of one is read.
///
/// A connection has a thread, which blocks; the thread that accepts them shuts down the sockets of
/// those whose time is over.
class HttpListener : private httplib::Server {
 public:
  using Answer = std::function<void(const httplib::Request&, httplib::Response&)>;

  /// `answer` answers every request that is well-formed, whatever its path and method; it may be
  /// called on many threads at once, and has no body to read. Without a certificate there is no
  /// TLS.
  HttpListener(Answer answer, std::unique_ptr<Certificate> certificate, const HttpLimits& limits);
  ~HttpListener() override;

  /// Starts, and returns the port. UNAVAILABLE when nobody may listen there.
  absl::StatusOr<int> Start(const Address& address);

  /// Accepts no more, ends those connections that have not sent their request, waits for the
  /// others, and ends the threads.
  void Stop();

 private:
  using Clock = std::chrono::steady_clock;

  struct Connection {
    int socket = -1;
    Clock::time_point end;
    /// Its request is here and its answer not yet sent: it is not to blame for its age.
    bool answering = false;
    /// It was told to end.
    bool ended = false;
    std::jthread thread;
  };
  using Connections = std::list<Connection>;

  void Accept();
  /// Gives the connection a thread, if there is room for it.
  void Admit(int socket);
  /// Whether there is room for another, made by ending the oldest that still owes its request.
  bool MakeRoom();
  /// Ends those whose time is over, and returns when that of the next one is.
  Clock::time_point EndOverdue();
  /// The life of a connection.
  void Run(Connections::iterator connection);
  void SetAnswering(Connections::iterator connection, bool answering);

  const std::unique_ptr<Certificate> certificate_;
  const Clock::duration lifetime_;
  const int most_;
  std::thread thread_;
  std::atomic<bool> stopping_ = false;

  std::mutex mutex_;
  /// By age.
  Connections connections_;
  /// Their threads have nothing left to do.
  Connections gone_;
  std::condition_variable one_went_;
};

}  // namespace twi::server
