#include "server/status_chart.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace twi::server {
namespace {

constexpr size_t kPoints = 90;
// With fewer values the line begins further right, or the first two would look like a trend.
constexpr size_t kLeast = 18;
constexpr double kWidth = 100;
constexpr double kHeight = 30;
// Room for the line's own width at both edges.
constexpr double kEdge = 1.5;

}  // namespace

Values Thinned(const Values& values, size_t most) {
  if (values.size() <= most) return values;
  Values thinned;
  for (size_t i = 0; i < most; ++i) {
    double sum = 0;
    int count = 0;
    for (size_t j = i * values.size() / most; j < (i + 1) * values.size() / most; ++j) {
      if (!values[j]) continue;
      sum += *values[j];
      ++count;
    }
    thinned.push_back(count == 0 ? std::nullopt : std::optional(sum / count));
  }
  return thinned;
}

std::string Line(const std::string& style_class, const Values& values, std::optional<double> top) {
  const Values points = Thinned(values, kPoints);
  double most = top.value_or(0);
  if (!top) {
    for (const auto& point : points) most = std::max(most, point.value_or(0));
  }
  if (most <= 0) most = 1;
  const size_t room = std::max(points.size(), kLeast) - 1;
  const auto x = [&](size_t i) {
    return kWidth * static_cast<double>(room - (points.size() - 1 - i)) / static_cast<double>(room);
  };
  const auto y = [&](double value) {
    return kHeight - kEdge - (kHeight - 2 * kEdge) * std::clamp(value / most, 0.0, 1.0);
  };

  std::string line;
  std::string ground;
  for (size_t i = 0; i < points.size(); ++i) {
    if (!points[i]) continue;
    const bool begins = i == 0 || !points[i - 1];
    const bool ends = i + 1 == points.size() || !points[i + 1];
    const std::string at = absl::StrFormat("%.2f %.2f", x(i), y(*points[i]));
    absl::StrAppend(&line, begins ? "M" : "L", at);
    // A point alone: a round end of a line without length.
    if (begins && ends) absl::StrAppend(&line, "h0");
    if (begins) absl::StrAppendFormat(&ground, "M%.2f %g", x(i), kHeight);
    absl::StrAppend(&ground, "L", at);
    if (ends) absl::StrAppendFormat(&ground, "L%.2f %gZ", x(i), kHeight);
  }
  return absl::StrCat(
      "<svg class=\"", style_class, "\" viewBox=\"0 0 ", kWidth, " ", kHeight,
      "\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><path class=\"ground\" d=\"", ground,
      "\"/><path class=\"line\" d=\"", line, "\"/></svg>");
}

}  // namespace twi::server
