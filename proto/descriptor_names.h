#pragma once

#include <string>
#include <vector>

#include "google/protobuf/descriptor.h"

namespace twi {

/// The services of package twi.data.v1, by file and place.
const std::vector<const google::protobuf::ServiceDescriptor*>& AllServices();
/// Those that have operations: all but what is written by hand as a whole.
const std::vector<const google::protobuf::ServiceDescriptor*>& DataServices();
/// Whether the method is written by hand, in server/services/, and is no operation.
bool ByHand(const google::protobuf::MethodDescriptor* method);

/// `twi/data/v1/quotes.proto` -> `quotes`: what pairs a service with its repository.
std::string FileStem(const google::protobuf::FileDescriptor* file);

/// `QuotesService/GetQuote`: how metrics, logs, prepared statements and the catalog name an
/// operation.
std::string OperationName(const google::protobuf::MethodDescriptor* method);

}  // namespace twi
