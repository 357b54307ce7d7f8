#include "tests/chaos/fuzz/mutate.h"

#include <google/protobuf/any.pb.h>

#include <limits>
#include <memory>

namespace twi::fuzz {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

/// What decoders of Protobuf stumble over: long varints, lengths that are not there, groups, depth.
std::string Wire(Random& random) {
  switch (random.Below(6)) {
    case 0:
      return std::string(random.Below(20), '\xff');
    case 1:
      return "\x0a\xff\xff\xff\xff\x07";
    case 2:
      return std::string(random.Below(200), '\x0b');
    case 3: {
      std::string nested;
      while (nested.size() < 100) {
        nested.insert(nested.begin(), {'\x0a', static_cast<char>(nested.size())});
      }
      return nested;
    }
    case 4:
      return "\xf8\xff\xff\xff\x0f\x01";
    default:
      return random.Bytes(random.Length(64));
  }
}

/// A message with what is below it.
class Filler {
 public:
  explicit Filler(Random* random) : random_(*random), deep_(random->OnceIn(20)) {}

  void FillAll(Message* message, int depth) {
    if (auto* any = dynamic_cast<google::protobuf::Any*>(message); any != nullptr) {
      return FillAny(any, depth);
    }
    const Descriptor* type = message->GetDescriptor();
    for (int i = 0; i < type->field_count(); ++i) {
      if (random_.OnceIn(4)) continue;
      const FieldDescriptor* field = type->field(i);
      const bool nests = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
      // A chain goes deep, a tree does not.
      if (nests && (nodes_ <= 0 || depth > (deep_ ? 150 : 5))) continue;
      const size_t most = nests && deep_ ? 1 : random_.OnceIn(50) && !nests ? 2000 : 3;
      for (size_t n = field->is_repeated() ? random_.Below(most + 1) : 1; n > 0; --n) {
        Set(message, field, depth);
      }
    }
  }

 private:
  void FillAny(google::protobuf::Any* any, int depth) {
    if (random_.OnceIn(3)) {
      any->set_type_url(Text(random_));
      any->set_value(Wire(random_));
      return;
    }
    const auto* type = google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(
        random_.OneOf({"twi.data.v1.CreateQuoteRequest", "twi.data.v1.GetQuoteRequest",
                       "google.protobuf.Any", "twi.data.v1.FetchRequest"}));
    if (type == nullptr || depth > 50) return;
    const std::unique_ptr<Message> packed(
        google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
    FillAll(packed.get(), depth + 1);
    any->PackFrom(*packed);
  }

  int64_t Integer() {
    switch (random_.Below(4)) {
      case 0:
        return random_.OneOf<int64_t>({0, 1, -1, 2, 7, 100});
      case 1:
        return random_.OneOf<int64_t>({std::numeric_limits<int64_t>::max(),
                                       std::numeric_limits<int64_t>::min(),
                                       std::numeric_limits<int32_t>::max(),
                                       std::numeric_limits<int32_t>::min(), int64_t{1} << 32});
      case 2:
        return static_cast<int64_t>(random_.Below(1000));
      default:
        return static_cast<int64_t>(random_.Number());
    }
  }
  double Real() {
    return random_.OneOf<double>(
        {0, -0.0, 1, -1, 0.1, 1e300, std::numeric_limits<double>::quiet_NaN(),
         std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()});
  }

  void Set(Message* message, const FieldDescriptor* field, int depth) {
    const Reflection* of = message->GetReflection();
    const bool add = field->is_repeated();
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        --nodes_;
        return FillAll(add ? of->AddMessage(message, field) : of->MutableMessage(message, field),
                       depth + 1);
      case FieldDescriptor::CPPTYPE_STRING: {
        std::string text = field->type() == FieldDescriptor::TYPE_BYTES
                               ? random_.Bytes(random_.Length(200))
                               : Text(random_);
        return add ? of->AddString(message, field, std::move(text))
                   : of->SetString(message, field, std::move(text));
      }
      case FieldDescriptor::CPPTYPE_ENUM: {
        const int value =
            random_.OnceIn(4) ? static_cast<int>(Integer()) : static_cast<int>(random_.Below(6));
        return add ? of->AddEnumValue(message, field, value)
                   : of->SetEnumValue(message, field, value);
      }
      case FieldDescriptor::CPPTYPE_BOOL: {
        const bool value = random_.OnceIn(2);
        return add ? of->AddBool(message, field, value) : of->SetBool(message, field, value);
      }
      case FieldDescriptor::CPPTYPE_INT32: {
        const auto value = static_cast<int32_t>(Integer());
        return add ? of->AddInt32(message, field, value) : of->SetInt32(message, field, value);
      }
      case FieldDescriptor::CPPTYPE_UINT32: {
        const auto value = static_cast<uint32_t>(Integer());
        return add ? of->AddUInt32(message, field, value) : of->SetUInt32(message, field, value);
      }
      case FieldDescriptor::CPPTYPE_INT64:
        return add ? of->AddInt64(message, field, Integer())
                   : of->SetInt64(message, field, Integer());
      case FieldDescriptor::CPPTYPE_UINT64: {
        const auto value = static_cast<uint64_t>(Integer());
        return add ? of->AddUInt64(message, field, value) : of->SetUInt64(message, field, value);
      }
      case FieldDescriptor::CPPTYPE_FLOAT: {
        const auto value = static_cast<float>(random_.OneOf<double>({0, 1, -1, Real() / 1e300}));
        return add ? of->AddFloat(message, field, value) : of->SetFloat(message, field, value);
      }
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return add ? of->AddDouble(message, field, Real()) : of->SetDouble(message, field, Real());
    }
  }

  Random& random_;
  const bool deep_;
  // How many messages it may still have below it.
  int nodes_ = 300;
};

}  // namespace

std::string Mutate(std::string bytes, Random& random) {
  for (size_t times = 1 + random.Below(3); times > 0; --times) {
    const size_t at = random.Below(bytes.size() + 1);
    const size_t length = bytes.empty() ? 0 : random.Below(std::min<size_t>(bytes.size(), 16) + 1);
    switch (random.Below(8)) {
      case 0:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.Below(8)));
        break;
      case 1:
        if (at < bytes.size()) bytes[at] = random.Bytes(1)[0];
        break;
      case 2:
        bytes.insert(at, random.Bytes(1 + random.Below(8)));
        break;
      case 3:
        bytes.erase(at, length);
        break;
      case 4:
        bytes.insert(at, bytes.substr(at, length));
        break;
      case 5:
        bytes.resize(at);
        break;
      case 6:
        bytes.insert(at, Wire(random));
        break;
      default:
        bytes += bytes;
        break;
    }
  }
  return bytes;
}

std::string Text(Random& random) {
  switch (random.Below(9)) {
    case 0:
      return "";
    case 1:
      return std::string("a\0b", 3);
    case 2:
      return "\xff\xfe\xc0\x80";
    case 3:
      // Seldom larger than a request may be.
      return std::string(random.OnceIn(400) ? 5 << 20 : random.Below(3000), 'x');
    case 4:
      return random.OneOf({"'; select 1; --", "%_\\", "$1", "{\"a\": [", "{1,{2}}", "\\x0",
                           "-1e999999", "infinity", "99999999999999999999", "2026-02-30T25:61:61Z",
                           "\u202e\u0000ab", "\U0001F3AD\U0001F3AD", "<@&1>", "a & | ! b", "((("});
    case 5:
      return std::to_string(static_cast<int64_t>(random.Number()));
    case 6:
      return random.OneOf({"quotes", "messages", "QuotesService/GetQuote", "select 1", "UTC",
                           "twi.data.v1.QuotesService", "quotes.proto", "no_such_field", "quote"});
    case 7:
      return random.Bytes(random.Length(100));
    default: {
      std::string text(random.Length(100), ' ');
      for (char& letter : text) letter = static_cast<char>(' ' + random.Below(95));
      return text;
    }
  }
}

std::string HeaderText(Random& random, size_t most) {
  std::string text(random.Length(most), ' ');
  for (char& letter : text) letter = static_cast<char>('!' + random.Below(94));
  return text;
}

void Fill(Message* message, Random& random) { Filler(&random).FillAll(message, 0); }

}  // namespace twi::fuzz
