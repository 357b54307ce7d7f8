// What Fetch, FetchRow and FetchVal do: reads, whose answers may be kept, and statements that
// return what they changed.

#include <utility>

#include "absl/strings/str_cat.h"
#include "repositories/violations.h"
#include "server/method.h"
#include "server/services/database.h"
#include "sql/errors.h"
#include "sql/text.h"

namespace twi::server {

using data::v1::FetchRequest;
using data::v1::FetchResponse;
using data::v1::FetchRowRequest;
using data::v1::FetchRowResponse;
using data::v1::FetchValRequest;
using data::v1::FetchValResponse;
using google::protobuf::Message;
using sql::RawTexts;

namespace {

template <typename Request>
bool UsesCache(const Request& request) {
  return !request.has_use_cache() || request.use_cache();
}

void Put(data::v1::Table* table, FetchResponse* response) {
  response->mutable_table()->Swap(table);
}

void Put(data::v1::Table* table, FetchRowResponse* response) {
  response->mutable_columns()->Swap(table->mutable_columns());
  if (table->rows_size() > 0) response->mutable_row()->Swap(table->mutable_rows(0));
}

absl::Status Put(data::v1::Table* table, int column, FetchValResponse* response) {
  if (column >= table->columns_size()) {
    return repositories::Wrong("column", absl::StrCat("must be less than ", table->columns_size(),
                                                      ", the number of the answer's columns"));
  }
  response->set_type(table->columns(column).type());
  if (table->rows_size() > 0) {
    response->mutable_value()->Swap(table->mutable_rows(0)->mutable_values(column));
  }
  return absl::OkStatus();
}

}  // namespace

DatabaseService::Wanted DatabaseService::WantedBy(const Message& request) {
  if (request.GetDescriptor() == FetchRequest::descriptor()) {
    const auto& asked = static_cast<const FetchRequest&>(request);
    return {&asked.query(), &asked.options(), UsesCache(asked), RawSession::kAllRows, 0, "rows"};
  }
  if (request.GetDescriptor() == FetchRowRequest::descriptor()) {
    const auto& asked = static_cast<const FetchRowRequest&>(request);
    return {&asked.query(), &asked.options(), UsesCache(asked), 1, 0, "row"};
  }
  const auto& asked = static_cast<const FetchValRequest&>(request);
  return {&asked.query(),   &asked.options(),
          UsesCache(asked), 1,
          asked.column(),   absl::StrCat("value ", asked.column())};
}

Task<absl::Status> DatabaseService::Read(Call& call, const Message& request, Message* response) {
  const Wanted wanted = WantedBy(request);
  const absl::StatusOr<RawTexts::Text> text = TextOf(call, *wanted.query);
  if (!text.ok()) co_return text.status();
  const bool may_be_kept = caching_ != nullptr && wanted.use_cache && RulesOf(call).role.empty() &&
                           (*text)->statement.read_only && !(*text)->statement.name.empty();
  if (may_be_kept) {
    const RawQuestion question(**text, wanted.shape, wanted.query->parameters(), MayJoin(wanted));
    const auto dependencies = caching_->DependenciesOf(question.statement());
    if (dependencies == nullptr) caching_->Learn(question.statement());
    const bool refused = dependencies != nullptr && !dependencies->refusal.empty();
    if (!refused && question.Refusal().empty()) {
      const auto ask = [&](std::string* answer, Operations::Footprint* footprint) {
        return FetchBytes(call, wanted, *text, answer, footprint);
      };
      Task<absl::Status> answering = server::Answer(call, *caching_, question, ask);
      absl::Status status = co_await answering;
      co_return status;
    }
  }
  Task<absl::Status> fetching = Fetch(call, wanted, *text, response, nullptr);
  absl::Status status = co_await fetching;
  if (!wanted.use_cache && (*text)->statement.read_only) {
    // No kept answer that the caller gets from now on may be older than this.
    Task<absl::Status> settling = Settled(call, std::move(status));
    status = co_await settling;
  }
  co_return status;
}

Task<absl::Status> DatabaseService::FetchBytes(Call& call, const Wanted& wanted,
                                               RawTexts::Text text, std::string* answer,
                                               Operations::Footprint* footprint) {
  const std::unique_ptr<Message> response(call.method()->response->New());
  Task<absl::Status> fetching = Fetch(call, wanted, std::move(text), response.get(),
                                      footprint == nullptr ? nullptr : &footprint->snapshot);
  absl::Status status = co_await fetching;
  if (status.ok()) response->AppendToString(answer);
  co_return status;
}

Task<absl::Status> DatabaseService::Fetch(Call& call, const Wanted& wanted, RawTexts::Text text,
                                          Message* response,
                                          std::optional<sql::Snapshot>* snapshot) {
  Job job;
  job.texts = {text};
  job.queries = {wanted.query};
  job.fields = {"query.parameters"};
  job.most_rows = wanted.most_rows;
  job.snapshot = snapshot;
  if (MayBeTooLarge(*text)) job.begin = &data::v1::Begin::default_instance();
  Task<absl::Status> running = Run(call, *wanted.options, &job);
  absl::Status status = co_await running;
  if (status.ok()) {
    data::v1::Table* const table = job.outcomes.front().mutable_table();
    if (response->GetDescriptor() == FetchResponse::descriptor()) {
      Put(table, static_cast<FetchResponse*>(response));
    } else if (response->GetDescriptor() == FetchRowResponse::descriptor()) {
      Put(table, static_cast<FetchRowResponse*>(response));
    } else {
      status = Put(table, wanted.column, static_cast<FetchValResponse*>(response));
    }
  }
  if (!job.read_only()) {
    Task<absl::Status> settling = Settled(call, std::move(status));
    status = co_await settling;
  }
  co_return status;
}

const google::protobuf::Descriptor* DatabaseService::ReadOf(std::string_view method) {
  for (const auto* type :
       {FetchRequest::descriptor(), FetchRowRequest::descriptor(), FetchValRequest::descriptor()}) {
    if (absl::StrCat("DatabaseService/", type->name()) == absl::StrCat(ToAbsl(method), "Request")) {
      return type;
    }
  }
  return nullptr;
}

absl::StatusOr<DatabaseService::Explanation> DatabaseService::Explain(const Call& call,
                                                                      const Message& request) {
  const Principal::RawRules rules = RulesOf(call);
  if (!offered_ || !rules.granted) return NotOffered();
  const Wanted wanted = WantedBy(request);
  const absl::StatusOr<RawTexts::Text> text = TextOf(call, *wanted.query);
  if (!text.ok()) return text.status();
  auto question = std::make_unique<RawQuestion>(**text, wanted.shape, wanted.query->parameters(),
                                                MayJoin(wanted));
  std::string refusal = question->Refusal();
  if (!rules.role.empty()) refusal = "it runs in a role of the database";
  return Explanation{*text, std::move(question), std::move(refusal)};
}

}  // namespace twi::server
