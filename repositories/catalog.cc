#include "repositories/catalog.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "google/protobuf/descriptor.pb.h"
#include "proto/descriptor_names.h"
#include "repositories/cardinality.h"
#include "repositories/form.h"
#include "repositories/postgres_types.h"
#include "repositories/stanza_text.h"
#include "sql/analysis.h"
#include "sql/dependencies.h"
#include "sql/describe.h"
#include "sql/dictionary.h"
#include "sql/proof.h"
#include "sql/stand_ins.h"
#include "sql/text.h"
#include "twi/data/v1/options.pb.h"

namespace twi::repositories {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::MethodDescriptor;
using google::protobuf::MethodOptions;
using google::protobuf::ServiceDescriptor;

// PostgreSQL cuts names of prepared statements off at 63 bytes. To those of reads " (next)" is
// added, or " (many)", and "~1 " stands before one that replaces another.
constexpr size_t kNameLimit = 60;
constexpr size_t kReadNameLimit = 56;

bool Reads(const MethodDescriptor* method) {
  return method->options().idempotency_level() == MethodOptions::NO_SIDE_EFFECTS;
}

bool HasCallColumn(const std::vector<sql::Column>& columns) {
  return std::ranges::any_of(columns, [](const sql::Column& column) {
    return column.name == sql::kCallColumn && column.type == kInt8;
  });
}

}  // namespace

/// A pair of RPC and stanza on its way to an operation.
struct Catalog::Draft {
  const Repository* repository;
  const Stanza* stanza;
  const MethodDescriptor* method;
  std::string text;  ///< Its parts in it, its fields still named.
  sql::BoundText first;
  sql::BoundText next;  ///< Of pages only.
  sql::Analysis analysis;
  bool has_parts = false;

  /// It reads `:requests`, which is no field of the request.
  bool set() const {
    return std::ranges::find(first.names, SetPlan::kPlaceholder) != first.names.end() &&
           method->input_type()->FindFieldByName(SetPlan::kPlaceholder) == nullptr;
  }
};

class Catalog::Loader {
 public:
  explicit Loader(Loaded* loaded) : loaded_(loaded) {}

  absl::Status Load(const std::string& dsn, const std::vector<EmbeddedText>& files,
                    const std::vector<const ServiceDescriptor*>& services);

 private:
  void Pair(const std::vector<const ServiceDescriptor*>& services);
  void Draw(const Repository& repository, const Stanza& stanza, const MethodDescriptor* method);
  bool BindText(Draft* draft);
  void CheckParts();
  void CheckSet(const Draft& draft);
  /// Refuses cache policies of statements whose answers are more than what the tables hold.
  absl::Status CheckKept(const std::string& dsn);
  std::unique_ptr<Operation> Make(const Draft& draft, const sql::Described& first,
                                  const sql::Described* next);
  /// Lets callers of a read of one row share statements, if arrays can have its parameters.
  void MakeSeveral(const Draft& draft, const sql::Description& description,
                   sql::Statement* statement);
  void MakePages(const Draft& draft, const sql::Described& first, const sql::Described& next,
                 const std::vector<int>& keys, Operation* operation);
  /// Whether the database takes a statement of the draft, called `what` in the problem if not.
  bool CheckPrepared(const Draft& draft, const sql::BoundText& bound,
                     const sql::Described& described, std::string_view what);

  void Problem(const Draft& draft, const std::string& message) {
    const std::string told = absl::StrCat(draft.stanza->name, ": ", message);
    // A page's two statements have much in common.
    if (!loaded_->problems.empty() && loaded_->problems.back().message == told) return;
    loaded_->problems.push_back({draft.repository->file, draft.stanza->line, told});
  }

  bool Refuse(const Draft& draft, absl::string_view message) {
    Problem(draft, std::string(message));
    return false;
  }

  Loaded* loaded_;
  sql::Dictionary dictionary_;
  std::vector<Repository> repositories_;
  std::vector<Draft> drafts_;
  std::set<const Stanza*> used_parts_;
};

absl::StatusOr<Catalog::Loaded> Catalog::Load(
    const std::string& dsn, const std::vector<EmbeddedText>& files,
    const std::vector<const ServiceDescriptor*>& services) {
  Loaded loaded;
  if (absl::Status status = Loader(&loaded).Load(dsn, files, services); !status.ok()) return status;
  if (!loaded.problems.empty()) loaded.catalog = nullptr;
  return loaded;
}

absl::Status Catalog::Loader::Load(const std::string& dsn, const std::vector<EmbeddedText>& files,
                                   const std::vector<const ServiceDescriptor*>& services) {
  for (const EmbeddedText& file : files) {
    repositories_.push_back(Repository::Parse(file.name, file.text, &loaded_->problems));
  }
  Pair(services);
  auto dictionary = sql::ReadDictionary(dsn, sql::StandIns());
  if (!dictionary.ok()) return dictionary.status();
  dictionary_ = *std::move(dictionary);

  std::vector<std::string> texts;
  for (const Draft& draft : drafts_) {
    texts.push_back(draft.first.text);
    if (!draft.stanza->page.empty()) texts.push_back(draft.next.text);
  }
  auto described = sql::Describe(dsn, texts, sql::StandIns());
  if (!described.ok()) return described.status();

  loaded_->catalog = std::make_unique<Catalog>();
  auto it = described->begin();
  for (const Draft& draft : drafts_) {
    const sql::Described& first = *it++;
    const sql::Described* next = draft.stanza->page.empty() ? nullptr : &*it++;
    loaded_->catalog->operations_.push_back(Make(draft, first, next));
  }
  return CheckKept(dsn);
}

void Catalog::Loader::Pair(const std::vector<const ServiceDescriptor*>& services) {
  std::map<std::string, const ServiceDescriptor*> by_stem;
  for (const ServiceDescriptor* service : services) by_stem[FileStem(service->file())] = service;

  for (const Repository& repository : repositories_) {
    const auto problem = [&](int line, const auto&... words) {
      loaded_->problems.push_back({repository.file, line, absl::StrCat(words...)});
    };
    const auto found = by_stem.find(repository.stem);
    if (found == by_stem.end()) {
      problem(1, "no service in ", repository.stem, ".proto: add it, or remove this file");
      continue;
    }
    const ServiceDescriptor* service = found->second;
    std::set<std::string> paired;
    for (const Stanza& stanza : repository.stanzas) {
      const MethodDescriptor* method = service->FindMethodByName(stanza.name);
      if (method == nullptr) {
        problem(stanza.line, service->name(), " has no rpc ", stanza.name, ": add it to ",
                service->file()->name(), ", or rename the stanza");
      } else if (ByHand(method)) {
        problem(stanza.line, stanza.name, " is written by hand: remove the stanza");
      } else if (!paired.insert(stanza.name).second) {
        problem(stanza.line, "a second stanza ", stanza.name, ": remove one");
      } else {
        Draw(repository, stanza, method);
      }
    }
    for (int i = 0; i < service->method_count(); ++i) {
      const std::string& name = service->method(i)->name();
      if (paired.contains(name) || ByHand(service->method(i))) continue;
      problem(1, "no stanza for rpc ", name, ": add `-- name: ", name, "`");
    }
    by_stem.erase(found);
  }
  CheckParts();
  for (const auto& [stem, service] : by_stem) {
    loaded_->problems.push_back({absl::StrCat(stem, ".sql"), 1,
                                 absl::StrCat("the file is missing: ", service->name(), " has ",
                                              service->method_count(), " methods without SQL")});
  }
}

void Catalog::Loader::Draw(const Repository& repository, const Stanza& stanza,
                           const MethodDescriptor* method) {
  Draft draft{&repository, &stanza, method, stanza.text, {}, {}, {}, false};
  const size_t limit = Reads(method) ? kReadNameLimit : kNameLimit;
  if (OperationName(method).size() > limit) {
    Problem(draft, absl::StrCat("`", OperationName(method), "` is longer than ", limit,
                                " bytes, which prepared statements can be named by"));
  }
  if (method->client_streaming() && method->server_streaming()) {
    return Problem(draft, "streams both ways, which no statement does: take one `stream` away");
  }
  if (method->server_streaming() && stanza.page.empty()) {
    return Problem(draft, "streams out, which needs a `-- page:` line to read portions by");
  }
  if (!BindText(&draft)) return;
  auto analysis = sql::Analyse(draft.first.text);
  if (!analysis.ok()) return Problem(draft, std::string(analysis.status().message()));
  draft.analysis = *std::move(analysis);
  for (const std::string& problem : FormProblems(stanza, *method, draft.analysis)) {
    Problem(draft, problem);
  }
  CheckSet(draft);
  drafts_.push_back(std::move(draft));
}

bool Catalog::Loader::BindText(Draft* draft) {
  const Stanza& stanza = *draft->stanza;
  const auto bind = [&](const std::vector<sql::Insertion>& fixed, sql::BoundText* out) {
    auto bound = sql::BindNames(draft->text, fixed);
    if (!bound.ok()) return Refuse(*draft, bound.status().message());
    *out = *std::move(bound);
    return true;
  };
  if (!bind({}, &draft->first)) return false;
  const auto parts = PartsOf(draft->first.names, *draft->repository, repositories_, &used_parts_);
  draft->has_parts = !parts.empty();
  auto whole = sql::Insert(draft->text, parts);
  if (!whole.ok()) return Refuse(*draft, whole.status().message());
  draft->text = *std::move(whole);
  if (!bind({}, &draft->first)) return false;
  const std::set<std::string> names(draft->first.names.begin(), draft->first.names.end());
  if (stanza.page.empty()) {
    if (!names.contains("page.size") && !names.contains("page.after")) return true;
    return Refuse(*draft, "`:page.…` without a `-- page:` line that names the keys");
  }
  if (!names.contains("page.size") || !names.contains("page.after")) {
    return Refuse(*draft, "a page needs `where … :page.after` and `limit :page.size`");
  }
  return bind(FirstPage(stanza), &draft->first) && bind(NextPage(stanza), &draft->next);
}

void Catalog::Loader::CheckParts() {
  for (const Repository& repository : repositories_) {
    for (const Stanza& part : repository.parts) {
      if (used_parts_.contains(&part)) continue;
      loaded_->problems.push_back({repository.file, part.line,
                                   absl::StrCat("nothing uses part ", part.name, ": write `:part.",
                                                part.name, "`, or remove it")});
    }
  }
}

void Catalog::Loader::CheckSet(const Draft& draft) {
  if (!draft.set()) {
    if (draft.method->client_streaming()) {
      Problem(draft, "streams in, which needs a statement over `:requests`");
    }
    if (!draft.stanza->batch.empty()) {
      Problem(draft, "has a `-- batch:` line and does not read `:requests`");
    }
  } else if (!draft.stanza->page.empty()) {
    Problem(draft, "lists pages, which a statement over `:requests` cannot: read `:fields`");
  }
  if (draft.stanza->one_transaction && !draft.method->client_streaming()) {
    Problem(draft, "has a `-- stream:` line and does not stream in");
  }
  if (!draft.stanza->none.empty() && draft.method->client_streaming()) {
    Problem(draft, "streams in, where `-- none:` says nothing: the response adds up rows");
  }
}

absl::Status Catalog::Loader::CheckKept(const std::string& dsn) {
  std::vector<const Draft*> kept;
  std::vector<sql::Statement> statements;
  for (const Draft& draft : drafts_) {
    if (!draft.method->options().HasExtension(twi::data::v1::cache)) continue;
    kept.push_back(&draft);
    statements.push_back({.name = "", .text = draft.first.text});
  }
  if (kept.empty()) return absl::OkStatus();
  const auto all = sql::FindDependencies(dsn, statements, sql::ChangesFrom::kStream);
  if (!all.ok()) return all.status();
  for (size_t i = 0; i < kept.size(); ++i) {
    if (all->each[i].flaw.empty()) continue;
    Problem(*kept[i], absl::StrCat("has a cache policy, but ", all->each[i].flaw,
                                   ": take the policy from the rpc, or this from the SQL"));
  }
  return absl::OkStatus();
}

bool Catalog::Loader::CheckPrepared(const Draft& draft, const sql::BoundText& bound,
                                    const sql::Described& described, std::string_view what) {
  if (described.error.message.empty()) return true;
  const std::string where =
      PlaceOf(bound.text, described.error_position, *draft.stanza, draft.has_parts);
  Problem(draft, absl::StrCat("the database refuses ", ToAbsl(what), ": ", described.error.message,
                              where));
  return false;
}

std::unique_ptr<Operation> Catalog::Loader::Make(const Draft& draft, const sql::Described& first,
                                                 const sql::Described* next) {
  auto operation = std::make_unique<Operation>();
  operation->name_ = OperationName(draft.method);
  operation->method_ = draft.method;
  operation->statement_ = {operation->name_, WithName(operation->name_, draft.first.text),
                           draft.analysis.read_only(), draft.set(), first.description.costly};
  operation->one_transaction_ = draft.stanza->one_transaction;
  operation->analysis_ = draft.analysis;
  operation->ttl_ =
      absl::Seconds(draft.method->options().GetExtension(twi::data::v1::cache).ttl().seconds());
  if (!CheckPrepared(draft, draft.first, first, "it")) return operation;
  const auto proof = sql::Proof::Make(draft.first.text, &dictionary_);
  if (!proof.ok()) return operation;

  std::vector<std::string> problems;
  std::vector<std::string> warnings;
  const Descriptor* request = draft.method->input_type();
  const std::vector<sql::Column>& columns = first.description.columns;
  std::vector<std::string> fieldless;
  const std::vector<int> keys = FindPageKeys(*draft.stanza, *proof, columns, &problems);
  for (int key : keys) fieldless.push_back(columns[static_cast<size_t>(key)].name);
  if (draft.set()) {
    fieldless.emplace_back(sql::kCallColumn);
    operation->set_ = std::make_unique<SetPlan>(SetPlan::Make(
        request, draft.stanza->batch, draft.first.names, first.description.parameters, &problems));
  } else {
    operation->parameters_ =
        ParameterPlan::Make(request, draft.first.names, first.description.parameters, &problems);
    for (const std::string& field : operation->parameters_.UnusedFields(request)) {
      if (next != nullptr && (field == "page_size" || field == "page_token")) continue;
      problems.push_back(absl::StrCat("nothing in the SQL uses the field ", field, " of ",
                                      request->name(), ": write `:", field, "`, or remove it"));
    }
  }
  if (draft.method->client_streaming()) {
    operation->tally_ = TallyPlan::Make(draft.method->output_type(), columns, &problems);
  } else {
    operation->rows_ =
        RowPlan::Make(draft.method->output_type(), columns, fieldless, &problems, &warnings);
    if (draft.set() && !columns.empty() && !HasCallColumn(columns)) {
      problems.emplace_back(
          "does not tell whose a row is: select the ordinality of `:requests`, a bigint, as _call");
    }
    CheckOneRow(*draft.stanza, *proof, draft.analysis, operation->rows_.shape(), columns,
                draft.set(), &problems);
  }
  const std::string& none = draft.stanza->none;
  if (!none.empty() && columns.empty()) {
    problems.emplace_back("`-- none:` says nothing of a statement without rows: add `returning 1`");
  }
  const bool list = operation->rows_.shape() == RowPlan::Shape::kElements;
  if (none == "OK" || (none.empty() && list)) operation->none_ = absl::StatusCode::kOk;
  if (none == "ALREADY_EXISTS") operation->none_ = absl::StatusCode::kAlreadyExists;
  for (const std::string& problem : problems) Problem(draft, problem);
  for (const std::string& warning : warnings) {
    loaded_->warnings.push_back({draft.repository->file, draft.stanza->line,
                                 absl::StrCat(draft.stanza->name, ": ", warning)});
  }
  if (next != nullptr) MakePages(draft, first, *next, keys, operation.get());
  if (Reads(draft.method) && next == nullptr && !list && !draft.set()) {
    MakeSeveral(draft, first.description, &operation->statement_);
  }
  return operation;
}

void Catalog::Loader::MakeSeveral(const Draft& draft, const sql::Description& description,
                                  sql::Statement* statement) {
  std::vector<sql::Oid> arrays;
  std::ranges::transform(description.parameters, std::back_inserter(arrays), ArrayType);
  if (arrays.empty() || std::ranges::count(arrays, 0) > 0) return;
  auto text = ForSeveral(draft.text, draft.first.names, arrays);
  if (!text.ok()) return Problem(draft, std::string(text.status().message()));
  statement->types = description.parameters;
  statement->several = std::make_shared<const sql::Statement>(sql::Statement{
      .name = absl::StrCat(statement->name, " (many)"), .text = WithName(statement->name, *text)});
}

void Catalog::Loader::MakePages(const Draft& draft, const sql::Described& first,
                                const sql::Described& next, const std::vector<int>& keys,
                                Operation* operation) {
  if (!CheckPrepared(draft, draft.next, next, "its next pages")) return;
  auto pages = std::make_unique<Operation::Pages>();
  const Descriptor* request = draft.method->input_type();
  const Descriptor* response = draft.method->output_type();
  pages->size = request->FindFieldByName("page_size");
  pages->token = request->FindFieldByName("page_token");
  pages->next_token = response->FindFieldByName("next_page_token");
  if (draft.method->server_streaming()) {
    if (operation->rows_.shape() != RowPlan::Shape::kElements || pages->next_token != nullptr) {
      Problem(draft, "streams out: its response must be one repeated field, a portion of the rows");
    }
  } else if (pages->size == nullptr || pages->size->cpp_type() != FieldDescriptor::CPPTYPE_INT32 ||
             pages->token == nullptr || pages->token->type() != FieldDescriptor::TYPE_STRING ||
             pages->next_token == nullptr ||
             pages->next_token->type() != FieldDescriptor::TYPE_STRING) {
    return Problem(draft,
                   "a page needs `int32 page_size` and `string page_token` in the request and "
                   "`string next_page_token` in the response");
  }
  if (!draft.method->server_streaming() &&
      !pages->size->options().GetExtension(twi::data::v1::rules).has_page()) {
    Problem(draft, "page_size needs the rule `page: {}`");
  }
  pages->key_columns = keys;
  std::vector<std::string> problems;
  pages->next = {absl::StrCat(operation->name_, " (next)"),
                 WithName(operation->name_, draft.next.text), true, false, next.description.costly};
  pages->next_parameters =
      ParameterPlan::Make(request, draft.next.names, next.description.parameters, &problems);
  CheckKeyTypes(*draft.stanza, keys, first.description.columns, draft.next.names,
                next.description.parameters, &problems);
  for (const std::string& problem : problems) Problem(draft, problem);
  operation->pages_ = std::move(pages);
}

}  // namespace twi::repositories
