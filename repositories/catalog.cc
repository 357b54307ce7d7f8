#include "repositories/catalog.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.pb.h"
#include "proto/descriptor_names.h"
#include "repositories/cardinality.h"
#include "repositories/pairing.h"
#include "repositories/postgres_types.h"
#include "repositories/stanza_text.h"
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
using google::protobuf::ServiceDescriptor;

bool HasCallColumn(const std::vector<sql::Column>& columns) {
  return std::ranges::any_of(columns, [](const sql::Column& column) {
    return column.name == sql::kCallColumn && column.type == kInt8;
  });
}

}  // namespace

class Catalog::Loader {
 public:
  explicit Loader(Loaded* loaded) : loaded_(loaded) {}

  absl::Status Load(const std::string& dsn, const std::vector<EmbeddedText>& files,
                    const std::vector<const ServiceDescriptor*>& services);

 private:
  /// Refuses cache policies of statements whose answers are more than what the tables hold.
  absl::Status CheckKept(const std::string& dsn);
  std::unique_ptr<Operation> Make(const Pair& pair, const sql::Described& first,
                                  const sql::Described* next);
  /// Lets callers of a read of one row share statements, if arrays can have its parameters.
  void MakeSeveral(const Pair& pair, const sql::Description& description,
                   sql::Statement* statement);
  void MakePages(const Pair& pair, const sql::Described& first, const sql::Described& next,
                 const std::vector<int>& keys, Operation* operation);
  /// Whether the database takes a statement of the pair, called `what` in the problem if not.
  bool CheckPrepared(const Pair& pair, const sql::BoundText& bound, const sql::Described& described,
                     std::string_view what);

  void Report(const Pair& pair, const std::string& message) {
    pair.Report(message, &loaded_->problems);
  }

  Loaded* loaded_;
  sql::Dictionary dictionary_;
  std::vector<Repository> repositories_;
  std::vector<Pair> pairs_;
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
  pairs_ = PairAll(services, repositories_, &loaded_->problems);
  auto dictionary = sql::ReadDictionary(dsn, sql::StandIns());
  if (!dictionary.ok()) return dictionary.status();
  dictionary_ = *std::move(dictionary);

  std::vector<std::string> texts;
  for (const Pair& pair : pairs_) {
    texts.push_back(pair.first.text);
    if (pair.page()) texts.push_back(pair.next.text);
  }
  auto described = sql::Describe(dsn, texts, sql::StandIns());
  if (!described.ok()) return described.status();

  loaded_->catalog = std::make_unique<Catalog>();
  auto it = described->begin();
  for (const Pair& pair : pairs_) {
    const sql::Described& first = *it++;
    const sql::Described* next = pair.page() ? &*it++ : nullptr;
    loaded_->catalog->operations_.push_back(Make(pair, first, next));
  }
  return CheckKept(dsn);
}

absl::Status Catalog::Loader::CheckKept(const std::string& dsn) {
  std::vector<const Pair*> kept;
  std::vector<sql::Statement> statements;
  for (const Pair& pair : pairs_) {
    if (!pair.method->options().HasExtension(twi::data::v1::cache)) continue;
    kept.push_back(&pair);
    statements.push_back({.name = "", .text = pair.first.text});
  }
  if (kept.empty()) return absl::OkStatus();
  const auto all = sql::FindDependencies(dsn, statements, sql::ChangesFrom::kStream);
  if (!all.ok()) return all.status();
  for (size_t i = 0; i < kept.size(); ++i) {
    if (all->each[i].flaw.empty()) continue;
    Report(*kept[i], absl::StrCat("has a cache policy, but ", all->each[i].flaw,
                                  ": take the policy from the rpc, or this from the SQL"));
  }
  return absl::OkStatus();
}

bool Catalog::Loader::CheckPrepared(const Pair& pair, const sql::BoundText& bound,
                                    const sql::Described& described, std::string_view what) {
  if (described.error.message.empty()) return true;
  const std::string where =
      PlaceOf(bound.text, described.error_position, *pair.stanza, pair.has_parts);
  Report(pair,
         absl::StrCat("the database refuses ", ToAbsl(what), ": ", described.error.message, where));
  return false;
}

std::unique_ptr<Operation> Catalog::Loader::Make(const Pair& pair, const sql::Described& first,
                                                 const sql::Described* next) {
  auto operation = std::make_unique<Operation>();
  operation->name_ = OperationName(pair.method);
  operation->method_ = pair.method;
  operation->statement_ = {operation->name_, WithName(operation->name_, pair.first.text),
                           pair.analysis.read_only(), pair.set(), first.description.costly};
  operation->one_transaction_ = pair.stanza->one_transaction;
  operation->analysis_ = pair.analysis;
  operation->ttl_ =
      absl::Seconds(pair.method->options().GetExtension(twi::data::v1::cache).ttl().seconds());
  if (!CheckPrepared(pair, pair.first, first, "it")) return operation;
  const auto proof = sql::Proof::Make(pair.first.text, &dictionary_);
  if (!proof.ok()) return operation;

  std::vector<std::string> problems;
  std::vector<std::string> warnings;
  const Descriptor* request = pair.method->input_type();
  const std::vector<sql::Column>& columns = first.description.columns;
  std::vector<std::string> fieldless;
  const std::vector<int> keys = FindPageKeys(*pair.stanza, *proof, columns, &problems);
  for (int key : keys) fieldless.push_back(columns[static_cast<size_t>(key)].name);
  if (pair.set()) {
    fieldless.emplace_back(sql::kCallColumn);
    operation->set_ = std::make_unique<SetPlan>(SetPlan::Make(
        request, pair.stanza->batch, pair.first.names, first.description.parameters, &problems));
  } else {
    operation->parameters_ =
        ParameterPlan::Make(request, pair.first.names, first.description.parameters, &problems);
    for (const std::string& field : operation->parameters_.UnusedFields(request)) {
      if (next != nullptr && (field == "page_size" || field == "page_token")) continue;
      problems.push_back(absl::StrCat("nothing in the SQL uses the field ", field, " of ",
                                      request->name(), ": write `:", field, "`, or remove it"));
    }
  }
  if (pair.method->client_streaming()) {
    operation->tally_ = TallyPlan::Make(pair.method->output_type(), columns, &problems);
  } else {
    operation->rows_ =
        RowPlan::Make(pair.method->output_type(), columns, fieldless, &problems, &warnings);
    if (pair.set() && !columns.empty() && !HasCallColumn(columns)) {
      problems.emplace_back(
          "does not tell whose a row is: select the ordinality of `:requests`, a bigint, as _call");
    }
    CheckOneRow(*pair.stanza, *proof, pair.analysis, operation->rows_.shape(), columns, pair.set(),
                &problems);
  }
  const std::string& none = pair.stanza->none;
  if (!none.empty() && columns.empty()) {
    problems.emplace_back("`-- none:` says nothing of a statement without rows: add `returning 1`");
  }
  const bool list = operation->rows_.shape() == RowPlan::Shape::kElements;
  if (none == "OK" || (none.empty() && list)) operation->none_ = absl::StatusCode::kOk;
  if (none == "ALREADY_EXISTS") operation->none_ = absl::StatusCode::kAlreadyExists;
  for (const std::string& problem : problems) Report(pair, problem);
  for (const std::string& warning : warnings) {
    loaded_->warnings.push_back(
        {pair.repository->file, pair.stanza->line, absl::StrCat(pair.stanza->name, ": ", warning)});
  }
  if (next != nullptr) MakePages(pair, first, *next, keys, operation.get());
  if (pair.reads() && next == nullptr && !list && !pair.set()) {
    MakeSeveral(pair, first.description, &operation->statement_);
  }
  return operation;
}

void Catalog::Loader::MakeSeveral(const Pair& pair, const sql::Description& description,
                                  sql::Statement* statement) {
  std::vector<sql::Oid> arrays;
  std::ranges::transform(description.parameters, std::back_inserter(arrays), ArrayType);
  if (arrays.empty() || std::ranges::count(arrays, 0) > 0) return;
  auto text = ForSeveral(pair.text, pair.first.names, arrays);
  if (!text.ok()) return Report(pair, std::string(text.status().message()));
  statement->types = description.parameters;
  statement->several = std::make_shared<const sql::Statement>(sql::Statement{
      .name = absl::StrCat(statement->name, " (many)"), .text = WithName(statement->name, *text)});
}

void Catalog::Loader::MakePages(const Pair& pair, const sql::Described& first,
                                const sql::Described& next, const std::vector<int>& keys,
                                Operation* operation) {
  if (!CheckPrepared(pair, pair.next, next, "its next pages")) return;
  auto pages = std::make_unique<Operation::Pages>();
  const Descriptor* request = pair.method->input_type();
  const Descriptor* response = pair.method->output_type();
  pages->size = request->FindFieldByName("page_size");
  pages->token = request->FindFieldByName("page_token");
  pages->next_token = response->FindFieldByName("next_page_token");
  if (pair.method->server_streaming()) {
    if (operation->rows_.shape() != RowPlan::Shape::kElements || pages->next_token != nullptr) {
      Report(pair, "streams out: its response must be one repeated field, a portion of the rows");
    }
  } else if (pages->size == nullptr || pages->size->cpp_type() != FieldDescriptor::CPPTYPE_INT32 ||
             pages->token == nullptr || pages->token->type() != FieldDescriptor::TYPE_STRING ||
             pages->next_token == nullptr ||
             pages->next_token->type() != FieldDescriptor::TYPE_STRING) {
    return Report(pair,
                  "a page needs `int32 page_size` and `string page_token` in the request and "
                  "`string next_page_token` in the response");
  }
  if (!pair.method->server_streaming() &&
      !pages->size->options().GetExtension(twi::data::v1::rules).has_page()) {
    Report(pair, "page_size needs the rule `page: {}`");
  }
  pages->key_columns = keys;
  std::vector<std::string> problems;
  pages->next = {absl::StrCat(operation->name_, " (next)"),
                 WithName(operation->name_, pair.next.text), true, false, next.description.costly};
  pages->next_parameters =
      ParameterPlan::Make(request, pair.next.names, next.description.parameters, &problems);
  CheckKeyTypes(*pair.stanza, keys, first.description.columns, pair.next.names,
                next.description.parameters, &problems);
  for (const std::string& problem : problems) Report(pair, problem);
  operation->pages_ = std::move(pages);
}

}  // namespace twi::repositories
