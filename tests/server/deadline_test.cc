// What becomes of a call whose deadline passes: in the queue, in flight, and after its answer.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/service.h"
#include "server/wire.h"
#include "tests/support/work.h"

namespace twi::server {
namespace {

using std::chrono::milliseconds;
using testing::WorkTest;
using twi::test::v1::SleepRequest;

class DeadlineTest : public WorkTest {
 protected:
  // On a busy machine, too, everything travels in the lanes. It connects, which may take longer
  // than a deadline: such a call never comes to the server.
  DeadlineTest() : WorkTest({}, {}, {.slow = absl::InfiniteDuration()}) {
    EXPECT_EQ(Call("Get", Row(1)).error_code(), grpc::StatusCode::NOT_FOUND);
  }
};

TEST_F(DeadlineTest, APassedDeadlineInTheQueueIsNotSentToTheDatabase) {
  auto hold = Begin("Hold", Row(1));
  UntilHeld(1);
  // The call has ended here, too, and not only for its client, while the lane is still held. On a
  // busy machine one may never come here, or its client give it up too early.
  Until([&] {
    EXPECT_EQ(Call("Add", Write(2), milliseconds(100)).error_code(),
              grpc::StatusCode::DEADLINE_EXCEEDED);
    return Ended("Add", "DeadlineExceeded") > 0;
  });
  Until([&] { return InFlight("Add") == 0; });
  EXPECT_EQ(InFlight("Hold"), 1);
  Open(1);
  EXPECT_TRUE(hold.get().ok());
  EXPECT_TRUE(Call("Add", Write(3)).ok());
  EXPECT_EQ(server_.database().Value("select string_agg(id::text, ' ' order by id) from work"),
            "1 3");
  EXPECT_EQ(Statements("Add"), 1);
}

TEST_F(DeadlineTest, APassedDeadlineInFlightIsAnsweredWhileTheBatchGoesOn) {
  server_.database().Run("insert into work values (7, 70)");
  // What comes while the lane is held is the next batch.
  auto first = Begin("Wait", Row(1));
  UntilHeld(1);
  std::vector<std::future<grpc::Status>> neighbours;
  for (int i = 0; i < 3; ++i) neighbours.push_back(Begin("Get", Row(7)));
  auto late = Begin("Pass", Row(2), milliseconds(4000));
  for (int i = 0; i < 3; ++i) neighbours.push_back(Begin("Get", Row(7)));
  Until([&] { return InFlight("Get") == 6 && InFlight("Pass") == 1; });
  Open(1);
  EXPECT_TRUE(first.get().ok());
  UntilHeld(2);

  EXPECT_EQ(late.get().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  Until([&] { return InFlight("Pass") == 0; });
  EXPECT_EQ(InFlight("Get"), 6) << "they are in the batch that goes on";
  Open(2);
  for (auto& neighbour : neighbours) EXPECT_TRUE(neighbour.get().ok());
  // The statement went through, and nobody was there to hear of it.
  Until([&] { return Statements("Pass") == 1; });
}

TEST_F(WorkTest, AStatementHoldsUpNobodyUntilItsDeadline) {
  server_.database().Run("insert into work values (7, 70)");
  // Nobody ever opens this gate. What waits behind it gets its answer all the same.
  auto stuck = Begin("Pass", Row(1), milliseconds(4000));
  UntilHeld(1);
  EXPECT_TRUE(Call("Get", Row(7)).ok());
  EXPECT_EQ(InFlight("Pass"), 1);
  EXPECT_EQ(stuck.get().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

/// Answers OK, late.
class LateService : public Service {
 public:
  const google::protobuf::ServiceDescriptor* descriptor() const override {
    return SleepRequest::descriptor()->file()->FindServiceByName("HandwrittenService");
  }
  Task<absl::Status> Answer(Call&, const google::protobuf::Message& request,
                            google::protobuf::Message*) override {
    const double seconds = static_cast<const SleepRequest&>(request).seconds();
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    co_return absl::OkStatus();
  }
};

/// Made before the server, whose threads use it.
struct HasLateService {
  LateService late;
};

class DefaultDeadlineTest : private HasLateService, public WorkTest {
 protected:
  DefaultDeadlineTest() : WorkTest({.default_deadline = milliseconds(100)}, {&late}) {}

  /// A call without a deadline.
  grpc::Status CallWithout(const std::string& path, const google::protobuf::Message& request) {
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    const auto call = server_.stub().PrepareUnaryCall(&context, path,
                                                      Buffer(request.SerializeAsString()), &queue);
    grpc::ByteBuffer response;
    grpc::Status status;
    call->StartCall();
    call->Finish(&response, &status, nullptr);
    void* tag;
    bool ok;
    queue.Next(&tag, &ok);
    return status;
  }
};

TEST_F(DefaultDeadlineTest, AnAnswerThatCameTooLateIsNotOk) {
  SleepRequest request;
  request.set_seconds(0.2);
  const std::string path = "/twi.test.v1.HandwrittenService/Answer";
  const grpc::Status status = CallWithout(path, request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(testing::DetailsOf(status).info.reason(), "DEADLINE_EXCEEDED");
  EXPECT_EQ(Metric("twi_data_deadline_overrun_seconds_count"), 1);
  EXPECT_GE(Metric("twi_data_deadline_overrun_seconds_sum"), 0.1);
}

TEST_F(DefaultDeadlineTest, ACallWithoutADeadlineHasTheDefault) {
  // Nobody opens the gate.
  EXPECT_EQ(CallWithout(Path("Pass"), Row(1)).error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST(DefaultDeadline, IsThreeHundredSeconds) {
  EXPECT_EQ(Pipeline::Options().default_deadline, std::chrono::seconds(300));
}

}  // namespace
}  // namespace twi::server
