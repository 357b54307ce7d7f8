#include "proto/descriptor_names.h"

#include <set>

#include "google/protobuf/descriptor.pb.h"
#include "proto/descriptor_set.h"

namespace twi {
namespace {

// Services whole, and methods of those that have operations, too.
const std::set<std::string> kByHand = {
    "AdminService/ApplyOptimizations",
    "AdminService/GetMigrationStatus",
    "AdminService/GetPool",
    "AdminService/GetServerInfo",
    "AdminService/ListSlowQueries",
    "AdminService/MaintainIndexes",
    "AdminService/RefreshMaterializedViews",
    "AdminService/ResetSlowQueries",
    "AdminService/ValidateConnections",
    "CacheService",
    "DatabaseService",
};

using Services = std::vector<const google::protobuf::ServiceDescriptor*>;

// The set has every comment, so that it takes 10 ms to parse.
Services FindAllServices() {
  google::protobuf::FileDescriptorSet set;
  const std::string_view bytes = DescriptorSet();
  set.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  Services services;
  for (const auto& file : set.file()) {
    if (file.package() != "twi.data.v1") continue;
    const auto* descriptor =
        google::protobuf::DescriptorPool::generated_pool()->FindFileByName(file.name());
    for (int i = 0; i < descriptor->service_count(); ++i) {
      services.push_back(descriptor->service(i));
    }
  }
  return services;
}

Services FindDataServices() {
  Services services = AllServices();
  std::erase_if(services, [](const auto* service) { return kByHand.contains(service->name()); });
  return services;
}

}  // namespace

const Services& AllServices() {
  static const auto* const kServices = new Services(FindAllServices());
  return *kServices;
}

const Services& DataServices() {
  static const auto* const kServices = new Services(FindDataServices());
  return *kServices;
}

bool ByHand(const google::protobuf::MethodDescriptor* method) {
  return kByHand.contains(method->service()->name()) || kByHand.contains(OperationName(method));
}

std::string FileStem(const google::protobuf::FileDescriptor* file) {
  const std::string& name = file->name();
  const size_t begin = name.rfind('/') + 1;
  return name.substr(begin, name.rfind('.') - begin);
}

std::string OperationName(const google::protobuf::MethodDescriptor* method) {
  return method->service()->name() + "/" + method->name();
}

}  // namespace twi
