#include "server/span_exporter.h"

#include <httplib.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "nlohmann/json.hpp"
#include "sql/text.h"

namespace twi::server {
namespace {

using nlohmann::json;

// Of one request: some 400 bytes each.
constexpr size_t kBatch = 512;
// A collector that is slower than this gets less.
constexpr absl::Duration kTimeout = absl::Seconds(3);
constexpr absl::Duration kLastTimeout = absl::Milliseconds(500);

json Attribute(const char* key, const std::string& value) {
  return {{"key", key}, {"value", {{"stringValue", value}}}};
}

// As in JSON of Protobuf: 64 bits are a string.
json Attribute(const char* key, int64_t value) {
  return {{"key", key}, {"value", {{"intValue", absl::StrCat(value)}}}};
}

std::string Nanoseconds(absl::Time time) { return absl::StrCat(absl::ToUnixNanos(time)); }

json Attributes(const Span& span) {
  if (span.kind == Span::Kind::kServer) {
    return {Attribute("rpc.system", "grpc"), Attribute("rpc.service", span.service),
            Attribute("rpc.method", span.method),
            Attribute("rpc.grpc.status_code", int64_t{span.code})};
  }
  json attributes = {Attribute("db.system", "postgresql"),
                     Attribute("db.operation.name", span.operation)};
  if (!span.sqlstate.empty()) {
    attributes.push_back(Attribute("db.response.status_code", span.sqlstate));
  }
  return attributes;
}

json Of(const Span& span) {
  constexpr int kError = 2;
  json told = {{"traceId", span.trace_id},
               {"spanId", span.span_id},
               {"parentSpanId", span.parent_id},
               {"name", span.name},
               {"kind", static_cast<int>(span.kind)},
               {"startTimeUnixNano", Nanoseconds(span.begin)},
               {"endTimeUnixNano", Nanoseconds(span.end)},
               {"attributes", Attributes(span)},
               {"status", json::object()}};
  if (span.failed) told["status"]["code"] = kError;
  return told;
}

}  // namespace

std::string ToOtlp(const std::vector<Span>& spans, const std::string& version) {
  json list = json::array();
  for (const Span& span : spans) list.push_back(Of(span));
  const json resource = {
      {"attributes",
       {Attribute("service.name", "twi-data"), Attribute("service.version", version),
        Attribute("process.pid", int64_t{getpid()})}}};
  json scope = {{"scope", {{"name", "twi-data"}, {"version", version}}},
                {"spans", std::move(list)}};
  json all = {{"resource", resource}, {"scopeSpans", json::array({std::move(scope)})}};
  return json{{"resourceSpans", json::array({std::move(all)})}}.dump(
      -1, ' ', false, json::error_handler_t::replace);
}

absl::StatusOr<Address> SpanExporter::ParseEndpoint(const std::string& endpoint) {
  absl::string_view rest = endpoint;
  if (!absl::ConsumePrefix(&rest, "http://")) {
    return absl::InvalidArgumentError(absl::StrCat("'", endpoint, "' is not http://HOST:PORT"));
  }
  absl::ConsumeSuffix(&rest, "/");
  return ParseAddress(std::string(rest));
}

SpanExporter::SpanExporter(Address collector, std::string version, Metrics* metrics,
                           absl::Duration pause)
    : collector_(std::move(collector)),
      version_(std::move(version)),
      metrics_(metrics),
      pause_(pause) {
  thread_ = std::thread([this] { Run(); });
}

SpanExporter::~SpanExporter() {
  {
    std::lock_guard lock(mutex_);
    end_ = true;
  }
  ending_.notify_all();
  thread_.join();
}

void SpanExporter::Add(Span span) {
  {
    std::lock_guard lock(mutex_);
    if (queue_.size() < kMost && !end_) return queue_.push_back(std::move(span));
  }
  metrics_->Traced(SpanFate::kQueueFull, 1);
}

void SpanExporter::Run() {
  std::unique_lock lock(mutex_);
  for (bool last = false; !last;) {
    // What has gathered meanwhile goes together, or at once while there is enough for a batch.
    if (queue_.size() < kBatch) {
      ending_.wait_for(lock, absl::ToChronoNanoseconds(pause_), [this] { return end_; });
    }
    last = end_;
    const size_t count = std::min(queue_.size(), kBatch);
    if (count == 0) continue;
    const auto end = queue_.begin() + static_cast<ptrdiff_t>(count);
    std::vector<Span> batch(std::make_move_iterator(queue_.begin()), std::make_move_iterator(end));
    queue_.erase(queue_.begin(), end);
    lock.unlock();
    const bool sent = Send(batch, last ? kLastTimeout : kTimeout);
    metrics_->Traced(sent ? SpanFate::kSent : SpanFate::kNotTaken, batch.size());
    lock.lock();
  }
}

bool SpanExporter::Send(const std::vector<Span>& spans, absl::Duration timeout) const {
  httplib::Client client(collector_.host, collector_.port);
  const auto limit = absl::ToChronoMilliseconds(timeout);
  client.set_connection_timeout(limit);
  client.set_read_timeout(limit);
  client.set_write_timeout(limit);
  const auto answer = client.Post("/v1/traces", ToOtlp(spans, version_), "application/json");
  return answer && answer->status / 100 == 2;
}

}  // namespace twi::server
