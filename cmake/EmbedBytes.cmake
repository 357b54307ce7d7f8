# Run by proto/CMakeLists.txt: writes INPUT's bytes as the body of twi::DescriptorSet().
file(READ ${INPUT} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "\\\\x\\1" escaped "${hex}")
string(REGEX REPLACE "((\\\\x[0-9a-f][0-9a-f])(\\\\x[0-9a-f][0-9a-f])?(\\\\x[0-9a-f][0-9a-f])?(\\\\x[0-9a-f][0-9a-f])?(\\\\x[0-9a-f][0-9a-f])?(\\\\x[0-9a-f][0-9a-f])?(\\\\x[0-9a-f][0-9a-f])?(\\\\x[0-9a-f][0-9a-f])?)" "    \"\\1\"\n" lines "${escaped}")
file(WRITE ${OUTPUT} "// Generated from the protos.
#include \"proto/descriptor_set.h\"

namespace twi {

std::string_view DescriptorSet() {
  static constexpr char kBytes[] =
${lines};
  return {kBytes, sizeof(kBytes) - 1};
}

}  // namespace twi
")
