#include "server/trace.h"

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/span_exporter.h"
#include "sql/text.h"

namespace twi::server {
namespace {

// `00-` trace `-` span `-` flags
constexpr size_t kLength = 55;
constexpr size_t kTraceDigits = 32;
constexpr size_t kSpanDigits = 16;

bool IsHex(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool IsId(std::string_view text) { return IsHex(text) && text.find_first_not_of('0') != text.npos; }

std::string NewSpanId() {
  // Ids need not be secret, only different from each other.
  thread_local std::mt19937_64 random{std::random_device()()};
  return absl::StrCat(absl::Hex(std::max<uint64_t>(1, random()), absl::kZeroPad16));
}

}  // namespace

std::optional<TraceParent> TraceParent::Parse(std::string_view text) {
  if (text.size() < kLength || text[2] != '-' || text[35] != '-' || text[52] != '-') {
    return std::nullopt;
  }
  const std::string_view version = text.substr(0, 2);
  if (!IsHex(version) || version == "ff") return std::nullopt;
  if (version == "00" ? text.size() != kLength : text.size() > kLength && text[kLength] != '-') {
    return std::nullopt;
  }
  const std::string_view trace = text.substr(3, kTraceDigits);
  const std::string_view span = text.substr(36, kSpanDigits);
  const std::string_view flags = text.substr(53, 2);
  if (!IsId(trace) || !IsId(span) || !IsHex(flags)) return std::nullopt;
  // The lowest of eight bits.
  const char last = flags[1];
  const bool sampled = ((last <= '9' ? last - '0' : last - 'a' + 10) & 1) != 0;
  return TraceParent{std::string(trace), std::string(span), sampled};
}

Trace::Trace(TraceParent parent, SpanExporter* exporter)
    : parent_(std::move(parent)), span_id_(NewSpanId()), exporter_(exporter) {}

std::string Trace::ToTraceparent() const {
  return absl::StrCat("00-", parent_.trace_id, "-", span_id_, parent_.sampled ? "-01" : "-00");
}

void Trace::EndCall(Span span) const {
  span.trace_id = parent_.trace_id;
  span.span_id = span_id_;
  span.parent_id = parent_.span_id;
  exporter_->Add(std::move(span));
}

void Trace::EndChild(Span span) const {
  span.trace_id = parent_.trace_id;
  span.span_id = NewSpanId();
  span.parent_id = span_id_;
  exporter_->Add(std::move(span));
}

}  // namespace twi::server
