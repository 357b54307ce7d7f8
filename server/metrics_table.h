#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "prometheus/metric_type.h"

namespace twi::server {

/// What a metric is, but for its values.
struct MetricDescription {
  std::string name;
  prometheus::MetricType type;
  std::vector<std::string> labels;
  std::string help;
};

/// The metric of that name. REQUIRES: there is one.
const MetricDescription& FindMetric(std::string_view name);

}  // namespace twi::server
