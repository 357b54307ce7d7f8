#include "sql/prepare_sources.h"

#include "absl/strings/str_join.h"
#include "sql/outbox_triggers.h"
#include "sql/publication.h"
#include "sql/replication.h"
#include "sql/text.h"

namespace twi::sql {

void PrepareSources(
    const std::string& dsn,
    const std::function<void(std::string_view event, std::string_view detail)>& tell) {
  absl::Status status = PreparePublication(dsn);
  if (!status.ok()) tell("there is no publication of changes", ToStd(status.message()));
  if (!absl::IsFailedPrecondition(Replication::Check(dsn))) return;
  const auto left = PrepareOutbox(dsn);
  if (!left.ok()) return tell("there is no outbox of changes", ToStd(left.status().message()));
  if (!left->empty()) {
    tell("tables are in use and get no triggers: nothing of them is cached until another try",
         absl::StrJoin(*left, ", "));
  }
}

}  // namespace twi::sql
