#include "sql/parser.h"

#include <pg_query.h>

#include <algorithm>
#include <cstdint>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "sql/errors.h"
#include "sql/text.h"

namespace twi::sql {
namespace {

absl::Status NotSql(std::string_view why) {
  return Error(absl::StatusCode::kInvalidArgument, "INTERNAL",
               absl::StrCat("not SQL: ", ToAbsl(why)));
}

/// Has a function of libpg_query read the text, and gives what `answer` makes of its result.
template <auto kRead, auto kFree, typename Answer>
auto Read(std::string_view text, Answer answer) -> absl::StatusOr<decltype(answer(kRead("")))> {
  // The library would end there and never see the rest.
  if (text.find('\0') != text.npos) return NotSql("it holds a zero byte");
  const auto result = kRead(std::string(text).c_str());
  const absl::Cleanup free = [&] { kFree(result); };
  if (result.error != nullptr) {
    return NotSql(
        absl::StrCat(result.error->message, " (character ", result.error->cursorpos, ")"));
  }
  return answer(result);
}

absl::Status CheckLength(std::string_view text) {
  if (text.size() <= kMaxParsed) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, "INTERNAL",
               absl::StrCat("SQL of ", text.size(), " bytes is not parsed: at most ", kMaxParsed));
}

/// Takes a varint of protobuf's wire format from the front.
uint64_t TakeVarint(std::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) break;
  }
  return value;
}

// The scanner answers with messages of libpg_query's pg_query.proto, and this floor does without
// protobuf. A field's key is its number * 8, + 2 where bytes follow.

Token TakeToken(std::string_view bytes) {
  Token token;
  while (!bytes.empty()) {
    const uint64_t key = TakeVarint(bytes);
    const uint64_t value = TakeVarint(bytes);
    if (key == 1 * 8) token.begin = value;
    if (key == 2 * 8) token.end = value;
    if (key == 4 * 8) token.kind = static_cast<int>(value);
    if (key == 5 * 8) token.keyword = value != 0;
  }
  return token;
}

std::vector<Token> TakeTokens(std::string_view bytes) {
  std::vector<Token> tokens;
  while (!bytes.empty()) {
    const uint64_t key = TakeVarint(bytes);
    const uint64_t value = TakeVarint(bytes);
    if (key != 2 * 8 + 2) continue;
    tokens.push_back(TakeToken(bytes.substr(0, value)));
    bytes.remove_prefix(std::min<size_t>(value, bytes.size()));
  }
  return tokens;
}

}  // namespace

absl::StatusOr<std::vector<Token>> Scan(std::string_view text) {
  return Read<pg_query_scan, pg_query_free_scan_result>(text, [](const PgQueryScanResult& result) {
    return TakeTokens({result.pbuf.data, result.pbuf.len});
  });
}

absl::StatusOr<std::vector<std::string_view>> Split(std::string_view text) {
  const auto parts_of = [text](const PgQuerySplitResult& result) {
    std::vector<std::string_view> parts;
    for (int i = 0; i < result.n_stmts; ++i) {
      parts.push_back(text.substr(static_cast<size_t>(result.stmts[i]->stmt_location),
                                  static_cast<size_t>(result.stmts[i]->stmt_len)));
    }
    return parts;
  };
  if (text.size() <= kMaxParsed) {
    auto parts = Read<pg_query_split_with_parser, pg_query_free_split_result>(text, parts_of);
    if (parts.ok()) return parts;
  }
  return Read<pg_query_split_with_scanner, pg_query_free_split_result>(text, parts_of);
}

absl::StatusOr<std::string> ParseTree(std::string_view text) {
  if (absl::Status status = CheckLength(text); !status.ok()) return status;
  return Read<pg_query_parse, pg_query_free_parse_result>(
      text, [](const PgQueryParseResult& result) { return std::string(result.parse_tree); });
}

absl::StatusOr<std::string> Fingerprint(std::string_view text) {
  if (absl::Status status = CheckLength(text); !status.ok()) return status;
  return Read<pg_query_fingerprint, pg_query_free_fingerprint_result>(
      text,
      [](const PgQueryFingerprintResult& result) { return std::string(result.fingerprint_str); });
}

}  // namespace twi::sql
