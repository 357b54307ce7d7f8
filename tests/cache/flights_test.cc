#include "cache/flights.h"

#include <gtest/gtest.h>

namespace twi::cache {
namespace {

using Role = Flights::Role;

TEST(FlightsTest, OneLeadsAndTheOthersWaitForItsEnd) {
  Flights flights;
  int woken = 0;
  const auto wake = [&] { ++woken; };
  const Key key{&flights, "a"};
  EXPECT_EQ(flights.Join(key, wake), Role::kLeads);
  EXPECT_EQ(flights.Join(key, wake), Role::kWaits);
  EXPECT_EQ(flights.Join(key, wake), Role::kWaits);
  EXPECT_EQ(flights.Join({&flights, "b"}, wake), Role::kLeads);
  EXPECT_EQ(woken, 0);
  flights.End(key);
  EXPECT_EQ(woken, 2);
  EXPECT_EQ(flights.Join(key, wake), Role::kLeads);
}

TEST(FlightsTest, WhoIsWokenMayFlyAgain) {
  Flights flights;
  const Key key{&flights, "a"};
  Role again = Role::kAlone;
  EXPECT_EQ(flights.Join(key, [] {}), Role::kLeads);
  EXPECT_EQ(flights.Join(key, [&] { again = flights.Join(key, [] {}); }), Role::kWaits);
  flights.End(key);
  EXPECT_EQ(again, Role::kLeads);
}

TEST(FlightsTest, NotTooManyWait) {
  Flights flights;
  const Key key{&flights, "a"};
  int waits = 0;
  EXPECT_EQ(flights.Join(key, [] {}), Role::kLeads);
  while (flights.Join(key, [] {}) == Role::kWaits) ++waits;
  EXPECT_EQ(waits, 1000);
}

TEST(FlightsTest, TheRequestIsTheFlightsOwn) {
  Flights flights;
  std::string request = "a long request, which no small string holds in itself";
  EXPECT_EQ(flights.Join({&flights, request}, [] {}), Role::kLeads);
  const std::string same = request;
  request.assign(request.size(), 'x');
  EXPECT_EQ(flights.Join({&flights, same}, [] {}), Role::kWaits);
}

}  // namespace
}  // namespace twi::cache
