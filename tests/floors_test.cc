// The floors of the house: what each folder may include.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace {

/// The folders of ours that a folder's files may include from.
const std::map<std::string, std::set<std::string>> kBelow = {
    {"proto", {"proto"}},
    {"sql", {"sql"}},
    {"cache", {"cache", "sql"}},
    {"repositories", {"repositories", "sql", "proto"}},
    {"server", {"server", "repositories", "cache", "sql", "proto"}},
};

/// Where libraries may be seen, by the beginning of what is included.
const std::vector<std::pair<std::string, std::set<std::string>>> kLibraries = {
    {"grpc/", {"server"}},    {"grpcpp/", {"server"}},     {"httplib.h", {"server"}},
    {"openssl/", {"server"}}, {"prometheus/", {"server"}}, {"libpq-fe.h", {"sql"}},
    {"pqxx/", {"sql"}},       {"pg_query.h", {"sql"}},     {"asio", {"sql", "server"}},
};

struct Include {
  std::string file;
  std::string folder;
  std::string included;
};

std::vector<Include> Includes() {
  const std::filesystem::path root = TWI_SOURCE_FOLDER;
  std::vector<Include> includes;
  for (const auto& [folder, below] : kBelow) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / folder)) {
      if (entry.path().extension() != ".cc" && entry.path().extension() != ".h") continue;
      std::ifstream in(entry.path());
      std::string text;
      while (std::getline(in, text)) {
        if (!text.starts_with("#include ")) continue;
        const size_t begin = text.find_first_of("\"<") + 1;
        includes.push_back({entry.path().lexically_relative(root), folder,
                            text.substr(begin, text.find_last_of("\">") - begin)});
      }
    }
  }
  return includes;
}

TEST(Floors, OurIncludesGoDownOnly) {
  int ours = 0;
  for (const Include& include : Includes()) {
    const std::string from = include.included.substr(0, include.included.find('/'));
    if (!kBelow.contains(from)) continue;
    ++ours;
    EXPECT_TRUE(kBelow.at(include.folder).contains(from))
        << include.file << " includes " << include.included;
  }
  EXPECT_GT(ours, 100) << "the files were not found";
}

TEST(Floors, LibrariesStayOnTheirFloor) {
  for (const Include& include : Includes()) {
    // Generated from protos of others: messages, not gRPC.
    if (include.included.ends_with(".pb.h")) continue;
    for (const auto& [library, floors] : kLibraries) {
      if (!include.included.starts_with(library)) continue;
      EXPECT_TRUE(floors.contains(include.folder))
          << include.file << " includes " << include.included;
    }
  }
}

}  // namespace
