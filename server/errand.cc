#include "server/errand.h"

#include <utility>

#include "server/wait.h"
#include "sql/errors.h"

namespace twi::server {

using google::protobuf::Message;

std::shared_ptr<Errand> Errand::Begin(const Post& post, Body body) {
  auto errand = std::make_shared<Errand>();
  post([errand, body = std::move(body)] {
    absl::Status status = errand->stopped() ? sql::GaveUp() : body(*errand);
    errand->Change([&status](News& news) { news.status = std::move(status); });
  });
  return errand;
}

void Errand::Tell(std::unique_ptr<Message> message) {
  Change([&message](News& news) { news.messages.push_back(std::move(message)); });
}

void Errand::Change(const std::function<void(News&)>& change) {
  std::function<void()> heard;
  {
    std::lock_guard lock(mutex_);
    change(news_);
    heard = std::exchange(heard_, nullptr);
  }
  if (heard) heard();
}

void Errand::Listen(std::function<void()> heard) {
  {
    std::lock_guard lock(mutex_);
    if (news_.messages.empty() && !news_.status) {
      heard_ = std::move(heard);
      return;
    }
  }
  heard();
}

Errand::News Errand::Take() {
  std::lock_guard lock(mutex_);
  return std::exchange(news_, {});
}

Task<absl::Status> Errand::Run(Stream stream, Post post, Body body) {
  const std::shared_ptr<Errand> errand = Begin(post, std::move(body));
  for (;;) {
    Wait news_there(stream.call(),
                    [&errand](Wait::Done heard) { errand->Listen(std::move(heard)); });
    co_await news_there;
    News news = errand->Take();
    for (const auto& message : news.messages) {
      Task<bool> writing = stream.Write(*message);
      const bool written = co_await writing;
      if (!written) break;
    }
    if (news.status) co_return *std::move(news.status);
    if (stream.call().cancelled()) break;
  }
  errand->stopped_ = true;
  co_return sql::GaveUp();
}

Task<absl::Status> Errand::Run(Call& call, Post post, Body body, Message* response) {
  const std::shared_ptr<Errand> errand = Begin(post, std::move(body));
  for (;;) {
    Wait news_there(call, [&errand](Wait::Done heard) { errand->Listen(std::move(heard)); });
    co_await news_there;
    News news = errand->Take();
    for (const auto& message : news.messages) response->MergeFrom(*message);
    if (news.status) co_return *std::move(news.status);
    if (call.cancelled()) break;
  }
  errand->stopped_ = true;
  co_return sql::GaveUp();
}

}  // namespace twi::server
