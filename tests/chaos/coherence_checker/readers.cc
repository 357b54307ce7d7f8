#include "tests/chaos/coherence_checker/readers.h"

#include <algorithm>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/chaos/coherence_checker/methods.h"

namespace twi::checker {
namespace {

constexpr size_t kMostTold = 10;
// Of the ways, the last ones, which show other registers than those of the keys.
constexpr size_t kWaysOfOthers = 3;

enum class Mode { kBounded, kStrict, kSession };

const char* NameOf(Mode mode) {
  return mode == Mode::kBounded ? "bounded" : mode == Mode::kStrict ? "strict" : "session";
}

std::string TrailerOf(const grpc::ClientContext& context, const char* name) {
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto found = trailers.find(name);
  return found == trailers.end() ? "" : std::string(found->second.data(), found->second.size());
}

}  // namespace

/// A method, and the registers that it shows: of the keys from the first on, or one.
struct Readers::Way {
  Method method;
  size_t first = 0;
  bool keyed = true;
  /// It shows no version but a sum, which never changes.
  bool sum = false;
};

const std::vector<Readers::Way>& Readers::Ways() {
  static const std::vector<Way> kWays = [] {
    std::vector<Way> ways;
    for (const char* name :
         {"Get", "GetByTable", "GetChild", "GetLogged", "GetLeaf", "GetPartitioned", "GetViewed"}) {
      ways.push_back({OfRegisters(name)});
    }
    for (const Method& method : OfTheBot()) ways.push_back({method});
    for (const Method& method : Raw()) ways.push_back({method});
    ways.push_back({OfRegisters("GetRefreshed"), kSeen});
    ways.push_back({OfRegisters("GetDefined"), kDefined, false});
    ways.push_back({OfRegisters("GetSum"), 0, false, true});
    return ways;
  }();
  return kWays;
}

struct Readers::Caller {
  // Of the call under way:
  const Way* way = nullptr;  ///< Null: it writes.
  const Method* method = nullptr;
  size_t key = 0;
  size_t replica = 0;
  Mode mode = Mode::kBounded;
  int64_t least = 0;
  std::shared_ptr<grpc::GenericStub> stub;
  std::optional<grpc::ClientContext> context;
  std::unique_ptr<grpc::ClientAsyncResponseReader<grpc::ByteBuffer>> reader;
  grpc::ByteBuffer response;
  grpc::Status status;

  /// Of all that it was told in its session, and what that was.
  uint64_t token = 0;
  std::array<int64_t, kRegisters> known{};

  size_t reg() const { return way == nullptr ? key : way->keyed ? way->first + key : way->first; }
};

Readers::Readers(const Options& options, Ledger* ledger) : options_(options), ledger_(ledger) {
  for (auto& stubs : stubs_) stubs.resize(1);
}

void Readers::Serve(size_t replica, const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  auto stub = std::make_shared<grpc::GenericStub>(
      grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
  bool all = true;
  {
    std::lock_guard lock(mutex_);
    stubs_[replica][0] = std::move(stub);
    for (const auto& stubs : stubs_) all = all && stubs[0] != nullptr;
  }
  if (all && !thread_.joinable()) thread_ = std::thread([this] { Run(); });
}

std::shared_ptr<grpc::GenericStub> Readers::StubOf(size_t replica) {
  std::lock_guard lock(mutex_);
  return stubs_[replica][0];
}

void Readers::Stop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
}

Findings Readers::findings() const {
  std::lock_guard lock(mutex_);
  return findings_;
}

size_t Readers::DrawKey() {
  // Half of the reads are of an eighth of the keys, so that an answer is found again before the
  // next write, which may be of any.
  const double share = std::uniform_real_distribution<double>(0, 1)(random_);
  return static_cast<size_t>(kKeys * share * share * share);
}

void Readers::Run() {
  std::vector<Caller> callers(static_cast<size_t>(options_.count));
  for (Caller& caller : callers) Begin(caller);
  size_t under_way = callers.size();
  void* tag = nullptr;
  bool ok = false;
  while (under_way > 0 && queue_.Next(&tag, &ok)) {
    Caller& caller = *static_cast<Caller*>(tag);
    End(caller);
    if (stopping_) {
      --under_way;
    } else {
      Begin(caller);
    }
  }
}

void Readers::Begin(Caller& caller) {
  const auto& ways = Ways();
  const bool writes = Draw(1000) < static_cast<size_t>(options_.writes_of_1000);
  // Often once more what it has just seen or written, maybe elsewhere: it may not go back.
  if (writes || Draw(2) == 0) {
    caller.way = writes ? nullptr : &ways[Draw(ways.size())];
    caller.key = DrawKey();
  } else if (caller.way == nullptr) {
    caller.way = &ways[Draw(ways.size() - kWaysOfOthers)];
  }
  caller.method = writes ? &Writing()[Draw(Writing().size())] : &caller.way->method;
  caller.replica = Draw(kReplicas);
  caller.mode = static_cast<Mode>(Draw(3));
  caller.stub = StubOf(caller.replica);
  caller.reader.reset();
  caller.context.emplace();
  caller.context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  std::string freshness = NameOf(caller.mode);
  if (caller.mode == Mode::kSession) {
    freshness = caller.token == 0 ? "bounded" : absl::StrCat("session=", absl::Hex(caller.token));
  }
  caller.context->AddMetadata("x-freshness", freshness);
  const size_t reg = caller.reg();
  if (writes) ledger_->Begin(reg);
  // Before the call, and so before it is received.
  caller.least = std::max(ledger_->KnownBefore(reg, options_.bound),
                          ledger_->KnownThrough(reg, caller.replica));
  if (caller.mode == Mode::kStrict) {
    caller.least = std::max({caller.least, ledger_->Known(reg), strict_[reg]});
  }
  if (caller.mode == Mode::kSession) caller.least = std::max(caller.least, caller.known[reg]);
  const bool keyed = writes || caller.way->keyed;
  caller.reader = caller.stub->PrepareUnaryCall(
      &*caller.context, caller.method->path,
      caller.method->request(keyed ? static_cast<int64_t>(caller.key) : 0), &queue_);
  caller.reader->StartCall();
  caller.reader->Finish(&caller.response, &caller.status, &caller);
  if (Draw(1000) < static_cast<size_t>(options_.cancels_of_1000)) caller.context->TryCancel();
}

void Readers::End(Caller& caller) {
  const std::string how = TrailerOf(*caller.context, "x-cache");
  const auto version = caller.status.ok() ? caller.method->version(&caller.response) : std::nullopt;
  const bool ok = version.has_value();
  {
    std::lock_guard lock(mutex_);
    (ok ? caller.way == nullptr ? findings_.writes : findings_.reads : findings_.errors) += 1;
    findings_.hits += how == "hit";
    findings_.joins += how == "join";
  }
  // Nobody ever sees a register that is not there; but an update may wait for the row that another
  // takes away and makes anew, and then finds none.
  const bool none =
      caller.status.error_code() == grpc::StatusCode::NOT_FOUND || (caller.status.ok() && !version);
  if (none && caller.way != nullptr) Violated(caller, "finds nothing");
  if (ok) Check(caller, *version);
}

void Readers::Check(Caller& caller, int64_t version) {
  const size_t reg = caller.reg();
  if (caller.way != nullptr && caller.way->sum) {
    if (version != kAccounts * kMoney) Violated(caller, absl::StrCat("the sum is ", version));
    return;
  }
  if (version < caller.least) {
    Violated(caller, absl::StrCat("shows ", version, ", and must show ", caller.least));
  }
  if (const int64_t most = ledger_->Possible(reg); version > most) {
    Violated(caller, absl::StrCat("shows ", version, ", where ", most, " is the most"));
  }
  if (caller.way == nullptr) ledger_->Acknowledge(reg, version, caller.replica);
  if (caller.mode == Mode::kStrict) strict_[reg] = std::max(strict_[reg], version);
  // What came without a token is not promised to be seen by the next.
  uint64_t token = 0;
  if (absl::SimpleHexAtoi(TrailerOf(*caller.context, "x-freshness-token"), &token)) {
    caller.token = std::max(caller.token, token);
    caller.known[reg] = std::max(caller.known[reg], version);
  }
}

void Readers::Violated(const Caller& caller, const std::string& what) {
  std::lock_guard lock(mutex_);
  ++findings_.violations;
  if (findings_.first.size() >= kMostTold) return;
  findings_.first.push_back(absl::StrCat(caller.method->name(), " ", caller.key, " (",
                                         NameOf(caller.mode), ", replica ", caller.replica, ", ",
                                         TrailerOf(*caller.context, "x-cache"), ") ", what));
}

void Readers::CheckFinal() {
  for (size_t replica = 0; replica < kReplicas; ++replica) {
    for (const Way& way : Ways()) {
      for (size_t key = 0; key < (way.keyed ? kKeys : 1); ++key) {
        Caller caller;
        caller.way = &way;
        caller.method = &way.method;
        caller.key = key;
        caller.replica = replica;
        caller.context.emplace();
        grpc::CompletionQueue queue;
        caller.stub = StubOf(replica);
        caller.reader =
            caller.stub->PrepareUnaryCall(&*caller.context, way.method.path,
                                          way.method.request(static_cast<int64_t>(key)), &queue);
        caller.reader->StartCall();
        caller.reader->Finish(&caller.response, &caller.status, &caller);
        void* tag = nullptr;
        bool ok = false;
        queue.Next(&tag, &ok);
        caller.least = ledger_->Known(caller.reg());
        const auto version =
            caller.status.ok() ? way.method.version(&caller.response) : std::nullopt;
        if (!version) {
          Violated(caller, absl::StrCat("in the end: ", caller.status.error_message()));
          continue;
        }
        Check(caller, *version);
      }
    }
  }
}

}  // namespace twi::checker
