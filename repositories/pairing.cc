#include "repositories/pairing.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.pb.h"
#include "proto/descriptor_names.h"
#include "repositories/form.h"
#include "repositories/set_plan.h"
#include "repositories/stanza_text.h"

namespace twi::repositories {
namespace {

using google::protobuf::MethodDescriptor;
using google::protobuf::MethodOptions;
using google::protobuf::ServiceDescriptor;

// PostgreSQL cuts names of prepared statements off at 63 bytes. To those of reads " (next)" is
// added, or " (many)", and "~1 " stands before one that replaces another.
constexpr size_t kNameLimit = 60;
constexpr size_t kReadNameLimit = 56;

class Pairing {
 public:
  Pairing(const std::vector<Repository>& repositories, std::vector<Problem>* problems)
      : repositories_(repositories), problems_(problems) {}

  std::vector<Pair> PairAll(const std::vector<const ServiceDescriptor*>& services);

 private:
  void PairService(const Repository& repository, const ServiceDescriptor& service);
  void Draw(const Repository& repository, const Stanza& stanza, const MethodDescriptor* method);
  bool BindText(Pair* pair);
  void CheckParts();
  void CheckSet(const Pair& pair);

  bool Refuse(const Pair& pair, absl::string_view message) {
    pair.Report(std::string(message), problems_);
    return false;
  }

  const std::vector<Repository>& repositories_;
  std::vector<Problem>* problems_;
  std::vector<Pair> pairs_;
  std::set<const Stanza*> used_parts_;
};

std::vector<Pair> Pairing::PairAll(const std::vector<const ServiceDescriptor*>& services) {
  std::map<std::string, const ServiceDescriptor*> by_stem;
  for (const ServiceDescriptor* service : services) by_stem[FileStem(service->file())] = service;
  for (const Repository& repository : repositories_) {
    const auto found = by_stem.find(repository.stem);
    if (found == by_stem.end()) {
      problems_->push_back(
          {repository.file, 1,
           absl::StrCat("no service in ", repository.stem, ".proto: add it, or remove this file")});
      continue;
    }
    PairService(repository, *found->second);
    by_stem.erase(found);
  }
  CheckParts();
  for (const auto& [stem, service] : by_stem) {
    problems_->push_back({absl::StrCat(stem, ".sql"), 1,
                          absl::StrCat("the file is missing: ", service->name(), " has ",
                                       service->method_count(), " methods without SQL")});
  }
  return std::move(pairs_);
}

void Pairing::PairService(const Repository& repository, const ServiceDescriptor& service) {
  const auto problem = [&](int line, const auto&... words) {
    problems_->push_back({repository.file, line, absl::StrCat(words...)});
  };
  std::set<std::string> paired;
  for (const Stanza& stanza : repository.stanzas) {
    const MethodDescriptor* method = service.FindMethodByName(stanza.name);
    if (method == nullptr) {
      problem(stanza.line, service.name(), " has no rpc ", stanza.name, ": add it to ",
              service.file()->name(), ", or rename the stanza");
    } else if (ByHand(method)) {
      problem(stanza.line, stanza.name, " is written by hand: remove the stanza");
    } else if (!paired.insert(stanza.name).second) {
      problem(stanza.line, "a second stanza ", stanza.name, ": remove one");
    } else {
      Draw(repository, stanza, method);
    }
  }
  for (int i = 0; i < service.method_count(); ++i) {
    const std::string& name = service.method(i)->name();
    if (paired.contains(name) || ByHand(service.method(i))) continue;
    problem(1, "no stanza for rpc ", name, ": add `-- name: ", name, "`");
  }
}

void Pairing::Draw(const Repository& repository, const Stanza& stanza,
                   const MethodDescriptor* method) {
  Pair pair{&repository, &stanza, method, stanza.text, {}, {}, {}, false};
  const size_t limit = pair.reads() ? kReadNameLimit : kNameLimit;
  if (OperationName(method).size() > limit) {
    pair.Report(absl::StrCat("`", OperationName(method), "` is longer than ", limit,
                             " bytes, which prepared statements can be named by"),
                problems_);
  }
  if (method->client_streaming() && method->server_streaming()) {
    return pair.Report("streams both ways, which no statement does: take one `stream` away",
                       problems_);
  }
  if (method->server_streaming() && !pair.page()) {
    return pair.Report("streams out, which needs a `-- page:` line to read portions by", problems_);
  }
  if (!BindText(&pair)) return;
  auto analysis = sql::Analyse(pair.first.text);
  if (!analysis.ok()) {
    return pair.Report(std::string(analysis.status().message()), problems_);
  }
  pair.analysis = *std::move(analysis);
  for (const std::string& problem : FormProblems(stanza, *method, pair.analysis)) {
    pair.Report(problem, problems_);
  }
  CheckSet(pair);
  pairs_.push_back(std::move(pair));
}

bool Pairing::BindText(Pair* pair) {
  const auto bind = [&](const std::vector<sql::Insertion>& fixed, sql::BoundText* out) {
    auto bound = sql::BindNames(pair->text, fixed);
    if (!bound.ok()) return Refuse(*pair, bound.status().message());
    *out = *std::move(bound);
    return true;
  };
  if (!bind({}, &pair->first)) return false;
  const auto parts = PartsOf(pair->first.names, *pair->repository, repositories_, &used_parts_);
  pair->has_parts = !parts.empty();
  auto whole = sql::Insert(pair->text, parts);
  if (!whole.ok()) return Refuse(*pair, whole.status().message());
  pair->text = *std::move(whole);
  if (!bind({}, &pair->first)) return false;
  const std::set<std::string> names(pair->first.names.begin(), pair->first.names.end());
  if (!pair->page()) {
    if (!names.contains("page.size") && !names.contains("page.after")) return true;
    return Refuse(*pair, "`:page.…` without a `-- page:` line that names the keys");
  }
  if (!names.contains("page.size") || !names.contains("page.after")) {
    return Refuse(*pair, "a page needs `where … :page.after` and `limit :page.size`");
  }
  return bind(FirstPage(*pair->stanza), &pair->first) && bind(NextPage(*pair->stanza), &pair->next);
}

void Pairing::CheckParts() {
  for (const Repository& repository : repositories_) {
    for (const Stanza& part : repository.parts) {
      if (used_parts_.contains(&part)) continue;
      problems_->push_back({repository.file, part.line,
                            absl::StrCat("nothing uses part ", part.name, ": write `:part.",
                                         part.name, "`, or remove it")});
    }
  }
}

void Pairing::CheckSet(const Pair& pair) {
  const Stanza& stanza = *pair.stanza;
  const bool streams_in = pair.method->client_streaming();
  const auto problem = [&](const std::string& message) { pair.Report(message, problems_); };
  if (!pair.set()) {
    if (streams_in) problem("streams in, which needs a statement over `:requests`");
    if (!stanza.batch.empty()) problem("has a `-- batch:` line and does not read `:requests`");
  } else if (pair.page()) {
    problem("lists pages, which a statement over `:requests` cannot: read `:fields`");
  }
  if (stanza.one_transaction && !streams_in) {
    problem("has a `-- stream:` line and does not stream in");
  }
  if (!stanza.none.empty() && streams_in) {
    problem("streams in, where `-- none:` says nothing: the response adds up rows");
  }
}

}  // namespace

bool Pair::reads() const {
  return method->options().idempotency_level() == MethodOptions::NO_SIDE_EFFECTS;
}

bool Pair::set() const {
  return std::ranges::find(first.names, SetPlan::kPlaceholder) != first.names.end() &&
         method->input_type()->FindFieldByName(SetPlan::kPlaceholder) == nullptr;
}

void Pair::Report(const std::string& message, std::vector<Problem>* problems) const {
  const std::string told = absl::StrCat(stanza->name, ": ", message);
  if (!problems->empty() && problems->back().message == told) return;
  problems->push_back({repository->file, stanza->line, told});
}

std::vector<Pair> PairAll(const std::vector<const ServiceDescriptor*>& services,
                          const std::vector<Repository>& repositories,
                          std::vector<Problem>* problems) {
  return Pairing(repositories, problems).PairAll(services);
}

}  // namespace twi::repositories
