#include <cmath>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "server/slow_queries.h"
#include "server/status.h"
#include "server/status_chart.h"
#include "server/status_style.h"
#include "sql/changes.h"
#include "sql/text.h"

namespace twi::server {
namespace {

/// Text as it is, whatever is in it.
std::string Escaped(std::string_view text) {
  std::string escaped;
  for (char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

/// The name of an operation, which may break where the method begins.
std::string Operation(std::string_view name) {
  const size_t slash = name.find('/');
  if (slash == name.npos) return Escaped(name);
  return absl::StrCat("<span class=\"operation\">", Escaped(name.substr(0, slash + 1)), "<wbr>",
                      Escaped(name.substr(slash + 1)), "</span>");
}

// Of nothing.
constexpr char kNone[] = "<span class=\"dim\">–</span>";

/// Three digits, as people write them: 0.042, 4.2, 42.1, 4,210.
std::string Number(double value) {
  const double size = std::abs(value);
  if (size == 0) return "0";
  if (size < 0.001) return "&lt;0.001";
  if (size < 1) return absl::StrFormat("%.2g", value);
  std::string digits = absl::StrFormat("%.*f", size < 100 ? 1 : 0, value);
  if (size < 100) return std::string(absl::StripSuffix(digits, ".0"));
  for (size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

std::string Count(double value) {
  return std::abs(value) < 100 ? absl::StrFormat("%.0f", value) : Number(value);
}

/// A count of what should not be.
std::string Bad(double count) {
  return count == 0 ? "0" : absl::StrCat("<b class=\"bad\">", Count(count), "</b>");
}

std::string Bytes(double bytes) {
  if (bytes < 1 << 20) return absl::StrCat(Number(bytes / 1024), " KiB");
  if (bytes < 1 << 30) return absl::StrCat(Number(bytes / (1 << 20)), " MiB");
  return absl::StrCat(Number(bytes / (1 << 30)), " GiB");
}

/// Of calls: µs, ms or s.
std::string Time(const std::optional<double>& seconds) {
  if (!seconds) return kNone;
  if (*seconds < 1e-3) return absl::StrCat(Number(std::round(*seconds * 1e6)), " µs");
  if (*seconds < 1) return absl::StrCat(Number(*seconds * 1e3), " ms");
  return absl::StrCat(Number(*seconds), " s");
}

std::string Time(std::chrono::nanoseconds duration) {
  return Time(std::chrono::duration<double>(duration).count());
}

/// Of a life: 3 d 4 h.
std::string Long(absl::Duration duration) {
  const int64_t seconds = absl::ToInt64Seconds(duration);
  if (seconds < 60) return absl::StrCat(seconds, " s");
  if (seconds < 3600) return absl::StrCat(seconds / 60, " min");
  if (seconds < 86400) return absl::StrCat(seconds / 3600, " h ", seconds % 3600 / 60, " min");
  return absl::StrCat(seconds / 86400, " d ", seconds % 86400 / 3600, " h");
}

std::string Percent(const std::optional<double>& ratio) {
  if (!ratio) return kNone;
  const double percent = 100 * *ratio;
  return absl::StrFormat("%.*g %%", percent < 10 ? 2 : 3, percent);
}

std::string Ago(absl::Time then, absl::Time now) {
  return absl::StrCat("<time datetime=\"",
                      absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", then, absl::UTCTimeZone()), "\">",
                      Long(std::max(absl::ZeroDuration(), now - then)), " ago</time>");
}

template <typename Samples, typename Value>
Values Each(const Samples& samples, Value value) {
  Values values;
  for (const auto& sample : samples) values.push_back(sample.*value);
  return values;
}

/// Rows under heads; those of numbers stand right.
class Table {
 public:
  /// `heads` that begin with `#` are of numbers.
  explicit Table(std::vector<std::string_view> heads) : heads_(std::move(heads)) {}

  /// Cells are HTML.
  void Add(const std::vector<std::string>& cells) {
    absl::StrAppend(&rows_, "<tr>");
    for (size_t i = 0; i < cells.size(); ++i) {
      absl::StrAppend(&rows_, IsNumber(i) ? "<td class=\"num\">" : "<td>", cells[i], "</td>");
    }
    absl::StrAppend(&rows_, "</tr>\n");
  }

  /// `id` names the section; without rows it says `none`.
  std::string Section(std::string_view id, std::string_view title, std::string_view note,
                      std::string_view none) const {
    std::string html = absl::StrCat("<section class=\"card\" id=\"", ToAbsl(id), "\"><h2>",
                                    ToAbsl(title), " <small>", ToAbsl(note), "</small></h2>");
    if (rows_.empty())
      return absl::StrCat(html, "<p class=\"dim\">", ToAbsl(none), "</p></section>\n");
    absl::StrAppend(&html, "<div class=\"scroll\"><table><thead><tr>");
    for (size_t i = 0; i < heads_.size(); ++i) {
      absl::StrAppend(&html, IsNumber(i) ? "<th class=\"num\">" : "<th>",
                      ToAbsl(heads_[i].substr(IsNumber(i) ? 1 : 0)), "</th>");
    }
    return absl::StrCat(html, "</tr></thead><tbody>\n", rows_,
                        "</tbody></table></div></section>\n");
  }

 private:
  bool IsNumber(size_t column) const { return heads_[column].starts_with('#'); }

  const std::vector<std::string_view> heads_;
  std::string rows_;
};

std::string Tile(std::string_view title, const std::string& value, const std::string& note,
                 const std::string& picture) {
  return absl::StrCat("<div class=\"card tile\"><h2>", ToAbsl(title), "</h2><p class=\"value\">",
                      value, "</p><p class=\"note\">", note, "</p>", picture, "</div>\n");
}

std::string Header(const Status& status, bool live) {
  const bool ready = status.ready.ok();
  return absl::StrCat(
      "<header><h1>twi-data</h1><span class=\"badge ", ready ? "good" : "bad", "\">",
      ready ? "ready" : "not ready", "</span><nav><a href=\"", live ? "statusz" : "?refresh=10",
      "\">", live ? "stop reloading" : "reload every 10 s",
      "</a><a href=\"?format=json\">JSON</a><a href=\"metrics\">metrics</a></nav><p "
      "class=\"facts\">",
      ready ? "" : absl::StrCat("<strong>", Escaped(ToStd(status.ready.message())), "</strong>"),
      "<span>version ", Escaped(status.build.version), "</span><span>commit ",
      Escaped(status.build.commit), "</span><span>schema ",
      status.schema == 0 ? "not known" : absl::StrCat(status.schema), "</span><span>up ",
      Long(status.now - status.started), "</span><span>on ", Escaped(status.host),
      "</span></p></header>\n");
}

std::string PoolBar(const PoolReading& pool) {
  const double rest = std::max(0.0, pool.max - pool.busy - pool.idle - pool.connecting);
  return absl::StrFormat(
      "<div class=\"bar\"><i class=\"busy\" style=\"flex-grow:%g\"></i><i class=\"coming\" "
      "style=\"flex-grow:%g\"></i><i class=\"idle\" style=\"flex-grow:%g\"></i><i "
      "style=\"flex-grow:%g\"></i></div>",
      pool.busy, pool.connecting, pool.idle, rest);
}

std::string Tiles(const Status& status) {
  const auto line = [&](const char* color, auto value) {
    return Line(absl::StrCat("spark ", color), Each(status.samples, value));
  };
  const bool none = status.samples.empty();
  static const StatusSample kNothing;
  const StatusSample& last = none ? kNothing : status.samples.back();
  double in_flight = 0;
  for (const Status::InFlight& method : status.in_flight) in_flight += method.calls;
  double failures = 0;
  double calls = 0;
  for (const StatusSample& sample : status.samples) {
    calls += sample.calls_per_second;
    failures += sample.failures_per_second;
  }

  std::string html = "<section class=\"tiles\">\n";
  absl::StrAppend(&html,
                  Tile("Calls a second", none ? kNone : Number(last.calls_per_second),
                       absl::StrCat(Count(in_flight), " in flight"),
                       line("blue", &StatusSample::calls_per_second)),
                  Tile("Failures a second", none ? kNone : Number(last.failures_per_second),
                       absl::StrCat(calls > 0 ? Percent(failures / calls) : "none", " in an hour"),
                       line("red", &StatusSample::failures_per_second)),
                  Tile("Mean time", Time(last.mean_seconds), "of a unary call",
                       line("violet", &StatusSample::mean_seconds)));
  if (status.cache) {
    const bool told = status.cache->source != sql::ChangesFrom::kNone;
    absl::StrAppend(
        &html,
        Tile("Cache hits", Percent(last.hit_ratio),
             absl::StrCat(Count(status.cache->entries), " kept, ", Bytes(status.cache->bytes)),
             Line("spark teal", Each(status.samples, &StatusSample::hit_ratio), 1)),
        Tile("Behind changes", Time(status.cache->lag),
             told ? absl::StrCat("told by ", sql::NameOf(status.cache->source))
                  : "nobody tells them",
             line("amber", &StatusSample::lag_seconds)));
  }
  if (status.pool) {
    absl::StrAppend(&html, Tile("Connections",
                                absl::StrCat(Count(status.pool->busy), "<small> busy of ",
                                             Count(status.pool->max), "</small>"),
                                absl::StrCat(Count(status.pool->idle), " idle, ",
                                             Count(status.pool->waiters), " wait"),
                                PoolBar(*status.pool)));
  }
  if (status.process) {
    absl::StrAppend(&html,
                    Tile("Process", Bytes(static_cast<double>(status.process->resident_bytes)),
                         absl::StrCat("CPU ", Percent(last.cores), " of a core"),
                         line("blue", &StatusSample::cores)));
  }
  return html + "</section>\n";
}

std::string Chart(const Status& status, std::string_view title, const std::string& color,
                  const Values& values, std::optional<double> top, const std::string& top_label) {
  const absl::Duration shown =
      status.tick * static_cast<double>(std::max<size_t>(values.size(), 18));
  return absl::StrCat(
      "<figure class=\"card\"><figcaption>", ToAbsl(title),
      "</figcaption><div class=\"plot\"><span class=\"top\">", top_label,
      "</span><span class=\"bottom\">0</span>", Line(absl::StrCat("chart ", color), values, top),
      "</div><p class=\"axis\"><span>", Long(shown), " ago</span><span>now</span></p></figure>\n");
}

std::string Charts(const Status& status) {
  double most = 0;
  for (const StatusSample& sample : status.samples) most = std::max(most, sample.calls_per_second);
  std::string html = "<section class=\"charts\">\n";
  if (status.cache) {
    absl::StrAppend(&html, Chart(status, "Cache hit rate", "teal",
                                 Each(status.samples, &StatusSample::hit_ratio), 1, "100 %"));
  }
  absl::StrAppend(&html, Chart(status, "Calls a second", "blue",
                               Each(status.samples, &StatusSample::calls_per_second),
                               std::max(most, 0.1), Number(most)));
  return html + "</section>\n";
}

std::string Methods(const Status& status) {
  const std::string lately = absl::StrCat("in the last ", Long(status.lately));
  Table busiest({"Operation", "#Calls/s", "Trend", "#Failed", "#Hits", "#Mean", "#p50", "#p99"});
  for (const MethodStatus& method : status.busiest) {
    busiest.Add({Operation(method.name), Number(method.calls_per_second),
                 Line("spark blue", Each(method.samples, &StatusSample::calls_per_second)),
                 Bad(method.failed), Percent(method.hit_ratio), Time(method.mean_seconds),
                 Time(method.p50_seconds), Time(method.p99_seconds)});
  }
  Table slowest({"Operation", "#p99", "#p50", "#Mean", "Trend", "#Calls"});
  for (const MethodStatus& method : status.slowest) {
    slowest.Add({Operation(method.name), Time(method.p99_seconds), Time(method.p50_seconds),
                 Time(method.mean_seconds),
                 Line("spark violet", Each(method.samples, &StatusSample::mean_seconds)),
                 Count(method.calls)});
  }
  constexpr char kQuiet[] = "No calls yet, or none for ten minutes.";
  return busiest.Section("busiest", "Busiest operations", lately, kQuiet) +
         slowest.Section("slowest", "Slowest operations", "by p99; without streams", kQuiet);
}

std::string Connections(const Status& status) {
  constexpr const char* kKinds[] = {"read lane", "write lane", "read session", "session"};
  using State = sql::ConnectionActivity::State;
  Table table({"Connection", "State", "#For", "Statements", "#Waiting"});
  int idle = 0;
  for (const auto& connection :
       status.connections.value_or(std::vector<sql::ConnectionActivity>())) {
    const bool lane = connection.kind <= sql::ConnectionActivity::Kind::kWriteLane;
    if (connection.state == State::kIdle && !lane) {
      ++idle;
      continue;
    }
    constexpr const char* kStates[] = {"<b class=\"bad\">closed</b>",
                                       "<span class=\"dim\">idle</span>",
                                       "<b class=\"good\">running</b>", "lent"};
    std::string statements;
    for (const sql::RunningStatement& statement : connection.statements) {
      const bool own = statement.operation.empty();
      absl::StrAppend(&statements, statements.empty() ? "" : ", ",
                      own ? absl::StrCat("SQL ", Escaped(statement.fingerprint))
                          : Operation(statement.operation),
                      statement.callers > 1 ? absl::StrCat(" × ", statement.callers) : "");
    }
    table.Add({kKinds[static_cast<size_t>(connection.kind)],
               kStates[static_cast<size_t>(connection.state)],
               connection.state >= State::kRunning ? Time(connection.lasts) : kNone,
               statements.empty() ? kNone : statements,
               lane ? absl::StrCat(connection.waiting) : kNone});
  }
  return table.Section("connections", "Running statements",
                       status.connections ? absl::StrCat("and ", idle, " idle sessions") : "",
                       "There are no connections to tell of.");
}

std::string InFlight(const Status& status) {
  if (status.in_flight.empty()) return "";
  std::string html =
      "<section class=\"card\" id=\"flights\"><h2>Calls in flight</h2><p class=\"chips\">";
  for (const Status::InFlight& method : status.in_flight) {
    absl::StrAppend(&html, "<span>", Escaped(method.method), " <b>", Count(method.calls),
                    "</b></span>");
  }
  return html + "</p></section>\n";
}

std::string SlowStatements(const Status& status) {
  Table table({"Statement", "#Times", "#Failed", "#Longest", "#Waited at most", "#Last"});
  for (const Status::SlowStatement& statement : status.slow_statements) {
    const std::string fingerprint =
        statement.fingerprint.empty()
            ? ""
            : absl::StrCat(" <code>", Escaped(statement.fingerprint), "</code>");
    table.Add({Operation(statement.operation) + fingerprint, Count(statement.times),
               Bad(statement.failed), Time(statement.longest), Time(statement.waited),
               Ago(statement.last, status.now)});
  }
  return table.Section("slow", "Slow statements",
                       absl::StrCat("of the last ", SlowQueries::kMost, " runs that took ",
                                    Time(status.slow_threshold), ", alone"),
                       "None.");
}

std::string Errors(const Status& status) {
  Table table({"Operation", "Code", "Reason", "Principal", "#Times", "#Last"});
  for (const Failure& failure : status.failures) {
    table.Add({Operation(failure.method),
               absl::StrCat("<b class=\"bad\">", absl::StatusCodeToString(failure.code), "</b>"),
               failure.reason.empty() ? kNone : Escaped(failure.reason),
               failure.principal.empty() ? kNone : Escaped(failure.principal),
               Count(static_cast<double>(failure.times)), Ago(failure.last, status.now)});
  }
  return table.Section("errors", "Last errors", "like ones together; mistakes of callers left out",
                       "None since the start.");
}

}  // namespace

std::string ToHtml(const Status& status, bool live) {
  return absl::StrCat(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">",
      live ? "<meta http-equiv=\"refresh\" content=\"10\">" : "", "<title>twi-data on ",
      Escaped(status.host), "</title>\n<style>", kStatusStyle, "</style></head><body>\n",
      Header(status, live), "<main>\n", Tiles(status), Charts(status), Methods(status),
      Connections(status), InFlight(status), SlowStatements(status), Errors(status),
      "</main>\n<footer>",
      absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", status.now, absl::UTCTimeZone()),
      " · sampled every ", Long(status.tick), "</footer></body></html>\n");
}

}  // namespace twi::server
