#include "sql/stand_ins.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "sql/optimization.h"

namespace twi::sql {

std::string StandIns() {
  std::string script;
  for (const EmbeddedText& set : kOptimizations) {
    const absl::StatusOr<std::vector<Optimization>> steps = ReadOptimizations(set);
    if (!steps.ok()) continue;  // A fault of ours, which a test finds.
    for (const Optimization& step : *steps) {
      if (step.kind != Optimization::Kind::kView) continue;
      // Views of this kind are never temporary. Where it cannot be made, for a table that it reads
      // is not there, statements that read it are refused, and these refusals tell.
      absl::StrAppend(
          &script, "do $stand_in$ begin if to_regclass('", step.name, "') is null then ",
          absl::StrReplaceAll(absl::StripSuffix(step.text, ";"),
                              {{"create materialized view ", "create temporary table "}}),
          "; end if; exception when others then null; end $stand_in$;");
    }
  }
  return script;
}

}  // namespace twi::sql
