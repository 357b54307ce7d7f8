#pragma once

#include <string>

#include "google/protobuf/message.h"
#include "tests/chaos/fuzz/random.h"

namespace twi::fuzz {

/// The bytes with some flipped, put in, left out, repeated or cut off.
std::string Mutate(std::string bytes, Random& random);

/// Gives fields any values that their types can hold, and texts some that these cannot.
void Fill(google::protobuf::Message* message, Random& random);

/// Text as somebody might send it, and nobody should.
std::string Text(Random& random);

/// What a header of gRPC may hold; arbitrary otherwise.
std::string HeaderText(Random& random, size_t most);

}  // namespace twi::fuzz
