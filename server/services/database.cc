#include "server/services/database.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/time_util.h"
#include "proto/descriptor_names.h"
#include "repositories/violations.h"
#include "server/method.h"
#include "server/principal.h"
#include "server/settle.h"
#include "sql/errors.h"

namespace twi::server {

using data::v1::ExecuteInTransactionRequest;
using data::v1::ExecuteInTransactionResponse;
using data::v1::ExecuteRequest;
using data::v1::ExecuteResponse;
using data::v1::FetchRequest;
using data::v1::Outcome;
using data::v1::PrepareRequest;
using data::v1::PrepareResponse;
using data::v1::Query;
using data::v1::RunOptions;
using google::protobuf::Message;
using google::protobuf::util::TimeUtil;
using sql::RawTexts;

namespace {

// The seed's: attempts in all, and the pause before the second.
constexpr int kAttempts = 3;
constexpr std::chrono::milliseconds kRetryDelay{500};
constexpr std::chrono::milliseconds kLongestPause{10'000};

absl::Status Invalid(std::string_view why) {
  return sql::Error(absl::StatusCode::kInvalidArgument, "SQL_INVALID", why);
}

const std::string& PrincipalOf(const Call& call) {
  static const auto* const kNobody = new std::string;
  return call.principal() == nullptr ? *kNobody : call.principal()->name();
}

/// Whether what failed so may go well when it is run again.
bool MayPass(const absl::Status& status, bool repeatable) {
  const std::string reason = sql::Reason(status);
  return reason == "SERIALIZATION_FAILURE" || reason == "DEADLOCK" ||
         reason == "DATABASE_UNAVAILABLE" || (repeatable && reason == "OUTCOME_UNKNOWN");
}

/// Before the attempt of that number, from 2: twice as long each time, less up to a half, so that
/// those who were in each other's way do not meet again.
std::chrono::milliseconds PauseBefore(int attempt, std::chrono::milliseconds first) {
  thread_local std::minstd_rand random{std::random_device{}()};
  const double longest =
      static_cast<double>(std::min<int64_t>(kLongestPause.count(), first.count() << (attempt - 2)));
  return std::chrono::milliseconds(
      std::lround(std::uniform_real_distribution(longest / 2, longest)(random)));
}

}  // namespace

bool DatabaseService::MayBeTooLarge(const sql::RawText& text) {
  return !text.statement.read_only && text.analysis.returns_rows &&
         text.analysis.kind != sql::Analysis::Kind::kOther;
}

bool DatabaseService::Job::read_only() const {
  return std::ranges::all_of(texts, [](const auto& text) { return text->statement.read_only; });
}

DatabaseService::DatabaseService(const Options& options, sql::Dictionary dictionary,
                                 const repositories::Catalog* catalog, sql::Pool* pool,
                                 Caching* caching)
    : context_{.pool = pool,
               .texts = &texts_,
               .slow = options.slow_queries,
               .most_bytes = options.most_bytes},
      texts_({}, std::move(dictionary)),
      caching_(caching),
      offered_(options.offered),
      most_transactions_(options.transactions) {
  for (const auto& operation : catalog->operations()) {
    const auto* method = operation->method();
    if (method->client_streaming() || method->server_streaming()) continue;
    operations_.emplace(operation->name(),
                        Callable{operation.get(), Validator::Make(method->input_type())});
  }
}

const google::protobuf::ServiceDescriptor* DatabaseService::descriptor() const {
  return FetchRequest::descriptor()->file()->FindServiceByName("DatabaseService");
}

absl::Status DatabaseService::NotOffered() {
  return sql::Error(absl::StatusCode::kPermissionDenied, "NOT_GRANTED",
                    "this server runs no SQL of its callers' own: --raw_sql or an access file that "
                    "grants raw_sql offers it");
}

Task<absl::Status> DatabaseService::Answer(Call& call, const Message& request, Message* response) {
  if (!offered_) co_return NotOffered();
  const std::string& method = call.method()->descriptor->name();
  if (method == "Fetch" || method == "FetchRow" || method == "FetchVal") {
    Task<absl::Status> reading = Read(call, request, response);
    absl::Status status = co_await reading;
    co_return status;
  }
  if (method == "Execute") {
    Task<absl::Status> executing = Execute(call, static_cast<const ExecuteRequest&>(request),
                                           static_cast<ExecuteResponse*>(response));
    absl::Status status = co_await executing;
    co_return status;
  }
  if (method == "ExecuteInTransaction") {
    Task<absl::Status> executing =
        ExecuteInTransaction(call, static_cast<const ExecuteInTransactionRequest&>(request),
                             static_cast<ExecuteInTransactionResponse*>(response));
    absl::Status status = co_await executing;
    co_return status;
  }
  if (method == "Prepare") {
    Task<absl::Status> preparing = Prepare(call, static_cast<const PrepareRequest&>(request),
                                           static_cast<PrepareResponse*>(response));
    absl::Status status = co_await preparing;
    co_return status;
  }
  co_return names_.Remove(PrincipalOf(call),
                          static_cast<const data::v1::UnprepareRequest&>(request).name());
}

absl::Status DatabaseService::Allowed(const Call& call, const sql::Analysis& analysis) {
  if (!RulesOf(call).restricted()) return absl::OkStatus();
  const bool sets = std::ranges::any_of(analysis.functions, [](const std::string& function) {
    return function == "set_config" || function == "pg_catalog.set_config";
  });
  if (!sets && (analysis.kind != sql::Analysis::Kind::kOther || analysis.shows)) {
    return absl::OkStatus();
  }
  return sql::Error(absl::StatusCode::kPermissionDenied, "NOT_GRANTED",
                    absl::StrCat(PrincipalOf(call), " may only read and change rows"),
                    {{"principal", PrincipalOf(call)}});
}

absl::StatusOr<RawTexts::Text> DatabaseService::TextOf(const Call& call, const std::string& sql,
                                                       bool several) {
  absl::StatusOr<RawTexts::Text> text = texts_.Find(sql);
  if (!text.ok()) return text;
  const sql::Analysis& analysis = (*text)->analysis;
  if (analysis.controls_transaction) {
    return Invalid(
        "a call is a transaction already; for one of several calls there is Transaction");
  }
  if (analysis.copies)
    return Invalid("for COPY from and to the client there is CopyIn and CopyOut");
  if (analysis.statements > 1 && !several) return Invalid("it must be one statement");
  // Of several each is looked at by itself.
  absl::Status allowed = analysis.statements > 1 ? absl::OkStatus() : Allowed(call, analysis);
  if (!allowed.ok()) return allowed;
  return text;
}

absl::StatusOr<RawTexts::Text> DatabaseService::TextOf(const Call& call, const Query& query,
                                                       bool several) {
  if (!query.has_prepared()) return TextOf(call, query.sql(), several);
  absl::StatusOr<RawTexts::Text> text = names_.Find(PrincipalOf(call), query.prepared());
  if (!text.ok()) return text;
  // What he may do can have become less.
  absl::Status allowed = Allowed(call, (*text)->analysis);
  if (!allowed.ok()) return allowed;
  return text;
}

Task<absl::Status> DatabaseService::RunOnce(Call& call, sql::Clock::time_point deadline, Job* job) {
  RawSession session(call, context_, deadline);
  Task<absl::Status> opening = session.Open();
  absl::Status status = co_await opening;
  const data::v1::Begin* begin = job->begin;
  if (begin == nullptr && session.read_only()) begin = &data::v1::Begin::default_instance();
  if (status.ok() && begin != nullptr) {
    Task<absl::Status> beginning = session.Begin(*begin);
    status = co_await beginning;
  }
  if (!status.ok()) co_return status;
  job->outcomes.clear();
  size_t bytes = 0;
  for (size_t i = 0; i < job->texts.size(); ++i) {
    Task<absl::Status> running =
        session.Run(job->texts[i], job->queries[i]->parameters(), job->fields[i], job->most_rows,
                    &job->outcomes.emplace_back(), job->snapshot);
    status = co_await running;
    bytes += job->outcomes.back().ByteSizeLong();
    if (bytes > context_.most_bytes && status.ok()) status = sql::ResultTooLarge();
    if (status.ok()) continue;
    if (job->texts.size() > 1) sql::AddFact(&status, "statement", absl::StrCat(i + 1));
    Task<absl::Status> undoing = session.Undo(std::move(status));
    status = co_await undoing;
    co_return status;
  }
  if (begin == nullptr) co_return absl::OkStatus();
  Task<absl::Status> committing = session.Commit();
  status = co_await committing;
  co_return status;
}

Task<absl::Status> DatabaseService::Run(Call& call, const RunOptions& options, Job* job) {
  const sql::Clock::time_point deadline =
      DeadlineOf(call, options.has_timeout() ? &options.timeout() : nullptr);
  const std::chrono::milliseconds delay =
      options.has_retry_delay()
          ? std::chrono::milliseconds(TimeUtil::DurationToMilliseconds(options.retry_delay()))
          : kRetryDelay;
  const int attempts = options.has_attempts() ? options.attempts() : kAttempts;
  const bool read_only = job->read_only();
  absl::Status status;
  for (int attempt = 1;; ++attempt) {
    Task<absl::Status> running = RunOnce(call, deadline, job);
    status = co_await running;
    if (status.ok() || attempt >= attempts) break;
    if (!MayPass(status, read_only || options.idempotent())) break;
    const std::chrono::milliseconds pause = PauseBefore(attempt + 1, delay);
    if (sql::Clock::now() + pause >= deadline || call.cancelled()) break;
    co_await call.Pause(pause);
  }
  co_return status;
}

Task<absl::Status> DatabaseService::Settled(Call& call, absl::Status status) {
  if (caching_ == nullptr) co_return status;
  Task<absl::Status> settling = Settle(call, *caching_, std::nullopt, std::move(status));
  status = co_await settling;
  co_return status;
}

Task<absl::Status> DatabaseService::Execute(Call& call, const ExecuteRequest& request,
                                            ExecuteResponse* response) {
  const Query& query = request.query();
  const absl::StatusOr<RawTexts::Text> text = TextOf(call, query, /*several=*/true);
  if (!text.ok()) co_return text.status();
  Job job;
  const int statements = (*text)->analysis.statements;
  if (statements == 1) {
    job.texts.push_back(*text);
    if (MayBeTooLarge(**text)) job.begin = &data::v1::Begin::default_instance();
  } else {
    if (query.parameters_size() > 0) {
      co_return repositories::Wrong("query.parameters",
                                    "must be empty where there are several statements");
    }
    job.begin = &data::v1::Begin::default_instance();
    const auto parts = sql::SplitScript(query.sql());
    if (!parts.ok()) co_return parts.status();
    for (const sql::ScriptStatement& part : *parts) {
      const auto found = TextOf(call, part.text);
      if (!found.ok()) co_return found.status();
      job.texts.push_back(*found);
    }
  }
  job.queries.assign(job.texts.size(), &query);
  job.fields.assign(job.texts.size(), "query.parameters");
  Task<absl::Status> running = Run(call, request.options(), &job);
  absl::Status status = co_await running;
  if (status.ok()) response->mutable_outcome()->Swap(&job.outcomes.back());
  const bool settles = !request.has_invalidate_cache() || request.invalidate_cache();
  if (settles && !job.read_only()) {
    Task<absl::Status> settling = Settled(call, std::move(status));
    status = co_await settling;
  }
  co_return status;
}

Task<absl::Status> DatabaseService::ExecuteInTransaction(Call& call,
                                                         const ExecuteInTransactionRequest& request,
                                                         ExecuteInTransactionResponse* response) {
  Job job;
  job.begin = &request.begin();
  for (int i = 0; i < request.queries_size(); ++i) {
    absl::StatusOr<RawTexts::Text> text = TextOf(call, request.queries(i));
    if (!text.ok()) {
      absl::Status status = text.status();
      sql::AddFact(&status, "statement", absl::StrCat(i + 1));
      co_return status;
    }
    job.texts.push_back(*std::move(text));
    job.queries.push_back(&request.queries(i));
    job.fields.push_back(absl::StrCat("queries[", i, "].parameters"));
  }
  RunOptions options = request.options();
  if (!options.has_timeout() && request.begin().has_timeout()) {
    *options.mutable_timeout() = request.begin().timeout();
  }
  Task<absl::Status> running = Run(call, options, &job);
  absl::Status status = co_await running;
  for (Outcome& outcome : job.outcomes) {
    if (status.ok()) response->add_outcomes()->Swap(&outcome);
  }
  if (!request.begin().read_only() && !job.read_only()) {
    Task<absl::Status> settling = Settled(call, std::move(status));
    status = co_await settling;
  }
  co_return status;
}

Task<absl::Status> DatabaseService::Prepare(Call& call, const PrepareRequest& request,
                                            PrepareResponse* response) {
  const absl::StatusOr<RawTexts::Text> text = TextOf(call, request.sql());
  if (!text.ok()) co_return text.status();
  RawSession session(call, context_, call.deadline());
  Task<absl::Status> opening = session.Open();
  absl::Status status = co_await opening;
  if (!status.ok()) co_return status;
  std::vector<std::string> types;
  Task<absl::Status> describing = session.Describe(*text, &types, response->mutable_columns());
  status = co_await describing;
  if (!status.ok()) co_return status;
  response->mutable_parameter_types()->Assign(types.begin(), types.end());
  const absl::StatusOr<RawTexts::Text> named = texts_.Name(*text);
  if (!named.ok()) co_return named.status();
  co_return names_.Add(PrincipalOf(call), request.name(), *named);
}

}  // namespace twi::server
