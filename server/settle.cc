#include "server/settle.h"

#include <string>
#include <utility>

#include "server/wait.h"

namespace twi::server {

void AddToken(Call& call, const Caching& caching) {
  const std::string token = caching.Token();
  if (call.metadata(kFreshness) && !token.empty()) call.AddTrailer("x-freshness-token", token);
}

Task<absl::Status> Settle(Call& call, Caching& caching, std::optional<uint64_t> transaction,
                          absl::Status status) {
  // A token stands for what is current.
  if (call.metadata(kFreshness)) transaction.reset();
  Wait current(call, [&caching, transaction](Wait::Done done) {
    caching.AwaitCurrent(sql::BootClock::now(), std::move(done), transaction);
  });
  co_await current;
  AddToken(call, caching);
  co_return status;
}

}  // namespace twi::server
