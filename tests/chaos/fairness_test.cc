// One principal of four calls more often than the database can serve. Ten times as often, and with
// what depends on how quiet the machine is: TWI_TEST_SECONDS=10.

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/access.h"
#include "server/log.h"
#include "tests/support/work.h"

namespace twi::server {
namespace {

using nlohmann::json;
using twi::test::v1::SleepRequest;

// What a call holds its session for: many calls are served at once, and none needs much of the
// machine, which callers, server and database share.
constexpr double kHolds = 0.02;
constexpr std::array<const char*, 4> kNames = {"flood", "one", "two", "three"};

const google::protobuf::ServiceDescriptor* WorkService() {
  return SleepRequest::descriptor()->file()->FindServiceByName("WorkService");
}

std::string AccessText() {
  std::string text;
  for (const char* name : kNames) {
    absl::StrAppend(&text, "principal { name: '", name, "' allow: '*' }\ntoken { principal: '",
                    name, "' sha256: '", Digest::Of(name).ToString(), "' }\n");
  }
  return text;
}

/// A server that does nothing for a call. It ends with us.
class EmptyServer {
 public:
  EmptyServer() : output_(popen("exec " TWI_EMPTY_SERVER, "re")) {
    int port = 0;
    if (std::fscanf(output_, "ready %d", &port) != 1) std::abort();
    address_ = absl::StrCat("127.0.0.1:", port);
  }

  const std::string& address() const { return address_; }

 private:
  FILE* const output_;
  std::string address_;
};

class FairnessTest : public ::testing::Test {
 protected:
  FairnessTest() {
    ProcessLog().set_level(LogLevel::kError);
    EXPECT_TRUE(access_.Load(AccessText()).ok());
  }

  struct Callers {
    std::string name;
    double rate;
    std::string address = {};  ///< Of the server that they call; "": ours.
  };

  /// Callers of some principals at once; what each was told.
  std::vector<json> Run(const std::vector<Callers>& callers) {
    SleepRequest request;
    request.set_seconds(kHolds);
    std::vector<FILE*> told;
    for (const auto& [name, rate, address] : callers) {
      const std::string command =
          absl::StrJoin({std::string(TWI_PRINCIPAL_CALLERS),
                         address.empty() ? server_.server().address() : address, name,
                         std::string("/twi.test.v1.WorkService/Sleep"),
                         absl::BytesToHexString(request.SerializeAsString()), std::to_string(rate),
                         std::to_string(seconds_)},
                        " ");
      told.push_back(popen(command.c_str(), "re"));
    }
    std::vector<json> results;
    for (FILE* const output : told) {
      std::string text;
      std::array<char, 1000> part{};
      while (std::fgets(part.data(), part.size(), output) != nullptr) text += part.data();
      EXPECT_EQ(pclose(output), 0);
      std::cout << "  " << callers[results.size()].name << " at " << callers[results.size()].rate
                << "/s: " << text;
      results.push_back(json::parse(text));
    }
    return results;
  }

  static double Served(const std::vector<json>& results) {
    double calls = 0;
    for (const json& result : results) calls += result["ok"]["calls"].get<double>();
    return calls;
  }

  const char* const asked_ = std::getenv("TWI_TEST_SECONDS");
  const double seconds_ = asked_ == nullptr ? 2 : std::atof(asked_);
  Access access_{{WorkService()}};
  testing::RunningServer server_{testing::kWorkTables,
                                 {{"work.sql", testing::kWorkStanzas}},
                                 {WorkService()},
                                 {},
                                 {},
                                 {},
                                 /*caching=*/false,
                                 sql::ChangesFrom::kStream,
                                 &access_};
};

TEST_F(FairnessTest, AFloodIsTheFloodersOwn) {
  // More than the database can serve, so that what it has served by the end is what it can.
  const auto full = Run({{"flood", 2000}});
  const double most = Served(full) / full[0]["seconds"].get<double>();
  const double each = 0.1 * most;
  const double flood = (asked_ == nullptr ? 3 : 10) * most;
  const auto alone = Run({{"one", each}, {"two", each}, {"three", each}});
  const auto flooded = Run({{"one", each}, {"two", each}, {"three", each}, {"flood", flood}});
  for (size_t i = 0; i < alone.size(); ++i) {
    EXPECT_EQ(flooded[i]["refused"]["calls"], 0) << kNames[i + 1];
    EXPECT_EQ(flooded[i]["other"]["calls"], 0) << kNames[i + 1];
  }
  EXPECT_GT(flooded[3]["refused"]["calls"], 0);
  const double served = Served(flooded) / flooded[3]["seconds"].get<double>();
  EXPECT_EQ(flooded[3]["other"]["calls"], 0);
  std::cout << "capacity " << most << "/s, under the flood " << served << std::endl;
  if (asked_ == nullptr) return;
  EXPECT_GE(served, 0.9 * most);
  // The same calls, and as many for the database, but what is too much does not come to us.
  const EmptyServer empty;
  const auto beside = Run({{"one", each},
                           {"two", each},
                           {"three", each},
                           {"flood", 0.7 * most},
                           {"flood", flood - 0.7 * most, empty.address()}});
  std::cout << "refused in " << flooded[3]["refused"]["p99_us"]
            << " us, an empty handler answers in " << beside[4]["ok"]["p99_us"] << " us"
            << std::endl;
  EXPECT_LE(flooded[3]["refused"]["p99_us"], 2 * beside[4]["ok"]["p99_us"].get<double>());
  for (size_t i = 0; i < alone.size(); ++i) {
    EXPECT_LE(flooded[i]["ok"]["p50_us"], 2 * alone[i]["ok"]["p50_us"].get<double>());
    EXPECT_LE(flooded[i]["ok"]["p99_us"], 2 * alone[i]["ok"]["p99_us"].get<double>());
  }
}

}  // namespace
}  // namespace twi::server
