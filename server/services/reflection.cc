#include "server/services/reflection.h"

#include <set>
#include <utility>

#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"

namespace twi::server {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;

/// Both versions: their messages differ in nothing but their names.
template <typename Request, typename Response>
class Reflection final : public Service {
 public:
  explicit Reflection(std::vector<std::string> services) : services_(std::move(services)) {}

  const google::protobuf::ServiceDescriptor* descriptor() const override {
    return Request::descriptor()->file()->FindServiceByName("ServerReflection");
  }

  Task<absl::Status> Converse(const google::protobuf::MethodDescriptor&, Stream stream) override {
    for (;;) {
      Request request;
      absl::StatusOr<bool> read = co_await stream.Read(&request);
      if (!read.ok()) co_return read.status();
      if (!*read) co_return absl::OkStatus();
      Response response;
      response.set_valid_host(request.host());
      *response.mutable_original_request() = request;
      Fill(request, &response);
      const bool written = co_await stream.Write(response);
      if (!written) co_return absl::CancelledError("the client is gone");
    }
  }

 private:
  void Fill(const Request& request, Response* response) const {
    const DescriptorPool& pool = *DescriptorPool::generated_pool();
    switch (request.message_request_case()) {
      case Request::kListServices:
        for (const std::string& service : services_) {
          response->mutable_list_services_response()->add_service()->set_name(service);
        }
        return;
      case Request::kFileByFilename:
        return FillFile(pool.FindFileByName(request.file_by_filename()), response);
      case Request::kFileContainingSymbol:
        return FillFile(pool.FindFileContainingSymbol(request.file_containing_symbol()), response);
      case Request::kFileContainingExtension: {
        const auto& wanted = request.file_containing_extension();
        const FieldDescriptor* extension = nullptr;
        if (const auto* type = pool.FindMessageTypeByName(wanted.containing_type())) {
          extension = pool.FindExtensionByNumber(type, wanted.extension_number());
        }
        return FillFile(extension == nullptr ? nullptr : extension->file(), response);
      }
      case Request::kAllExtensionNumbersOfType:
        return FillExtensions(pool, request.all_extension_numbers_of_type(), response);
      default:
        return FillError(absl::StatusCode::kInvalidArgument, "the request asks for nothing",
                         response);
    }
  }

  static void FillFile(const FileDescriptor* file, Response* response) {
    if (file == nullptr) return FillError(absl::StatusCode::kNotFound, "no such thing", response);
    std::set<const FileDescriptor*> seen;
    AddFile(file, &seen, response);
  }

  /// The file and all it imports, so that clients need not ask again.
  static void AddFile(const FileDescriptor* file, std::set<const FileDescriptor*>* seen,
                      Response* response) {
    if (!seen->insert(file).second) return;
    google::protobuf::FileDescriptorProto proto;
    file->CopyTo(&proto);
    proto.SerializeToString(
        response->mutable_file_descriptor_response()->add_file_descriptor_proto());
    for (int i = 0; i < file->dependency_count(); ++i) AddFile(file->dependency(i), seen, response);
  }

  static void FillExtensions(const DescriptorPool& pool, const std::string& name,
                             Response* response) {
    const auto* type = pool.FindMessageTypeByName(name);
    if (type == nullptr) return FillError(absl::StatusCode::kNotFound, "no such type", response);
    std::vector<const FieldDescriptor*> extensions;
    pool.FindAllExtensions(type, &extensions);
    auto* numbers = response->mutable_all_extension_numbers_response();
    numbers->set_base_type_name(name);
    for (const FieldDescriptor* extension : extensions) {
      numbers->add_extension_number(extension->number());
    }
  }

  static void FillError(absl::StatusCode code, const std::string& message, Response* response) {
    response->mutable_error_response()->set_error_code(static_cast<int>(code));
    response->mutable_error_response()->set_error_message(message);
  }

  const std::vector<std::string> services_;
};

}  // namespace

std::unique_ptr<Service> MakeReflectionV1(std::vector<std::string> services) {
  namespace v1 = grpc::reflection::v1;
  return std::make_unique<Reflection<v1::ServerReflectionRequest, v1::ServerReflectionResponse>>(
      std::move(services));
}

std::unique_ptr<Service> MakeReflectionV1Alpha(std::vector<std::string> services) {
  namespace alpha = grpc::reflection::v1alpha;
  return std::make_unique<
      Reflection<alpha::ServerReflectionRequest, alpha::ServerReflectionResponse>>(
      std::move(services));
}

}  // namespace twi::server
