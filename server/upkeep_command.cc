#include "server/upkeep_command.h"

#include <sysexits.h>

#include <algorithm>

#include "absl/strings/str_format.h"
#include "server/exit_code.h"
#include "sql/embedded_text.h"
#include "sql/upkeep.h"

namespace twi::server {
namespace {

using sql::StepOutcome;
using sql::Upkeep;
using sql::UpkeepStep;

constexpr char kUsage[] = R"(usage: twi-data optimize base|additional
       twi-data refresh-views
       twi-data maintain
)";

const char* Word(StepOutcome outcome) {
  switch (outcome) {
    case StepOutcome::kMade:
      return "made";
    case StepOutcome::kReplaced:
      return "replaced";
    case StepOutcome::kThere:
      return "there";
    case StepOutcome::kServed:
      return "served";
    case StepOutcome::kRefreshed:
      return "refreshed";
    case StepOutcome::kRolled:
      return "rolled";
    case StepOutcome::kRebuilt:
      return "rebuilt";
    case StepOutcome::kDropped:
      return "dropped";
    case StepOutcome::kAnalyzed:
      return "analyzed";
    case StepOutcome::kFailed:
      return "failed";
  }
  return "";
}

bool IsSet(const std::string& name) {
  return std::any_of(kOptimizations.begin(), kOptimizations.end(),
                     [&](const EmbeddedText& text) { return text.name == name + ".sql"; });
}

std::string Line(const UpkeepStep& step) {
  std::string line = absl::StrFormat("%-9s %-36s %.1f ms", Word(step.outcome), step.name,
                                     absl::ToDoubleMilliseconds(step.duration));
  if (step.outcome == StepOutcome::kServed) line += "  by " + step.detail;
  if (step.outcome != StepOutcome::kServed && !step.detail.empty()) line += "  " + step.detail;
  return line + "\n";
}

}  // namespace

int UpkeepCommand(const OpenDsn& open, const std::vector<std::string>& words, std::ostream& out,
                  std::ostream& err) {
  const std::string& command = words[0];
  const bool optimize = command == "optimize";
  if (words.size() != (optimize ? 2 : 1) || (optimize && !IsSet(words[1]))) {
    err << kUsage;
    return EX_USAGE;
  }
  const auto fail = [&](const absl::Status& status) {
    err << "twi-data " << command << ": " << status.message() << "\n";
    return ExitCode(status);
  };
  bool idle = true;
  const Upkeep::Observer observer = {
      .step =
          [&](const UpkeepStep& step) {
            if (step.outcome != StepOutcome::kThere && step.outcome != StepOutcome::kServed) {
              idle = false;
            }
            out << Line(step) << std::flush;
          },
      .waiting =
          [&] {
            err << "twi-data " << command << ": waiting for another one to end\n" << std::flush;
          },
  };

  const absl::StatusOr<std::string> dsn = open();
  if (!dsn.ok()) {
    fail(dsn.status());
    return EX_UNAVAILABLE;
  }
  const absl::StatusOr<Upkeep> upkeep = Upkeep::Load(*dsn, observer);
  if (!upkeep.ok()) return fail(upkeep.status());
  absl::Status status;
  if (optimize) {
    status = upkeep->Optimize(words[1]);
  } else if (command == "refresh-views") {
    status = upkeep->RefreshViews();
  } else {
    status = upkeep->Maintain();
  }
  if (!status.ok()) return fail(status);
  if (idle) out << "nothing to do\n";
  return EX_OK;
}

}  // namespace twi::server
