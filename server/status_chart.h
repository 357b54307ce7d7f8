#pragma once

#include <optional>
#include <string>
#include <vector>

namespace twi::server {

/// Values over time, the oldest first; where there is none the line has a gap.
using Values = std::vector<std::optional<double>>;

/// The mean of each of at most `most` stretches of the values, as even as can be; nothing for a
/// stretch without any.
Values Thinned(const Values& values, size_t most);

/// A line from left to right as an SVG element, above a lightly filled ground; the newest value is
/// at the right edge. It takes the size that the page's style gives the class. `top`: the value at
/// the upper edge; nothing: the largest.
std::string Line(const std::string& style_class, const Values& values,
                 std::optional<double> top = std::nullopt);

}  // namespace twi::server
