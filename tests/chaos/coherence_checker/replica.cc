#include "tests/chaos/coherence_checker/replica.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <vector>

#include "proto/descriptor_names.h"
#include "server/caching.h"
#include "server/metrics.h"
#include "server/pipeline.h"
#include "server/server.h"
#include "server/services/database.h"
#include "tests/chaos/coherence_checker/mutant.h"
#include "tests/chaos/coherence_checker/registers.h"
#include "twi/test/v1/registers.pb.h"

namespace twi::checker {
namespace {

template <typename T>
T OrExit(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::cerr << value.status() << std::endl;
    std::_Exit(1);
  }
  return *std::move(value);
}

}  // namespace

int Replica::Serve(const std::string& dsn, const std::string& source, const std::string& mutant) {
  const auto from = source == "outbox" ? sql::ChangesFrom::kOutbox : sql::ChangesFrom::kStream;
  // What the parent dies of must not keep this alive.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::vector<EmbeddedText> texts = kRepositories;
  texts.push_back({"registers.sql", kStanzas});
  auto services = DataServices();
  services.push_back(
      test::v1::Register::descriptor()->file()->FindServiceByName("RegistersService"));
  auto loaded = OrExit(repositories::Catalog::Load(dsn, texts, services));
  for (const auto& problem : loaded.problems) {
    std::cerr << problem.file << ":" << problem.line << ": " << problem.message << std::endl;
    return 1;
  }
  server::Metrics metrics({"test", "test", ""});
  sql::Pool pool({.dsn = dsn, .max_connections = 8});
  if (!pool.WaitConnected(absl::Seconds(30)).ok()) return 1;
  server::Caching caching(
      {.dsn = dsn,
       .source =
           [&](sql::ChangeListener* listener) { return Follow(dsn, from, mutant, listener); }},
      *loaded.catalog);
  caching.Follow();
  server::DatabaseService raw({}, OrExit(sql::ReadDictionary(dsn)), loaded.catalog.get(), &pool,
                              &caching);
  server::Pipeline pipeline({}, loaded.catalog.get(), &pool, &caching, nullptr, {&raw}, &metrics);
  const auto server = OrExit(server::Server::Start("127.0.0.1:0", 1, &pipeline));
  std::cout << server->address() << std::endl;
  for (;;) pause();
}

Replica::Replica(const std::string& dsn, const std::string& source, const std::string& mutant) {
  std::array<int, 2> pipe_ends{};
  if (pipe(pipe_ends.data()) != 0) std::abort();
  pid_ = fork();
  if (pid_ == 0) {
    dup2(pipe_ends[1], STDOUT_FILENO);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    execl("/proc/self/exe", "coherence_checker", "--replica", "--dsn", dsn.c_str(), "--source",
          source.c_str(), "--mutant", mutant.c_str(), nullptr);
    std::_Exit(1);
  }
  close(pipe_ends[1]);
  char byte = 0;
  while (read(pipe_ends[0], &byte, 1) == 1 && byte != '\n') address_.push_back(byte);
  close(pipe_ends[0]);
}

Replica::~Replica() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

bool Replica::Running() {
  if (pid_ >= 0 && waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = -1;
  return pid_ >= 0;
}

}  // namespace twi::checker
