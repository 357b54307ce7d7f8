#include "proto/descriptor_names.h"

#include <set>

#include "google/protobuf/descriptor.pb.h"
#include "proto/descriptor_set.h"

namespace twi {
namespace {

const std::set<std::string> kByHand = {"CacheService"};

}  // namespace

std::vector<const google::protobuf::ServiceDescriptor*> AllServices() {
  google::protobuf::FileDescriptorSet set;
  const std::string_view bytes = DescriptorSet();
  set.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  std::vector<const google::protobuf::ServiceDescriptor*> services;
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

std::vector<const google::protobuf::ServiceDescriptor*> DataServices() {
  auto services = AllServices();
  std::erase_if(services, [](const auto* service) { return kByHand.contains(service->name()); });
  return services;
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
