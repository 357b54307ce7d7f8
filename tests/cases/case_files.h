#pragma once

#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "proto/descriptor_names.h"
#include "twi/test/v1/case.pb.h"

namespace twi::testing {

/// The cases of a folder, by the stems of their files.
inline std::vector<std::pair<std::string, test::v1::Cases>> ReadCases(const std::string& folder) {
  std::vector<std::pair<std::string, test::v1::Cases>> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".textproto") continue;
    std::ostringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    test::v1::Cases cases;
    if (!google::protobuf::TextFormat::ParseFromString(text.str(), &cases)) {
      std::cerr << entry.path() << " is not a Cases message" << std::endl;
      std::exit(1);
    }
    files.emplace_back(entry.path().stem().string(), std::move(cases));
  }
  return files;
}

/// Null when no such type is linked.
inline std::unique_ptr<google::protobuf::Message> Unpack(const google::protobuf::Any& any) {
  const std::string name = any.type_url().substr(any.type_url().rfind('/') + 1);
  const auto* type =
      google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(name);
  if (type == nullptr) return nullptr;
  std::unique_ptr<google::protobuf::Message> message(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
  message->ParseFromString(any.value());
  return message;
}

/// `QuotesService/GetQuote` as a call names it.
inline std::string PathOf(const google::protobuf::MethodDescriptor& method) {
  return "/" + method.service()->full_name() + "/" + method.name();
}

}  // namespace twi::testing
