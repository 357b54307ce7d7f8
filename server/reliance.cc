#include "server/reliance.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace twi::server {
namespace {

// A hit looks at each of them.
constexpr size_t kMostTags = 8;

}  // namespace

std::vector<Reliance> Reliances(const sql::Dependencies& dependencies, PlaceholderText text) {
  std::vector<Reliance> all;
  std::vector<Reliance> tables;
  for (const sql::TableDependency& table : dependencies.tables) {
    tables.push_back({&table, "", ""});
    std::vector<Reliance> keys;
    for (const sql::TableDependency::Key& key : table.keys) {
      auto value = text(key.parameter, key.number);
      if (!value) break;
      keys.push_back({&table, key.column, *std::move(value)});
    }
    const bool whole = keys.empty() || keys.size() < table.keys.size();
    if (whole) keys = {tables.back()};
    all.insert(all.end(), keys.begin(), keys.end());
  }
  return TagsOf(all).size() > kMostTags ? tables : all;
}

std::vector<cache::Tag> TagsOf(const std::vector<Reliance>& reliances) {
  std::vector<cache::Tag> tags;
  for (const auto& [table, column, value] : reliances) {
    if (column.empty()) {
      tags.push_back(cache::TableTag(table->table));
    } else {
      tags.push_back(cache::KeyTag(sql::HashKey(table->table, column, value)));
      tags.push_back(cache::RestTag(table->table));
    }
  }
  std::ranges::sort(tags);
  tags.erase(std::unique(tags.begin(), tags.end()), tags.end());
  return tags;
}

}  // namespace twi::server
