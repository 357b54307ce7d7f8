#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace twi::server {

class SpanExporter;

/// What the metadata `traceparent` says, by W3C Trace Context.
struct TraceParent {
  std::string trace_id;  ///< 32 hexadecimal digits, not all 0.
  std::string span_id;   ///< 16 of the caller's span, likewise.
  bool sampled = false;

  /// Nothing when it is malformed: then there is no trace. Later versions are read as the first.
  static std::optional<TraceParent> Parse(std::string_view text);
};

/// A part of a trace: a call, or a statement that runs for it.
struct Span {
  enum class Kind { kServer = 2, kClient = 3 };

  std::string trace_id = {};
  std::string span_id = {};
  std::string parent_id = {};
  std::string name = {};
  Kind kind = Kind::kServer;
  absl::Time begin = {};
  absl::Time end = {};
  /// Of a call: its method's names and its status.
  std::string service = {};
  std::string method = {};
  int code = 0;
  /// Of a statement: its operation, and what went wrong in the database's state.
  std::string operation = {};
  std::string sqlstate = {};
  bool failed = false;
};

/// The trace that a call belongs to, and its span there. It never changes; whoever tells a span of
/// it may outlive the call.
class Trace {
 public:
  /// `exporter` is told the spans when the caller's is sampled; it may be null.
  Trace(TraceParent parent, SpanExporter* exporter);

  const std::string& id() const { return parent_.trace_id; }
  /// What callers get: the same trace, and the call's own span.
  std::string ToTraceparent() const;

  /// Whether anybody wants to hear of spans.
  bool wanted() const { return exporter_ != nullptr && parent_.sampled; }
  /// Tells of the call's own span, which has no ids yet. REQUIRES: wanted().
  void EndCall(Span span) const;
  /// Tells of a span below it.
  void EndChild(Span span) const;

 private:
  const TraceParent parent_;
  const std::string span_id_;
  SpanExporter* const exporter_;
};

}  // namespace twi::server
