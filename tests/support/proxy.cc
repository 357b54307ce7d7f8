#include "tests/support/proxy.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace twi::testing {
namespace {

struct Pair {
  int client;
  int server;
};

sockaddr_un Address(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  return address;
}

int Check(int result, const char* what) {
  if (result >= 0) return result;
  std::perror(what);
  std::abort();
}

/// The value of a word of a connection string.
std::string Word(const std::string& dsn, const std::string& name) {
  const size_t begin = dsn.find(name + "=") + name.size() + 1;
  return dsn.substr(begin, dsn.find(' ', begin) - begin);
}

/// False when there is nothing more to come.
bool Pass(int from, int to) {
  char bytes[65536];
  const ssize_t size = read(from, bytes, sizeof(bytes));
  for (ssize_t sent = 0; sent < size;) {
    const ssize_t now = send(to, bytes + sent, static_cast<size_t>(size - sent), MSG_NOSIGNAL);
    if (now <= 0) return false;
    sent += now;
  }
  return size > 0;
}

}  // namespace

Proxy::Proxy(const std::string& dsn) {
  char folder[] = "/tmp/twi-proxy.XXXXXX";
  folder_ = mkdtemp(folder);
  const std::string host = Word(dsn, "host");
  const std::string file = "/.s.PGSQL." + Word(dsn, "port");
  path_ = folder_ + file;
  server_ = host + file;
  dsn_ = dsn;
  dsn_.replace(dsn_.find(host), host.size(), folder_);
  listener_ = Check(socket(AF_UNIX, SOCK_STREAM, 0), "socket");
  const sockaddr_un address = Address(path_);
  Check(bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), "bind");
  Check(listen(listener_, 100), "listen");
  thread_ = std::thread([this] { Run(); });
}

Proxy::~Proxy() {
  stopping_ = true;
  thread_.join();
  close(listener_);
  unlink(path_.c_str());
  rmdir(folder_.c_str());
}

void Proxy::Cut() {
  cutting_ = true;
  while (cutting_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

void Proxy::Freeze() {
  freezing_ = true;
  while (freezing_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

void Proxy::Run() {
  std::vector<Pair> pairs;
  std::vector<Pair> frozen;
  const auto end = [](const Pair& pair) {
    close(pair.client);
    close(pair.server);
  };
  while (!stopping_) {
    if (cutting_) {
      std::for_each(pairs.begin(), pairs.end(), end);
      pairs.clear();
      holding_ = false;
      cutting_ = false;
    }
    if (freezing_) {
      frozen.insert(frozen.end(), pairs.begin(), pairs.end());
      pairs.clear();
      freezing_ = false;
    }
    std::vector<pollfd> polled = {{listener_, POLLIN, 0}};
    const short answers = holding_ ? 0 : POLLIN;
    for (const Pair& pair : pairs) {
      polled.push_back({pair.client, POLLIN, 0});
      polled.push_back({pair.server, answers, 0});
    }
    poll(polled.data(), polled.size(), 5);
    std::vector<Pair> open;
    for (size_t i = 0; i < pairs.size(); ++i) {
      const bool passed =
          (polled[1 + 2 * i].revents == 0 || Pass(pairs[i].client, pairs[i].server)) &&
          ((polled[2 + 2 * i].revents & POLLIN) == 0 || Pass(pairs[i].server, pairs[i].client));
      if (passed) {
        open.push_back(pairs[i]);
      } else {
        end(pairs[i]);
      }
    }
    pairs = std::move(open);
    if (polled.front().revents == 0) continue;
    const int client = Check(accept(listener_, nullptr, nullptr), "accept");
    const int server = Check(socket(AF_UNIX, SOCK_STREAM, 0), "socket");
    const sockaddr_un address = Address(server_);
    Check(connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), "connect");
    pairs.push_back({client, server});
  }
  for (const auto& left : {pairs, frozen}) std::for_each(left.begin(), left.end(), end);
}

}  // namespace twi::testing
