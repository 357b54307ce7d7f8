#include "server/status_page.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <future>
#include <map>
#include <memory>
#include <utility>

#include "absl/time/clock.h"

namespace twi::server {
namespace {

// Methods in a table, and slow statements.
constexpr size_t kRows = 12;

// The pool's thread is busy for microseconds at a time; without a pool the page must come, too.
constexpr std::chrono::milliseconds kPatience{500};

std::string HostName() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

/// The first of them by what `rank` says, the most first.
template <typename Value, typename Rank>
std::vector<Value> Top(std::vector<Value> values, size_t most, Rank rank) {
  std::ranges::stable_sort(values, std::ranges::greater(), rank);
  if (values.size() > most) values.resize(most);
  return values;
}

std::vector<Status::SlowStatement> SlowStatements(const SlowQueries& queries) {
  std::map<std::pair<std::string, std::string>, Status::SlowStatement> statements;
  for (const SlowQuery& query : queries.Latest(SlowQueries::kMost)) {
    Status::SlowStatement& statement = statements[{query.operation, query.fingerprint}];
    statement.operation = query.operation;
    statement.fingerprint = query.fingerprint;
    // The latest is the first.
    if (statement.times++ == 0) statement.last = query.ended;
    if (query.code != absl::StatusCode::kOk) ++statement.failed;
    statement.longest = std::max(statement.longest, query.execution);
    statement.waited = std::max(statement.waited, query.queue_wait);
  }
  std::vector<Status::SlowStatement> all;
  for (auto& [key, statement] : statements) all.push_back(std::move(statement));
  return Top(std::move(all), kRows, &Status::SlowStatement::longest);
}

}  // namespace

StatusPage::StatusPage(Sources sources, Metrics::Build build, absl::Duration tick)
    : sources_(std::move(sources)), build_(std::move(build)), tick_(tick), started_(absl::Now()) {
  history_.Take(sources_.metrics->Read(), tick_);
  thread_ = std::thread([this] { Sample(); });
}

StatusPage::~StatusPage() {
  {
    std::lock_guard lock(mutex_);
    end_ = true;
  }
  ending_.notify_all();
  thread_.join();
}

void StatusPage::SetPool(sql::Pool* pool) {
  std::lock_guard lock(pool_mutex_);
  pool_ = pool;
}

void StatusPage::Sample() {
  auto last = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  while (
      !ending_.wait_until(lock, last + absl::ToChronoNanoseconds(tick_), [this] { return end_; })) {
    lock.unlock();
    const MetricsReading reading = sources_.metrics->Read();
    const auto now = std::chrono::steady_clock::now();
    lock.lock();
    history_.Take(reading, absl::FromChrono(now - std::exchange(last, now)));
  }
}

std::optional<sql::Pool::Activity> StatusPage::Look() const {
  // Shared with the answer, which may come when nobody waits for it any more.
  const auto told = std::make_shared<std::promise<sql::Pool::Activity>>();
  std::future<sql::Pool::Activity> answer = told->get_future();
  std::lock_guard lock(pool_mutex_);
  if (pool_ == nullptr) return std::nullopt;
  pool_->Look([told](sql::Pool::Activity activity) { told->set_value(std::move(activity)); });
  if (answer.wait_for(kPatience) != std::future_status::ready) return std::nullopt;
  return answer.get();
}

Status StatusPage::Collect() const {
  MetricsReading reading = sources_.metrics->Read();
  Status status{.build = build_,
                .host = HostName(),
                .now = absl::Now(),
                .started = started_,
                .ready = sources_.ready(),
                .schema = reading.schema_version,
                .process = reading.process,
                .pool = reading.pool,
                .cache = reading.cache,
                .connections = Look(),
                .tick = tick_,
                .slow_threshold = sources_.slow_queries->threshold(),
                .slow_statements = SlowStatements(*sources_.slow_queries),
                .failures = sources_.failures->Latest()};
  for (const MethodReading& method : reading.methods) {
    if (method.in_flight > 0) status.in_flight.push_back({method.name, method.in_flight});
  }
  status.in_flight = Top(std::move(status.in_flight), kRows, &Status::InFlight::calls);

  std::vector<MethodStatus> methods;
  {
    std::lock_guard lock(mutex_);
    status.samples = {history_.samples().begin(), history_.samples().end()};
    status.lately = history_.lately();
    methods = history_.Methods();
  }
  status.busiest = Top(methods, kRows, &MethodStatus::calls);
  std::erase_if(methods, [](const MethodStatus& method) { return !method.p99_seconds; });
  status.slowest = Top(std::move(methods), kRows, [](const MethodStatus& method) {
    return std::pair(*method.p99_seconds, method.mean_seconds.value_or(0));
  });
  return status;
}

}  // namespace twi::server
