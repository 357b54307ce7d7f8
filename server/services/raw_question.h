#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "server/reading.h"
#include "server/services/raw_session.h"
#include "sql/parameters.h"
#include "sql/raw_text.h"

namespace twi::server {

/// What the parameters of a query are to the cache.
struct RawParameters {
  /// `shape` is what else makes answers to one text differ.
  RawParameters(std::string_view shape, const RawSession::Values& values);

  std::string bytes;  ///< Equal where shape and values are.
  sql::Parameters bound;
  /// Why answers with them are not kept; "" when they are.
  std::string refusal;
};

/// What a caller's own read asks.
class RawQuestion final : private RawParameters, public Question {
 public:
  /// `text` outlives this. `shape` as RawParameters.
  RawQuestion(const sql::RawText& text, std::string_view shape, const RawSession::Values& values,
              bool may_join);

  /// Why no answer to it is kept, whatever it depends on; "" when one may be.
  std::string Refusal() const;

  bool may_join() const override { return may_join_; }
  std::optional<std::string> TextOf(int placeholder, bool number) const override;

 private:
  const sql::RawText& text_;
  const bool may_join_;
};

}  // namespace twi::server
