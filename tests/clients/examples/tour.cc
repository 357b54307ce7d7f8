// The common tasks in C++, with grpc++. usage: tour HOST:PORT
#include <google/protobuf/util/time_util.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "twi/data/v1/gallery_mementos.grpc.pb.h"
#include "twi/data/v1/links.grpc.pb.h"
#include "twi/data/v1/messages.grpc.pb.h"
#include "twi/data/v1/quotes.grpc.pb.h"

namespace {

using google::protobuf::util::TimeUtil;
using std::chrono::milliseconds;
using std::chrono::seconds;
using namespace twi::data::v1;  // NOLINT(google-build-using-namespace): an example's names are
                                // short

// A call's context; it is given up after that time. One is good for one call.
std::unique_ptr<grpc::ClientContext> Within(milliseconds time) {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + time);
  return context;
}

// What the server says of an error: BadRequest, ErrorInfo or RetryInfo, if it says that.
template <typename Detail>
std::optional<Detail> DetailOf(const grpc::Status& error) {
  google::rpc::Status status;
  status.ParseFromString(error.error_details());
  Detail found;
  for (const auto& detail : status.details()) {
    if (detail.UnpackTo(&found)) return found;
  }
  return std::nullopt;
}

void Check(const grpc::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.error_message());
}

// Adds a quote, also when the database is away for a moment. gRPC does not try again by itself what
// may be done only once; the server's RetryInfo says that nothing was done, and when to.
Quote Create(QuotesService::Stub& stub, const std::string& text) {
  CreateQuoteRequest request;
  request.set_quote(text);
  for (;;) {
    CreateQuoteResponse answer;
    const grpc::Status status = stub.CreateQuote(Within(seconds(5)).get(), request, &answer);
    if (status.ok()) return answer.quote();
    const auto retry = DetailOf<google::rpc::RetryInfo>(status);
    if (!retry) Check(status);
    std::this_thread::sleep_for(
        milliseconds(TimeUtil::DurationToMilliseconds(retry->retry_delay())));
  }
}

void Get(QuotesService::Stub& stub, int64_t serial_id) {
  GetQuoteRequest request;
  request.set_serial_id(serial_id);
  GetQuoteResponse answer;
  // When the server is being replaced, gRPC tries this again by itself, as the service config says.
  Check(stub.GetQuote(Within(seconds(10)).get(), request, &answer));
  std::cout << "get: " << answer.quote().quote() << '\n';
}

void Pages(QuotesService::Stub& stub) {
  ListQuotesRequest request;
  request.set_page_size(2);
  int found = 0;
  int count = 0;
  do {
    ListQuotesResponse page;
    Check(stub.ListQuotes(Within(seconds(10)).get(), request, &page));
    found += page.quotes_size();
    ++count;
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  std::cout << "list: " << found << " quotes on " << count << " pages\n";
}

void Update(LinksService::Stub& stub) {
  CreateLinkRequest link;
  link.set_title("Tour");
  link.set_content("https://a.example/");
  link.set_tag("new");
  CreateLinkResponse created;
  Check(stub.CreateLink(Within(seconds(5)).get(), link, &created));

  // Without a mask what is set is changed, and the rest left alone.
  UpdateLinkRequest content;
  content.set_title("tour");
  content.set_content("https://b.example/");
  UpdateLinkResponse answer;
  Check(stub.UpdateLink(Within(seconds(5)).get(), content, &answer));
  std::cout << "update: " << answer.link().content() << ' ' << answer.link().tag() << '\n';

  // A mask says what is changed; what it names and the request does not set is cleared.
  UpdateLinkRequest tag;
  tag.set_title("tour");
  tag.mutable_update_mask()->add_paths("tag");
  Check(stub.UpdateLink(Within(seconds(5)).get(), tag, &answer));
  std::cout << "update: " << answer.link().content()
            << (answer.link().has_tag() ? " with" : " without") << " a tag\n";

  DeleteLinkRequest end;
  end.set_title("tour");
  DeleteLinkResponse deleted;
  Check(stub.DeleteLink(Within(seconds(5)).get(), end, &deleted));
}

void StreamIn(MessagesService::Stub& stub) {
  ImportMessagesResponse answer;
  // Who is not sure that all have arrived sends them again.
  for (int time = 0; time < 2; ++time) {
    const auto context = Within(seconds(60));
    const auto writer = stub.ImportMessages(context.get(), &answer);
    int number = 0;
    for (const std::string text : {"One.", "Two.", "Three."}) {
      ImportMessagesRequest request;
      Message& message = *request.mutable_message();
      message.set_message_id(++number);
      message.set_server_id(1);
      message.set_server_name("Inn");
      message.set_channel_id(2);
      message.set_user_id(3);
      message.set_user_name("erin");
      message.set_content(text);
      TimeUtil::FromString("2026-11-26T12:0" + std::to_string(number) + ":00Z",
                           message.mutable_created_at());
      // False when the server has refused something: Finish says what.
      if (!writer->Write(request)) break;
    }
    writer->WritesDone();
    Check(writer->Finish());
  }
  std::cout << "stream in: " << answer.created() + answer.existing() << " messages are there\n";
}

void StreamOut(MessagesService::Stub& stub) {
  StreamMessagesRequest request;
  request.set_channel_id(2);
  const auto context = Within(seconds(60));
  const auto reader = stub.StreamMessages(context.get(), request);
  std::cout << "stream out:";
  StreamMessagesResponse portion;
  while (reader->Read(&portion)) {
    for (const Message& message : portion.messages()) std::cout << ' ' << message.content();
  }
  Check(reader->Finish());
  std::cout << '\n';
}

void Refused(QuotesService::Stub& stub) {
  CreateQuoteRequest wrong;
  wrong.set_quote("a");
  wrong.set_author_id(-1);
  CreateQuoteResponse created;
  grpc::Status status = stub.CreateQuote(Within(seconds(5)).get(), wrong, &created);
  if (status.error_code() == grpc::StatusCode::INVALID_ARGUMENT) {
    std::cout << "refused: INVALID_ARGUMENT";
    const auto found = DetailOf<google::rpc::BadRequest>(status).value();
    for (const auto& violation : found.field_violations()) std::cout << ' ' << violation.field();
    std::cout << '\n';
  }

  GetQuoteRequest missing;
  missing.set_serial_id(int64_t{1} << 40);
  GetQuoteResponse read;
  status = stub.GetQuote(Within(seconds(5)).get(), missing, &read);
  if (status.error_code() == grpc::StatusCode::NOT_FOUND) {
    const auto info = DetailOf<google::rpc::ErrorInfo>(status).value();
    std::cout << "refused: NOT_FOUND " << info.reason() << '\n';
  }
}

void Deadline(GalleryMementosService::Stub& stub) {
  ListGalleryMementosResponse answer;
  // A table that others have locked would keep us waiting.
  const grpc::Status status =
      stub.ListGalleryMementos(Within(milliseconds(500)).get(), {}, &answer);
  const bool late = status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
  std::cout << (late ? "late: DEADLINE_EXCEEDED" : "in time") << '\n';
}

void Tour(const std::string& target) {
  std::ifstream file(TWI_SERVICE_CONFIG);
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(std::string(std::istreambuf_iterator(file), {}));
  const auto channel =
      grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
  const auto quotes = QuotesService::NewStub(channel);
  const auto messages = MessagesService::NewStub(channel);

  std::vector<Quote> made;
  for (const char* text : {"Sing to me.", "No killing.", "Goblins."}) {
    made.push_back(Create(*quotes, text));
  }
  Get(*quotes, made[0].serial_id());
  Pages(*quotes);
  Update(*LinksService::NewStub(channel));
  StreamIn(*messages);
  StreamOut(*messages);
  Refused(*quotes);
  Deadline(*GalleryMementosService::NewStub(channel));
  for (const Quote& quote : made) {
    DeleteQuoteRequest request;
    request.set_serial_id(quote.serial_id());
    DeleteQuoteResponse deleted;
    Check(quotes->DeleteQuote(Within(seconds(5)).get(), request, &deleted));
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::cerr << "usage: tour HOST:PORT\n";
    return 64;
  }
  try {
    Tour(arguments[1]);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
